//! Pre-shared keys of TLS and DTLS.

use std::collections::BTreeMap;
use std::fmt;

/// Pre-shared keys by identity. The same table for every listener; `Debug` shows no key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PskKeys(BTreeMap<Box<str>, Box<[u8]>>);

impl PskKeys {
    /// The key of `identity`.
    #[must_use]
    pub fn key(&self, identity: &str) -> Option<&[u8]> {
        self.0.get(identity).map(AsRef::as_ref)
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

/// Identities and their keys.
impl FromIterator<(Box<str>, Box<[u8]>)> for PskKeys {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Box<[u8]>)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for PskKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PskKeys").field("identities", &self.0.len()).finish_non_exhaustive()
    }
}
