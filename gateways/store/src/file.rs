//! A file of [redb](https://www.redb.org): copy on write, one fsync a commit, and a check of every page at the start.

use crate::row::{link, link_value, session, session_key, session_value, set_aside};
use crate::{Change, Entry, Loaded, MOST_SET_ASIDE, SessionStore, StoreFault, Table, Verdict};
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Open<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;

const SESSIONS: Rows = TableDefinition::new("sessions");
const LINKS: Rows = TableDefinition::new("links");
/// Rows that nobody could read, numbered.
const CORRUPT: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("corrupt");

/// Octets of the file that are kept in memory: it is read once.
const CACHE: usize = 16 << 20;
/// Damaged files that may lie beside the file.
const MOST_DAMAGED: u32 = 100;

/// A store in one file, which no other process may use at the same time.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    /// `None` after a failure: then it is opened anew.
    database: Option<Database>,
}

/// A store, and what became of a file that could not be used.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: FileStore,
    /// The file was damaged: its new name, and how.
    pub damaged: Option<(PathBuf, String)>,
}

impl FileStore {
    /// Opens the file, or begins it, with its folder. Every page is checked. A damaged file is renamed and a new one
    /// begun.
    ///
    /// # Errors
    /// [`StoreFault::Locked`] while another process has it, [`StoreFault::Unreachable`] if the system refuses it.
    pub fn open(path: &Path) -> Result<Opened, StoreFault> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|fault| unreachable(path, &fault))?;
        }
        let (database, damaged) = match open(path, true) {
            Ok(database) => (database, None),
            Err(Obstacle::Refused(fault)) => return Err(fault),
            Err(Obstacle::Damaged(how)) => {
                let aside = rename_aside(path).map_err(|fault| unreachable(path, &fault))?;
                (open(path, false).map_err(|obstacle| obstacle.fault(path))?, Some((aside, how)))
            }
        };
        Ok(Opened { store: Self { path: path.to_owned(), database: Some(database) }, damaged })
    }

    fn database(&mut self) -> Result<&Database, StoreFault> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path, false).map_err(|obstacle| obstacle.fault(&self.path))?,
        };
        Ok(self.database.insert(database))
    }
}

/// Why a file is not open.
enum Obstacle {
    Refused(StoreFault),
    Damaged(String),
}

impl Obstacle {
    fn fault(self, path: &Path) -> StoreFault {
        match self {
            Self::Refused(fault) => fault,
            Self::Damaged(how) => StoreFault::Unreachable { path: path.to_owned(), why: how },
        }
    }
}

fn open(path: &Path, check: bool) -> Result<Database, Obstacle> {
    let refused = |fault: io::Error| Obstacle::Refused(unreachable(path, &fault));
    // What devices say is nobody else's to read.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let backend = match FileBackend::new(file.map_err(refused)?) {
        Ok(backend) => backend,
        Err(fault) => return Err(obstacle(path, fault)),
    };
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(check);
    // A file that somebody else has written to may be anything.
    let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend)));
    let database = match opened {
        Ok(opened) => opened.map_err(|fault| obstacle(path, fault))?,
        Err(_payload) => return Err(Obstacle::Damaged("its pages make no sense".to_owned())),
    };
    begin_tables(&database).map_err(|fault| unusable(path, fault))?;
    Ok(database)
}

fn obstacle(path: &Path, fault: DatabaseError) -> Obstacle {
    match fault {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            Obstacle::Refused(StoreFault::Locked(path.to_owned()))
        }
        fault => unusable(path, fault.into()),
    }
}

/// A disk that is full, or that fails, says nothing about the file: that stays where it is.
fn unusable(path: &Path, fault: redb::Error) -> Obstacle {
    match fault {
        redb::Error::Io(fault)
            if !matches!(fault.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            Obstacle::Refused(unreachable(path, &fault))
        }
        fault => Obstacle::Damaged(fault.to_string()),
    }
}

fn begin_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(SESSIONS)?;
    transaction.open_table(LINKS)?;
    transaction.open_table(CORRUPT)?;
    Ok(transaction.commit()?)
}

/// To the first name that is free; when none is, the first of them goes.
fn rename_aside(path: &Path) -> io::Result<PathBuf> {
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    };
    let aside = (1..=MOST_DAMAGED).map(named).find(|name| !name.exists()).unwrap_or_else(|| named(1));
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn unreachable(path: &Path, fault: &io::Error) -> StoreFault {
    StoreFault::Unreachable { path: path.to_owned(), why: fault.to_string() }
}

fn failed(fault: impl Into<redb::Error>) -> StoreFault {
    StoreFault::Failed(fault.into().to_string())
}

