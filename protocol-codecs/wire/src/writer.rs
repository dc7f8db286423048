/// A text or a byte string is longer than its two-octet length can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// Appends two octets, big-endian.
#[inline]
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends four octets, big-endian.
#[inline]
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a two-octet length and `bytes`.
///
/// # Errors
/// [`Overflow`] above 65,535 octets; nothing is appended then.
#[inline]
pub fn put_str16(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Overflow> {
    let Ok(count) = u16::try_from(bytes.len()) else {
        return Err(Overflow);
    };
    put_u16(out, count);
    out.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_does_not_fit_appends_nothing() {
        let mut out = Vec::new();
        assert_eq!(put_str16(&mut out, &vec![0; 65_536]), Err(Overflow));
        assert!(out.is_empty());
        assert_eq!(put_str16(&mut out, b"ab"), Ok(()));
        assert_eq!(out, [0, 2, b'a', b'b']);
    }
}
