//! WebSocket frames as a client writes and reads them (RFC 6455 §5), octet by octet and without a copy of what they carry.

use std::fmt;

/// What a frame is (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

/// The key that a frame's payload is masked with: fresh for each frame (RFC 6455 §5.3).
pub(super) type MaskingKey = [u8; 4];

/// Appends one frame, final and masked.
pub(super) fn write_frame(opcode: Opcode, payload: &[u8], key: MaskingKey, out: &mut Vec<u8>) {
    out.reserve(MOST_HEAD + payload.len());
    out.push(FIN | opcode as u8);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => out.push(MASKED | short),
        (_, Ok(medium)) => {
            out.push(MASKED | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    let begin = out.len();
    out.extend_from_slice(payload);
    for chunk in out.get_mut(begin..).unwrap_or_default().chunks_mut(key.len()) {
        chunk.iter_mut().zip(key).for_each(|(octet, key)| *octet ^= key);
    }
}

/// A control frame of the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// To be answered with a pong of the same payload (RFC 6455 §5.5.2).
    Ping(Vec<u8>),
    /// The last frame; to be answered with the same code (RFC 6455 §5.5.1).
    Close(Farewell),
}

/// Why the broker closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Farewell {
    /// RFC 6455 §7.4; `None` if it gives none.
    pub(super) code: Option<u16>,
    /// Its words, which may be none.
    pub(super) reason: String,
}

impl Farewell {
    fn read(payload: &[u8]) -> Self {
        match payload.split_first_chunk() {
            Some((code, reason)) => {
                Self { code: Some(u16::from_be_bytes(*code)), reason: String::from_utf8_lossy(reason).into_owned() }
            }
            None => Self { code: None, reason: String::new() },
        }
    }

    /// Whether nothing was amiss: a normal closure, a server that goes, or no word of it (RFC 6455 §7.4.1).
    pub(super) const fn is_orderly(&self) -> bool {
        matches!(self.code, None | Some(1000 | 1001))
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.unwrap_or(NO_CODE);
        write!(f, "closed by the broker: WebSocket code {code}")?;
        let reason: String = self.reason.chars().filter(|c| !c.is_control()).collect();
        if reason.is_empty() { Ok(()) } else { write!(f, ", {reason}") }
    }
}

/// What a broker must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameFault {
    #[error("a text message, where MQTT is binary")]
    Text,
    #[error("a frame of the unknown kind {0:#x}")]
    Opcode(u8),
    #[error("a frame with reserved bits, which no extension was asked for")]
    Reserved,
    #[error("a masked frame")]
    Masked,
    #[error("a control frame in fragments, or of more than 125 octets")]
    Control,
    #[error("a message inside another")]
    Interleaved,
    #[error("the rest of a message that had not begun")]
    Continuation,
    #[error("a frame longer than 2^63 octets")]
    Length,
}

/// The broker's side of a connection, as far as it has been heard. It holds no payload of messages.
#[derive(Debug, Default)]
pub(super) struct Frames {
    at: At,
    /// A message has begun, and its last fragment not.
    in_message: bool,
}

/// Where in a frame the next octet falls.
#[derive(Debug)]
enum At {
    /// Between frames, or `have` octets into a head.
    Head { octets: [u8; MOST_HEAD], have: usize },
    /// In the payload of a message.
    Payload { left: u64 },
    /// In that of a control frame.
    Control { opcode: Opcode, left: usize, payload: Vec<u8> },
}

impl Default for At {
    fn default() -> Self {
        Self::Head { octets: [0; MOST_HEAD], have: 0 }
    }
}

