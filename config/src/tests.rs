//! The reference file against the structs, and what an operator sees.

use std::io;
use std::path::{Path, PathBuf};

use bridge_core::config::BrokerUrl;
use settings::{Document, HumanDuration};

use super::*;

const FULL: Build = Build { embedded: true };

fn load_with(text: Option<&str>, variables: &[(&str, &str)], build: Build) -> Result<Config, Vec<String>> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    load(text.map(|text| ("t.toml", text)), variables, &mut secret_file, &|_| Vec::new(), build)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn secret_file(path: &Path) -> io::Result<String> {
    if path == Path::new("missing") { Err(io::Error::other("gone")) } else { Ok("from a file\n".into()) }
}

fn load_text(text: &str) -> Result<Config, Vec<String>> {
    load_with(Some(text), &[], FULL)
}

/// Every file of `config/` with its text.
fn files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = [root.to_owned(), root.join("examples")].into_iter().flat_map(|dir| dir.read_dir().unwrap());
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "toml"));
    let mut paths: Vec<_> = paths.filter(|path| !path.ends_with("Cargo.toml")).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn the_reference_file_is_the_default_of_each_build() {
    for embedded in [true, false] {
        let build = Build { embedded };
        let read = load_with(Some(&reference(build)), &[], build);
        assert_eq!(read, Ok(Config::of(build)));
    }
    assert_eq!(Config::of(FULL), Config::default());
}

#[test]
fn the_reference_file_names_every_key_and_no_other() {
    let document = Document::parse("reference.toml", REFERENCE);
    let mut named: Vec<_> = document.keys().iter().map(ToString::to_string).collect();
    // The keys whose values are tables of the operator's names, and empty.
    let empty = |table: &String| table.ends_with(".predefined_for") || table == "auth.psk.endpoints";
    named.extend(document.tables().iter().map(ToString::to_string).filter(empty));
    // The one key whose value is a table of the operator's numbers.
    for key in &mut named {
        if key.starts_with("gateways.mqttsn.predefined.") {
            *key = "gateways.mqttsn.predefined".into();
        }
    }
    let mut known: Vec<_> = settings::keys(&mut Config::default()).iter().map(ToString::to_string).collect();
    named.sort();
    known.sort();
    assert_eq!(named, known);
}

#[test]
fn every_file_loads() {
    let files = files();
    assert!(files.len() >= 3, "{files:?}");
    for (path, text) in files {
        assert!(load_text(&text).is_ok(), "{}: {:?}", path.display(), load_text(&text));
    }
}

/// The examples of the README and of each page of `docs/`, with the page they are on.
fn examples() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = root.join("docs").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in pages.chain([root.join("README.md")]) {
        let page = std::fs::read_to_string(&path).unwrap();
        let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
        found.extend(blocks.map(|block| (path.file_name().unwrap().to_string_lossy().into_owned(), block)));
    }
    found
}

#[test]
fn every_example_in_the_documents_loads() {
    let examples = examples();
    assert!(examples.len() > 20, "{}", examples.len());
    for (page, text) in examples {
        assert!(load_text(&text).is_ok(), "{page}: {:?}\n{text}", load_text(&text));
    }
}

/// A table that exists only through those inside it.
fn implied(table: &str) -> bool {
    let steps: Vec<_> = table.split('.').collect();
    matches!(*steps, ["gateways"] | ["gateways", _, "listeners"] | ["gateways", _, "listeners", _])
}

/// The line with a key that nobody knows in each table that begins on it.
fn plantings(line: &str, first: bool) -> Vec<String> {
    if line.starts_with('[') || first {
        return vec![format!("{line}\nplanted = 1")];
    }
    let halves = line.match_indices('{').map(|(at, brace)| (line.split_at(at).0, line.split_at(at + brace.len()).1));
    let opens = |before: &str| !before.contains('#') && (before.ends_with(" = ") || before.trim().is_empty());
    let halves = halves.filter(|(before, _)| opens(before));
    halves.map(|(before, after)| format!("{before}{{ planted = \"x\",{after}")).collect()
}

