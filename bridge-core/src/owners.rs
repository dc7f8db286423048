//! Which shard a client lives on. Asked for the first packet of an unknown peer only: never on the hot path.

use crate::peer::{GatewayId, ShardId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

const STRIPES: usize = 64;

type Stripe = Mutex<HashMap<(GatewayId, Box<str>), ShardId, foldhash::quality::RandomState>>;

/// (gateway, client id) → shard, shared by all shards of the process.
#[derive(Debug)]
pub struct Directory {
    stripes: Box<[Stripe]>,
}

/// What the directory says about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It lives on the asking shard.
    Here,
    /// It lives there: the packet must go to it.
    Elsewhere(ShardId),
    /// It lives nowhere.
    Nobody,
}

/// One shard's hand on the directory.
#[derive(Clone, Debug)]
pub struct Owners {
    directory: Arc<Directory>,
    here: ShardId,
}

impl Default for Directory {
    fn default() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Stripe::default()).collect() }
    }
}

impl Directory {
    fn stripe<R>(
        &self,
        id: &str,
        work: impl FnOnce(&mut HashMap<(GatewayId, Box<str>), ShardId, foldhash::quality::RandomState>) -> R,
    ) -> Option<R> {
        let hash = FixedState::default().hash_one(id);
        let index = usize::try_from(hash % STRIPES as u64).ok()?;
        let mut stripe = self.stripes.get(index)?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(work(&mut stripe))
    }
}

impl Owners {
    /// The hand of shard `here`.
    #[must_use]
    pub const fn new(directory: Arc<Directory>, here: ShardId) -> Self {
        Self { directory, here }
    }

    /// Where the client lives.
    #[must_use]
    pub fn locate(&self, gateway: GatewayId, id: &str) -> Owner {
        let found = self.directory.stripe(id, |map| map.get(&(gateway, Box::from(id))).copied()).flatten();
        self.seen(found)
    }

    /// Makes the client live here, unless it lives elsewhere; says where it lived until now.
    pub fn claim(&self, gateway: GatewayId, id: &str) -> Owner {
        let here = self.here;
        let found = self.directory.stripe(id, |map| {
            let owner = map.entry((gateway, id.into())).or_insert(here);
            *owner
        });
        self.seen(found)
    }

    /// The client does not live here any more. Without effect if it never did.
    pub fn release(&self, gateway: GatewayId, id: &str) {
        self.directory.stripe(id, |map| {
            let key = (gateway, Box::from(id));
            if map.get(&key) == Some(&self.here) {
                map.remove(&key);
            }
        });
    }

    fn seen(&self, found: Option<ShardId>) -> Owner {
        match found {
            Some(shard) if shard == self.here => Owner::Here,
            Some(shard) => Owner::Elsewhere(shard),
            None => Owner::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_lives_on_one_shard() {
        let directory = Arc::new(Directory::default());
        let a = Owners::new(Arc::clone(&directory), ShardId(0));
        let b = Owners::new(directory, ShardId(1));
        let sn = GatewayId(0);
        assert_eq!(a.locate(sn, "lamp"), Owner::Nobody);
        assert_eq!(a.claim(sn, "lamp"), Owner::Here);
        assert_eq!(b.claim(sn, "lamp"), Owner::Elsewhere(ShardId(0)));
        assert_eq!(b.locate(GatewayId(1), "lamp"), Owner::Nobody, "another gateway's lamp is another lamp");
        b.release(sn, "lamp");
        assert_eq!(b.locate(sn, "lamp"), Owner::Elsewhere(ShardId(0)), "only the owner lets go");
        a.release(sn, "lamp");
        assert_eq!(b.claim(sn, "lamp"), Owner::Here);
    }
}
