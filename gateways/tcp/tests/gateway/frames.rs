//! EMQ X's frames, written by hand.

/// CONNECT.
pub(crate) fn connect(id: &str, keepalive_s: u8) -> Vec<u8> {
    let (id, mut frame) = (id.as_bytes(), vec![0x10]);
    frame.extend(u16::try_from(id.len() + 3).unwrap().to_be_bytes());
    frame.push(keepalive_s);
    frame.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
    frame.extend(id);
    frame
}