impl Frames {
    /// Takes octets as they came off the connection. What of them belongs to messages is left at the front of `raw`;
    /// returns how many octets that is. Control frames go to `controls` in their order, pongs into oblivion.
    ///
    /// # Errors
    /// [`FrameFault`], after which the connection is to be closed.
    pub(super) fn hear(&mut self, raw: &mut [u8], controls: &mut Vec<Control>) -> Result<usize, FrameFault> {
        let (mut read, mut kept) = (0, 0);
        while let Some(rest) = raw.get(read..).filter(|rest| !rest.is_empty()) {
            match &mut self.at {
                At::Head { octets, have } => {
                    let wanted = head_len(*octets, *have);
                    let taken = copy(octets.get_mut(*have..wanted).unwrap_or_default(), rest);
                    (read, *have) = (read + taken, *have + taken);
                    if *have == head_len(*octets, *have) {
                        let (octets, have) = (*octets, *have);
                        self.begin(octets.get(..have).unwrap_or_default())?;
                    }
                }
                At::Payload { left } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    raw.copy_within(read..read + taken, kept);
                    (read, kept) = (read + taken, kept + taken);
                }
                At::Control { left, payload, .. } => {
                    let taken = (*left).min(rest.len());
                    payload.extend_from_slice(rest.get(..taken).unwrap_or_default());
                    (read, *left) = (read + taken, *left - taken);
                }
            }
            self.end(controls);
        }
        Ok(kept)
    }

    /// A head is complete.
    fn begin(&mut self, head: &[u8]) -> Result<(), FrameFault> {
        let &[first, second, ref length @ ..] = head else { return Ok(()) };
        if first & RESERVED != 0 {
            return Err(FrameFault::Reserved);
        }
        if second & MASKED != 0 {
            return Err(FrameFault::Masked);
        }
        let length = length.iter().fold(0, |length, octet| length << 8 | u64::from(*octet));
        let length = if head.len() == 2 { u64::from(second) } else { length };
        if length > i64::MAX.unsigned_abs() {
            return Err(FrameFault::Length);
        }
        let last = first & FIN != 0;
        self.at = match first & OPCODE {
            0x0 if !self.in_message => return Err(FrameFault::Continuation),
            0x2 if self.in_message => return Err(FrameFault::Interleaved),
            0x0 | 0x2 => {
                self.in_message = !last;
                At::Payload { left: length }
            }
            0x1 => return Err(FrameFault::Text),
            0x8 => control(Opcode::Close, last, length)?,
            0x9 => control(Opcode::Ping, last, length)?,
            0xA => control(Opcode::Pong, last, length)?,
            other => return Err(FrameFault::Opcode(other)),
        };
        Ok(())
    }

    /// If the frame is through, the next may come.
    fn end(&mut self, controls: &mut Vec<Control>) {
        match &mut self.at {
            At::Payload { left: 0 } => {}
            At::Control { opcode, left: 0, payload } => match opcode {
                Opcode::Ping => controls.push(Control::Ping(std::mem::take(payload))),
                Opcode::Close => controls.push(Control::Close(Farewell::read(payload))),
                Opcode::Pong | Opcode::Binary => {}
            },
            At::Head { .. } | At::Payload { .. } | At::Control { .. } => return,
        }
        self.at = At::default();
    }
}

fn control(opcode: Opcode, last: bool, length: u64) -> Result<At, FrameFault> {
    match usize::try_from(length) {
        Ok(left @ 0..=MOST_CONTROL) if last => Ok(At::Control { opcode, left, payload: Vec::new() }),
        _ => Err(FrameFault::Control),
    }
}

/// How long a head is, as far as `have` octets of it tell.
const fn head_len([_, second, ..]: [u8; MOST_HEAD], have: usize) -> usize {
    match second & !MASKED {
        _ if have < 2 => 2,
        126 => 4,
        127 => MOST_HEAD,
        _ => 2,
    }
}

/// Fills `into` from the front of `from`; how many octets that took.
fn copy(into: &mut [u8], from: &[u8]) -> usize {
    into.iter_mut().zip(from).map(|(into, from)| *into = *from).count()
}

