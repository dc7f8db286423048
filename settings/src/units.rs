//! Values that carry their unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{Item, Leaf, Misfit, Value, quoted};

/// A duration in whole milliseconds: `"250ms"`, `"30s"`, `"15m"`, `"2h"`, `"1d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(Duration);

/// Name and milliseconds of each unit, longest first.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl HumanDuration {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// As the standard type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// In milliseconds.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl FromStr for HumanDuration {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let milliseconds = number_and_unit(text, |unit| TIME_UNITS.iter().find(|(name, _)| *name == unit))?;
        Ok(Self::from_millis(milliseconds))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.as_millis();
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        let exact = TIME_UNITS.iter().find(|(_, each)| milliseconds.is_multiple_of(*each));
        let (unit, each) = exact.copied().unwrap_or(("ms", 1));
        write!(f, "{}{unit}", milliseconds / each)
    }
}

impl Leaf for HumanDuration {
    const EXPECTED: &'static str = "a duration like \"30s\", \"15m\", \"2h\" or \"250ms\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        match (item.value(), item.text()) {
            (Value::Integer(number), _) => {
                Err(Misfit::UnexpectedBut { hint: format!("a duration has a unit: \"{number}s\" is seconds") })
            }
            (_, Some(text)) => text.parse(),
            (_, None) => Err(Misfit::Unexpected),
        }
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A size in bytes: `"512B"`, `"64KB"`, `"1MB"`, `"2GB"`, or a number of bytes. KB is 1024 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Name and bytes of each unit, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many KB of 1024 bytes.
    #[must_use]
    pub const fn from_kb(kb: u32) -> Self {
        Self((kb as u64) << 10)
    }

    /// So many MB of 1024 KB.
    #[must_use]
    pub const fn from_mb(mb: u32) -> Self {
        Self((mb as u64) << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        number_and_unit(text, |unit| SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, each)| self.0 != 0 && self.0.is_multiple_of(*each));
        let (unit, each) = exact.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / each)
    }
}

impl Leaf for ByteSize {
    const EXPECTED: &'static str = "a size like \"64KB\", \"1MB\" or \"512B\", or a number of bytes";

    fn read(item: &Item) -> Result<Self, Misfit> {
        match (item.value(), item.text()) {
            (Value::Integer(bytes), _) => u64::try_from(*bytes).map(Self).ok().ok_or(Misfit::Unexpected),
            (_, Some(text)) => text.parse(),
            (_, None) => Err(Misfit::Unexpected),
        }
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// `"30s"` is 30 of the unit `s`; the product must fit.
fn number_and_unit<'u>(text: &str, unit: impl Fn(&str) -> Option<&'u (&'u str, u64)>) -> Result<u64, Misfit> {
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or(Misfit::Unexpected)?;
    let (number, name) = text.split_at(end);
    let (_, each) = unit(name.trim_start()).ok_or(Misfit::Unexpected)?;
    let number: u64 = number.parse().ok().ok_or(Misfit::Unexpected)?;
    number.checked_mul(*each).ok_or_else(|| Misfit::Refused("is too large".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::read_toml;

    #[test]
    fn durations_carry_their_unit() {
        for (text, milliseconds) in
            [("250ms", 250), ("0s", 0), ("30s", 30_000), ("15m", 900_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            let read = read_toml::<HumanDuration>(&quoted(text)).unwrap();
            assert_eq!(read.as_millis(), milliseconds, "{text}");
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(HumanDuration::from_secs(90).to_string(), "90s");
        assert_eq!("30 s".parse(), Ok(HumanDuration::from_secs(30)));
    }

    #[test]
    fn durations_without_a_known_unit_are_refused() {
        for text in ["", "30", "s", "30x", "-5s", "1.5h", "1h30m", "30S", "٣s"] {
            assert_eq!(text.parse::<HumanDuration>(), Err(Misfit::Unexpected), "{text}");
        }
        assert_eq!("99999999999999999d".parse::<HumanDuration>(), Err(Misfit::Refused("is too large".into())));
        let hint = "a duration has a unit: \"30s\" is seconds".to_owned();
        assert_eq!(read_toml::<HumanDuration>("30"), Err(Misfit::UnexpectedBut { hint }));
        assert_eq!(read_toml::<HumanDuration>("true"), Err(Misfit::Unexpected));
    }

    #[test]
    fn a_kb_is_1024_bytes() {
        for (toml, bytes, printed) in [
            ("\"512B\"", 512, "512B"),
            ("\"64KB\"", 65_536, "64KB"),
            ("\"64kb\"", 65_536, "64KB"),
            ("\"1MB\"", 1_048_576, "1MB"),
            ("\"2GB\"", 2_147_483_648, "2GB"),
            ("1025", 1025, "1025B"),
            ("0", 0, "0B"),
        ] {
            let read = read_toml::<ByteSize>(toml).unwrap();
            assert_eq!((read.bytes(), read.to_string().as_str()), (bytes, printed), "{toml}");
        }
        for toml in ["\"64\"", "\"KB\"", "\"1TB\"", "-1", "1.5", "\"\""] {
            assert_eq!(read_toml::<ByteSize>(toml), Err(Misfit::Unexpected), "{toml}");
        }
    }
}
