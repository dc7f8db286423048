//! A device that sleeps (MQTT-SN 1.2 §6.14): DISCONNECT with a duration, PINGREQ with its client id to hear what has
//! come, CONNECT when it has something to say. Asleep it hears nothing.

use super::{Ask, Device, Said};

/// How a device sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naps {
    /// What it says that it will sleep, in seconds.
    pub(crate) duration_s: u16,
    /// How long it does, in milliseconds.
    pub(crate) longest_ms: u64,
}

impl Device {
    pub(crate) const fn is_asleep(&self) -> bool {
        self.asleep_until.is_some()
    }

    /// From now on it stays awake, and begins by saying that it is.
    pub(crate) fn stay_awake(&mut self, now: u64) {
        if self.script.naps.take().is_some() {
            self.asleep_until = None;
            self.reconnect(now);
        }
    }

    /// What it says when it goes to sleep, in seconds.
    pub(super) fn nap_s(&self, what: Ask) -> Option<u16> {
        self.script.naps.filter(|_| what == Ask::Sleep).map(|naps| naps.duration_s)
    }

    /// Nothing to say for a while, and nothing owed to it.
    pub(super) fn may_sleep(&self, now: u64) -> bool {
        let has_more = self.next < self.script.messages.len();
        self.script.naps.is_some() && self.flights.is_empty() && !(has_more && self.publish_at <= now + 1000)
    }

    /// The gateway knows that it sleeps.
    pub(super) fn doze(&mut self, now: u64) {
        let Some(naps) = self.script.naps else { return };
        self.request = None;
        self.asleep_until = Some(now + 500 + self.rng.below(naps.longest_ms));
    }

    /// Its time has come: to speak, or only to hear.
    pub(super) fn wake_up(&mut self, now: u64, said: &mut Said) {
        self.asleep_until = None;
        let has_more = self.next < self.script.messages.len() && self.publish_at <= now;
        if has_more || self.rng.chance(200) {
            self.reconnect(now);
            self.ask(now, Ask::Connect, said);
        } else {
            self.ask(now, Ask::Wake, said);
        }
    }
}
