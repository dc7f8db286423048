//! Rows as octets: a version, lengths that must fit, and a checksum over key and value. The database guards its pages;
//! this guards what we mean.
//!
//! | row | key | value |
//! |---|---|---|
//! | session | gateway, NUL, client id | version, shard, shards less 1, session, checksum |
//! | link | name | version, value, checksum |
//!
//! The checksum is CRC-32 as in Ethernet, big-endian, over the key and all of the value before it.

use crate::{Entry, Home};

/// The version of both forms.
const VERSION: u8 = 1;

/// The key of a session.
pub(crate) fn session_key(gateway: &str, id: &str) -> Vec<u8> {
    [gateway.as_bytes(), &[0], id.as_bytes()].concat()
}

/// The value of a session.
pub(crate) fn session_value(key: &[u8], home: Home, session: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(session.len().saturating_add(7));
    // 256 shards are the most there are: one octet holds the number less 1.
    let of = u8::try_from(home.of.clamp(1, 256).saturating_sub(1)).unwrap_or(u8::MAX);
    value.extend_from_slice(&[VERSION, home.shard, of]);
    value.extend_from_slice(session);
    seal(key, value)
}

/// The value of something about a link.
pub(crate) fn link_value(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(content.len().saturating_add(5));
    value.push(VERSION);
    value.extend_from_slice(content);
    seal(key, value)
}

/// Reads a session; `None` if this is none.
pub(crate) fn session<'a>(key: &'a [u8], value: &'a [u8]) -> Option<Entry<'a>> {
    let text = std::str::from_utf8(key).ok()?;
    let (gateway, id) = text.split_once('\0')?;
    let [shard, of, session @ ..] = unseal(key, value)? else { return None };
    let home = Home { shard: *shard, of: u16::from(*of).saturating_add(1) };
    Some(Entry::Session { gateway, id, home, session })
}

/// Reads something about a link; `None` if this is nothing of the kind.
pub(crate) fn link<'a>(key: &'a [u8], value: &'a [u8]) -> Option<Entry<'a>> {
    let name = std::str::from_utf8(key).ok()?;
    Some(Entry::Link { name, value: unseal(key, value)? })
}

/// A row as it is set aside: the length of the key, key, value.
pub(crate) fn set_aside(key: &[u8], value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), key, value].concat()
}

fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&[key, &value]);
    value.extend_from_slice(&sum.to_be_bytes());
    value
}

fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (content, sum) = value.split_last_chunk()?;
    let sealed = checksum(&[key, content]) == u32::from_be_bytes(*sum);
    match content {
        [VERSION, rest @ ..] if sealed => Some(rest),
        _ => None,
    }
}

/// CRC-32 (reflected 0x04C11DB7, as Ethernet, gzip and PNG have it) of the parts in a row.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut sum = u32::MAX;
    for octet in parts.iter().copied().flatten() {
        let index = (sum ^ u32::from(*octet)) & 0xFF;
        sum = (sum >> 8) ^ TABLE.get(index as usize).copied().unwrap_or_default();
    }
    !sum
}

const TABLE: [u32; 256] = table();

#[expect(clippy::indexing_slicing, reason = "at compile time, below the length")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    let mut octet: u32 = 0;
    while index < table.len() {
        let (mut sum, mut bit) = (octet, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
        octet += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Home = Home { shard: 3, of: 256 };

    #[test]
    fn the_checksum_is_that_of_the_catalogues() {
        assert_eq!(checksum(&[b"1234", b"56789"]), 0xCBF4_3926);
        assert_eq!(checksum(&[]), 0);
    }

    #[test]
    fn a_row_reads_back() {
        let key = session_key("mqttsn", "lamp 7");
        let value = session_value(&key, HOME, b"state");
        let read = Entry::Session { gateway: "mqttsn", id: "lamp 7", home: HOME, session: b"state" };
        assert_eq!(session(&key, &value), Some(read));
        assert_eq!(link(b"l", &link_value(b"l", b"")), Some(Entry::Link { name: "l", value: b"" }));
    }

    #[test]
    fn any_other_bit_is_seen_and_so_is_any_other_key() {
        let key = session_key("mqttsn", "lamp");
        let value = session_value(&key, HOME, b"state");
        for at in 0..value.len() * 8 {
            let mut spoilt = value.clone();
            spoilt[at / 8] ^= 1 << (at % 8);
            assert_eq!(session(&key, &spoilt), None, "bit {at}");
        }
        assert_eq!(session(&session_key("mqttsn", "lamb"), &value), None);
        assert_eq!(session(b"mqttsn", &session_value(b"mqttsn", HOME, b"")), None, "no client id");
        assert_eq!(session(&key, &value[..3]), None);
        assert_eq!(session(&key, &seal(&key, vec![VERSION + 1, 3, 255])), None, "a version of the future");
        assert_eq!(session(&key, &seal(&key, vec![VERSION, 3])), None, "too short");
    }
}
