//! The networks that this machine is in.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use std::io;
use std::net::Ipv4Addr;

/// An IPv4 network that can be broadcast to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BroadcastNetwork {
    /// Our address in it.
    pub own: Ipv4Addr,
    /// Its broadcast address.
    pub broadcast: Ipv4Addr,
}

/// The IPv4 networks of all interfaces that are up and can broadcast, in the order of their addresses. Loopback cannot.
///
/// # Errors
/// As getifaddrs(3).
pub fn broadcast_networks() -> io::Result<Vec<BroadcastNetwork>> {
    let ipv4 = |address: Option<SockaddrStorage>| address.as_ref()?.as_sockaddr_in().map(|address| address.ip());
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST;
    let interfaces = getifaddrs()?.filter(|interface| {
        interface.flags.contains(wanted) && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK)
    });
    let network = |(own, broadcast)| BroadcastNetwork { own, broadcast };
    let mut networks: Vec<_> =
        interfaces.filter_map(|each| Some(network((ipv4(each.address)?, ipv4(each.broadcast)?)))).collect();
    networks.sort_unstable();
    networks.dedup();
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_no_network_to_broadcast_to() {
        for network in broadcast_networks().unwrap() {
            assert!(!network.own.is_loopback() && !network.broadcast.is_loopback(), "{network:?}");
            assert_ne!(network.own, network.broadcast);
        }
    }
}
