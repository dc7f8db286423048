//! The topic ids of one session.

use bridge_core::topic::{TopicBuf, TopicName};
use codec_mqttsn::TopicId;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Name ⇄ id. Ids are given one after the other and end only with the registry, so an id is nearly an index.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// By id.
    topics: Vec<Topic>,
    /// Ids from [`Registry::FIRST`] on that are given, or passed over.
    used: u16,
    /// It comes from an earlier process, and nothing has been given since.
    brought_back: bool,
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
    id: TopicId,
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
    /// Ids that nobody gets after a restart: the earlier process may have given as many that it had no time to write
    /// down, and what a device says under one of these must not be taken for another topic.
    const PASSED_OVER: u16 = 64;

    /// The topic behind an id.
    #[inline]
    pub(crate) fn name(&self, id: TopicId) -> Option<TopicName<'_>> {
        self.get(id).map(|topic| topic.name.as_name())
    }

    #[inline]
    fn get(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(self.place(id)?)
    }

    fn get_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        let place = self.place(id)?;
        self.topics.get_mut(place)
    }

    /// Where an id's topic lies: as far from the first as the id, unless some were passed over.
    #[inline]
    fn place(&self, id: TopicId) -> Option<usize> {
        let place = usize::from(id.0.checked_sub(Self::FIRST)?);
        match self.topics.get(place) {
            Some(topic) if topic.id == id => Some(place),
            _ => self.topics.binary_search_by_key(&id, |topic| topic.id).ok(),
        }
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
        self.topics.get(place).map(|topic| topic.id)
    }

    /// The id of a topic, given now if it has none. `None` when `most` topics have one, or have too long names.
    pub(crate) fn give(&mut self, name: TopicName<'_>, most: u16) -> Option<TopicId> {
        if let Some(id) = self.find(name) {
            return Some(id);
        }
        let place = self.topics.len();
        let passed_over = if self.brought_back { Self::PASSED_OVER } else { 0 };
        let used = usize::from(self.used).saturating_add(passed_over.into());
        if used >= Self::MOST || !self.has_room(name, most) {
            return None;
        }
        self.brought_back = false;
        let number = u16::try_from(place).ok()?;
        let id = TopicId(Self::FIRST.saturating_add(u16::try_from(used).ok()?));
        self.used = id.0.saturating_sub(Self::FIRST).saturating_add(1);
        // One at a time while there are few: most devices have two or three topics.
        if place < 4 {
            self.topics.reserve_exact(1);
        }
        self.octets = self.octets.saturating_add(name.as_str().len());
        self.topics.push(Topic { name: name.into(), id, known: false, owed: false });
        self.index(number, name);
        Some(id)
    }

    /// True when one topic more may have an id.
    pub(crate) fn has_room(&self, name: TopicName<'_>, most: u16) -> bool {
        let octets = self.octets.saturating_add(name.as_str().len());
        self.topics.len() < usize::from(most).min(Self::MOST) && octets <= most_octets(most)
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
        self.get(id).is_some_and(|topic| topic.known)
    }

    /// The client has learnt, or has forgotten, what the id means. Whatever it was to be told is settled.
    pub(crate) fn set_known(&mut self, id: TopicId, known: bool) {
        let was_owed = self.get_mut(id).is_some_and(|topic| {
            topic.known = known;
            std::mem::take(&mut topic.owed)
        });
        self.owed = self.owed.saturating_sub(u16::from(was_owed));
    }

    /// All names, in the order of their ids; whether the client knows them, and whether it is to be told.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TopicId, TopicName<'_>, bool, bool)> {
        self.topics.iter().map(|topic| (topic.id, topic.name.as_name(), topic.known, topic.owed))
    }

    /// Ids from the first on that are given, or passed over.
    pub(crate) const fn used(&self) -> u16 {
        self.used
    }

    /// A topic with the id that an earlier process gave it. `None` when that makes no sense, or there is no room.
    pub(crate) fn bring_back(&mut self, id: TopicId, name: TopicName<'_>, most: u16) -> Option<()> {
        self.pass_over(id.0.checked_sub(Self::FIRST)?)?;
        self.brought_back = false;
        (self.find(name).is_none() && self.give(name, most)? == id).then_some(())
    }

    /// That is all that an earlier process gave: it had used so many ids, written down or not.
    pub(crate) fn brought_back(&mut self, used: u16) -> Option<()> {
        self.pass_over(used)?;
        self.brought_back = true;
        Some(())
    }

    /// The next id is so far from the first, unless it would lie before what is given already.
    fn pass_over(&mut self, used: u16) -> Option<()> {
        (used >= self.used && usize::from(used) <= Self::MOST).then(|| self.used = used)
    }

    /// The client is to be told what the id means, whether a message waits for it or not.
    pub(crate) fn owe(&mut self, id: TopicId) {
        self.set_known(id, false);
        if let Some(topic) = self.get_mut(id) {
            topic.owed = true;
            self.owed = self.owed.saturating_add(1);
        }
    }

    /// The ids that the client is to be told, the lowest first.
    pub(crate) fn owed(&self) -> impl Iterator<Item = TopicId> {
        // Nearly always none: then nobody walks the list.
        let topics = if self.owed == 0 { &[] } else { self.topics.as_slice() };
        topics.iter().filter(|topic| topic.owed).map(|topic| topic.id)
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
    fn after_a_restart_ids_that_may_have_been_given_are_passed_over() {
        let mut registry = Registry::default();
        assert_eq!(registry.bring_back(TopicId(1025), name("a"), 9), Some(()));
        assert_eq!(registry.bring_back(TopicId(1030), name("b"), 9), Some(()));
        for (id, text) in [(1024, "c"), (1030, "c"), (1027, "c"), (1031, "a"), (65_535, "c")] {
            let mut registry = Registry::default();
            registry.bring_back(TopicId(1025), name("a"), 9).unwrap();
            registry.bring_back(TopicId(1030), name("b"), 9).unwrap();
            assert_eq!(registry.bring_back(TopicId(id), name(text), 9), None, "{id} {text}");
        }
        assert_eq!((registry.brought_back(3), registry.brought_back(20)), (None, Some(())));
        assert_eq!(registry.used(), 20, "nothing is passed over before it has to be");
        assert_eq!(registry.give(name("b"), 9), Some(TopicId(1030)));
        assert_eq!(registry.give(name("c"), 9), Some(TopicId(1025 + 20 + 64)));
        assert_eq!(registry.give(name("d"), 9), Some(TopicId(1025 + 20 + 65)));
        let names = [1025, 1026, 1030, 1044, 1045, 1109, 1110, 1111].map(|id| registry.name(TopicId(id)));
        let expected = [Some("a"), None, Some("b"), None, None, Some("c"), Some("d"), None];
        assert_eq!(names.map(|found| found.map(TopicName::as_str)), expected);
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
