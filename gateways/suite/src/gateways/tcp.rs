//! The row of devices that have nothing but a socket.

use bridge_core::config::LinkMode;
use bridge_core::live::Live;
use bridge_core::peer::{GatewayId, ListenerId};
use bridge_core::template::Values;
use config::ListenerKind;
use tcp_gateway::{FramingKind, ListenerSettings, Tcp, TcpConfig, TcpSettings};

use super::{Gateway, Made};
use crate::failure::Failure;
use crate::startup::{Overview, Trial, reached_from_here};
use crate::wiring::{Listener, Node};

#[derive(Debug)]
struct TcpGateway {
    /// As they are on shard 0, but for the seed.
    settings: TcpSettings,
    /// What the machines read.
    live: Live<TcpConfig>,
}

pub(super) fn open(id: GatewayId, node: &Node<'_>, listeners: &[Listener]) -> Result<Box<dyn Gateway>, Failure> {
    let gateway = &node.config.gateways.tcp;
    let live = Live::from(gateway.machine.clone());
    let own = (0..).map(ListenerId).zip(listeners).filter(|(_, listener)| listener.gateway == id);
    let listener = |(id, listener): (ListenerId, &Listener)| {
        let tables = match listener.kind {
            ListenerKind::Tls => &gateway.listeners.tls,
            ListenerKind::Udp | ListenerKind::Tcp => &gateway.listeners.tcp,
        };
        let mountpoint =
            if listener.mountpoint.is_empty() { &gateway.machine.mountpoint } else { &listener.mountpoint };
        let framing = tables.get(&listener.name).map(|stream| stream.protocol.clone()).unwrap_or_default();
        ListenerSettings { id, framing, mountpoint: mountpoint.clone() }
    };
    let settings = TcpSettings {
        gateway: id,
        config: live.clone(),
        listeners: own.map(listener).collect(),
        node: node.name.into(),
        own_links: node.config.broker.link.mode == LinkMode::PerDevice,
        first_shard: true,
        seed: 0,
    };
    Ok(Box::new(TcpGateway { settings, live }))
}

impl Gateway for TcpGateway {
    fn machine(&self, shard: u8, seed: u64) -> Made {
        let machine = Tcp::new(TcpSettings { first_shard: shard == 0, seed, ..self.settings.clone() });
        Made { meter: machine.meter(), machine: Box::new(machine) }
    }

    fn reload(&self, next: &config::Config) {
        self.live.set(next.gateways.tcp.machine.clone());
    }
}

/// A device that comes in and sends one message, while credentials are nobody's business.
pub(super) fn trial(overview: &Overview<'_>) -> Option<Trial> {
    let (listener, address) = overview.listener("tcp", ListenerKind::Tcp)?;
    let config = overview.config;
    let framing = config.gateways.tcp.listeners.tcp.get(listener.name)?.protocol.framing;
    let anybody = config.auth.chain.is_empty() && config.auth.allow_anonymous != Some(false);
    let own_links = config.broker.link.mode == LinkMode::PerDevice;
    if framing != FramingKind::Emqx || listener.config.proxy_protocol || !anybody || own_links {
        return None;
    }
    let device = reached_from_here(address);
    let host = device.ip().to_string();
    let values = Values {
        client_id: Some("demo"),
        username: Some(""),
        peerhost: Some(&host),
        endpoint_name: None,
        node: Some(overview.node),
    };
    let machine = &config.gateways.tcp.machine;
    let own = &listener.config.mountpoint;
    let mountpoint = if own.is_empty() { &machine.mountpoint } else { own };
    let topic = [mountpoint, &machine.up_topic].map(|template| overview.rendered(template, &values));
    let [Some(mountpoint), Some(topic)] = topic else { return None };
    // CONNECT as `demo` with a keepalive of 60 s, DATATRANS with `hello`: octal, which every printf has.
    let frames = r"\020\000\007\074\000\004demo\060\000\005hello";
    let send = format!("printf '{frames}' | nc -w1 {} {}", device.ip(), device.port());
    Some(Trial { topic: mountpoint + &topic, send })
}
