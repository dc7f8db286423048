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

/// What the transport has proved about a peer, and by what: a key's identity and a certificate's name may read the same and
/// mean two devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proven<'a> {
    /// Nothing, as over plain UDP.
    #[default]
    Nothing,
    /// It has the pre-shared key of this identity.
    Psk(&'a str),
    /// It has the private key of a certificate that was verified and has this common name.
    Certificate(&'a str),
}

impl<'a> Proven<'a> {
    /// Who it is, if that was proved.
    #[must_use]
    pub const fn identity(self) -> Option<&'a str> {
        match self {
            Self::Nothing => None,
            Self::Psk(identity) | Self::Certificate(identity) => Some(identity),
        }
    }
}

/// The same, to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProvenBuf {
    /// See [`Proven::Nothing`].
    #[default]
    Nothing,
    /// See [`Proven::Psk`].
    Psk(Box<str>),
    /// See [`Proven::Certificate`].
    Certificate(Box<str>),
}

impl ProvenBuf {
    /// Borrowed.
    #[must_use]
    pub const fn view(&self) -> Proven<'_> {
        match self {
            Self::Nothing => Proven::Nothing,
            Self::Psk(identity) => Proven::Psk(identity),
            Self::Certificate(identity) => Proven::Certificate(identity),
        }
    }
}

impl From<Proven<'_>> for ProvenBuf {
    fn from(proven: Proven<'_>) -> Self {
        match proven {
            Proven::Nothing => Self::Nothing,
            Proven::Psk(identity) => Self::Psk(identity.into()),
            Proven::Certificate(identity) => Self::Certificate(identity.into()),
        }
    }
}
