//! Topic ids that both sides know beforehand.

use bridge_core::topic::{TopicBuf, TopicName};
use codec_mqttsn::TopicId;
use std::collections::BTreeMap;

/// The predefined topics of all clients. Read for nearly each message, so both ways are short: an index by id, and a
/// sorted list by name that is nearly always empty or small.
#[derive(Debug, Default)]
pub(crate) struct Predefined {
    by_id: Vec<Option<TopicBuf>>,
    by_name: Vec<(Box<str>, TopicId)>,
}

impl Predefined {
    /// From the configuration, which has checked the names; one that is no topic name is left out.
    pub(crate) fn new(topics: &BTreeMap<u16, String>) -> Self {
        let mut this = Self::default();
        for (&id, name) in topics {
            let Ok(topic) = TopicName::try_from(name.as_str()) else { continue };
            let index = usize::from(id);
            if this.by_id.len() <= index {
                this.by_id.resize(index.saturating_add(1), None);
            }
            if let Some(place) = this.by_id.get_mut(index) {
                *place = Some(topic.into());
            }
            this.by_name.push((name.as_str().into(), TopicId(id)));
        }
        // Stable: of two ids for one name the lower one is told.
        this.by_name.sort_by(|a, b| a.0.cmp(&b.0));
        this.by_name.dedup_by(|later, earlier| later.0 == earlier.0);
        this
    }

    /// The topic behind an id.
    pub(crate) fn name(&self, id: TopicId) -> Option<TopicName<'_>> {
        self.by_id.get(usize::from(id.0))?.as_ref().map(TopicBuf::as_name)
    }

    /// The id of a topic; the lowest if it has several.
    pub(crate) fn find(&self, name: &str) -> Option<TopicId> {
        let place = self.by_name.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        self.by_name.get(place).map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_lead_to_the_same_topic() {
        let table = [(7, "b"), (1, "a"), (9, "a")].map(|(id, name)| (id, name.to_owned()));
        let predefined = Predefined::new(&table.into());
        let name = |id| predefined.name(TopicId(id)).map(TopicName::as_str);
        assert_eq!((name(1), name(7), name(9)), (Some("a"), Some("b"), Some("a")));
        assert_eq!((name(0), name(2), name(10), name(u16::MAX)), (None, None, None, None));
        assert_eq!((predefined.find("a"), predefined.find("b")), (Some(TopicId(1)), Some(TopicId(7))));
        assert_eq!(predefined.find("c"), None);
    }
}
