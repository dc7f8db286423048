//! How much was seen: a run that checks nothing proves nothing.

/// What happened, added up over runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) acknowledged: u64,
    pub(crate) accepted: u64,
    pub(crate) repeated: u64,
    pub(crate) heard: u64,
    pub(crate) excused: u64,
    pub(crate) moves: u64,
    /// Sessions that the gateway has seen move.
    pub(crate) followed: u64,
    /// Datagrams that shards handed on to others.
    pub(crate) forwarded: u64,
    /// Datagrams in a forwarder's envelope.
    pub(crate) enveloped: u64,
    /// Questions whether a client may come in.
    pub(crate) asked: u64,
    /// Processes that ended.
    pub(crate) restarts: u64,
    /// Times that a device was told that it may sleep, or sleep on.
    pub(crate) naps: u64,
    /// Messages dropped because too many were held for a device.
    pub(crate) held_too_many: u64,
    /// Those of them that it would have had to get.
    pub(crate) missed: u64,
    /// Messages of raw TCP devices, and to them.
    pub(crate) streamed: u64,
    pub(crate) commanded: u64,
    /// Messages to raw TCP devices for which there was no room.
    pub(crate) commands_dropped: u64,
    /// Connections that were cut, handed to another shard, and turned away at a gate.
    pub(crate) cuts: u64,
    /// Connections that were begun for single devices.
    pub(crate) own_links: u64,
    /// Times that the broker threw one of these out.
    pub(crate) evicted: u64,
    pub(crate) handed_over: u64,
    pub(crate) shut_out: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.acknowledged += other.acknowledged;
        self.accepted += other.accepted;
        self.repeated += other.repeated;
        self.heard += other.heard;
        self.excused += other.excused;
        self.moves += other.moves;
        self.followed += other.followed;
        self.forwarded += other.forwarded;
        self.enveloped += other.enveloped;
        self.asked += other.asked;
        self.restarts += other.restarts;
        self.naps += other.naps;
        self.held_too_many += other.held_too_many;
        self.missed += other.missed;
        self.streamed += other.streamed;
        self.commanded += other.commanded;
        self.commands_dropped += other.commands_dropped;
        self.cuts += other.cuts;
        self.own_links += other.own_links;
        self.evicted += other.evicted;
        self.handed_over += other.handed_over;
        self.shut_out += other.shut_out;
    }
}