#[test]
fn an_unknown_key_in_any_table_of_any_file_is_refused() {
    for (path, text) in files() {
        let tables = Document::parse("f", &text).tables();
        let mut planted = 0;
        for (at, line) in text.lines().enumerate() {
            for planting in plantings(line, at == 0) {
                let spoilt: Vec<_> =
                    text.lines().enumerate().map(|(n, old)| if n == at { planting.as_str() } else { old }).collect();
                let problems = load_text(&spoilt.join("\n")).unwrap_err();
                assert!(
                    matches!(problems.as_slice(), [one] if one.contains("planted: ")),
                    "{}: {problems:?}",
                    path.display()
                );
                planted += 1;
            }
        }
        // Tables that exist only through those inside them (`gateways`, `listeners`, `udp`) have no line of their own.
        let own = tables.iter().filter(|table| !implied(&table.to_string())).count();
        assert_eq!(planted, own, "{}", path.display());
    }
    for table in ["gateways", "gateways.mqttsn.listeners", "gateways.tcp.listeners", "gateways.mqttsn.listeners.udp"] {
        let problems = load_text(&format!("{table}.planted = 1")).unwrap_err();
        assert!(problems.iter().all(|one| one.contains(&format!("{table}.planted: "))), "{problems:?}");
    }
}

#[test]
fn the_effective_configuration_reads_back_and_hides_passwords() {
    let mut config = Config::default();
    assert_eq!(load_text(&config.effective_toml()), Ok(config.clone()));
    config.admin.password = "hunter2".to_owned().into();
    config.gateways.mqttsn.machine.mountpoint = "a \"b\"/".into();
    let text = config.effective_toml();
    assert!(text.contains("password = \"***\"") && !text.contains("hunter2"), "{text}");
    assert_eq!(load_text(&text).unwrap().gateways, config.gateways);
}

#[test]
fn a_gateway_runs_without_a_file_or_with_its_table_unless_switched_off() {
    let runs = |text: Option<&str>, variables: &[(&str, &str)]| {
        let gateways = load_with(text, variables, FULL).unwrap().gateways;
        (gateways.mqttsn.enable, gateways.tcp.enable)
    };
    assert_eq!(runs(None, &[]), (true, true));
    assert_eq!(runs(Some(""), &[]), (false, false));
    assert_eq!(runs(Some("[gateways.mqttsn]"), &[]), (true, false));
    assert_eq!(runs(Some("[gateways.tcp]"), &[]), (false, true));
    assert_eq!(runs(Some("[gateways.mqttsn]\nenable = false\n[gateways.tcp]"), &[]), (false, true));
    assert_eq!(runs(Some(""), &[("TIDEGATE__GATEWAYS__MQTTSN", "{}")]), (true, false));
    assert_eq!(runs(None, &[("TIDEGATE__GATEWAYS__MQTTSN__ENABLE", "false")]), (false, true));
}

#[test]
fn a_gateway_without_listeners_gets_its_standard_one() {
    let binds = |text: &str| -> Vec<String> {
        let config = load_text(text).unwrap();
        let listeners = config.gateways.mqttsn.listeners.udp.iter();
        listeners.map(|(name, listener)| format!("{name} {}", listener.bind.resolve(config.node.bind))).collect()
    };
    assert_eq!(binds("[gateways.mqttsn]"), ["default 127.0.0.1:1884"]);
    assert_eq!(binds("node.bind = \"[::]\"\n[gateways.mqttsn]"), ["default [::]:1884"]);
    assert_eq!(binds("[gateways.mqttsn.listeners.udp.a]\nbind = \"10.0.0.1:7\""), ["a 10.0.0.1:7"]);
}

