//! Hashes of passwords: argon2id in the PHC string format.

use std::fmt;

use argon2::password_hash::{self, Ident, PasswordHashString, PasswordVerifier, Salt, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

/// A salted hash of one password, `$argon2id$v=19$m=19456,t=2,p=1$…`. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(PasswordHashString);

/// Why a text is no hash that this version verifies. Never holds any of the text but the name of a known scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashFault {
    /// A scheme that exists, and that this version cannot verify.
    #[error("hashes by {0} are not in this version: expected $argon2id$…")]
    NotInThisVersion(&'static str),
    /// Anything else that is no argon2id.
    #[error("the hash is of no known kind: expected $argon2id$…")]
    Unknown,
    /// argon2id, with parts missing or misspelt.
    #[error("the argon2id hash is not whole")]
    Malformed,
    /// argon2id with less salt or hash than protects anything.
    #[error("the hash has less than {LEAST_SALT} bytes of salt or {LEAST_OUTPUT} bytes of hash")]
    TooShort,
    /// argon2id that one verification would spend too much on.
    #[error("the hash asks for more than m={MOST_MEMORY_KIB}, t={MOST_PASSES}, p={MOST_LANES} (1 GiB, passes, lanes)")]
    TooCostly,
}

impl PasswordHash {
    /// Hashes `password` with fresh salt from the system, at 19 MiB, 2 passes and 1 lane: the least that OWASP's
    /// password storage cheat sheet recommends for argon2id.
    ///
    /// # Errors
    /// If the system gives no random numbers, or no memory.
    pub fn make(password: &[u8]) -> Result<Self, MakeFault> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(|fault| MakeFault::NoRandom(fault.to_string()))?;
        Self::make_salted(password, &salt, Params::default())
    }

    fn make_salted(password: &[u8], salt: &[u8], params: Params) -> Result<Self, MakeFault> {
        let cannot = |fault: password_hash::Error| MakeFault::Hashing(fault.to_string());
        let salt = SaltString::encode_b64(salt).map_err(cannot)?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = password_hash::PasswordHasher::hash_password(&hasher, password, &salt).map_err(cannot)?;
        Ok(Self(hash.serialize()))
    }

    /// Whether this is the hash of `password`; takes as long as the hash's parameters ask for, some 20 ms by default.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, &self.0.password_hash()).is_ok()
    }

    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<&str> for PasswordHash {
    type Error = HashFault;

    fn try_from(text: &str) -> Result<Self, HashFault> {
        if let Some((_, scheme)) = OTHERS.iter().find(|(start, _)| text.starts_with(start)) {
            return Err(HashFault::NotInThisVersion(scheme));
        }
        if !text.starts_with("$argon2id$") {
            return Err(HashFault::Unknown);
        }
        let hash = password_hash::PasswordHash::new(text).map_err(|_fault| HashFault::Malformed)?;
        let params = Params::try_from(&hash).map_err(|_fault| HashFault::Malformed)?;
        let known = hash.version.is_none_or(|version| Version::try_from(version).is_ok());
        if hash.algorithm != Ident::new_unwrap("argon2id") || !known {
            return Err(HashFault::Malformed);
        }
        let (Some(salt), Some(output)) = (hash.salt, hash.hash) else { return Err(HashFault::Malformed) };
        if salt_bytes(salt)? < LEAST_SALT || output.len() < LEAST_OUTPUT {
            return Err(HashFault::TooShort);
        }
        if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES || params.p_cost() > MOST_LANES {
            return Err(HashFault::TooCostly);
        }
        Ok(Self(hash.serialize()))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// Why no hash could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeFault {
    /// No salt.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(String),
    /// No memory, or a password of more than 4 GiB.
    #[error("cannot hash: {0}")]
    Hashing(String),
}

fn salt_bytes(salt: Salt<'_>) -> Result<usize, HashFault> {
    let mut decoded = [0; Salt::MAX_LENGTH];
    salt.decode_b64(&mut decoded).map(<[u8]>::len).map_err(|_fault| HashFault::Malformed)
}

/// How hashes of other schemes begin.
const OTHERS: [(&str, &str); 11] = [
    ("$2a$", "bcrypt"),
    ("$2b$", "bcrypt"),
    ("$2y$", "bcrypt"),
    ("$pbkdf2", "pbkdf2"),
    ("$argon2i$", "argon2i"),
    ("$argon2d$", "argon2d"),
    ("$scrypt$", "scrypt"),
    ("$1$", "md5-crypt"),
    ("$5$", "sha256-crypt"),
    ("$6$", "sha512-crypt"),
    ("$7$", "mosquitto's pbkdf2"),
];
/// Bytes of fresh salt (RFC 9106 §3.1 recommends 16).
const SALT: usize = 16;
/// Bytes of salt in a hash made elsewhere (RFC 9106 §3.1: at least 8).
const LEAST_SALT: usize = 8;
/// Bytes of a hash made elsewhere.
const LEAST_OUTPUT: usize = 16;
/// A thread that verifies has this much memory for itself.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 64;
const MOST_LANES: u32 = 64;

/// A hash that is cheap to make and to verify.
#[cfg(test)]
pub(crate) fn cheap(password: &str) -> PasswordHash {
    PasswordHash::make_salted(password.as_bytes(), b"0123456789abcdef", Params::new(8, 1, 1, None).unwrap()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reference implementation in C makes of "password" and "somesalt".
    const KNOWN: &str = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$FqGkmHNGCd0BRW2kBt6fPZ2pPmyGwwChL8FGUhTOSSI";

    #[test]
    fn a_hash_made_elsewhere_is_verified() {
        let hash = PasswordHash::try_from(KNOWN).unwrap();
        assert!(hash.verify(b"password"));
        assert!(!hash.verify(b"Password"));
        assert!(!hash.verify(b""));
    }

    #[test]
    fn what_is_made_has_fresh_salt_and_the_parameters_that_the_documentation_names() {
        let [one, other] = [(); 2].map(|()| PasswordHash::make(b"open sesame").unwrap());
        assert_ne!(one, other);
        assert!(one.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.as_str());
        assert!(one.verify(b"open sesame"));
        assert_eq!(PasswordHash::try_from(one.as_str()), Ok(one));
    }

    #[test]
    #[rustfmt::skip]
    fn only_argon2id_of_sound_cost_is_taken() {
        let with = |parameters: &str| KNOWN.replace("m=64,t=2,p=1", parameters);
        let table = [
            ("$2b$10$abcdefghijklmnopqrstuv".to_owned(),        HashFault::NotInThisVersion("bcrypt")),
            ("$2a$10$abcdefghijklmnopqrstuv".to_owned(),        HashFault::NotInThisVersion("bcrypt")),
            ("$pbkdf2-sha256$i=4096,l=32$c2FsdA$aGFzaA".into(), HashFault::NotInThisVersion("pbkdf2")),
            (KNOWN.replace("argon2id", "argon2i"),              HashFault::NotInThisVersion("argon2i")),
            (KNOWN.replace("argon2id", "argon2d"),              HashFault::NotInThisVersion("argon2d")),
            ("$7$101$c2FsdA==$aGFzaA==".to_owned(),             HashFault::NotInThisVersion("mosquitto's pbkdf2")),
            ("secret".to_owned(),                               HashFault::Unknown),
            ("$argon3$v=19$x".to_owned(),                       HashFault::Unknown),
            ("$argon2id$".to_owned(),                           HashFault::Malformed),
            ("$argon2id$v=19$m=64,t=2,p=1".to_owned(),          HashFault::Malformed),
            ("$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ".into(),  HashFault::Malformed),
            (KNOWN.replace("v=19", "v=20"),                     HashFault::Malformed),
            (with("m=4,t=2,p=1"),                               HashFault::Malformed),
            (format!("{KNOWN} "),                               HashFault::Malformed),
            (KNOWN.replace("c29tZXNhbHQ", "c2FsdA"),            HashFault::TooShort),
            ("$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21l".into(), HashFault::TooShort),
            (with("m=1048577,t=2,p=1"),                         HashFault::TooCostly),
            (with("m=64,t=65,p=1"),                             HashFault::TooCostly),
            (with("m=1024,t=2,p=65"),                           HashFault::TooCostly),
        ];
        for (text, expected) in table {
            assert_eq!(PasswordHash::try_from(text.as_str()), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_hash_is_not_shown() {
        assert_eq!(format!("{:?}", cheap("x")), "PasswordHash(***)");
    }
}
