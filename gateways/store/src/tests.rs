//! What every store does, and what only a file can suffer.

use super::*;
use redb::{Database, TableDefinition};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidegate-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        self.0.join("deep").join("sessions.redb")
    }

    fn open(&self) -> Opened {
        FileStore::open(&self.file()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Both kinds, each with a way to what a new process would find.
fn each(test: impl Fn(Box<dyn SessionStore>, &dyn Fn(Box<dyn SessionStore>) -> Box<dyn SessionStore>)) {
    let memory = MemoryStore::default();
    let left = memory.clone();
    test(Box::new(memory), &|store| {
        drop(store);
        Box::new(left.clone())
    });
    let folder = Folder::new();
    test(Box::new(folder.open().store), &|store| {
        drop(store);
        Box::new(folder.open().store)
    });
}

const HERE: Home = Home { shard: 1, of: 2 };

fn put(id: &str, content: &str) -> Change {
    let session = Some(content.as_bytes().into());
    Change::Session { gateway: "mqttsn", id: id.into(), home: HERE, session }
}

fn gone(id: &str, home: Home) -> Change {
    Change::Session { gateway: "mqttsn", id: id.into(), home, session: None }
}

fn link(name: &str, value: Option<&str>) -> Change {
    Change::Link { name: name.into(), value: value.map(|value| value.as_bytes().into()) }
}

/// Everything that is kept, as `id@shard/of`: content.
fn all(store: &mut dyn SessionStore) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut show = |entry: Entry<'_>| {
        let (key, value) = match entry {
            Entry::Session { gateway, id, home, session } => {
                assert_eq!(gateway, "mqttsn");
                (format!("{id}@{}/{}", home.shard, home.of), session)
            }
            Entry::Link { name, value } => (name.to_owned(), value),
        };
        found.insert(key, String::from_utf8(value.to_vec()).unwrap());
        Verdict::Keep
    };
    let kept = [Table::Sessions, Table::Links].map(|table| store.load(table, &mut show).unwrap().kept);
    assert_eq!(kept.into_iter().sum::<u64>(), found.len() as u64);
    found
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[test]
fn what_was_written_is_there_for_the_next_process() {
    each(|mut store, next| {
        assert_eq!(all(&mut *store), texts([]));
        store.write(&[put("a", "1"), put("b", "1"), link("l", Some("x")), link("m", Some("y"))]).unwrap();
        store.write(&[put("b", "2"), gone("a", HERE), gone("never", HERE), link("m", None)]).unwrap();
        store.write(&["k", "l1", "l2", "lamp", "m"].map(|name| link(name, Some("z")))).unwrap();
        store.write(&[Change::ForgetLinks { prefix: "la".into() }, link("n", Some("z"))]).unwrap();
        store
            .write(&[Change::ForgetLinks { prefix: "l1".into() }, Change::ForgetLinks { prefix: "?".into() }])
            .unwrap();
        let links = [("k", "z"), ("l", "x"), ("l2", "z"), ("m", "z"), ("n", "z")];
        let mut expected = texts(links);
        expected.insert("b@1/2".into(), "2".into());
        let mut store = next(store);
        assert_eq!(all(&mut *store), expected);
    });
}

#[test]
fn a_session_that_has_begun_anew_on_another_shard_is_not_removed_by_its_old_one() {
    each(|mut store, _| {
        for (remover, stays) in [
            (Home { shard: 0, of: 2 }, true),
            (HERE, false),
            // The number of shards has changed: then whoever has the session now is right.
            (Home { shard: 0, of: 4 }, false),
        ] {
            store.write(&[put("a", "1"), gone("a", remover)]).unwrap();
            assert_eq!(!all(&mut *store).is_empty(), stays, "{remover:?}");
        }
    });
}

#[test]
fn rows_go_as_the_reader_says() {
    each(|mut store, next| {
        store.write(&[put("a", "1"), put("b", "1"), put("c", "1"), link("l", Some("x"))]).unwrap();
        let mut verdicts = [Verdict::Keep, Verdict::Remove, Verdict::SetAside, Verdict::Remove].into_iter();
        let mut loads =
            [Table::Sessions, Table::Links].map(|table| store.load(table, &mut |_| verdicts.next().unwrap()));
        let loaded = loads.each_mut().map(|loaded| *loaded.as_ref().unwrap());
        let expected = [Loaded { kept: 1, removed: 1, set_aside: 1 }, Loaded { kept: 0, removed: 1, set_aside: 0 }];
        assert_eq!(loaded, expected);
        let mut store = next(store);
        assert_eq!(all(&mut *store), texts([("a@1/2", "1")]));
    });
}

#[test]
fn a_session_returns_to_its_shard_while_there_are_as_many() {
    let home = Home { shard: 2, of: 4 };
    assert_eq!(home.in_node_of(4, "lamp"), 2);
    assert_eq!(home.in_node_of(1, "lamp"), 0);
    let elsewhere: Vec<u8> = (0..100).map(|n| home.in_node_of(8, &format!("lamp {n}"))).collect();
    assert!((0..8).all(|shard| elsewhere.contains(&shard)), "{elsewhere:?}");
    assert_eq!(home.in_node_of(8, "lamp"), Home { shard: 7, of: 9 }.in_node_of(8, "lamp"), "by the id alone");
    assert_eq!(Home { shard: 9, of: 4 }.in_node_of(4, "lamp"), home.in_node_of(4, "lamp").min(3), "no such shard");
}

#[test]
fn a_spoilt_row_is_set_aside_and_the_rest_is_there() {
    let mut memory = MemoryStore::default();
    memory.write(&[put("a", "1"), put("b", "1")]).unwrap();
    assert!(memory.spoil("mqttsn", "a"));
    let loaded = memory.load(Table::Sessions, &mut |_| Verdict::Keep).unwrap();
    assert_eq!((loaded, memory.set_aside()), (Loaded { kept: 1, removed: 0, set_aside: 1 }, 1));
    assert!(!memory.spoil("mqttsn", "a"), "it is gone from the sessions");
}

const SESSIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("sessions");
const CORRUPT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("corrupt");

/// As if some other program had written to it.
fn meddle(path: &Path, work: impl Fn(&mut redb::Table<'_, &[u8], &[u8]>)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    work(&mut transaction.open_table(SESSIONS).unwrap());
    transaction.commit().unwrap();
}

#[test]
fn rows_in_a_file_that_nobody_can_read_are_kept_aside_and_not_without_end() {
    let folder = Folder::new();
    folder.open().store.write(&[put("a", "1")]).unwrap();
    meddle(&folder.file(), |sessions| {
        for number in 0..=MOST_SET_ASIDE {
            sessions.insert(number.to_be_bytes().as_slice(), b"?".as_slice()).unwrap();
        }
    });
    let mut store = folder.open().store;
    let loaded = store.load(Table::Sessions, &mut |_| Verdict::Keep).unwrap();
    assert_eq!(loaded, Loaded { kept: 1, removed: 0, set_aside: MOST_SET_ASIDE + 1 });
    drop(store);
    let database = Database::open(folder.file()).unwrap();
    let corrupt = redb::ReadableDatabase::begin_read(&database).unwrap().open_table(CORRUPT).unwrap();
    assert_eq!(redb::ReadableTableMetadata::len(&corrupt).unwrap(), MOST_SET_ASIDE);
    let last = redb::ReadableTable::last(&corrupt).unwrap().unwrap().1.value().to_vec();
    assert_eq!(last, row::set_aside(&MOST_SET_ASIDE.to_be_bytes(), b"?"), "the oldest went");
}

#[test]
fn a_file_that_is_none_is_renamed_and_a_new_one_begun() {
    let folder = Folder::new();
    let mut bytes = {
        let mut store = folder.open().store;
        let many: Vec<Change> = (0..2000).map(|n| put(&format!("device {n}"), &"x".repeat(100))).collect();
        store.write(&many).unwrap();
        drop(store);
        fs::read(folder.file()).unwrap()
    };
    let middle = bytes.len() / 2;
    bytes[middle - 60_000..middle + 60_000].fill(0x5A);
    let (short, cut) = (b"not a database".as_slice(), &bytes.clone()[..middle]);
    for (number, damaged) in (1..).zip([short, &bytes, cut]) {
        fs::write(folder.file(), damaged).unwrap();
        let opened = folder.open();
        let (aside, how) = opened.damaged.unwrap_or_else(|| panic!("{} octets are taken for a store", damaged.len()));
        assert!(aside.to_string_lossy().ends_with(&format!("sessions.redb.damaged-{number}")), "{aside:?}");
        assert!(!how.is_empty());
        assert!(fs::metadata(&aside).unwrap().len() > 0, "it is not lost");
        let mut store = opened.store;
        store.write(&[put("a", "1")]).unwrap();
        drop(store);
        let mut store = folder.open().store;
        assert_eq!(all(&mut store), texts([("a@1/2", "1")]));
    }
}

#[test]
fn a_file_has_one_owner_who_alone_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let first = folder.open();
    let second = FileStore::open(&folder.file()).map(|_| ());
    assert!(matches!(&second, Err(StoreFault::Locked(path)) if *path == folder.file()), "{second:?}");
    assert!(folder.file().exists(), "and is not taken for damaged");
    drop(first);
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(folder.open().damaged.is_none());
}

#[test]
fn a_path_that_leads_nowhere_is_told() {
    let folder = Folder::new();
    fs::create_dir_all(folder.file()).unwrap();
    let said = FileStore::open(&folder.file()).unwrap_err().to_string();
    assert!(said.contains("sessions.redb: ") && said.contains("directory"), "{said}");
    assert!(folder.file().is_dir());
}
