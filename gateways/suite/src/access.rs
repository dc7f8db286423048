//! Who may come in and do what: `[auth]`, `[acl]` and the files that they name, as shards apply them.

mod unwise;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth::config::{EntryConfig, GatewayName, OnAllIgnore, Source};
use auth::{FileStore, Loaded, LoadedKeys, Pool, PoolSettings, Reply, Store, Stores};
use bridge_core::acl::Acl;
use bridge_core::auth::{AuthRules, ChainEntry, EntryKind, PskKeys, StoreId};
use bridge_core::config::{AclConfig, RuleConfig, read_rules};
use bridge_core::listeners::Listeners;
use bridge_core::live::Live;
use bridge_core::meter::Meter;
use bridge_core::peer::{GatewayId, ListenerId};
use config::{Config, KeyPath};
use tokio::sync::mpsc;
use transport::CredentialLine;

use crate::failure::Failure;
use crate::gateways;

/// What every shard applies.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Who may come in.
    pub(crate) auth: Arc<AuthRules>,
    /// Who may do what.
    pub(crate) acl: Arc<Acl>,
    /// Whom the listeners hear, and how much each of their sessions may publish.
    pub(crate) listeners: Arc<Listeners>,
}

/// The stores of the chain, and the threads that ask them.
#[derive(Debug)]
pub(crate) struct Access {
    pool: Arc<Pool>,
    node: Box<str>,
    files: BTreeMap<PathBuf, (StoreId, Arc<FileStore>)>,
    /// The number of the next store: a number never means another store than it once did.
    next: u16,
    rules: Rules,
    /// Pre-shared keys, as TLS listeners ask for them.
    keys: Live<PskKeys>,
}

/// All files that the configuration names, read and found sound.
pub(crate) struct Files {
    users: BTreeMap<PathBuf, Loaded>,
    rules: Vec<RuleConfig>,
    keys: Option<LoadedKeys>,
}

impl Access {
    /// Reads the files and starts the threads. `node` is this node's name.
    ///
    /// # Errors
    /// All that is wrong with the files, or that there are no threads.
    pub(crate) fn start(config: &Config, node: &str) -> Result<Self, Failure> {
        let files = Files::load(config).map_err(Failure::Configuration)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = PoolSettings::for_cores(cores, config.auth.timeout.get());
        let pool = Pool::start(settings, Stores::new())
            .map_err(|fault| Failure::Running(format!("cannot start a thread for passwords: {fault}")))?;
        let rules = Rules { auth: Arc::default(), acl: Arc::default(), listeners: Arc::default() };
        let keys = Live::from(PskKeys::default());
        let mut access = Self { pool: Arc::new(pool), node: node.into(), files: BTreeMap::new(), next: 0, rules, keys };
        access.apply(config, files).map_err(Failure::Running)?;
        Ok(access)
    }

    /// What the files say, and what `[auth]` and `[acl]` say now, holds from here on. The stores have changed when this
    /// returns; the rules are for the caller to hand to the shards.
    ///
    /// # Errors
    /// That there are no more stores: nothing has changed then.
    pub(crate) fn reload(&mut self, config: &Config, files: Files) -> Result<Rules, String> {
        self.apply(config, files)?;
        Ok(self.rules())
    }

    /// What holds now.
    pub(crate) fn rules(&self) -> Rules {
        self.rules.clone()
    }

    /// For one shard to ask the stores by.
    pub(crate) fn line(&self) -> CredentialLine {
        let (answered, answers) = mpsc::channel(ANSWERS);
        // An answer that finds no room comes too late, and the client is refused.
        let reply: Reply = Arc::new(move |answer| answered.try_send(answer).unwrap_or_default());
        let pool = Arc::clone(&self.pool);
        CredentialLine::new(Box::new(move |question| pool.ask(question, &reply)), answers)
    }

    /// Pre-shared keys: what a reload changes is seen here.
    pub(crate) const fn keys(&self) -> &Live<PskKeys> {
        &self.keys
    }

    /// For whoever reports.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        self.pool.meter()
    }

    fn apply(&mut self, config: &Config, files: Files) -> Result<(), String> {
        for (key, message) in unwise::unwise(config, &files) {
            tracing::warn!(%key, "{message}");
        }
        let Files { users, rules, keys } = files;
        // What can fail goes first.
        let mut next = self.next;
        let mut stores = BTreeMap::new();
        for (path, loaded) in users {
            let (id, store) = match self.files.get(&path) {
                Some((id, store)) => (*id, Arc::clone(store)),
                None => {
                    let store = FileStore::new(auth::Users::default()).map_err(|fault| fault.to_string())?;
                    let id = StoreId(next);
                    next = next.checked_add(1).ok_or("too many users files have come and gone: start anew")?;
                    (id, Arc::new(store))
                }
            };
            stores.insert(path, (id, store, loaded.users));
        }
        self.next = next;
        self.files.clear();
        for (path, (id, store, users)) in stores {
            store.replace(users);
            self.files.insert(path, (id, store));
        }
        let by_number = self.files.values().map(|(id, store)| (*id, Arc::clone(store) as Arc<dyn Store>));
        self.pool.replace(by_number.collect());
        self.pool.be_patient(config.auth.timeout.get());
        self.keys.set(keys.map(|loaded| loaded.keys).unwrap_or_default());
        let listeners = Arc::new(listeners(config));
        self.rules =
            Rules { auth: Arc::new(self.chain(config)), acl: config.acl.compiled(&rules, &self.node), listeners };
        Ok(())
    }

    fn chain(&self, config: &Config) -> AuthRules {
        let listeners = config.listeners();
        let open = (0..).map(ListenerId).zip(listeners).filter(|(_, listener)| !listener.config.enable_authn);
        let config = &config.auth;
        let entry = |entry: &EntryConfig| {
            let kind = match &entry.source {
                Source::Static { username, password } => EntryKind::Static {
                    username: username.as_str().into(),
                    password: password.expose().as_bytes().into(),
                },
                Source::File { path } => EntryKind::Store(self.files.get(path)?.0),
                Source::X509 { .. } => EntryKind::Certificate,
                Source::Broker => EntryKind::Broker,
            };
            Some(ChainEntry { gateways: entry.gateways.iter().map(|gateway| served(*gateway)).collect(), kind })
        };
        let endpoints = config.psk.endpoints.iter();
        AuthRules {
            entries: config.chain.iter().filter_map(entry).collect(),
            allow_anonymous: config.allow_anonymous,
            on_all_ignore: config.on_all_ignore == OnAllIgnore::Allow,
            timeout_ms: config.timeout.as_millis(),
            open_listeners: open.map(|(id, _)| id).collect(),
            endpoints: endpoints.map(|(identity, id)| (identity.as_str().into(), id.as_str().into())).collect(),
        }
    }
}

