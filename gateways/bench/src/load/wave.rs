//! One exchange with each client, a bounded number of them at a time, with retransmission.

use crate::load::histogram::Histogram;
use std::collections::VecDeque;

/// Where each client's exchange stands. Times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Wave {
    window: usize,
    retry_after: u64,
    tries: u8,
    exchanges: Vec<Exchange>,
    /// Clients before this one were asked at least once.
    next: u32,
    /// When each client that was asked is due again, answered or not; in order, because the interval is one.
    deadlines: VecDeque<(u64, u32)>,
    open: usize,
    pub(crate) accepted: u32,
    pub(crate) refused: u32,
    /// The return code of the latest refusal.
    pub(crate) last_refusal: Option<u8>,
    pub(crate) unanswered: u32,
    pub(crate) retransmitted: u64,
    /// From the first transmission to the answer.
    pub(crate) latency: Histogram,
}

#[derive(Clone, Copy, Debug)]
enum Exchange {
    Unasked,
    Asked { since: u64, transmissions: u8 },
    Done,
}

impl Wave {
    pub(crate) fn new(clients: u32, window: u32, retry_after: u64, tries: u8) -> Self {
        Self {
            window: usize::try_from(window).unwrap_or(usize::MAX),
            retry_after,
            tries,
            exchanges: vec![Exchange::Unasked; usize::try_from(clients).unwrap_or(usize::MAX)],
            next: 0,
            deadlines: VecDeque::new(),
            open: 0,
            accepted: 0,
            refused: 0,
            last_refusal: None,
            unanswered: 0,
            retransmitted: 0,
            latency: Histogram::new(),
        }
    }

    /// The client to (re)transmit to now, noted as done; `None` when the window is full or all were asked.
    pub(crate) fn next(&mut self, now: u64) -> Option<u32> {
        let client = self.overdue(now).or_else(|| self.unasked(now))?;
        self.deadlines.push_back((now.saturating_add(self.retry_after), client));
        Some(client)
    }

    fn overdue(&mut self, now: u64) -> Option<u32> {
        while let Some((_, client)) = self.deadlines.pop_front_if(|(due, _)| *due <= now) {
            let Some(exchange) = slot(&mut self.exchanges, client) else { continue };
            match exchange {
                Exchange::Asked { transmissions, .. } if *transmissions < self.tries => {
                    *transmissions += 1;
                    self.retransmitted += 1;
                    return Some(client);
                }
                Exchange::Asked { .. } => {
                    *exchange = Exchange::Done;
                    self.unanswered += 1;
                    self.open -= 1;
                }
                Exchange::Unasked | Exchange::Done => {}
            }
        }
        None
    }

    fn unasked(&mut self, now: u64) -> Option<u32> {
        if self.open >= self.window {
            return None;
        }
        let client = self.next;
        *slot(&mut self.exchanges, client)? = Exchange::Asked { since: now, transmissions: 1 };
        self.next += 1;
        self.open += 1;
        Some(client)
    }

    /// Notes the answer, with the return code `refusal` if it was one. A second one, or one to no question, changes nothing and gives false.
    pub(crate) fn answered(&mut self, client: u32, refusal: Option<u8>, now: u64) -> bool {
        let Some(exchange) = slot(&mut self.exchanges, client) else { return false };
        let Exchange::Asked { since, .. } = *exchange else { return false };
        *exchange = Exchange::Done;
        self.open -= 1;
        self.latency.record(now.saturating_sub(since));
        match refusal {
            None => self.accepted += 1,
            Some(code) => {
                self.refused += 1;
                self.last_refusal = Some(code);
            }
        }
        true
    }

    /// Clients whose exchange is over, one way or another.
    pub(crate) fn done(&self) -> u64 {
        u64::from(self.accepted) + u64::from(self.refused) + u64::from(self.unanswered)
    }

    /// Nobody is left to ask and no answer is waited for.
    pub(crate) fn is_finished(&self) -> bool {
        self.open == 0 && self.exchanges.len() <= usize::try_from(self.next).unwrap_or(usize::MAX)
    }
}

fn slot(exchanges: &mut [Exchange], client: u32) -> Option<&mut Exchange> {
    exchanges.get_mut(usize::try_from(client).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_due(wave: &mut Wave, now: u64) -> Vec<u32> {
        std::iter::from_fn(|| wave.next(now)).collect()
    }

    #[test]
    fn the_window_bounds_what_is_outstanding() {
        let mut wave = Wave::new(4, 2, 10, 3);
        assert_eq!(all_due(&mut wave, 0), [0, 1]);
        assert!(wave.answered(1, None, 4));
        assert_eq!(all_due(&mut wave, 5), [2]);
        assert!(wave.answered(0, Some(3), 5) && wave.answered(2, None, 6));
        assert_eq!(all_due(&mut wave, 6), [3]);
        assert!(!wave.is_finished());
        assert!(wave.answered(3, None, 9));
        assert!(wave.is_finished());
        assert_eq!((wave.accepted, wave.refused, wave.unanswered, wave.retransmitted), (3, 1, 0, 0));
        assert_eq!((wave.latency.max(), wave.last_refusal), (5, Some(3)));
    }

    #[test]
    fn silence_is_retransmitted_to_and_then_given_up() {
        let mut wave = Wave::new(2, 1, 10, 3);
        assert_eq!(all_due(&mut wave, 0), [0]);
        assert_eq!(all_due(&mut wave, 9), [0; 0]);
        assert_eq!(all_due(&mut wave, 10), [0]);
        assert_eq!(all_due(&mut wave, 19), [0; 0]);
        assert_eq!(all_due(&mut wave, 20), [0]);
        assert_eq!(all_due(&mut wave, 30), [1], "the third transmission was the last");
        assert!(!wave.answered(0, None, 31), "too late");
        assert!(wave.answered(1, None, 31));
        assert_eq!((wave.accepted, wave.unanswered, wave.retransmitted), (1, 1, 2));
        assert!(wave.is_finished());
    }

    #[test]
    fn an_answer_counts_once_and_only_to_a_question() {
        let mut wave = Wave::new(2, 1, 10, 3);
        assert_eq!(wave.next(0), Some(0));
        assert!(!wave.answered(1, None, 1) && !wave.answered(9, None, 1));
        assert!(wave.answered(0, None, 1));
        assert!(!wave.answered(0, None, 2));
        assert_eq!(wave.accepted, 1);
        assert_eq!(all_due(&mut wave, 10), [1], "no retransmission to who answered");
    }
}
