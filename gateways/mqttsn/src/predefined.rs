//! Topic ids that both sides know beforehand.

use crate::base::Base;
use crate::copies::release;
use crate::counts::Count;
use crate::down::Stage;
use crate::hold::{Held, Way};
use crate::session::Session;
use bridge_core::machine::Cx;
use bridge_core::topic::{TopicBuf, TopicName};
use codec_mqttsn::TopicId;
use foldhash::quality::FixedState;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All predefined topics: those of all clients, and those that single clients have beside them.
#[derive(Debug)]
pub(crate) struct Predefined {
    common: Table,
    own: HashMap<Box<str>, Arc<Table>, FixedState>,
}

/// One table. Read for nearly each message, so both ways are short: two sorted lists that are nearly always small.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_id: Vec<(TopicId, TopicBuf)>,
    /// Places in `by_id`, by name, then by id.
    by_name: Vec<u16>,
}

/// What one client knows: its own table first, then everybody's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    own: Option<&'a Table>,
    common: &'a Table,
}

/// No id beyond is predefined: most lookups end here.
const LAST: TopicId = TopicId(1024);

impl Predefined {
    /// From the configuration, which has checked the names; one that is no topic name is left out. `seed`: client ids
    /// come from outside.
    pub(crate) fn new(
        common: &BTreeMap<u16, String>,
        own: &BTreeMap<String, BTreeMap<u16, String>>,
        seed: u64,
    ) -> Self {
        let mut tables = HashMap::with_hasher(FixedState::with_seed(seed));
        tables.extend(own.iter().map(|(id, topics)| (id.as_str().into(), Arc::new(Table::new(topics)))));
        Self { common: Table::new(common), own: tables }
    }

    /// True when any client has a table of its own.
    pub(crate) fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// The table that a client has for itself: to be looked up once, and kept with its session.
    pub(crate) fn own(&self, client_id: &str) -> Option<Arc<Table>> {
        if self.has_own() { self.own.get(client_id).cloned() } else { None }
    }

    /// What a client with this table of its own knows.
    #[inline]
    pub(crate) const fn known<'a>(&'a self, own: Option<&'a Table>) -> Known<'a> {
        Known { own, common: &self.common }
    }
}

impl<'a> Known<'a> {
    /// The topic behind an id.
    #[inline]
    pub(crate) fn name(self, id: TopicId) -> Option<TopicName<'a>> {
        if id > LAST {
            return None;
        }
        self.own.and_then(|own| own.name(id)).or_else(|| self.common.name(id))
    }

    /// The id of a topic; the lowest if it has several in one table.
    pub(crate) fn find(self, name: &str) -> Option<TopicId> {
        if let Some(id) = self.own.and_then(|own| own.ids(name).next()) {
            return Some(id);
        }
        // An id that means something else to this client is not the topic's.
        let hidden = |id: &TopicId| self.own.is_some_and(|own| own.name(*id).is_some());
        self.common.ids(name).find(|id| !hidden(id))
    }
}

impl Table {
    fn new(topics: &BTreeMap<u16, String>) -> Self {
        let named = topics.iter().filter_map(|(&id, name)| {
            let topic = TopicName::try_from(name.as_str()).ok()?;
            (TopicId(id) <= LAST).then(|| (TopicId(id), topic.into()))
        });
        let by_id: Vec<(TopicId, TopicBuf)> = named.collect();
        let mut by_name: Vec<u16> = (0_u16..).zip(&by_id).map(|(place, _)| place).collect();
        // Stable: of several ids for one name the lowest stands first.
        by_name.sort_by(|&a, &b| text(&by_id, a).cmp(text(&by_id, b)));
        Self { by_id, by_name }
    }

    fn name(&self, id: TopicId) -> Option<TopicName<'_>> {
        let place = self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.by_id.get(place).map(|(_, name)| name.as_name())
    }

    /// The ids of a topic, the lowest first.
    fn ids<'a>(&'a self, name: &'a str) -> impl Iterator<Item = TopicId> {
        let first = self.by_name.partition_point(|&place| text(&self.by_id, place) < name);
        let places = self.by_name.get(first..).unwrap_or_default();
        let same = places.iter().take_while(move |&&place| text(&self.by_id, place) == name);
        same.filter_map(|&place| self.by_id.get(usize::from(place)).map(|(id, _)| *id))
    }
}

