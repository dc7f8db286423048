//! What has come, for whom.

use nix::libc::in_pktinfo;
use nix::sys::socket::{MultiHeaders, SockaddrIn};

/// Datagrams a receive call takes at most.
pub(super) const BATCH: usize = 64;
/// Octets of a datagram that are kept: more than any MQTT-SN message of a load.
const SLOT: usize = 2048;
/// More than any datagram.
const ROOMY_SLOT: usize = 65_536;

/// Buffers that datagrams are received into.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(super) slots: Vec<u8>,
    pub(super) slot_len: usize,
    pub(super) headers: MultiHeaders<SockaddrIn>,
    arrivals: Vec<Arrival>,
}

#[derive(Debug)]
struct Arrival {
    client: u32,
    slot: usize,
    len: usize,
}

impl Inbox {
    /// For the messages of a load; of a longer one the end is missing.
    pub(crate) fn new() -> Self {
        Self::with_slots(SLOT)
    }

    /// For every message.
    pub(crate) fn roomy() -> Self {
        Self::with_slots(ROOMY_SLOT)
    }

    fn with_slots(slot_len: usize) -> Self {
        // Every datagram brings exactly this control message, so the headers may be used again as they are.
        let control = nix::cmsg_space!(in_pktinfo);
        Self {
            slots: vec![0; BATCH * slot_len],
            slot_len,
            headers: MultiHeaders::preallocate(BATCH, Some(control)),
            arrivals: Vec::with_capacity(BATCH),
        }
    }

    /// The clients and what each received, in the order of arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.arrivals.iter().filter_map(|arrival| {
            let start = arrival.slot.checked_mul(self.slot_len)?;
            Some((arrival.client, self.slots.get(start..start.checked_add(arrival.len)?)?))
        })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.arrivals.clear();
    }

    /// Notes that the `len` octets in `slot` are `client`'s.
    pub(super) fn note(&mut self, client: u32, slot: usize, len: usize) {
        self.arrivals.push(Arrival { client, slot, len });
    }
}
