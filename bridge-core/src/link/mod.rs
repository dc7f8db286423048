//! The broker link: an MQTT 5 client, 3.1.1 where the broker knows no better, that carries many devices over one
//! connection. It has neither socket nor clock.
//!
//! A driver connects as [`Link::wish`] says, writes what is [`Link::pending`], hands in what it reads
//! ([`Link::receive`]), and calls [`Link::timer`] when due. The bridge calls [`Link::publish`], [`Link::subscribe`] and
//! [`Link::unsubscribe`], and after each call of anybody [`Link::take_event`] until there is none.
//!
//! **Nothing acknowledged is lost.** A publication of QoS 1 or 2 settles with the broker's last word on it, and until
//! then lies in the in-flight window or in the queue. After a reconnect, what is in flight is sent again in its first
//! order: as a repetition if the broker still has our session, as new if not, even after a PUBREC, since the broker has
//! lost what it had confirmed (duplicates, never loss). What waits in the queue follows. Per client, topic and QoS the
//! order is kept.
//!
//! **Sessions.** A session at the broker is ours if this process began it there, or if the record of the process before
//! tells of it ([`SessionScope`]). One that is not, since it may hold subscriptions and packet ids that mean nothing to
//! us, is ended by a connection of its own, with Clean Start, closed again at once; so are those that another broker of
//! the list still has from before. The connections that carry messages never start clean: MQTT 3.1.1 cannot start clean
//! and keep what follows, and mosquitto forgets at its own restart what an MQTT 5 client began that way.
//!
//! **Another life.** A process that goes on with the session of an earlier one does not know which of its QoS 2
//! publications the broker still holds between PUBREC and PUBREL. One with the same packet id would be taken for a
//! repetition, and lost. So PUBREL is sent for every packet id that may be held, and none of them is used before the
//! broker has answered. With a broker that does not, or that closes the connection for it, the session is given up.
//!
//! **Subscriptions** belong to whoever is above the link. On [`LinkEvent::Up`] it asks again: with the session present
//! for what was never answered, else for everything; requests made before are forgotten by then. The queue starts to move
//! only after `Up` has been heard, so that answers to what it holds find the subscriptions in place.

mod counts;
mod dial;
mod greeting;
mod inbound;
mod lifecycle;
mod own;
mod requests;
mod settings;
mod status;
mod uplink;
mod window;

pub use crate::queue::Budget;
pub use counts::LinkCount;
pub use inbound::{AckDue, Inbound, Received};
pub use settings::{
    Farewell, LinkSettings, Password, Persona, QueueLimits, SessionRecord, SessionScope, VersionChoice,
};
pub use status::{Closed, LinkStatus, Wish};

use crate::batch::Batch;
use crate::downlink::Outcome;
use crate::meter::{Counts, Meter};
use crate::peer::GatewayId;
use crate::queue::Queue;
use crate::rng::Rng;
use crate::time::{Deadline, Now};
use crate::uplink::{Ending, Refusal, Token};
use codec_mqtt::{Packet, PacketId, Qos, Version};
use dial::Dial;
use inbound::Delivered;
use lifecycle::{Attempt, Phase};
use own::Own;
use requests::{Ask, Request, Requests};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use window::Window;

/// Whom a completion concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The gateway.
    pub gateway: GatewayId,
    /// The machine's own number for the client.
    pub client: Token,
    /// The machine's own number for the publication.
    pub token: Token,
}

/// What a link has to say to the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The broker has accepted us.
    Up {
        /// It still knows our subscriptions, for certain.
        session_present: bool,
    },
    /// The connection is gone, or of no use any more.
    Down,
    /// What became of a publication of QoS 1 or 2: once for each that [`Link::publish`] answered with `Owed`.
    Settled {
        /// As given to [`Link::publish`].
        origin: Origin,
        /// Its fate.
        outcome: Outcome,
    },
    /// The answer to SUBSCRIBE.
    Subscribed {
        /// As given to [`Link::subscribe`].
        id: u32,
        /// What the broker grants.
        granted: Result<Qos, Refusal>,
    },
    /// The broker has nothing under this filter any more. Said only where a record of it is kept
    /// ([`SessionScope::Durable`]).
    Unsubscribed {
        /// As given to [`Link::unsubscribe`].
        filter: Box<str>,
    },
    /// There is room again after an answer of `Full`.
    Room,
    /// The broker did not let a client in, with this reason code. Said by links of [`SessionScope::Client`] only, as is all
    /// that follows here.
    Refused {
        /// MQTT 5.0 §3.2.2.2; that of 3.1.1 is translated.
        reason: u8,
    },
    /// There was no connection, or none that got an answer to CONNECT.
    Unreached,
    /// The broker wants it to be over, for good: the link has stopped.
    Over(Ending),
    /// The broker has answered [`Link::probe`]: what it had sent before has come.
    Caught,
}

