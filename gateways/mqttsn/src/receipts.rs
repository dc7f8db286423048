//! What a device has sent at QoS 1 and 2 lately, so that nothing is published twice and every repetition is answered.

use bridge_core::uplink::Token;
use codec_mqttsn::MsgId;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// The publications of one session that are owed an answer, and the last few that have got one.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// Oldest first.
    list: Vec<Receipt>,
    next: u32,
}

/// One publication of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    serial: u32,
    /// Of topic and payload: a device that counts its msg ids anew after a restart must not pass for a repetition.
    pub(crate) digest: u32,
    /// TopicId as it came: the answer carries it.
    pub(crate) topic_id: u16,
    pub(crate) msg_id: MsgId,
    /// QoS 2; else 1.
    pub(crate) exactly_once: bool,
    pub(crate) stage: Stage,
}

/// How far a publication has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// With the broker; not answered yet.
    Owed,
    /// QoS 2: PUBREC was sent, PUBREL has not come.
    Received,
    /// The exchange is over.
    Finished,
}

impl Receipts {
    /// Unfinished publications of one session. Most devices have one; some have several.
    pub(crate) const UNFINISHED: usize = 16;
    /// Finished ones that are remembered.
    pub(crate) const FINISHED: usize = 8;

    /// What is known of a publication that has come. `None`: nothing, it is a new one.
    ///
    /// At QoS 1 only DUP makes a repetition. At QoS 2 a msg id whose PUBREL has not come names one publication, DUP or
    /// not.
    pub(crate) fn seen(&self, msg_id: MsgId, exactly_once: bool, dup: bool, digest: u32) -> Option<Stage> {
        let mut latest = self.list.iter().rev();
        let receipt = latest.find(|r| r.msg_id == msg_id && r.exactly_once == exactly_once && r.digest == digest)?;
        let open = exactly_once && receipt.stage != Stage::Finished;
        (dup || open).then_some(receipt.stage)
    }

    /// True when the next publication takes the place of one whose PUBREL has not come.
    pub(crate) fn would_forget(&self) -> bool {
        let (finished, received) = (self.count(Stage::Finished), self.count(Stage::Received));
        received > 0 && self.list.len().saturating_sub(finished) >= Self::UNFINISHED
    }

    /// Remembers a publication that goes to the broker now. `None` when too many are unfinished.
    pub(crate) fn open(&mut self, topic_id: u16, msg_id: MsgId, exactly_once: bool, digest: u32) -> Option<Token> {
        while self.count(Stage::Finished) >= Self::FINISHED {
            self.forget_oldest(Stage::Finished);
        }
        let unfinished = self.list.len().saturating_sub(self.count(Stage::Finished));
        // A device that never sends PUBREL loses the protection of its oldest, not the service.
        if unfinished >= Self::UNFINISHED && !self.forget_oldest(Stage::Received) {
            return None;
        }
        let serial = self.next;
        self.next = self.next.wrapping_add(1);
        if self.list.is_empty() {
            self.list.reserve_exact(1);
        }
        self.list.push(Receipt { serial, digest, topic_id, msg_id, exactly_once, stage: Stage::Owed });
        Some(Token(u64::from(serial)))
    }

    /// Forgets a publication that was not taken.
    pub(crate) fn cancel(&mut self, token: Token) {
        self.list.retain(|r| u64::from(r.serial) != token.0);
    }

    /// The broker has it, or would not (then it is forgotten: a repetition is a new attempt).
    pub(crate) fn settle(&mut self, token: Token, accepted: bool) -> Option<Receipt> {
        let place = self.list.iter().position(|r| u64::from(r.serial) == token.0 && r.stage == Stage::Owed)?;
        if !accepted {
            return Some(self.list.remove(place));
        }
        let receipt = self.list.get_mut(place)?;
        receipt.stage = if receipt.exactly_once { Stage::Received } else { Stage::Finished };
        Some(*receipt)
    }

    /// PUBREL has come. False while the publication is still owed PUBREC: then there is nothing to complete.
    pub(crate) fn release(&mut self, msg_id: MsgId) -> bool {
        let mut latest = self.list.iter_mut().rev();
        match latest.find(|r| r.msg_id == msg_id && r.exactly_once && r.stage != Stage::Finished) {
            Some(receipt) if receipt.stage == Stage::Owed => false,
            Some(receipt) => {
                receipt.stage = Stage::Finished;
                true
            }
            // Completed before, or forgotten: PUBCOMP was lost.
            None => true,
        }
    }

