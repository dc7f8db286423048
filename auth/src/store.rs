//! A users file in memory.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bridge_core::auth::{Credentials, Opinion};

use crate::counts::StoreKind;
use crate::hash::{MakeFault, PasswordHash};
use crate::users::{LineFault, UserFault, Users};
use crate::verified::{Key, Verified};

/// Where credentials are looked up.
pub trait Store: Send + Sync + fmt::Debug {
    /// Its kind, for those who count.
    fn kind(&self) -> StoreKind;

    /// What can be said without work: at most some microseconds. `None` when [`Self::decide`] must be asked.
    fn at_once(&self, credentials: &Credentials) -> Option<Opinion>;

    /// What the store makes of the client. It may take its time, but no longer than a thread can be spared.
    fn decide(&self, credentials: &Credentials) -> Opinion;
}

/// What a users file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The users.
    pub users: Users,
    /// Whether everybody on this machine may read the file.
    pub world_readable: bool,
}

/// Why a file, of users if not of another kind, is refused whole.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault<F = UserFault> {
    /// The file could not be read.
    #[error("cannot read: {0}")]
    Unreadable(#[from] io::Error),
    /// Nobody has so many devices.
    #[error("is larger than {} MiB", LARGEST_FILE >> 20)]
    TooLarge,
    /// These lines are wrong.
    #[error("{} lines are wrong", .0.len())]
    Lines(Vec<LineFault<F>>),
}

impl<F: fmt::Display> LoadFault<F> {
    /// All that is wrong, a sentence each: of a file with more than 100 wrong lines the first 100.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let Self::Lines(faults) = self else { return vec![self.to_string()] };
        let mut told: Vec<_> = faults.iter().take(MOST_TOLD).map(ToString::to_string).collect();
        if faults.len() > MOST_TOLD {
            told.push(format!("and {} lines more", faults.len() - MOST_TOLD));
        }
        told
    }
}

/// Reads a users file whole.
///
/// # Errors
/// [`LoadFault`]: one wrong line refuses the file.
pub fn load(path: &Path) -> Result<Loaded, LoadFault> {
    let (text, world_readable) = read(path)?;
    let users = Users::parse(&text).map_err(LoadFault::Lines)?;
    Ok(Loaded { users, world_readable })
}

/// A file whole, and whether everybody on this machine may read it.
pub(crate) fn read<F>(path: &Path) -> Result<(Vec<u8>, bool), LoadFault<F>> {
    let file = File::open(path)?;
    let world_readable = is_world_readable(&file.metadata()?);
    let mut text = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(LoadFault::TooLarge);
    }
    Ok((text, world_readable))
}

#[cfg(unix)]
fn is_world_readable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_: &std::fs::Metadata) -> bool {
    false
}

/// Users with hashed passwords. What the file holds may change while questions are answered.
#[derive(Debug)]
pub struct FileStore {
    key: Key,
    users: RwLock<Arc<Known>>,
}

#[derive(Debug, Default)]
struct Known(HashMap<Box<str>, Arc<User>>);

#[derive(Debug)]
struct User {
    hash: PasswordHash,
    verified: Verified,
}

impl FileStore {
    /// Holds what was loaded.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new(users: Users) -> Result<Self, MakeFault> {
        let store = Self { key: Key::draw()?, users: RwLock::default() };
        store.replace(users);
        Ok(store)
    }

    /// Holds other users from now on. Of those whose line is as it was, what is known stays known.
    pub fn replace(&self, users: Users) {
        let before = self.known();
        let user = |(name, hash): (Box<str>, PasswordHash)| {
            let same = before.0.get(&name).filter(|user| user.hash == hash).map(Arc::clone);
            let user = same.unwrap_or_else(|| Arc::new(User { hash, verified: Verified::default() }));
            (name, user)
        };
        let known = Arc::new(Known(users.into_iter().map(user).collect()));
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn user(&self, credentials: &Credentials) -> Option<Arc<User>> {
        self.known().0.get(&credentials.username).map(Arc::clone)
    }
}

impl Store for FileStore {
    fn kind(&self) -> StoreKind {
        StoreKind::File
    }

    fn at_once(&self, credentials: &Credentials) -> Option<Opinion> {
        let Some(user) = self.user(credentials) else { return Some(Opinion::Ignore) };
        if credentials.password.is_empty() {
            return Some(Opinion::Deny);
        }
        user.verified.is(&self.key, &user.hash, &credentials.password).then_some(ALLOW)
    }

    fn decide(&self, credentials: &Credentials) -> Opinion {
        let Some(user) = self.user(credentials) else { return Opinion::Ignore };
        if credentials.password.is_empty() || !user.hash.verify(&credentials.password) {
            return Opinion::Deny;
        }
        user.verified.remember(&self.key, &user.hash, &credentials.password);
        ALLOW
    }
}

