//! The newest link of each client id.

use super::super::lines::Lines;
use super::LinkId;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The ids themselves lie in the links. Devices choose them: nobody may know how they are hashed.
#[derive(Debug)]
pub(super) struct Index {
    links: HashTable<LinkId>,
    hasher: FixedState,
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        Self { links: HashTable::new(), hasher: FixedState::with_seed(seed) }
    }

    /// Makes a link the newest of its client id. Returns which was.
    pub(super) fn put(&mut self, lines: &Lines, link: LinkId) -> Option<LinkId> {
        let client_id = id_of(lines, link)?;
        let hash = self.hasher.hash_one(client_id);
        let named = |other: &LinkId| id_of(lines, *other) == Some(client_id);
        if let Some(place) = self.links.find_mut(hash, named) {
            return Some(std::mem::replace(place, link));
        }
        let hasher = &self.hasher;
        let rehash = |other: &LinkId| id_of(lines, *other).map_or(0, |id| hasher.hash_one(id));
        self.links.insert_unique(hash, link, rehash);
        None
    }

    /// The newest link of a client id.
    pub(super) fn find(&self, lines: &Lines, client_id: &str) -> Option<LinkId> {
        let named = |other: &LinkId| id_of(lines, *other) == Some(client_id);
        self.links.find(self.hasher.hash_one(client_id), named).copied()
    }

    /// A link is gone; harmless if it was not the newest.
    pub(super) fn remove(&mut self, client_id: &str, link: LinkId) {
        if let Ok(entry) = self.links.find_entry(self.hasher.hash_one(client_id), |other| *other == link) {
            entry.remove();
        }
    }
}

fn id_of(lines: &Lines, link: LinkId) -> Option<&str> {
    lines.get(link).map(|line| line.link.client_id())
}
