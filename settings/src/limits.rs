//! Limits per session: so much in each interval, and so much at once.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

use crate::{ByteSize, HumanDuration, Item, Leaf, Misfit, quoted};

/// Bytes per interval, with a burst: `"1KB/s"`, `"1KB/s,burst=4KB"`, `"64KB/10s"`. Without `burst` it is one interval's
/// worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    bytes: NonZeroU64,
    burst: NonZeroU64,
    per_ms: NonZeroU64,
}

impl RateLimit {
    /// Bytes that come back in each interval.
    #[must_use]
    pub const fn bytes(self) -> NonZeroU64 {
        self.bytes
    }

    /// Bytes that may come at once. Times the interval in milliseconds it is a number of 64 bits.
    #[must_use]
    pub const fn burst(self) -> NonZeroU64 {
        self.burst
    }

    /// The interval, in milliseconds.
    #[must_use]
    pub const fn per_ms(self) -> NonZeroU64 {
        self.per_ms
    }
}

impl FromStr for RateLimit {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let (amount, per_ms, burst) = parts(text)?;
        let size = |text: &str| NonZeroU64::new(text.parse::<ByteSize>()?.bytes()).ok_or_else(nothing);
        let bytes = size(amount)?;
        let burst = burst.map_or(Ok(bytes), size)?;
        fits(burst, per_ms)?;
        Ok(Self { bytes, burst, per_ms })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes: NonZeroU64| ByteSize::from_bytes(bytes.get());
        write(f, size(self.bytes), self.per_ms, (self.burst != self.bytes).then_some(size(self.burst)))
    }
}

impl Leaf for RateLimit {
    const EXPECTED: &'static str = "bytes per interval, like \"1KB/s\", \"64KB/10s\" or \"1KB/s,burst=4KB\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        item.text().ok_or(Misfit::Unexpected)?.parse()
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// Publications per interval, with a burst: `"10/60s"`, `"100/m,burst=10"`. Without `burst` it is one interval's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLimit {
    messages: NonZeroU32,
    burst: NonZeroU32,
    per_ms: NonZeroU64,
}

impl PublishLimit {
    /// Publications that come back in each interval.
    #[must_use]
    pub const fn messages(self) -> NonZeroU32 {
        self.messages
    }

    /// Publications that may come at once. Times the interval in milliseconds it is a number of 64 bits.
    #[must_use]
    pub const fn burst(self) -> NonZeroU32 {
        self.burst
    }

    /// The interval, in milliseconds.
    #[must_use]
    pub const fn per_ms(self) -> NonZeroU64 {
        self.per_ms
    }
}

impl FromStr for PublishLimit {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let (amount, per_ms, burst) = parts(text)?;
        let count = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number: u32 = text.parse().ok().filter(|_| plain).ok_or(Misfit::Unexpected)?;
            NonZeroU32::new(number).ok_or_else(nothing)
        };
        let messages = count(amount)?;
        let burst = burst.map_or(Ok(messages), count)?;
        fits(burst.into(), per_ms)?;
        Ok(Self { messages, burst, per_ms })
    }
}

impl fmt::Display for PublishLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.messages, self.per_ms, (self.burst != self.messages).then_some(self.burst))
    }
}

