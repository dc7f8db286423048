//! A token bucket in whole numbers: what is owed is reckoned in a unit in which both an interval's worth and a millisecond's
//! are whole, so that nothing is lost to rounding however often it is looked at.

use std::num::NonZeroU64;

/// So many units in each interval, and a burst at once.
///
/// A session owes for what it has had: each unit costs as much as the interval has milliseconds, and each millisecond pays
/// back as much as the interval brings units. It may have what leaves it owing no more than the burst costs. What costs more
/// than that by itself may be had by whoever owes nothing, and is waited for afterwards: else it could never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Paid back each millisecond; never 0.
    units: NonZeroU64,
    /// The price of one unit.
    per_ms: u64,
    /// The most that may be owed.
    most: u64,
}

impl Allowance {
    /// `units` in each `per_ms` milliseconds, `burst` at once. (A product of the last two beyond 64 bits counts as the
    /// largest number.)
    #[must_use]
    pub const fn new(units: NonZeroU64, per_ms: NonZeroU64, burst: NonZeroU64) -> Self {
        Self { units, per_ms: per_ms.get(), most: burst.get().saturating_mul(per_ms.get()) }
    }

    /// For how many milliseconds somebody must wait for `cost` units who owed `debt`, `elapsed_ms` milliseconds ago.
    #[must_use]
    pub const fn wait_ms(self, debt: u64, elapsed_ms: u64, cost: u64) -> u64 {
        let before = self.most.saturating_sub(cost.saturating_mul(self.per_ms));
        self.left(debt, elapsed_ms).saturating_sub(before).div_ceil(self.units.get())
    }

    /// What somebody owes who has `cost` units now, and owed `debt`, `elapsed_ms` milliseconds ago.
    #[must_use]
    pub const fn charged(self, debt: u64, elapsed_ms: u64, cost: u64) -> u64 {
        self.left(debt, elapsed_ms).saturating_add(cost.saturating_mul(self.per_ms))
    }

    const fn left(self, debt: u64, elapsed_ms: u64) -> u64 {
        debt.saturating_sub(elapsed_ms.saturating_mul(self.units.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allowance(units: u64, per_ms: u64, burst: u64) -> Allowance {
        let number = |n| NonZeroU64::new(n).unwrap();
        Allowance::new(number(units), number(per_ms), number(burst))
    }

    /// Somebody who asks at these moments and has all that may be had: how much, by moment.
    fn had(limit: Allowance, asks: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let (mut debt, mut at, mut had) = (0, 0, Vec::new());
        for &(now, cost) in asks {
            if limit.wait_ms(debt, now - at, cost) == 0 {
                debt = limit.charged(debt, now - at, cost);
                at = now;
                had.push((now, cost));
            }
        }
        had
    }

    #[test]
    fn a_burst_is_had_at_once_and_then_each_unit_in_its_time() {
        // 10 in 60 s, 3 at once: one comes back each 6 s.
        let limit = allowance(10, 60_000, 3);
        let asks: Vec<_> = (0..=12_000).step_by(500).flat_map(|now| [(now, 1); 4]).collect();
        assert_eq!(had(limit, &asks), [(0, 1), (0, 1), (0, 1), (6000, 1), (12_000, 1)]);
        let debt = 3 * 60_000;
        assert_eq!(limit.wait_ms(debt, 0, 1), 6000);
        assert_eq!((limit.wait_ms(debt, 5999, 1), limit.wait_ms(debt, 6000, 1)), (1, 0));
        assert_eq!((limit.wait_ms(debt, 0, 3), limit.wait_ms(debt, 18_000, 3)), (18_000, 0));
    }

    #[test]
    fn what_is_larger_than_the_burst_waits_for_a_full_bucket_and_then_for_its_price() {
        let limit = allowance(1000, 1000, 2000);
        let debt = limit.charged(0, 0, 5000);
        assert_eq!(limit.wait_ms(0, 0, 5000), 0, "who owes nothing may have it");
        assert_eq!(limit.wait_ms(1, 0, 5000), 1);
        assert_eq!((limit.wait_ms(debt, 0, 1), limit.wait_ms(debt, 0, 5000)), (3001, 5000));
    }

    #[test]
    fn an_interval_that_is_no_multiple_loses_nothing_to_rounding() {
        // 7 in 3 ms: 7000 in 3000 ms, asked for each millisecond.
        let asks: Vec<_> = (0..3000).flat_map(|now| [(now, 1); 9]).collect();
        assert_eq!(had(allowance(7, 3, 7), &asks).len(), 7 + 2999 * 7 / 3);
    }

    #[test]
    fn the_ends_of_64_bits_hold() {
        let max = u64::MAX;
        for limit in [allowance(max, max, max), allowance(1, max, 1), allowance(max, 1, max), allowance(1, 1, max)] {
            let debt = limit.charged(max, 0, max);
            assert_eq!(debt, max);
            assert_eq!(limit.wait_ms(0, 0, max), 0);
            assert_eq!(limit.wait_ms(debt, max, 1), 0, "everything is paid in the end");
            assert!(limit.wait_ms(debt, 0, max) > 0);
        }
    }

    /// The same, slowly: a bucket that is filled each millisecond, in fractions kept exactly.
    struct Slow {
        units: i128,
        per_ms: i128,
        burst: i128,
        /// In parts of `per_ms`; below 0 after something larger than the burst.
        level: i128,
        now: u64,
    }

    impl Slow {
        fn until(&mut self, now: u64) {
            for _ in self.now..now {
                self.level = (self.level + self.units).min(self.burst * self.per_ms);
            }
            self.now = now;
        }

        fn has(&self, cost: u64) -> bool {
            self.level >= self.burst.min(i128::from(cost)) * self.per_ms
        }

        fn take(&mut self, cost: u64) {
            self.level -= i128::from(cost) * self.per_ms;
        }
    }

    proptest! {
        #[test]
        fn it_gives_and_waits_as_the_slow_bucket_does(
            (units, per_ms, burst) in (1_u64..2000, 1_u64..5000, 1_u64..3000),
            asks in prop::collection::vec((0_u64..400, 0_u64..4000), 1..60),
        ) {
            let limit = allowance(units, per_ms, burst);
            let [u, p, b] = [units, per_ms, burst].map(i128::from);
            let mut slow = Slow { units: u, per_ms: p, burst: b, level: b * p, now: 0 };
            let (mut debt, mut at, mut now) = (0, 0, 0);
            for (pause, cost) in asks {
                now += pause;
                slow.until(now);
                let wait = limit.wait_ms(debt, now - at, cost);
                prop_assert_eq!(wait == 0, slow.has(cost));
                if wait > 0 && wait < 5000 {
                    // Not a millisecond too long, not one too short.
                    slow.until(now + wait - 1);
                    prop_assert!(!slow.has(cost));
                    now += wait;
                    slow.until(now);
                    prop_assert!(slow.has(cost));
                }
                if slow.has(cost) {
                    prop_assert_eq!(limit.wait_ms(debt, now - at, cost), 0);
                    debt = limit.charged(debt, now - at, cost);
                    at = now;
                    slow.take(cost);
                }
            }
        }
    }
}
