//! Rules of the sources.

use crate::arrows::PURE;
use crate::code::{code_of, lines_with, split};
use crate::{refuse, tree};

/// What a pure crate may not say in the part that ships.
const IMPURE: [(&str, &str); 14] = [
    ("Instant::now", "machines are given `now`"),
    ("SystemTime::now", "machines are given `now`"),
    ("UdpSocket", "sockets live in transport"),
    ("TcpStream", "sockets live in transport"),
    ("TcpListener", "sockets live in transport"),
    ("UnixStream", "sockets live in transport"),
    ("UnixDatagram", "sockets live in transport"),
    ("tokio::", "tasks live in transport and suite"),
    ("std::fs", "files are read by the binary"),
    ("std::env", "the environment is read by the binary"),
    ("std::thread", "a shard is one thread, and not its own master"),
    ("rand::", "chance comes in, seeded"),
    ("getrandom::", "chance comes in, seeded"),
    ("RandomState::new", "hashes are seeded from outside"),
];

const MAY_BE_UNSAFE: &str = "gateways/transport/src/sys.rs";
/// The one library that denies `unsafe` in place of forbidding it.
const DENIES: &str = "gateways/transport/src/lib.rs";

/// Lines of a file: what is aimed at is 350; beyond this the file must say why.
const LONGEST: usize = 500;
/// How a long file begins its reason.
const REASON: &str = "//! Long because ";

fn impure(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let (ships, _) = split(path, &code);
    let at = |(words, why): &(&'static str, &'static str)| {
        let (words, why) = (*words, *why);
        lines_with(ships, words)
            .map(move |line| format!("{path}:{line}: {words} in a pure crate: {why}"))
            .collect::<Vec<_>>()
    };
    IMPURE.iter().flat_map(at).collect()
}

fn is_unsafe(path: &str, text: &str) -> Vec<String> {
    if path == MAY_BE_UNSAFE {
        return Vec::new();
    }
    let code = code_of(text);
    lines_with(&code, "unsafe").map(|line| format!("{path}:{line}: unsafe outside {MAY_BE_UNSAFE}")).collect()
}

fn head(path: &str, text: &str) -> Option<String> {
    if !text.starts_with("//! ") {
        return Some(format!("{path}: does not begin by saying what it is (//!)"));
    }
    let attribute = if path == DENIES { "\n#![deny(unsafe_code)]\n" } else { "\n#![forbid(unsafe_code)]\n" };
    (path.ends_with("/lib.rs") && !text.contains(attribute)).then(|| format!("{path}: lacks {}", attribute.trim()))
}

fn length(path: &str, text: &str) -> Option<String> {
    let (lines, reasoned) = (text.lines().count(), text.lines().take(30).any(|line| line.starts_with(REASON)));
    (lines > LONGEST && !reasoned)
        .then(|| format!("{path}: {lines} lines: split it, or say why in a line that begins \"{REASON}\""))
}

fn waits_for_nothing(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let (ships, tests) = split(path, &code);
    let before = ships.matches('\n').count();
    let at = |words: &'static str, why: &'static str| {
        lines_with(tests, words)
            .map(move |line| format!("{path}:{}: {words} in a test: {why}", before + line))
            .collect::<Vec<_>>()
    };
    let mut found = at("thread::sleep", "wait for an event, with a deadline");
    found.extend(at("time::sleep", "wait for an event, with a deadline"));
    found.extend(at("#[ignore", "a test that does not run says nothing"));
    found
}

#[test]
fn pure_crates_know_no_socket_clock_or_chance() {
    let files = tree::files(".rs").into_iter().filter(|file| PURE.iter().any(|folder| file.path.starts_with(folder)));
    refuse(&files.flat_map(|file| impure(&file.path, &file.text)).collect::<Vec<_>>());
}

#[test]
fn unsafe_stands_in_one_file() {
    refuse(&tree::files(".rs").iter().flat_map(|file| is_unsafe(&file.path, &file.text)).collect::<Vec<_>>());
    assert!(tree::exists(MAY_BE_UNSAFE));
}

