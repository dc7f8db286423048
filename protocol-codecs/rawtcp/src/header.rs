//! The first octet, type and flags, and the two octets of length that some types have behind it.

use crate::{EncodeFault, Fault, MAX_PAYLOAD};
use wire::put_u16;

/// The high nibble of a frame's first octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect = 1,
    Connack = 2,
    Data = 3,
    Ping = 4,
    Pong = 5,
    Disconnect = 6,
}

/// Type and flags of a frame's first octet.
#[inline]
pub(crate) const fn split(first: u8) -> Result<(Kind, u8), Fault> {
    let kind = match first >> 4 {
        1 => Kind::Connect,
        2 => Kind::Connack,
        3 => Kind::Data,
        4 => Kind::Ping,
        5 => Kind::Pong,
        6 => Kind::Disconnect,
        reserved => return Err(Fault::UnknownType(reserved)),
    };
    Ok((kind, first & 0x0F))
}

/// Octets of the whole frame and its payload, of a frame that says its length; `None` while it is not all there.
///
/// A length above `max` octets is refused as soon as it is read, so that nobody waits, or keeps room, for what may not come.
#[inline]
pub(crate) fn payload(bytes: &[u8], max: usize) -> Result<Option<(&[u8], usize)>, Fault> {
    let [_, high, low, rest @ ..] = bytes else { return Ok(None) };
    let claimed = usize::from(u16::from_be_bytes([*high, *low]));
    if claimed > max {
        return Err(Fault::TooLarge { bytes: claimed, limit: max });
    }
    Ok(rest.get(..claimed).map(|payload| (payload, claimed.saturating_add(HEADER))))
}

/// Type with flags, and length.
const HEADER: usize = 3;

/// Appends a frame of these `parts`; all or nothing.
#[inline]
pub(crate) fn put<const N: usize>(
    out: &mut Vec<u8>,
    kind: Kind,
    flags: u8,
    parts: [&[u8]; N],
) -> Result<(), EncodeFault> {
    let bytes = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    let Ok(length) = u16::try_from(bytes) else {
        return Err(EncodeFault::TooLong { bytes, limit: MAX_PAYLOAD });
    };
    out.reserve(bytes.saturating_add(HEADER));
    out.push(first(kind, flags));
    put_u16(out, length);
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// The first octet.
#[inline]
pub(crate) const fn first(kind: Kind, flags: u8) -> u8 {
    (kind as u8) << 4 | flags & 0x0F
}
