//! The bridge of one shard: clients on one side, links to the broker on the other.
//!
//! Machines speak to it through [`Bridge::connect`] and [`Bridge::up`]. It answers there and then; what it owes comes
//! later as a [`Notice`], which the shard hands to the machine once that has stopped speaking.

mod client;
mod inbound;
mod limited;
mod lines;
mod memory;
mod policy;
mod settings;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use inbound::{Arrival, Recipient};
pub use lines::LinkId;
pub use memory::{FilterRecord, LinkChanges};
pub use policy::Policy;
pub use settings::{BridgeSettings, ListenerRules, NodeStatus};

use crate::acl::{AccessControl, Action};
use crate::auth::Admissions;
use crate::downlink::Outcome;
use crate::events::Events;
use crate::limit::Limits;
use crate::link::{Link, LinkEvent, Origin};
use crate::meter::{Counts, Meter};
use crate::metrics::BridgeCount;
use crate::peer::GatewayId;
use crate::publication::Publication;
use crate::slab::Slab;
use crate::template::Mountpoint;
use crate::time::{Deadline, Now, earliest};
use crate::uplink::{ClientRef, Connect, Ending, Identity, OwnLink, Refusal, Taken, Token, Uplink};
use crate::upstream::Upstream;
use client::Client;
use codec_mqtt::Qos;
use foldhash::quality::FixedState;
use lines::{Line, Lines};
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Something that a machine is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The answer to a subscribe.
    Subscribed {
        /// Whose machine.
        gateway: GatewayId,
        /// The machine's number for the client.
        client: Token,
        /// The subscription.
        token: Token,
        /// See [`Downlink::Subscribed`](crate::downlink::Downlink::Subscribed).
        granted: Result<Qos, Refusal>,
    },
    /// The fate of a publication.
    Settled {
        /// Whose machine.
        gateway: GatewayId,
        /// The machine's number for the client.
        client: Token,
        /// The publication.
        token: Token,
        /// Its fate.
        outcome: Outcome,
    },
    /// The answer to [`Bridge::admit`], if that had to wait.
    Decided {
        /// Whose machine.
        gateway: GatewayId,
        /// The machine's number for the applicant.
        applicant: Token,
        /// Who it is, or why it is not let in.
        verdict: Result<Identity, Refusal>,
        /// Its own MQTT connection, where clients have one.
        link: Option<OwnLink>,
    },
    /// A client's own MQTT connection is over for good.
    Ended {
        /// Whose machine.
        gateway: GatewayId,
        /// The machine's number for the client.
        client: Token,
        /// Why.
        why: Ending,
    },
    /// The answer to [`Uplink::Wake`].
    Awake {
        /// Whose machine.
        gateway: GatewayId,
        /// The machine's number for the client.
        client: Token,
        /// The broker has sent what it had kept, or cannot.
        outcome: Result<(), Refusal>,
    },
    /// There is room again; for every machine.
    Room,
    /// The broker went away, or is back; for every machine.
    Broker {
        /// There it is, with all subscriptions in force.
        reachable: bool,
    },
}

/// See the [module](self).
#[derive(Debug)]
pub struct Bridge {
    lines: Lines,
    clients: Slab<Client>,
    rules: Vec<ListenerRules>,
    node: Box<str>,
    status: Option<NodeStatus>,
    /// What the node would say of itself, if the first link had room.
    unsaid: Option<bool>,
    draining: bool,
    reachable: bool,
    notices: VecDeque<Notice>,
    recipients: Vec<Recipient>,
    admissions: Admissions,
    access: AccessControl,
    limits: Limits,
    events: Option<Events>,
    counts: Counts<BridgeCount>,
}

impl Bridge {
    /// A bridge whose links have yet to be opened.
    #[must_use]
    pub fn new(settings: BridgeSettings) -> Self {
        let line = |(number, link)| {
            let seed = settings.seed.wrapping_add(number);
            Line::new(Link::new(link, seed), Upstream::new(seed)).remembering()
        };
        Self {
            lines: Lines::new((1..).zip(settings.links).map(line)),
            clients: Slab::default(),
            rules: settings.listeners,
            node: settings.node,
            status: settings.status,
            unsaid: None,
            draining: false,
            reachable: false,
            notices: VecDeque::new(),
            recipients: Vec::new(),
            admissions: Admissions::new(settings.policy.auth),
            access: AccessControl::new(settings.policy.acl),
            limits: Limits::new(&settings.policy.listeners),
            events: settings.policy.events.map(Events::new),
            counts: Counts::default(),
        }
    }