#[test]
fn every_library_and_program_begins_by_saying_what_it_is() {
    let starts = ["/lib.rs", "/main.rs"];
    let files = tree::files(".rs").into_iter().filter(|file| starts.iter().any(|name| file.path.ends_with(name)));
    refuse(&files.filter_map(|file| head(&file.path, &file.text)).collect::<Vec<_>>());
}

#[test]
fn every_crate_takes_the_lint_table() {
    let manifests =
        tree::files("Cargo.toml").into_iter().filter(|file| !["Cargo.toml", "fuzz/Cargo.toml"].contains(&&*file.path));
    let without = manifests.filter(|file| !file.text.contains("\n[lints]\nworkspace = true\n"));
    refuse(&without.map(|file| format!("{}: [lints] workspace = true is missing", file.path)).collect::<Vec<_>>());
}

#[test]
fn a_long_file_says_why() {
    refuse(&tree::files(".rs").iter().filter_map(|file| length(&file.path, &file.text)).collect::<Vec<_>>());
}

#[test]
fn no_test_sleeps_or_is_ignored() {
    refuse(&tree::files(".rs").iter().flat_map(|file| waits_for_nothing(&file.path, &file.text)).collect::<Vec<_>>());
}

#[test]
fn what_reads_the_clock_is_refused() {
    let text = "//! x\nlet a = Instant::now();\nuse std::net::UdpSocket;\n// Instant::now\n#[cfg(test)]\nmod tests { use std::fs; }";
    let found = impure("bridge-core/src/x.rs", text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("bridge-core/src/x.rs:2: Instant::now"));
    for (words, _) in IMPURE {
        assert_eq!(impure("bridge-core/src/x.rs", &format!("use {words};")).len(), 1, "{words}");
    }
}

#[test]
fn what_is_unsafe_is_refused() {
    let text = "// unsafe\n#![forbid(unsafe_code)]\nlet x = unsafe { y() };";
    assert_eq!(is_unsafe("wire/src/lib.rs", text), [format!("wire/src/lib.rs:3: unsafe outside {MAY_BE_UNSAFE}")]);
    assert_eq!(is_unsafe(MAY_BE_UNSAFE, text), [""; 0]);
}

#[test]
#[rustfmt::skip]
fn a_nameless_library_is_refused() {
    for (path, text, refused) in [
        ("a/src/lib.rs",  "//! A.\n#![forbid(unsafe_code)]\n", false),
        ("a/src/lib.rs",  "#![forbid(unsafe_code)]\n",         true),
        ("a/src/lib.rs",  "//! A.\n#![deny(unsafe_code)]\n",   true),
        (DENIES,          "//! A.\n#![deny(unsafe_code)]\n",   false),
        (DENIES,          "//! A.\n",                          true),
        ("a/src/main.rs", "//! A.\n",                          false),
        ("a/src/main.rs", "fn main() {}\n",                    true),
    ] {
        assert_eq!(head(path, text).is_some(), refused, "{path} {text}");
    }
}

#[test]
fn a_long_file_without_a_reason_is_refused() {
    let lines = |count: usize| "x\n".repeat(count);
    assert_eq!(length("a.rs", &lines(LONGEST)), None);
    assert!(length("a.rs", &lines(LONGEST + 1)).is_some());
    assert_eq!(length("a.rs", &format!("//! A.\n//!\n{REASON}it is one table.\n{}", lines(LONGEST))), None);
}

#[test]
fn a_sleeping_test_is_refused() {
    let text = "fn ships() { tokio::time::sleep(IDLE); }\n#[cfg(test)]\nmod tests {\n#[test]\nfn a() { std::thread::sleep(d); }\n}";
    assert_eq!(waits_for_nothing("a/src/x.rs", text).len(), 1);
    assert!(waits_for_nothing("a/src/x.rs", text)[0].starts_with("a/src/x.rs:5:"));
    assert_eq!(waits_for_nothing("a/tests/x.rs", "tokio::time::sleep(d).await;\n#[ignore]\n").len(), 2);
}