/// One connection to a broker; see the [module](self).
#[derive(Debug)]
pub struct Link {
    settings: Arc<LinkSettings>,
    persona: Persona,
    own: Own,
    /// The latest time handed in.
    now: Now,
    phase: Phase,
    /// What happened to the present connection, or the last.
    attempt: Attempt,
    dial: Dial,
    broker: Broker,
    batch: Batch,
    window: Window,
    queue: Queue<Option<Origin>>,
    requests: Requests,
    /// QoS 2 messages that the broker has not released yet, by packet id.
    unreleased: BTreeMap<PacketId, Delivered>,
    events: VecDeque<LinkEvent>,
    /// Messages of QoS 1 and 2 that came over this connection and are not acknowledged yet.
    unacknowledged: usize,
    /// Counts connections: what is due on one is not on the next.
    epoch: u32,
    draining: bool,
    /// The next connection is to end a session that is not ours.
    wash: bool,
    /// One has just been ended: there can be none.
    washed: bool,
    /// It was all that this link is for.
    discarded: bool,
    /// A CONNECT was not answered: a session that the broker has may have begun with that.
    in_doubt: bool,
    /// An earlier life's publications are to be released until then.
    release_by: Option<Deadline>,
    /// Connections in a row that ended before they were.
    releases_cut: u8,
    /// Somebody was turned away, and is to be told when there is room.
    turned_away: bool,
    /// The queue may move at the next call of [`Link::timer`].
    pump_due: bool,
    /// Why there is no connection, in plain words.
    reason: String,
    counts: Counts<LinkCount>,
}

/// What the broker of the present connection can take.
#[derive(Clone, Copy, Debug)]
struct Broker {
    version: Version,
    max_qos: Qos,
    retains: bool,
    /// Octets.
    max_packet_size: usize,
    identifiers: bool,
    keepalive_s: u16,
}

impl Link {
    /// A link that wishes to be connected. `rng_seed` spreads its attempts.
    #[must_use]
    pub fn new(settings: LinkSettings, rng_seed: u64) -> Self {
        let persona = Persona::of(&settings);
        Self::with(Arc::new(settings), persona, Counts::default(), None, rng_seed)
    }

    fn with(
        settings: Arc<LinkSettings>,
        persona: Persona,
        counts: Counts<LinkCount>,
        budget: Option<Arc<Budget>>,
        rng_seed: u64,
    ) -> Self {
        let most = settings.max_inflight.clamp(1, MAX_IN_FLIGHT);
        let mut dial = Dial::new(settings.version, settings.servers.len(), Rng::seeded(rng_seed).next_u64());
        let mut left_behind = 0;
        if let SessionScope::Durable(Some(record)) = &settings.scope
            && let Some(target) = settings.servers.iter().position(|server| *server == record.server)
        {
            dial.settle_at(target, record.version);
            left_behind = record.last_packet_id.min(MAX_IN_FLIGHT);
        }
        let broker = Broker::before_connack(dial.version(), &settings, &persona);
        Self {
            queue: Queue::within(settings.queue, budget),
            settings,
            persona,
            own: Own::default(),
            now: Now { mono_ms: 0, wall_ms: 0 },
            phase: Phase::Dialling,
            attempt: Attempt::default(),
            dial,
            broker,
            batch: Batch::default(),
            window: Window::new(most, left_behind),
            requests: Requests::new(most.max(left_behind)),
            unreleased: BTreeMap::new(),
            events: VecDeque::new(),
            unacknowledged: 0,
            epoch: 0,
            draining: false,
            wash: false,
            washed: false,
            in_doubt: false,
            discarded: false,
            release_by: None,
            releases_cut: 0,
            turned_away: false,
            pump_due: false,
            reason: String::new(),
            counts,
        }
    }

    /// True while what waits for the broker leaves room for more than devices' own messages.
    #[must_use]
    pub fn has_spare_room(&self) -> bool {
        self.queue.has_spare_room()
    }

