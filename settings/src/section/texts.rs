//! Tables from names to texts.

use std::collections::BTreeMap;

use super::numbers::inline_table;
use super::{Mode, Section};
use crate::tree::Value;
use crate::{Leaf, bare_or_quoted, quoted};

impl Section<'_> {
    /// A table from names of the operator's choice to texts, like `{ "a" = "b" }`. One that is given replaces all of the
    /// default's. `check_name` and `check` say what is wrong with a name and with a text.
    pub fn texts(
        &mut self,
        key: &'static str,
        into: &mut BTreeMap<String, String>,
        check_name: impl Fn(&str) -> Result<(), String>,
        check: impl Fn(&str) -> Result<(), String>,
    ) {
        match &mut self.mode {
            Mode::Write(block) => {
                block.leaf(key, inline_table(into.iter().map(|(name, text)| (bare_or_quoted(name), text.to_toml()))));
            }
            Mode::Read(reading) => {
                let path = self.path.child(key);
                let Some(entry) = reading.ask(key) else { return };
                let Value::Table(table) = &entry.item.value else {
                    return reading.unexpected(&entry.item, path, "a table, like { \"…\" = \"…\" }");
                };
                into.clear();
                for (name, entry) in &table.0 {
                    let path = path.child(name);
                    if let Err(why) = check_name(name) {
                        reading.problem(&entry.name_at, path, format!("{} {why}", quoted(name)));
                        continue;
                    }
                    let Some(text) = reading.read_leaf::<String>(&entry.item, path.clone(), String::EXPECTED) else {
                        continue;
                    };
                    match check(&text) {
                        Ok(()) => drop(into.insert(name.clone(), text)),
                        Err(why) => reading.problem(&entry.item.place, path, format!("{} {why}", quoted(&text))),
                    }
                }
            }
        }
    }
}
