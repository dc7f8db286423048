//! What an operator sees, line by line.

use std::collections::BTreeMap;
use std::io;

use proptest::prelude::*;

use crate::{ByteSize, Document, HumanDuration, KeyPath, Secret, Section, Settings, keys, to_toml};

#[derive(Clone, Debug, Default, PartialEq)]
struct Home {
    name: String,
    rooms: u16,
    glow: HumanDuration,
    dark: bool,
    tags: Vec<String>,
    topics: BTreeMap<u16, String>,
    shelves: BTreeMap<String, BTreeMap<u16, String>>,
    key: Secret,
    store: Store,
    lamps: BTreeMap<String, Store>,
    doors: Vec<Store>,
    rules: Vec<Rule>,
    mood: Option<u8>,
}

/// One of an array: what else it has hangs on `kind`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rule {
    kind: Kind,
    who: Who,
    code: Secret,
}

crate::choice! {
    #[derive(Default)]
    enum Kind {
        #[default]
        Open = "open",
        Locked = "locked",
    }
    not_yet "haunted";
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Who {
    name: Option<String>,
    all: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Store {
    size: ByteSize,
}

impl Settings for Home {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.checked("name", &mut self.name, |name| if name == "evil" { Err("is no name".into()) } else { Ok(()) });
        s.ranged("rooms", &mut self.rooms, 1..=9);
        s.ranged("glow", &mut self.glow, HumanDuration::from_secs(1)..=HumanDuration::from_secs(60));
        s.leaf("dark", &mut self.dark);
        s.list("tags", &mut self.tags);
        s.numbered(
            "topics",
            &mut self.topics,
            &(1..=8),
            |t| if t.contains('#') { Err("has a #".into()) } else { Ok(()) },
        );
        s.named_numbers(
            "shelves",
            &mut self.shelves,
            &(1..=8),
            |name| if name.contains('/') { Err("has a /".into()) } else { Ok(()) },
            |t| if t.contains('#') { Err("has a #".into()) } else { Ok(()) },
        );
        s.secret("key", &mut self.key);
        s.table("store", &mut self.store);
        s.named("lamps", &mut self.lamps, || Store { size: ByteSize::from_kb(7) });
        s.tables("doors", &mut self.doors);
        s.inline_tables("rules", &mut self.rules);
        s.optional("mood", &mut self.mood);
        s.not_in_this_version(&["garage"]);
        s.renamed(&[("flat", "rooms")]);
        s.renamed_and_not_in_this_version(&[("shed", "garage")]);
    }
}

impl Settings for Store {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("size", &mut self.size);
    }
}

impl Settings for Rule {
    fn visit(&mut self, s: &mut Section<'_>) {
        if !s.required("kind", &mut self.kind) {
            return s.ignore_others();
        }
        s.inline("who", &mut self.who);
        if self.kind == Kind::Locked {
            s.secret("code", &mut self.code);
        }
    }
}

impl Settings for Who {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.optional("name", &mut self.name);
        s.optional("all", &mut self.all);
        if self.name.is_some() == self.all.is_some() {
            s.refuse("names nobody, or two: expected one of `name`, `all`");
        }
    }
}