impl Leaf for PublishLimit {
    const EXPECTED: &'static str = "publications per interval, like \"10/60s\" or \"100/m,burst=10\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        item.text().ok_or(Misfit::Unexpected)?.parse()
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// Intervals of one unit need no number.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

/// Amount, interval in milliseconds, burst.
fn parts(text: &str) -> Result<(&str, NonZeroU64, Option<&str>), Misfit> {
    let (rate, burst) = match text.split_once(',') {
        Some((rate, rest)) => (rate, Some(rest.trim().strip_prefix("burst=").ok_or(Misfit::Unexpected)?.trim())),
        None => (text, None),
    };
    let (amount, per) = rate.split_once('/').ok_or(Misfit::Unexpected)?;
    let per = match UNITS.iter().find(|(unit, _)| *unit == per.trim()) {
        Some((_, seconds)) => HumanDuration::from_secs(*seconds),
        None => per.trim().parse()?,
    };
    let per_ms = NonZeroU64::new(per.as_millis()).ok_or(Misfit::Unexpected)?;
    Ok((amount.trim(), per_ms, burst))
}

/// Whoever applies the limit reckons in 64 bits.
fn fits(burst: NonZeroU64, per_ms: NonZeroU64) -> Result<(), Misfit> {
    let product = burst.checked_mul(per_ms);
    product.map(drop).ok_or_else(|| Misfit::Refused("is too large for so long an interval; \"\" is no limit".into()))
}

fn nothing() -> Misfit {
    Misfit::Refused("lets nothing through; \"\" is no limit".into())
}

fn write<T: fmt::Display>(f: &mut fmt::Formatter<'_>, amount: T, per_ms: NonZeroU64, burst: Option<T>) -> fmt::Result {
    match UNITS.iter().find(|(_, seconds)| seconds.saturating_mul(1000) == per_ms.get()) {
        Some((unit, _)) => write!(f, "{amount}/{unit}")?,
        None => write!(f, "{amount}/{}", HumanDuration::from_millis(per_ms.get()))?,
    }
    burst.map_or(Ok(()), |burst| write!(f, ",burst={burst}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_rate_is_bytes_per_interval_with_a_burst() {
        for (text, bytes, per_ms, burst, printed) in [
            ("1KB/s",              1024,   1000,       1024,   "1KB/s"),
            ("1KB/s,burst=4KB",    1024,   1000,       4096,   "1KB/s,burst=4KB"),
            (" 1 KB / s , burst= 4 KB ", 1024, 1000,   4096,   "1KB/s,burst=4KB"),
            ("1KB/s,burst=1KB",    1024,   1000,       1024,   "1KB/s"),
            ("4KB/s,burst=1KB",    4096,   1000,       1024,   "4KB/s,burst=1KB"),
            ("500B/1s",            500,    1000,       500,    "500B/s"),
            ("1MB/m",              1 << 20, 60_000,    1 << 20, "1MB/m"),
            ("1MB/60m",            1 << 20, 3_600_000, 1 << 20, "1MB/h"),
            ("64KB/10s",           65_536, 10_000,     65_536, "64KB/10s"),
            ("1GB/d",              1 << 30, 86_400_000, 1 << 30, "1GB/d"),
        ] {
            let read: RateLimit = text.parse().unwrap();
            assert_eq!((read.bytes().get(), read.per_ms().get(), read.burst().get()), (bytes, per_ms, burst), "{text}");
            assert_eq!(read.to_string(), printed);
            assert_eq!(printed.parse(), Ok(read));
        }
        for text in ["", "1KB", "/s", "1KB/", "1KB/x", "1KB/0s", "1024/s", "1KB/s,4KB", "1KB/s,burst=", "1KB/s,burst=4KB,x"] {
            assert_eq!(text.parse::<RateLimit>(), Err(Misfit::Unexpected), "{text}");
        }
        for text in ["0B/s", "1KB/s,burst=0KB"] {
            assert_eq!(text.parse::<RateLimit>(), Err(nothing()), "{text}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_publish_limit_is_messages_per_interval_with_a_burst() {
        for (text, messages, per_ms, burst, printed) in [
            ("10/90s",          10,  90_000,    10,  "10/90s"),
            ("10/60s",          10,  60_000,    10,  "10/m"),
            ("10/s",            10,  1000,      10,  "10/s"),
            ("600/m,burst=10",  600, 60_000,    10,  "600/m,burst=10"),
            ("1/h, burst=100",  1,   3_600_000, 100, "1/h,burst=100"),
            ("3/250ms",         3,   250,       3,   "3/250ms"),
        ] {
            let read: PublishLimit = text.parse().unwrap();
            assert_eq!((read.messages().get(), read.per_ms().get(), read.burst().get()), (messages, per_ms, burst), "{text}");
            assert_eq!(read.to_string(), printed);
            assert_eq!(printed.parse(), Ok(read));
        }
        for text in ["", "10", "10/0s", "10/60", "-1/60s", "+1/60s", "1.5/s", "1KB/s", "10/60s/2", "10/s,5", "10/s,burst=-5"] {
            assert_eq!(text.parse::<PublishLimit>(), Err(Misfit::Unexpected), "{text}");
        }
        for text in ["0/60s", "10/60s,burst=0"] {
            assert_eq!(text.parse::<PublishLimit>(), Err(nothing()), "{text}");
        }
    }

    #[test]
    fn what_64_bits_do_not_hold_is_refused() {
        let too_large = |misfit| matches!(misfit, Misfit::Refused(why) if why.starts_with("is too large"));
        assert!("213GB/d".parse::<RateLimit>().is_err_and(too_large));
        assert!("198GB/d".parse::<RateLimit>().is_ok());
        assert!("4294967295/60000d".parse::<PublishLimit>().is_err_and(too_large));
    }
}
