//! What outlives a connection, and a process: restoring subscriptions, and what the next process must know of them.

use super::{Ask, Cause, Filter, MAX_ID, Upstream, fresh, last_seat};
use crate::slab::Key;
use crate::topic::TopicFilter;
use codec_mqtt::Qos;

/// A subscription that a link has at its broker, as the next process must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterRecord {
    /// With the mountpoint, and with `$share/GROUP/` where there is one.
    pub filter: Box<str>,
    /// The subscription identifier, 1 to 268,435,455, that messages under it carry.
    pub id: u32,
    /// What the broker granted; `None` = it has been asked, and has not answered.
    pub granted: Option<Qos>,
}

/// What has become of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is upstream: identifier, and what was granted.
    There(u32, Option<Qos>),
    /// It is not any more.
    Gone,
}

/// What to send when the link is back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Restoration {
    pub(crate) asks: Vec<Ask>,
    /// What an earlier process had subscribed to, and nobody came back for.
    pub(crate) unsubscribes: Vec<Box<str>>,
}

impl Upstream {
    /// From now on, what changes is noted for [`Upstream::take_changes`].
    pub(crate) fn keep_record(&mut self) {
        self.changes = Some(indexmap::IndexMap::default());
    }

    /// What an earlier process had subscribed to over this link. Returns how many records make no sense, and are left out.
    ///
    /// Identifiers stay what they were, since messages that the broker has queued carry them. Fresh ones begin so far
    /// above that those which the earlier process gave out in its last moments, unrecorded, are not given out again.
    pub(crate) fn recall(&mut self, records: impl IntoIterator<Item = FilterRecord>) -> usize {
        let mut senseless = 0;
        for FilterRecord { filter, id, granted } in records {
            let key = TopicFilter::try_from(&*filter).ok().and_then(|text| match self.find(text) {
                Some(key) => Some(key),
                None => self.add(text),
            });
            let Some(key) = key.filter(|_| (1..=MAX_ID).contains(&id) && !self.causes.contains_key(&id)) else {
                senseless += 1;
                continue;
            };
            let Some(entry) = self.filters.get_mut(key) else { continue };
            (entry.id, entry.granted) = (id, granted);
            entry.qos = granted.unwrap_or(Qos::AtMostOnce);
            self.causes.insert(id, Cause { filter: key, served: Vec::new() });
            self.last_id = self.last_id.max(id);
        }
        // Without a single record, too: the earlier process may have crashed before it had any.
        self.last_id = self.last_id.saturating_add(UNRECORDED);
        senseless
    }

    /// What to send when the link is back: everything, or, when the broker kept the session, what is not in force there.
    /// Who still waits for an answer is served by the new SUBSCRIBE; the others are owed nothing.
    pub(crate) fn restore(&mut self, session_present: bool) -> Restoration {
        if !session_present {
            self.forget_grants();
        }
        let mut restoration = Restoration::default();
        for key in self.filters.iter().filter(|(_, f)| !f.is_in_force()).map(|(key, _)| key).collect::<Vec<_>>() {
            if self.filters.get(key).is_some_and(|entry| !entry.members.is_empty()) {
                restoration.asks.extend(self.ask_again(key));
            } else {
                restoration.unsubscribes.extend(self.drop_filter(key).filter(|_| session_present));
            }
        }
        restoration
    }

    /// The broker has a new session: nothing of the old one is in force.
    fn forget_grants(&mut self) {
        let keys: Vec<Key> = self.filters.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(entry) = self.filters.get_mut(key) {
                entry.granted = None;
            }
        }
        if let Some(changes) = &mut self.changes {
            changes.clear();
        }
    }

    fn ask_again(&mut self, key: Key) -> Option<Ask> {
        let id = fresh(&mut self.last_id, &self.causes);
        let entry = self.filters.get_mut(key)?;
        if let Some(next) = entry.next.take() {
            self.causes.remove(&next);
        }
        let waiting = entry.members.iter_mut().filter(|(_, m)| m.due);
        let mut served = Vec::new();
        for (&place, member) in waiting {
            served.push(place);
            (member.cause, member.seat) = (id, last_seat(&served));
        }
        entry.qos = entry.members.values().map(|m| m.qos).max()?;
        self.causes.insert(id, Cause { filter: key, served });
        self.ask(key, id)
    }

    /// What the next process must know of the filters, as far as it has changed since it was asked last.
    pub(crate) fn take_changes(&mut self) -> Vec<(Box<str>, Change)> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default().into_iter().collect()
    }

    /// A filter is not what it was.
    pub(super) fn note(&mut self, key: Key) {
        let (Some(changes), Some(entry)) = (&mut self.changes, self.filters.get(key)) else { return };
        changes.insert(entry.text.clone(), Change::There(entry.id, entry.granted));
    }

    /// The broker has nothing under this filter any more.
    pub(crate) fn gone(&mut self, text: &str) {
        let known = TopicFilter::try_from(text).ok().and_then(|filter| self.find(filter)).is_some();
        if let Some(changes) = self.changes.as_mut().filter(|_| !known) {
            changes.insert(text.into(), Change::Gone);
        }
    }
}

impl Filter {
    /// The broker has granted all that its members want, and some are there.
    fn is_in_force(&self) -> bool {
        let wants = |m: &super::Member| m.due || m.qos > self.qos;
        !self.members.is_empty() && self.granted.is_some() && !self.unanswered && !self.members.values().any(wants)
    }
}

/// More than the identifiers that are given out between two writings of the record.
const UNRECORDED: u32 = 1 << 16;
