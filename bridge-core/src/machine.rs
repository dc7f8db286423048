//! The seam between a protocol and everything else.

use crate::ask::{Answer, Ask};
use crate::bridge::Bridge;
use crate::downlink::Downlink;
use crate::gate::Gates;
use crate::journal::Journal;
use crate::outbox::{Outbox, Post};
use crate::owners::Owners;
use crate::peer::{Peer, Proven, ShardId};
use crate::rng::Rng;
use crate::streams::{CloseReason, ConnRef, Streams};
use crate::time::{Deadline, Now};
use crate::uplink::{Identity, OwnLink, Refusal, Token};

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

    /// What of a datagram is part of its sender's address: who is behind a forwarder. Empty where the address says all.
    fn lane<'a>(&self, _datagram: &'a [u8]) -> &'a [u8] {
        &[]
    }

    /// Answers a question of the admin API, there and then.
    fn ask(&mut self, cx: &mut Cx<'_>, ask: &Ask<'_>) -> Answer;

    /// Appends what must outlive the process of one session, in a form of the machine's own. (No protocol but those with
    /// sessions has any.)
    fn freeze(&self, _now: Now, _client: Token, _into: &mut Vec<u8>) -> Frozen<'_> {
        Frozen::Gone
    }

    /// Brings back a session that [`Machine::freeze`] wrote, perhaps long ago, perhaps in an earlier version. The broker
    /// side may be away.
    ///
    /// # Errors
    /// Why it stays out; nothing has changed then.
    fn thaw(&mut self, _cx: &mut Cx<'_>, _id: &str, _record: &[u8]) -> Result<(), Unthawed> {
        Err(Unthawed::Corrupt)
    }
}

/// What became of a session that was to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Frozen<'a> {
    /// It is to be kept.
    Kept {
        /// Its client id.
        id: &'a str,
    },
    /// It need not outlive the process: what an earlier state left in the store goes.
    Fleeting {
        /// Its client id.
        id: &'a str,
    },
    /// There is no such session (any more).
    Gone,
}

/// Why a record is not a session again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unthawed {
    /// Its time was over: it may be removed.
    Expired,
    /// It cannot be read: it is kept aside.
    Corrupt,
    /// There is no place for it: it stays in the store.
    NoRoom,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Handled {
    /// It was this machine's. Of a stream: all of it.
    Here,
    /// So many octets of the stream. The rest is offered again once there is more, or once it is read again.
    Took(usize),
    /// It is for a client that lives on another shard, and nothing was done with it here. The datagram must go there, and
    /// so must what follows from the same address; or the connection, with all of the stream that was not taken, of which
    /// nothing is heard here any more.
    Elsewhere(ShardId),
}

/// What a machine hears.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// One datagram.
    Datagram {
        /// From whom.
        peer: Peer,
        /// What is proved about it.
        proven: Proven<'a>,
        /// As it came.
        bytes: &'a [u8],
    },
    /// A peer's association proved a newer address: answers go there.
    PeerMoved {
        /// The same association, as it was.
        from: Peer,
        /// As it is.
        to: Peer,
    },
    /// A peer's association has ended: it cannot be reached.
    PeerClosed {
        /// Which.
        peer: Peer,
    },
    /// A connection has come, as far as its listener lets it.
    Opened {
        /// The shard's number for it.
        conn: ConnRef,
        /// From whom.
        peer: Peer,
        /// What is proved about it.
        proven: Proven<'a>,
    },
    /// What came over a connection and was not taken before, to be answered with [`Handled::Took`].
    Stream {
        /// Which.
        conn: ConnRef,
        /// From the first octet that was not taken.
        bytes: &'a [u8],
    },
    /// A connection takes more again after [`Flow::Full`](crate::streams::Flow::Full).
    Writable {
        /// Which.
        conn: ConnRef,
    },
    /// A connection has ended, by no doing of this machine.
    Closed {
        /// Which. Stale from here on.
        conn: ConnRef,
        /// How.
        why: CloseReason,
    },
    /// A message that this gateway's machine on another shard heard for a client that lives here.
    Posted(&'a Post),
    /// The answer to [`Bridge::admit`], if that had to wait.
    Decided {
        /// As given there.
        applicant: Token,
        /// Who it is, or why it is not let in.
        verdict: Result<&'a Identity, Refusal>,
        /// Its own MQTT connection, where clients have one: to be handed to [`Bridge::connect`], to
        /// [`Uplink::Relink`](crate::uplink::Uplink::Relink), or to [`Bridge::dismiss`].
        link: Option<OwnLink>,
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
    /// The configuration has changed, as far as it may while the node runs: it is to be read anew.
    Reconfigured,
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
    /// Datagrams to the devices.
    pub out: &'a mut Outbox,
    /// The connections of devices.
    pub streams: &'a mut Streams,
    /// Messages for clients that live on other shards.
    pub posts: &'a mut Vec<Post>,
    /// To the broker.
    pub bridge: &'a mut Bridge,
    /// Who lives where.
    pub owners: &'a Owners,
    /// Who may come in.
    pub gates: &'a Gates,
    /// What is to be written down.
    pub journal: &'a mut Journal,
}
