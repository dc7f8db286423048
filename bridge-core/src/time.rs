//! Time as machines see it: handed in with each input, never read.

use std::time::Duration;

/// Two clocks at one moment: monotone for deadlines, wall for time stamps and what outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds since the process (or the simulation) started; never goes back.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch; may jump.
    pub wall_ms: u64,
}

impl Now {
    /// The deadline `wait` from now, at millisecond resolution.
    #[must_use]
    pub fn after(self, wait: Duration) -> Deadline {
        Deadline(self.mono_ms.saturating_add(millis(wait)))
    }

    /// The deadline `wait_ms` milliseconds from now.
    #[must_use]
    pub const fn after_ms(self, wait_ms: u64) -> Deadline {
        Deadline(self.mono_ms.saturating_add(wait_ms))
    }
}

/// A moment of the monotone clock, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(pub u64);

impl Deadline {
    /// True once `now` has reached it.
    #[must_use]
    pub const fn is_due(self, now: Now) -> bool {
        self.0 <= now.mono_ms
    }

    /// Milliseconds from `now` until it is due; 0 when it is.
    #[must_use]
    pub const fn wait_ms(self, now: Now) -> u64 {
        self.0.saturating_sub(now.mono_ms)
    }
}

/// The earlier of two deadlines, either of which may be missing.
#[must_use]
pub fn earliest(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// `wait` in whole milliseconds, at most `u64::MAX`.
#[must_use]
pub fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_due_when_its_millisecond_comes() {
        let now = Now { mono_ms: 1000, wall_ms: 0 };
        let deadline = now.after(Duration::from_millis(250));
        assert_eq!(deadline, Deadline(1250));
        assert_eq!(deadline.wait_ms(now), 250);
        assert!(!deadline.is_due(Now { mono_ms: 1249, wall_ms: 0 }));
        assert!(deadline.is_due(Now { mono_ms: 1250, wall_ms: 0 }));
        assert_eq!(earliest(Some(deadline), None), Some(deadline));
        assert_eq!(earliest(Some(deadline), Some(Deadline(3))), Some(Deadline(3)));
    }
}
