//! ADVERTISE: the gateway makes itself known (MQTT-SN 1.2 §5.4.1).

use crate::address::At;
use crate::base::Base;
use crate::config::MqttsnConfig;
use bridge_core::machine::Cx;
use bridge_core::peer::{ListenerId, Peer};
use codec_mqttsn::Message;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A network on which the gateway makes itself known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The listener whose port devices write to.
    pub listener: ListenerId,
    /// Our address in the network: what devices answer to.
    pub from: Ipv4Addr,
    /// The network's broadcast address.
    pub to: Ipv4Addr,
    /// The listener's port: devices listen on the same.
    pub port: u16,
}

/// When ADVERTISE goes where.
#[derive(Debug)]
pub(crate) struct Advertiser {
    peers: Vec<Peer>,
    interval_ms: u64,
    /// Seconds until the next one, as devices are told: rounded up, so that none is missed too early.
    duration_s: u16,
    due_ms: u64,
}

impl Advertiser {
    /// At once, then each interval. No networks, or `broadcast = false`: never.
    pub(crate) fn new(config: &MqttsnConfig, networks: &[Broadcast]) -> Option<Self> {
        if !config.broadcast || networks.is_empty() {
            return None;
        }
        let peer = |network: &Broadcast| {
            let to = SocketAddr::new(IpAddr::V4(network.to), network.port);
            Peer::plain(network.listener, to, Some(IpAddr::V4(network.from)))
        };
        let interval_ms = config.advertise_interval.as_millis();
        let duration_s = u16::try_from(interval_ms.div_ceil(1000)).unwrap_or(u16::MAX);
        Some(Self { peers: networks.iter().map(peer).collect(), interval_ms, duration_s, due_ms: 0 })
    }

    /// When the next one goes, in milliseconds.
    pub(crate) const fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Sends it if it is due. One that was missed by more than an interval is not made up for.
    pub(crate) fn on_timer(&mut self, base: &Base, cx: &mut Cx<'_>) {
        if cx.now.mono_ms < self.due_ms {
            return;
        }
        self.due_ms = cx.now.mono_ms.saturating_add(self.interval_ms);
        let advertise = Message::Advertise { gateway: base.rules.gateway_id, duration: self.duration_s };
        for &peer in &self.peers {
            base.say(cx, At { peer, node: None }, &advertise);
        }
    }
}
