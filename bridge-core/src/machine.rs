//! The seam between a protocol and everything else.

use crate::bridge::Bridge;
use crate::downlink::Downlink;
use crate::gate::Gates;
use crate::outbox::Outbox;
use crate::owners::Owners;
use crate::peer::{Peer, ShardId};
use crate::rng::Rng;
use crate::time::{Deadline, Now};
use crate::uplink::Token;

/// One protocol, with all its peers on one shard. No socket, clock or randomness inside.
///
/// What a machine has to say it says at once, through [`Cx`]; what it hears is an [`Input`], borrowed. The bridge never
/// calls a machine while that machine is speaking.
pub trait Machine {
    /// Takes one event; answers through `cx`. Never blocks, never fails: a bad packet is answered as the protocol says,
    /// or dropped and counted. A `now` older than the last counts as the last.
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled;

    /// When [`Input::Timer`] is due; `None` = idle. May be early, never late.
    fn next_deadline(&self) -> Option<Deadline>;

    /// Sessions that live here, in whatever state: a gauge.
    fn sessions(&self) -> usize;
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Handled {
    /// It was this machine's.
    Here,
    /// The datagram is for a client that lives on another shard: it must go there, and so must what follows from the
    /// same address. Nothing was done with it here.
    Elsewhere(ShardId),
}

/// What a machine hears. (Streams, and questions of the admin API, join when a gateway needs them.)
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// One datagram.
    Datagram {
        /// From whom.
        peer: Peer,
        /// As it came.
        bytes: &'a [u8],
    },
    /// Something from the broker side for one client.
    Down {
        /// The machine's own number for the client, as given to [`Bridge::connect`].
        client: Token,
        /// What.
        down: Downlink<'a>,
    },
    /// [`Machine::next_deadline`] came due.
    Timer,
    /// The bridge has room again after it answered [`Taken::Full`](crate::uplink::Taken::Full).
    Room,
    /// The broker went away, or is back with all subscriptions in force again.
    Broker {
        /// There it is.
        reachable: bool,
    },
    /// Let nobody new in; what is owed may still be finished until `until`.
    Drain {
        /// When the process ends at the latest.
        until: Deadline,
    },
}

/// What a machine may use while it handles one input.
#[derive(Debug)]
pub struct Cx<'a> {
    /// Both clocks.
    pub now: Now,
    /// Chance, seeded.
    pub rng: &'a mut Rng,
    /// To the devices.
    pub out: &'a mut Outbox,
    /// To the broker.
    pub bridge: &'a mut Bridge,
    /// Who lives where.
    pub owners: &'a Owners,
    /// Who may come in.
    pub gates: &'a Gates,
}
