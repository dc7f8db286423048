//! Messages that wait for a device which takes no more just now.

use bridge_core::Qos;
use bridge_core::publication::Stored;
use bridge_core::uplink::Receipt;
use std::collections::VecDeque;
use std::sync::Arc;

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) message: Arc<Stored>,
    pub(crate) qos: Qos,
    /// The broker keeps its copy until this is given back.
    pub(crate) receipt: Option<Receipt>,
}

/// Most messages and octets of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// What waits for one device.
#[derive(Debug, Default)]
pub(crate) struct HoldQueue {
    held: VecDeque<Held>,
    bytes: usize,
    /// Those of QoS 0 among them.
    unacknowledged: usize,
}

impl HoldQueue {
    /// Appends a message. Beyond the limits the oldest of QoS 0 go, then the oldest of all: each is shown to `dropped`.
    pub(crate) fn push(&mut self, held: Held, limits: HoldLimits, mut dropped: impl FnMut(&Held)) {
        self.bytes = self.bytes.saturating_add(held.message.bytes());
        self.unacknowledged = self.unacknowledged.saturating_add(usize::from(held.qos == Qos::AtMostOnce));
        self.held.push_back(held);
        while self.held.len() > limits.messages || self.bytes > limits.bytes {
            let oldest = if self.unacknowledged > 0 {
                self.held.iter().position(|held| held.qos == Qos::AtMostOnce)
            } else {
                Some(0)
            };
            let Some(gone) = oldest.and_then(|place| self.take(place)) else { return };
            dropped(&gone);
        }
    }

    /// Takes out the oldest.
    pub(crate) fn pop(&mut self) -> Option<Held> {
        self.take(0)
    }

    fn take(&mut self, place: usize) -> Option<Held> {
        let held = self.held.remove(place)?;
        self.bytes = self.bytes.saturating_sub(held.message.bytes());
        self.unacknowledged = self.unacknowledged.saturating_sub(usize::from(held.qos == Qos::AtMostOnce));
        Some(held)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// How many of them the broker keeps copies of.
    pub(crate) fn receipts(&self) -> u64 {
        self.held.iter().map(|held| u64::from(held.receipt.is_some())).sum()
    }

    /// What it holds, in octets.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::publication::Publication;
    use bridge_core::time::Now;
    use bridge_core::topic::TopicName;

    const LIMITS: HoldLimits = HoldLimits { messages: 3, bytes: 10_000 };
    const NOW: Now = Now { mono_ms: 0, wall_ms: 0 };

    /// Puts a message in; payloads of those that had to go.
    fn push(queue: &mut HoldQueue, payload: &[u8], qos: Qos) -> Vec<Vec<u8>> {
        let topic = TopicName::try_from("t").unwrap();
        let publication = Publication { topic, payload, qos, retain: false, expiry_s: None };
        let message = Arc::new(Stored::copy(&publication, NOW));
        let mut gone = Vec::new();
        let drop = |held: &Held| gone.push(held.message.view(NOW).unwrap().payload.to_vec());
        queue.push(Held { message, qos, receipt: None }, LIMITS, drop);
        gone
    }

    #[test]
    fn the_oldest_of_qos_0_go_first_then_the_oldest() {
        use Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};
        let mut queue = HoldQueue::default();
        for (payload, qos, gone) in [
            ("a", AtLeastOnce, None),
            ("b", AtMostOnce, None),
            ("c", ExactlyOnce, None),
            ("d", AtLeastOnce, Some("b")),
            ("e", AtLeastOnce, Some("a")),
            ("f", AtMostOnce, Some("f")),
        ] {
            let gone: Vec<Vec<u8>> = gone.iter().map(|text: &&str| text.as_bytes().to_vec()).collect();
            assert_eq!(push(&mut queue, payload.as_bytes(), qos), gone, "{payload}");
        }
        let left: Vec<_> =
            std::iter::from_fn(|| queue.pop()).map(|held| held.message.view(NOW).unwrap().payload[0]).collect();
        assert_eq!(left, b"cde");
        assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
    }

    #[test]
    fn octets_count_too() {
        let mut queue = HoldQueue::default();
        assert_eq!(push(&mut queue, &[0; 6000], Qos::AtLeastOnce).len(), 0);
        assert_eq!(push(&mut queue, &[1; 6000], Qos::AtLeastOnce), [[0; 6000]]);
        assert_eq!(push(&mut queue, &[2; 60_000], Qos::AtLeastOnce).len(), 2, "too large by itself");
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }
}
