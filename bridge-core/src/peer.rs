//! Who is at the other end of a datagram.

use std::net::{IpAddr, SocketAddr};

/// A listener, numbered node-wide in configuration order; the same number on every shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// A gateway, numbered node-wide in configuration order; the index of its machine on every shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub u8);

/// A shard: one core's machines, bridge and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

/// Where a datagram came from, or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// The listener it came through; answers leave through the same.
    pub listener: ListenerId,
    /// The device's address as we see it.
    pub addr: SocketAddr,
    /// Our address that it was sent to, when the listener is bound to all of them: answers must come from it.
    pub local: Option<IpAddr>,
}
