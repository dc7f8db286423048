//! Fixed header and remaining length: where one packet ends on a stream.

use crate::Fault;
use wire::{Reader, WireFault};

/// The largest remaining length, in octets.
pub const MAX_REMAINING: usize = 268_435_455;

/// The length in octets, with its fixed header, of the packet that `bytes` begin with; `None` while its fixed header is
/// not all there. The packet itself may still be incomplete.
///
/// `max` is the receive limit in octets, the fixed header included, as 5.0's Maximum Packet Size counts it.
///
/// # Errors
/// [`Fault::Malformed`] for packet type 0 and a remaining length of more than four octets or more octets than it needs,
/// [`Fault::TooLarge`] above `max`.
#[inline]
pub fn peek(bytes: &[u8], max: u32) -> Result<Option<usize>, Fault> {
    let mut r = Reader::new(bytes);
    let Ok(first) = r.u8("packet type") else {
        return Ok(None);
    };
    if first >> 4 == 0 {
        return Err(Fault::Malformed("packet type"));
    }
    let remaining = match varint(&mut r, "remaining length") {
        Ok(remaining) => remaining,
        Err(Fault::Wire(WireFault::Truncated(_))) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let header = bytes.len().saturating_sub(r.remaining());
    let total = header.saturating_add(size(remaining));
    if total > size(max) {
        return Err(Fault::TooLarge { bytes: total, limit: max });
    }
    Ok(Some(total))
}

/// The first packet in `bytes` and what follows it; `None` while it is not all there. `max` as in [`peek`].
///
/// # Errors
/// As [`peek`].
#[inline]
#[expect(clippy::type_complexity, reason = "a pair, as `split_at_checked` gives it")]
pub fn split(bytes: &[u8], max: u32) -> Result<Option<(&[u8], &[u8])>, Fault> {
    Ok(peek(bytes, max)?.and_then(|total| bytes.split_at_checked(total)))
}

/// First octet and body of exactly one packet.
#[inline]
pub(crate) fn open(packet: &[u8]) -> Result<(u8, Reader<'_>), Fault> {
    let mut r = Reader::new(packet);
    let first = r.u8("packet type")?;
    let remaining = varint(&mut r, "remaining length")?;
    let body = r.sub(size(remaining), "packet")?;
    r.finish()?;
    Ok((first, body))
}

/// A variable byte integer, in the least octets that hold it (5.0, 1.5.5).
#[inline]
pub(crate) fn varint(r: &mut Reader<'_>, field: &'static str) -> Result<u32, Fault> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21] {
        let octet = r.u8(field)?;
        value |= u32::from(octet & 0x7F).wrapping_shl(shift);
        if octet & 0x80 == 0 {
            return if octet == 0 && shift > 0 { Err(Fault::Malformed(field)) } else { Ok(value) };
        }
    }
    Err(Fault::Malformed(field))
}

/// Text of 1.5.4: UTF-8 without U+0000 behind a two-octet length.
#[inline]
pub(crate) fn text<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<&'a str, Fault> {
    let text = r.str16(field)?;
    if text.as_bytes().contains(&0) {
        return Err(Fault::Malformed(field));
    }
    Ok(text)
}

/// On a target whose `usize` is narrower nothing of that size can be held, so the largest one refuses it.
#[inline]
pub(crate) fn size(octets: u32) -> usize {
    usize::try_from(octets).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_packet_is_cut_from_the_stream_by_its_remaining_length() {
        type Row = (&'static [u8], &'static str, Result<Option<usize>, Fault>);
        let table: [Row; 9] = [
            (&[],                       "nothing yet",             Ok(None)),
            (&[0x30],                   "no remaining length yet", Ok(None)),
            (&[0x30, 0x80],             "half a remaining length", Ok(None)),
            (&[0xC0, 0x00],             "whole",                   Ok(Some(2))),
            (&[0x30, 0x80, 0x01],       "body still to come",      Ok(Some(131))),
            (&[0x00],                   "type 0",                  Err(Fault::Malformed("packet type"))),
            (&[0x30, 0x88, 0x00],       "padded",                  Err(Fault::Malformed("remaining length"))),
            (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], "five octets",       Err(Fault::Malformed("remaining length"))),
            (&[0x30, 0xB7, 0x01],       "above the limit",         Err(Fault::TooLarge { bytes: 186, limit: 185 })),
        ];
        for (bytes, rule, expected) in table { assert_eq!(peek(bytes, 185), expected, "{rule}"); }
    }

    #[test]
    fn split_waits_for_the_whole_packet() {
        assert_eq!(split(&[0x40, 2, 0], 10), Ok(None));
        assert_eq!(split(&[0x40, 2, 0, 1, 0xC0], 10), Ok(Some((&[0x40, 2, 0, 1][..], &[0xC0][..]))));
    }
}
