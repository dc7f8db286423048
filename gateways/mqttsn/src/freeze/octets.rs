//! Numbers and texts as octets: seven bits each, the lowest first, the eighth says that more follow.

use wire::Reader;

/// Appends a number.
pub(super) fn put(into: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return into.push(low & 0x7F);
        }
        into.push(low | 0x80);
    }
}

/// Appends octets behind their number.
pub(super) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// Reads a number that fits `T`.
pub(super) fn take<T: TryFrom<u64>>(from: &mut Reader<'_>) -> Option<T> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let octet = from.u8("number").ok()?;
        let bits = u64::from(octet & 0x7F);
        let shifted = bits << shift;
        if shifted >> shift != bits {
            return None;
        }
        number |= shifted;
        if octet & 0x80 == 0 {
            return T::try_from(number).ok();
        }
    }
    None
}

/// Reads octets behind their number.
pub(super) fn take_bytes<'a>(from: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = take(from)?;
    from.take(length, "octets").ok()
}

/// Reads text behind the number of its octets.
pub(super) fn take_text<'a>(from: &mut Reader<'a>) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(from)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_as_many_octets_as_it_needs() {
        for (number, octets) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!(bytes.len(), octets, "{number}");
            assert_eq!(take::<u64>(&mut Reader::new(&bytes)), Some(number));
            assert_eq!(take::<u64>(&mut Reader::new(&bytes[..octets - 1])), None);
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        let mut bytes = Vec::new();
        put(&mut bytes, 256);
        assert_eq!(take::<u8>(&mut Reader::new(&bytes)), None);
        assert_eq!(take::<u64>(&mut Reader::new(&[0xFF; 11])), None);
        let beyond = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02];
        assert_eq!(take::<u64>(&mut Reader::new(&beyond)), None, "2^64 and more");
    }
}
