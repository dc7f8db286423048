//! How many lines a second.

/// Counts the lines of each second.
#[derive(Debug)]
pub(super) struct Flood {
    per_second: u32,
    second: u64,
    written: u32,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is written, after one that says how many were left out (unless that is 0).
    Write {
        /// Since this was last told.
        left_out: u64,
    },
    /// It is not written.
    LeaveOut,
}

impl Flood {
    /// At most so many limited lines each second.
    pub(super) const fn new(per_second: u32) -> Self {
        Self { per_second, second: 0, written: 0, left_out: 0 }
    }

    /// A line comes in this second, counted from anywhere. One that is not `limited` is always written; it, too, tells
    /// what was left out before this second.
    pub(super) const fn admit(&mut self, second: u64, limited: bool) -> Verdict {
        let mut left_out = 0;
        if second > self.second {
            left_out = self.left_out;
            *self = Self { second, ..Self::new(self.per_second) };
        }
        if !limited {
            return Verdict::Write { left_out };
        }
        if self.written >= self.per_second {
            self.left_out += 1;
            return Verdict::LeaveOut;
        }
        self.written += 1;
        Verdict::Write { left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Verdict = Verdict::Write { left_out: 0 };

    #[test]
    fn a_second_has_its_allowance_and_the_next_tells_what_was_left_out() {
        let mut flood = Flood::new(2);
        let verdicts: Vec<_> = [5, 5, 5, 5, 6, 6, 6, 8].map(|second| flood.admit(second, true)).into();
        let left_out = |left_out| Verdict::Write { left_out };
        let expected =
            [WRITE, WRITE, Verdict::LeaveOut, Verdict::LeaveOut, left_out(2), WRITE, Verdict::LeaveOut, left_out(1)];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn other_lines_are_always_written_and_use_up_nothing() {
        let mut flood = Flood::new(1);
        assert!((0..10).all(|_| flood.admit(1, false) == WRITE));
        assert_eq!(flood.admit(1, true), WRITE);
        assert_eq!(flood.admit(1, true), Verdict::LeaveOut);
        assert_eq!(flood.admit(1, false), WRITE, "told once the second is over");
        assert_eq!(flood.admit(2, false), Verdict::Write { left_out: 1 });
        assert_eq!(flood.admit(2, false), WRITE, "told once");
    }

    #[test]
    fn a_clock_that_goes_back_opens_no_new_allowance() {
        let mut flood = Flood::new(1);
        assert_eq!(flood.admit(9, true), WRITE);
        assert_eq!(flood.admit(8, true), Verdict::LeaveOut);
    }
}
