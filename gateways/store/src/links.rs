//! What the next process must know of the links' sessions at the broker, as rows.
//!
//! | row | name | value |
//! |---|---|---|
//! | session | client id, NUL | protocol level (4, 5), last packet id (2 octets), server |
//! | filter | client id, NUL, filter | identifier (4 octets), QoS granted (255 = none yet) |

use crate::{Change, Verdict};
use bridge_core::bridge::{FilterRecord, LinkChanges};
use bridge_core::link::SessionRecord;
use bridge_core::{Qos, Version};
use std::collections::BTreeMap;

/// For a filter that the broker has not answered for.
const UNANSWERED: u8 = 0xFF;

/// The rows of one link's changes, in the order in which they are to be made.
pub fn link_changes(changes: LinkChanges) -> impl Iterator<Item = Change> {
    let LinkChanges { client_id, session, is_new, put, removed } = changes;
    let all = is_new.then(|| Change::ForgetLinks { prefix: name(&client_id, "") });
    let session =
        session.map(|session| Change::Link { name: name(&client_id, ""), value: Some(session_value(&session).into()) });
    let id = client_id.clone();
    let put = put
        .into_iter()
        .map(move |filter| Change::Link { name: name(&id, &filter.filter), value: Some(filter_value(&filter).into()) });
    let removed = removed.into_iter().map(move |filter| Change::Link { name: name(&client_id, &filter), value: None });
    all.into_iter().chain(session).chain(put).chain(removed)
}

fn name(client_id: &str, filter: &str) -> Box<str> {
    format!("{client_id}\0{filter}").into()
}

fn session_value(session: &SessionRecord) -> Vec<u8> {
    let level = match session.version {
        Version::V311 => 4,
        Version::V5 => 5,
    };
    [&[level][..], &session.last_packet_id.to_be_bytes(), session.server.as_bytes()].concat()
}

fn filter_value(filter: &FilterRecord) -> Vec<u8> {
    let granted = match filter.granted {
        None => UNANSWERED,
        Some(Qos::AtMostOnce) => 0,
        Some(Qos::AtLeastOnce) => 1,
        Some(Qos::ExactlyOnce) => 2,
    };
    [&filter.id.to_be_bytes()[..], &[granted]].concat()
}

/// What was kept of the links that there are.
#[derive(Debug, Default)]
pub struct LinkMemory {
    links: BTreeMap<String, Link>,
}

#[derive(Debug, Default)]
struct Link {
    session: Option<SessionRecord>,
    filters: Vec<FilterRecord>,
}

impl LinkMemory {
    /// Nothing yet, of the links with these client ids.
    pub fn new(client_ids: impl IntoIterator<Item = String>) -> Self {
        Self { links: client_ids.into_iter().map(|id| (id, Link::default())).collect() }
    }

    /// Takes in a row. One of a link that is gone may go.
    pub fn read(&mut self, name: &str, value: &[u8]) -> Verdict {
        let Some((client_id, filter)) = name.split_once('\0') else { return Verdict::SetAside };
        let Some(link) = self.links.get_mut(client_id) else { return Verdict::Remove };
        let known = if filter.is_empty() {
            link.session = read_session(value);
            link.session.is_some()
        } else {
            let record = read_filter(filter, value);
            let known = record.is_some();
            link.filters.extend(record);
            known
        };
        if known { Verdict::Keep } else { Verdict::SetAside }
    }

    /// The session of a link.
    #[must_use]
    pub fn session(&self, client_id: &str) -> Option<SessionRecord> {
        self.links.get(client_id).and_then(|link| link.session.clone())
    }

    /// What a link has subscribed to; once.
    pub fn take_filters(&mut self, client_id: &str) -> Vec<FilterRecord> {
        self.links.get_mut(client_id).map(|link| std::mem::take(&mut link.filters)).unwrap_or_default()
    }
}

fn read_session(value: &[u8]) -> Option<SessionRecord> {
    let [level, high, low, server @ ..] = value else { return None };
    let version = match level {
        4 => Version::V311,
        5 => Version::V5,
        _ => return None,
    };
    let server = String::from_utf8(server.to_vec()).ok()?;
    Some(SessionRecord { server, version, last_packet_id: u16::from_be_bytes([*high, *low]) })
}

