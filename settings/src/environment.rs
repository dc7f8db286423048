//! Environment variables that override keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use crate::tree::{self, Entry, Item, Table, Value};
use crate::{KeyPath, Place, Problem};

/// Steps in a path, tables and key; deeper ones would only cost stack.
const DEEPEST: usize = 32;

/// Sets in `root` what the variables say. Returns those that name no key, or one that another names too.
pub(crate) fn lay_over(
    root: &mut Table,
    prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    // By path, so that a table comes before the keys inside it; then the order of the environment is of no account.
    let mut ordered: BTreeMap<Vec<String>, (String, String)> = BTreeMap::new();
    let mut named: Vec<_> = variables.into_iter().collect();
    named.sort_unstable();
    for (name, value) in named {
        let Some(path) = path_of(prefix, &name) else { continue };
        if path.len() > DEEPEST {
            problems.push(problem(&name, &[], "names no key: no table lies so deep"));
        } else if path.iter().any(String::is_empty) {
            problems.push(problem(&name, &path, "names no key: between two `__` there must be one"));
        } else if let Some((other, _)) = ordered.get(&path) {
            let message = format!("names the same key as {other}");
            problems.push(problem(&name, &path, &message));
        } else {
            ordered.insert(path, (name, value));
        }
    }
    for (path, (name, value)) in ordered {
        let place = Place::Environment(name.as_str().into());
        set(root, &path, Entry { name_at: place.clone(), item: parsed(&value, &place) });
    }
    problems
}

fn problem(name: &str, path: &[String], message: &str) -> Problem {
    let key = path.iter().fold(KeyPath::default(), |path, key| path.child(key));
    Problem { place: Place::Environment(name.into()), key, message: message.into(), hint: None }
}

/// `TIDEGATE__BROKER__URL` is `broker`, `url`; `None` is somebody else's variable.
fn path_of(prefix: &str, name: &str) -> Option<Vec<String>> {
    let (head, rest) = name.split_once("__")?;
    head.eq_ignore_ascii_case(prefix).then(|| rest.split("__").map(str::to_ascii_lowercase).collect())
}

/// A value that parses as TOML is that value; anything else is text.
fn parsed(value: &str, place: &Place) -> Item {
    let raw: Option<Arc<str>> = Some(value.into());
    match DeValue::parse(value) {
        Ok(parsed) => Item { raw, ..tree::item(&parsed, &|_| place.clone()) },
        Err(_) => Item { place: place.clone(), value: Value::Text(value.into()), raw },
    }
}

fn set(table: &mut Table, path: &[String], entry: Entry) {
    let Some((first, rest)) = path.split_first() else { return };
    let key = spelling(table, first);
    if rest.is_empty() {
        table.0.insert(key, entry);
        return;
    }
    let place = entry.name_at.clone();
    let inner = table.0.entry(key).or_insert_with(|| empty_table(&place));
    // A value in the way of a path is replaced; reading then finds a table where the key wants something else.
    if !matches!(inner.item.value, Value::Table(_)) {
        *inner = empty_table(&place);
    }
    if let Value::Table(inner) = &mut inner.item.value {
        set(inner, rest, entry);
    }
}

fn empty_table(place: &Place) -> Entry {
    let item = Item { place: place.clone(), value: Value::Table(Table::default()), raw: None };
    Entry { name_at: place.clone(), item }
}

