//! What the broker is owed for messages on their way to one device: acknowledged once the device has them, in the order in
//! which they came (MQTT 5.0 §4.6), those of QoS 1 and those of QoS 2 each for themselves.

use crate::link::AckDue;
use codec_mqtt::Qos;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Receipts {
    once: Row,
    exactly: Row,
}

#[derive(Debug, Default)]
struct Row {
    /// The place of the first.
    first: u32,
    waiting: VecDeque<(AckDue, bool)>,
}

impl Receipts {
    /// Keeps what is due for a message. Returns its number; `None` when there are too many.
    pub(super) fn keep(&mut self, due: AckDue, qos: Qos) -> Option<u32> {
        let exactly = qos == Qos::ExactlyOnce;
        let row = if exactly { &mut self.exactly } else { &mut self.once };
        if row.waiting.len() >= MOST {
            return None;
        }
        let place = row.first.wrapping_add(u32::try_from(row.waiting.len()).unwrap_or(u32::MAX));
        row.waiting.push_back((due, false));
        Some((place << 1) | u32::from(exactly))
    }

    /// The device has the message with this number. What may go to the broker now, since all before it have been had.
    pub(super) fn done(&mut self, number: u32, mut acknowledge: impl FnMut(AckDue)) {
        let row = if number & 1 == 1 { &mut self.exactly } else { &mut self.once };
        // Places are counted in 31 bits.
        let place = (number >> 1).wrapping_sub(row.first) & (u32::MAX >> 1);
        if let Some((_, done)) = usize::try_from(place).ok().and_then(|place| row.waiting.get_mut(place)) {
            *done = true;
        }
        while let Some((due, _)) = row.waiting.pop_front_if(|(_, done)| *done) {
            row.first = row.first.wrapping_add(1);
            acknowledge(due);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.once.waiting.is_empty() && self.exactly.waiting.is_empty()
    }
}

/// A broker of MQTT 5 has far fewer in flight; one of 3.1.1 is not told how many it may.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_one_waits_for_the_earlier_of_its_own_qos_and_each_is_said_once() {
        let mut receipts = Receipts::default();
        let kept: Vec<u32> = [Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::AtLeastOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]
            .iter()
            .map(|qos| receipts.keep(AckDue::none(), *qos).unwrap())
            .collect();
        let mut done = |number: u32| {
            let mut said = 0;
            receipts.done(number, |_| said += 1);
            said
        };
        assert_eq!(done(kept[2]), 0, "the first of QoS 1 is not done");
        assert_eq!(done(kept[1]), 1, "QoS 2 waits for QoS 2 only");
        assert_eq!(done(kept[0]), 2);
        assert_eq!((done(kept[0]), done(kept[1]), done(99)), (0, 0, 0), "once");
        assert_eq!((done(kept[4]), done(kept[3])), (1, 1));
        assert!(receipts.is_empty());
    }

    #[test]
    fn more_than_can_be_are_not_kept() {
        let mut receipts = Receipts::default();
        assert!((0..MOST).all(|_| receipts.keep(AckDue::none(), Qos::AtLeastOnce).is_some()));
        assert_eq!(receipts.keep(AckDue::none(), Qos::AtLeastOnce), None);
        assert!(receipts.keep(AckDue::none(), Qos::ExactlyOnce).is_some());
    }
}
