//! Who is at the other end of a datagram.

use crate::slab::Key;
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

/// A secure association (DTLS) of a shard. Stale once the association has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecureRef(pub Key);

/// Where a datagram came from, or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// The listener it came through; answers leave through the same.
    pub listener: ListenerId,
    /// The device's address as we see it.
    pub addr: SocketAddr,
    /// Our address that it was sent to, when the listener is bound to all of them: answers must come from it.
    pub local: Option<IpAddr>,
    /// The association it came through: answers follow that, whatever the address is by then.
    pub secure: Option<SecureRef>,
}

impl Peer {
    /// A peer without an association.
    #[must_use]
    pub const fn plain(listener: ListenerId, addr: SocketAddr, local: Option<IpAddr>) -> Self {
        Self { listener, addr, local, secure: None }
    }

    /// True for one and the same peer, whichever of our own addresses it writes to: the association decides where there
    /// is one, else listener and address.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// What tells peers apart, for tables: equal exactly where [`Peer::is_same`] says so.
    #[must_use]
    pub const fn place(&self) -> Place {
        match self.secure {
            Some(secure) => Place::Secure(self.listener, secure),
            None => Place::Plain(self.listener, self.addr),
        }
    }
}

/// See [`Peer::place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Told by its address.
    Plain(ListenerId, SocketAddr),
    /// Told by its association.
    Secure(ListenerId, SecureRef),
}

/// What the transport has proved about a peer. Nothing, over plain UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proven<'a> {
    /// The PSK identity, or the common name of its certificate: who it is, if that was proved.
    pub identity: Option<&'a str>,
}
