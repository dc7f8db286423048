//! Addresses whose packets belong to another shard: one hop from the second packet on.

use bridge_core::peer::{Peer, Place, ProvenBuf, ShardId};
use foldhash::quality::FixedState;
use hashbrown::{Equivalent, HashMap};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

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
    /// What is proved about it.
    pub proven: ProvenBuf,
    /// As it came.
    pub bytes: Box<[u8]>,
    /// How many shards have seen it.
    pub hops: u8,
}

/// An address: where a datagram came from, and what of it says who is behind a forwarder there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    place: Place,
    lane: Box<[u8]>,
}

/// The same, borrowed.
struct OriginRef<'a> {
    place: Place,
    lane: &'a [u8],
}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        OriginRef { place: self.place, lane: &self.lane }.hash(state);
    }
}

impl Hash for OriginRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place.hash(state);
        self.lane.hash(state);
    }
}

impl Equivalent<Origin> for OriginRef<'_> {
    fn equivalent(&self, key: &Origin) -> bool {
        self.place == key.place && *self.lane == *key.lane
    }
}

/// Address → shard. A stale entry does no harm: the other shard answers a stranger as this one would, and sends back what
/// belongs to a third, so that the entry is put right. So entries live until there are too many, the oldest going first.
#[derive(Debug)]
pub(crate) struct Routes {
    limit: usize,
    map: HashMap<Origin, ShardId, FixedState>,
    order: VecDeque<Origin>,
}

impl Routes {
    pub(crate) fn new(limit: usize, seed: u64) -> Self {
        Self { limit, map: HashMap::with_hasher(FixedState::with_seed(seed)), order: VecDeque::new() }
    }

    /// Most shards have none most of the time: nothing need be looked at then.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(crate) fn find(&self, peer: &Peer, lane: &[u8]) -> Option<ShardId> {
        self.map.get(&OriginRef { place: peer.place(), lane }).copied()
    }

    /// Remembers a route; true when an older one had to go for it.
    pub(crate) fn learn(&mut self, peer: &Peer, lane: &[u8], to: ShardId) -> bool {
        if let Some(known) = self.map.get_mut(&OriginRef { place: peer.place(), lane }) {
            *known = to;
            return false;
        }
        let origin = Origin { place: peer.place(), lane: lane.into() };
        self.map.insert(origin.clone(), to);
        self.order.push_back(origin);
        if self.order.len() <= self.limit {
            return false;
        }
        let oldest = self.order.pop_front();
        oldest.is_some_and(|origin| self.map.remove(&origin).is_some())
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::peer::ListenerId;
    use std::net::SocketAddr;

    fn peer(port: u16) -> Peer {
        Peer::plain(ListenerId(0), SocketAddr::from(([127, 0, 0, 1], port)), None)
    }

    #[test]
    fn the_oldest_route_goes_when_there_are_too_many() {
        let mut routes = Routes::new(2, 1);
        assert!(!routes.learn(&peer(1), &[], ShardId(1)));
        assert!(!routes.learn(&peer(2), &[], ShardId(1)));
        assert!(!routes.learn(&peer(1), &[], ShardId(2)), "the same place again");
        assert!(routes.learn(&peer(3), &[], ShardId(1)));
        assert_eq!((routes.find(&peer(1), &[]), routes.find(&peer(2), &[])), (None, Some(ShardId(1))));
        assert_eq!(routes.len(), 2);
    }

    #[test]
    fn those_behind_one_forwarder_have_routes_of_their_own() {
        let mut routes = Routes::new(10, 1);
        routes.learn(&peer(1), b"a", ShardId(1));
        routes.learn(&peer(1), b"b", ShardId(2));
        let found = [b"a".as_slice(), b"b", b"c", b""].map(|lane| routes.find(&peer(1), lane));
        assert_eq!(found, [Some(ShardId(1)), Some(ShardId(2)), None, None]);
    }
}
