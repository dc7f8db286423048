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
    }
}