#[test]
fn the_environment_overrides_the_file() {
    let text = "[broker]\nurl = \"mqtt://a\"\n[gateways.mqttsn.listeners.udp.North]\nbind = 1";
    let config = load_with(
        Some(text),
        &[
            ("TIDEGATE__BROKER__URL", "mqtts://b:1"),
            ("tidegate__broker__protocol", "3.1.1"),
            ("TIDEGATE__BROKER__PASSWORD", "12345"),
            ("TIDEGATE__GATEWAYS__MQTTSN__LISTENERS__UDP__NORTH__BIND", "2"),
            ("TIDEGATE__GATEWAYS__MQTTSN__PREDEFINED", "{ 9 = 'nine' }"),
            ("TIDEGATE__GATEWAYS__MQTTSN__RETRY_INTERVAL", "12s"),
            ("TIDEGATE_UNRELATED", "x"),
        ],
        FULL,
    );
    let config = config.unwrap();
    assert_eq!(config.broker.link.url.to_string(), "mqtts://b:1");
    assert_eq!(config.broker.link.protocol.as_str(), "3.1.1");
    assert_eq!(config.broker.link.password.expose(), "12345");
    assert_eq!(config.gateways.mqttsn.listeners.udp["North"].bind.to_string(), "2");
    assert_eq!(config.gateways.mqttsn.machine.predefined, [(9, "nine".into())].into());
    assert_eq!(config.gateways.mqttsn.machine.retry_interval, HumanDuration::from_secs(12));
}

#[test]
#[rustfmt::skip]
fn what_was_meant_for_another_place_or_gateway_is_answered_with_ours() {
    for (text, expected) in [
        ("[tcp]\nup_topic = \"a\"", "t.toml:1:2: tcp: does not belong here: it is `gateways.tcp`"),
        ("[gateway.exproto]", "t.toml:1:2: gateway: is EMQX's name: here it is `gateways`"),
        ("[psk_authentication]", "t.toml:1:2: psk_authentication: is EMQX's name: here it is `auth.psk`"),
        ("[[authn]]", "t.toml:1:3: authn: is EMQX's name: here it is `auth`"),
        ("[gateways.tcp]\nframing = \"line\"", "t.toml:2:1: gateways.tcp.framing: does not belong here: it is `gateways.tcp.listeners.tcp.<name>.framing`"),
        ("[gateways.tcp.listeners.ssl.a]", "t.toml:1:25: gateways.tcp.listeners.ssl: is EMQX's name: here it is `tls`"),
        ("[gateways.tcp.listeners.tls.a]\ncertfile = \"c\"", "t.toml:2:1: gateways.tcp.listeners.tls.a.certfile: is EMQX's name: here it is `tls.cert_file`"),
        ("[gateways.tcp.listeners.tls.a.tls]\ncert = \"c\"", "t.toml:2:1: gateways.tcp.listeners.tls.a.tls.cert: does not belong here: it is `cert_file`"),
        ("[gateways.tcp.listeners.tls.a.tls]\nfail_if_no_peer_cert = true", "t.toml:2:1: gateways.tcp.listeners.tls.a.tls.fail_if_no_peer_cert: is EMQX's name: here it is `verify`"),
        ("[gateways.tcp.listeners.tls.a.tls]\nverify = \"verify_peer\"", "t.toml:2:10: gateways.tcp.listeners.tls.a.tls.verify: expected \"none\", \"optional\" or \"required\", found \"verify_peer\" (EMQX's \"verify_peer\" is \"required\" here)"),
        ("[gateways.tcp]\nup_topic = \"a/%c\"\ndn_topic = \"a/${clientid}\"", "t.toml:3:12: gateways.tcp.dn_topic: is `up_topic` too: each device would be sent what it has said"),
        ("[gateways.tcp.listeners.tcp.a]\nclient_id = \"first-frame\"", "t.toml:2:13: gateways.tcp.listeners.tcp.a.client_id: is not read with framing = \"emqx\": did you mean framing = \"line\"?"),
        ("[gateways.tcp.listeners.tcp.a]\nheader_width = 2", "t.toml:2:16: gateways.tcp.listeners.tcp.a.header_width: is not read with framing = \"emqx\": did you mean framing = \"length-prefix\"?"),
        ("[gateways.tcp.listeners.tcp.a]\nframing = \"raw\"\nframe_size = 9", "t.toml:3:14: gateways.tcp.listeners.tcp.a.frame_size: is not read with framing = \"raw\": did you mean framing = \"fixed\"?"),
    ] {
        assert_eq!(load_text(text), Err(vec![expected.to_owned()]), "{text}");
    }
}

