//! Settings written out.

use std::collections::BTreeSet;

use crate::{KeyPath, Section, Settings, bare_or_quoted};

/// One table on its way out.
#[derive(Debug, Default)]
pub(crate) struct Block {
    path: KeyPath,
    leafs: Vec<(&'static str, String)>,
    /// Keys that exist and are not printed, because another key stands for them.
    alternatives: Vec<String>,
    tables: Vec<Self>,
}

impl Block {
    pub(crate) fn new(path: KeyPath) -> Self {
        Self { path, ..Self::default() }
    }

    pub(crate) fn leaf(&mut self, key: &'static str, toml: String) {
        self.leafs.push((key, toml));
    }

    pub(crate) fn alternative(&mut self, key: &str) {
        self.alternatives.push(key.into());
    }

    pub(crate) fn table(&mut self, table: Self) {
        self.tables.push(table);
    }

    /// As the value of one key, on one line.
    pub(crate) fn inline(&self) -> String {
        let tables = self.tables.iter().map(|table| (table.path.last_name(), table.inline()));
        let leafs = self.leafs.iter().map(|(key, toml)| (*key, toml.clone()));
        let pairs: Vec<_> =
            leafs.chain(tables).map(|(key, toml)| format!("{} = {toml}", bare_or_quoted(key))).collect();
        if pairs.is_empty() { "{}".into() } else { format!("{{ {} }}", pairs.join(", ")) }
    }

    fn print(&self, out: &mut String) {
        // A table that holds only tables needs no header of its own.
        if !self.path.is_root() && (!self.leafs.is_empty() || self.tables.is_empty()) {
            let gap = if out.is_empty() { "" } else { "\n" };
            let (open, close) = if self.path.is_element() { ("[[", "]]") } else { ("[", "]") };
            out.push_str(&format!("{gap}{open}{}{close}\n", self.path.without_indices()));
        }
        for (key, toml) in &self.leafs {
            out.push_str(&format!("{} = {toml}\n", bare_or_quoted(key)));
        }
        for table in &self.tables {
            table.print(out);
        }
    }

    fn values(self, values: &mut Vec<(KeyPath, String)>) {
        values.extend(self.leafs.into_iter().map(|(key, toml)| (self.path.child(key), toml)));
        for table in self.tables {
            table.values(values);
        }
    }

    fn collect(&self, keys: &mut Vec<KeyPath>) {
        keys.extend(self.leafs.iter().map(|(key, _)| self.path.child(key)));
        keys.extend(self.alternatives.iter().map(|key| self.path.child(key)));
        for table in &self.tables {
            table.collect(keys);
        }
    }
}

/// `settings` as TOML, secrets masked, every key with its value.
#[must_use]
pub fn to_toml(settings: &mut dyn Settings) -> String {
    let mut text = String::new();
    written(settings).print(&mut text);
    text
}

/// Every key that `settings` names, in the order of its visit.
#[must_use]
pub fn keys(settings: &mut dyn Settings) -> Vec<KeyPath> {
    let mut keys = Vec::new();
    written(settings).collect(&mut keys);
    keys
}

/// The keys at which two settings differ, in the order of their visits. Two secrets look alike.
#[must_use]
pub fn differences(one: &mut dyn Settings, other: &mut dyn Settings) -> Vec<KeyPath> {
    let values = |settings| {
        let mut values = Vec::new();
        written(settings).values(&mut values);
        values
    };
    let (one, other) = (values(one), values(other));
    let (here, there): (BTreeSet<_>, BTreeSet<_>) = (one.iter().collect(), other.iter().collect());
    let changed =
        one.iter().filter(|pair| !there.contains(pair)).chain(other.iter().filter(|pair| !here.contains(pair)));
    let mut seen = BTreeSet::new();
    changed.map(|(key, _)| key).filter(|key| seen.insert(*key)).cloned().collect()
}

fn written(settings: &mut dyn Settings) -> Block {
    Section::write(KeyPath::default(), settings)
}
