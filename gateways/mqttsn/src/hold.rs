//! Messages that wait for their device.

use bridge_core::Qos;
use bridge_core::publication::Stored;
use bridge_core::uplink::Receipt;
use codec_mqttsn::TopicId;
use std::collections::VecDeque;
use std::sync::Arc;

/// How a topic is named on the way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By an id of the session's registry, which the client may have to be told first.
    Normal(TopicId),
    /// By an id that both sides know.
    Predefined(TopicId),
    /// By its two octets.
    Short([u8; 2]),
}

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) message: Arc<Stored>,
    pub(crate) way: Way,
    /// The delivery's, which may be less than the message's.
    pub(crate) qos: Qos,
    /// How often the client did not know the topic id, so that it was registered again for this message.
    pub(crate) untold: u8,
    /// It came while the client was awake: it waits for the next time, so that the client gets to sleep.
    pub(crate) late: bool,
    /// The broker keeps a copy until it hears that the client has the message, or never will.
    pub(crate) receipt: Option<Receipt>,
}

/// Messages in the order in which they came, bounded.
#[derive(Debug, Default)]
pub(crate) struct HoldQueue {
    held: VecDeque<Held>,
    bytes: usize,
    /// Messages of QoS 0 among them.
    unacknowledged: usize,
}

/// Most messages and octets of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// What had to go to keep the limits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) qos0: u64,
    pub(crate) oldest: u64,
    /// Of those whose copy the broker need not keep any more.
    pub(crate) receipts: Vec<Receipt>,
}

impl HoldQueue {
    /// Appends a message; beyond the limits the oldest of QoS 0 go, then the oldest of all.
    pub(crate) fn push(&mut self, held: Held, limits: HoldLimits) -> Dropped {
        self.count_in(&held);
        self.held.push_back(held);
        let mut dropped = Dropped::default();
        while self.held.len() > limits.messages || self.bytes > limits.bytes {
            let (place, count) = if self.unacknowledged > 0 {
                (self.held.iter().position(|h| h.qos == Qos::AtMostOnce), &mut dropped.qos0)
            } else {
                (Some(0), &mut dropped.oldest)
            };
            let Some(held) = place.and_then(|place| self.remove(place)) else { break };
            *count += 1;
            dropped.receipts.extend(held.receipt);
        }
        dropped
    }

    /// Puts a message before all others: it has been under way. The limits do not count it.
    pub(crate) fn push_front(&mut self, held: Held) {
        self.count_in(&held);
        self.held.push_front(held);
    }

    /// Names a topic otherwise from now on.
    pub(crate) fn rename(&mut self, from: Way, to: Way) {
        self.held.iter_mut().filter(|held| held.way == from).for_each(|held| held.way = to);
    }

