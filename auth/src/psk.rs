//! Files of pre-shared keys: `identity:key`, one a line, the key in hexadecimal digits.

use std::collections::BTreeMap;
use std::path::Path;

use bridge_core::auth::PskKeys;
use bridge_core::text::is_carriable;

use crate::store::{LoadFault, read};
use crate::users::{BYTE_ORDER_MARK, LineFault};

/// What a file of pre-shared keys holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedKeys {
    /// The keys.
    pub keys: PskKeys,
    /// Whether everybody on this machine may read the file.
    pub world_readable: bool,
    /// How many keys have less than 16 octets, 128 bits.
    pub short: usize,
}

/// Why a line holds no key. Nothing of the key is ever in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PskFault {
    /// No colon, or nothing behind it.
    #[error("expected identity:key, the key in hexadecimal digits")]
    NoKey,
    /// What is behind the last colon is no hexadecimal.
    #[error("the key is not in pairs of hexadecimal digits")]
    NotHex,
    /// More than OpenSSL takes.
    #[error("the key has more than {LONGEST_KEY} octets")]
    KeyTooLong,
    /// The identity.
    #[error("the identity {0}")]
    Identity(#[from] IdentityFault),
    /// Two lines for one identity: which of them counts?
    #[error("the identity {identity:?} is in line {first} already")]
    Twice {
        /// The identity.
        identity: Box<str>,
        /// The line before.
        first: usize,
    },
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotText,
}

/// Why nobody can have this identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// Nothing in front of the colon.
    #[error("is empty")]
    Empty,
    /// More than OpenSSL takes.
    #[error("is longer than {LONGEST_IDENTITY} bytes")]
    TooLong,
    /// A control character or a Unicode non-character: it could be no user name.
    #[error("holds a character that MQTT cannot carry")]
    NotCarriable,
    /// What a line of the file would not give back.
    #[error("begins with '#', or begins or ends with white space: no line can say it")]
    NotALine,
}

/// Checks that a line can hold this identity, and that MQTT can carry it as a user name.
///
/// # Errors
/// [`IdentityFault`].
pub fn check_identity(identity: &str) -> Result<(), IdentityFault> {
    match identity {
        "" => Err(IdentityFault::Empty),
        long if long.len() > LONGEST_IDENTITY => Err(IdentityFault::TooLong),
        odd if !is_carriable(odd) => Err(IdentityFault::NotCarriable),
        odd if odd.starts_with(['#', '\u{FEFF}']) || odd.trim() != odd => Err(IdentityFault::NotALine),
        _ => Ok(()),
    }
}

/// Reads a file of pre-shared keys whole. Blank lines and those that begin with `#` aside, a line is split at its last
/// colon, because identities such as `urn:imei:…` have some of their own.
///
/// # Errors
/// [`LoadFault`]: one wrong line refuses the file.
pub fn load_keys(path: &Path) -> Result<LoadedKeys, LoadFault<PskFault>> {
    let (text, world_readable) = read(path)?;
    let (keys, short) = parse(&text).map_err(LoadFault::Lines)?;
    Ok(LoadedKeys { keys, world_readable, short })
}

/// An identity and its key.
type Pair<'a> = (&'a str, Box<[u8]>);

/// The keys, and how many are short.
fn parse(file: &[u8]) -> Result<(PskKeys, usize), Vec<LineFault<PskFault>>> {
    let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    let (mut keys, mut lines, mut faults) = (Vec::new(), BTreeMap::<&str, usize>::new(), Vec::new());
    for (line, octets) in (1..).zip(file.split(|&octet| octet == b'\n')) {
        let pair = match read_line(octets) {
            Ok(None) => continue,
            Ok(Some((identity, key))) => match lines.get(identity) {
                Some(&first) => Err(PskFault::Twice { identity: identity.into(), first }),
                None => {
                    lines.insert(identity, line);
                    Ok((identity.into(), key))
                }
            },
            Err(fault) => Err(fault),
        };
        match pair {
            Ok(pair) => keys.push(pair),
            Err(fault) => faults.push(LineFault { line, fault }),
        }
    }
    let short = keys.iter().filter(|(_, key): &&(Box<str>, Box<[u8]>)| key.len() < SHORT_KEY).count();
    if faults.is_empty() { Ok((keys.into_iter().collect(), short)) } else { Err(faults) }
}