fn read(text: &str, variables: &[(&str, &str)]) -> (Home, Vec<String>) {
    let mut home = Home { rooms: 3, ..Home::default() };
    let mut document = Document::parse("h.toml", text);
    document.override_from("HOME", variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    document.read(&mut home, &mut |path| match path.to_str() {
        Some("key.txt") => Ok("s3cret\r\n".into()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    });
    let problems = document.finish().err().unwrap_or_default();
    (home, problems.iter().map(ToString::to_string).collect())
}

fn problems(text: &str) -> Vec<String> {
    read(text, &[]).1
}

#[test]
fn every_kind_of_value_is_read() {
    let text = r#"
        name = "my"
        rooms = 4
        glow = "15s"
        dark = true
        tags = ["a", "b"]
        topics = { 1 = "x", 8 = "y" }
        shelves.hall = { 2 = "z" }
        shelves."a.b".3 = "w"
        key_file = "key.txt"
        lamps.hall = {}
        [store]
        size = "1MB"
        [lamps."the attic"]
        size = 3
        [[doors]]
        [[doors]]
        size = "2B"
        [[rules]]
        kind = "locked"
        code_file = "key.txt"
        who = { name = "me" }
        [[rules]]
        kind = "open"
        who.all = true
    "#;
    let (home, problems) = read(text, &[]);
    assert_eq!(problems, [""; 0]);
    let store = |bytes| Store { size: ByteSize::from_bytes(bytes) };
    let expected = Home {
        name: "my".into(),
        rooms: 4,
        glow: HumanDuration::from_secs(15),
        dark: true,
        tags: vec!["a".into(), "b".into()],
        topics: [(1, "x".into()), (8, "y".into())].into(),
        shelves: [("hall", [(2, "z".to_owned())].into()), ("a.b", [(3, "w".to_owned())].into())]
            .map(|(name, shelf)| (name.to_owned(), shelf))
            .into(),
        key: Secret::from("s3cret".to_owned()),
        store: store(1 << 20),
        lamps: [("hall".into(), store(7 * 1024)), ("the attic".into(), store(3))].into(),
        doors: vec![store(0), store(2)],
        rules: vec![
            Rule {
                kind: Kind::Locked,
                who: Who { name: Some("me".into()), all: None },
                code: Secret::from("s3cret".to_owned()),
            },
            Rule { kind: Kind::Open, who: Who { name: None, all: Some(true) }, code: Secret::default() },
        ],
        mood: None,
    };
    assert_eq!(home, expected);
}

#[test]
#[rustfmt::skip]
fn each_problem_is_told_with_its_place_and_key() {
    for (text, expected) in [
        ("nam = \"x\"",            "h.toml:1:1: nam: unknown key (did you mean `name`?)"),
        ("\n  zebra = 1",          "h.toml:2:3: zebra: unknown key"),
        ("[store]\n\"a b\" = 1",   "h.toml:2:1: store.\"a b\": unknown key"),
        ("[stor]\nsize = 1",       "h.toml:1:2: stor: unknown key (did you mean `store`?)"),
        ("key-file = \"\"",        "h.toml:1:1: key-file: unknown key (did you mean `key_file`?)"),
        ("[garage.left]\nx = 1",   "h.toml:1:2: garage: not in this version"),
        ("flat = 3",               "h.toml:1:1: flat: is EMQX's name: here it is `rooms`"),
        ("shed = 3",               "h.toml:1:1: shed: is EMQX's name: here it is `garage`, not in this version"),
        ("name = \"evil\"",        "h.toml:1:8: name: \"evil\" is no name"),
        ("name = 7",               "h.toml:1:8: name: expected a text in quotes, found the number 7"),
        ("rooms = 10",             "h.toml:1:9: rooms: expected 1 to 9, found the number 10"),
        ("rooms = 70000",          "h.toml:1:9: rooms: expected 1 to 9, found the number 70000"),
        ("glow = \"2m\"",          "h.toml:1:8: glow: expected \"1s\" to \"1m\", found \"2m\""),
        ("glow = 30",              "h.toml:1:8: glow: expected \"1s\" to \"1m\", found the number 30 (a duration has a unit: \"30s\" is seconds)"),
        ("dark = \"yes\"",         "h.toml:1:8: dark: expected `true` or `false`, found \"yes\""),
        ("dark = 1979-05-27",      "h.toml:1:8: dark: expected `true` or `false`, found `1979-05-27`"),
        ("tags = \"a\"",           "h.toml:1:8: tags: expected an array, like [\"…\", \"…\"], found \"a\""),
        ("tags = [\"a\",\n  5]",   "h.toml:2:3: tags[1]: expected a text in quotes, found the number 5"),
        ("topics = { 9 = \"a\" }", "h.toml:1:12: topics.9: expected a number from 1 to 8 as key"),
        ("topics.01 = \"a\"",      "h.toml:1:8: topics.01: expected a number from 1 to 8 as key"),
        ("topics.1 = \"#\"",       "h.toml:1:12: topics.1: \"#\" has a #"),
        ("topics.1 = 2",           "h.toml:1:12: topics.1: expected a text in quotes, found the number 2"),
        ("shelves = 1",            "h.toml:1:11: shelves: expected a table of named tables, found the number 1"),
        ("shelves.a = 1",          "h.toml:1:13: shelves.a: expected a table, like { 1 = \"…\" }, found the number 1"),
        ("shelves.\"a/\".1 = \"x\"", "h.toml:1:9: shelves.\"a/\": \"a/\" has a /"),
        ("[shelves.a]\n9 = \"x\"", "h.toml:2:1: shelves.a.9: expected a number from 1 to 8 as key"),
        ("[shelves.a]\n1 = \"#\"", "h.toml:2:5: shelves.a.1: \"#\" has a #"),
        ("store = 5",              "h.toml:1:9: store: expected a table, found the number 5"),
        ("[lamps]\nhall = 5",      "h.toml:2:8: lamps.hall: expected a table, found the number 5 (is a name missing? `[lamps.default]`)"),
        ("[lamps.hall]\nsiz = 5",  "h.toml:2:1: lamps.hall.siz: unknown key (did you mean `size`?)"),
        ("[[doors]]\n[[doors]]\nsize = \"1TB\"", "h.toml:3:8: doors[1].size: expected a size like \"64KB\", \"1MB\" or \"512B\", or a number of bytes, found \"1TB\""),
        ("[doors]\nsize = 1",      "h.toml:1:1: doors: expected an array of tables, each headed by `[[…]]`, found a table"),
        ("rules = 1",              "h.toml:1:9: rules: expected an array of tables, like [{ … }, { … }], found the number 1"),
        ("rules = [{ kind = \"open\" },\n 1]", "h.toml:2:2: rules[1]: expected a table, found the number 1"),
        ("rules = [{ kidn = \"open\" }]", "h.toml:1:10: rules[0].kind: is missing: expected \"open\" or \"locked\""),
        ("\n[[rules]]\nkind = \"open\"\n[[rules]]", "h.toml:4:1: rules[1].kind: is missing: expected \"open\" or \"locked\""),
        ("rules = [{ kind = \"haunted\", ghost = 1 }]", "h.toml:1:19: rules[0].kind: \"haunted\" is not in this version"),
        ("rules = [{ kind = \"open\", code = \"s\" }]", "h.toml:1:27: rules[0].code: unknown key"),
        ("rules = [{ kind = \"open\", who = {} }]", "h.toml:1:33: rules[0].who: names nobody, or two: expected one of `name`, `all`"),
        ("rules = [{ kind = \"open\", who = { all = 1 } }]", "h.toml:1:41: rules[0].who.all: expected `true` or `false`, found the number 1"),
        ("mood = \"\"",           "h.toml:1:8: mood: expected a whole number from 0 to 255, found \"\""),
        ("key = 77",               "h.toml:1:7: key: expected a text in quotes, found something else"),
        ("key_file = \"no\"",      "h.toml:1:12: key_file: cannot read \"no\": no such file"),
        ("key_file = \"key.txt\"\nkey = \"k\"", "h.toml:1:12: key_file: `key` is given too: one of them goes"),
        ("key_file = 1",           "h.toml:1:12: key_file: expected a path in quotes, like \"/etc/tidegate/ca.pem\", found the number 1"),
        ("name = \"a\"\nname = \"b\"", "h.toml:2:1: not TOML: duplicate key"),
        ("rooms = ",               "h.toml:1:9: not TOML: string values must be quoted, expected literal string"),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn all_problems_are_told_at_once_from_top_to_bottom() {
    let (home, problems) =
        read("zebra = 1\nrooms = 0\n[store]\nsize = true\nsizes = 2", &[("HOME__GLOW", "9"), ("HOME__DRAK", "true")]);
    let places: Vec<_> = problems.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "h.toml:1:1 zebra",
            "h.toml:2:9 rooms",
            "h.toml:4:8 store.size",
            "h.toml:5:1 store.sizes",
            "HOME__DRAK drak",
            "HOME__GLOW glow",
        ]
    );
    assert_eq!(home.rooms, 3, "a key with a problem keeps its default");
}

#[test]
fn lines_before_the_first_syntax_error_are_still_checked_and_those_after_it_are_not() {
    let lines = problems("zebra = 1\nrooms = = 3\nlion = 2\ndark = yes");
    let starts: Vec<_> = lines.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(starts, ["h.toml:1:1 zebra", "h.toml:2:9 not TOML", "h.toml:2:11 not TOML", "h.toml:4:8 not TOML"]);
}

#[test]
fn a_variable_that_misses_is_told_by_its_name() {
    let (home, lines) = read(
        "rooms = 4",
        &[
            ("HOME__ROOMS", "12"),
            ("HOME__KEY", "0x10"),
            ("HOME__NAME", "1884"),
            ("HOME__STROE__SIZE", "1"),
            ("HOME__TAGS", "['a', 1]"),
            ("HOME__RULES", "[{ kind = 'locked', code = 'hunter2' "),
            ("HOME__STORE", "{ size = hunter2 }"),
        ],
    );
    assert_eq!(
        lines,
        [
            "HOME__ROOMS: rooms: expected 1 to 9, found the number 12",
            "HOME__RULES: rules: expected an array of tables, like [{ … }, { … }], found a text, for it is no TOML",
            "HOME__STORE: store: expected a table, found a text, for it is no TOML",
            "HOME__STROE__SIZE: stroe: unknown key (did you mean `store`?)",
            "HOME__TAGS: tags[1]: expected a text in quotes, found the number 1",
        ]
    );
    assert_eq!((home.name.as_str(), home.key.expose()), ("1884", "0x10"), "a text key takes the variable as it is");
}

#[test]
fn a_problem_between_keys_is_told_once_and_only_if_the_keys_are_sound() {
    let mut document = Document::parse("h.toml", "rooms = 0\n[store]\nsize = 1\n[[doors]]\n[[doors]]\nsize = 4");
    document.read(&mut Home::default(), &mut |_| Ok(String::new()));
    let key = |dotted: &str| KeyPath::from(dotted);
    document.refuse(&[key("rooms")], "already told");
    document.refuse(&[key("name"), key("rooms")], "rests on a bad value");
    document.refuse(&[key("store.size"), key("name")], "is too small for no name");
    document.refuse(&[key("store.colour")], "wants a colour");
    document.refuse(&[key("dark")], "is unset");
    let door = |at: usize| key("doors").element(at);
    document.refuse(&[door(1).child("size")], "is too small for a door");
    document.refuse(&[door(1).child("colour")], "wants a coat of paint");
    document.refuse(&[door(7)], "is no door");
    document.refuse_all([(vec![key("tags")], "is wrong".into()), (vec![key("tags")], "and wrong again".into())]);
    let lines: Vec<_> = document.finish().unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "h.toml:1:9: rooms: expected 1 to 9, found the number 0",
            "h.toml:2:2: store.colour: wants a colour",
            "h.toml:3:8: store.size: is too small for no name",
            "h.toml:4:1: doors[7]: is no door",
            "h.toml:5:1: doors[1].colour: wants a coat of paint",
            "h.toml:6:8: doors[1].size: is too small for a door",
            "built-in default: dark: is unset",
            "built-in default: tags: is wrong",
            "built-in default: tags: and wrong again",
        ]
    );
}

