//! How many messages are due.

/// An offered rate on a clock of nanoseconds.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: u64,
    total: u64,
    started_at: u64,
    sent: u64,
}

/// A round never sends more than this many milliseconds' worth: a generator that fell behind says so in the rate it
/// reaches instead of making up for it in a burst.
const BURST_MS: u64 = 20;
/// As fast as possible, a round still ends to hear answers.
const UNPACED_ROUND: u64 = 64;
const SECOND: u128 = 1_000_000_000;

impl Pace {
    /// `per_second` 0 means without a rate.
    pub(crate) const fn new(per_second: u64, total: u64, started_at: u64) -> Self {
        Self { per_second, total, started_at, sent: 0 }
    }

    /// The lowest rate at which `count` messages are ever due at once.
    pub(crate) const fn slowest_with_bursts_of(count: u64) -> u64 {
        // The burst of a round is rounded up.
        (count - 1) * 1000 / BURST_MS + 1
    }

    pub(crate) const fn is_paced(&self) -> bool {
        self.per_second != 0
    }

    /// Messages to send in this round.
    pub(crate) fn due(&self, now: u64) -> u64 {
        let left = self.total - self.sent;
        if self.per_second == 0 {
            return left.min(UNPACED_ROUND);
        }
        let elapsed = now.saturating_sub(self.started_at);
        let by_now = u128::from(elapsed) * u128::from(self.per_second) / SECOND;
        let due = u64::try_from(by_now).unwrap_or(u64::MAX).saturating_sub(self.sent);
        due.min((self.per_second * BURST_MS).div_ceil(1000)).min(left)
    }

    /// Notes one message sent: it returns the message's number.
    pub(crate) const fn sent_one(&mut self) -> u64 {
        let number = self.sent;
        self.sent += 1;
        number
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.sent >= self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_is_due_follows_the_clock_and_ends_at_the_total() {
        let mut pace = Pace::new(5000, 12, 100 * MS);
        assert_eq!((pace.due(0), pace.due(100 * MS), pace.due(101 * MS)), (0, 0, 5));
        assert_eq!([pace.sent_one(), pace.sent_one()], [0, 1]);
        assert_eq!((pace.due(101 * MS), pace.due(102 * MS), pace.due(900 * MS)), (3, 8, 10));
        assert_eq!((2..12).map(|_| pace.sent_one()).last(), Some(11));
        assert_eq!((pace.due(900 * MS), pace.is_finished(), pace.sent()), (0, true, 12));
    }

    #[test]
    fn a_late_round_makes_up_for_twenty_milliseconds_at_most() {
        let pace = Pace::new(5000, 1_000_000, 0);
        assert_eq!(pace.due(10_000 * MS), 100);
        assert_eq!(Pace::new(1, 10, 0).due(5000 * MS), 1, "a slow rate is still kept");
    }

    #[test]
    fn a_rate_that_is_too_slow_for_a_burst_is_known_beforehand() {
        for count in [1, 2, 16, 64, 1000] {
            let slowest = Pace::slowest_with_bursts_of(count);
            assert!(Pace::new(slowest, 100_000, 0).due(60_000 * MS) >= count, "{count}");
            if slowest > 1 {
                assert!(Pace::new(slowest - 1, 100_000, 0).due(60_000 * MS) < count, "{count}");
            }
        }
    }

    #[test]
    fn without_a_rate_a_round_is_bounded_and_never_waits() {
        let pace = Pace::new(0, 1000, 0);
        assert_eq!((pace.due(0), pace.is_paced()), (UNPACED_ROUND, false));
        assert_eq!(Pace::new(0, 3, 0).due(0), 3);
    }
}