    /// Lets a client speak. `handle` is the machine's own number for it: what comes for the client names it.
    ///
    /// # Errors
    /// [`Refusal::BadIdentity`] when its client id or user name would break out of its level in the listener's
    /// mountpoint, [`Refusal::Limit`] when 2^32 clients are there already.
    pub fn connect(&mut self, handle: Token, who: &Connect<'_>) -> Result<ClientRef, Refusal> {
        let mount = self.mountpoint(who)?;
        let link = if who.connectionless { FIRST } else { self.link_of(who.id.as_str()) };
        let client = Client::new(handle, who, link, mount);
        self.clients.insert(client).map(ClientRef).ok_or(Refusal::Limit)
    }

    /// Takes one word of a client.
    pub fn up(&mut self, now: Now, client: ClientRef, uplink: Uplink<'_>) -> Taken {
        match uplink {
            Uplink::Publish { token, what } => self.publish_limited(now, client, token, &what),
            Uplink::Subscribe { token, filter, qos, retained } => {
                self.subscribe(now, client, token, filter, qos, retained)
            }
            Uplink::Resubscribe { token, filter, qos } => self.resubscribe(now, client, token, filter, qos),
            Uplink::Unsubscribe { token, filter } => self.unsubscribe(now, client, token, filter),
            Uplink::PublishWill(will) => self.publish(now, client, None, &will),
            Uplink::Relink(_) | Uplink::Delivered(_) | Uplink::SetWill(_) | Uplink::Doze | Uplink::Wake => Taken::Done,
            Uplink::Online(online) => self.online(now, client, online),
            Uplink::Moved(address) => self.moved(client, address),
            Uplink::Offline(ending) => self.offline(now, client, ending),
            Uplink::Disconnect => self.disconnect(client),
        }
    }

    fn publish(&mut self, now: Now, client: ClientRef, token: Option<Token>, what: &Publication<'_>) -> Taken {
        let Some(sender) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        if let Err(refusal) = sender.may(&mut self.access, now, Action::Publish, what.topic.as_str()) {
            return Taken::Denied(refusal);
        }
        let Some(line) = self.lines.get_mut(sender.link) else { return Taken::Full };
        let origin = token.map(|token| Origin { gateway: sender.gateway, client: sender.handle, token });
        line.link.publish(now, origin, sender.mount.prefix(), what)
    }

    fn disconnect(&mut self, client: ClientRef) -> Taken {
        let Some(who) = self.clients.remove(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        let Some(line) = self.lines.get_mut(who.link) else { return Taken::Done };
        for place in who.places {
            if let Some(text) = line.upstream.leave(place.filter, client, place.subscription) {
                line.link.unsubscribe(&text);
            }
        }
        Taken::Done
    }

    /// The client is not let in after all: its own MQTT connection ends.
    pub const fn dismiss(&mut self, _link: OwnLink) {}

    /// Whether [`Bridge::connect`] will take the client, as far as its names are concerned: to be asked before anybody gives
    /// way to it.
    ///
    /// # Errors
    /// [`Refusal::BadIdentity`], as there.
    pub fn fits(&self, who: &Connect<'_>) -> Result<(), Refusal> {
        self.mountpoint(who).map(drop)
    }

    fn mountpoint(&self, who: &Connect<'_>) -> Result<Mountpoint, Refusal> {
        match self.rules.get(usize::from(who.listener.0)) {
            Some(rules) => rules.mount(who, &self.node),
            None => Ok(Mountpoint::default()),
        }
    }

    fn link_of(&self, client_id: &str) -> LinkId {
        // The same in each process: what the broker has queued for a device lies in the session of its link.
        let hash = FixedState::with_seed(0).hash_one(client_id);
        let number = hash.checked_rem(u64::from(self.lines.shared())).unwrap_or(0);
        LinkId::shared(u16::try_from(number).unwrap_or(0))
    }

    /// What a machine is owed next.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front().or_else(|| self.decided())
    }

    /// Works through what the links have said since the last call: turns it into notices. To be called after anything
    /// was done with a link.
    pub fn settle(&mut self, now: Now) {
        let mut changed = false;
        while let Some(line) = self.lines.take_marked() {
            changed = true;
            self.settle_line(now, line);
            self.lines.looked_at(line);
        }
        let reachable = if changed { self.all_ready() } else { self.reachable };
        if reachable != self.reachable {
            self.reachable = reachable;
            self.notices.push_back(Notice::Broker { reachable });
        }
    }

