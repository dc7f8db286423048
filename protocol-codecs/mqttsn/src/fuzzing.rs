//! The fuzz target's body, here so that a stable test replays the corpus.

use crate::decode;

/// Any octets are refused or read; what was read is written and read again as the same frame, in no more octets.
///
/// # Panics
/// When that does not hold: a bug in this crate.
pub fn codec(data: &[u8]) {
    const BEFORE: &[u8] = b"kept";
    let Ok(frame) = decode(data) else { return };
    let mut out = BEFORE.to_vec();
    assert_eq!(frame.encode(&mut out), Ok(()), "{frame:?}");
    let written = out.strip_prefix(BEFORE);
    assert_eq!(written.map(decode), Some(Ok(frame)), "{written:02x?}");
    assert!(written.is_some_and(|written| written.len() <= data.len()), "{written:02x?} grew");
}
