//! Values that stand at the end of a path: how they are read, how they are printed.

use std::path::PathBuf;

use crate::{Item, Value};

/// A value of one key.
pub trait Leaf: Sized {
    /// What is expected, in plain words with an example: `a duration like "30s"`.
    const EXPECTED: &'static str;
    /// Whether the value must not be shown, in messages neither.
    const SECRET: bool = false;

    /// Reads the value.
    ///
    /// # Errors
    /// [`Misfit`] says in which way it is not what the key takes.
    fn read(item: &Item) -> Result<Self, Misfit>;

    /// The value as TOML; a secret is masked.
    fn to_toml(&self) -> String;
}

/// In which way a value does not fit its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It is not what [`Leaf::EXPECTED`] says; told as "expected …, found …".
    Unexpected,
    /// The same, and something near it would have done.
    UnexpectedBut {
        /// What may help.
        hint: String,
    },
    /// It can be read, but cannot be.
    Refused(String),
    /// The same, told without the value, which may hold a secret.
    RefusedUnseen(String),
    /// It belongs to the contract, and the code is not there yet.
    NotInThisVersion(String),
}

impl Leaf for bool {
    const EXPECTED: &'static str = "`true` or `false`";

    fn read(item: &Item) -> Result<Self, Misfit> {
        match item.value() {
            Value::Boolean(flag) => Ok(*flag),
            _ => Err(Misfit::Unexpected),
        }
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Leaf for String {
    const EXPECTED: &'static str = "a text in quotes";

    fn read(item: &Item) -> Result<Self, Misfit> {
        item.text().map(Into::into).ok_or(Misfit::Unexpected)
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Leaf for PathBuf {
    const EXPECTED: &'static str = "a path in quotes, like \"/etc/tidegate/ca.pem\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        item.text().map(Into::into).ok_or(Misfit::Unexpected)
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

/// The empty text is "none".
impl<T: Leaf> Leaf for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const SECRET: bool = T::SECRET;

    fn read(item: &Item) -> Result<Self, Misfit> {
        if item.text() == Some("") { Ok(None) } else { T::read(item).map(Some) }
    }

    fn to_toml(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), Leaf::to_toml)
    }
}

macro_rules! integers {
    ($($kind:ty, $plain:ty = $expected:literal;)*) => { $(
        impl Leaf for $kind {
            const EXPECTED: &'static str = $expected;

            fn read(item: &Item) -> Result<Self, Misfit> {
                match item.value() {
                    Value::Integer(number) => {
                        let number = <$plain>::try_from(*number).ok().and_then(|number| Self::try_from(number).ok());
                        number.ok_or(Misfit::Unexpected)
                    }
                    _ => Err(Misfit::Unexpected),
                }
            }

            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

integers! {
    u8, u8 = "a whole number from 0 to 255";
    u16, u16 = "a whole number from 0 to 65535";
    u32, u32 = "a whole number from 0 to 4294967295";
    u64, u64 = "a whole number, 0 or more";
    usize, usize = "a whole number, 0 or more";
    std::num::NonZeroU16, u16 = "a whole number from 1 to 65535";
    std::num::NonZeroU32, u32 = "a whole number from 1 to 4294967295";
}

/// `text` as a basic TOML string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `key` as it stands before a `=` or between dots: in quotes only where TOML wants them.
#[must_use]
pub fn bare_or_quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.into() } else { quoted(key) }
}

/// Reads one value for tests of leaf types, as `key = …` in a file would.
#[cfg(test)]
pub(crate) fn read_toml<T: Leaf>(toml: &str) -> Result<T, Misfit> {
    T::read(&crate::tree::item(&toml::de::DeValue::parse(toml).unwrap(), &|_| crate::Place::Default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_reads_back_as_itself() {
        for text in ["", "plain", "say \"hi\"", r"C:\x", "tab\tline\nreturn\r", "\u{1}\u{7f}\u{85}", "ß ✓"] {
            assert_eq!(read_toml::<String>(&quoted(text)), Ok(text.to_owned()));
        }
    }

    #[test]
    fn keys_are_quoted_only_where_toml_wants_it() {
        for (key, expected) in [("a-B_9", "a-B_9"), ("", "\"\""), ("a.b", "\"a.b\""), ("ß", "\"ß\"")] {
            assert_eq!(bare_or_quoted(key), expected);
        }
    }

    #[test]
    fn numbers_end_where_their_type_ends() {
        assert_eq!(read_toml::<u8>("255"), Ok(255));
        assert_eq!(read_toml::<u8>("256"), Err(Misfit::Unexpected));
        assert_eq!(read_toml::<u16>("-1"), Err(Misfit::Unexpected));
        assert_eq!(read_toml::<u32>("\"7\""), Err(Misfit::Unexpected));
        assert_eq!(read_toml::<std::num::NonZeroU16>("0"), Err(Misfit::Unexpected));
    }

    #[test]
    fn an_empty_text_is_none() {
        assert_eq!(read_toml::<Option<PathBuf>>("\"\""), Ok(None));
        assert_eq!(read_toml::<Option<PathBuf>>("\"x\""), Ok(Some("x".into())));
        assert_eq!(None::<PathBuf>.to_toml(), "\"\"");
    }
}