#[test]
fn what_is_written_reads_back_as_the_same_but_for_the_secret() {
    let text = "name = \"q\\\"\"\nkey = \"s\"\ntags = [\"a\"]\ntopics = { 2 = \"t\" }\nshelves.\"a b\".1 = \"u\"\nlamps.\"a.b\".size = 1\nmood = 3\nrules = [{ kind = \"locked\", code = \"s\", who = { name = \"x\" } }, { kind = \"open\", who.all = false }]\n[[doors]]\nsize = 5";
    let (home, _) = read(text, &[]);
    let written = to_toml(&mut home.clone());
    assert!(written.contains("key = \"***\"\n") && !written.contains("\"s\""), "{written}");
    let (again, problems) = read(&written.replace("***", "s").replace("glow = \"0s\"\n", ""), &[]);
    assert_eq!(problems, [""; 0], "{written}");
    assert_eq!(again, home);
}

#[test]
fn the_visit_lists_every_key() {
    let mut home = Home { lamps: [("hall".into(), Store::default())].into(), ..Home::default() };
    let listed: Vec<_> = keys(&mut home).iter().map(ToString::to_string).collect();
    let expected = [
        "name",
        "rooms",
        "glow",
        "dark",
        "tags",
        "topics",
        "shelves",
        "key",
        "key_file",
        "rules",
        "mood",
        "store.size",
        "lamps.hall.size",
    ];
    let mut sorted = listed.clone();
    sorted.sort();
    let mut wanted = expected.to_vec();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
}

