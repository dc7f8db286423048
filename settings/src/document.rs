//! A configuration document from parsing to the list of its problems.

use std::io;
use std::path::Path;

use toml::de::DeTable;

use crate::environment;
use crate::problem::Step;
use crate::tree::{self, Item, Source, Table, Value};
use crate::{KeyPath, Place, Problem, Section, Settings};

/// Reads the file of a secret. The path is as the configuration names it; what it is relative to, the caller decides.
pub type ReadFile<'a> = dyn FnMut(&Path) -> io::Result<String> + 'a;

/// One configuration: the tree of a file, with environment variables laid over it, and the problems found so far.
#[derive(Debug, Default)]
pub struct Document {
    root: Table,
    problems: Vec<Problem>,
    /// The line of the first syntax error. It and what follows may have been parsed wrongly.
    unsound_from: Option<usize>,
}

impl Document {
    /// Parses a file's text. Syntax errors are kept as problems; lines before the first of them are still read.
    #[must_use]
    pub fn parse(file: &str, text: &str) -> Self {
        let source = Source::new(file, text);
        let (parsed, errors) = DeTable::parse_recoverable(text);
        let problems: Vec<_> = errors
            .iter()
            .map(|error| Problem {
                place: source.place(error.span().map_or(0, |span| span.start)),
                key: KeyPath::default(),
                message: format!("not TOML: {}", error.message()),
                hint: None,
            })
            .collect();
        let unsound_from = problems.iter().filter_map(|problem| problem.place.line()).min();
        Self { root: tree::table(parsed.get_ref(), &|offset| source.place(offset)), problems, unsound_from }
    }

    /// Lays environment variables over the file: those of `variables` that begin with `prefix` and `__`. Names are
    /// case-insensitive, `__` separates the keys of a path, and a value takes its key's place whole, an array or table
    /// too. A key that the file already has is met whatever its case and with `_` for `-`; other names become lower
    /// case. A key that no variable name can spell is set through the table around it, as an inline table.
    pub fn override_from(&mut self, prefix: &str, variables: impl IntoIterator<Item = (String, String)>) {
        self.problems.extend(environment::lay_over(&mut self.root, prefix, variables));
    }

    /// Whether file or environment give the key, table or element.
    #[must_use]
    pub fn contains(&self, key: &KeyPath) -> bool {
        nearest(&self.root, key).is_some_and(|(_, depth)| depth == key.steps().len())
    }

    /// Reads the whole document into `settings`; a key that has a problem keeps its default.
    pub fn read(&mut self, settings: &mut dyn Settings, read_file: &mut ReadFile<'_>) {
        let mut found = Vec::new();
        Section::read(&self.root, &mut found, read_file, settings);
        if let Some(unsound) = self.unsound_from {
            found.retain(|problem| problem.place.line().is_none_or(|line| line < unsound));
        }
        self.problems.append(&mut found);
    }

    /// Notes what is wrong between keys, at the place of the first of them, or of the nearest table around it. Without
    /// effect when one of the keys already has a problem, or the text is no TOML: then the values are not the author's.
    pub fn refuse(&mut self, keys: &[KeyPath], message: impl Into<String>) {
        self.refuse_all([(keys.to_vec(), message.into())]);
    }

    /// As [`Self::refuse`] for each, where a key may have several things wrong with it: none of them silences another.
    pub fn refuse_all(&mut self, found: impl IntoIterator<Item = (Vec<KeyPath>, String)>) {
        let known = self.problems.len();
        for (keys, message) in found {
            let Some(key) = keys.first() else { continue };
            let told = |key: &KeyPath| self.problems.iter().take(known).any(|problem| problem.key.overlaps(key));
            if self.unsound_from.is_some() || keys.iter().any(told) {
                continue;
            }
            let place = nearest(&self.root, key).map_or(Place::Default, |(place, _)| place);
            self.problems.push(Problem { place, key: key.clone(), message, hint: None });
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// All problems, in the order of their places: the file from top to bottom, then variables by name.
    pub fn finish(mut self) -> Result<(), Vec<Problem>> {
        self.problems.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    /// Every key that the document gives a value, tables that are values of one key included as the keys in them.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyPath> {
        let mut keys = Vec::new();
        collect(&self.root, &KeyPath::default(), &mut keys);
        keys
    }

    /// Every table, the root first.
    #[must_use]
    pub fn tables(&self) -> Vec<KeyPath> {
        let mut tables = vec![KeyPath::default()];
        collect_tables(&self.root, &KeyPath::default(), &mut tables);
        tables
    }
}

/// The place of the key, or of the last table or element on the way to it that is there, and how many steps that was.
fn nearest(root: &Table, key: &KeyPath) -> Option<(Place, usize)> {
    let (mut at, mut found) = (At::Table(root), None);
    for (depth, step) in key.steps().iter().enumerate() {
        let (place, item) = match (&at, step) {
            (At::Table(table), Step::Key(name)) => {
                let Some(entry) = table.get(name) else { break };
                let table = matches!(entry.item.value, Value::Table(_));
                (if table { &entry.name_at } else { &entry.item.place }, &entry.item)
            }
            (At::Array(items), Step::Index(index)) => {
                let Some(item) = items.get(*index) else { break };
                (&item.place, item)
            }
            _ => break,
        };
        found = Some((place.clone(), depth + 1));
        at = match &item.value {
            Value::Table(table) => At::Table(table),
            Value::Array(items) => At::Array(items),
            _ => At::Leaf,
        };
    }
    found
}

/// Where a walk through the tree stands.
enum At<'t> {
    Table(&'t Table),
    Array(&'t [Item]),
    Leaf,
}

fn collect(table: &Table, path: &KeyPath, keys: &mut Vec<KeyPath>) {
    for (name, entry) in &table.0 {
        let path = path.child(name);
        match &entry.item.value {
            Value::Table(inner) => collect(inner, &path, keys),
            Value::Array(items) if items.iter().any(is_table) => {
                for (path, inner) in elements(items, &path) {
                    collect(inner, &path, keys);
                }
            }
            _ => keys.push(path),
        }
    }
}

fn collect_tables(table: &Table, path: &KeyPath, tables: &mut Vec<KeyPath>) {
    for (name, entry) in &table.0 {
        let path = path.child(name);
        let inner = match &entry.item.value {
            Value::Table(inner) => vec![(path, inner)],
            Value::Array(items) => elements(items, &path).collect(),
            _ => continue,
        };
        for (path, inner) in inner {
            tables.push(path.clone());
            collect_tables(inner, &path, tables);
        }
    }
}

const fn is_table(item: &Item) -> bool {
    matches!(item.value, Value::Table(_))
}

/// The tables of an array.
fn elements<'t>(items: &'t [Item], path: &KeyPath) -> impl Iterator<Item = (KeyPath, &'t Table)> {
    items.iter().enumerate().filter_map(|(at, item)| match &item.value {
        Value::Table(inner) => Some((path.element(at), inner)),
        _ => None,
    })
}
