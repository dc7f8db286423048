//! One client: what it is in, and what it has.

use crate::address::Address;
use crate::base::Base;
use crate::down::Down;
use crate::predefined::Table;
use crate::receipts::Receipts;
use crate::registry::{Registry, most_octets};
use crate::subscribe::Subscriptions;
use crate::will::Dialogue;
use bridge_core::publication::Stored;
use bridge_core::uplink::{ClientRef, Ending, Identity};
use bridge_core::wheel::TimerId;
use std::sync::Arc;

/// A client known by its id. What all states share stands here; what belongs to one state is in [`State`].
#[derive(Debug)]
pub(crate) struct Session {
    /// Its client id.
    pub(crate) id: Box<str>,
    /// We made the id up: CONNECT had none.
    pub(crate) generated: bool,
    /// The store that outlives the process has it, in some state.
    pub(crate) stored: bool,
    /// Where it is, or was last.
    pub(crate) address: Address,
    /// Who it is, as the transport proved: nobody else may take its place then.
    pub(crate) proven: Option<Box<str>>,
    /// Who it is, as it was let in.
    pub(crate) identity: Identity,
    /// When it connected last, in milliseconds since the Unix epoch.
    pub(crate) connected_ms: u64,
    /// CleanSession of the latest CONNECT.
    pub(crate) clean: bool,
    /// Duration of the latest CONNECT, in seconds; 0 = it need give no sign of life.
    pub(crate) keepalive_s: u16,
    /// What the bridge knows it by; `None` before the first CONNACK.
    pub(crate) client: Option<ClientRef>,
    pub(crate) state: State,
    /// The one timer of the state: idle, keep-alive or expiry.
    pub(crate) life: Option<TimerId>,
    /// Published when it is lost.
    pub(crate) will: Option<Box<Stored>>,
    /// Predefined topics of its own, beside everybody's.
    pub(crate) predefined: Option<Arc<Table>>,
    pub(crate) registry: Registry,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) receipts: Receipts,
    pub(crate) down: Down,
}

/// What a client is in (MQTT-SN 1.2 §6.14, without sleep).
#[derive(Debug)]
pub(crate) enum State {
    /// CONNECT with Will=1 came, CONNACK is not sent.
    Connecting(Box<Dialogue>),
    /// Connected.
    Active {
        /// The latest sign of life, in milliseconds of the monotone clock.
        heard_ms: u64,
    },
    /// Disconnected or lost; kept because CleanSession was 0.
    Away {
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: u64,
    },
}

/// What a client was in when it said CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It has no session, or none that may be resumed.
    New,
    /// It was gone.
    Back,
    /// It was connected.
    Again,
}

/// What is to become of a session after it has handled something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Next {
    /// It goes on.
    Stay,
    /// It said goodbye.
    Leave,
    /// It is lost, and is told so.
    Lose(Ending),
}

impl Session {
    /// True when frames from its address are its own.
    pub(crate) const fn is_present(&self) -> bool {
        matches!(self.state, State::Connecting(_) | State::Active { .. })
    }

    /// True for a client that is connected, asleep or not.
    pub(crate) const fn is_connected(&self) -> bool {
        self.is_active()
    }

    /// True between CONNACK and the end of the connection.
    pub(crate) const fn is_active(&self) -> bool {
        matches!(self.state, State::Active { .. })
    }

    /// True when its loss is one: it was connected, if only until the dialogue that it is in.
    pub(crate) fn has_connection(&self) -> bool {
        match &self.state {
            State::Active { .. } => true,
            State::Connecting(dialogue) => dialogue.came == Came::Again,
            State::Away { .. } => false,
        }
    }

    /// What it is in, for a CONNECT that has just come.
    pub(crate) const fn came(&self) -> Came {
        match &self.state {
            State::Connecting(dialogue) => dialogue.came,
            // Without a client it is new: its state is that of the CONNECT being handled.
            _ if self.client.is_none() => Came::New,
            State::Active { .. } => Came::Again,
            State::Away { .. } => Came::Back,
        }
    }

    /// Changes the state, and the gauges with it.
    pub(crate) fn enter(&mut self, base: &Base, state: State) {
        base.left(&self.state);
        base.entered(&state);
        self.state = state;
    }

    /// What always holds between two inputs; returns how many timers it has armed.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) fn check(&self, base: &Base) -> usize {
        let most = usize::from(base.rules.max_topics);
        assert!(self.registry.octets() <= most_octets(base.rules.max_topics), "longer topics than may be");
        assert!(self.registry.len() <= most && self.subscriptions.len() <= most, "more topics than may be");
        assert!(self.receipts.len() < Receipts::UNFINISHED + Receipts::FINISHED, "more receipts than may be");
        // One more: a message that the client did not know the topic of is put back.
        assert!(self.down.queue.len() <= base.rules.hold.messages + 1, "more held than may be");
        let dialogue = match &self.state {
            State::Connecting(dialogue) => base.wheel.is_armed(dialogue.timer()),
            State::Active { .. } | State::Away { .. } => false,
        };
        let life = self.life.is_some_and(|timer| base.wheel.is_armed(timer));
        assert!(life || (self.is_active() && self.keepalive_s == 0), "nothing will ever end it");
        let down = self.down.check(base, self.is_active());
        if self.is_active() {
            assert!(!self.has_sendable(), "held, though it could go");
        }
        usize::from(dialogue) + usize::from(life) + down
    }

    /// When an active client counts as lost, in milliseconds; `None` = never.
    pub(crate) fn lost_at_ms(&self) -> Option<u64> {
        let State::Active { heard_ms } = self.state else { return None };
        // 1.5 × Duration: MQTT's tolerance, which the contract of CONNECT takes over.
        (self.keepalive_s > 0).then(|| heard_ms.saturating_add(u64::from(self.keepalive_s).saturating_mul(1500)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_leaves_room_in_the_kilobyte_of_its_client() {
        assert!(size_of::<Session>() <= 448, "{} octets", size_of::<Session>());
    }
}
