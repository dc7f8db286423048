//! Bodies of the fuzz targets, here so that a test replays their corpus.

use crate::{Version, decode, peek};

/// `data` is a version (even: 3.1.1, odd: 5.0) and one packet: whatever is accepted must be written as the same packet,
/// in as many octets as it said.
///
/// # Panics
/// When it is not.
#[expect(clippy::panic, reason = "this is how a fuzz target reports")]
pub fn codec(data: &[u8]) {
    let Some((choice, octets)) = data.split_first() else {
        return;
    };
    let version = if choice & 1 == 0 { Version::V311 } else { Version::V5 };
    let length = peek(octets, u32::MAX);
    let Ok(packet) = decode(octets, version) else {
        return;
    };
    assert_eq!(length, Ok(Some(octets.len())), "decode read what peek does not measure");
    let mut again = Vec::new();
    if let Err(fault) = packet.encode(version, &mut again) {
        panic!("{packet:?} was read but cannot be written: {fault}");
    }
    assert_eq!(packet.encoded_len(version), Ok(again.len()));
    assert_eq!(decode(&again, version), Ok(packet));
}
