//! The row of MQTT-SN.

use ::mqttsn::{Broadcast, Mqttsn, MqttsnConfig};
use bridge_core::live::Live;
use bridge_core::peer::{GatewayId, ListenerId};
use bridge_core::template::Values;
use config::{Config, ListenerKind};

use super::{Gateway, Made};
use crate::advertise;
use crate::failure::Failure;
use crate::startup::{Overview, Trial, reached_from_here};
use crate::wiring::{Listener, Node};

#[derive(Debug)]
struct MqttsnGateway {
    id: GatewayId,
    /// What the machines read.
    live: Live<MqttsnConfig>,
    listeners: Vec<ListenerId>,
    /// Where it makes itself known.
    networks: Vec<Broadcast>,
}

pub(super) fn open(id: GatewayId, node: &Node<'_>, listeners: &[Listener]) -> Result<Box<dyn Gateway>, Failure> {
    let live = Live::from(node.config.gateways.mqttsn.machine.clone());
    let networks = advertise::networks(id, node.config, listeners)?;
    let own = (0..).map(ListenerId).zip(listeners).filter(|(_, listener)| listener.gateway == id);
    Ok(Box::new(MqttsnGateway { id, live, listeners: own.map(|(id, _)| id).collect(), networks }))
}

impl Gateway for MqttsnGateway {
    fn machine(&self, shard: u8, seed: u64) -> Made {
        let machine = Mqttsn::new(self.id, self.live.clone(), self.listeners.clone(), seed);
        // One voice is enough.
        let machine = if shard == 0 { machine.advertising(&self.networks) } else { machine };
        Made { meter: machine.meter(), machine: Box::new(machine) }
    }

    fn reload(&self, next: &Config) {
        self.live.set(next.gateways.mqttsn.machine.clone());
    }
}

/// QoS −1 needs no connection.
pub(super) fn trial(overview: &Overview<'_>) -> Option<Trial> {
    let machine = &overview.config.gateways.mqttsn.machine;
    let (listener, address) = overview.listener("mqttsn", ListenerKind::Udp)?;
    if !machine.qos_minus_one || listener.config.proxy_protocol {
        return None;
    }
    let device = reached_from_here(address);
    // As the gateway renders it for those who publish without a connection.
    let host = device.ip().to_string();
    let values = Values {
        client_id: Some("NegQoS-Client"),
        username: Some(""),
        peerhost: Some(&host),
        endpoint_name: None,
        node: Some(overview.node),
    };
    let own = &listener.config.mountpoint;
    let mountpoint = if own.is_empty() { &machine.mountpoint } else { own };
    let topic = format!("{}hi", overview.rendered(mountpoint, &values)?);
    // PUBLISH, 12 octets, QoS −1 and a short topic name (MQTT-SN 1.2 §5.4.12): octal, which every printf has.
    let send = format!("printf '\\014\\014bhi\\000\\000hello' | nc -u -w1 {} {}", device.ip(), device.port());
    Some(Trial { topic, send })
}
