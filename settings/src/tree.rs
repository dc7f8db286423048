//! The parsed document: every value with the place where it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::Place;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub(crate) place: Place,
    pub(crate) value: Value,
    /// What stood in an environment variable, whatever it was read as: a text key takes `12345` as it is.
    pub(crate) raw: Option<Arc<str>>,
}

/// A TOML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string of any of the four kinds.
    Text(String),
    /// A whole number, in any base.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// Values in brackets, and `[[tables]]`.
    Array(Vec<Item>),
    /// Keys and values.
    Table(Table),
    /// What no key takes: floats, dates, integers beyond 64 bits; as it was written.
    Other(String),
}

/// Keys in alphabetical order, each with the place of its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(pub(crate) BTreeMap<String, Entry>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name_at: Place,
    pub(crate) item: Item,
}

impl Item {
    /// The value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The text, if it is one; what an environment variable holds is always one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => self.raw.as_deref(),
        }
    }

    /// The value in a few words, for messages.
    pub(crate) fn described(&self) -> String {
        match &self.value {
            Value::Text(text) => crate::quoted(text),
            Value::Integer(number) => format!("the number {number}"),
            Value::Boolean(flag) => format!("`{flag}`"),
            Value::Array(_) => "an array".into(),
            Value::Table(_) => "a table".into(),
            Value::Other(written) => format!("`{written}`"),
        }
    }
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }
}

/// Turns byte offsets into places.
pub(crate) struct Source<'t> {
    file: Arc<str>,
    text: &'t str,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl<'t> Source<'t> {
    pub(crate) fn new(file: &str, text: &'t str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { file: file.into(), text, lines: std::iter::once(0).chain(after_breaks).collect() }
    }

    pub(crate) fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or(0);
        // An offset inside a character cannot come from the parser; it would count as the line's first column.
        let column = self.text.get(start..offset.min(self.text.len())).map_or(0, |before| before.chars().count());
        Place::File { file: self.file.clone(), line, column: column + 1 }
    }
}

/// How offsets become places: lines of a file, or the one name of a variable.
pub(crate) type Locate<'a> = &'a dyn Fn(usize) -> Place;

pub(crate) fn table(parsed: &DeTable<'_>, locate: Locate<'_>) -> Table {
    let entries = parsed.iter().map(|(name, value)| {
        let name_at = locate(name.span().start);
        let mut item = item(value, locate);
        // Where the parser had to guess a value, that has no place of its own.
        if value.span().is_empty() {
            item.place = name_at.clone();
        }
        let entry = Entry { name_at, item };
        (name.get_ref().to_string(), entry)
    });
    Table(entries.collect())
}

pub(crate) fn item(parsed: &Spanned<DeValue<'_>>, locate: Locate<'_>) -> Item {
    let value = match parsed.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => Value::Other(number.to_string()),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(moment) => Value::Other(moment.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|each| item(each, locate)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, locate)),
    };
    Item { place: locate(parsed.span().start), value, raw: None }
}

fn integer(number: &DeInteger<'_>) -> Value {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or_else(|_| Value::Other(number.to_string()), Value::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = Source::new("f", "a\nß = 1\r\n\nend");
        for (offset, line, column) in [(0, 1, 1), (1, 1, 2), (2, 2, 1), (4, 2, 2), (10, 3, 1), (11, 4, 1), (14, 4, 4)] {
            assert_eq!(source.place(offset), Place::File { file: "f".into(), line, column }, "byte {offset}");
        }
        assert_eq!(Source::new("f", "").place(0), Place::File { file: "f".into(), line: 1, column: 1 });
    }

    #[test]
    fn integers_are_read_in_every_base() {
        let at = |_| Place::Default;
        for (text, expected) in [
            ("1_024", Value::Integer(1024)),
            ("0x80", Value::Integer(128)),
            ("-3", Value::Integer(-3)),
            ("+3", Value::Integer(3)),
            ("9223372036854775808", Value::Other("9223372036854775808".into())),
            ("1.5", Value::Other("1.5".into())),
        ] {
            assert_eq!(item(&DeValue::parse(text).unwrap(), &at).value, expected, "{text}");
        }
    }
}
