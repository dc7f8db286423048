//! Values that are never shown.

use std::fmt;

use crate::{Item, Leaf, Misfit, quoted};

/// A password or key. Prints as `***`, or as nothing when it is empty, so that "none set" can be told from "hidden".
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { "***" })
    }
}

impl Leaf for Secret {
    const EXPECTED: &'static str = "a text in quotes";
    const SECRET: bool = true;

    fn read(item: &Item) -> Result<Self, Misfit> {
        item.text().map(|text| Self(text.into())).ok_or(Misfit::Unexpected)
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_whether_it_is_set() {
        let (set, unset) = (Secret::from("hunter2".to_owned()), Secret::default());
        assert_eq!(
            (format!("{set:?}"), set.to_string(), set.to_toml()),
            ("Secret(***)".into(), "***".into(), "\"***\"".into())
        );
        assert_eq!(
            (format!("{unset:?}"), unset.to_string(), unset.to_toml()),
            ("Secret()".into(), "".into(), "\"\"".into())
        );
        assert_eq!(set.expose(), "hunter2");
    }
}
