//! How fast connections are begun: a token bucket, and two lines before it.

use super::LinkId;
use crate::time::{Deadline, Now};
use std::collections::VecDeque;

/// Devices that wait for an answer go before links that come back, but for every fourth place, so that these come back
/// however many knock.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Connections per second; 0 = no limit.
    rate: u32,
    /// Thousandths of a connection that may be begun.
    level: u64,
    /// When that was so.
    at: u64,
    applying: VecDeque<LinkId>,
    returning: VecDeque<LinkId>,
    turn: u8,
}

impl Pacer {
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate, level: ONE, at: 0, applying: VecDeque::new(), returning: VecDeque::new(), turn: 0 }
    }

    pub(super) const fn rate(&self) -> u32 {
        self.rate
    }

    /// Puts a link at the end of its line.
    pub(super) fn wait(&mut self, link: LinkId, applies: bool) {
        if applies { self.applying.push_back(link) } else { self.returning.push_back(link) }
    }

    /// The link whose turn it is. One that begins a connection is [charged](Pacer::charge).
    pub(super) fn next(&mut self, now: Now) -> Option<LinkId> {
        self.refill(now);
        if self.rate > 0 && self.level < ONE {
            return None;
        }
        let returning_first = self.turn == 0 || self.applying.is_empty();
        if returning_first && let Some(link) = self.returning.pop_front() {
            return Some(link);
        }
        self.applying.pop_front().or_else(|| self.returning.pop_front())
    }

    /// A connection is begun.
    pub(super) fn charge(&mut self) {
        self.turn = (self.turn + 1) % TURNS;
        self.level = self.level.saturating_sub(ONE);
    }

    fn refill(&mut self, now: Now) {
        let passed = now.mono_ms.saturating_sub(self.at);
        self.at = self.at.max(now.mono_ms);
        // A rate per second is so many thousandths per millisecond.
        let most = (u64::from(self.rate) * BURST_MS).max(ONE);
        self.level = self.level.saturating_add(passed.saturating_mul(self.rate.into())).min(most);
    }

    /// When the next may begin, if any waits.
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        if self.applying.is_empty() && self.returning.is_empty() {
            return None;
        }
        let missing = if self.rate == 0 { 0 } else { ONE.saturating_sub(self.level) };
        let wait = missing.div_ceil(u64::from(self.rate.max(1)));
        Some(Deadline(self.at.saturating_add(wait)))
    }
}

/// One connection, in thousandths.
const ONE: u64 = 1000;
/// What may be saved up for a burst.
const BURST_MS: u64 = 100;
/// Of so many places one is for a link that comes back.
const TURNS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 0 }
    }

    fn begun(pacer: &mut Pacer, now: u64) -> Vec<u16> {
        let mut begun = Vec::new();
        while let Some(link) = pacer.next(at(now)) {
            pacer.charge();
            begun.push(u16::try_from(link.0.slot).unwrap());
        }
        begun
    }

    #[test]
    fn connections_begin_at_the_rate_and_no_faster() {
        let mut pacer = Pacer::new(50);
        assert_eq!(pacer.next_deadline(), None, "nobody waits");
        for number in 0..200 {
            pacer.wait(LinkId::shared(number), true);
        }
        let mut total = begun(&mut pacer, 1000).len();
        assert!(total <= 5, "a burst of 100 ms: {total}");
        let mut now = 1000;
        while let Some(due) = pacer.next_deadline() {
            assert!(due.0 > now, "it is told to wait, and how long");
            now = due.0;
            total += begun(&mut pacer, now).len();
            let most = 5 + (now - 1000) / 20;
            assert!(total as u64 <= most, "{total} after {} ms", now - 1000);
        }
        assert_eq!((total, now), (200, 1000 + 195 * 20));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let mut pacer = Pacer::new(0);
        (0..500).for_each(|number| pacer.wait(LinkId::shared(number), number % 2 == 0));
        assert_eq!(begun(&mut pacer, 5).len(), 500);
    }

    #[test]
    fn who_waits_for_an_answer_goes_first_and_who_comes_back_is_not_forgotten() {
        let mut pacer = Pacer::new(1000);
        begun(&mut pacer, 1000);
        (0..6).for_each(|number| pacer.wait(LinkId::shared(number), true));
        (10..13).for_each(|number| pacer.wait(LinkId::shared(number), false));
        assert_eq!(begun(&mut pacer, 2000), [10, 0, 1, 2, 11, 3, 4, 5, 12]);
    }
}
