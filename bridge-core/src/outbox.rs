//! What is on its way out of a shard, but for streams: datagrams in one arena, filled by the machines, emptied by the
//! driver in one batch; and messages for other shards.

use crate::peer::{GatewayId, Peer, ShardId};
use crate::publication::Stored;
use codec_mqtt::Qos;
use std::ops::Range;
use std::sync::Arc;

/// A message from the broker for a client that lives on another shard: what a subscription for all devices of a node
/// brings comes over one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Where the client lives.
    pub to: ShardId,
    /// Its gateway.
    pub gateway: GatewayId,
    /// Its client id.
    pub client: Box<str>,
    /// Without the mountpoint.
    pub message: Arc<Stored>,
    /// The lesser of the message's QoS and the subscription's.
    pub qos: Qos,
}

/// What one turn of a shard sends. Keeps its memory from turn to turn.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<(Peer, Range<usize>)>,
}

impl Outbox {
    /// Appends one datagram: `fill` writes it straight into the arena. What `fill` appends is sent as it is; nothing is
    /// sent when it appends nothing.
    pub fn datagram(&mut self, to: Peer, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        fill(&mut self.bytes);
        let end = self.bytes.len();
        if end > start {
            self.datagrams.push((to, start..end));
        }
    }

    /// How many datagrams wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// True when none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// What waits, in the order it was said.
    pub fn iter(&self) -> impl Iterator<Item = (&Peer, &[u8])> {
        self.datagrams.iter().filter_map(|(peer, range)| Some((peer, self.bytes.get(range.clone())?)))
    }

    /// Forgets all; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}
