//! The clock: the only place where time is read. Everything else is handed `now`.

use std::time::{Duration, Instant, SystemTime};

/// Two clocks from one start point. Copies share it, so that all shards of a process agree on monotone time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts monotone time at 0.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Milliseconds since [`Clock::start`], which never go back, and milliseconds since the Unix epoch, which may
    /// jump (0 while the system's clock stands before 1970).
    #[must_use]
    pub fn now(&self) -> (u64, u64) {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (whole_millis(self.start.elapsed()), whole_millis(wall))
    }

    /// The moment when [`Clock::now`] begins to say `mono_ms`, for a timer to sleep until. A moment too far ahead
    /// for the system's clock becomes one 30 years ahead: a timer that fires early is harmless.
    #[must_use]
    pub fn instant(&self, mono_ms: u64) -> Instant {
        self.start.checked_add(Duration::from_millis(mono_ms)).unwrap_or(self.start + FAR)
    }
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotone_time_starts_at_zero_and_never_goes_back() {
        let clock = Clock::start();
        let (first, wall) = clock.now();
        let (second, _) = clock.now();
        assert!(first < 10_000, "{first} ms after the start");
        assert!(second >= first);
        assert!(wall > 1_600_000_000_000, "milliseconds since 1970, not seconds: {wall}");
    }

    #[test]
    fn an_instant_is_the_moment_its_millisecond_begins() {
        let clock = Clock::start();
        assert_eq!(clock.instant(0), clock.start);
        assert_eq!(clock.instant(1500) - clock.start, Duration::from_millis(1500));
        assert!(clock.instant(u64::MAX) > clock.start);
    }
}
