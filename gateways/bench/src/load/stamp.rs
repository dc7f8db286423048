//! What a payload carries: which message it is and when it was sent.

use std::io::Write as _;

/// The head of every payload, 24 octets, big-endian; the rest is filling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells this run's messages from those of an earlier one.
    pub(crate) run: u32,
    /// The client that sends it, or that it is meant for.
    pub(crate) client: u32,
    /// Counts the run's messages from 0; grows per client in the order of sending.
    pub(crate) seq: u64,
    /// Nanoseconds on this process's clock before the first transmission.
    pub(crate) sent_at: u64,
}

/// Octets of a [`Stamp`] in octets.
pub(crate) const STAMP_LEN: usize = 24;
/// Octets of a [`Stamp`] in digits, with the mark before them.
pub(crate) const DIGITS_LEN: usize = 1 + 2 * STAMP_LEN;
/// No stamp in octets begins so: no process has a number as high.
const DIGITS: u8 = b'x';

/// How a stamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// As numbers are: any octet may be among them.
    Octets,
    /// In hexadecimal digits, for ways that some octets have a meaning on.
    Digits,
}

impl Stamp {
    /// Replaces `payload` by this stamp, filled up to `len` octets.
    pub(crate) fn write(&self, script: Script, len: usize, payload: &mut Vec<u8>) {
        payload.clear();
        if script == Script::Digits {
            let Self { run, client, seq, sent_at } = self;
            // Writing to memory does not fail.
            drop(write!(payload, "x{run:08x}{client:08x}{seq:016x}{sent_at:016x}"));
            payload.resize(len.max(DIGITS_LEN), b'.');
            return;
        }
        payload.extend_from_slice(&self.run.to_be_bytes());
        payload.extend_from_slice(&self.client.to_be_bytes());
        payload.extend_from_slice(&self.seq.to_be_bytes());
        payload.extend_from_slice(&self.sent_at.to_be_bytes());
        payload.resize(len.max(STAMP_LEN), b'.');
    }

    /// `None` for a payload that is too short to be one of ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        if payload.first() == Some(&DIGITS) {
            return Self::read_digits(payload);
        }
        let (run, rest) = payload.split_first_chunk()?;
        let (client, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (sent_at, _) = rest.split_first_chunk()?;
        Some(Self {
            run: u32::from_be_bytes(*run),
            client: u32::from_be_bytes(*client),
            seq: u64::from_be_bytes(*seq),
            sent_at: u64::from_be_bytes(*sent_at),
        })
    }
}

impl Stamp {
    fn read_digits(payload: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(payload.get(1..DIGITS_LEN)?).ok()?;
        let (run, rest) = digits.split_at_checked(8)?;
        let (client, rest) = rest.split_at_checked(8)?;
        let (seq, sent_at) = rest.split_at_checked(16)?;
        let short = |digits| u32::from_str_radix(digits, 16).ok();
        let long = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Self { run: short(run)?, client: short(client)?, seq: long(seq)?, sent_at: long(sent_at)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_payload_at_any_length() {
        let stamp = Stamp { run: 4_194_303, client: 99_999, seq: u64::MAX - 1, sent_at: 123_456_789_012 };
        let mut payload = vec![1, 2, 3];
        for (script, least) in [(Script::Octets, STAMP_LEN), (Script::Digits, DIGITS_LEN)] {
            for len in [0, least, 64, 1400] {
                stamp.write(script, len, &mut payload);
                assert_eq!(payload.len(), len.max(least));
                assert_eq!(Stamp::read(&payload), Some(stamp));
            }
            assert_eq!(Stamp::read(&payload[..least - 1]), None);
        }
        assert!(payload.iter().all(u8::is_ascii_graphic));
        assert_eq!(Stamp::read(&[&b"x"[..], &[b'g'; 48]].concat()), None);
    }
}
