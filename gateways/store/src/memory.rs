use crate::row::{link, link_value, session, session_key, session_value, set_aside};
use crate::{Change, Entry, Loaded, MOST_SET_ASIDE, SessionStore, StoreFault, Table, Verdict};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store for tests and simulations: it holds what was written as long as any of its clones lives, so that one of them
/// can be what a crash leaves behind.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    sessions: BTreeMap<Vec<u8>, Vec<u8>>,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    set_aside: VecDeque<Vec<u8>>,
    failures: u32,
}

impl MemoryStore {
    /// The next `times` writes fail.
    pub fn fail(&self, times: u32) {
        self.rows().failures = times;
    }

    /// Spoils what is written of a session; false if nothing is.
    pub fn spoil(&self, gateway: &str, id: &str) -> bool {
        let mut rows = self.rows();
        let value = rows.sessions.get_mut(&session_key(gateway, id));
        value.and_then(|value| value.last_mut()).map(|last| *last ^= 1).is_some()
    }

    /// Rows that were set aside.
    #[must_use]
    pub fn set_aside(&self) -> usize {
        self.rows().set_aside.len()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn write(&mut self, change: &Change) -> u64 {
        let (table, key, value) = match change {
            Change::Session { gateway, id, home, session: content } => {
                let key = session_key(gateway, id);
                if content.is_none()
                    && let Some(Entry::Session { home: other, .. }) =
                        self.sessions.get(&key).and_then(|value| session(&key, value))
                    && home.must_leave(other)
                {
                    return 0;
                }
                let value = content.as_ref().map(|content| session_value(&key, *home, content));
                (&mut self.sessions, key, value)
            }
            Change::ForgetLinks { prefix } => {
                self.links.retain(|key, _| !key.starts_with(prefix.as_bytes()));
                return prefix.len() as u64;
            }
            Change::Link { name, value } => {
                let key = name.as_bytes().to_vec();
                let value = value.as_ref().map(|value| link_value(&key, value));
                (&mut self.links, key, value)
            }
        };
        let octets = key.len().saturating_add(value.as_ref().map_or(0, Vec::len)) as u64;
        match value {
            Some(value) => drop(table.insert(key, value)),
            None => drop(table.remove(&key)),
        }
        octets
    }

    fn sift(
        table: &mut BTreeMap<Vec<u8>, Vec<u8>>,
        aside: &mut VecDeque<Vec<u8>>,
        read: impl for<'a> Fn(&'a [u8], &'a [u8]) -> Option<Entry<'a>>,
        visit: &mut dyn FnMut(Entry<'_>) -> Verdict,
        loaded: &mut Loaded,
    ) {
        table.retain(|key, value| match read(key, value).map_or(Verdict::SetAside, &mut *visit) {
            Verdict::Keep => {
                loaded.kept += 1;
                true
            }
            Verdict::Remove => {
                loaded.removed += 1;
                false
            }
            Verdict::SetAside => {
                loaded.set_aside += 1;
                aside.push_back(set_aside(key, value));
                false
            }
        });
    }
}

impl SessionStore for MemoryStore {
    fn load(&mut self, table: Table, visit: &mut dyn FnMut(Entry<'_>) -> Verdict) -> Result<Loaded, StoreFault> {
        let (mut rows, mut loaded) = (self.rows(), Loaded::default());
        let Rows { sessions, links, set_aside: aside, .. } = &mut *rows;
        match table {
            Table::Sessions => Rows::sift(sessions, aside, session, visit, &mut loaded),
            Table::Links => Rows::sift(links, aside, link, visit, &mut loaded),
        }
        while aside.len() as u64 > MOST_SET_ASIDE {
            aside.pop_front();
        }
        Ok(loaded)
    }

    fn write(&mut self, changes: &[Change]) -> Result<u64, StoreFault> {
        let mut rows = self.rows();
        if rows.failures > 0 {
            rows.failures -= 1;
            return Err(StoreFault::Failed("it was told to".to_owned()));
        }
        Ok(changes.iter().map(|change| rows.write(change)).sum())
    }
}
