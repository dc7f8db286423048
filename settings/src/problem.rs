//! What is wrong, and where.

use std::fmt;
use std::sync::Arc;

use crate::leaf::bare_or_quoted;

/// One thing that an operator has to change. Prints as `file:line:column: dotted.key: message (hint)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the offending text stands.
    pub place: Place,
    /// The key it is about; empty for a syntax error.
    pub key: KeyPath,
    /// What is wrong, in plain words. Never holds a secret.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_root() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Where a value came from. The order is that in which problems are told: the file from top to bottom, then variables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the text of a file.
    File {
        /// The name that was handed in with the text.
        file: Arc<str>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// In the environment variable of this name.
    Environment(Arc<str>),
    /// Nowhere: it is the built-in default.
    Default,
}

impl Place {
    pub(crate) const fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line),
            Self::Environment(_) | Self::Default => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Environment(name) => f.write_str(name),
            Self::Default => f.write_str("built-in default"),
        }
    }
}

/// A key with the tables it lies in: `gateways.mqttsn.predefined.1`, `broker.urls[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(Vec<Step>);

/// From a table to one of its keys, or from an array to one of its elements.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// The key of this name inside `self`.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// Element `index`, from 0, of the array at `self`.
    #[must_use]
    pub fn element(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// Whether it names the document itself.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `self` is `other`, lies in it, or holds it.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }

    /// The way from the root.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether the last step is an array element.
    pub(crate) fn is_element(&self) -> bool {
        matches!(self.0.last(), Some(Step::Index(_)))
    }

    /// The last name on the way; empty for the root.
    pub(crate) fn last_name(&self) -> &str {
        let names = self.0.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        names.unwrap_or("")
    }

    /// As a table header names it.
    pub(crate) fn without_indices(&self) -> Self {
        Self(self.0.iter().filter(|step| matches!(step, Step::Key(_))).cloned().collect())
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

/// Splits at dots: for paths whose keys have none.
impl From<&str> for KeyPath {
    fn from(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Step::Key(key.into())).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(&bare_or_quoted(key))?,
                Step::Key(key) => write!(f, ".{}", bare_or_quoted(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_place_key_message_and_hint() {
        let mut problem = Problem {
            place: Place::File { file: "a.toml".into(), line: 3, column: 7 },
            key: KeyPath::from("gateways.mqttsn").child("client 7").element(2),
            message: "unknown key".into(),
            hint: Some("did you mean `x`?".into()),
        };
        assert_eq!(problem.to_string(), "a.toml:3:7: gateways.mqttsn.\"client 7\"[2]: unknown key (did you mean `x`?)");
        problem.hint = None;
        problem.key = KeyPath::default();
        problem.place = Place::Environment("TIDEGATE__X".into());
        assert_eq!(problem.to_string(), "TIDEGATE__X: unknown key");
    }

    #[test]
    fn a_path_overlaps_what_it_holds_and_what_holds_it() {
        let bind = KeyPath::from("admin.bind");
        for (other, expected) in [("admin", true), ("admin.bind", true), ("admin.bind.x", true), ("admin.user", false)]
        {
            assert_eq!(bind.overlaps(&KeyPath::from(other)), expected, "{other}");
        }
    }
}
