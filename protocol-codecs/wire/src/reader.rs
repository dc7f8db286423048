use crate::WireFault;

/// Reads big-endian fields from a borrowed slice; can only give what is there.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from its first octet.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Octets not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// True when every octet has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One octet.
    ///
    /// # Errors
    /// [`WireFault::Truncated`] with `field` when nothing is left.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, WireFault> {
        let (&first, rest) = self.bytes.split_first().ok_or(WireFault::Truncated(field))?;
        self.bytes = rest;
        Ok(first)
    }

    /// Two octets, big-endian.
    ///
    /// # Errors
    /// [`WireFault::Truncated`] with `field` when fewer are left.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, WireFault> {
        let (&head, rest) = self.bytes.split_first_chunk().ok_or(WireFault::Truncated(field))?;
        self.bytes = rest;
        Ok(u16::from_be_bytes(head))
    }

    /// Four octets, big-endian.
    ///
    /// # Errors
    /// [`WireFault::Truncated`] with `field` when fewer are left.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, WireFault> {
        let (&head, rest) = self.bytes.split_first_chunk().ok_or(WireFault::Truncated(field))?;
        self.bytes = rest;
        Ok(u32::from_be_bytes(head))
    }

    /// The next `count` octets.
    ///
    /// # Errors
    /// [`WireFault::Truncated`] with `field` when fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], WireFault> {
        let (head, rest) = self.bytes.split_at_checked(count).ok_or(WireFault::Truncated(field))?;
        self.bytes = rest;
        Ok(head)
    }

    /// A reader over the next `count` octets alone.
    ///
    /// # Errors
    /// [`WireFault::Truncated`] with `field` when fewer are left.
    pub fn sub(&mut self, count: usize, field: &'static str) -> Result<Self, WireFault> {
        self.take(count, field).map(Self::new)
    }

    /// All that is left.
    #[inline]
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes;
        self.bytes = &[];
        rest
    }

    /// All that is left, as text.
    ///
    /// # Errors
    /// [`WireFault::NotUtf8`] with `field`.
    #[inline]
    pub fn rest_str(&mut self, field: &'static str) -> Result<&'a str, WireFault> {
        text(self.rest(), field)
    }

    /// Octets behind a two-octet length, as MQTT's binary data.
    ///
    /// # Errors
    /// [`WireFault::Truncated`] with `field` when the length reaches past the end.
    #[inline]
    pub fn bytes16(&mut self, field: &'static str) -> Result<&'a [u8], WireFault> {
        let count = self.u16(field)?;
        self.take(usize::from(count), field)
    }

    /// Text behind a two-octet length, as MQTT's UTF-8 encoded string.
    ///
    /// # Errors
    /// [`WireFault::Truncated`] or [`WireFault::NotUtf8`] with `field`.
    #[inline]
    pub fn str16(&mut self, field: &'static str) -> Result<&'a str, WireFault> {
        text(self.bytes16(field)?, field)
    }

    /// Refuses octets left over.
    ///
    /// # Errors
    /// [`WireFault::Trailing`] with their number.
    #[inline]
    pub const fn finish(self) -> Result<(), WireFault> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(WireFault::Trailing(left)),
        }
    }
}

#[inline]
fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, WireFault> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_at) => Err(WireFault::NotUtf8(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_and_big_endian() {
        let mut r = Reader::new(&[1, 2, 3, 0, 0, 0, 9, 0, 2, b'h', b'i', 7]);
        assert_eq!(r.u8("a"), Ok(1));
        assert_eq!(r.u16("b"), Ok(0x0203));
        assert_eq!(r.u32("c"), Ok(9));
        assert_eq!(r.str16("d"), Ok("hi"));
        assert_eq!(r.finish(), Err(WireFault::Trailing(1)));
        assert_eq!(r.rest(), [7]);
        assert_eq!(r.finish(), Ok(()));
    }

    #[test]
    fn a_length_is_only_a_claim() {
        assert_eq!(Reader::new(&[0, 3, b'h']).str16("name"), Err(WireFault::Truncated("name")));
        assert_eq!(Reader::new(&[1]).u16("id"), Err(WireFault::Truncated("id")));
        assert_eq!(Reader::new(&[1, 2, 3]).u32("n"), Err(WireFault::Truncated("n")));
        assert_eq!(Reader::new(&[]).u8("n"), Err(WireFault::Truncated("n")));
        assert_eq!(Reader::new(&[1]).take(2, "n"), Err(WireFault::Truncated("n")));
        assert_eq!(Reader::new(&[0xFF]).rest_str("t"), Err(WireFault::NotUtf8("t")));
    }
}
