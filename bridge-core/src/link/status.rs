//! What a link wants of its driver, and how it stands.

use super::Link;
use super::lifecycle::Phase;
use crate::time::Deadline;
use codec_mqtt::Version;

/// What the driver should bring about; it compares this with what it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on, or stay idle.
    Nothing,
    /// Connect to this broker of the list, counted from 0, and call [`Link::opening`] at once.
    Open {
        /// Its place.
        target: usize,
    },
    /// Close the connection, or give up the attempt, then call [`Link::closed`].
    Close,
}

/// How a connection ended, or why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It could not be made: name, TCP, TLS, WebSocket.
    Refused,
    /// The broker closed it in order.
    Orderly,
    /// The broker closed it while something of ours lay there unread: TCP calls that a reset.
    Reset,
    /// Anything else, our own close included.
    Broken,
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStatus<'a> {
    /// On its way to the broker with this place in the list.
    Connecting {
        /// Counted from 0.
        target: usize,
    },
    /// Accepted.
    Online {
        /// Which broker of the list, counted from 0.
        target: usize,
        /// The protocol.
        version: Version,
    },
    /// The next attempt is due at `until`.
    Waiting {
        /// Why, in plain words.
        reason: &'a str,
        /// When.
        until: Deadline,
    },
    /// Another process uses our client id; the next attempt is due at `until`.
    Conflict {
        /// When.
        until: Deadline,
    },
    /// Its client sleeps, and does without it.
    Resting,
    /// It has said goodbye.
    Stopped,
}

impl Link {
    /// What the driver should bring about now.
    #[must_use]
    pub fn wish(&self) -> Wish {
        match self.phase {
            Phase::Dialling if self.is_held() => Wish::Nothing,
            Phase::Dialling => Wish::Open { target: self.dial.target() },
            Phase::Closing { .. } if self.batch.is_empty() => Wish::Close,
            Phase::Closing { .. }
            | Phase::Waiting(_)
            | Phase::Opening
            | Phase::Greeting { .. }
            | Phase::Online(_)
            | Phase::Resting
            | Phase::Stopped => Wish::Nothing,
        }
    }

    /// The client id that it has at the broker.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.persona.client_id
    }

    /// A broker of the list, as the log names it.
    pub(super) fn server(&self, target: usize) -> &str {
        self.settings.servers.get(target).map_or("", String::as_str)
    }

    /// How it stands: for `/readyz` and the start-up log.
    #[must_use]
    pub fn state(&self) -> LinkStatus<'_> {
        let target = self.dial.target();
        match self.phase {
            Phase::Dialling | Phase::Opening | Phase::Greeting { .. } => LinkStatus::Connecting { target },
            Phase::Online(_) => LinkStatus::Online { target, version: self.broker.version },
            Phase::Closing { .. } => LinkStatus::Waiting { reason: self.attempt.reason(), until: self.now.after_ms(0) },
            Phase::Waiting(wait) if wait.conflict => LinkStatus::Conflict { until: wait.until },
            Phase::Waiting(wait) => LinkStatus::Waiting { reason: &self.reason, until: wait.until },
            Phase::Resting => LinkStatus::Resting,
            Phase::Stopped => LinkStatus::Stopped,
        }
    }
}
