//! One connection: what it is in, and what it has.

use crate::hold::HoldQueue;
use bridge_core::peer::{ListenerId, ProvenBuf};
use bridge_core::streams::ConnRef;
use bridge_core::time::Deadline;
use bridge_core::topic::TopicBuf;
use bridge_core::uplink::{ClientRef, Identity};
use bridge_core::wheel::TimerId;
use codec_rawtcp::Scan;
use std::net::SocketAddr;

/// A connection. What belongs to one state is in [`State`].
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) conn: ConnRef,
    pub(crate) listener: ListenerId,
    pub(crate) addr: SocketAddr,
    /// What the transport has proved about its device.
    pub(crate) proven: ProvenBuf,
    pub(crate) state: State,
    /// When it was opened, or, once it is a session, when its device was heard last; of the monotone clock.
    pub(crate) since_ms: u64,
    /// When the frame began that is not all there.
    pub(crate) partial_since_ms: Option<u64>,
    pub(crate) scan: Scan,
    pub(crate) timer: Option<Timer>,
}

/// Its one timer. It is not moved at each sign of life: it looks when it fires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) id: TimerId,
    pub(crate) due: Deadline,
}

/// What a connection is in.
#[derive(Debug)]
pub(crate) enum State {
    /// Its device has not said who it is.
    New,
    /// Somebody is being asked whether it may come in.
    Waiting(Box<Hello>),
    /// It is in.
    Connected(Session),
}

/// Who wants to come in.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) id: Box<str>,
    /// Empty = none.
    pub(crate) username: Box<str>,
    pub(crate) keepalive_s: u8,
    pub(crate) version: u8,
}

/// A device that is in.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its client id.
    pub(crate) id: Box<str>,
    pub(crate) identity: Identity,
    pub(crate) client: ClientRef,
    /// Where its messages go.
    pub(crate) up_topic: TopicBuf,
    /// When it connected, in milliseconds since the Unix epoch.
    pub(crate) connected_ms: u64,
    /// The longest silence that it promised to keep, in seconds; 0 = none.
    pub(crate) keepalive_s: u8,
    /// Of the protocol, as it said.
    pub(crate) version: u8,
    pub(crate) commands: Commands,
    /// It has an MQTT connection of its own.
    pub(crate) own_link: bool,
    /// Messages that the broker has not acknowledged.
    pub(crate) owed: u16,
    /// Why it is not read; `None` = it is.
    pub(crate) block: Option<Block>,
    /// Messages that wait for it. An idle session has none.
    pub(crate) held: Option<Box<HoldQueue>>,
    /// Subscriptions that others made for it.
    pub(crate) extra: Vec<Extra>,
}

/// A subscription that somebody made for a device.
#[derive(Debug)]
pub(crate) struct Extra {
    pub(crate) token: u64,
    pub(crate) filter: Box<str>,
    pub(crate) qos: bridge_core::Qos,
}

/// What there is of the subscription that brings its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commands {
    /// It shares that of all devices.
    Shared,
    /// Asked for, or in force.
    Own,
    /// To be asked for once the broker is there.
    Owed,
    /// Refused for good.
    Refused,
}

/// Why a device is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// As many of its messages are unacknowledged as may be.
    Owed,
    /// The bridge has no room.
    Room,
    /// It is over a limit.
    Until(Deadline),
    /// It takes nothing of what it is sent.
    Output,
    /// The process ends, and it is owed something.
    Drain,
}

impl Connection {
    pub(crate) const fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Connected(session) => Some(session),
            State::New | State::Waiting(_) => None,
        }
    }

    pub(crate) const fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Connected(session) => Some(session),
            State::New | State::Waiting(_) => None,
        }
    }

    /// The client id that it has, or wants to have.
    pub(crate) fn id(&self) -> Option<&str> {
        match &self.state {
            State::New => None,
            State::Waiting(hello) => Some(&hello.id),
            State::Connected(session) => Some(&session.id),
        }
    }
}

impl Session {
    /// Silence after which it is lost, in milliseconds.
    pub(crate) fn most_silence_ms(&self) -> Option<u64> {
        (self.keepalive_s > 0).then(|| u64::from(self.keepalive_s) * 1500)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Connection>() <= 320, "{}", size_of::<Connection>());
    }
}