/// The table's own spelling of a key; `lower` when it has no such key.
fn spelling(table: &Table, lower: &str) -> String {
    let plain = |key: &str| key.to_ascii_lowercase().replace('-', "_");
    let exact = table.0.contains_key(lower).then(|| lower.to_owned());
    exact.or_else(|| table.0.keys().find(|key| plain(key) == plain(lower)).cloned()).unwrap_or_else(|| lower.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, variables: &[(&str, &str)]) -> (Table, Vec<Problem>) {
        let mut root = tree::table(toml::de::DeTable::parse(text).unwrap().get_ref(), &|_| Place::Default);
        let problems = lay_over(
            &mut root,
            "TIDEGATE",
            variables.iter().map(|(name, value)| (name.to_string(), value.to_string())),
        );
        (root, problems)
    }

    fn value<'t>(table: &'t Table, path: &[&str]) -> &'t Value {
        let (last, tables) = path.split_last().unwrap();
        let table = tables.iter().fold(table, |table, key| match &table.get(key).unwrap().item.value {
            Value::Table(inner) => inner,
            other => panic!("{key} is {other:?}"),
        });
        &table.get(last).unwrap().item.value
    }

    #[test]
    fn a_value_that_parses_as_toml_is_one_else_it_is_text() {
        let (root, problems) = after(
            "",
            &[
                ("TIDEGATE__A", "12"),
                ("TIDEGATE__B", "12s"),
                ("TIDEGATE__C", "'x y'"),
                ("TIDEGATE__D", "[1, 2]"),
                ("TIDEGATE__E", "{ 1 = 'one' }"),
                ("TIDEGATE__F", ""),
                ("TIDEGATE__G", "{ not toml"),
                ("TIDEGATE__H", "true"),
            ],
        );
        assert_eq!(problems, []);
        assert_eq!(value(&root, &["a"]), &Value::Integer(12));
        assert_eq!(value(&root, &["b"]), &Value::Text("12s".into()));
        assert_eq!(value(&root, &["c"]), &Value::Text("x y".into()));
        assert!(matches!(value(&root, &["d"]), Value::Array(items) if items.len() == 2));
        assert_eq!(value(&root, &["e", "1"]), &Value::Text("one".into()));
        assert_eq!(value(&root, &["f"]), &Value::Text(String::new()));
        assert_eq!(value(&root, &["g"]), &Value::Text("{ not toml".into()));
        assert_eq!(value(&root, &["h"]), &Value::Boolean(true));
    }

    #[test]
    fn names_meet_keys_of_the_file_whatever_their_case_and_with_underscores_for_dashes() {
        let (root, _) = after(
            "[udp.North-1]\nbind = 1\n[udp.a_b]\n[udp.a-b]",
            &[
                ("tidegate__UDP__north_1__Bind", "2"),
                ("TIDEGATE__UDP__A_B__BIND", "3"),
                ("PATH", "x"),
                ("TIDEGATE_HOME", "x"),
            ],
        );
        assert_eq!(value(&root, &["udp", "North-1", "bind"]), &Value::Integer(2));
        assert_eq!(value(&root, &["udp", "a_b", "bind"]), &Value::Integer(3), "the exact spelling goes first");
        assert_eq!(root.0.len(), 1);
    }

    #[test]
    fn a_table_comes_before_the_keys_inside_it() {
        let (root, _) = after("t.x = 1\nt.y = 1", &[("TIDEGATE__T__Z", "3"), ("TIDEGATE__T", "{ x = 2 }")]);
        assert_eq!(value(&root, &["t", "x"]), &Value::Integer(2));
        assert_eq!(value(&root, &["t", "z"]), &Value::Integer(3));
        assert!(matches!(value(&root, &["t"]), Value::Table(table) if table.get("y").is_none()));
    }

    #[test]
    fn two_spellings_of_one_key_and_empty_keys_are_refused() {
        let (_, problems) =
            after("", &[("TIDEGATE__A", "1"), ("TIDEGATE__a", "2"), ("TIDEGATE__A____B", "3"), ("TIDEGATE__", "4")]);
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "TIDEGATE__: \"\": names no key: between two `__` there must be one",
                "TIDEGATE__A____B: a.\"\".b: names no key: between two `__` there must be one",
                "TIDEGATE__a: a: names the same key as TIDEGATE__A",
            ]
        );
    }

    #[test]
    fn a_path_that_no_table_reaches_is_refused() {
        let deep = |steps: usize| format!("TIDEGATE{}", "__A".repeat(steps));
        assert_eq!(after("", &[(&deep(32), "1")]).1, []);
        let lines: Vec<_> = after("", &[(&deep(33), "1")]).1.iter().map(ToString::to_string).collect();
        assert_eq!(lines, [format!("{}: names no key: no table lies so deep", deep(33))]);
    }
}