#[test]
#[rustfmt::skip]
fn each_problem_is_one_line() {
    for (text, expected) in [
        ("[broker]\nulr = \"x\"",               "t.toml:2:1: broker.ulr: unknown key (did you mean `url`?)"),
        ("[brokr]",                             "t.toml:1:2: brokr: unknown key (did you mean `broker`?)"),
        ("[auth.psk]\nquery = \"select\"",      "t.toml:2:1: auth.psk.query: not in this version"),
        ("[[auth.chain]]\ntype = \"file\"",     "t.toml:1:1: auth.chain[0].path: is missing: expected a path in quotes, like \"/etc/tidegate/ca.pem\""),
        ("[[auth.chain]]\ntype = \"broker\"",   "t.toml:2:8: auth.chain[0].type: \"broker\" decides only where `broker.mode` is \"per-device\""),
        ("[[auth.chain]]\ntype = \"jwt\"",      "t.toml:2:8: auth.chain[0].type: \"jwt\" is not in this version"),
        ("[[auth.chain]]\ntype = \"file\"\npath = \"u\"\ngateways = [\"coap\"]", "t.toml:4:13: auth.chain[0].gateways[0]: \"coap\" is not in this version"),
        ("[[authentication]]",                  "t.toml:1:3: authentication: is EMQX's name: here it is `auth`"),
        ("[authorization]",                     "t.toml:1:2: authorization: is EMQX's name: here it is `acl`"),
        ("[acl]\nnomatch = \"deny\"",           "t.toml:2:1: acl.nomatch: unknown key (did you mean `no_match`?)"),
        ("[bans]",                              "t.toml:1:2: bans: not in this version"),
        ("[gateways.coap]",                     "t.toml:1:11: gateways.coap: not in this version"),
        ("[gateways.lwm2m]\nxml_dir = \"x\"",   "t.toml:1:11: gateways.lwm2m: not in this version"),
        ("[gateways.stomp]",                    "t.toml:1:11: gateways.stomp: not in this version"),
        ("[gateways.mqtt-sn]",                  "t.toml:1:11: gateways.mqtt-sn: unknown key (did you mean `mqttsn`?)"),
        ("[gateways.mqttsn.listeners.udp]\nbind = 1884", "t.toml:2:8: gateways.mqttsn.listeners.udp.bind: expected a table, found the number 1884 (is a name missing? `[gateways.mqttsn.listeners.udp.default]`)"),
        ("[gateways.mqttsn]\nenable_qos3 = true", "t.toml:2:1: gateways.mqttsn.enable_qos3: is EMQX's name: here it is `qos_minus_one`"),
        ("[log]\nfile = \"x\"",                 "t.toml:2:1: log.file: not in this version"),
        ("[log]\nlevel = \"inof\"",             "t.toml:2:9: log.level: \"inof\" has \"inof\" where one of off, error, warn, info, debug, trace belongs"),
        ("[node]\nworkers = 257",               "t.toml:2:11: node.workers: expected 0 to 256, found the number 257"),
        ("[node]\nname = \"a/b\"",              "t.toml:2:8: node.name: \"a/b\" holds '/', which would break out of its topic level"),
        ("[node]\nbind = \"gateway.example\"",  "t.toml:2:8: node.bind: expected an address without a port, like \"127.0.0.1\", \"0.0.0.0\" or \"[::]\", found \"gateway.example\" (a host name cannot be bound: write the address itself)"),
        ("[events]\nqos = 3",                   "t.toml:2:7: events.qos: expected 0 to 2, found the number 3"),
        ("[sessions]\nstore = \"redis\"",       "t.toml:2:9: sessions.store: \"redis\" is not in this version"),
        ("[broker]\nmode = \"per-device\"\n[sessions]\nstore = \"file\"", "t.toml:4:9: sessions.store: \"file\" is for `broker.mode = \"shared\"`: in per-device mode the broker keeps the sessions"),
        ("[broker]\nurl = \"https://h/mqtt\"",  "t.toml:2:7: broker.url: expected \"embedded\" or a URL like \"mqtt://broker.example:1883\", \"mqtts://broker.example\" or \"wss://broker.example/mqtt\", found \"https://h/mqtt\" (MQTT over WebSocket and TLS is written \"wss://\")"),
        ("[broker]\nurls = [\"embedded\", \"mqtt://b\"]", "t.toml:2:9: broker.urls[0]: \"embedded\" cannot be one of several: it belongs in `url`"),
        ("[broker]\nurl = \"mqtt://a\"\nurls = [\"mqtt://b\"]", "t.toml:3:8: broker.urls: `url` is given too: one of them goes"),
        ("[broker]\nurl = \"mqtt://u:hunter2@h\"", "t.toml:2:7: broker.url: a broker URL holds no credentials: `username` and `password` are keys of their own"),
        ("[broker]\npassword_file = \"missing\"", "t.toml:2:17: broker.password_file: cannot read \"missing\": gone"),
        ("[broker.tls]\ncert_file = \"c\"",     "t.toml:2:13: broker.tls.cert_file: needs `key_file` beside it"),
        ("[broker.tls]\nkey_file = \"k\"",      "t.toml:2:12: broker.tls.key_file: needs `cert_file` beside it"),
        ("[admin]\nbind = \"0.0.0.0:18083\"",   "t.toml:2:8: admin.bind: 0.0.0.0:18083 can be reached from other machines: set `username` and `password` first"),
        ("[admin]\nbind = \"10.0.0.1:1\"\nusername = \"ops\"", "t.toml:2:8: admin.bind: 10.0.0.1:1 can be reached from other machines: set `username` and `password` first"),
        ("[node]\nbind = \"[::]\"\n[admin]\nbind = 18083", "t.toml:4:8: admin.bind: [::]:18083 can be reached from other machines: set `username` and `password` first"),
        ("[admin]\nbind = 1883",                "t.toml:2:8: admin.bind: 127.0.0.1:1883 is taken: `broker.embedded.bind` is 127.0.0.1:1883"),
        ("[gateways.mqttsn.listeners.udp]\na.bind = 7\nb.bind = \"127.0.0.1:7\"", "t.toml:3:10: gateways.mqttsn.listeners.udp.b.bind: 127.0.0.1:7 is taken: `gateways.mqttsn.listeners.udp.a.bind` is 127.0.0.1:7"),
        ("[gateways.mqttsn.listeners.udp.a]\n[gateways.mqttsn.listeners.udp.b]", "t.toml:2:32: gateways.mqttsn.listeners.udp.b.bind: 127.0.0.1:1884 is taken: `gateways.mqttsn.listeners.udp.a.bind` is 127.0.0.1:1884"),
        ("[gateways.tcp.listeners.tcp]\na.bind = 1883", "t.toml:2:10: gateways.tcp.listeners.tcp.a.bind: 127.0.0.1:1883 is taken: `broker.embedded.bind` is 127.0.0.1:1883"),
        ("[gateways.tcp.listeners]\ntcp.a = {}\ntls.b = { bind = 8090, tls = { cert_file = \"c\", key_file = \"k\" } }", "t.toml:3:18: gateways.tcp.listeners.tls.b.bind: 127.0.0.1:8090 is taken: `gateways.tcp.listeners.tcp.a.bind` is 127.0.0.1:8090"),
        ("[gateways.mqttsn.listeners.dtls.default]\nbind = 1885", "t.toml:1:28: gateways.mqttsn.listeners.dtls: not in this version"),
        ("[gateways.mqttsn.listeners.udp.a]\nmax_clients = 5", "t.toml:2:1: gateways.mqttsn.listeners.udp.a.max_clients: is EMQX's name: here it is `max_connections`"),
        ("[gateways.tcp.listeners.tcp.a]\naccess_rules = [\"allow all\"]", "t.toml:2:1: gateways.tcp.listeners.tcp.a.access_rules: is EMQX's name: here it is `access`"),
        ("[gateways.tcp.listeners.tls.a]\nssl_options.cacertfile = \"ca\"", "t.toml:2:1: gateways.tcp.listeners.tls.a.ssl_options: is EMQX's name: here it is `tls`"),
        ("[gateways.tcp.listeners.tls.a.tls]\ncert_file = \"c\"\nkey_file = \"k\"\ncacertfile = \"ca\"", "t.toml:4:1: gateways.tcp.listeners.tls.a.tls.cacertfile: is EMQX's name: here it is `ca_file`"),
        ("[gateways.tcp]\nclientinfo_override = {}", "t.toml:2:1: gateways.tcp.clientinfo_override: is EMQX's name: here it is `[[auth.chain]] type = \"static\"`"),
        ("[gateways.mqttsn.listeners.tcp.a]", "t.toml:1:28: gateways.mqttsn.listeners.tcp: not in this version"),
        ("[[auth.chain]]\ntype = \"x509\"\nusername = \"dn\"", "t.toml:3:12: auth.chain[0].username: \"dn\" is not in this version"),
        ("[gateways.tcp.listeners.tcp.a]\nhigh_watermark = \"4KB\"", "t.toml:1:1: gateways.tcp.listeners.tcp.a: `low_watermark` must be less than `high_watermark`"),
    ] {
        assert_eq!(load_text(text), Err(vec![expected.to_owned()]), "{text}");
    }
}