    /// What is to be written to the connection.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.batch.pending()
    }

    /// The first `n` octets of [`Link::pending`] have been written.
    pub fn written(&mut self, n: usize) {
        let n = n.min(self.batch.len());
        self.counts.add(LinkCount::BytesOut, n as u64);
        self.batch.written(n);
        self.pump();
    }

    /// Asks the broker for what matches `filter`, and only as the broker's own: Retain As Published 0. `id` is the
    /// subscription identifier, 1 to 268,435,455, and comes back in [`LinkEvent::Subscribed`]. `retain_handling` is that
    /// of MQTT 5.0 §3.8.3.1; 3.1.1 has none and sends what is retained each time.
    ///
    /// Without a connection nothing is done: ask again on [`LinkEvent::Up`].
    pub fn subscribe(&mut self, id: u32, filter: &str, qos: Qos, retain_handling: u8) {
        if !self.phase.is_online() {
            return;
        }
        let retain_handling = match retain_handling {
            0 => codec_mqtt::RetainHandling::Send,
            1 => codec_mqtt::RetainHandling::SendIfNew,
            _ => codec_mqtt::RetainHandling::DoNotSend,
        };
        let ask = Ask::Subscribe { id, qos, retain_handling };
        if !self.requests.ask(Request { filter: filter.into(), ask }) {
            self.counts.up(LinkCount::RequestsDropped);
            self.events.push_back(LinkEvent::Subscribed { id, granted: Err(Refusal::Limit) });
        }
        self.send_requests();
    }

    /// Tells the broker that nothing wants `filter` any more; if it is away, when it is back, if it still knows.
    pub fn unsubscribe(&mut self, filter: &str) {
        if self.is_own() && self.requests.waiting() >= OWN_REQUESTS {
            // Devices may name what they like, as often as they like.
            self.counts.up(LinkCount::RequestsDropped);
        } else if !self.requests.ask(Request { filter: filter.into(), ask: Ask::Unsubscribe }) {
            self.counts.up(LinkCount::RequestsDropped);
        }
        self.send_requests();
    }

    /// The next thing that the bridge must hear.
    pub fn take_event(&mut self) -> Option<LinkEvent> {
        let event = self.events.pop_front();
        if event.is_none() && self.is_own() {
            self.events = VecDeque::new();
        }
        event
    }

    /// Whether the broker of the present connection names the subscriptions that a message matches (MQTT 5.0
    /// §3.2.2.3.12).
    #[must_use]
    pub const fn has_identifiers(&self) -> bool {
        self.broker.identifiers
    }

    /// For whoever reports.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.counts.meter()
    }

    /// Appends a packet. One that cannot be written is a fault of ours in what we were given: it is left out.
    fn send(&mut self, packet: &Packet<'_>) -> bool {
        let before = self.batch.len();
        if let Err(fault) = packet.encode(self.broker.version, self.batch.end()) {
            tracing::error!(client_id = %self.persona.client_id, reason = fault.reason(), "packet not written");
        }
        self.phase.wrote(self.now);
        self.batch.len() > before
    }

    /// Time never goes back.
    fn tick(&mut self, now: Now) -> Now {
        self.now = Now { mono_ms: now.mono_ms.max(self.now.mono_ms), wall_ms: now.wall_ms };
        self.now
    }

    fn settle(&mut self, origin: Option<Origin>, outcome: Outcome) {
        if let Some(origin) = origin {
            self.events.push_back(LinkEvent::Settled { origin, outcome });
        }
    }
}

/// Packet ids above are left for SUBSCRIBE and UNSUBSCRIBE.
const MAX_IN_FLIGHT: u16 = 64_000;
/// Octets in the batch from which on publications go to the queue.
const HIGH_WATER: usize = 256 * 1024;
/// Octets in the batch below which the queue moves on.
const LOW_WATER: usize = 64 * 1024;
/// What one client may have waiting to be said to the broker when it wants to be rid of one more filter.
const OWN_REQUESTS: usize = 1024;
/// QoS 1 and 2 messages that the broker may have in flight to us, as we announce it.
const RECEIVE_MAXIMUM: u16 = 1024;
/// The same on a client's own link: the broker waits for the device, as we do.
pub(crate) const OWN_RECEIVE_MAXIMUM: u16 = 16;

#[cfg(test)]
mod tests;
