//! Addresses whose packets belong to another shard: one hop from the second packet on.

use bridge_core::peer::{ListenerId, Peer, ShardId};
use foldhash::quality::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// A datagram for a client that lives on another shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where it goes.
    pub to: ShardId,
    /// The shard that its address writes to, which keeps the route.
    pub entry: ShardId,
    /// On the way back to `entry`: where the client lives instead.
    pub owner: Option<ShardId>,
    /// From whom it came.
    pub peer: Peer,
    /// As it came.
    pub bytes: Box<[u8]>,
    /// How many shards have seen it.
    pub hops: u8,
}

/// (listener, address) → shard. A stale entry does no harm: the other shard answers a stranger as this one would, and
/// sends back what belongs to a third, so that the entry is put right. So entries live until there are too many, the
/// oldest going first.
#[derive(Debug)]
pub(crate) struct Routes {
    limit: usize,
    map: HashMap<(ListenerId, SocketAddr), ShardId, FixedState>,
    order: VecDeque<(ListenerId, SocketAddr)>,
}

impl Routes {
    pub(crate) fn new(limit: usize, seed: u64) -> Self {
        Self { limit, map: HashMap::with_hasher(FixedState::with_seed(seed)), order: VecDeque::new() }
    }

    #[inline]
    pub(crate) fn find(&self, peer: &Peer) -> Option<ShardId> {
        // Most shards have none most of the time: no hashing then.
        if self.map.is_empty() {
            return None;
        }
        self.map.get(&(peer.listener, peer.addr)).copied()
    }

    /// Remembers a route; true when an older one had to go for it.
    pub(crate) fn learn(&mut self, peer: &Peer, to: ShardId) -> bool {
        let place = (peer.listener, peer.addr);
        if self.map.insert(place, to).is_some() {
            return false;
        }
        self.order.push_back(place);
        if self.order.len() <= self.limit {
            return false;
        }
        let oldest = self.order.pop_front();
        oldest.is_some_and(|place| self.map.remove(&place).is_some())
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Peer { listener: ListenerId(0), addr: SocketAddr::from(([127, 0, 0, 1], port)), local: None }
    }

    #[test]
    fn the_oldest_route_goes_when_there_are_too_many() {
        let mut routes = Routes::new(2, 1);
        assert!(!routes.learn(&peer(1), ShardId(1)));
        assert!(!routes.learn(&peer(2), ShardId(1)));
        assert!(!routes.learn(&peer(1), ShardId(2)), "the same place again");
        assert!(routes.learn(&peer(3), ShardId(1)));
        assert_eq!((routes.find(&peer(1)), routes.find(&peer(2))), (None, Some(ShardId(1))));
        assert_eq!(routes.len(), 2);
    }
}
