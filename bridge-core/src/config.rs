//! `[broker]`, `[broker.tls]`, `[broker.queue]`, `[events]` and `[acl]`.

mod access;
mod checks;
mod tls;
mod url;

use std::net::IpAddr;

use settings::{ByteSize, HumanDuration, Secret, Section, Settings};

pub use access::{AclConfig, DenyAction, Permit, RuleAction, RuleConfig, TopicText, WhoConfig, read_rules};
pub use checks::{check_name, check_node_template, check_template, check_topic};
pub use tls::{BrokerTlsConfig, ProtocolName};
pub use url::{BrokerUrl, Server, WebPlace};

settings::choice! {
    /// Which MQTT the link speaks.
    pub enum BrokerProtocol {
        /// MQTT 5, and 3.1.1 where the broker refuses it.
        V5 = "5",
        /// MQTT 3.1.1 only.
        V311 = "3.1.1",
    }
}

settings::choice! {
    /// How devices share connections to the broker.
    pub enum LinkMode {
        /// A few connections carry all devices.
        Shared = "shared",
        /// Each client has a connection of its own, under its own client id.
        PerDevice = "per-device",
    }
}

settings::choice! {
    /// What a full queue does.
    pub enum Overflow {
        /// Drops the oldest QoS 0 message; when there is none, refuses the new one, and the device is told.
        DropOldestQos0 = "drop-oldest-qos0",
    }
}

/// `[broker]`: the link to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// The broker, unless `urls` names several.
    pub url: BrokerUrl,
    /// Brokers to fail over between, in this order.
    pub urls: Vec<BrokerUrl>,
    /// The protocol version.
    pub protocol: BrokerProtocol,
    /// How devices share connections.
    pub mode: LinkMode,
    /// Connections in shared mode; 0 is one per worker.
    pub connections: u16,
    /// Connections of devices that are begun per second, in per-device mode; 0 is no limit.
    pub connect_rate: u32,
    /// Local addresses that connections to the broker come from, in turn; none leaves it to the system.
    pub bind: Vec<IpAddr>,
    /// Client ids of the links are `<prefix>-<node>-<n>`.
    pub client_id_prefix: String,
    /// User name of the links; empty is none.
    pub username: String,
    /// Password of the links; empty is none.
    pub password: Secret,
    /// Keep Alive of the links: 0 (off) to 65,535 s (MQTT 5.0 §3.1.2.10).
    pub keepalive: HumanDuration,
    /// QoS 1 and 2 messages in flight per link; the broker's Receive Maximum may lower it.
    pub max_inflight: u16,
    /// Largest packet that a link sends or takes.
    pub max_packet_size: ByteSize,
    /// `[broker.tls]`.
    pub tls: BrokerTlsConfig,
    /// `[broker.queue]`.
    pub queue: QueueConfig,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            url: BrokerUrl::Embedded,
            urls: Vec::new(),
            protocol: BrokerProtocol::V5,
            mode: LinkMode::Shared,
            connections: 0,
            connect_rate: 500,
            bind: Vec::new(),
            client_id_prefix: "tidegate".into(),
            username: String::new(),
            password: Secret::default(),
            keepalive: HumanDuration::from_secs(60),
            max_inflight: 1024,
            max_packet_size: ByteSize::from_mb(1),
            tls: BrokerTlsConfig::default(),
            queue: QueueConfig::default(),
        }
    }
}

impl BrokerConfig {
    /// The brokers in the order in which they are tried; never empty.
    #[must_use]
    pub fn servers(&self) -> &[BrokerUrl] {
        if self.urls.is_empty() { std::slice::from_ref(&self.url) } else { &self.urls }
    }
}

impl Settings for BrokerConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("url", &mut self.url);
        s.list("urls", &mut self.urls);
        s.leaf("protocol", &mut self.protocol);
        s.leaf("mode", &mut self.mode);
        s.ranged("connections", &mut self.connections, 0..=1024);
        s.leaf("connect_rate", &mut self.connect_rate);
        s.list("bind", &mut self.bind);
        s.checked("client_id_prefix", &mut self.client_id_prefix, |prefix| match prefix.as_str() {
            "" => Err("is empty: client ids begin with it".into()),
            prefix => check_name(prefix),
        });
        s.leaf("username", &mut self.username);
        s.secret("password", &mut self.password);
        s.ranged("keepalive", &mut self.keepalive, HumanDuration::from_secs(0)..=HumanDuration::from_secs(65_535));
        s.ranged("max_inflight", &mut self.max_inflight, 1..=u16::MAX);
        // The upper end is the largest packet that MQTT has (MQTT 5.0 §1.5.5), rounded down.
        s.ranged("max_packet_size", &mut self.max_packet_size, ByteSize::from_kb(1)..=ByteSize::from_mb(255));
        s.table("tls", &mut self.tls);
        s.table("queue", &mut self.queue);
        s.renamed(&[("ssl", "tls"), ("ssl_options", "tls")]);
    }
}

/// `[broker.queue]`: what waits while the broker is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Bytes that may wait: topic, payload, and what it takes to keep them.
    pub max_bytes: ByteSize,
    /// Messages that may wait.
    pub max_messages: u32,
    /// What happens to the next one.
    pub overflow: Overflow,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { max_bytes: ByteSize::from_mb(256), max_messages: 1_000_000, overflow: Overflow::DropOldestQos0 }
    }
}

impl Settings for QueueConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("max_bytes", &mut self.max_bytes);
        s.leaf("max_messages", &mut self.max_messages);
        s.leaf("overflow", &mut self.overflow);
        s.not_in_this_version(&["dir", "segment_bytes"]);
    }
}

/// `[events]`: what is published about clients and the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsConfig {
    /// Topic under which events are published; empty is off. `%n` is the node's name.
    pub prefix: String,
    /// QoS of events: 0, 1 or 2.
    pub qos: u8,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self { prefix: "tidegate/%n".into(), qos: 1 }
    }
}

impl Settings for EventsConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.checked("prefix", &mut self.prefix, |prefix| check_node_template(prefix));
        s.ranged("qos", &mut self.qos, 0..=2);
    }
}

#[cfg(test)]
mod tests;
