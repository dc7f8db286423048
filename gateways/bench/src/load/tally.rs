//! What arrived: each message once, twice, out of order, or never.

use crate::load::histogram::Histogram;
use crate::load::places::Places;
use crate::load::stamp::Stamp;

/// Counts arrivals of one run. Messages have places 0 up to a bound that is set beforehand.
#[derive(Debug)]
pub(crate) struct Tally {
    run: u32,
    seen: Places,
    /// Per client: one more than the highest sequence number that came.
    next: Vec<u64>,
    pub(crate) arrived: u64,
    pub(crate) duplicates: u64,
    /// First arrivals behind a later message of the same client.
    pub(crate) reordered: u64,
    /// Not of this run.
    pub(crate) foreign: u64,
    /// Of first arrivals, in nanoseconds.
    pub(crate) latency: Histogram,
    /// The clock at the last first arrival.
    pub(crate) last_at: u64,
}

impl Tally {
    pub(crate) fn new(run: u32, clients: u32, places: u64) -> Self {
        let latency = Histogram::new();
        let next = vec![0; usize::try_from(clients).unwrap_or(usize::MAX)];
        Self {
            run,
            seen: Places::below(places),
            next,
            arrived: 0,
            duplicates: 0,
            reordered: 0,
            foreign: 0,
            latency,
            last_at: 0,
        }
    }

    /// Notes a payload that `client` (the stamp's, if `None`) has at `place` (the stamp's sequence number, if `None`).
    /// True for the first arrival of a message of this run.
    pub(crate) fn arrive(&mut self, payload: &[u8], at: Option<(u32, u64)>, now: u64) -> bool {
        let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.run == self.run) else {
            self.foreign += 1;
            return false;
        };
        let (client, place) = at.map_or((stamp.client, stamp.seq), |(client, base)| (client, base + stamp.seq));
        let next = usize::try_from(client).ok().and_then(|client| self.next.get_mut(client));
        let Some((next, is_new)) = next.and_then(|next| Some((next, self.seen.insert(place)?))) else {
            self.foreign += 1;
            return false;
        };
        if !is_new {
            self.duplicates += 1;
            return false;
        }
        self.arrived += 1;
        if stamp.seq < *next {
            self.reordered += 1;
        } else {
            *next = stamp.seq + 1;
        }
        self.latency.record(now.saturating_sub(stamp.sent_at));
        self.last_at = now;
        true
    }
}

impl Tally {
    /// How many of these messages have not arrived.
    pub(crate) fn missing_of(&self, messages: &Places) -> u64 {
        messages.missing_in(&self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stamp::Script;

    fn payload(run: u32, client: u32, seq: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        Stamp { run, client, seq, sent_at: 1000 }.write(Script::Octets, 64, &mut payload);
        payload
    }

    #[test]
    fn each_message_counts_once_and_disorder_is_per_client() {
        let mut tally = Tally::new(7, 2, 100);
        for (client, seq) in [(0, 0), (1, 3), (0, 2), (0, 1), (1, 3), (0, 99)] {
            tally.arrive(&payload(7, client, seq), None, 1500);
        }
        assert_eq!((tally.arrived, tally.duplicates, tally.reordered, tally.foreign), (5, 1, 1, 0));
        assert_eq!((tally.latency.count(), tally.latency.max(), tally.last_at), (5, 500, 1500));
    }

    #[test]
    fn what_is_not_of_this_run_is_only_counted() {
        let mut tally = Tally::new(7, 2, 100);
        for strange in [payload(8, 0, 0), payload(7, 2, 0), payload(7, 0, 100), b"short".to_vec()] {
            assert!(!tally.arrive(&strange, None, 0));
        }
        assert_eq!((tally.arrived, tally.foreign), (0, 4));
    }

    #[test]
    fn fanned_out_messages_have_a_place_per_receiver() {
        let mut tally = Tally::new(7, 2, 20);
        for (receiver, seq) in [(0, 5), (1, 5), (1, 5)] {
            tally.arrive(&payload(7, 0, seq), Some((receiver, u64::from(receiver) * 10)), 0);
        }
        assert_eq!((tally.arrived, tally.duplicates, tally.reordered), (2, 1, 0));
    }
}
