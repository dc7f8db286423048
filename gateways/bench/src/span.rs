//! Durations on the command line: `250ms`, `30s`, `15m`, `2h`.

use settings::HumanDuration;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A duration with its unit, within `range` in milliseconds.
///
/// # Errors
/// What was wanted, in words.
pub(crate) fn within(text: &str, range: RangeInclusive<u64>) -> Result<Duration, String> {
    let (least, most) = (HumanDuration::from_millis(*range.start()), HumanDuration::from_millis(*range.end()));
    match text.parse::<HumanDuration>() {
        Ok(duration) if range.contains(&duration.as_millis()) => Ok(duration.get()),
        _ => Err(format!("want a duration with its unit, as 250ms, 30s or 5m, from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_and_a_range() {
        assert_eq!(within("250ms", 1..=1000), Ok(Duration::from_millis(250)));
        assert_eq!(within("1s", 1..=1000), Ok(Duration::from_secs(1)));
        for bad in ["0s", "2s", "5", "", "s", "-1s"] {
            let told = within(bad, 1..=1000).unwrap_err();
            assert!(told.ends_with("from 1ms to 1s"), "{told}");
        }
    }
}
