//! EMQ X's frames, written by hand.

/// CONNACK of who is in.
pub(crate) const CONNACK: &str = "200014436f6e6e656374205375636365737366756c6c79";

/// CONNACK 1 with this text.
pub(crate) fn refusal(text: &str) -> String {
    format!("21{:04x}{}", text.len(), hex(text.as_bytes()))
}

/// CONNECT.
pub(crate) fn connect(id: &str, keepalive_s: u8) -> Vec<u8> {
    let (id, mut frame) = (id.as_bytes(), vec![0x10]);
    frame.extend(u16::try_from(id.len() + 3).unwrap().to_be_bytes());
    frame.push(keepalive_s);
    frame.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
    frame.extend(id);
    frame
}

/// DATATRANS.
pub(crate) fn data(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x30];
    frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload);
    frame
}

/// Octets as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