    /// All that is remembered, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Receipt> {
        self.list.iter()
    }

    /// True when anything of QoS 2 is remembered.
    pub(crate) fn has_exactly_once(&self) -> bool {
        self.list.iter().any(|receipt| receipt.exactly_once)
    }

    /// Remembers what an earlier process had answered, as far as there is room.
    pub(crate) fn restore(&mut self, topic_id: u16, msg_id: MsgId, digest: u32, exactly_once: bool, stage: Stage) {
        let most = if stage == Stage::Finished { Self::FINISHED } else { Self::UNFINISHED };
        if stage == Stage::Owed || self.count(stage) >= most || (stage == Stage::Received && !exactly_once) {
            return;
        }
        let serial = self.next;
        self.next = self.next.wrapping_add(1);
        self.list.push(Receipt { serial, digest, topic_id, msg_id, exactly_once, stage });
    }

    /// True while the broker's answer to any of them is owed to the device.
    pub(crate) fn are_owed(&self) -> bool {
        self.list.iter().any(|r| r.stage == Stage::Owed)
    }

    fn count(&self, stage: Stage) -> usize {
        self.list.iter().filter(|r| r.stage == stage).count()
    }

    fn forget_oldest(&mut self, stage: Stage) -> bool {
        let oldest = self.list.iter().position(|r| r.stage == stage);
        oldest.map(|place| self.list.remove(place)).is_some()
    }

    /// Forgets all. Answers to come must find nothing, so their numbers are not given again.
    pub(crate) fn clear(&mut self) {
        self.list = Vec::new();
    }

    /// How many are remembered.
    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }
}

/// What tells two publications with one msg id apart.
pub(crate) fn digest(topic: &str, payload: &[u8]) -> u32 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(topic.as_bytes());
    hasher.write(payload);
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MsgId = MsgId(5);

    #[test]
    fn at_qos_1_only_dup_makes_a_repetition() {
        let mut receipts = Receipts::default();
        assert_eq!(receipts.seen(ID, false, true, 1), None, "DUP of something that never arrived is new");
        let token = receipts.open(1025, ID, false, 1).unwrap();
        assert_eq!(receipts.seen(ID, false, true, 1), Some(Stage::Owed));
        assert_eq!(receipts.seen(ID, false, false, 1), None);
        assert_eq!(receipts.seen(ID, false, true, 2), None, "another payload is another publication");
        assert_eq!(receipts.settle(token, true).map(|r| r.stage), Some(Stage::Finished));
        assert_eq!(receipts.seen(ID, false, true, 1), Some(Stage::Finished));
        assert_eq!(receipts.settle(token, true), None, "settled once");
    }

    #[test]
    fn at_qos_2_the_msg_id_is_taken_until_pubrel() {
        let mut receipts = Receipts::default();
        let token = receipts.open(1025, ID, true, 1).unwrap();
        assert!(!receipts.release(ID), "PUBREL before PUBREC");
        assert_eq!(receipts.seen(ID, true, false, 1), Some(Stage::Owed));
        assert_eq!(receipts.settle(token, true).map(|r| r.stage), Some(Stage::Received));
        assert_eq!(receipts.seen(ID, true, false, 1), Some(Stage::Received));
        assert!(receipts.release(ID) && receipts.release(ID), "PUBREL again is answered again");
        assert_eq!(receipts.seen(ID, true, false, 1), None);
        assert_eq!(receipts.seen(ID, true, true, 1), Some(Stage::Finished));
    }

    #[test]
    fn what_was_refused_may_be_tried_again() {
        let mut receipts = Receipts::default();
        let token = receipts.open(1025, ID, false, 1).unwrap();
        assert_eq!(receipts.settle(token, false).map(|r| r.msg_id), Some(ID));
        assert_eq!((receipts.seen(ID, false, true, 1), receipts.len()), (None, 0));
    }

    #[test]
    fn the_memory_has_its_bounds() {
        let mut receipts = Receipts::default();
        let tokens: Vec<Token> = (0..16).map(|n| receipts.open(1025, MsgId(n), false, 0).unwrap()).collect();
        assert_eq!(receipts.open(1025, MsgId(99), false, 0), None);
        assert!(tokens.iter().all(|&token| receipts.settle(token, true).is_some()));
        for n in 100..1000 {
            let token = receipts.open(1025, MsgId(n), true, 0).unwrap();
            assert!(receipts.settle(token, true).is_some());
            assert!(receipts.len() < Receipts::UNFINISHED + Receipts::FINISHED, "{}", receipts.len());
        }
        assert_eq!(receipts.seen(MsgId(999), true, true, 0), Some(Stage::Received));
        assert_eq!(receipts.seen(MsgId(100), true, true, 0), None, "too long ago");
    }
}
