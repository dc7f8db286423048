//! What a link is told when it is made.

use codec_mqtt::{Qos, Version};
use std::fmt;

pub use crate::queue::QueueLimits;

/// Everything about one link. `Debug` shows neither user name nor password: some brokers take a token as either.
#[derive(Clone)]
pub struct LinkSettings {
    /// Client id, never empty.
    pub client_id: String,
    /// User name; empty = none.
    pub username: String,
    /// Password; empty = none.
    pub password: Password,
    /// Keep Alive in seconds; 0 = off. The broker may overrule it (MQTT 5.0 §3.2.2.3.14).
    pub keepalive_s: u16,
    /// Publications of QoS 1 and 2 in flight, 1 to 64,000; the broker's Receive Maximum may lower it.
    pub max_inflight: u16,
    /// Largest packet, in octets, that is sent or taken; the broker may lower it for what is sent.
    pub max_packet_size: u32,
    /// The protocol to speak.
    pub version: VersionChoice,
    /// The brokers to fail over between, at least 1, as the log is to name them: `host:port`.
    pub servers: Vec<String>,
    /// What the broker publishes when the link is lost.
    pub will: Option<Farewell>,
    /// Seconds that the broker keeps the session after the connection; 0 = not at all. (In 3.1.1 all but 0 means: as
    /// long as it likes.)
    pub session_expiry_s: u32,
    /// Whose the session is.
    pub scope: SessionScope,
    /// What may wait for the broker.
    pub queue: QueueLimits,
}

/// How long the session at the broker is of use to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SessionScope {
    /// As long as this process: one that an earlier process left is ended before the link is used, and the last goodbye
    /// ends ours (in MQTT 5; 3.1.1 has no way to say so).
    #[default]
    Process,
    /// Beyond this process: the next one goes on with it. `Some` is the record that the last one left; a session that no
    /// record tells of is not ours.
    Durable(Option<SessionRecord>),
    /// Not at all: the link connects once, to end the session that its client id has, and stops.
    Discarded,
    /// It is a client's own: new with each connection where [`LinkSettings::session_expiry_s`] is 0, else what the broker
    /// has kept under the client id, whoever began it.
    Client,
}

/// What the next process must know of the session that a link has at a broker, apart from its subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The broker that holds it, as in [`LinkSettings::servers`].
    pub server: String,
    /// The protocol that it was made with.
    pub version: Version,
    /// Publications of ours that the broker may not have been told to release have packet ids of 1 to this.
    pub last_packet_id: u16,
}

/// The protocol to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChoice {
    /// MQTT 5.0; 3.1.1 where the broker does not know it.
    V5OrOlder,
    /// MQTT 3.1.1.
    V311,
}

/// A will of the link's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Topic name.
    pub topic: String,
    /// At most 65,535 octets.
    pub payload: Vec<u8>,
    /// To be retained.
    pub retain: bool,
    /// The delivery it asks for.
    pub qos: Qos,
}

/// A password: `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<&[u8]> for Password {
    fn from(octets: &[u8]) -> Self {
        Self(octets.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// What a link is at the broker: of its settings, those that are no other link's.
#[derive(Clone)]
pub struct Persona {
    /// See [`LinkSettings::client_id`].
    pub client_id: Box<str>,
    /// See [`LinkSettings::username`].
    pub username: Box<str>,
    /// See [`LinkSettings::password`].
    pub password: Password,
    /// See [`LinkSettings::keepalive_s`].
    pub keepalive_s: u16,
    /// See [`LinkSettings::session_expiry_s`].
    pub session_expiry_s: u32,
    /// See [`LinkSettings::will`].
    pub will: Option<Box<Farewell>>,
}

impl Persona {
    pub(super) fn of(settings: &LinkSettings) -> Self {
        Self {
            client_id: settings.client_id.as_str().into(),
            username: settings.username.as_str().into(),
            password: settings.password.clone(),
            keepalive_s: settings.keepalive_s,
            session_expiry_s: settings.session_expiry_s,
            will: settings.will.clone().map(Box::new),
        }
    }
}

impl fmt::Debug for Persona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persona")
            .field("client_id", &self.client_id)
            .field("password", &self.password)
            .field("keepalive_s", &self.keepalive_s)
            .field("session_expiry_s", &self.session_expiry_s)
            .field("has_will", &self.will.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSettings")
            .field("client_id", &self.client_id)
            .field("password", &self.password)
            .field("keepalive_s", &self.keepalive_s)
            .field("max_inflight", &self.max_inflight)
            .field("max_packet_size", &self.max_packet_size)
            .field("version", &self.version)
            .field("servers", &self.servers)
            .field("will", &self.will)
            .field("session_expiry_s", &self.session_expiry_s)
            .field("scope", &self.scope)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
