//! A message on its way: borrowed while it moves, owned only where it must wait.

use crate::time::{Deadline, Now};
use crate::topic::{TopicBuf, TopicName};
use codec_mqtt::Qos;
use std::cell::OnceCell;
use std::sync::Arc;

/// An application message, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// As the device knows it: without the mountpoint.
    pub topic: TopicName<'a>,
    /// Opaque octets.
    pub payload: &'a [u8],
    /// The delivery it asks for.
    pub qos: Qos,
    /// Uplink: to be kept by the broker. Downlink: came from what the broker kept.
    pub retain: bool,
    /// Seconds until it is of no use any more.
    pub expiry_s: Option<u32>,
}

/// An application message at rest: topic and payload of their exact size, never a slice of a receive buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    topic: TopicBuf,
    payload: Box<[u8]>,
    /// The delivery it asks for.
    pub qos: Qos,
    /// See [`Publication::retain`].
    pub retain: bool,
    /// When it is of no use any more.
    pub expires: Option<Deadline>,
}

impl Stored {
    /// A copy of `publication`, its remaining lifetime counted from `now`.
    #[must_use]
    pub fn copy(publication: &Publication<'_>, now: Now) -> Self {
        Self::new(publication.topic.into(), publication, now)
    }

    /// A copy of `publication` under `prefix`, which is a mountpoint. `None` when the topic would be too long.
    #[must_use]
    pub fn copy_under(prefix: &str, publication: &Publication<'_>, now: Now) -> Option<Self> {
        Some(Self::new(TopicBuf::under(prefix, publication.topic)?, publication, now))
    }

    fn new(topic: TopicBuf, publication: &Publication<'_>, now: Now) -> Self {
        Self {
            topic,
            payload: publication.payload.into(),
            qos: publication.qos,
            retain: publication.retain,
            expires: publication.expiry_s.map(|s| now.after_ms(u64::from(s).saturating_mul(1000))),
        }
    }

    /// The borrowed form at `now`; `None` once it has expired.
    #[must_use]
    pub fn view(&self, now: Now) -> Option<Publication<'_>> {
        let expiry_s = match self.expires {
            Some(deadline) if deadline.is_due(now) => return None,
            // Rounded up: a message that has a while to live must not leave with "0 seconds".
            Some(deadline) => Some(u32::try_from(deadline.wait_ms(now).div_ceil(1000)).unwrap_or(u32::MAX)),
            None => None,
        };
        Some(Publication {
            topic: self.topic.as_name(),
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            expiry_s,
        })
    }

    /// Where it goes.
    #[must_use]
    pub const fn topic(&self) -> TopicName<'_> {
        self.topic.as_name()
    }

    /// Octets it holds: what a queue counts against its limit.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>().saturating_add(self.topic.as_name().as_str().len()).saturating_add(self.payload.len())
    }
}

/// One message that many devices may keep: copied once, when the first of them must, then shared.
#[derive(Debug)]
pub struct Shared<'a> {
    view: Publication<'a>,
    kept: OnceCell<Arc<Stored>>,
}

impl<'a> Shared<'a> {
    /// Nothing is copied yet.
    #[must_use]
    pub const fn new(view: Publication<'a>) -> Self {
        Self { view, kept: OnceCell::new() }
    }

    /// The message as it lies in the receive buffer.
    #[must_use]
    pub const fn view(&self) -> &Publication<'a> {
        &self.view
    }

    /// The message, to keep. Costs a reference count from the second caller on.
    #[must_use]
    pub fn keep(&self, now: Now) -> Arc<Stored> {
        Arc::clone(self.kept.get_or_init(|| Arc::new(Stored::copy(&self.view, now))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 0 }
    }

    fn publication(expiry_s: Option<u32>) -> Publication<'static> {
        let topic = TopicName::try_from("a/b").unwrap();
        Publication { topic, payload: b"on", qos: Qos::AtLeastOnce, retain: true, expiry_s }
    }

    #[test]
    fn what_waits_loses_lifetime() {
        let stored = Stored::copy(&publication(Some(10)), at(1000));
        assert_eq!(stored.view(at(1000)).unwrap().expiry_s, Some(10));
        assert_eq!(stored.view(at(4500)).unwrap().expiry_s, Some(7), "6.5 s, rounded up");
        assert_eq!(stored.view(at(10_999)).unwrap().expiry_s, Some(1));
        assert!(stored.view(at(11_000)).is_none());
        assert_eq!(Stored::copy(&publication(None), at(0)).view(at(u64::MAX)).unwrap().expiry_s, None);
    }

    #[test]
    fn a_mountpoint_stands_in_front_and_may_not_overflow() {
        let stored = Stored::copy_under("site/", &publication(None), at(0)).unwrap();
        assert_eq!(stored.view(at(0)).unwrap().topic.as_str(), "site/a/b");
        assert_eq!(Stored::copy_under(&"x".repeat(65_533), &publication(None), at(0)), None);
    }

    #[test]
    fn many_keepers_share_one_copy() {
        let shared = Shared::new(publication(None));
        assert!(Arc::ptr_eq(&shared.keep(at(0)), &shared.keep(at(5))));
    }
}
