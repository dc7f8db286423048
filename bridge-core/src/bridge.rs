//! The bridge of one shard: clients on one side, links to the broker on the other.
//!
//! Machines speak to it through [`Bridge::connect`] and [`Bridge::up`]. It answers there and then; what it owes comes
//! later as a [`Notice`], which the shard hands to the machine once that has stopped speaking.

mod client;
mod inbound;
mod limited;
mod lines;
mod memory;
mod own;
mod policy;
mod settings;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use inbound::{Arrival, Recipient};
pub use lines::LinkId;
pub use memory::{FilterRecord, LinkChanges};
pub use own::OwnLinks;
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
use crate::publication::{Publication, Stored};
use crate::slab::Slab;
use crate::template::Mountpoint;
use crate::time::{Deadline, Now, earliest};
use crate::uplink::{ClientRef, Connect, Ending, Identity, OwnLink, Receipt, Refusal, Taken, Token, Uplink};
use crate::upstream::Upstream;
use client::Client;
use codec_mqtt::Qos;
use foldhash::quality::FixedState;
use lines::{Line, Lines};
use own::Fleet;
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
    /// A message that came for a client before its machine had taken its MQTT connection.
    Message {
        /// Whose machine.
        gateway: GatewayId,
        /// The machine's number for the client.
        client: Token,
        /// Without the mountpoint.
        message: Stored,
        /// The broker's, which is no more than the subscription's.
        qos: Qos,
        /// The subscription; [`Token::NONE`] where none is known.
        subscription: Token,
        /// See [`Delivery::receipt`](crate::downlink::Delivery::receipt).
        receipt: Option<Receipt>,
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
    /// The links of single clients, where they have any.
    fleet: Option<Box<Fleet>>,
    /// The latest time handed in.
    now: Now,
    counts: Counts<BridgeCount>,
}