fn text(by_id: &[(TopicId, TopicBuf)], place: u16) -> &str {
    by_id.get(usize::from(place)).map_or("", |(_, name)| name.as_name().as_str())
}

impl Session {
    /// The tables have changed: what goes by an id that means something else now goes by its name from here on.
    pub(crate) fn know(&mut self, base: &mut Base, cx: &mut Cx<'_>, before: &Predefined) {
        let own = base.rules.predefined.own(&self.id);
        let (was, is) = (before.known(self.predefined.as_deref()), base.rules.predefined.known(own.as_deref()));
        let changed = |id: TopicId| was.name(id).filter(|name| is.name(id) != Some(*name));
        self.subscriptions.spell_out(changed);
        let other = |held: &Held| match held.way {
            Way::Predefined(id) => changed(id).map(|name| (id, name)),
            Way::Normal(_) | Way::Short(_) => None,
        };
        loop {
            let next = self.down.queue.iter().find_map(other);
            let Some((id, name)) = next else { break };
            match self.registry.give(name, base.rules.max_topics) {
                Some(to) => self.down.queue.rename(Way::Predefined(id), Way::Normal(to)),
                None => {
                    let client = self.client;
                    let gone = self.down.queue.retain(|held| {
                        let stays = held.way != Way::Predefined(id);
                        release(base, cx, client, held.receipt.filter(|_| !stays));
                        stays
                    });
                    base.counts.add(Count::NoTopicId, gone as u64);
                }
            }
        }
        let flight = self.down.in_flight.as_mut().filter(|flight| flight.stage == Stage::Published);
        if let Some(flight) = flight
            && let Some((_, name)) = other(&flight.held)
        {
            if let Some(timer) = flight.timer.take() {
                base.wheel.cancel(timer);
            }
            // Without a timer it waits for REGACK.
            match self.registry.give(name, base.rules.max_topics) {
                Some(to) => flight.held.way = Way::Normal(to),
                None => {
                    base.counts.up(Count::NoTopicId);
                    let receipt = flight.held.receipt;
                    self.down.in_flight = None;
                    self.release(base, cx, receipt);
                }
            }
        }
        self.predefined = own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(topics: &[(u16, &str)]) -> BTreeMap<u16, String> {
        topics.iter().map(|&(id, name)| (id, name.to_owned())).collect()
    }

    #[test]
    fn both_ways_lead_to_the_same_topic() {
        let predefined = Predefined::new(&table(&[(7, "b"), (1, "a"), (9, "a"), (1025, "c")]), &BTreeMap::new(), 1);
        let known = predefined.known(None);
        let name = |id| known.name(TopicId(id)).map(TopicName::as_str);
        assert_eq!((name(1), name(7), name(9)), (Some("a"), Some("b"), Some("a")));
        assert_eq!((name(0), name(2), name(10), name(1025), name(u16::MAX)), (None, None, None, None, None));
        assert_eq!((known.find("a"), known.find("b")), (Some(TopicId(1)), Some(TopicId(7))));
        assert_eq!((known.find("c"), known.find("")), (None, None));
    }

    #[test]
    fn a_clients_own_table_goes_before_everybodys() {
        let own = [("lamp".to_owned(), table(&[(1, "x"), (3, "b"), (5, "y")]))].into();
        let predefined = Predefined::new(&table(&[(1, "a"), (2, "b"), (4, "c"), (6, "a")]), &own, 1);
        assert!(predefined.own("other").is_none());
        let lamp = predefined.own("lamp").unwrap();
        let known = predefined.known(Some(&lamp));
        let name = |id| known.name(TopicId(id)).map(TopicName::as_str);
        assert_eq!([1, 2, 3, 4, 5, 6].map(name), [Some("x"), Some("b"), Some("b"), Some("c"), Some("y"), Some("a")]);
        let id = |name| known.find(name).map(|id| id.0);
        assert_eq!(["x", "b", "c", "y"].map(id), [Some(1), Some(3), Some(4), Some(5)]);
        assert_eq!(id("a"), Some(6), "id 1 means something else to it");
    }
}
