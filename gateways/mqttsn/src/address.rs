//! Where a client is: a peer, or a wireless node behind a forwarder that is the peer (MQTT-SN 1.2 §5.5).

use bridge_core::peer::{ListenerId, Peer};
use codec_mqttsn as sn;
use foldhash::quality::FixedState;
use std::hash::BuildHasher;

/// An address at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    peer: Peer,
    node: Option<Box<[u8]>>,
}

/// The same, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub(crate) peer: Peer,
    /// The wireless node; `None` = it writes to us itself.
    pub(crate) node: Option<&'a [u8]>,
}

impl Address {
    #[inline]
    pub(crate) fn at(&self) -> At<'_> {
        At { peer: self.peer, node: self.node.as_deref() }
    }

    pub(crate) const fn listener(&self) -> ListenerId {
        self.peer.listener
    }

    /// It writes to another of our own addresses now, which answers must come from; or its association knows better.
    #[inline]
    pub(crate) const fn heard(&mut self, peer: Peer) {
        self.peer = peer;
    }
}

impl From<At<'_>> for Address {
    fn from(at: At<'_>) -> Self {
        Self { peer: at.peer, node: at.node.map(Into::into) }
    }
}

impl<'a> At<'a> {
    /// Where a frame came from.
    #[inline]
    pub(crate) fn of(peer: Peer, via: Option<sn::Forwarder<'a>>) -> Self {
        Self { peer, node: via.map(|via| via.node_id) }
    }

    /// True for one and the same client, whichever of our own addresses it writes to.
    #[inline]
    pub(crate) fn is_same(self, other: At<'_>) -> bool {
        self.peer.is_same(&other.peer) && self.node == other.node
    }

    pub(crate) fn hash(self, hasher: &FixedState) -> u64 {
        hasher.hash_one((self.peer.place(), self.node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_behind_one_forwarder_are_told_apart() {
        let peer = Peer::plain(ListenerId(0), ([127, 0, 0, 1], 7).into(), None);
        let other = Peer { local: Some([127, 0, 0, 1].into()), ..peer };
        let at = |node| At { peer, node };
        let nodes = [None, Some(&b""[..]), Some(b"a"), Some(b"b")];
        for (n, &a) in nodes.iter().enumerate() {
            for (m, &b) in nodes.iter().enumerate() {
                assert_eq!(at(a).is_same(At { peer: other, node: b }), n == m, "{a:?} {b:?}");
            }
        }
        let hasher = FixedState::with_seed(1);
        assert_eq!(at(Some(b"a")).hash(&hasher), At { peer: other, node: Some(b"a") }.hash(&hasher));
    }
}
