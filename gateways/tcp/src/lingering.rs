//! Client ids of devices that have left while the broker had yet to acknowledge messages of theirs.
//!
//! Until it has, the id lives on here: a device that comes again is brought to this shard, and what it sends then follows
//! over the same link. (Over another shard's it might overtake.) Each of them has a message on that link, whose limits
//! bound how many there are.

use bridge_core::slab::Key;
use foldhash::quality::FixedState;
use hashbrown::HashMap;

/// All of one machine.
#[derive(Debug)]
pub(crate) struct Lingering {
    /// By what was the key of the connection.
    by_key: HashMap<Key, Left, FixedState>,
    /// How many of those have an id.
    by_id: HashMap<Box<str>, u32, FixedState>,
}

#[derive(Debug)]
struct Left {
    id: Box<str>,
    owed: u16,
}

impl Lingering {
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = || FixedState::with_seed(seed);
        Self { by_key: HashMap::with_hasher(hasher()), by_id: HashMap::with_hasher(hasher()) }
    }

    /// A device has left, and is owed so many acknowledgements.
    pub(crate) fn add(&mut self, key: Key, id: &str, owed: u16) {
        if owed > 0 && self.by_key.insert(key, Left { id: id.into(), owed }).is_none() {
            *self.by_id.entry(id.into()).or_insert(0) += 1;
        }
    }

    /// One of them has come. Returns the id that nothing is owed to any more.
    pub(crate) fn settle(&mut self, key: Key) -> Option<Box<str>> {
        let left = self.by_key.get_mut(&key)?;
        left.owed = left.owed.saturating_sub(1);
        if left.owed > 0 {
            return None;
        }
        let id = self.by_key.remove(&key)?.id;
        let others = self.by_id.get_mut(&id)?;
        *others = others.saturating_sub(1);
        if *others > 0 {
            return None;
        }
        self.by_id.remove(&id);
        Some(id)
    }

    /// True while something is owed to a device of that id which has left.
    pub(crate) fn has(&self, id: &str) -> bool {
        !self.by_id.is_empty() && self.by_id.contains_key(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_with_the_last_acknowledgement_to_any_who_had_it() {
        let mut lingering = Lingering::new(1);
        let [a, b, c] = [1, 2, 3].map(|slot| Key { slot, generation: 0 });
        lingering.add(a, "dev", 2);
        lingering.add(b, "dev", 1);
        lingering.add(c, "other", 0);
        assert_eq!((lingering.has("dev"), lingering.has("other")), (true, false));
        assert_eq!([a, b, b, c].map(|key| lingering.settle(key)), [None, None, None, None]);
        assert_eq!(lingering.settle(a).as_deref(), Some("dev"));
        assert_eq!((lingering.has("dev"), lingering.by_key.len(), lingering.settle(a)), (false, 0, None));
    }
}
