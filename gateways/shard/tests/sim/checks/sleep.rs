//! A device that sleeps is sent nothing: PINGRESP is the last word until it is heard again.

use super::down::UNWRITTEN_MS;
use crate::device::Device;
use codec_mqttsn::Message;

/// What the gateway knows of each device's sleep.
pub(super) struct Sleepers(Vec<Sleep>);

#[derive(Clone, Copy, Default)]
struct Sleep {
    /// It was told that it may, and has not said CONNECT since.
    sleeps: bool,
    /// It was told that it may, and has not been heard since.
    dozes: bool,
    /// When it last asked whether it may.
    asked_at: u64,
    /// When it was heard last: answers fall on the same millisecond.
    heard_at: u64,
}

impl Sleepers {
    pub(super) fn new(devices: &[Device]) -> Self {
        Self(vec![Sleep::default(); devices.len()])
    }

    /// A shard is handed a word of a device.
    pub(super) fn handed(&mut self, now: u64, index: usize, message: &Message<'_>) {
        let sleep = &mut self.0[index];
        (sleep.dozes, sleep.heard_at) = (false, now);
        match message {
            Message::Disconnect { duration: Some(_) } => sleep.asked_at = now,
            Message::Connect(_) => sleep.sleeps = false,
            _ => {}
        }
    }

    /// What was said in the last moments may not be in the store.
    pub(super) fn crash(&mut self, now: u64) {
        for sleep in self.0.iter_mut().filter(|sleep| sleep.heard_at + UNWRITTEN_MS >= now) {
            (sleep.sleeps, sleep.dozes) = (false, false);
        }
    }

    /// A shard says something to a device. True when it may sleep now.
    pub(super) fn said(&mut self, now: u64, index: usize, device: &Device, message: &Message<'_>) -> bool {
        let sleep = &mut self.0[index];
        let unasked = matches!(message, Message::Publish(_) | Message::Register(_) | Message::Pubrel { .. });
        let disturbs = unasked && sleep.dozes && now > sleep.heard_at;
        assert!(!disturbs, "{} sleeps, and is sent {message:?}", device.id);
        // It may have been judged for so long that it slept in between.
        sleep.sleeps &= !matches!(message, Message::Connack { .. });
        // What a stranger is told is not the answer.
        sleep.sleeps |= matches!(message, Message::Disconnect { .. }) && sleep.asked_at == now;
        sleep.dozes = sleep.sleeps && matches!(message, Message::Disconnect { .. } | Message::Pingresp);
        sleep.dozes
    }
}
