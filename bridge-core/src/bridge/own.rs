//! MQTT connections of single clients (`broker.mode = "per-device"`): each client has one under its own client id and with its
//! own credentials, so that the broker lets in, keeps sessions and throws out as it does with any client.
//!
//! A client that the chain has let in **applies**: its link waits for its turn ([`pacer`]), dials, and the broker's CONNACK is
//! the verdict. It is then **admitted** until its machine [takes](Bridge::connect) the link, or does without. A link that is
//! lost comes back by itself while its client is there. One that the broker ended is over: the client hears why.
//!
//! **One client id, two links.** When a client that is in comes again, its new link makes the broker throw out the old one:
//! that is our own doing, and nobody's to be told, if the machine puts the client on the new link. So the old one is held
//! back as long as its *rival* is under way; what the broker says of it meanwhile is told only if another client takes the
//! rival.

mod admission;
mod counts;
mod filters;
mod index;
mod life;
mod pacer;
mod receipts;
mod taking;

pub(super) use filters::OwnFilter;

use super::LinkId;
use crate::link::{Budget, LinkCount, LinkSettings, SessionScope};
use crate::meter::Counts;
use crate::peer::GatewayId;
use crate::publication::Stored;
use crate::rng::Rng;
use crate::uplink::{ClientRef, Ending, Identity, Receipt, Token};
use counts::OwnCount;
use index::Index;
use pacer::Pacer;
use receipts::Receipts;
use std::sync::Arc;

/// The MQTT connections that clients have for themselves.
#[derive(Clone, Debug)]
pub struct OwnLinks {
    /// What they have in common with the links of the shard. Client id, credentials, keep-alive, will and session are each
    /// client's own; 0 s of keep-alive means this one. The limits of the queue hold for all of them together.
    pub like: LinkSettings,
    /// Connections that are begun per second on this shard; 0 = no limit.
    pub connect_rate: u32,
}

impl OwnLinks {
    /// The part of `connect_rate`, in connections per second, that falls to shard number `shard` of so many: at least 1,
    /// unless there is no limit.
    #[must_use]
    pub fn part_of(connect_rate: u32, shard: u16, shards: u16) -> u32 {
        let shards = u32::from(shards.max(1));
        let one_more = u32::from(u32::from(shard) < connect_rate % shards);
        if connect_rate == 0 { 0 } else { (connect_rate / shards + one_more).max(1) }
    }
}

/// What a bridge knows of all these links together.
#[derive(Debug)]
pub(super) struct Fleet {
    like: Arc<LinkSettings>,
    budget: Arc<Budget>,
    link_counts: Counts<LinkCount>,
    pub(super) counts: Counts<OwnCount>,
    pacer: Pacer,
    newest: Index,
    rng: Rng,
    /// Links that have no verdict yet.
    applying: usize,
    /// Somebody was turned away since all of them together hold too much.
    pub(super) is_full: bool,
}

impl Fleet {
    pub(super) fn new(links: OwnLinks, seed: u64) -> Self {
        let like = LinkSettings { scope: SessionScope::Client, will: None, ..links.like };
        let mut rng = Rng::seeded(seed);
        Self {
            budget: Arc::new(Budget::new(like.queue)),
            like: Arc::new(like),
            link_counts: Counts::default(),
            counts: Counts::default(),
            pacer: Pacer::new(links.connect_rate),
            newest: Index::new(rng.next_u64()),
            rng,
            applying: 0,
            is_full: false,
        }
    }
}

/// Whose a link is, and how far it has come with it.
#[derive(Debug)]
pub(super) struct Own {
    stage: Stage,
    /// The broker has accepted it, and it is not lost.
    up: bool,
    /// The broker had a session when it accepted it last.
    resumed: bool,
    /// It waits for its turn to dial.
    queued: bool,
    /// Its client waits to hear that it is awake.
    waking: bool,
    /// Messages were on their way to the device when the broker was asked: it is to be asked again.
    again: bool,
    /// Its client is lost: the broker is to publish the will.
    lost: bool,
    /// Attempts without an answer, while it applies.
    unreached: u8,
    /// A newer link with the same client id: this one does not dial as long as that is under way.
    rival: Option<LinkId>,
    /// The link that has this one as its rival.
    older: Option<LinkId>,
    /// The client of that, if the broker ended it.
    evicted: Option<Evicted>,
    /// Messages of the broker that the device has not acknowledged.
    receipts: Option<Box<Receipts>>,
}

/// A client whose link the broker ended while a newer one was under way, and why.
type Evicted = (ClientRef, Ending);

#[derive(Debug)]
enum Stage {
    /// The broker has yet to say whether it lets the client in.
    Applying(Box<Application>),
    /// It has; the machine has not taken it. What has come meanwhile.
    Admitted(Vec<Early>),
    /// A client speaks through it.
    Taken(ClientRef),
    /// Nobody does any more: what is owed to the broker leaves, then it goes.
    Leaving,
}

/// Who waits for a verdict.
#[derive(Debug)]
struct Application {
    gateway: GatewayId,
    applicant: Token,
    identity: Identity,
}

/// A message that came before the client had taken the link.
#[derive(Debug)]
struct Early {
    /// With the topic as the broker knows it.
    message: Stored,
    receipt: Option<Receipt>,
}

impl Own {
    fn applying(application: Application) -> Self {
        Self {
            stage: Stage::Applying(Box::new(application)),
            up: false,
            resumed: false,
            queued: false,
            waking: false,
            again: false,
            lost: false,
            unreached: 0,
            rival: None,
            older: None,
            evicted: None,
            receipts: None,
        }
    }

    /// It has made the broker throw out another link, which nobody has heard of yet.
    const fn has_replaced(&self) -> bool {
        self.older.is_some() || self.evicted.is_some()
    }

    /// The client that speaks through it.
    pub(super) const fn client(&self) -> Option<ClientRef> {
        match self.stage {
            Stage::Taken(client) => Some(client),
            Stage::Applying(_) | Stage::Admitted(_) | Stage::Leaving => None,
        }
    }

    /// It can be asked for subscriptions.
    pub(super) const fn is_up(&self) -> bool {
        self.up
    }
}

/// A link that applies must have its verdict within this time.
const VERDICT_WITHIN_MS: u64 = 15_000;
/// A link that was let in must be taken within this time.
const TAKEN_WITHIN_MS: u64 = 60_000;
/// What a client leaves behind must reach the broker within this time.
const GONE_WITHIN_MS: u64 = 30_000;
/// A client that wakes hears within this time what the broker has kept.
const AWAKE_WITHIN_MS: u64 = 10_000;
/// Seconds of connections, at the rate at which they are begun, that may wait.
const WAITING_S: u32 = 10;
/// Messages that may come before a link is taken.
const EARLY: usize = 64;
/// The shortest keep-alive of such a link, in seconds: the gateway answers for the device's.
const SHORTEST_KEEPALIVE_S: u16 = 10;

#[cfg(test)]
mod tests;