    /// All that waits, in order. Its size and its QoS must stay as they are.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut()
    }

    /// What came late is in time for whatever comes next.
    pub(crate) fn catch_up(&mut self) {
        self.held.iter_mut().for_each(|held| held.late = false);
    }

    /// Takes out the first message that `pick` wants.
    pub(crate) fn take_first(&mut self, pick: impl Fn(&Held) -> bool) -> Option<Held> {
        let place = self.held.iter().position(pick)?;
        self.remove(place)
    }

    /// Shows each message to `keep` in order; those that it does not want are gone. Returns how many went.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Held) -> bool) -> usize {
        let before = self.held.len();
        let (mut bytes, mut unacknowledged) = (0_usize, 0_usize);
        self.held.retain(|held| {
            let kept = keep(held);
            if kept {
                bytes = bytes.saturating_add(held.message.bytes());
                unacknowledged += usize::from(held.qos == Qos::AtMostOnce);
            }
            kept
        });
        (self.bytes, self.unacknowledged) = (bytes, unacknowledged);
        if self.held.is_empty() {
            // An idle session owns no queue.
            self.held = VecDeque::new();
        }
        before.saturating_sub(self.held.len())
    }

    fn remove(&mut self, place: usize) -> Option<Held> {
        let held = self.held.remove(place)?;
        self.bytes = self.bytes.saturating_sub(held.message.bytes());
        self.unacknowledged = self.unacknowledged.saturating_sub(usize::from(held.qos == Qos::AtMostOnce));
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        Some(held)
    }

    fn count_in(&mut self, held: &Held) {
        self.bytes = self.bytes.saturating_add(held.message.bytes());
        self.unacknowledged = self.unacknowledged.saturating_add(usize::from(held.qos == Qos::AtMostOnce));
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// True when none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// All that waits, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::publication::Publication;
    use bridge_core::slab::Key;
    use bridge_core::time::Now;
    use bridge_core::topic::TopicName;
    use bridge_core::uplink::OwnLink;

    const LIMITS: HoldLimits = HoldLimits { messages: 3, bytes: 10_000 };

    fn held(payload: &[u8], qos: Qos) -> Held {
        let topic = TopicName::try_from("t").unwrap();
        let publication = Publication { topic, payload, qos, retain: false, expiry_s: None };
        let message = Arc::new(Stored::copy(&publication, Now { mono_ms: 0, wall_ms: 0 }));
        Held { message, way: Way::Normal(TopicId(1025)), qos, untold: 0, late: false, receipt: None }
    }

    fn texts(queue: &HoldQueue) -> Vec<String> {
        let now = Now { mono_ms: 0, wall_ms: 0 };
        let text = |h: &Held| String::from_utf8(h.message.view(now).unwrap().payload.to_vec()).unwrap();
        queue.iter().map(text).collect()
    }

    #[test]
    fn the_oldest_of_qos_0_go_first_then_the_oldest() {
        let mut queue = HoldQueue::default();
        for (payload, qos) in [("a", Qos::AtLeastOnce), ("b", Qos::AtMostOnce), ("c", Qos::ExactlyOnce)] {
            assert_eq!(queue.push(held(payload.as_bytes(), qos), LIMITS), Dropped::default());
        }
        assert_eq!(queue.push(held(b"d", Qos::AtLeastOnce), LIMITS), Dropped { qos0: 1, ..Dropped::default() });
        assert_eq!(texts(&queue), ["a", "c", "d"]);
        assert_eq!(queue.push(held(b"e", Qos::AtLeastOnce), LIMITS), Dropped { oldest: 1, ..Dropped::default() });
        assert_eq!(texts(&queue), ["c", "d", "e"]);
        assert_eq!(queue.push(held(b"f", Qos::AtMostOnce), LIMITS), Dropped { qos0: 1, ..Dropped::default() });
        assert_eq!(texts(&queue), ["c", "d", "e"], "a message of QoS 0 drives out nothing better");
    }

    #[test]
    fn octets_count_too() {
        let mut queue = HoldQueue::default();
        assert_eq!(queue.push(held(&[0; 6000], Qos::AtLeastOnce), LIMITS).oldest, 0);
        assert_eq!(queue.push(held(&[1; 6000], Qos::AtLeastOnce), LIMITS).oldest, 1);
        assert_eq!(queue.push(held(&[2; 60_000], Qos::AtLeastOnce), LIMITS).oldest, 2, "too large by itself");
        assert_eq!((queue.len(), queue.bytes), (0, 0));
    }

    #[test]
    fn what_goes_leaves_its_receipt() {
        let mut queue = HoldQueue::default();
        let receipt = |number| Receipt { link: OwnLink(Key { slot: 1, generation: 1 }), number, again: false };
        for (number, qos) in [(1, Qos::AtLeastOnce), (2, Qos::AtMostOnce), (3, Qos::AtLeastOnce)] {
            let held = Held { receipt: Some(receipt(number)), ..held(b"x", qos) };
            assert_eq!(queue.push(held, LIMITS), Dropped::default());
        }
        let both = HoldLimits { messages: 2, ..LIMITS };
        let dropped = queue.push(held(b"x", Qos::AtLeastOnce), both);
        assert_eq!(dropped, Dropped { qos0: 1, oldest: 1, receipts: vec![receipt(2), receipt(1)] });
    }

    #[test]
    fn what_is_taken_out_is_counted_out() {
        let mut queue = HoldQueue::default();
        for (payload, qos) in [("a", Qos::AtMostOnce), ("b", Qos::AtLeastOnce), ("c", Qos::AtMostOnce)] {
            assert_eq!(queue.push(held(payload.as_bytes(), qos), LIMITS), Dropped::default());
        }
        assert!(queue.take_first(|h| h.qos == Qos::AtLeastOnce).is_some());
        assert_eq!(queue.retain(|h| h.qos != Qos::AtMostOnce), 2);
        assert_eq!((queue.bytes, queue.unacknowledged, queue.is_empty()), (0, 0, true));
    }
}
