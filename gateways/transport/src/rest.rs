//! What was read from a connection and is not consumed yet.

/// The unfinished end of what came, in exactly its size: nothing at all for a connection that waits.
///
/// Reading goes through one buffer that all connections share. Where that is too small for what is unfinished, this
/// becomes a buffer of its own until it is consumed.
#[derive(Debug, Default)]
pub(crate) struct Rest(Vec<u8>);

impl Rest {
    /// Octets that are kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The buffer to append to: what is kept, in `scratch` if that has room for it, and room for at least
    /// [`CHUNK`] octets behind it. [`Rest::keep`] must follow.
    pub(crate) fn open<'a>(&'a mut self, scratch: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
        let buffer = if self.0.len() < CHUNK {
            scratch.clear();
            scratch.extend_from_slice(&self.0);
            scratch
        } else {
            &mut self.0
        };
        buffer.reserve(CHUNK);
        buffer
    }

    /// Takes off the first `consumed` octets of what [`Rest::open`] gave, and keeps the others.
    pub(crate) fn keep(&mut self, scratch: &mut Vec<u8>, consumed: usize) {
        let consumed = |buffer: &Vec<u8>| consumed.min(buffer.len());
        if self.0.len() < CHUNK {
            let rest = scratch.get(consumed(scratch)..).unwrap_or_default();
            // Most often there was nothing, and there is nothing.
            if self.0.len() != rest.len() || self.0 != rest {
                self.0 = rest.to_vec();
            }
        } else {
            self.0.drain(..consumed(&self.0));
            if self.0.len() < CHUNK {
                self.0 = self.0.as_slice().to_vec();
            }
        }
    }

    /// Takes off the first `consumed` of the octets that are kept.
    pub(crate) fn consume(&mut self, consumed: usize) {
        if consumed > 0 {
            self.0.drain(..consumed.min(self.0.len()));
            self.0.shrink_to_fit();
        }
    }

    /// What is kept, to go elsewhere.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl From<Vec<u8>> for Rest {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Octets read at once.
pub(crate) const CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &mut Rest, scratch: &mut Vec<u8>, came: &[u8], consume: impl Fn(&[u8]) -> usize) {
        let buffer = rest.open(scratch);
        assert!(buffer.capacity() - buffer.len() >= CHUNK);
        buffer.extend_from_slice(came);
        let consumed = consume(buffer);
        rest.keep(scratch, consumed);
    }

    #[test]
    fn what_is_consumed_at_once_leaves_nothing_behind() {
        let (mut rest, mut scratch) = (Rest::default(), Vec::new());
        read(&mut rest, &mut scratch, b"whole", <[u8]>::len);
        assert_eq!((rest.0.as_slice(), rest.0.capacity()), (&b""[..], 0));
    }

    #[test]
    fn what_is_unfinished_is_offered_again_with_what_came_since() {
        let (mut rest, mut scratch) = (Rest::default(), Vec::new());
        read(&mut rest, &mut scratch, b"ab", |_| 1);
        assert_eq!((rest.0.as_slice(), rest.0.capacity()), (&b"b"[..], 1), "in exactly its size");
        read(&mut Rest::default(), &mut scratch, b"somebody else's", <[u8]>::len);
        read(&mut rest, &mut scratch, b"c", |offered| {
            assert_eq!(offered, b"bc");
            0
        });
        rest.consume(1);
        assert_eq!((rest.bytes(), rest.0.capacity()), (&b"c"[..], 1));
        assert_eq!(rest.take(), b"c");
        assert_eq!(rest.bytes(), b"");
    }

    #[test]
    fn what_is_long_grows_in_a_buffer_of_its_own_which_is_given_back() {
        let (mut rest, mut scratch) = (Rest::default(), Vec::new());
        let chunk = vec![7; CHUNK];
        for _ in 0..16 {
            read(&mut rest, &mut scratch, &chunk, |_| 0);
        }
        assert_eq!(rest.0.len(), 16 * CHUNK);
        assert!(scratch.capacity() < 4 * CHUNK, "only the first part went through it");
        read(&mut rest, &mut scratch, b"end", |offered| offered.len() - 3);
        assert_eq!((rest.0.as_slice(), rest.0.capacity()), (&b"end"[..], 3));
    }

    #[test]
    fn nobody_consumes_more_than_there_is() {
        let (mut rest, mut scratch) = (Rest::default(), Vec::new());
        read(&mut rest, &mut scratch, b"ab", |_| 3);
        assert_eq!(rest.0.as_slice(), b"");
        read(&mut rest, &mut scratch, &[0; CHUNK], |_| 0);
        read(&mut rest, &mut scratch, b"", |_| usize::MAX);
        assert_eq!(rest.0.as_slice(), b"");
    }
}
