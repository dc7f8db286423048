//! All connections of a machine, found by their number and, once their device is in, by client id.

use crate::connection::{Connection, Hello, Session, State};
use bridge_core::slab::{Key, Slab};
use bridge_core::streams::ConnRef;
use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};
use std::hash::BuildHasher;

/// The table by id holds keys only: the id lies in the session, which is needed next anyway.
#[derive(Debug)]
pub(crate) struct Connections {
    slab: Slab<Connection>,
    by_conn: HashMap<ConnRef, Key, foldhash::fast::FixedState>,
    by_id: HashTable<Key>,
    /// Client ids of those about whom somebody is being asked, and how many want each.
    wanted: HashMap<Box<str>, u32, FixedState>,
    /// Seeded: ids come from outside.
    hasher: FixedState,
}

impl Connections {
    pub(crate) fn new(seed: u64) -> Self {
        let by_conn = HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed));
        let hasher = || FixedState::with_seed(seed);
        let wanted = HashMap::with_hasher(hasher());
        Self { slab: Slab::default(), by_conn, by_id: HashTable::new(), wanted, hasher: hasher() }
    }

    #[inline]
    pub(crate) fn at(&self, conn: ConnRef) -> Option<Key> {
        self.by_conn.get(&conn).copied()
    }

    /// The session of this client id.
    pub(crate) fn named(&self, id: &str) -> Option<Key> {
        let same = |&key: &Key| self.session(key).is_some_and(|session| *session.id == *id);
        self.by_id.find(self.hasher.hash_one(id), same).copied()
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&Connection> {
        self.slab.get(key)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.slab.get_mut(key)
    }

    pub(crate) fn session(&self, key: Key) -> Option<&Session> {
        self.slab.get(key).and_then(Connection::session)
    }

    pub(crate) fn session_mut(&mut self, key: Key) -> Option<&mut Session> {
        self.slab.get_mut(key).and_then(Connection::session_mut)
    }

    pub(crate) fn insert(&mut self, connection: Connection) -> Option<Key> {
        let conn = connection.conn;
        let key = self.slab.insert(connection)?;
        self.by_conn.insert(conn, key);
        Some(key)
    }

    /// Somebody is being asked about it.
    pub(crate) fn park(&mut self, key: Key, hello: Hello) {
        if let Some(connection) = self.slab.get_mut(key) {
            *self.wanted.entry(hello.id.clone()).or_insert(0) += 1;
            connection.state = State::Waiting(Box::new(hello));
        }
    }

    /// One fewer wants that id: somebody has answered, or it has gone.
    pub(crate) fn unpark(&mut self, id: &str) {
        if let Some(others) = self.wanted.get_mut(id) {
            *others = others.saturating_sub(1);
            if *others == 0 {
                self.wanted.remove(id);
            }
        }
    }

    /// True while somebody is being asked about a connection that wants that id.
    pub(crate) fn is_wanted(&self, id: &str) -> bool {
        !self.wanted.is_empty() && self.wanted.contains_key(id)
    }

    /// How many connections want each id.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (&str, u32)> {
        self.wanted.iter().map(|(id, many)| (&**id, *many))
    }

    /// Its session is found by its id from now on; the one that had the id is gone by now.
    pub(crate) fn enlist(&mut self, key: Key) {
        let Some(hash) = self.session(key).map(|session| self.hasher.hash_one(&*session.id)) else { return };
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.by_id.insert_unique(hash, key, |&key| {
            slab.get(key).and_then(Connection::session).map_or(0, |session| hasher.hash_one(&*session.id))
        });
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Connection> {
        if let Some(session) = self.session(key) {
            let hash = self.hasher.hash_one(&*session.id);
            if let Ok(entry) = self.by_id.find_entry(hash, |&other| other == key) {
                entry.remove();
            }
        }
        let connection = self.slab.remove(key)?;
        self.by_conn.remove(&connection.conn);
        if let State::Waiting(hello) = &connection.state {
            self.unpark(&hello.id);
        }
        Some(connection)
    }

    /// Devices that are in.
    pub(crate) fn sessions(&self) -> usize {
        self.by_id.len()
    }

    /// All connections, in slot order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> {
        self.slab.iter()
    }

    /// Those in at most `most` slots from slot `first` on, in slot order.
    pub(crate) fn slice(&self, first: u32, most: usize) -> impl Iterator<Item = (Key, &Connection)> {
        self.slab.slice(first, most)
    }

    /// Slots there are, free ones included.
    pub(crate) const fn slots(&self) -> usize {
        self.slab.slots()
    }
}
