//! Length and MsgType, the header of every message (MQTT-SN 1.2 §5.2), and one rule for both length forms.

use crate::{EncodeFault, Fault};
use wire::put_u16;

/// What stands before a message's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Octets of the message as its Length says, the header included.
    pub(crate) claimed: usize,
    /// Octets of the header: 2 or, in the long form, 4.
    pub(crate) size: usize,
    pub(crate) msg_type: u8,
}

/// First octet of the long form; the length follows in two octets.
const LONG_FORM: u8 = 0x01;
/// Length (1) and MsgType.
const SHORT_HEADER: usize = 2;
/// Length (3) and MsgType.
const LONG_HEADER: usize = 4;

/// Reads the header and gives all that follows it, whatever Length says: [`Header::covers`] compares.
#[inline]
pub(crate) fn read_header(bytes: &[u8]) -> Result<(Header, &[u8]), Fault> {
    match *bytes {
        [LONG_FORM, high, low, msg_type, ref rest @ ..] => {
            let claimed = usize::from(u16::from_be_bytes([high, low]));
            Ok((Header { claimed, size: LONG_HEADER, msg_type }, rest))
        }
        [] | [_] | [LONG_FORM, ..] => Err(Fault::TooShort),
        [length, msg_type, ref rest @ ..] => {
            Ok((Header { claimed: usize::from(length), size: SHORT_HEADER, msg_type }, rest))
        }
    }
}

impl Header {
    /// Length must cover exactly what was `received`, in octets.
    #[inline]
    pub(crate) const fn covers(&self, received: usize) -> Result<(), Fault> {
        if self.claimed == received { Ok(()) } else { Err(Fault::LengthMismatch { claimed: self.claimed, received }) }
    }
}

/// Appends a message of these body `parts`, in the short form below 256 octets; all or nothing.
#[inline]
pub(crate) fn put_message<const N: usize>(
    out: &mut Vec<u8>,
    msg_type: u8,
    parts: [&[u8]; N],
) -> Result<(), EncodeFault> {
    let body = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    let short = body.saturating_add(SHORT_HEADER);
    if let Ok(length) = u8::try_from(short) {
        out.reserve(short);
        out.extend_from_slice(&[length, msg_type]);
    } else {
        let long = body.saturating_add(LONG_HEADER);
        let Ok(length) = u16::try_from(long) else { return Err(EncodeFault::TooLong(long)) };
        out.reserve(long);
        out.push(LONG_FORM);
        put_u16(out, length);
        out.push(msg_type);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_counts_itself_in_both_forms() {
        let table: [(usize, &[u8]); 5] = [
            (0, &[0x02, 0x17]),
            (1, &[0x03, 0x17]),
            (253, &[0xFF, 0x17]),
            (254, &[0x01, 0x01, 0x02, 0x17]),
            (65_531, &[0x01, 0xFF, 0xFF, 0x17]),
        ];
        for (body, header) in table {
            let mut out = Vec::new();
            assert_eq!(put_message(&mut out, 0x17, [&vec![0; body]]), Ok(()));
            assert_eq!(out.len(), header.len() + body, "{body}");
            assert!(out.starts_with(header), "{body}");
            let (read, rest) = read_header(&out).unwrap();
            assert_eq!((read.covers(out.len()), rest.len(), read.size), (Ok(()), body, header.len()), "{body}");
        }
    }

    #[test]
    fn what_no_length_can_say_is_not_begun() {
        let mut out = vec![0xAA];
        assert_eq!(put_message(&mut out, 0x09, [&[0; 5], &vec![0; 65_527]]), Err(EncodeFault::TooLong(65_536)));
        assert_eq!(out, [0xAA]);
    }
}
