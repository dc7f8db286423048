//! Client ids, topic names and topic filters as parsed types: who holds one need not check again.

use crate::text::is_carriable;
use codec_mqtt::topic;
use std::fmt;

/// Why a text is no client id, topic name or topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicFault {
    /// MQTT's own rules: length, wildcards, `$share`.
    Syntax(topic::TopicFault),
    /// A control character or a Unicode non-character: a broker closes the link for it.
    NotCarriable,
}

impl TopicFault {
    /// A constant label for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Syntax(fault) => fault.reason(),
            Self::NotCarriable => "not_carriable",
        }
    }
}

impl From<topic::TopicFault> for TopicFault {
    fn from(fault: topic::TopicFault) -> Self {
        Self::Syntax(fault)
    }
}

impl fmt::Display for TopicFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(fault) => fault.fmt(f),
            Self::NotCarriable => f.write_str("holds a character that MQTT cannot carry"),
        }
    }
}

impl std::error::Error for TopicFault {}

const fn check_carriable(carriable: bool) -> Result<(), TopicFault> {
    if carriable { Ok(()) } else { Err(TopicFault::NotCarriable) }
}

/// A client id: 1 to 65,535 octets that MQTT can carry. (An empty one is generated before it gets here.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId<'a>(&'a str);

impl<'a> ClientId<'a> {
    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl<'a> TryFrom<&'a str> for ClientId<'a> {
    type Error = TopicFault;

    fn try_from(text: &'a str) -> Result<Self, TopicFault> {
        match text.len() {
            0 => Err(topic::TopicFault::Empty.into()),
            1..=65_535 => check_carriable(is_carriable(text)).map(|()| Self(text)),
            _ => Err(topic::TopicFault::TooLong.into()),
        }
    }
}

impl fmt::Display for ClientId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A topic name: 1 to 65,535 octets without wildcards (MQTT 5.0 §4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// One that a broker sent: it has checked it.
    pub(crate) const fn from_broker(text: &'a str) -> Self {
        Self(text)
    }
}

impl<'a> TryFrom<&'a str> for TopicName<'a> {
    type Error = TopicFault;

    fn try_from(text: &'a str) -> Result<Self, TopicFault> {
        topic::check_name(text)?;
        check_carriable(is_carriable(text)).map(|()| Self(text))
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A topic name at rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicBuf(Box<str>);

impl TopicBuf {
    /// The borrowed form, without checking again.
    #[must_use]
    pub const fn as_name(&self) -> TopicName<'_> {
        TopicName(&self.0)
    }

    /// `name` under `prefix`, a mountpoint that was found fit for topic names when its client connected. `None` when
    /// that is too long.
    pub(crate) fn under(prefix: &str, name: TopicName<'_>) -> Option<Self> {
        let fits = prefix.len().saturating_add(name.0.len()) <= usize::from(u16::MAX);
        fits.then(|| Self([prefix, name.0].concat().into()))
    }
}

impl From<TopicName<'_>> for TopicBuf {
    fn from(name: TopicName<'_>) -> Self {
        Self(name.0.into())
    }
}

/// A topic filter: `+` and `#` fill whole levels, `#` only the last; `$share/GROUP/` may stand in front
/// (MQTT 5.0 §4.7.1, §4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a> {
    whole: &'a str,
    /// Octets of `$share/GROUP/` in front; 0 = not shared.
    share: usize,
}

impl<'a> TopicFilter<'a> {
    /// The whole text, `$share` part included.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.whole
    }

    /// What topic names are matched against: the text without its `$share` part.
    #[must_use]
    pub fn pattern(self) -> &'a str {
        self.whole.get(self.share..).unwrap_or(self.whole)
    }

    /// `$share/GROUP/`, or nothing.
    #[must_use]
    pub fn share_prefix(self) -> &'a str {
        self.whole.get(..self.share).unwrap_or("")
    }

    /// True when several subscribers share its messages.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        self.share > 0
    }

    /// How many levels the pattern has.
    #[must_use]
    pub fn levels(self) -> usize {
        self.pattern().split('/').count()
    }

    /// The filter as a topic name, when it has no wildcard and is not shared.
    #[must_use]
    pub fn as_name(self) -> Option<TopicName<'a>> {
        if self.is_shared() {
            return None;
        }
        TopicName::try_from(self.whole).ok()
    }
}

impl<'a> TryFrom<&'a str> for TopicFilter<'a> {
    type Error = TopicFault;

    fn try_from(text: &'a str) -> Result<Self, TopicFault> {
        topic::check_filter(text)?;
        check_carriable(is_carriable(text))?;
        let pattern = topic::shared(text)?.map_or(text, |(_group, pattern)| pattern);
        Ok(Self { whole: text, share: text.len().saturating_sub(pattern.len()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_filters_are_what_section_4_7_says() {
        let (mut valid, mut invalid) = (0, 0);
        for cells in support::vectors::cells("topics.tsv") {
            let text = |cell: &str| -> Option<String> {
                let text: Option<String> = serde_json::from_str(cell).ok();
                text.map(|t| support::vectors::expand(&t, 1))
            };
            let (filter, topic) = (text(&cells[2]), text(&cells[3]));
            match (cells[1].as_str(), filter, topic) {
                ("valid-filter", Some(f), _) => assert!(TopicFilter::try_from(&*f).is_ok(), "{}", cells[0]),
                ("invalid-filter", Some(f), _) => assert!(TopicFilter::try_from(&*f).is_err(), "{}", cells[0]),
                ("valid-topic", _, Some(t)) => assert!(TopicName::try_from(&*t).is_ok(), "{}", cells[0]),
                ("invalid-topic", _, Some(t)) => assert!(TopicName::try_from(&*t).is_err(), "{}", cells[0]),
                _ => continue,
            }
            if cells[1].starts_with("in") { invalid += 1 } else { valid += 1 }
        }
        assert_eq!((valid, invalid), (31, 34));
    }

    #[test]
    fn a_shared_filter_shows_its_parts() {
        let shared = TopicFilter::try_from("$share/g/a/+").unwrap();
        assert_eq!((shared.share_prefix(), shared.pattern(), shared.is_shared()), ("$share/g/", "a/+", true));
        assert_eq!((shared.as_name(), shared.levels()), (None, 2));
        let plain = TopicFilter::try_from("a/b").unwrap();
        assert_eq!((plain.share_prefix(), plain.pattern(), plain.is_shared()), ("", "a/b", false));
        assert_eq!(plain.as_name(), TopicName::try_from("a/b").ok());
    }

    #[test]
    fn what_mqtt_cannot_carry_is_no_client_id() {
        assert_eq!(ClientId::try_from(""), Err(topic::TopicFault::Empty.into()));
        assert_eq!(ClientId::try_from("a\u{FFFE}"), Err(TopicFault::NotCarriable));
        assert_eq!(ClientId::try_from(&*"x".repeat(65_536)), Err(topic::TopicFault::TooLong.into()));
        assert_eq!(ClientId::try_from("a/b").map(ClientId::as_str), Ok("a/b"));
    }
}
