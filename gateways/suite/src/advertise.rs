//! Where the MQTT-SN gateway makes itself known.

use std::net::IpAddr;

use bridge_core::peer::{GatewayId, ListenerId};
use config::Config;
use mqttsn::Broadcast;
use transport::interfaces::{BroadcastNetwork, broadcast_networks};

use crate::failure::Failure;
use crate::wiring::Listener;

/// The networks that each listener of the gateway reaches, as the interfaces are now. None while `broadcast` is off.
///
/// # Errors
/// A listener that may not broadcast.
pub(crate) fn networks(gateway: GatewayId, config: &Config, listeners: &[Listener]) -> Result<Vec<Broadcast>, Failure> {
    if !config.gateways.mqttsn.machine.broadcast {
        return Ok(Vec::new());
    }
    let interfaces = broadcast_networks().unwrap_or_else(|error| {
        tracing::warn!(%error, "the interfaces cannot be listed, so the gateway does not make itself known");
        Vec::new()
    });
    let mut networks = Vec::new();
    for (id, listener) in (0..).map(ListenerId).zip(listeners).filter(|(_, listener)| listener.gateway == gateway) {
        listener.allow_broadcast()?;
        let found = reached(id, listener.address, &interfaces);
        if found.is_empty() {
            tracing::warn!(listener = %listener.key, "broadcast is on, but the listener is in no network to broadcast to");
        }
        networks.extend(found);
    }
    Ok(networks)
}

/// Those that a socket bound to `address` may speak in: all for a wildcard, else that of the interface with the address.
fn reached(listener: ListenerId, address: std::net::SocketAddr, interfaces: &[BroadcastNetwork]) -> Vec<Broadcast> {
    let bound = address.ip();
    let mine = interfaces.iter().filter(|network| bound.is_unspecified() || bound == IpAddr::V4(network.own));
    let network = |network: &BroadcastNetwork| {
        let BroadcastNetwork { own: from, broadcast: to } = *network;
        Broadcast { listener, from, to, port: address.port() }
    };
    mine.map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_listener_speaks_in_the_networks_that_it_hears() {
        let network =
            |net| BroadcastNetwork { own: Ipv4Addr::new(10, 0, net, 1), broadcast: Ipv4Addr::new(10, 0, net, 255) };
        let interfaces = [network(1), network(2)];
        let told = |address: &str| {
            let found = reached(ListenerId(3), address.parse().unwrap(), &interfaces);
            assert!(found.iter().all(|each| each.listener == ListenerId(3)));
            found.iter().map(|each| format!("{} {}:{}", each.from, each.to, each.port)).collect::<Vec<_>>()
        };
        let all = ["10.0.1.1 10.0.1.255:1884", "10.0.2.1 10.0.2.255:1884"];
        assert_eq!(
            (told("0.0.0.0:1884"), told("[::]:1884")),
            (all.map(String::from).into(), all.map(String::from).into())
        );
        assert_eq!(told("10.0.2.1:7"), ["10.0.2.1 10.0.2.255:7"]);
        for elsewhere in ["127.0.0.1:1884", "[::1]:1884", "10.0.3.1:1884"] {
            assert_eq!(told(elsewhere), [""; 0], "{elsewhere}");
        }
    }
}