/// The payload of a control frame (RFC 6455 §5.5).
const MOST_CONTROL: usize = 125;
/// A head without a masking key.
const MOST_HEAD: usize = 10;
/// "No status code" (RFC 6455 §7.4.1); it is never sent.
const NO_CODE: u16 = 1005;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `raw`, and the control frames, if it comes in pieces of `piece` octets.
    fn heard(raw: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<Control>), FrameFault> {
        let (mut frames, mut octets, mut controls) = (Frames::default(), Vec::new(), Vec::new());
        for piece in raw.chunks(piece) {
            let mut piece = piece.to_vec();
            let kept = frames.hear(&mut piece, &mut controls)?;
            octets.extend_from_slice(&piece[..kept]);
        }
        Ok((octets, controls))
    }

    fn long(head: &[u8], octets: usize) -> Vec<u8> {
        [head, &vec![7; octets]].concat()
    }

    /// What comes, by which rule, and what it is.
    type Row = (&'static [u8], &'static str, &'static [u8], Vec<Control>);

    #[test]
    #[rustfmt::skip]
    fn messages_and_control_frames_are_told_apart_wherever_they_are_cut() {
        let ping = |payload: &[u8]| Control::Ping(payload.to_vec());
        let close = |code, reason: &str| Control::Close(Farewell { code, reason: reason.into() });
        let table: [Row; 12] = [
            (b"",                                       "nothing",                    b"",       vec![]),
            (b"\x82\x03abc",                            "§5.2 a message",             b"abc",    vec![]),
            (b"\x82\x00\x82\x01a",                      "§5.2 an empty message",      b"a",      vec![]),
            (b"\x82\x01a\x82\x02bc",                    "two messages",               b"abc",    vec![]),
            (b"\x02\x01a\x00\x01b\x80\x01c",            "§5.4 fragments",             b"abc",    vec![]),
            (b"\x02\x01a\x89\x01!\x80\x01b",            "§5.4 a ping between them",   b"ab",     vec![ping(b"!")]),
            (b"\x02\x00\x80\x00\x82\x01x",              "§5.4 empty fragments",       b"x",      vec![]),
            (b"\x89\x00",                               "§5.5.2 an empty ping",       b"",       vec![ping(b"")]),
            (b"\x8A\x02hi\x82\x01a",                    "§5.5.3 a pong nobody asked", b"a",      vec![]),
            (b"\x82\x01a\x88\x00",                      "§5.5.1 a close",             b"a",      vec![close(None, "")]),
            (b"\x88\x05\x03\xF0bad",                    "§7.4 its code and reason",   b"",       vec![close(Some(1008), "bad")]),
            (b"\x82\x7E\x00\x02ab",                     "§5.2 a length of 16 bits",   b"ab",     vec![]),
        ];
        for (raw, rule, octets, controls) in table {
            for piece in 1..=raw.len().max(1) {
                let (got, told) = heard(raw, piece).unwrap();
                assert_eq!((got.as_slice(), &told), (octets, &controls), "{rule}, {piece} at a time");
            }
        }
        for (raw, octets) in [(long(b"\x82\x7E\x01\x00", 256), 256), (long(b"\x82\x7F\0\0\0\0\0\x01\x11\x70", 70_000), 70_000)] {
            for piece in [1, 3, 1000, 1 << 17] {
                assert_eq!(heard(&raw, piece).unwrap().0, vec![7; octets]);
            }
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_a_broker_must_not_send_is_refused() {
        for (raw, fault) in [
            (&b"\x81\x01a"[..],           FrameFault::Text),
            (b"\x83\x00",                 FrameFault::Opcode(3)),
            (b"\xC2\x00",                 FrameFault::Reserved),
            (b"\x82\x81\x01\x02\x03\x04", FrameFault::Masked),
            (b"\x09\x00",                 FrameFault::Control),
            (b"\x89\x7E\x00\x7E",         FrameFault::Control),
            (b"\x02\x00\x82\x00",         FrameFault::Interleaved),
            (b"\x80\x00",                 FrameFault::Continuation),
            (b"\x82\x7F\x80\0\0\0\0\0\0\0", FrameFault::Length),
        ] {
            for piece in 1..=raw.len() {
                assert_eq!(heard(raw, piece), Err(fault));
            }
        }
    }

    #[test]
    fn a_frame_is_masked_and_says_its_length() {
        let key = [1, 2, 4, 8];
        let mut out = Vec::new();
        write_frame(Opcode::Binary, b"\0\0\0\0\0", key, &mut out);
        assert_eq!(out, [0x82, 0x85, 1, 2, 4, 8, 1, 2, 4, 8, 1]);
        let head = |octets: usize| {
            let mut out = Vec::new();
            write_frame(Opcode::Pong, &vec![0; octets], key, &mut out);
            let head = out.len() - octets - key.len();
            out[..head].to_vec()
        };
        assert_eq!(head(0), [0x8A, 0x80]);
        assert_eq!(head(125), [0x8A, 0xFD]);
        assert_eq!(head(126), [0x8A, 0xFE, 0, 126]);
        assert_eq!(head(65_535), [0x8A, 0xFE, 0xFF, 0xFF]);
        assert_eq!(head(65_536), [0x8A, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_farewell_says_why_on_one_line() {
        let farewell = |payload: &[u8]| Farewell::read(payload).to_string();
        assert_eq!(farewell(b"\x03\xF1too\nbig"), "closed by the broker: WebSocket code 1009, toobig");
        assert_eq!(farewell(b"\x03\xF3"), "closed by the broker: WebSocket code 1011");
        let orderly = |payload: &[u8]| Farewell::read(payload).is_orderly();
        assert!(orderly(b"") && orderly(b"\x03\xE8") && orderly(b"\x03\xE9bye") && !orderly(b"\x03\xF0"));
    }
}