/// What is wrong with the files that `[auth]` and `[acl]` name, by the key that names them.
pub(crate) fn problems(config: &Config) -> Vec<(KeyPath, String)> {
    Files::read(config).err().unwrap_or_default()
}

/// What can be run, and is hardly meant, by key; nothing while [`problems`] are told.
pub(crate) fn warnings(config: &Config) -> Vec<(KeyPath, String)> {
    Files::read(config).map_or_else(|_told| Vec::new(), |files| unwise::unwise(config, &files))
}

/// The pre-shared keys that it names. Where their file is no good, which [`problems`] tells, a key that is nobody's: nothing
/// else is to be said of who relies on them.
pub(crate) fn keys(config: &Config) -> Live<PskKeys> {
    let nobody = || [(Box::from(""), Box::from([0]))].into_iter().collect();
    let load = |path: &PathBuf| auth::load_keys(path).map_or_else(|_told| nobody(), |loaded| loaded.keys);
    Live::from(config.auth.psk.file.as_ref().map(load).unwrap_or_default())
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// All that is wrong with them, a line each.
    pub(crate) fn load(config: &Config) -> Result<Self, Vec<String>> {
        Self::read(config).map_err(|problems| lines(&problems))
    }

    /// Whether there are pre-shared keys among them.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.as_ref().is_some_and(|loaded| !loaded.keys.is_empty())
    }

    fn read(config: &Config) -> Result<Self, Vec<(KeyPath, String)>> {
        let mut problems = Vec::new();
        let mut users = BTreeMap::new();
        let chain = KeyPath::from("auth.chain");
        for (at, entry) in config.auth.chain.iter().enumerate() {
            let Source::File { path } = &entry.source else { continue };
            // One file may serve several entries.
            if users.contains_key(path) {
                continue;
            }
            match auth::load(path) {
                Ok(loaded) => drop(users.insert(path.clone(), loaded)),
                Err(fault) => {
                    let key = chain.element(at).child("path");
                    let told = fault.problems().into_iter();
                    problems.extend(told.map(|problem| (key.clone(), format!("{}: {problem}", path.display()))));
                }
            }
        }
        let rules = rules_of_file(&config.acl).unwrap_or_else(|told| {
            problems.extend(told.into_iter().map(|problem| (KeyPath::from("acl.file"), problem)));
            Vec::new()
        });
        let mut keys = None;
        if let Some(path) = &config.auth.psk.file {
            match auth::load_keys(path) {
                Ok(loaded) => keys = Some(loaded),
                Err(fault) => {
                    let told = fault.problems().into_iter().map(|problem| format!("{}: {problem}", path.display()));
                    problems.extend(told.map(|problem| (KeyPath::from("auth.psk.file"), problem)));
                }
            }
        }
        if problems.is_empty() { Ok(Self { users, rules, keys }) } else { Err(problems) }
    }
}

fn rules_of_file(acl: &AclConfig) -> Result<Vec<RuleConfig>, Vec<String>> {
    let Some(path) = &acl.file else { return Ok(Vec::new()) };
    let name = path.display().to_string();
    let text = read_bounded(path).map_err(|fault| vec![format!("{name}: cannot read: {fault}")])?;
    read_rules(&name, &text).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST_RULES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_RULES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// What is set for each listener.
fn listeners(config: &Config) -> Listeners {
    Listeners::new(config.listeners().into_iter().map(|listener| listener.config.policy()).collect())
}

/// A gateway that is not there is none's number: an entry that names no other must not serve all.
fn served(gateway: GatewayName) -> GatewayId {
    gateways::number(gateway.as_str()).unwrap_or(GatewayId(u8::MAX))
}

fn lines(problems: &[(KeyPath, String)]) -> Vec<String> {
    problems.iter().map(|(key, problem)| format!("{key}: {problem}")).collect()
}

/// Answers on their way to a shard: all that the pool can have in hand, twice.
const ANSWERS: usize = 8192;
/// Octets of a file of rules: each is looked at for each decision that is not remembered.
const LARGEST_RULES: u64 = 1 << 20;

#[cfg(test)]
mod tests;
