//! `[gateways.<name>.listeners.<kind>.<name>]`.

mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::fmt;

use bridge_core::access::{AccessList, AccessRule};
use bridge_core::config::check_template;
use bridge_core::limit::SessionLimits;
use bridge_core::listeners::ListenerPolicy;
use settings::{BindAddress, PublishLimit, RateLimit, Section, Settings};

pub use stream::{NoKeys, StreamListenerConfig};
pub use tls::{SniConfig, TlsConfig, TlsVersion, Verify};

/// The listeners of one gateway, by kind and name. `K`: the keys of the protocol's own in a stream listener's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenersConfig<K = NoKeys> {
    /// UDP listeners.
    pub udp: BTreeMap<String, ListenerConfig>,
    /// TCP listeners.
    pub tcp: BTreeMap<String, StreamListenerConfig<K>>,
    /// TLS listeners: each has its [`TlsConfig`].
    pub tls: BTreeMap<String, StreamListenerConfig<K>>,
    standard: StandardPorts,
}

/// The protocol's own ports: those of listeners which name none. A kind without a port is none of the gateway's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct StandardPorts {
    udp: Option<u16>,
    tcp: Option<u16>,
    tls: Option<u16>,
}

/// What a listener listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerKind {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
    /// Connections, encrypted.
    Tls,
}

impl ListenerKind {
    /// As the configuration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for ListenerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<K: Settings + Default> ListenersConfig<K> {
    /// Of a gateway of datagrams. Without a `listeners` table it gets one UDP listener, named `default`, on the
    /// protocol's port.
    #[must_use]
    pub fn standard_udp(port: u16) -> Self {
        Self::standard(StandardPorts { udp: Some(port), ..StandardPorts::default() })
    }

    /// Of a gateway of streams, with the protocol's ports. Without a `listeners` table it gets one TCP listener, named
    /// `default`; and no TLS listener, since that would need a certificate or keys.
    #[must_use]
    pub fn standard_streams(tcp: u16, tls: u16) -> Self {
        Self::standard(StandardPorts { udp: None, tcp: Some(tcp), tls: Some(tls) })
    }

    fn standard(standard: StandardPorts) -> Self {
        let name = || "default".to_owned();
        Self {
            udp: standard.udp.map(|port| (name(), ListenerConfig::on(port))).into_iter().collect(),
            tcp: standard.tcp.map(|port| (name(), StreamListenerConfig::tcp(port))).into_iter().collect(),
            tls: BTreeMap::new(),
            standard,
        }
    }

    /// What all kinds have in common, in the order in which listeners are numbered.
    pub fn all(&self) -> impl Iterator<Item = (ListenerKind, &str, &ListenerConfig)> {
        let udp = self.udp.iter().map(|(name, listener)| (ListenerKind::Udp, name.as_str(), listener));
        udp.chain(self.streams().map(|(kind, name, stream)| (kind, name, &stream.common)))
    }

    /// The stream listeners, in the order in which listeners are numbered: those of datagrams come before them.
    pub fn streams(&self) -> impl Iterator<Item = (ListenerKind, &str, &StreamListenerConfig<K>)> {
        let tcp = self.tcp.iter().map(|(name, stream)| (ListenerKind::Tcp, name.as_str(), stream));
        tcp.chain(self.tls.iter().map(|(name, stream)| (ListenerKind::Tls, name.as_str(), stream)))
    }

    /// Takes from `newer` what may change while the node runs, for the listeners that both have.
    pub fn reload(&mut self, newer: &Self) {
        for (name, listener) in &mut self.udp {
            newer.udp.get(name).into_iter().for_each(|newer| listener.reload(newer));
        }
        for (name, stream) in &mut self.tcp {
            newer.tcp.get(name).into_iter().for_each(|newer| stream.reload(newer));
        }
        for (name, stream) in &mut self.tls {
            newer.tls.get(name).into_iter().for_each(|newer| stream.reload(newer));
        }
    }
}

