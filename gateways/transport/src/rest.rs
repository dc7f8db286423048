//! What was read from a connection and is not consumed yet.

/// The unfinished end of what came, in exactly its size: nothing at all for a connection that waits.
///
/// Reading goes through one buffer that all connections share, and what is kept is copied there and back. Where that
/// would be done again and again, since a message comes in many pieces, or where the shared buffer is too small, this
/// becomes a buffer of its own until something of it is consumed: however small the pieces, each octet is copied a few
/// times at most.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    bytes: Vec<u8>,
    /// Octets at its front that are consumed.
    head: usize,
    /// What came last has finished nothing, and what comes next is appended here.
    grows: bool,
}

impl Rest {
    /// Octets that are kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    /// The buffer to append to: what is kept, and room behind it. [`Rest::keep`] must follow.
    pub(crate) fn open<'a>(&'a mut self, scratch: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
        if self.is_apart() {
            self.bytes.drain(..std::mem::take(&mut self.head));
            let long = self.bytes.len();
            let wanted = if long < CHUNK { LEAST_ROOM } else { CHUNK };
            if self.bytes.capacity().saturating_sub(long) < wanted {
                // It grows with what comes: who sends little holds little.
                self.bytes.reserve(long.clamp(LEAST_ROOM, CHUNK));
            }
            &mut self.bytes
        } else {
            scratch.clear();
            scratch.extend_from_slice(self.bytes());
            scratch.reserve(CHUNK);
            scratch
        }
    }

    /// Takes off the first `consumed` octets of what [`Rest::open`] gave, and keeps the others.
    pub(crate) fn keep(&mut self, scratch: &[u8], consumed: usize) {
        if self.is_apart() {
            if consumed > 0 {
                self.bytes.drain(..consumed.min(self.bytes.len()));
                self.grows = false;
                if self.bytes.len() < CHUNK {
                    self.bytes = self.bytes.as_slice().to_vec();
                }
            }
            return;
        }
        let rest = scratch.get(consumed.min(scratch.len())..).unwrap_or_default();
        let before = self.bytes();
        // Most often there was nothing, and there is nothing.
        if before.len() != rest.len() || before != rest {
            self.grows = consumed == 0 && !before.is_empty() && rest.len() >= LITTLE;
            (self.bytes, self.head) = (rest.to_vec(), 0);
        }
    }

    /// Takes off the first `consumed` of the octets that are kept.
    pub(crate) fn consume(&mut self, consumed: usize) {
        if consumed > 0 {
            self.grows = false;
            self.head = self.head.saturating_add(consumed).min(self.bytes.len());
            if self.head >= self.bytes.len() / 2 {
                // What moves is no more than what was consumed since the last move.
                (self.bytes, self.head) = (self.bytes().to_vec(), 0);
            }
        }
    }

    /// What is kept is in a buffer of its own.
    fn is_apart(&self) -> bool {
        self.grows || self.bytes().len() >= CHUNK
    }

    /// What is kept, to go elsewhere.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut taken = std::mem::take(self);
        taken.bytes.drain(..taken.head);
        taken.bytes
    }
}

