//! Who may depend on whom. `ARCHITECTURE.md` holds the same table for people, and a test holds the two together.

use crate::{refuse, tree};
use serde_json::Value;
use std::process::Command;

/// One crate of ours.
struct Rule {
    name: &'static str,
    /// Crates of ours that it may use.
    ours: &'static [&'static str],
    others: Others,
}

/// Crates of other people that it may use.
#[derive(Clone, Copy, PartialEq)]
enum Others {
    /// Nothing at all.
    None,
    /// These. None of them has a socket, a clock or chance.
    Only(&'static [&'static str]),
    /// Sockets, tasks and the clock live here.
    Any,
}

const CORE: &[&str] = &["bytes", "foldhash", "hashbrown", "indexmap", "thiserror", "tracing"];

const TABLE: &[Rule] = &[
    Rule { name: "wire", ours: &[], others: Others::None },
    Rule { name: "settings", ours: &[], others: Others::Only(&["strsim", "toml"]) },
    Rule { name: "codec-mqtt", ours: &["wire"], others: Others::None },
    Rule { name: "codec-mqttsn", ours: &["wire"], others: Others::None },
    Rule { name: "codec-rawtcp", ours: &["wire"], others: Others::None },
    Rule { name: "bridge-core", ours: &["wire", "codec-mqtt", "settings"], others: Others::Only(CORE) },
    Rule { name: "mqttsn", ours: &["wire", "codec-mqttsn", "bridge-core", "settings"], others: Others::Only(CORE) },
    Rule {
        name: "tcp-gateway",
        ours: &["codec-rawtcp", "bridge-core", "settings"],
        others: Others::Only(&["foldhash", "hashbrown", "regex-lite", "tracing"]),
    },
    Rule { name: "shard", ours: &["bridge-core"], others: Others::Only(CORE) },
    Rule { name: "store", ours: &["bridge-core"], others: Others::Only(&["redb", "thiserror", "tracing"]) },
    Rule { name: "transport", ours: &["shard", "store", "bridge-core", "settings"], others: Others::Any },
    Rule { name: "auth", ours: &["bridge-core", "settings"], others: Others::Any },
    Rule {
        name: "config",
        ours: &["settings", "bridge-core", "mqttsn", "tcp-gateway", "transport", "auth"],
        others: Others::None,
    },
    Rule { name: "bench", ours: &["settings", "codec-mqtt", "codec-mqttsn", "codec-rawtcp"], others: Others::Any },
    Rule {
        name: "tidegate",
        ours: &[
            "config",
            "settings",
            "wire",
            "bridge-core",
            "mqttsn",
            "tcp-gateway",
            "shard",
            "store",
            "transport",
            "auth",
            "bench",
        ],
        others: Others::Any,
    },
    Rule { name: "test-support", ours: &["codec-mqtt"], others: Others::Only(&["serde_json"]) },
    Rule { name: "house", ours: &[], others: Others::None },
];

/// The crates in which nothing may know a socket, the clock or chance, by their folders.
pub(crate) const PURE: [&str; 8] = [
    "protocol-codecs/",
    "bridge-core/",
    "settings/",
    "config/",
    "gateways/mqttsn/",
    "gateways/tcp/",
    "gateways/shard/",
    "gateways/bench/src/device/",
];

/// `tidegate-wire` is called `wire` here; the binary's crate keeps its name.
fn short(name: &str) -> &str {
    name.strip_prefix("tidegate-").unwrap_or(name)
}

/// What the normal dependencies in `cargo metadata`'s answer break.
fn complaints(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("packages");
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut complaints = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let Some(rule) = TABLE.iter().find(|rule| rule.name == short(name)) else {
            complaints.push(format!("{name} has no row in the table of arrows"));
            continue;
        };
        // A kind is "dev", "build", or null for the dependencies that ship.
        for dependency in
            package["dependencies"].as_array().expect("dependencies").iter().filter(|d| d["kind"].is_null())
        {
            let on = dependency["name"].as_str().expect("a name");
            let allowed = match (names.contains(&on), rule.others) {
                (true, _) => rule.ours.contains(&short(on)),
                (false, Others::None) => false,
                (false, Others::Only(list)) => list.contains(&on),
                (false, Others::Any) => true,
            };
            if !allowed {
                complaints.push(format!("{name} may not depend on {on}"));
            }
        }
    }
    complaints
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").expect("cargo sets CARGO");
    // Without the tree of others' crates, of which parts may never have been fetched.
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"];
    let output = Command::new(cargo).args(arguments).current_dir(tree::root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn our_crates_depend_only_downwards() {
    refuse(&complaints(&metadata()));
}

#[test]
fn every_row_is_a_crate() {
    let metadata = metadata();
    let names: Vec<_> =
        metadata["packages"].as_array().unwrap().iter().map(|p| short(p["name"].as_str().unwrap())).collect();
    for rule in TABLE {
        assert!(names.contains(&rule.name), "{} has a row but is no crate", rule.name);
    }
}

#[test]
#[rustfmt::skip]
fn a_wrong_arrow_is_refused() {
    for (from, on, kind, refused) in [
        ("tidegate-bridge-core",  "tidegate-wire",      Value::Null,   false),
        ("tidegate-bridge-core",  "tidegate-transport", Value::Null,   true),
        ("tidegate-mqttsn",       "tokio",              Value::Null,   true),
        ("tidegate-mqttsn",       "tokio",              "dev".into(),  false),
        ("tidegate-shard",        "socket2",            Value::Null,   true),
        ("tidegate-shard",        "libc",               Value::Null,   true),
        ("tidegate-codec-mqtt",   "bytes",              Value::Null,   true),
        ("tidegate-bridge-core",  "rand",               Value::Null,   true),
        ("tidegate-transport",    "tokio",              Value::Null,   false),
        ("tidegate-transport",    "tidegate-mqttsn",    Value::Null,   true),
        ("tidegate-codec-mqttsn", "tidegate-codec-mqtt",Value::Null,   true),
        ("tidegate-stranger",     "tidegate-wire",      Value::Null,   true),
    ] {
        let package = |name: &str, dependencies: Vec<Value>| serde_json::json!({ "name": name, "dependencies": dependencies });
        let mut packages: Vec<_> = TABLE.iter().map(|rule| package(&format!("tidegate-{}", rule.name), vec![])).collect();
        packages.push(package(from, vec![serde_json::json!({ "name": on, "kind": kind })]));
        let found = complaints(&serde_json::json!({ "packages": packages }));
        assert_eq!(!found.is_empty(), refused, "{from} -> {on}: {found:?}");
    }
}

/// `| wire | nothing | nothing |`: a row as `ARCHITECTURE.md` must have it.
fn row(rule: &Rule) -> String {
    let list = |names: &[&str]| match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    let others = match rule.others {
        Others::None => "nothing".to_owned(),
        Others::Only(names) => list(names),
        Others::Any => "anything".to_owned(),
    };
    format!("| {} | {} | {others} |", rule.name, list(rule.ours))
}

#[test]
fn the_architecture_shows_this_table() {
    let text = tree::file("ARCHITECTURE.md").text;
    let missing = TABLE.iter().map(row).filter(|row| !text.lines().any(|line| line == row));
    refuse(&missing.map(|row| format!("ARCHITECTURE.md lacks: {row}")).collect::<Vec<_>>());
}
