//! What the next process must know to go on with the sessions of the links.

use super::lines::Line;
use super::{Bridge, LinkId};
use crate::link::SessionRecord;
use crate::upstream::Change;

pub use crate::upstream::FilterRecord;

/// What has changed of one link's session at its broker, for a store that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChanges {
    /// The link's client id.
    pub client_id: String,
    /// It replaces the record of the session, if there is one; it comes back in
    /// [`SessionScope::Durable`](crate::link::SessionScope::Durable).
    pub session: Option<SessionRecord>,
    /// The session is a new one: the records of all filters are void. To be done before `put` and `removed`.
    pub is_new: bool,
    /// By their filters, they replace what was recorded; they come back through [`Bridge::recall`].
    pub put: Vec<FilterRecord>,
    /// Filters that are to be recorded no more.
    pub removed: Vec<Box<str>>,
}

/// What a line has yet to tell of its session.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// It came up.
    up: bool,
    /// The broker knew of no session.
    is_new: bool,
}

impl Memory {
    pub(super) const fn on_up(&mut self, session_present: bool) {
        self.up = true;
        self.is_new |= !session_present;
    }
}

impl Line {
    /// Notes what changes, if there is to be a next process to know it.
    pub(super) fn remembering(mut self) -> Self {
        if self.link.is_durable()
            && let Some((_, trunk)) = self.shared_parts()
        {
            trunk.upstream.keep_record();
        }
        self
    }

    fn take_changes(&mut self) -> Option<LinkChanges> {
        let (link, trunk) = self.shared_parts()?;
        let Memory { up, is_new } = std::mem::take(&mut trunk.memory);
        let changes = trunk.upstream.take_changes();
        let session = if up { link.session_record() } else { None };
        if session.is_none() && changes.is_empty() {
            return None;
        }
        let client_id = link.client_id().to_owned();
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        for (filter, change) in changes {
            match change {
                Change::There(id, granted) => put.push(FilterRecord { filter, id, granted }),
                Change::Gone => removed.push(filter),
            }
        }
        Some(LinkChanges { client_id, session, is_new, put, removed })
    }
}

impl Bridge {
    /// What an earlier process had subscribed to over this link, whose session the link is to go on with. To be called
    /// before the link connects; the clients must be back ([`Uplink::Resubscribe`](crate::uplink::Uplink::Resubscribe))
    /// by then, too, since what nobody came back for is unsubscribed. Returns how many records made no sense.
    pub fn recall(&mut self, link: LinkId, records: impl IntoIterator<Item = FilterRecord>) -> usize {
        let trunk = self.lines.get_mut(link).and_then(Line::shared_parts);
        trunk.map_or(0, |(_, trunk)| trunk.upstream.recall(records))
    }

    /// What has changed of the links' sessions since it was asked last, by link. Nothing unless they are
    /// [`SessionScope::Durable`](crate::link::SessionScope::Durable); a filter that changed often is there once.
    pub fn take_link_changes(&mut self) -> Vec<LinkChanges> {
        let mut changes = Vec::new();
        self.lines.each_shared(|line| changes.extend(line.take_changes()));
        changes
    }
}
