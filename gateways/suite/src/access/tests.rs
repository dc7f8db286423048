//! From configuration and files to rules and stores, and the same again.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};

use auth::{PasswordHash, Reply};
use bridge_core::acl::Verdict;
use bridge_core::auth::{Answer, Credentials, Opinion, Question};
use bridge_core::slab::Key;

use super::*;
use transport::config::ListenerConfig;

/// "one", hashed at little cost.
const ONE: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$RsZyxPX98tX6E99d8qkE0A";
/// "two".
const TWO: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$lQRlMOAQthmNYNmp0np2IQ";

/// A directory of this test's own, gone afterwards.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidegate-access-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn config(chain: &[Source], acl_file: Option<PathBuf>) -> Config {
    let mut config = Config::default();
    let entry = |source: &Source| EntryConfig { gateways: vec![GatewayName::Mqttsn], source: source.clone() };
    config.auth.chain = chain.iter().map(entry).collect();
    config.acl.file = acl_file;
    config
}

fn file(path: &Path) -> Source {
    Source::File { path: path.to_owned() }
}

/// Asks the stores, and waits for what they say.
struct Asker {
    pool: Arc<Pool>,
    reply: Reply,
    answers: Receiver<Answer>,
}

impl Asker {
    fn new(access: &Access) -> Self {
        let (answered, answers) = channel();
        Self { pool: Arc::clone(&access.pool), reply: Arc::new(move |answer| answered.send(answer).unwrap()), answers }
    }

    fn ask(&self, store: u16, username: &str, password: &str) -> Opinion {
        let credentials = Credentials {
            client_id: "lamp".into(),
            username: username.into(),
            password: password.as_bytes().into(),
            gateway: GatewayId(0),
            address: None,
        };
        let id = Key { slot: 0, generation: 0 };
        let question = Question { id, store: StoreId(store), credentials: Arc::new(credentials) };
        self.pool.ask(question, &self.reply).unwrap_or_else(|| self.answers.recv().unwrap()).opinion
    }
}

const ALLOW: Opinion = Opinion::Allow { superuser: false };

#[test]
fn a_chain_becomes_entries_and_each_file_one_store() {
    let dir = Dir::new();
    let [a, b] = [("a", ONE), ("b", TWO)].map(|(name, hash)| dir.write(name, &format!("ann:{hash}\n")));
    let fixed = Source::Static { username: "gw".into(), password: "pw".to_owned().into() };
    let mut config = config(&[fixed, file(&b), file(&a), file(&b)], None);
    config.auth.allow_anonymous = Some(true);
    config.auth.on_all_ignore = OnAllIgnore::Allow;
    config.auth.chain[2].gateways.clear();
    let open = ListenerConfig { enable_authn: false, ..ListenerConfig::on(1886) };
    config.gateways.mqttsn.listeners.udp.insert("inside".into(), open);
    let access = Access::start(&config, "north").unwrap();
    let rules = access.rules();
    let entry = |kind| ChainEntry { gateways: vec![GatewayId(0)], kind };
    let expected = AuthRules {
        entries: vec![
            entry(EntryKind::Static { username: "gw".into(), password: (*b"pw").into() }),
            entry(EntryKind::Store(StoreId(1))),
            ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) },
            entry(EntryKind::Store(StoreId(1))),
        ],
        allow_anonymous: Some(true),
        on_all_ignore: true,
        timeout_ms: 5000,
        open_listeners: vec![ListenerId(1)],
        endpoints: BTreeMap::new(),
    };
    assert_eq!(*rules.auth, expected);
    let asker = Asker::new(&access);
    assert_eq!([0, 1].map(|store| asker.ask(store, "ann", "one")), [ALLOW, Opinion::Deny]);
    assert_eq!([0, 1].map(|store| asker.ask(store, "ann", "two")), [Opinion::Deny, ALLOW]);
    assert_eq!(asker.ask(0, "bob", "one"), Opinion::Ignore);
    assert_eq!(asker.ask(2, "ann", "one"), Opinion::Failed);
}

#[test]
fn rules_of_the_file_follow_those_of_the_configuration() {
    let dir = Dir::new();
    let rule = |permit: &str| {
        format!("{{ permit = \"{permit}\", who = {{ all = true }}, action = \"all\", topics = [\"%n/a\"] }}")
    };
    let path = dir.write("rules.toml", &format!("rules = [{}]", rule("deny")));
    let mut config = config(&[], Some(path));
    config.acl.rules = read_rules("x", &format!("rules = [{}]", rule("allow"))).unwrap();
    let rules = Access::start(&config, "north").unwrap().rules();
    let permits: Vec<_> = rules.acl.rules.iter().map(|rule| rule.permit).collect();
    assert_eq!((permits, &*rules.acl.node), (vec![Verdict::Allow, Verdict::Deny], "north"));
}

