//! A load without a rate and without answers follows what arrives.

/// Nanoseconds without an arrival after which what is missing is written off, so that one loss does not end the run.
const WRITE_OFF: u64 = 200_000_000;

/// Messages sent and not yet arrived, never more than a bound. Times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Backlog {
    bound: u64,
    arrived: u64,
    written_off: u64,
    /// Of the last arrival or write-off.
    since: u64,
    last_arrival_at: u64,
}

impl Backlog {
    pub(crate) const fn new(bound: u64, now: u64) -> Self {
        Self { bound, arrived: 0, written_off: 0, since: now, last_arrival_at: now }
    }

    /// How many more may be sent when `sent` were and `arrived` came through.
    pub(crate) fn room(&mut self, sent: u64, arrived: u64, now: u64) -> u64 {
        if arrived != self.arrived {
            self.arrived = arrived;
            (self.since, self.last_arrival_at) = (now, now);
        } else if now.saturating_sub(self.since) > WRITE_OFF {
            self.written_off = sent.saturating_sub(arrived);
            self.since = now;
        }
        arrived.saturating_add(self.written_off).saturating_add(self.bound).saturating_sub(sent)
    }

    /// Nothing has arrived for longer than `quiet`.
    pub(crate) const fn is_stuck(&self, quiet: u64, now: u64) -> bool {
        now.saturating_sub(self.last_arrival_at) > quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_until_what_is_missing_is_written_off() {
        let mut backlog = Backlog::new(10, 0);
        assert_eq!((backlog.room(0, 0, 0), backlog.room(10, 0, 1)), (10, 0));
        assert_eq!(backlog.room(10, 4, 2), 4);
        assert_eq!((backlog.room(14, 4, 2 + WRITE_OFF), backlog.room(14, 4, 3 + WRITE_OFF)), (0, 10));
        assert_eq!(backlog.room(24, 4, 4 + WRITE_OFF), 0, "written off once, not in each round");
    }

    #[test]
    fn a_write_off_is_no_arrival() {
        let mut backlog = Backlog::new(1, 0);
        backlog.room(1, 1, 5);
        backlog.room(2, 1, 6 + WRITE_OFF);
        assert!(
            !backlog.is_stuck(2 * WRITE_OFF, 5 + 2 * WRITE_OFF) && backlog.is_stuck(2 * WRITE_OFF, 6 + 2 * WRITE_OFF)
        );
    }
}