#[test]
fn a_variable_that_misses_is_told_by_its_name() {
    let problems = load_with(
        Some("[broker]"),
        &[
            ("TIDEGATE__BROKER__ULR", "mqtt://h"),
            ("TIDEGATE__EVENTS__QOS", "5"),
            ("TIDEGATE__GATEWAYS__COAP__ENABLE", "true"),
            ("TIDEGATE__ADMIN__BIND", "0.0.0.0:1"),
            ("TIDEGATE__LOG__FORMAT__X", "json"),
            ("TIDEGATE__BROKER__URLS", "mqtt://a"),
        ],
        FULL,
    );
    assert_eq!(
        problems.unwrap_err(),
        [
            "TIDEGATE__ADMIN__BIND: admin.bind: 0.0.0.0:1 can be reached from other machines: set `username` and `password` first",
            "TIDEGATE__BROKER__ULR: broker.ulr: unknown key (did you mean `url`?)",
            "TIDEGATE__BROKER__URLS: broker.urls: expected an array, like [\"…\", \"…\"], found \"mqtt://a\"",
            "TIDEGATE__EVENTS__QOS: events.qos: expected 0 to 2, found the number 5",
            "TIDEGATE__GATEWAYS__COAP__ENABLE: gateways.coap: not in this version",
            "TIDEGATE__LOG__FORMAT__X: log.format: expected \"text\" or \"json\", found a table",
        ]
    );
}

