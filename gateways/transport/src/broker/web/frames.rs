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
mod tests;
