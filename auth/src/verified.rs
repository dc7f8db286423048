//! What is remembered of a password that was right, so that it costs its hash once and not at each CONNECT.

use std::fmt;
use std::sync::OnceLock;

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput, Mac};

use crate::hash::{MakeFault, PasswordHash};

/// A key of this process, which makes what is remembered useless to anybody else.
pub(crate) struct Key([u8; 32]);

impl Key {
    /// From the system.
    pub(crate) fn draw() -> Result<Self, MakeFault> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|fault| MakeFault::NoRandom(fault.to_string()))?;
        Ok(Self(key))
    }

    /// `None` never: the key has the length that BLAKE2s wants.
    fn digest(&self, hash: &PasswordHash, password: &[u8]) -> Option<Blake2sMac256> {
        let mut digest = Blake2sMac256::new_from_slice(&self.0).ok()?;
        digest.update(hash.as_str().as_bytes());
        // A PHC string has no NUL: no other pair of hash and password makes the same octets.
        digest.update(&[0]);
        digest.update(password);
        Some(digest)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// A user's hash, and the keyed digest of the password that it was found to be of.
#[derive(Default)]
pub(crate) struct Verified(OnceLock<[u8; 32]>);

impl Verified {
    /// Whether `password` is the one that was right before; in constant time.
    pub(crate) fn is(&self, key: &Key, hash: &PasswordHash, password: &[u8]) -> bool {
        let (Some(known), Some(digest)) = (self.0.get(), key.digest(hash, password)) else { return false };
        digest.verify_slice(known).is_ok()
    }

    /// Remembers a password that was right.
    pub(crate) fn remember(&self, key: &Key, hash: &PasswordHash, password: &[u8]) {
        if let Some(digest) = key.digest(hash, password) {
            // Another thread may have found the same at the same time.
            self.0.get_or_init(|| digest.finalize_fixed().into());
        }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Verified(***)" } else { "Verified(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::cheap;

    #[test]
    fn only_the_password_that_was_right_for_this_hash_is_known_again() {
        let (hash, other) = (cheap("right"), cheap("other"));
        let (key, verified) = (Key::draw().unwrap(), Verified::default());
        assert!(!verified.is(&key, &hash, b"right"), "nothing is known before it was verified");
        verified.remember(&key, &hash, b"right");
        assert!(verified.is(&key, &hash, b"right"));
        for password in [&b"wrong"[..], b"", b"righ", b"right\0"] {
            assert!(!verified.is(&key, &hash, password), "{password:?}");
        }
        assert!(!verified.is(&key, &other, b"right"), "the line has changed");
        assert!(!verified.is(&Key::draw().unwrap(), &hash, b"right"), "another process's key");
    }
}
