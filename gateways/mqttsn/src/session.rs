//! One client: what it is in, and what it has.

use crate::address::{Address, At};
use crate::base::Base;
use crate::down::Down;
use crate::predefined::Table;
use crate::receipts::Receipts;
use crate::registry::{Registry, most_octets};
use crate::subscriptions::Subscriptions;
use crate::will::Dialogue;
use bridge_core::peer::ProvenBuf;
use bridge_core::publication::Stored;
use bridge_core::time::Now;
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
    pub(crate) proven: ProvenBuf,
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

/// What a client is in (MQTT-SN 1.2 §6.14).
#[derive(Debug)]
pub(crate) enum State {
    /// CONNECT with Will=1 came, CONNACK is not sent.
    Connecting(Box<Dialogue>),
    /// Connected.
    Active {
        /// The latest sign of life, in milliseconds of the monotone clock.
        heard_ms: u64,
        /// A will dialogue led here: its last word may come again, because CONNACK was lost.
        told_will: bool,
    },
    /// It sleeps: what comes for it waits.
    Asleep(Sleep),
    /// It has woken for what waits: it gets all of that, then PINGRESP, then it sleeps on.
    Awake(Sleep),
    /// Disconnected or lost; kept because CleanSession was 0.
    Away {
        /// Since when, in milliseconds since the Unix epoch.
        since_ms: u64,
    },
}

/// How long a client may sleep without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sleep {
    /// The latest sign of life, in milliseconds of the monotone clock.
    pub(crate) heard_ms: u64,
    /// Duration of its DISCONNECT, in seconds; not 0.
    pub(crate) duration_s: u16,
    pub(crate) link: NapLink,
}

/// What becomes of the MQTT connection that a client has of its own, while the client sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NapLink {
    /// It stays.
    Kept,
    /// The bridge may drop it.
    Dropped,
    /// The client has woken: the bridge brings it back, and says when the broker has sent what it kept.
    Returning,
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
    /// It was connected, and slept.
    Woken,
}

/// What is to become of a session after it has handled something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Next {
    /// It goes on.
    Stay,
    /// It said goodbye.
    Leave,
    /// It falls asleep, and gives a sign of life within this time, in seconds.
    Sleep(u16),
    /// It is lost, and is told so.
    Lose(Ending),
}

impl Session {
    /// True when frames from its address are its own.
    pub(crate) const fn is_present(&self) -> bool {
        matches!(self.state, State::Connecting(_)) || self.is_connected()
    }

    /// True for a client that is connected, asleep or not.
    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self.state, State::Active { .. } | State::Asleep(_) | State::Awake(_))
    }

    /// True for a client that is connected and does not sleep, not even with breaks.
    pub(crate) const fn is_active(&self) -> bool {
        matches!(self.state, State::Active { .. })
    }

    /// True after a will dialogue.
    pub(crate) const fn has_told_will(&self) -> bool {
        matches!(self.state, State::Active { told_will: true, .. })
    }

    /// True for a client that has woken for what waits.
    pub(crate) const fn is_awake(&self) -> bool {
        matches!(self.state, State::Awake(_))
    }

    /// True for one that gets what the broker still sends, too: it is not known yet that this is all.
    pub(crate) const fn waits_for_link(&self) -> bool {
        matches!(self.state, State::Awake(Sleep { link: NapLink::Returning, .. }))
    }

    /// True for a client that listens.
    pub(crate) const fn listens(&self) -> bool {
        self.is_active() || self.is_awake()
    }

    /// True for a client that is connected and sleeps, if with a break just now.
    pub(crate) const fn sleeps(&self) -> bool {
        matches!(self.state, State::Asleep(_) | State::Awake(_))
    }

    /// How long it sleeps, in seconds; 0 = it does not.
    pub(crate) const fn sleep_s(&self) -> u16 {
        match self.state {
            State::Asleep(sleep) | State::Awake(sleep) => sleep.duration_s,
            State::Connecting(_) | State::Active { .. } | State::Away { .. } => 0,
        }
    }

    /// True when its loss is one: it was connected, if only until the dialogue that it is in.
    pub(crate) fn has_connection(&self) -> bool {
        match &self.state {
            State::Active { .. } | State::Asleep(_) | State::Awake(_) => true,
            State::Connecting(dialogue) => matches!(dialogue.came, Came::Again | Came::Woken),
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
            State::Asleep(_) | State::Awake(_) => Came::Woken,
            State::Away { .. } => Came::Back,
        }
    }

    /// True when a CONNECT from there is no new connection: its client was asleep.
    pub(crate) fn wakes(&self, at: At<'_>) -> bool {
        self.came() == Came::Woken && self.address.at().is_same(at)
    }

    /// A frame of a connected client has come.
    pub(crate) const fn heard(&mut self, now: Now) {
        if let State::Active { heard_ms, .. }
        | State::Asleep(Sleep { heard_ms, .. })
        | State::Awake(Sleep { heard_ms, .. }) = &mut self.state
        {
            *heard_ms = now.mono_ms;
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
            State::Active { .. } | State::Asleep(_) | State::Awake(_) | State::Away { .. } => false,
        };
        let life = self.life.is_some_and(|timer| base.wheel.is_armed(timer));
        assert!(life || (self.is_active() && self.keepalive_s == 0), "nothing will ever end it");
        let down = self.down.check(base, self.listens(), |way| self.is_told(way));
        if self.is_active() {
            assert!(!self.has_sendable(), "held, though it could go");
        }
        if self.is_awake() && self.down.is_idle() {
            assert!(self.waits_for_link() && !self.has_sendable(), "awake, though nothing is under way");
        }
        usize::from(dialogue) + usize::from(life) + down
    }

    /// When a connected client counts as lost, in milliseconds; `None` = never.
    pub(crate) fn lost_at_ms(&self) -> Option<u64> {
        match self.state {
            // 1.5 × Duration: MQTT's tolerance, which the contract of CONNECT takes over.
            State::Active { heard_ms, .. } if self.keepalive_s > 0 => {
                Some(heard_ms.saturating_add(u64::from(self.keepalive_s).saturating_mul(1500)))
            }
            State::Asleep(sleep) | State::Awake(sleep) => Some(sleep.over_ms()),
            State::Connecting(_) | State::Active { .. } | State::Away { .. } => None,
        }
    }
}

impl Sleep {
    /// When it is over, in milliseconds: 1.1 × Duration, or 1.5 × up to a minute (MQTT-SN 1.2 §7.2).
    fn over_ms(self) -> u64 {
        let duration_s = u64::from(self.duration_s);
        let tolerated = if duration_s > 60 { duration_s.saturating_mul(1100) } else { duration_s.saturating_mul(1500) };
        self.heard_ms.saturating_add(tolerated)
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
