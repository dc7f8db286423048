//! One function writes a packet's body; run into [`Count`] it tells the length, run into a `Vec` it writes. So a length
//! can never disagree with what follows it.

use crate::EncodeFault;

/// Where a body goes.
pub(crate) trait Sink {
    fn put(&mut self, octets: &[u8]);
}

/// Counts octets.
#[derive(Default)]
pub(crate) struct Count(pub(crate) usize);

impl Sink for Count {
    #[inline]
    fn put(&mut self, octets: &[u8]) {
        self.0 = self.0.saturating_add(octets.len());
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
}

#[inline]
pub(crate) fn put_u8(sink: &mut impl Sink, value: u8) {
    sink.put(&[value]);
}

#[inline]
pub(crate) fn put_u16(sink: &mut impl Sink, value: u16) {
    sink.put(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put_u32(sink: &mut impl Sink, value: u32) {
    sink.put(&value.to_be_bytes());
}

/// A two-octet length and the octets; `field` goes into the fault.
#[inline]
pub(crate) fn put_bytes16(sink: &mut impl Sink, octets: &[u8], field: &'static str) -> Result<(), EncodeFault> {
    let Ok(count) = u16::try_from(octets.len()) else {
        return Err(EncodeFault::TooLong(field));
    };
    put_u16(sink, count);
    sink.put(octets);
    Ok(())
}

/// A variable byte integer (5.0, 1.5.5).
#[inline]
pub(crate) fn put_varint(sink: &mut impl Sink, value: usize) -> Result<(), EncodeFault> {
    if value > crate::MAX_REMAINING {
        return Err(EncodeFault::TooLarge);
    }
    let [a, b, c, d] = [septet(value, 0), septet(value, 7), septet(value, 14), septet(value, 21)];
    match varint_len(value) {
        1 => sink.put(&[a]),
        2 => sink.put(&[a | 0x80, b]),
        3 => sink.put(&[a | 0x80, b | 0x80, c]),
        _ => sink.put(&[a | 0x80, b | 0x80, c | 0x80, d]),
    }
    Ok(())
}

#[inline]
fn septet(value: usize, shift: u32) -> u8 {
    let [low, ..] = (value.wrapping_shr(shift) & 0x7F).to_le_bytes();
    low
}

/// Octets of a variable byte integer, 1 to 4.
#[inline]
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn variable_byte_integers_5_0_table_1_1() {
        let table: [(usize, &[u8]); 8] = [
            (0,           &[0x00]),
            (127,         &[0x7F]),
            (128,         &[0x80, 0x01]),
            (16_383,      &[0xFF, 0x7F]),
            (16_384,      &[0x80, 0x80, 0x01]),
            (2_097_151,   &[0xFF, 0xFF, 0x7F]),
            (2_097_152,   &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ];
        for (value, octets) in table {
            let mut out = Vec::new();
            assert_eq!(put_varint(&mut out, value), Ok(()), "{value}");
            assert_eq!(out, octets, "{value}");
            assert_eq!(varint_len(value), octets.len(), "{value}");
        }
        assert_eq!(put_varint(&mut Vec::new(), 268_435_456), Err(EncodeFault::TooLarge));
    }
}
