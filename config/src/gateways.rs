//! `[gateways]`.

use mqttsn::MqttsnConfig;
use settings::{Section, Settings};
use transport::config::ListenersConfig;

/// The gateways of this version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    /// `[gateways.mqttsn]`.
    pub mqttsn: MqttsnGateway,
}

impl Settings for Gateways {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.table("mqttsn", &mut self.mqttsn);
        s.not_in_this_version(&["coap", "lwm2m", "stomp", "tcp"]);
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
