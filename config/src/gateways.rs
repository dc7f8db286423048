//! `[gateways]`.

use mqttsn::MqttsnConfig;
use settings::{ByteSize, HumanDuration, KeyPath, Section, Settings};
use tcp_gateway::{FramingConfig, TcpConfig};
use transport::config::{ListenerConfig, ListenerKind, ListenersConfig, StreamListenerConfig, TlsConfig};

use crate::Config;

/// The gateways of this version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    /// `[gateways.mqttsn]`.
    pub mqttsn: MqttsnGateway,
    /// `[gateways.tcp]`.
    pub tcp: TcpGateway,
}

impl Settings for Gateways {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.table("mqttsn", &mut self.mqttsn);
        s.table("tcp", &mut self.tcp);
        s.not_in_this_version(&["coap", "lwm2m", "stomp"]);
    }
}

/// One gateway as whoever treats all alike sees it.
#[derive(Clone, Debug)]
pub struct Gateway<'a> {
    /// As the configuration names it: `mqttsn`.
    pub name: &'static str,
    /// Whether it runs.
    pub enable: bool,
    /// Prefix of every topic, where a listener has none of its own; empty = none.
    pub mountpoint: &'a str,
    /// Where it listens, by kind and name.
    pub listeners: Vec<Listener<'a>>,
}

/// One listener, of whatever gateway.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'a> {
    /// The gateway's name.
    pub gateway: &'static str,
    /// What it listens for.
    pub kind: ListenerKind,
    /// As the operator has named it. It may have dots.
    pub name: &'a str,
    /// What is set.
    pub config: &'a ListenerConfig,
    /// What is set of connections; `None` on a listener of datagrams.
    pub stream: Option<StreamKeys<'a>>,
}

/// What a listener of connections has, but for the keys of its protocol.
#[derive(Clone, Copy, Debug)]
pub struct StreamKeys<'a> {
    /// See [`ListenerConfig`].
    pub proxy_protocol: bool,
    /// See [`StreamListenerConfig`].
    pub proxy_protocol_timeout: HumanDuration,
    /// See [`StreamListenerConfig`].
    pub high_watermark: ByteSize,
    /// See [`StreamListenerConfig`].
    pub low_watermark: ByteSize,
    /// See [`StreamListenerConfig`].
    pub send_timeout: HumanDuration,
    /// See [`StreamListenerConfig`].
    pub tls: Option<&'a TlsConfig>,
}

impl<'a> StreamKeys<'a> {
    const fn of<K>(stream: &'a StreamListenerConfig<K>) -> Self {
        Self {
            proxy_protocol: stream.common.proxy_protocol,
            proxy_protocol_timeout: stream.proxy_protocol_timeout,
            high_watermark: stream.high_watermark,
            low_watermark: stream.low_watermark,
            send_timeout: stream.send_timeout,
            tls: stream.tls.as_ref(),
        }
    }
}

impl Listener<'_> {
    /// `gateways.mqttsn.listeners.udp.default`.
    #[must_use]
    pub fn key(&self) -> KeyPath {
        let listeners = KeyPath::from("gateways").child(self.gateway).child("listeners");
        listeners.child(self.kind.as_str()).child(self.name)
    }
}

impl Gateways {
    /// All of them. Their order gives them their numbers, so a new one goes to the end.
    #[must_use]
    pub fn all(&self) -> Vec<Gateway<'_>> {
        let Self { mqttsn, tcp } = self;
        vec![
            Gateway {
                name: "mqttsn",
                enable: mqttsn.enable,
                mountpoint: &mqttsn.machine.mountpoint,
                listeners: all("mqttsn", &mqttsn.listeners),
            },
            Gateway {
                name: "tcp",
                enable: tcp.enable,
                mountpoint: &tcp.machine.mountpoint,
                listeners: all("tcp", &tcp.listeners),
            },
        ]
    }

    /// Which of them run.
    pub(crate) const fn switches(&mut self) -> [(&'static str, &mut bool); 2] {
        [("mqttsn", &mut self.mqttsn.enable), ("tcp", &mut self.tcp.enable)]
    }
}

/// Those of one gateway, in the order in which they are numbered.
fn all<'a, K: Settings + Default>(gateway: &'static str, listeners: &'a ListenersConfig<K>) -> Vec<Listener<'a>> {
    let streams: Vec<_> = listeners.streams().map(|(_, _, stream)| StreamKeys::of(stream)).collect();
    let without = listeners.all().count().saturating_sub(streams.len());
    // Those of datagrams come first.
    let streams = std::iter::repeat_n(None, without).chain(streams.into_iter().map(Some));
    let listener = |((kind, name, config), stream)| Listener { gateway, kind, name, config, stream };
    listeners.all().zip(streams).map(listener).collect()
}

impl Config {
    /// The listeners of all gateways that run. Their order gives them their numbers.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener<'_>> {
        let running = self.gateways.all().into_iter().filter(|gateway| gateway.enable);
        running.flat_map(|gateway| gateway.listeners).collect()
    }
}

/// The MQTT-SN gateway: what the machine reads, and what is common to gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttsnGateway {
    /// Whether it runs.
    pub enable: bool,
    /// What the machine reads.
    pub machine: MqttsnConfig,
    /// Where it listens.
    pub listeners: ListenersConfig,
}

/// The registered port of MQTT-SN over UDP.
const MQTTSN_UDP: u16 = 1884;

impl Default for MqttsnGateway {
    fn default() -> Self {
        Self { enable: true, machine: MqttsnConfig::default(), listeners: ListenersConfig::standard_udp(MQTTSN_UDP) }
    }
}

impl Settings for MqttsnGateway {
    fn visit(&mut self, s: &mut Section<'_>) {
        // A table that is there switches its gateway on; `load` has switched off those that a file leaves out.
        s.leaf("enable", &mut self.enable);
        self.machine.visit(s);
        s.table("listeners", &mut self.listeners);
    }
}

/// The gateway of devices that have nothing but a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpGateway {
    /// Whether it runs.
    pub enable: bool,
    /// What the machine reads.
    pub machine: TcpConfig,
    /// Where it listens, and how frames are told apart there.
    pub listeners: ListenersConfig<FramingConfig>,
}

/// As EMQ X has them.
const TCP_PLAIN: u16 = 8090;
const TCP_TLS: u16 = 8091;

impl Default for TcpGateway {
    fn default() -> Self {
        let listeners = ListenersConfig::standard_streams(TCP_PLAIN, TCP_TLS);
        Self { enable: true, machine: TcpConfig::default(), listeners }
    }
}

impl Settings for TcpGateway {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("enable", &mut self.enable);
        self.machine.visit(s);
        s.table("listeners", &mut self.listeners);
        s.misplaced(&[("framing", "gateways.tcp.listeners.tcp.<name>.framing")]);
    }
}