impl<K: Settings + Default> Settings for ListenersConfig<K> {
    fn visit(&mut self, s: &mut Section<'_>) {
        if !s.is_writing() {
            // A table of listeners replaces the standard ones, of whatever kind.
            (self.udp, self.tcp, self.tls) = Default::default();
        }
        let StandardPorts { udp, tcp, tls } = self.standard;
        if let Some(port) = udp {
            s.named("udp", &mut self.udp, || ListenerConfig::on(port));
        }
        if let Some(port) = tcp {
            s.named("tcp", &mut self.tcp, || StreamListenerConfig::tcp(port));
        }
        if let Some(port) = tls {
            s.named("tls", &mut self.tls, || StreamListenerConfig::tls(port));
        }
        if tcp.is_none() {
            s.not_in_this_version(&["dtls", "tcp", "tls", "ws", "wss"]);
            s.renamed_and_not_in_this_version(&[("ssl", "tls")]);
        } else {
            s.renamed(&[("ssl", "tls")]);
        }
        if self.all().next().is_none() {
            *self = Self::standard(self.standard);
        }
    }
}

/// What listeners of all kinds have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it listens.
    pub bind: BindAddress,
    /// Sessions that it may have at a time, on UDP too; more are refused. 0 = no limit.
    pub max_connections: u32,
    /// New sessions per second; more are refused. 0 = no limit.
    pub max_conn_rate: u32,
    /// Octets of topic and payload that each session may publish.
    pub rate_limit: Option<RateLimit>,
    /// Messages that each session may publish.
    pub publish_limit: Option<PublishLimit>,
    /// Which addresses are heard: the first rule that an address lies in decides, and one that is in none is not heard.
    pub access: Vec<AccessRule>,
    /// Prefix of every topic of this listener's clients, instead of the gateway's; empty = the gateway's.
    pub mountpoint: String,
    /// Whether `[auth]` decides who comes in; else everybody does.
    pub enable_authn: bool,
    /// Whether a proxy says who is there, by a PROXY header at the beginning of each connection (version 1 or 2) or of
    /// each datagram (version 2): then it must.
    pub proxy_protocol: bool,
}

impl ListenerConfig {
    /// On this port of the node's own address, with standard limits.
    #[must_use]
    pub fn on(port: u16) -> Self {
        Self {
            bind: BindAddress::Port(port),
            max_connections: 1_024_000,
            max_conn_rate: 1000,
            rate_limit: None,
            publish_limit: None,
            access: vec![AccessRule::ALLOW_ALL],
            mountpoint: String::new(),
            enable_authn: true,
            proxy_protocol: false,
        }
    }

    /// What shards are told of it.
    #[must_use]
    pub fn policy(&self) -> ListenerPolicy {
        let limits = SessionLimits::new(self.rate_limit, self.publish_limit);
        ListenerPolicy { access: AccessList::from(&*self.access), limits }
    }

    /// Takes from `newer` what may change while the node runs.
    fn reload(&mut self, newer: &Self) {
        self.max_connections = newer.max_connections;
        self.max_conn_rate = newer.max_conn_rate;
        self.rate_limit = newer.rate_limit;
        self.publish_limit = newer.publish_limit;
        self.access.clone_from(&newer.access);
        self.enable_authn = newer.enable_authn;
    }

    /// The keys that all kinds have.
    fn visit_common(&mut self, s: &mut Section<'_>) {
        s.leaf("bind", &mut self.bind);
        s.leaf("max_connections", &mut self.max_connections);
        s.leaf("max_conn_rate", &mut self.max_conn_rate);
        s.leaf("rate_limit", &mut self.rate_limit);
        s.leaf("publish_limit", &mut self.publish_limit);
        s.list("access", &mut self.access);
        s.checked("mountpoint", &mut self.mountpoint, |mountpoint| check_template(mountpoint));
        s.leaf("enable_authn", &mut self.enable_authn);
        s.leaf("proxy_protocol", &mut self.proxy_protocol);
        s.renamed(&[("max_clients", "max_connections"), ("access_rules", "access")]);
    }
}

/// Of a UDP listener.
impl Settings for ListenerConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        self.visit_common(s);
        s.not_in_this_version(&["tls"]);
        s.renamed_and_not_in_this_version(&[("ssl", "tls"), ("ssl_options", "tls")]);
    }
}
