//! Limits per session.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::{ByteSize, HumanDuration, Item, Leaf, Misfit, quoted};

/// Bytes per second, with a burst: `"1KB/s,burst=4KB"`. Without `burst` it is one second's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Bytes that come back each second; never 0.
    pub per_second: ByteSize,
    /// Bytes that may come at once; never less than `per_second`.
    pub burst: ByteSize,
}

impl FromStr for RateLimit {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let (rate, burst) = match text.split_once(',') {
            Some((rate, rest)) => (rate, Some(rest.trim().strip_prefix("burst=").ok_or(Misfit::Unexpected)?)),
            None => (text, None),
        };
        let per_second: ByteSize = rate.trim().strip_suffix("/s").ok_or(Misfit::Unexpected)?.parse()?;
        let burst = burst.map_or(Ok(per_second), str::parse)?;
        if per_second.bytes() == 0 {
            return Err(Misfit::Refused("lets nothing through; \"\" is no limit".into()));
        }
        if burst < per_second {
            return Err(Misfit::Refused(format!("has a burst below {per_second}, which one second lets through")));
        }
        Ok(Self { per_second, burst })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s,burst={}", self.per_second, self.burst)
    }
}

impl Leaf for RateLimit {
    const EXPECTED: &'static str = "a rate like \"1KB/s\" or \"1KB/s,burst=4KB\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        item.text().ok_or(Misfit::Unexpected)?.parse()
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// Publications per interval: `"10/60s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLimit {
    /// Publications in each interval.
    pub messages: NonZeroU32,
    /// The interval; never 0.
    pub per: HumanDuration,
}

impl FromStr for PublishLimit {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let (messages, per) = text.split_once('/').ok_or(Misfit::Unexpected)?;
        let messages = messages.trim().parse().ok().ok_or(Misfit::Unexpected)?;
        let per: HumanDuration = per.trim().parse()?;
        if per.as_millis() == 0 { Err(Misfit::Unexpected) } else { Ok(Self { messages, per }) }
    }
}

impl fmt::Display for PublishLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.messages, self.per)
    }
}

impl Leaf for PublishLimit {
    const EXPECTED: &'static str = "publications per interval, like \"10/60s\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        item.text().ok_or(Misfit::Unexpected)?.parse()
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_bytes_per_second_with_a_burst() {
        for (text, rate, burst, printed) in [
            ("1KB/s,burst=4KB", 1024, 4096, "1KB/s,burst=4KB"),
            ("1KB/s, burst=4KB", 1024, 4096, "1KB/s,burst=4KB"),
            ("500B/s", 500, 500, "500B/s,burst=500B"),
        ] {
            let read: RateLimit = text.parse().unwrap();
            assert_eq!((read.per_second.bytes(), read.burst.bytes()), (rate, burst), "{text}");
            assert_eq!(read.to_string(), printed);
        }
        for text in ["", "1KB", "1KB/m", "/s", "1KB/s,4KB", "1KB/s,burst=", "1KB/s,burst=4KB,x"] {
            assert_eq!(text.parse::<RateLimit>(), Err(Misfit::Unexpected), "{text}");
        }
        for text in ["0B/s", "4KB/s,burst=1KB"] {
            assert!(matches!(text.parse::<RateLimit>(), Err(Misfit::Refused(_))), "{text}");
        }
    }

    #[test]
    fn a_publish_limit_is_messages_per_interval() {
        let read: PublishLimit = "10/90s".parse().unwrap();
        assert_eq!(
            (read.messages.get(), read.per, read.to_string()),
            (10, HumanDuration::from_secs(90), "10/90s".into())
        );
        for text in ["", "10", "0/60s", "10/0s", "10/60", "-1/60s", "10/60s/2"] {
            assert_eq!(text.parse::<PublishLimit>(), Err(Misfit::Unexpected), "{text}");
        }
    }
}
