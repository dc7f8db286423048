//! Files of users: `name:$argon2id$…`, one a line.

use std::collections::BTreeMap;
use std::fmt;

use bridge_core::text::is_carriable;

use crate::hash::{HashFault, PasswordHash};

/// The users of a file. `Debug` shows no hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<Box<str>, PasswordHash>);

/// What is wrong with one line, of users if not of another kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault<F = UserFault> {
    /// Counted from 1.
    pub line: usize,
    /// What it is. It never holds any of the line but a name that is sound.
    pub fault: F,
}

impl<F: fmt::Display> fmt::Display for LineFault<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

/// Why a line names no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserFault {
    /// No colon with a `$` behind it.
    #[error("expected name:$argon2id$…")]
    NoHash,
    /// The hash.
    #[error("{0}")]
    Hash(#[from] HashFault),
    /// The name.
    #[error("the user name {0}")]
    Name(#[from] NameFault),
    /// Two lines for one user: which of them counts?
    #[error("the user {name:?} is in line {first} already")]
    Twice {
        /// The user.
        name: Box<str>,
        /// The line before.
        first: usize,
    },
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotText,
}

/// Why nobody can have this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Nothing in front of the colon.
    #[error("is empty")]
    Empty,
    /// More than a field of MQTT holds.
    #[error("is longer than {LONGEST_NAME} bytes")]
    TooLong,
    /// A control character or a Unicode non-character.
    #[error("holds a character that MQTT cannot carry")]
    NotCarriable,
    /// What a line of the file would not give back: white space at an end, `#` in front, `:$` within.
    #[error("begins with '#', begins or ends with white space, or holds \":$\": no line can say it")]
    NotALine,
}

/// Checks that a line can name this user, and that MQTT can carry the name.
///
/// # Errors
/// [`NameFault`].
pub fn check_name(name: &str) -> Result<(), NameFault> {
    match name {
        "" => Err(NameFault::Empty),
        name if name.len() > LONGEST_NAME => Err(NameFault::TooLong),
        name if !is_carriable(name) => Err(NameFault::NotCarriable),
        name if name.starts_with(['#', '\u{FEFF}']) || name.trim() != name || name.contains(":$") => {
            Err(NameFault::NotALine)
        }
        _ => Ok(()),
    }
}

impl Users {
    /// Reads a whole file: a user a line, blank lines and lines that begin with `#` aside. White space around a line
    /// is of no account, so a line may end in CR LF.
    ///
    /// # Errors
    /// What is wrong with each line, from top to bottom.
    pub fn parse(file: &[u8]) -> Result<Self, Vec<LineFault>> {
        let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
        let (mut users, mut lines, mut faults) = (BTreeMap::new(), BTreeMap::<&str, usize>::new(), Vec::new());
        for (line, octets) in (1..).zip(file.split(|&octet| octet == b'\n')) {
            let user = match read_line(octets) {
                Ok(None) => continue,
                Ok(Some((name, hash))) => match lines.get(name) {
                    Some(&first) => Err(UserFault::Twice { name: name.into(), first }),
                    None => {
                        lines.insert(name, line);
                        PasswordHash::try_from(hash).map_err(UserFault::Hash).map(|hash| (name.into(), hash))
                    }
                },
                Err(fault) => Err(fault),
            };
            match user {
                Ok((name, hash)) => drop(users.insert(name, hash)),
                Err(fault) => faults.push(LineFault { line, fault }),
            }
        }
        if faults.is_empty() { Ok(Self(users)) } else { Err(faults) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// By name.
impl IntoIterator for Users {
    type Item = (Box<str>, PasswordHash);
    type IntoIter = std::collections::btree_map::IntoIter<Box<str>, PasswordHash>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn read_line(octets: &[u8]) -> Result<Option<(&str, &str)>, UserFault> {
    let line = std::str::from_utf8(octets).map_err(|_fault| UserFault::NotText)?.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, hash) = split(line).ok_or(UserFault::NoHash)?;
    check_name(name)?;
    Ok(Some((name, hash)))
}

/// At the first colon with a `$` behind it: a name may hold either, but not both in this order.
pub(crate) fn split(line: &str) -> Option<(&str, &str)> {
    let at = line.find(":$")?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

/// Octets of a user name in MQTT (MQTT 5.0 §1.5.4).
const LONGEST_NAME: usize = 65_535;
/// As some editors put it in front of a file.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::cheap;
    use proptest::prelude::*;

    fn faults(file: &[u8]) -> Vec<String> {
        Users::parse(file).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_line_is_a_user_unless_it_is_blank_or_a_comment() {
        let hash = cheap("x");
        let h = hash.as_str();
        let file =
            format!("\u{FEFF}# who may come in\r\nann:{h}\r\n\n   \n  # bob:gone\nurn:imei:1:{h}\na$b c:{h}\n\tß:{h} ");
        let users = Users::parse(file.as_bytes()).unwrap();
        let names: Vec<_> = users.into_iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["a$b c", "ann", "urn:imei:1", "ß"]);
        assert!(Users::parse(b"").unwrap().is_empty());
    }

    #[test]
    fn each_line_that_names_no_user_is_told_and_nothing_of_its_secret() {
        let hash = cheap("x");
        let h = hash.as_str();
        let file = format!(
            "hunter2\nann:hunter2\nann:$2b$10$hunter2\n:{h}\nbob:{h}\nbob:{h}\na\u{7f}:{h}\nann:$argon2id$hunter2\nann :{h}\n{}:{h}",
            "n".repeat(65_536)
        );
        let mut bytes = file.into_bytes();
        bytes.extend(b"\n\xff:$argon2id$");
        let expected = [
            "line 1: expected name:$argon2id$…",
            "line 2: expected name:$argon2id$…",
            "line 3: hashes by bcrypt are not in this version: expected $argon2id$…",
            "line 4: the user name is empty",
            "line 6: the user \"bob\" is in line 5 already",
            "line 7: the user name holds a character that MQTT cannot carry",
            "line 8: the user \"ann\" is in line 3 already",
            "line 9: the user name begins with '#', begins or ends with white space, or holds \":$\": no line can say it",
            "line 10: the user name is longer than 65535 bytes",
            "line 11: is not UTF-8",
        ];
        assert_eq!(faults(&bytes), expected);
    }

    #[test]
    fn a_name_that_a_line_would_not_give_back_is_refused() {
        for (name, expected) in [
            ("ann", Ok(())),
            ("a:b $c", Ok(())),
            ("", Err(NameFault::Empty)),
            ("a\nb", Err(NameFault::NotCarriable)),
            ("a\u{FFFE}", Err(NameFault::NotCarriable)),
            ("#ann", Err(NameFault::NotALine)),
            (" ann", Err(NameFault::NotALine)),
            ("ann\u{a0}", Err(NameFault::NotALine)),
            ("a:$b", Err(NameFault::NotALine)),
            ("\u{FEFF}ann", Err(NameFault::NotALine)),
        ] {
            assert_eq!(check_name(name), expected, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_passes_reads_back(name in "\\PC{0,12}", first in any::<bool>()) {
            let hash = cheap("x");
            let file = if first { format!("{name}:{}", hash.as_str()) } else { format!("#\n{name}:{}", hash.as_str()) };
            let read = Users::parse(file.as_bytes());
            if check_name(&name).is_ok() {
                let users: Vec<_> = read.unwrap().into_iter().collect();
                prop_assert_eq!(users, [(name.into_boxed_str(), hash)]);
            }
        }
    }
}