fn read_filter(filter: &str, value: &[u8]) -> Option<FilterRecord> {
    let (id, [granted]) = value.split_first_chunk()? else { return None };
    let granted = match *granted {
        UNANSWERED => None,
        qos => Some(Qos::from_bits(qos)?),
    };
    Some(FilterRecord { filter: filter.into(), id: u32::from_be_bytes(*id), granted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, MemoryStore, SessionStore, Table};

    fn session(last_packet_id: u16) -> SessionRecord {
        SessionRecord { server: "h:1883".into(), version: Version::V5, last_packet_id }
    }

    fn filter(text: &str, granted: Option<Qos>) -> FilterRecord {
        FilterRecord { filter: text.into(), id: 300, granted }
    }

    fn read(store: &mut MemoryStore, ids: &[&str]) -> LinkMemory {
        let mut memory = LinkMemory::new(ids.iter().map(ToString::to_string));
        let visit = &mut |entry: Entry<'_>| match entry {
            Entry::Link { name, value } => memory.read(name, value),
            Entry::Session { .. } => Verdict::Keep,
        };
        store.load(Table::Links, visit).unwrap();
        memory
    }

    fn write(store: &mut MemoryStore, id: &str, is_new: bool, put: &[FilterRecord], removed: &[&str]) {
        let changes = LinkChanges {
            client_id: id.into(),
            session: Some(session(7)),
            is_new,
            put: put.to_vec(),
            removed: removed.iter().map(|&text| text.into()).collect(),
        };
        store.write(&link_changes(changes).collect::<Vec<_>>()).unwrap();
    }

    #[test]
    fn a_link_gets_back_what_it_had() {
        let mut store = MemoryStore::default();
        let all = [filter("a/#", None), filter("b", Some(Qos::ExactlyOnce)), filter("c", Some(Qos::AtMostOnce))];
        write(&mut store, "n-0", true, &all, &[]);
        write(&mut store, "n-0", false, &[filter("b", Some(Qos::AtLeastOnce))], &["c"]);
        let mut memory = read(&mut store, &["n-0"]);
        assert_eq!(memory.session("n-0"), Some(session(7)));
        assert_eq!(memory.take_filters("n-0"), [filter("a/#", None), filter("b", Some(Qos::AtLeastOnce))]);
        assert_eq!((memory.session("n-1"), memory.take_filters("n-0").len()), (None, 0));
    }

    #[test]
    fn a_new_session_makes_the_old_rows_void_and_no_others() {
        let mut store = MemoryStore::default();
        for id in ["n-1", "n-10"] {
            write(&mut store, id, true, &[filter("old", None)], &[]);
        }
        write(&mut store, "n-1", true, &[filter("new", None)], &[]);
        let mut memory = read(&mut store, &["n-1", "n-10"]);
        assert_eq!(memory.take_filters("n-1"), [filter("new", None)]);
        assert_eq!(memory.take_filters("n-10"), [filter("old", None)]);
    }

    #[test]
    fn rows_of_links_that_are_gone_go_and_those_without_sense_are_set_aside() {
        let mut store = MemoryStore::default();
        write(&mut store, "n-0", true, &[filter("a", None)], &[]);
        let mut memory = read(&mut store, &["n-9"]);
        assert_eq!(memory.take_filters("n-0"), []);
        assert_eq!(read(&mut store, &["n-0"]).session("n-0"), None, "they went");
        let mut memory = LinkMemory::new(["n-0".to_owned()]);
        for (name, value) in [
            ("n-0", &b""[..]),
            ("n-0\0", b"\x05\0"),
            ("n-0\0", b"\x06\0\x01h"),
            ("n-0\0a", b"\0\0\0\x01"),
            ("n-0\0a", b"\0\0\0\x01\x03"),
        ] {
            assert_eq!(memory.read(name, value), Verdict::SetAside, "{name:?} {value:?}");
        }
    }
}