#[test]
fn a_document_lists_the_keys_and_tables_of_its_arrays() {
    let document = Document::parse("h.toml", "tags = [1]\nrules = [{ kind = 1 }, { who = { all = 1 } }]\n[[doors]]");
    let told = |paths: Vec<KeyPath>| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(document.keys()), ["rules[0].kind", "rules[1].who.all", "tags"]);
    assert_eq!(told(document.tables()), ["", "doors[0]", "rules[0]", "rules[1]", "rules[1].who"]);
    for (key, there) in [("rules", true), ("tags", true), ("ruls", false)] {
        assert_eq!(document.contains(&KeyPath::from(key)), there, "{key}");
    }
    let second = KeyPath::from("rules").element(1);
    assert!(document.contains(&second.child("who")) && !document.contains(&second.child("kind")));
}

/// Pieces of TOML, whole and broken, with keys that exist and keys that do not.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[store]\n"),
        Just("[[doors]]\n"),
        Just("[[rules]]\n"),
        Just("kind"),
        Just("\"locked\""),
        Just("who"),
        Just("[lamps.a]\n"),
        Just("size"),
        Just("topics.1"),
        Just("key_file"),
        Just("zebra"),
        Just(" = "),
        Just("."),
        Just("\"7KB\""),
        Just("'ß"),
        Just("{ 1 = \"x\" }"),
        Just("[1, \"a\"]"),
        Just("\"\"\""),
        Just("99999999999999999999"),
        Just("{"),
        Just("["),
        Just("\r\n"),
        Just("\n"),
        Just("\u{0}"),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_the_text_problems_stand_inside_it(text in any_text(), value in any_text()) {
        let mut document = Document::parse("h.toml", &text);
        document.override_from("HOME", [("HOME__DOORS".to_owned(), value)]);
        document.read(&mut Home::default(), &mut |_| Err(io::Error::other("no")));
        for problem in document.finish().err().unwrap_or_default() {
            if let crate::Place::File { line, column, .. } = problem.place {
                let found = text.split('\n').nth(line - 1);
                prop_assert!(found.is_some_and(|found| column <= found.chars().count() + 1), "{}:{}", line, column);
            }
        }
    }
}
