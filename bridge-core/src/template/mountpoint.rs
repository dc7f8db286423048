//! Prefixes that part one gateway's or one client's topics from all others.

use std::borrow::Cow;

/// The prefix of all topics of a client, as the broker sees them. Empty by default.
///
/// It is put before the topic as it is: one that does not end in `/` shares a level with the topic, and makes an
/// invalid filter of one that begins with a wildcard. The whole may get longer than the 65,535 bytes of a topic. Both
/// are for the caller to check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mountpoint {
    prefix: Box<str>,
}

impl Mountpoint {
    /// A mountpoint from its text, rendered from a [`Template`](super::Template) of [`Literals`](super::Literals)
    /// `TopicName`.
    #[must_use]
    pub fn new(prefix: impl Into<Box<str>>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The prefix itself.
    #[must_use]
    pub const fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The two pieces that an upstream topic name is made of, to be encoded one after the other.
    #[must_use]
    pub const fn mount<'a>(&'a self, topic: &'a str) -> (&'a str, &'a str) {
        (&self.prefix, topic)
    }

    /// The upstream filter of a client's filter. `$share/<group>/` stays in front: the prefix comes after it.
    #[must_use]
    pub fn mount_filter(&self, filter: &str) -> String {
        let (share, filter) = split_share(filter);
        [share, &self.prefix, filter].concat()
    }

    /// The client's filter for an upstream one; `None` if that does not lie below this mountpoint.
    #[must_use]
    pub fn strip_filter(&self, filter: &str) -> Option<String> {
        let (share, below) = split_share(filter);
        Some([share, below.strip_prefix(&*self.prefix)?].concat())
    }

    /// The client's topic name for an upstream one; `None` if that does not lie below this mountpoint.
    #[must_use]
    pub fn strip<'a>(&self, topic: &'a str) -> Option<&'a str> {
        // A topic name has at least one character (MQTT 5 §4.7.3).
        topic.strip_prefix(&*self.prefix).filter(|rest| !rest.is_empty())
    }
}

/// `$share/<group>/`, or nothing, and the filter after it (MQTT 5 §4.8.2).
fn split_share(filter: &str) -> (&str, &str) {
    let group = filter.strip_prefix("$share/").and_then(|rest| rest.find('/'));
    let end = group.map_or(0, |length| "$share/".len() + length + 1);
    filter.split_at_checked(end).unwrap_or(("", filter))
}

/// A client id or another foreign text as one level of an event topic: `/`, `+`, `#` and `%` become `%2F`, `%2B`, `%23`
/// and `%25`, so that the level can be decoded without doubt.
#[must_use]
pub fn percent_encode_level(text: &str) -> Cow<'_, str> {
    if !text.contains(['/', '+', '#', '%']) {
        return Cow::Borrowed(text);
    }
    let mut level = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '/' => level.push_str("%2F"),
            '+' => level.push_str("%2B"),
            '#' => level.push_str("%23"),
            '%' => level.push_str("%25"),
            plain => level.push(plain),
        }
    }
    Cow::Owned(level)
}