impl Bridge {
    /// A bridge whose links have yet to be opened.
    #[must_use]
    pub fn new(settings: BridgeSettings) -> Self {
        let line = |(number, link)| {
            let seed = settings.seed.wrapping_add(number);
            Line::shared(Link::new(link, seed), Upstream::new(seed)).remembering()
        };
        let mut admissions = Admissions::new(settings.policy.auth);
        if settings.policy.own_links.is_some() {
            admissions.give_own_links();
        }
        let fleet = settings.policy.own_links.map(|links| Box::new(Fleet::new(links, settings.seed)));
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
            admissions,
            access: AccessControl::new(settings.policy.acl),
            limits: Limits::new(&settings.policy.listeners),
            events: settings.policy.events.map(Events::new),
            fleet,
            now: Now { mono_ms: 0, wall_ms: 0 },
            counts: Counts::default(),
        }
    }

    /// Lets a client speak. `handle` is the machine's own number for it: what comes for the client names it.
    ///
    /// # Errors
    /// [`Refusal::BadIdentity`] when its client id or user name would break out of its level in the listener's
    /// mountpoint, [`Refusal::Limit`] when 2^32 clients are there already, [`Refusal::BrokerAway`] when the MQTT connection
    /// that it is to have is gone.
    pub fn connect(&mut self, handle: Token, who: &Connect<'_>) -> Result<ClientRef, Refusal> {
        let mount = self.mountpoint(who)?;
        let own = who.link.map(|own| if self.may_take(own) { Ok(LinkId(own.0)) } else { Err(Refusal::BrokerAway) });
        let link = match own.transpose()? {
            Some(own) => own,
            None if who.connectionless => FIRST,
            None => self.link_of(who.id.as_str()),
        };
        let client = Client::new(handle, who, link, mount);
        let client = self.clients.insert(client).map(ClientRef).ok_or(Refusal::Limit)?;
        if who.link.is_some() {
            self.take_link(self.now, client, link);
        }
        Ok(client)
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
            Uplink::PublishWill(will) => self.publish_will(now, client, &will),
            Uplink::SetWill(will) => self.set_will(now, client, will.as_ref()),
            Uplink::Relink(own) => self.relink(now, client, own),
            Uplink::Delivered(receipt) => self.delivered(now, receipt),
            Uplink::Doze => self.doze(now, client),
            Uplink::Wake => self.wake(now, client),
            Uplink::Online(online) => self.online(now, client, online),
            Uplink::Moved(address) => self.moved(client, address),
            Uplink::Offline(ending) => self.offline(now, client, ending),
            Uplink::Disconnect => self.disconnect(now, client),
        }
    }

    fn publish(&mut self, now: Now, client: ClientRef, token: Option<Token>, what: &Publication<'_>) -> Taken {
        let Some(sender) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        if let Err(refusal) = sender.may(&mut self.access, now, Action::Publish, what.topic.as_str()) {
            return Taken::Denied(refusal);
        }
        // Only a client's own link may be gone.
        let Some(line) = self.lines.get_mut(sender.link) else { return Taken::Denied(Refusal::BrokerAway) };
        let origin = token.map(|token| Origin { gateway: sender.gateway, client: sender.handle, token });
        let taken = line.link.publish(now, origin, sender.mount.prefix(), what);
        if taken == Taken::Full
            && let Some(fleet) = self.fleet.as_deref_mut()
        {
            fleet.is_full = true;
        }
        taken
    }

    fn disconnect(&mut self, now: Now, client: ClientRef) -> Taken {
        let Some(who) = self.clients.remove(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        let Some((link, trunk)) = self.lines.get_mut(who.link).and_then(Line::shared_parts) else {
            self.part(now, who.link);
            return Taken::Done;
        };
        for place in who.places {
            if let Some(text) = trunk.upstream.leave(place.filter, client, place.subscription) {
                link.unsubscribe(&text);
            }
        }
        Taken::Done
    }

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
        self.now = self.now.max(now);
        let mut changed = false;
        loop {
            self.ask_broker(now);
            while let Some(line) = self.lines.take_marked() {
                changed = true;
                self.settle_line(now, line);
                if !self.lines.is_shared(line) {
                    self.tend_own(now, line);
                    self.settle_line(now, line);
                }
                self.lines.looked_at(line);
            }
            if !self.pace(now) {
                break;
            }
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
        if !self.lines.is_shared(number) {
            return self.on_own_event(now, number, &event);
        }
        match event {
            LinkEvent::Settled { origin, outcome } => {
                let Origin { gateway, client, token } = origin;
                self.notices.push_back(Notice::Settled { gateway, client, token, outcome });
            }
            LinkEvent::Subscribed { id, granted } => self.on_suback(now, number, id, granted),
            LinkEvent::Up { session_present } => self.on_up(now, number, session_present),
            LinkEvent::Unsubscribed { filter } => {
                if let Some((_, trunk)) = self.lines.get_mut(number).and_then(Line::shared_parts) {
                    trunk.upstream.gone(&filter);
                }
            }
            LinkEvent::Down => {
                if let Some((_, trunk)) = self.lines.get_mut(number).and_then(Line::shared_parts) {
                    trunk.restoring = None;
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
            // Of links of single clients only.
            LinkEvent::Refused { .. } | LinkEvent::Unreached | LinkEvent::Over(_) | LinkEvent::Caught => {}
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
        if self.lines.get(FIRST).is_some_and(|line| line.link.is_online()) {
            self.publish_status(now, false);
        }
        for id in self.lines.ids() {
            // Who is not in does not come in any more.
            self.refuse(now, id, Refusal::Busy);
            if let Some(line) = self.lines.get_mut(id) {
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
        earliest(earliest(self.lines.next_deadline(), self.next_turn()), self.admissions.next_deadline())
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
        let own = self.fleet.iter().flat_map(|fleet| fleet.meters());
        [self.counts.meter(), self.admissions.meter(), self.access.meter()]
            .into_iter()
            .chain(links)
            .chain(own)
            .collect()
    }

    /// Brings the gauges up to date.
    pub fn gauge(&self) {
        self.admissions.gauge();
        self.counts.set(BridgeCount::Clients, self.clients.len() as u64);
        let filters: usize =
            self.lines.iter_shared().filter_map(|line| line.trunk.as_ref()).map(|trunk| trunk.upstream.len()).sum();
        self.counts.set(BridgeCount::Filters, filters as u64);
        self.gauge_own();
    }
}

/// The link that speaks for the node, on shard 0, and for who never connects.
const FIRST: LinkId = LinkId::shared(0);
