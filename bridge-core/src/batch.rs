//! What is to leave over a connection, in one buffer.

use std::fmt;

/// Octets to be written. They are taken from the front without moving the rest each time.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Octets at the front that have left.
    head: usize,
}

/// Without the octets: CONNECT carries a password.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("octets", &self.len()).finish_non_exhaustive()
    }
}

impl Batch {
    pub(crate) fn pending(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.head)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `n` octets have left.
    pub(crate) fn written(&mut self, n: usize) {
        self.head = self.head.saturating_add(n).min(self.bytes.len());
        if self.is_empty() {
            self.clear();
        } else if self.head >= COMPACT_FROM && self.head >= self.len() {
            // What moves is no more than what has left since the last move: constant work per octet.
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.head = 0;
    }

    /// Gives back the memory of a busy time.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.bytes.shrink_to(RESTING_CAPACITY);
        }
    }

    /// Gives back all memory, if nothing waits.
    pub(crate) fn let_go(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Octets that it has room for without growing.
    #[cfg(test)]
    pub(crate) const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where packets are appended.
    pub(crate) const fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

const COMPACT_FROM: usize = 64 * 1024;
const RESTING_CAPACITY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_is_nobodys_to_see() {
        let mut batch = Batch::default();
        batch.end().extend_from_slice(&[77; 3]);
        assert_eq!(format!("{batch:?}"), "Batch { octets: 3, .. }");
    }

    #[test]
    fn what_is_written_leaves_from_the_front_in_order() {
        let mut batch = Batch::default();
        let octets: Vec<u8> = (0..=250).cycle().take(300_000).collect();
        batch.end().extend_from_slice(&octets);
        let mut left = Vec::new();
        while !batch.is_empty() {
            let n = batch.len().min(7_001);
            left.extend_from_slice(&batch.pending()[..n]);
            batch.written(n);
        }
        assert_eq!(left, octets);
        batch.end().push(1);
        batch.written(5);
        assert_eq!((batch.len(), batch.head), (0, 0), "more than there is counts as all");
    }
}
