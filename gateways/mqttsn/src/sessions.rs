//! All sessions of a machine, found by address and by client id.

use crate::address::At;
use crate::session::Session;
use bridge_core::slab::{Key, Slab};
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Both tables hold keys only: address and id lie in the session, which is needed next anyway.
#[derive(Debug)]
pub(crate) struct Sessions {
    slab: Slab<Session>,
    /// Sessions that are present, by listener and address.
    by_address: HashTable<Key>,
    by_id: HashTable<Key>,
    /// Seeded: addresses and ids come from outside.
    hasher: FixedState,
}

impl Sessions {
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self { slab: Slab::default(), by_address: HashTable::new(), by_id: HashTable::new(), hasher }
    }

    /// The session that is present at this address.
    #[inline]
    pub(crate) fn at(&self, at: At<'_>) -> Option<Key> {
        let hash = at.hash(&self.hasher);
        let here = |&key: &Key| self.slab.get(key).is_some_and(|session| session.address.at().is_same(at));
        self.by_address.find(hash, here).copied()
    }

    /// The session of this client id.
    pub(crate) fn named(&self, id: &str) -> Option<Key> {
        let same = |&key: &Key| self.slab.get(key).is_some_and(|session| *session.id == *id);
        self.by_id.find(self.hasher.hash_one(id), same).copied()
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&Session> {
        self.slab.get(key)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Session> {
        self.slab.get_mut(key)
    }

    /// Adds a session, found by its id at once, by address if it is present. `None`: no room.
    pub(crate) fn insert(&mut self, session: Session) -> Option<Key> {
        let hash = self.hasher.hash_one(&*session.id);
        let present = session.is_present();
        let key = self.slab.insert(session)?;
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.by_id.insert_unique(hash, key, |&key| slab.get(key).map_or(0, |s| hasher.hash_one(&*s.id)));
        if present {
            self.bind(key);
        }
        Some(key)
    }

    /// Frames from the session's address are its own from now on.
    pub(crate) fn bind(&mut self, key: Key) {
        let Some(session) = self.slab.get(key) else { return };
        let hash = session.address.at().hash(&self.hasher);
        let (slab, hasher) = (&self.slab, &self.hasher);
        let rehash = |&key: &Key| slab.get(key).map_or(0, |s| s.address.at().hash(hasher));
        if self.by_address.find(hash, |&other| other == key).is_none() {
            self.by_address.insert_unique(hash, key, rehash);
        }
    }

    /// Frames from the session's address are a stranger's from now on.
    pub(crate) fn unbind(&mut self, key: Key) {
        let Some(session) = self.slab.get(key) else { return };
        let hash = session.address.at().hash(&self.hasher);
        if let Ok(entry) = self.by_address.find_entry(hash, |&other| other == key) {
            entry.remove();
        }
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Session> {
        self.unbind(key);
        let hash = self.hasher.hash_one(&*self.slab.get(key)?.id);
        if let Ok(entry) = self.by_id.find_entry(hash, |&other| other == key) {
            entry.remove();
        }
        self.slab.remove(key)
    }

    pub(crate) const fn len(&self) -> usize {
        self.slab.len()
    }

    /// All sessions, in slot order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Session)> {
        self.slab.iter()
    }

    /// Those in at most `most` slots from slot `first` on, in slot order.
    pub(crate) fn slice(&self, first: u32, most: usize) -> impl Iterator<Item = (Key, &Session)> {
        self.slab.slice(first, most)
    }

    /// Slots there are, free ones included.
    pub(crate) const fn slots(&self) -> usize {
        self.slab.slots()
    }

    /// How many are present: for the invariants.
    pub(crate) fn bound(&self) -> usize {
        self.by_address.len()
    }
}