impl From<Vec<u8>> for Rest {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

/// Octets read at once.
pub(crate) const CHUNK: usize = 64 * 1024;
/// Below, what is kept may be copied with each piece that comes.
const LITTLE: usize = 1024;
/// Octets read at once, at least, where what is kept grows by itself.
const LEAST_ROOM: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &mut Rest, scratch: &mut Vec<u8>, came: &[u8], consume: impl Fn(&[u8]) -> usize) {
        let buffer = rest.open(scratch);
        assert!(buffer.capacity() - buffer.len() >= LEAST_ROOM);
        buffer.extend_from_slice(came);
        let consumed = consume(buffer);
        rest.keep(scratch, consumed);
    }

    #[test]
    fn what_is_consumed_at_once_leaves_nothing_behind() {
        let (mut rest, mut scratch) = (Rest::default(), Vec::new());
        read(&mut rest, &mut scratch, b"whole", <[u8]>::len);
        assert_eq!((rest.bytes.as_slice(), rest.bytes.capacity()), (&b""[..], 0));
    }

    #[test]
    fn what_is_unfinished_is_offered_again_with_what_came_since() {
        let (mut rest, mut scratch) = (Rest::default(), Vec::new());
        read(&mut rest, &mut scratch, b"ab", |_| 1);
        assert_eq!((rest.bytes.as_slice(), rest.bytes.capacity()), (&b"b"[..], 1), "in exactly its size");
        read(&mut Rest::default(), &mut scratch, b"somebody else's", <[u8]>::len);
        read(&mut rest, &mut scratch, b"c", |offered| {
            assert_eq!(offered, b"bc");
            0
        });
        rest.consume(1);
        assert_eq!((rest.bytes(), rest.bytes.capacity()), (&b"c"[..], 1));
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
        assert_eq!(rest.bytes.len(), 16 * CHUNK);
        assert!(scratch.capacity() < 4 * CHUNK, "only the first part went through it");
        read(&mut rest, &mut scratch, b"end", |offered| offered.len() - 3);
        assert_eq!((rest.bytes.as_slice(), rest.bytes.capacity()), (&b"end"[..], 3));
    }

    #[test]
    fn however_small_the_pieces_each_octet_is_copied_a_few_times_at_most() {
        let (mut rest, mut scratch) = (Rest::default(), Vec::new());
        let (mut places, mut through_scratch) = (Vec::new(), 0);
        let message: Vec<u8> = (0..=250).cycle().take(CHUNK - 1).collect();
        for piece in message.chunks(1) {
            scratch.clear();
            read(&mut rest, &mut scratch, piece, |_| 0);
            through_scratch += scratch.len();
            places.push(rest.bytes.as_ptr());
            assert!(rest.bytes.capacity() <= 2 * (rest.bytes.len() + LEAST_ROOM));
        }
        assert!(through_scratch <= LITTLE * LITTLE, "{through_scratch}");
        places.dedup();
        assert!(places.len() < LITTLE + 16, "{}", places.len());
        read(&mut rest, &mut scratch, b"end", |offered| {
            assert_eq!(offered, [&message[..], b"end"].concat());
            CHUNK
        });
        assert_eq!((rest.bytes.as_slice(), rest.bytes.capacity()), (&b"nd"[..], 2));
        read(&mut rest, &mut scratch, b"!", |_| 0);
        assert_eq!(rest.bytes.capacity(), 3, "what is little is kept in exactly its size");
    }

    #[test]
    fn what_is_consumed_bit_by_bit_moves_seldom() {
        let mut rest = Rest::from((0..=255).collect::<Vec<u8>>());
        let mut places = vec![rest.bytes.as_ptr()];
        for octet in 0..=254 {
            rest.consume(1);
            assert_eq!(rest.bytes().first(), Some(&(octet + 1)));
            places.push(rest.bytes.as_ptr());
        }
        places.dedup();
        assert!(places.len() <= 9, "{}", places.len());
        let mut rest = Rest::from(b"abcdef".to_vec());
        rest.consume(1);
        read(&mut rest, &mut Vec::new(), b"g", |offered| {
            assert_eq!(offered, b"bcdefg");
            2
        });
        rest.consume(1);
        assert_eq!(rest.take(), b"efg");
        assert_eq!(rest.bytes(), b"");
    }

    #[test]
    fn nobody_consumes_more_than_there_is() {
        let (mut rest, mut scratch) = (Rest::default(), Vec::new());
        read(&mut rest, &mut scratch, b"ab", |_| 3);
        assert_eq!(rest.bytes.as_slice(), b"");
        read(&mut rest, &mut scratch, &[0; CHUNK], |_| 0);
        read(&mut rest, &mut scratch, b"", |_| usize::MAX);
        assert_eq!(rest.bytes.as_slice(), b"");
    }
}
