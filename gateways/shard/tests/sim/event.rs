//! What happens.

use crate::lines::LineEvent;
use crate::plan::Trouble;
use crate::streams::StreamEvent;
use bridge_core::auth::Answer;
use bridge_core::bridge::LinkId;
use shard::{Parcel, Records};
use std::net::SocketAddr;

/// Something that happens at its time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A datagram of a device, and from where it was sent.
    ToShard {
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A datagram to whoever is there.
    ToDevice {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    DeviceTimer(usize),
    ShardTimer(usize),
    /// The driver has something to do for a shard.
    Turn(usize),
    Parcel(Parcel),
    /// Whether a client may come in.
    Answer {
        shard: usize,
        answer: Answer,
    },
    Line {
        shard: usize,
        link: LinkId,
        what: LineEvent,
    },
    /// The broker notices that a connection is gone.
    Noticed {
        conn: u64,
    },
    /// Octets that were on their way to the broker.
    ToBroker {
        conn: u64,
        bytes: Vec<u8>,
    },
    /// The store has what a shard had changed.
    Written {
        shard: usize,
        records: Records,
    },
    /// A process that stops has no more time.
    StopNow,
    /// A process begins.
    Boot,
    BrokerUp,
    /// The broker may be slow no more.
    BrokerSwift,
    Trouble(Trouble),
    Stream(StreamEvent),
}

impl Event {
    /// It ends with the process.
    pub(crate) const fn is_of_process(&self) -> bool {
        matches!(
            self,
            Self::ShardTimer(_)
                | Self::Turn(_)
                | Self::Parcel(_)
                | Self::Answer { .. }
                | Self::Line { .. }
                | Self::Written { .. }
                | Self::StopNow
        )
    }
}
