//! Where received datagrams land.

use crate::sys::{self, BATCH, Envelope};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

/// 64 slots for received datagrams. One batch serves all listeners of a shard, one after the other.
///
/// A slot of [`Batch::WHOLE_DATAGRAM`] bytes holds whatever UDP can carry, so that nothing is ever cut. That is 4 MiB
/// of address space, of which only pages that a datagram once touched become memory: 256 KiB while datagrams stay
/// below a page. Smaller slots bound it further; what does not fit is dropped and counted by [`Batch::oversized`].
pub struct Batch {
    slots: Vec<u8>,
    slot_bytes: usize,
    stride: usize,
    envelopes: Box<[Envelope; BATCH]>,
    filled: usize,
}

/// One received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it; an IPv4 peer of a dual-stack listener is an IPv4 address.
    pub peer: SocketAddr,
    /// Our address that an answer must come from, when the listener is bound to all of them.
    pub local: Option<IpAddr>,
    /// It was sent to everybody in an IPv4 network: the kernel shows it to every socket that shares the port.
    pub broadcast: bool,
    /// What it carries; may be empty.
    pub bytes: &'a [u8],
}

impl Batch {
    /// Bytes of the longest UDP datagram there is, and a little more.
    pub const WHOLE_DATAGRAM: usize = 65_536;

    /// A batch whose slots hold `slot_bytes` bytes each, 1 to [`Batch::WHOLE_DATAGRAM`]; what lies outside is moved
    /// to the nearer end.
    #[must_use]
    pub fn new(slot_bytes: usize) -> Self {
        let slot_bytes = slot_bytes.clamp(1, Self::WHOLE_DATAGRAM);
        // Not a power of two apart: else the first lines of all slots would compete for one set of the cache.
        let stride = slot_bytes.next_multiple_of(CACHE_LINE) + 2 * CACHE_LINE;
        Self {
            slots: vec![0; stride * BATCH],
            slot_bytes,
            stride,
            envelopes: Box::new([Envelope::EMPTY; BATCH]),
            filled: 0,
        }
    }

    /// The datagrams of the last receive, in order of arrival, without those that were cut.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.envelopes.iter().zip(self.slots.chunks_exact(self.stride)).take(self.filled).filter_map(
            |(envelope, slot)| {
                let bytes = slot.get(..envelope.bytes).filter(|_| !envelope.truncated)?;
                let (local, broadcast) = (envelope.local(), envelope.is_broadcast());
                Some(Datagram { peer: envelope.peer()?, local, broadcast, bytes })
            },
        )
    }

    /// How many datagrams of the last receive were longer than a slot, and so are lost.
    #[must_use]
    pub fn oversized(&self) -> usize {
        self.envelopes.iter().take(self.filled).filter(|envelope| envelope.truncated).count()
    }

    pub(super) const fn clear(&mut self) {
        self.filled = 0;
    }

    /// Receives what waits in `socket`, at most 64 datagrams; returns how many, cut ones included.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let slot_bytes = self.slot_bytes;
        let slots = self.slots.chunks_exact_mut(self.stride).filter_map(|slot| slot.get_mut(..slot_bytes));
        self.filled = sys::receive(socket, slots, &mut self.envelopes)?;
        Ok(self.filled)
    }
}

impl std::fmt::Debug for Batch {
    /// Without the 4 MiB of slots, which are what devices said and not for a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("slot_bytes", &self.slot_bytes).field("filled", &self.filled).finish()
    }
}

const CACHE_LINE: usize = 64;