    fn all_ready(&self) -> bool {
        self.lines.shared() > 0 && self.lines.iter_shared().all(Line::is_ready)
    }

    fn settle_line(&mut self, now: Now, number: LinkId) {
        while let Some(event) = self.lines.take_event(number) {
            self.on_event(now, number, event);
        }
    }

    fn on_event(&mut self, now: Now, number: LinkId, event: LinkEvent) {
        match event {
            LinkEvent::Settled { origin, outcome } => {
                let Origin { gateway, client, token } = origin;
                self.notices.push_back(Notice::Settled { gateway, client, token, outcome });
            }
            LinkEvent::Subscribed { id, granted } => self.on_suback(now, number, id, granted),
            LinkEvent::Up { session_present } => self.on_up(now, number, session_present),
            LinkEvent::Unsubscribed { filter } => {
                if let Some(line) = self.lines.get_mut(number) {
                    line.upstream.gone(&filter);
                }
            }
            LinkEvent::Down => {
                if let Some(line) = self.lines.get_mut(number) {
                    line.restoring = None;
                }
            }
            LinkEvent::Room => {
                if number == FIRST
                    && let Some(online) = self.unsaid
                {
                    self.publish_status(now, online);
                }
                self.notices.push_back(Notice::Room);
            }
        }
    }

    /// Says retained that the node is there, or that it leaves.
    fn publish_status(&mut self, now: Now, online: bool) {
        let (Some(status), Some(line)) = (&self.status, self.lines.get_mut(FIRST)) else { return };
        let taken = line.link.publish(now, None, "", &status.publication(online));
        self.unsaid = (taken == Taken::Full).then_some(online);
        if matches!(taken, Taken::Denied(_)) {
            tracing::warn!(topic = %status.topic(), "the broker takes no node status");
        }
    }

    /// Stops: what is queued and in flight is flushed, the node says that it leaves, and the links say goodbye.
    pub fn drain(&mut self, now: Now) {
        self.draining = true;
        // While the first link is away its will has said so; else its goodbye takes the will back.
        if self.lines.get(FIRST).is_some_and(|line| line.restoring.is_some()) {
            self.publish_status(now, false);
        }
        for line in self.lines.ids() {
            if let Some(line) = self.lines.get_mut(line) {
                line.link.drain(now);
            }
        }
    }

    /// True once all links have said goodbye, or never could.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.lines.iter().all(|line| line.link.is_drained())
    }

    /// When [`Bridge::timer`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        earliest(self.lines.next_deadline(), self.admissions.next_deadline())
    }

    /// Time has come to `now`. [`Bridge::settle`] must follow.
    pub fn timer(&mut self, now: Now) {
        self.admissions.timer(now);
        self.lines.timer(now);
    }

    /// How many links there are from the start to the end: [`LinkId::shared`] numbers them.
    #[must_use]
    pub const fn links(&self) -> u16 {
        self.lines.shared()
    }

    /// The next link that has something for its driver to do, after [`Bridge::settle`]: octets to be written, a wish, or
    /// to be forgotten, since it is there no more. A link is named once until it is taken; what its driver could not do it
    /// does when its connection lets it.
    pub fn take_touched_line(&mut self) -> Option<LinkId> {
        self.lines.take_called()
    }

    /// A link, for its driver.
    #[must_use]
    pub fn link(&self, id: LinkId) -> Option<&Link> {
        self.lines.get(id).map(|line| &line.link)
    }

    /// A link, for its driver. [`Bridge::settle`] must follow.
    pub fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.lines.get_mut(id).map(|line| &mut line.link)
    }

    /// True while every link is online with all its subscriptions in force.
    #[must_use]
    pub const fn is_reachable(&self) -> bool {
        self.reachable
    }

    /// For whoever reports.
    #[must_use]
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        let links = self.lines.iter_shared().map(|line| line.link.meter());
        [self.counts.meter(), self.admissions.meter(), self.access.meter()].into_iter().chain(links).collect()
    }

    /// Brings the gauges up to date.
    pub fn gauge(&self) {
        self.admissions.gauge();
        self.counts.set(BridgeCount::Clients, self.clients.len() as u64);
        let filters: usize = self.lines.iter().map(|line| line.upstream.len()).sum();
        self.counts.set(BridgeCount::Filters, filters as u64);
    }
}

/// The link that speaks for the node, on shard 0, and for who never connects.
const FIRST: LinkId = LinkId::shared(0);
