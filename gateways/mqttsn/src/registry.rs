//! The topic ids of one session.

use bridge_core::topic::{TopicBuf, TopicName};
use codec_mqttsn::TopicId;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Name ⇄ id. Ids are given one after the other and end only with the registry, so an id is an index.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    topics: Vec<Topic>,
    /// Index by name, from [`Registry::LINEAR`] topics on; below that a walk is as fast and takes no memory.
    by_name: Option<Box<HashTable<u16>>>,
    /// Octets of all names.
    octets: usize,
    /// Topics that the client is to be told though no message waits for them.
    owed: u16,
}

#[derive(Debug)]
struct Topic {
    name: TopicBuf,
    /// The client has been told, or has said that it has it.
    known: bool,
    /// It is to be told even if no message waits.
    owed: bool,
}

impl Registry {
    /// The first dynamic id; the predefined ones lie below.
    pub(crate) const FIRST: u16 = 1025;
    /// 1025 to 65,534: 0xFFFF is never given.
    const MOST: usize = 64_510;
    const LINEAR: usize = 32;

    /// The topic behind an id.
    #[inline]
    pub(crate) fn name(&self, id: TopicId) -> Option<TopicName<'_>> {
        self.topics.get(index(id)?).map(|topic| topic.name.as_name())
    }

    /// The id of a topic.
    pub(crate) fn find(&self, name: TopicName<'_>) -> Option<TopicId> {
        let place = match &self.by_name {
            Some(table) => {
                let same = |&place: &u16| self.at(place).is_some_and(|topic| topic.name.as_name() == name);
                usize::from(*table.find(hash(name), same)?)
            }
            None => self.topics.iter().position(|topic| topic.name.as_name() == name)?,
        };
        Some(TopicId(Self::FIRST.saturating_add(u16::try_from(place).ok()?)))
    }

    /// The id of a topic, given now if it has none. `None` when `most` topics have one, or have too long names.
    pub(crate) fn give(&mut self, name: TopicName<'_>, most: u16) -> Option<TopicId> {
        if let Some(id) = self.find(name) {
            return Some(id);
        }
        let place = self.topics.len();
        let octets = self.octets.saturating_add(name.as_str().len());
        if place >= usize::from(most).min(Self::MOST) || octets > most_octets(most) {
            return None;
        }
        let number = u16::try_from(place).ok()?;
        // One at a time while there are few: most devices have two or three topics.
        if place < 4 {
            self.topics.reserve_exact(1);
        }
        self.octets = octets;
        self.topics.push(Topic { name: name.into(), known: false, owed: false });
        self.index(number, name);
        Some(TopicId(Self::FIRST.saturating_add(number)))
    }

    fn index(&mut self, number: u16, name: TopicName<'_>) {
        let topics = &self.topics;
        let rehash = |&place: &u16| topics.get(usize::from(place)).map_or(0, |topic| hash(topic.name.as_name()));
        if let Some(table) = &mut self.by_name {
            table.insert_unique(hash(name), number, rehash);
        } else if topics.len() > Self::LINEAR {
            let mut table = HashTable::with_capacity(topics.len());
            for (place, topic) in (0_u16..).zip(topics) {
                table.insert_unique(hash(topic.name.as_name()), place, rehash);
            }
            self.by_name = Some(Box::new(table));
        }
    }

    fn at(&self, place: u16) -> Option<&Topic> {
        self.topics.get(usize::from(place))
    }

    /// Whether the client knows what the id means.
    #[inline]
    pub(crate) fn is_known(&self, id: TopicId) -> bool {
        index(id).and_then(|place| self.topics.get(place)).is_some_and(|topic| topic.known)
    }

    /// The client has learnt, or has forgotten, what the id means. Whatever it was to be told is settled.
    pub(crate) fn set_known(&mut self, id: TopicId, known: bool) {
        if let Some(topic) = index(id).and_then(|place| self.topics.get_mut(place)) {
            self.owed = self.owed.saturating_sub(u16::from(topic.owed));
            (topic.known, topic.owed) = (known, false);
        }
    }

    /// All names, in the order of their ids; whether the client knows them, and whether it is to be told.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TopicName<'_>, bool, bool)> {
        self.topics.iter().map(|topic| (topic.name.as_name(), topic.known, topic.owed))
    }

    /// The client is to be told what the id means, whether a message waits for it or not.
    pub(crate) fn owe(&mut self, id: TopicId) {
        self.set_known(id, false);
        if let Some(topic) = index(id).and_then(|place| self.topics.get_mut(place)) {
            topic.owed = true;
            self.owed = self.owed.saturating_add(1);
        }
    }

    /// The ids that the client is to be told, the lowest first.
    pub(crate) fn owed(&self) -> impl Iterator<Item = TopicId> {
        // Nearly always none: then nobody walks the list.
        let topics = if self.owed == 0 { &[] } else { self.topics.as_slice() };
        let ids = (Self::FIRST..).map(TopicId);
        ids.zip(topics).filter(|(_, topic)| topic.owed).map(|(id, _)| id)
    }

    /// Octets of all names.
    pub(crate) const fn octets(&self) -> usize {
        self.octets
    }

    /// How many topics have an id.
    pub(crate) const fn len(&self) -> usize {
        self.topics.len()
    }
}

/// Octets that `topics` names may have together: 256 each, but always room for one of any length. A device that chooses
/// long names must not take a thousand times the memory of others.
pub(crate) fn most_octets(topics: u16) -> usize {
    usize::from(topics).saturating_mul(256).max(usize::from(u16::MAX))
}

fn index(id: TopicId) -> Option<usize> {
    id.0.checked_sub(Registry::FIRST).map(usize::from)
}

/// Unseeded: a client that looks for collisions slows down its own look-ups alone, and these are bounded.
fn hash(name: TopicName<'_>) -> u64 {
    FixedState::default().hash_one(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TopicName<'_> {
        TopicName::try_from(text).unwrap()
    }

    #[test]
    fn ids_run_from_1025_to_65534_and_stay() {
        let mut registry = Registry::default();
        let names: Vec<String> = (0..=64_510).map(|n| format!("t/{n}")).collect();
        for (n, text) in names.iter().take(64_510).enumerate() {
            let id = TopicId(u16::try_from(1025 + n).unwrap());
            assert_eq!(registry.give(name(text), u16::MAX), Some(id));
        }
        assert_eq!(registry.give(name(&names[64_510]), u16::MAX), None, "0xFFFF is never given");
        for n in [0, 31, 32, 33, 64_509] {
            let id = TopicId(u16::try_from(1025 + n).unwrap());
            assert_eq!(registry.find(name(&names[n])), Some(id));
            assert_eq!(registry.give(name(&names[n]), 1), Some(id), "a known name needs no room");
            assert_eq!(registry.name(id), Some(name(&names[n])));
        }
        for id in [0, 1, 1024, 65_535] {
            assert_eq!(registry.name(TopicId(id)), None);
        }
    }

    #[test]
    fn a_full_registry_gives_nothing_new() {
        let mut registry = Registry::default();
        assert!(registry.give(name("a"), 2).is_some() && registry.give(name("b"), 2).is_some());
        assert_eq!((registry.give(name("c"), 2), registry.len()), (None, 2));
    }

    #[test]
    fn an_id_is_known_once_the_client_was_told() {
        let mut registry = Registry::default();
        let id = registry.give(name("a"), 2).unwrap();
        assert!(!registry.is_known(id));
        registry.set_known(id, true);
        assert!(registry.is_known(id));
        assert!(!registry.is_known(TopicId(7)) && !registry.is_known(TopicId(1026)));
    }
}