impl SessionStore for FileStore {
    fn load(&mut self, table: Table, visit: &mut dyn FnMut(Entry<'_>) -> Verdict) -> Result<Loaded, StoreFault> {
        let database = self.database()?;
        let mut sieve = Sieve::default();
        let rows = match table {
            Table::Sessions => SESSIONS,
            Table::Links => LINKS,
        };
        let doomed = match table {
            Table::Sessions => sieve.sift(database, rows, session, visit),
            Table::Links => sieve.sift(database, rows, link, visit),
        };
        let doomed = doomed.map_err(failed)?;
        if !doomed.is_empty() {
            sieve.sweep(database, rows, &doomed).map_err(failed)?;
        }
        Ok(sieve.loaded)
    }

    fn write(&mut self, changes: &[Change]) -> Result<u64, StoreFault> {
        let write = || self.database().and_then(|database| commit(database, changes).map_err(failed));
        // What is wrong with the database must not end the node: it goes on with what it holds.
        let written = catch_unwind(AssertUnwindSafe(write))
            .unwrap_or_else(|_payload| Err(StoreFault::Failed("its pages make no sense".to_owned())));
        if written.is_err() {
            // After a failed write the database takes nothing more: it has to be opened anew.
            self.database = None;
        }
        written
    }
}

/// How the rows fare.
#[derive(Default)]
struct Sieve {
    loaded: Loaded,
    /// To be set aside.
    aside: VecDeque<Vec<u8>>,
}

impl Sieve {
    fn sift(
        &mut self,
        database: &Database,
        rows: Rows,
        read: impl for<'a> Fn(&'a [u8], &'a [u8]) -> Option<Entry<'a>>,
        visit: &mut dyn FnMut(Entry<'_>) -> Verdict,
    ) -> Result<Vec<Vec<u8>>, redb::Error> {
        let mut doomed = Vec::new();
        let table = database.begin_read()?.open_table(rows)?;
        for row in table.iter()? {
            let (key, value) = row?;
            let (key, value) = (key.value(), value.value());
            match read(key, value).map_or(Verdict::SetAside, &mut *visit) {
                Verdict::Keep => {
                    self.loaded.kept += 1;
                    continue;
                }
                Verdict::Remove => self.loaded.removed += 1,
                Verdict::SetAside => {
                    self.loaded.set_aside += 1;
                    self.aside.push_back(set_aside(key, value));
                    if self.aside.len() as u64 > MOST_SET_ASIDE {
                        self.aside.pop_front();
                    }
                }
            }
            doomed.push(key.to_vec());
        }
        Ok(doomed)
    }

    fn sweep(&self, database: &Database, rows: Rows, doomed: &[Vec<u8>]) -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(rows)?;
            for key in doomed {
                table.remove(key.as_slice())?;
            }
            let mut corrupt = transaction.open_table(CORRUPT)?;
            let mut next = corrupt.last()?.map_or(0, |(number, _)| number.value().saturating_add(1));
            for row in &self.aside {
                corrupt.insert(next, row.as_slice())?;
                next = next.saturating_add(1);
            }
            while corrupt.len()? > MOST_SET_ASIDE {
                corrupt.pop_first()?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn commit(database: &Database, changes: &[Change]) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    let mut octets = 0_u64;
    {
        let mut sessions = transaction.open_table(SESSIONS)?;
        let mut links = transaction.open_table(LINKS)?;
        for change in changes {
            let length = match change {
                Change::Session { gateway, id, home, session: content } => {
                    let key = session_key(gateway, id);
                    match content {
                        Some(content) => put(&mut sessions, &key, &session_value(&key, *home, content))?,
                        None if leave(&sessions, &key, *home)? => 0,
                        None => remove(&mut sessions, &key)?,
                    }
                }
                Change::Link { name, value: Some(value) } => {
                    put(&mut links, name.as_bytes(), &link_value(name.as_bytes(), value))?
                }
                Change::Link { name, value: None } => remove(&mut links, name.as_bytes())?,
                Change::ForgetLinks { prefix } => forget(&mut links, prefix.as_bytes())?,
            };
            octets = octets.saturating_add(length as u64);
        }
    }
    transaction.commit()?;
    Ok(octets)
}

fn put(table: &mut Open<'_>, key: &[u8], value: &[u8]) -> Result<usize, redb::Error> {
    table.insert(key, value)?;
    Ok(key.len().saturating_add(value.len()))
}

fn remove(table: &mut Open<'_>, key: &[u8]) -> Result<usize, redb::Error> {
    table.remove(key)?;
    Ok(key.len())
}

/// Removes all whose key begins so.
fn forget(table: &mut Open<'_>, prefix: &[u8]) -> Result<usize, redb::Error> {
    let rows = table.extract_from_if(prefix.., |key, _| key.starts_with(prefix))?;
    for row in rows {
        row?;
    }
    Ok(prefix.len())
}

/// True if the session has begun anew elsewhere.
fn leave(table: &Open<'_>, key: &[u8], home: crate::Home) -> Result<bool, redb::Error> {
    let value = table.get(key)?;
    let found = value.as_ref().and_then(|value| session(key, value.value()));
    Ok(matches!(found, Some(Entry::Session { home: other, .. }) if home.must_leave(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_or_fails_does_not_make_a_damaged_file() {
        for (kind, damaged) in [
            (io::ErrorKind::StorageFull, false),
            (io::ErrorKind::QuotaExceeded, false),
            (io::ErrorKind::Other, false),
            (io::ErrorKind::InvalidData, true),
            (io::ErrorKind::UnexpectedEof, true),
        ] {
            let found = unusable(Path::new("sessions.redb"), redb::Error::Io(kind.into()));
            assert_eq!(matches!(found, Obstacle::Damaged(_)), damaged, "{kind}");
        }
    }
}