#[test]
fn all_that_is_wrong_with_the_files_is_told_at_once_by_its_key() {
    let dir = Dir::new();
    let users = dir.write("users", &format!("ann:{ONE}\nbob\ncid:$2b$10$x\n"));
    let rules = dir.write("rules.toml", "rules = [{}]\nfile = \"x\"\n");
    let missing = dir.0.join("missing");
    let config = config(&[file(&users), file(&missing)], Some(rules));
    let told = lines(&problems(&config));
    let starts = [
        format!("auth.chain[0].path: {}: line 2: expected name:$argon2id$…", users.display()),
        format!("auth.chain[0].path: {}: line 3: hashes by bcrypt are not in this version", users.display()),
        format!("auth.chain[1].path: {}: cannot read: No such file", missing.display()),
        format!("acl.file: {}:1:10: rules[0].", dir.0.join("rules.toml").display()),
        format!("acl.file: {}:1:10: rules[0].", dir.0.join("rules.toml").display()),
        format!("acl.file: {}:1:10: rules[0].", dir.0.join("rules.toml").display()),
        format!("acl.file: {}:2:1: file: unknown key", dir.0.join("rules.toml").display()),
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(&start), "{told} is not {start}");
    }
    assert_eq!(Access::start(&config, "north").unwrap_err(), Failure::Configuration(told));
}

fn reload(access: &mut Access, config: &Config) -> Result<Rules, Vec<String>> {
    access.reload(config, Files::load(config)?).map_err(|problem| vec![problem])
}

#[test]
fn a_reload_changes_all_or_nothing() {
    let dir = Dir::new();
    let users = dir.write("users", &format!("ann:{ONE}\n"));
    let mut config = config(&[file(&users)], None);
    let mut access = Access::start(&config, "north").unwrap();
    let asker = Asker::new(&access);
    assert_eq!(asker.ask(0, "ann", "one"), ALLOW);

    dir.write("users", &format!("ann:{TWO}\n"));
    config.acl.file = Some(dir.0.join("missing"));
    assert!(reload(&mut access, &config).is_err());
    assert_eq!(asker.ask(0, "ann", "one"), ALLOW, "nothing has changed");

    config.acl.file = None;
    let rules = reload(&mut access, &config).unwrap();
    assert_eq!(rules.auth.entries[0].kind, EntryKind::Store(StoreId(0)), "the same file is the same store");
    assert_eq!((asker.ask(0, "ann", "one"), asker.ask(0, "ann", "two")), (Opinion::Deny, ALLOW));

    let other = dir.write("other", &format!("ann:{ONE}\n"));
    config.auth.chain[0].source = file(&other);
    let rules = reload(&mut access, &config).unwrap();
    assert_eq!(rules.auth.entries[0].kind, EntryKind::Store(StoreId(1)), "another file is another store");
    assert_eq!((asker.ask(0, "ann", "two"), asker.ask(1, "ann", "one")), (Opinion::Failed, ALLOW));
}

#[test]
fn the_hashes_of_these_tests_are_what_they_say() {
    for (hash, password) in [(ONE, "one"), (TWO, "two")] {
        assert!(PasswordHash::try_from(hash).unwrap().verify(password.as_bytes()));
    }
}

#[test]
fn each_listener_has_its_own_policy_under_its_own_number() {
    let mut config = config(&[], None);
    config.gateways.tcp.enable = false;
    let limited = ListenerConfig { publish_limit: Some("1/s".parse().unwrap()), ..ListenerConfig::on(1886) };
    let guarded = ListenerConfig { access: vec!["deny all".parse().unwrap()], ..ListenerConfig::on(1887) };
    config.gateways.mqttsn.listeners.udp.extend([("a".to_owned(), limited), ("z".to_owned(), guarded)]);
    let mut access = Access::start(&config, "north").unwrap();
    let seen = |rules: &Rules| -> Vec<(bool, bool)> {
        rules.listeners.iter().map(|policy| (policy.limits.is_none(), policy.access.is_open())).collect()
    };
    // In the order of their names: a, default, z.
    assert_eq!(seen(&access.rules()), [(false, true), (true, true), (true, false)]);
    let heard = |number| access.rules().listeners.admits(ListenerId(number), [127, 0, 0, 1].into());
    assert_eq!([0, 1, 2].map(heard), [true, true, false]);
    config.gateways.mqttsn.listeners.udp.insert("z".into(), ListenerConfig::on(1887));
    assert_eq!(seen(&reload(&mut access, &config).unwrap()), [(false, true), (true, true), (true, true)]);
}