#[test]
fn a_build_without_the_embedded_broker_looks_for_one_on_this_machine() {
    let small = Build { embedded: false };
    assert_eq!(load_with(None, &[], small).unwrap().broker.link.url, BrokerUrl::local());
    let problems = load_with(Some("[broker]\nurl = \"embedded\""), &[], small).unwrap_err();
    let expected =
        "t.toml:2:7: broker.url: this build has no embedded broker: name one, like \"mqtt://127.0.0.1:1883\"";
    assert_eq!(problems, [expected]);
    // Without it, its address is free.
    assert!(load_with(Some("[admin]\nbind = 1883"), &[], small).is_ok());
}

#[test]
fn what_would_follow_from_a_bad_value_is_not_told() {
    let text = "[admin]\nbind = \"0.0.0.0:1\"\nusername = \"ops\"\npassword = 5\n[node]\nbind = \"x\"";
    let problems = load_text(text).unwrap_err();
    assert!(problems.iter().all(|line| !line.contains("can be reached")), "{problems:?}");
    assert_eq!(problems.len(), 2);
}

#[test]
fn a_password_opens_the_admin_address() {
    let text = "[admin]\nbind = \"0.0.0.0:1\"\nusername = \"ops\"\npassword_file = \"p\"";
    assert_eq!(load_text(text).unwrap().admin.password.expose(), "from a file");
}
