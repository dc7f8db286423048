//! Tables from numbers to values.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Mode, Reading, Section};
use crate::tree::Value;
use crate::{Item, KeyPath, Leaf, bare_or_quoted, quoted};

impl Section<'_> {
    /// A table from numbers to values, like `{ 1 = "a", 2 = "b" }`. One that is given replaces all of the default's.
    pub fn numbered<T: Leaf>(
        &mut self,
        key: &'static str,
        into: &mut BTreeMap<u16, T>,
        range: &RangeInclusive<u16>,
        check: impl Fn(&T) -> Result<(), String>,
    ) {
        match &mut self.mode {
            Mode::Write(block) => block.leaf(key, written_numbers(into)),
            Mode::Read(reading) => {
                let path = self.path.child(key);
                let Some(entry) = reading.ask(key) else { return };
                if let Some(numbers) = reading.read_numbers(&entry.item, &path, range, &check) {
                    *into = numbers;
                }
            }
        }
    }

    /// Tables as of [`Self::numbered`] under names of the operator's choice, like `{ "lamp" = { 1 = "a" } }`. Those that
    /// are given replace all of the default's. `check_name` and `check` say what is wrong with a name and with a value.
    pub fn named_numbers<T: Leaf>(
        &mut self,
        key: &'static str,
        into: &mut BTreeMap<String, BTreeMap<u16, T>>,
        range: &RangeInclusive<u16>,
        check_name: impl Fn(&str) -> Result<(), String>,
        check: impl Fn(&T) -> Result<(), String>,
    ) {
        match &mut self.mode {
            Mode::Write(block) => {
                let tables = into.iter().map(|(name, numbers)| (bare_or_quoted(name), written_numbers(numbers)));
                block.leaf(key, inline_table(tables));
            }
            Mode::Read(reading) => {
                let path = self.path.child(key);
                let Some(entry) = reading.ask(key) else { return };
                let Value::Table(table) = &entry.item.value else {
                    return reading.unexpected(&entry.item, path, "a table of named tables");
                };
                into.clear();
                for (name, entry) in &table.0 {
                    let path = path.child(name);
                    if let Err(why) = check_name(name) {
                        reading.problem(&entry.name_at, path, format!("{} {why}", quoted(name)));
                    } else if let Some(numbers) = reading.read_numbers(&entry.item, &path, range, &check) {
                        into.insert(name.clone(), numbers);
                    }
                }
            }
        }
    }
}

impl Reading<'_> {
    /// `None`: it is no table. Entries that do not fit are told, and left out.
    fn read_numbers<T: Leaf>(
        &mut self,
        item: &Item,
        path: &KeyPath,
        range: &RangeInclusive<u16>,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Option<BTreeMap<u16, T>> {
        let Value::Table(table) = &item.value else {
            self.unexpected(item, path.clone(), "a table, like { 1 = \"…\" }");
            return None;
        };
        let mut numbers = BTreeMap::new();
        for (name, entry) in &table.0 {
            let path = path.child(name);
            let number = name.parse().ok().filter(|number: &u16| range.contains(number) && number.to_string() == *name);
            let Some(number) = number else {
                let message = format!("expected a number from {} to {} as key", range.start(), range.end());
                self.problem(&entry.name_at, path, message);
                continue;
            };
            let Some(value) = self.read_leaf::<T>(&entry.item, path.clone(), T::EXPECTED) else { continue };
            if let Err(why) = check(&value) {
                self.problem(&entry.item.place, path, format!("{} {why}", entry.item.described()));
            } else {
                numbers.insert(number, value);
            }
        }
        Some(numbers)
    }
}

fn written_numbers<T: Leaf>(numbers: &BTreeMap<u16, T>) -> String {
    inline_table(numbers.iter().map(|(number, value)| (number.to_string(), value.to_toml())))
}

pub(super) fn inline_table(pairs: impl Iterator<Item = (String, String)>) -> String {
    let pairs: Vec<_> = pairs.map(|(key, value)| format!("{key} = {value}")).collect();
    if pairs.is_empty() { "{}".into() } else { format!("{{ {} }}", pairs.join(", ")) }
}