/// A users file has no superusers.
const ALLOW: Opinion = Opinion::Allow { superuser: false };
/// Octets of a users file: some 600,000 users.
pub const LARGEST_FILE: u64 = 64 << 20;
/// Wrong lines that are told one by one.
const MOST_TOLD: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::cheap;
    use bridge_core::peer::GatewayId;

    fn store(users: &[(&str, &str)]) -> FileStore {
        FileStore::new(parsed(users)).unwrap()
    }

    fn parsed(users: &[(&str, &str)]) -> Users {
        let line = |(name, password): &(&str, &str)| format!("{name}:{}\n", cheap(password).as_str());
        Users::parse(users.iter().map(line).collect::<String>().as_bytes()).unwrap()
    }

    fn shown(username: &str, password: &str) -> Credentials {
        Credentials {
            client_id: "lamp".into(),
            username: username.into(),
            password: password.as_bytes().into(),
            gateway: GatewayId(0),
            address: None,
        }
    }

    /// A file of this test's own, gone afterwards.
    struct Temporary(std::path::PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("tidegate-users-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_everybody_may_read_is_told_apart() {
        use std::os::unix::fs::PermissionsExt;
        let file = Temporary::new("mode");
        std::fs::write(&file.0, format!("ann:{}", cheap("x").as_str())).unwrap();
        for (mode, expected) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            std::fs::set_permissions(&file.0, std::fs::Permissions::from_mode(mode)).unwrap();
            let loaded = load(&file.0).unwrap();
            assert_eq!((loaded.users.len(), loaded.world_readable), (1, expected), "{mode:o}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_says_why() {
        let file = Temporary::new("bad");
        let told = || load(&file.0).unwrap_err().problems();
        assert!(told()[0].starts_with("cannot read: "), "{:?}", told());
        std::fs::write(&file.0, "x\n".repeat(103)).unwrap();
        let lines = told();
        assert_eq!((lines.len(), lines[99].as_str()), (101, "line 100: expected name:$argon2id$…"));
        assert_eq!(lines[100], "and 3 lines more");
        File::create(&file.0).unwrap().set_len(LARGEST_FILE + 1).unwrap();
        assert_eq!(told(), ["is larger than 64 MiB"]);
    }

    #[test]
    fn a_user_it_does_not_know_is_left_to_others_and_costs_nothing() {
        let store = store(&[("ann", "1")]);
        for name in ["bob", "", "Ann", "ann "] {
            assert_eq!(store.at_once(&shown(name, "1")), Some(Opinion::Ignore), "{name:?}");
            assert_eq!(store.decide(&shown(name, "1")), Opinion::Ignore, "{name:?}");
        }
    }

    #[test]
    fn the_right_password_is_hashed_once_and_a_wrong_one_each_time() {
        let store = store(&[("ann", "right")]);
        assert_eq!(store.at_once(&shown("ann", "right")), None);
        assert_eq!(store.decide(&shown("ann", "right")), ALLOW);
        assert_eq!(store.at_once(&shown("ann", "right")), Some(ALLOW));
        assert_eq!(store.at_once(&shown("ann", "wrong")), None);
        assert_eq!(store.decide(&shown("ann", "wrong")), Opinion::Deny);
        assert_eq!(store.at_once(&shown("ann", "wrong")), None);
    }

    #[test]
    fn no_password_is_a_wrong_password_even_where_its_hash_says_otherwise() {
        let store = store(&[("ann", "")]);
        assert_eq!(store.at_once(&shown("ann", "")), Some(Opinion::Deny));
        assert_eq!(store.decide(&shown("ann", "")), Opinion::Deny);
    }

    #[test]
    fn after_a_change_of_the_file_only_what_changed_is_hashed_anew() {
        let store = store(&[("ann", "a"), ("bob", "b"), ("cid", "c")]);
        for (name, password) in [("ann", "a"), ("bob", "b"), ("cid", "c")] {
            assert_eq!(store.decide(&shown(name, password)), ALLOW);
        }
        store.replace(parsed(&[("ann", "a"), ("bob", "new")]));
        assert_eq!(store.at_once(&shown("ann", "a")), Some(ALLOW));
        assert_eq!((store.at_once(&shown("bob", "b")), store.decide(&shown("bob", "b"))), (None, Opinion::Deny));
        assert_eq!((store.at_once(&shown("bob", "new")), store.decide(&shown("bob", "new"))), (None, ALLOW));
        assert_eq!(store.at_once(&shown("cid", "c")), Some(Opinion::Ignore));
    }

    #[test]
    fn nothing_of_a_password_is_shown() {
        let store = store(&[("ann", "hunter2")]);
        assert_eq!(store.decide(&shown("ann", "hunter2")), ALLOW);
        let debug = format!("{store:?}");
        assert!(debug.contains("ann") && !debug.contains("argon2") && debug.contains("Verified(***)"), "{debug}");
    }
}