fn read_line(octets: &[u8]) -> Result<Option<Pair<'_>>, PskFault> {
    let line = std::str::from_utf8(octets).map_err(|_fault| PskFault::NotText)?.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (identity, digits) = line.rsplit_once(':').ok_or(PskFault::NoKey)?;
    let digits = digits.trim_start();
    if digits.is_empty() {
        return Err(PskFault::NoKey);
    }
    let key = octets_of(digits).ok_or(PskFault::NotHex)?;
    if key.len() > LONGEST_KEY {
        return Err(PskFault::KeyTooLong);
    }
    let identity = identity.trim_end();
    check_identity(identity)?;
    Ok(Some((identity, key)))
}

fn octets_of(digits: &str) -> Option<Box<[u8]>> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let octet = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    if rest.is_empty() { pairs.iter().map(octet).collect() } else { None }
}

/// Octets of an identity that OpenSSL takes (PSK_MAX_IDENTITY_LEN).
const LONGEST_IDENTITY: usize = 256;
/// Octets of a key that OpenSSL takes (PSK_MAX_PSK_LEN).
const LONGEST_KEY: usize = 512;
/// Octets of a key that nobody guesses: 128 bits.
const SHORT_KEY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_a_key_unless_it_is_blank_or_a_comment() {
        let file = "\u{FEFF}# devices\r\nlamp:000102030405060708090a0b0c0d0e0f\r\n\n  \nurn:imei:1:C0fe\n\t#x:00\n a b : ff \n";
        let (keys, short) = parse(file.as_bytes()).unwrap();
        let lamp: Vec<u8> = (0..16).collect();
        assert_eq!(keys.key("lamp"), Some(lamp.as_slice()));
        assert_eq!(keys.key("urn:imei:1"), Some([0xC0, 0xFE].as_slice()));
        assert_eq!(keys.key("a b"), Some([0xFF].as_slice()));
        assert_eq!((keys.len(), short), (3, 2));
        assert_eq!(parse(b""), Ok((PskKeys::default(), 0)));
    }

    #[test]
    fn each_line_that_holds_no_key_is_told_and_nothing_of_its_key() {
        let long = "ab".repeat(513);
        let file = format!(
            "hunter2\nlamp:\nlamp:abc\nlamp:hunter2!\n:abcd\nlamp:ab\nlamp:cd\na\x07:ab\n{}:ab\nlong:{long}\nx:é\n",
            "n".repeat(257)
        );
        let faults = parse(&[file.as_bytes(), b"\xff:ab"].concat()).unwrap_err();
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let expected = [
            "line 1: expected identity:key, the key in hexadecimal digits",
            "line 2: expected identity:key, the key in hexadecimal digits",
            "line 3: the key is not in pairs of hexadecimal digits",
            "line 4: the key is not in pairs of hexadecimal digits",
            "line 5: the identity is empty",
            "line 7: the identity \"lamp\" is in line 6 already",
            "line 8: the identity holds a character that MQTT cannot carry",
            "line 9: the identity is longer than 256 bytes",
            "line 10: the key has more than 512 octets",
            "line 11: the key is not in pairs of hexadecimal digits",
            "line 12: is not UTF-8",
        ];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn an_identity_that_passes_reads_back(identity in "\\PC{0,12}", key in proptest::collection::vec(any::<u8>(), 1..40)) {
            let digits: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
            let read = parse(format!("{identity}:{digits}\n").as_bytes());
            if check_identity(&identity).is_ok() {
                let (keys, _) = read.unwrap();
                prop_assert_eq!(keys.key(&identity), Some(key.as_slice()));
            }
        }
    }
}
