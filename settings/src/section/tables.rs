//! Tables inside a table: one, named ones, arrays of them.

use std::collections::BTreeMap;

use super::{Mode, Reading, Section};
use crate::tree::Value;
use crate::written::Block;
use crate::{Item, KeyPath, Settings};

impl Section<'_> {
    /// A table with a struct of its own. Left as it is when the document has no such table.
    pub fn table(&mut self, key: &'static str, into: &mut dyn Settings) {
        let path = self.path.child(key);
        match &mut self.mode {
            Mode::Write(block) => block.table(Section::write(path, into)),
            Mode::Read(reading) => {
                if let Some(entry) = reading.ask(key) {
                    reading.read_table(&entry.item, path, into);
                }
            }
        }
    }

    /// A table that is printed in one line, `key = { … }`; otherwise as [`Self::table`].
    pub fn inline(&mut self, key: &'static str, into: &mut dyn Settings) {
        match &mut self.mode {
            Mode::Write(block) => block.leaf(key, Self::write(self.path.child(key), into).inline()),
            Mode::Read(_) => self.table(key, into),
        }
    }

    /// As [`Self::inline`], where the table must be there: `expected` says what it holds.
    pub fn required_inline(&mut self, key: &'static str, into: &mut dyn Settings, expected: &str) {
        if let Mode::Read(reading) = &mut self.mode
            && reading.table.get(key).is_none()
        {
            let (place, path) = (reading.place.clone(), self.path.child(key));
            reading.asked.push(key.into());
            return reading.problem(&place, path, format!("is missing: expected {expected}"));
        }
        self.inline(key, into);
    }

    /// A table of tables with names of the operator's choice. If given, only those given exist; each begins as
    /// `template` makes it.
    pub fn named<T: Settings>(&mut self, key: &'static str, into: &mut BTreeMap<String, T>, template: impl Fn() -> T) {
        let path = self.path.child(key);
        match &mut self.mode {
            Mode::Write(block) => {
                let mut tables = Block::new(path.clone());
                for (name, each) in into {
                    tables.table(Section::write(path.child(name), each));
                }
                block.table(tables);
            }
            Mode::Read(reading) => {
                let Some(entry) = reading.ask(key) else { return };
                let Value::Table(table) = &entry.item.value else {
                    return reading.unexpected(&entry.item, path, "a table of named tables");
                };
                into.clear();
                for (name, entry) in &table.0 {
                    let mut each = template();
                    if !matches!(entry.item.value, Value::Table(_)) {
                        let message = format!("expected a table, found {}", entry.item.described());
                        let hint = format!("is a name missing? `[{}]`", path.child("default"));
                        reading.told(&entry.item.place, path.child(name), message, Some(hint));
                        continue;
                    }
                    reading.read_table(&entry.item, path.child(name), &mut each);
                    into.insert(name.clone(), each);
                }
            }
        }
    }

    /// An array of tables, `[[key]]` or `key = [{ … }]`. If given, it replaces all of the default's.
    pub fn tables<T: Settings + Default>(&mut self, key: &'static str, into: &mut Vec<T>) {
        let path = self.path.child(key);
        match &mut self.mode {
            Mode::Write(block) => {
                for (at, each) in into.iter_mut().enumerate() {
                    block.table(Section::write(path.element(at), each));
                }
            }
            Mode::Read(reading) => reading.read_tables(key, &path, into, "each headed by `[[…]]`"),
        }
    }

    /// As [`Self::tables`], but printed as `key = [{ … }]`, and `key = []` while there are none.
    pub fn inline_tables<T: Settings + Default>(&mut self, key: &'static str, into: &mut Vec<T>) {
        let path = self.path.child(key);
        match &mut self.mode {
            Mode::Write(block) => {
                let lines: Vec<_> = into
                    .iter_mut()
                    .enumerate()
                    .map(|(at, each)| format!("    {},\n", Section::write(path.element(at), each).inline()))
                    .collect();
                block.leaf(key, if lines.is_empty() { "[]".into() } else { format!("[\n{}]", lines.concat()) });
            }
            Mode::Read(reading) => reading.read_tables(key, &path, into, "like [{ … }, { … }]"),
        }
    }
}

impl Reading<'_> {
    fn read_table(&mut self, item: &Item, path: KeyPath, into: &mut dyn Settings) {
        let Value::Table(table) = &item.value else {
            return self.unexpected(item, path, "a table");
        };
        let inner = Reading::new(table, item.place.clone(), &mut *self.problems, &mut *self.read_file);
        let mut section = Section { path, mode: Mode::Read(inner) };
        into.visit(&mut section);
        section.finish();
    }

    fn read_tables<T: Settings + Default>(
        &mut self,
        key: &'static str,
        path: &KeyPath,
        into: &mut Vec<T>,
        shape: &str,
    ) {
        let Some(entry) = self.ask(key) else { return };
        let Value::Array(items) = &entry.item.value else {
            return self.unexpected(&entry.item, path.clone(), &format!("an array of tables, {shape}"));
        };
        into.clear();
        for (at, item) in items.iter().enumerate() {
            let mut each = T::default();
            self.read_table(item, path.element(at), &mut each);
            into.push(each);
        }
    }
}
