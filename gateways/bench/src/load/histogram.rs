//! Durations counted in buckets whose width grows with the value.

/// Values below this many nanoseconds, and as many steps per doubling above: a reading is at most 1/128 too high.
const STEPS: usize = 128;
/// Of the largest `u64`: 56 doublings above the linear part.
const BUCKETS: usize = 58 * STEPS;

/// A distribution of durations in nanoseconds, of fixed size (58 KiB).
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }

    pub(crate) fn record(&mut self, value: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(value)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) const fn max(&self) -> u64 {
        self.max
    }

    /// The least value that `per_mille` thousandths of all are not above, rounded up to its bucket's end; 0 of nothing.
    pub(crate) fn quantile(&self, per_mille: u64) -> u64 {
        let rank = (self.count * per_mille.min(1000)).div_ceil(1000).max(1);
        let mut below = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                return last_of(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket_of(value: u64) -> usize {
    let doublings = (u64::BITS - value.leading_zeros()).saturating_sub(STEPS.ilog2() + 1);
    let step = usize::try_from(value >> doublings).unwrap_or(usize::MAX);
    usize::try_from(doublings).map_or(usize::MAX, |doublings| doublings * STEPS + step)
}

/// The largest value in a bucket.
fn last_of(bucket: usize) -> u64 {
    let doublings = (bucket / STEPS).saturating_sub(1);
    let step = bucket - doublings * STEPS;
    let next = (step as u128 + 1) << doublings;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_last_value_and_not_the_next() {
        for bucket in 0..BUCKETS - STEPS {
            let last = last_of(bucket);
            assert_eq!(bucket_of(last), bucket);
            if let Some(next) = last.checked_add(1) {
                assert_eq!(bucket_of(next), bucket + 1);
            }
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_ranks_and_never_more_than_a_step_too_high() {
        let mut histogram = Histogram::new();
        (1..=100_000).for_each(|value| histogram.record(value * 1000));
        for (per_mille, exact) in [(0, 1), (500, 50_000), (990, 99_000), (999, 99_900), (1000, 100_000)] {
            let (read, exact) = (histogram.quantile(per_mille), exact * 1000);
            assert!(read >= exact && read <= exact + exact / 128 + 1, "{per_mille}: {read} for {exact}");
        }
        assert_eq!((histogram.count(), histogram.max()), (100_000, 100_000_000));
    }

    #[test]
    fn few_values_are_exact_below_the_first_doubling() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(500), 0);
        [3, 1, 2, 90].into_iter().for_each(|value| histogram.record(value));
        assert_eq!([250, 500, 750, 751, 1000].map(|q| histogram.quantile(q)), [1, 2, 3, 90, 90]);
    }
}
