use crate::counts::ShardCount;
use crate::records::Held;
use crate::routes::{Forward, Routes};
use crate::streams::Handover;
use bridge_core::acl::Acl;
use bridge_core::ask::{Answer, Ask};
use bridge_core::auth::{self, AuthRules};
use bridge_core::bridge::{Bridge, BridgeSettings, LinkId, Notice};
use bridge_core::downlink::{Delivery, Downlink};
use bridge_core::gate::Gates;
use bridge_core::journal::Journal;
use bridge_core::link::Link;
use bridge_core::listeners::Listeners;
use bridge_core::machine::{Cx, Handled, Input, Machine};
use bridge_core::meter::{Counts, Meter};
use bridge_core::outbox::{Outbox, Post};
use bridge_core::owners::{Directory, Owners};
use bridge_core::peer::{GatewayId, Peer, ShardId};
use bridge_core::publication::Shared;
use bridge_core::rng::Rng;
use bridge_core::streams::{Marks, Streams};
use bridge_core::time::{Deadline, Now, earliest};
use std::sync::Arc;

/// What a shard is made of.
#[derive(Debug)]
pub struct ShardSettings {
    /// Its number.
    pub id: ShardId,
    /// Its bridge's.
    pub bridge: BridgeSettings,
    /// By listener number.
    pub listeners: Vec<Listener>,
    /// All shards' admission limits.
    pub gates: Gates,
    /// All shards' directory.
    pub directory: Arc<Directory>,
    /// Addresses remembered for other shards, at most.
    pub max_routes: usize,
    /// There is a store that outlives the process: what changes is to be written down.
    pub durable: bool,
    /// For chance and for hashing.
    pub seed: u64,
}

/// What a shard knows of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The gateway behind it.
    pub gateway: GatewayId,
    /// How full the buffers of its connections may get.
    pub marks: Marks,
}

impl From<GatewayId> for Listener {
    /// With standard marks.
    fn from(gateway: GatewayId) -> Self {
        Self { gateway, marks: Marks::default() }
    }
}

/// Something that a shard has to say to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// A datagram for a client that lives there.
    Datagram(Forward),
    /// A message for a client that lives there.
    Message(Post),
}

impl Parcel {
    /// Where it goes.
    #[must_use]
    pub const fn to(&self) -> ShardId {
        match self {
            Self::Datagram(Forward { to, .. }) | Self::Message(Post { to, .. }) => *to,
        }
    }
}

/// See the [crate](crate).
pub struct Shard {
    pub(crate) id: ShardId,
    pub(crate) machines: Vec<Box<dyn Machine + Send>>,
    listeners: Vec<Listener>,
    pub(crate) policies: Arc<Listeners>,
    pub(crate) around: Around,
    pub(crate) held: Held,
    pub(crate) routes: Routes,
    pub(crate) parcels: Vec<Parcel>,
    pub(crate) handovers: Vec<Handover>,
    pub(crate) last: Now,
    pub(crate) counts: Counts<ShardCount>,
}

/// What the machines use, apart from them so that both can be borrowed.
pub(crate) struct Around {
    pub(crate) bridge: Bridge,
    outbox: Outbox,
    pub(crate) streams: Streams,
    posts: Vec<Post>,
    rng: Rng,
    owners: Owners,
    pub(crate) gates: Gates,
    pub(crate) journal: Journal,
}

impl Around {
    pub(crate) const fn cx(&mut self, now: Now) -> Cx<'_> {
        Cx {
            now,
            rng: &mut self.rng,
            out: &mut self.outbox,
            streams: &mut self.streams,
            posts: &mut self.posts,
            bridge: &mut self.bridge,
            owners: &self.owners,
            gates: &self.gates,
            journal: &mut self.journal,
        }
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("id", &self.id).field("machines", &self.machines.len()).finish_non_exhaustive()
    }
}

impl Shard {
    /// A shard with these machines, in the order of the gateways' numbers.
    #[must_use]
    pub fn new(settings: ShardSettings, machines: Vec<Box<dyn Machine + Send>>) -> Self {
        let ShardSettings { id, bridge, listeners, gates, directory, max_routes, durable, seed } = settings;
        let policies = Arc::clone(&bridge.policy.listeners);
        let around = Around {
            bridge: Bridge::new(bridge),
            outbox: Outbox::default(),
            streams: Streams::default(),
            posts: Vec::new(),
            rng: Rng::seeded(seed),
            owners: Owners::new(directory, id),
            gates,
            journal: Journal::new(durable),
        };
        Self {
            id,
            machines,
            listeners,
            policies,
            around,
            held: Held::default(),
            routes: Routes::new(max_routes, seed),
            parcels: Vec::new(),
            handovers: Vec::new(),
            last: Now { mono_ms: 0, wall_ms: 0 },
            counts: Counts::default(),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> ShardId {
        self.id
    }

    /// Something from another shard.
    pub fn receive(&mut self, now: Now, parcel: &Parcel) {
        match parcel {
            Parcel::Datagram(forward) => self.forwarded(now, forward),
            Parcel::Message(post) => {
                let now = self.advance(now);
                tell(&mut self.machines, &mut self.around, now, post.gateway, Input::Posted(post));
            }
        }
    }

    pub(crate) fn listener(&self, peer: &Peer) -> Option<Listener> {
        self.listeners.get(usize::from(peer.listener.0)).copied()
    }

    /// A peer's association proved a newer address.
    pub fn peer_moved(&mut self, now: Now, from: Peer, to: Peer) {
        self.tell_of_peer(now, from, Input::PeerMoved { from, to });
    }

    /// A peer's association has ended.
    pub fn peer_closed(&mut self, now: Now, peer: Peer) {
        self.tell_of_peer(now, peer, Input::PeerClosed { peer });
    }

    pub(crate) fn tell_of_peer(&mut self, now: Now, peer: Peer, input: Input<'_>) {
        let now = self.advance(now);
        if let Some(listener) = self.listener(&peer) {
            tell(&mut self.machines, &mut self.around, now, listener.gateway, input);
        }
    }

    /// Bytes from the broker. Returns how many were consumed; the rest is to be offered again, with more behind it.
    pub fn link_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8]) -> usize {
        let now = self.advance(now);
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let (took, arrival) = self.around.bridge.receive(now, link, rest);
            consumed = consumed.saturating_add(took);
            let Some(arrival) = arrival else { return consumed };
            // An answer that came before the message is told before it.
            self.settle(now);
            let (machines, around) = (&mut self.machines, &mut self.around);
            let before = around.journal.marks();
            arrival.hand_out(|to, message| {
                let delivery = Delivery { message, qos: to.qos, subscription: to.subscription, receipt: to.receipt };
                let input = Input::Down { client: to.client, down: Downlink::Message(delivery) };
                tell(machines, around, now, to.gateway, input);
            });
            let due = self.around.bridge.handed_out(arrival);
            let marks = self.around.journal.marks();
            // Whoever keeps the message has said so: the broker keeps it, too, until that is written down.
            if let Some(due) = self.held.keep(link, due, (marks != before).then_some(marks), marks) {
                self.around.bridge.acknowledge(link, due);
            }
        }
    }

    /// A link, for its driver.
    #[must_use]
    pub fn link(&self, id: LinkId) -> Option<&Link> {
        self.around.bridge.link(id)
    }

    /// A link, for its driver: opened, closed, written.
    pub fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.around.bridge.link_mut(id)
    }

    /// How many links there are from the start to the end; see [`LinkId::shared`].
    #[must_use]
    pub const fn links(&self) -> u16 {
        self.around.bridge.links()
    }

    /// The next link for its driver to visit, after [`Shard::finish`]; see [`Bridge::take_touched_line`].
    pub fn take_touched_line(&mut self) -> Option<LinkId> {
        self.around.bridge.take_touched_line()
    }

    /// When [`Shard::timer`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        let machines = self.machines.iter().map(|machine| machine.next_deadline());
        machines.fold(self.around.bridge.next_deadline(), earliest)
    }

    /// Time has come to `now`.
    pub fn timer(&mut self, now: Now) {
        let now = self.advance(now);
        self.around.bridge.timer(now);
        for machine in &mut self.machines {
            if machine.next_deadline().is_some_and(|deadline| deadline.is_due(now)) {
                hear(&mut **machine, &mut self.around, now, Input::Timer);
            }
        }
    }

    /// The end of a turn: hands the machines what they are owed. What the shard has to say lies ready after it.
    pub fn finish(&mut self, now: Now) {
        let now = self.advance(now);
        self.settle(now);
    }

    fn settle(&mut self, now: Now) {
        loop {
            self.around.bridge.settle(now);
            let Some(notice) = self.around.bridge.take_notice() else { return };
            self.pass_on(now, notice);
        }
    }

    fn pass_on(&mut self, now: Now, notice: Notice) {
        let (gateway, input) = match notice {
            Notice::Subscribed { gateway, client, token, granted } => {
                (gateway, Input::Down { client, down: Downlink::Subscribed { token, granted } })
            }
            Notice::Settled { gateway, client, token, outcome } => {
                (gateway, Input::Down { client, down: Downlink::Settled { token, outcome } })
            }
            Notice::Ended { gateway, client, why } => (gateway, Input::Down { client, down: Downlink::Ended(why) }),
            Notice::Awake { gateway, client, outcome } => {
                (gateway, Input::Down { client, down: Downlink::Awake(outcome) })
            }
            Notice::Decided { gateway, applicant, verdict, link } => {
                let verdict = verdict.as_ref().map_err(|why| *why);
                let input = Input::Decided { applicant, verdict, link };
                return tell(&mut self.machines, &mut self.around, now, gateway, input);
            }
            Notice::Message { gateway, client, message, qos, subscription, receipt } => {
                let Some(view) = message.view(now) else { return self.around.bridge.undeliverable(now, receipt) };
                let message = &Shared::new(view);
                let delivery = Delivery { message, qos, subscription, receipt };
                let input = Input::Down { client, down: Downlink::Message(delivery) };
                return tell(&mut self.machines, &mut self.around, now, gateway, input);
            }
            Notice::Room => return self.tell_all(now, Input::Room),
            Notice::Broker { reachable } => return self.tell_all(now, Input::Broker { reachable }),
        };
        tell(&mut self.machines, &mut self.around, now, gateway, input);
    }

    fn tell_all(&mut self, now: Now, input: Input<'_>) {
        for machine in &mut self.machines {
            hear(&mut **machine, &mut self.around, now, input);
        }
    }

    /// A question of the admin API. [`Shard::finish`] must follow.
    pub fn ask(&mut self, now: Now, gateway: GatewayId, ask: &Ask<'_>) -> Answer {
        let now = self.advance(now);
        match self.machines.get_mut(usize::from(gateway.0)) {
            Some(machine) => machine.ask(&mut self.around.cx(now), ask),
            None => Answer::NoSuchClient,
        }
    }

    /// What a credential store is to be asked next: to be carried there at the end of a turn.
    pub fn take_question(&mut self) -> Option<auth::Question> {
        self.around.bridge.take_question()
    }

    /// A credential store's word. [`Shard::finish`] must follow.
    pub fn answer(&mut self, now: Now, answer: auth::Answer) {
        let now = self.advance(now);
        self.around.bridge.answer(now, answer);
    }

    /// These rules hold from now on; see [`Bridge::replace_rules`]. [`Shard::finish`] must follow.
    pub fn replace_rules(&mut self, auth: Arc<AuthRules>, acl: Arc<Acl>, listeners: Arc<Listeners>) {
        self.around.bridge.replace_rules(auth, acl, &listeners);
        self.policies = listeners;
    }

    /// The configuration has changed: the machines read it anew.
    pub fn reconfigure(&mut self, now: Now) {
        let now = self.advance(now);
        self.tell_all(now, Input::Reconfigured);
    }

    /// Lets nobody new in, and flushes what is owed until `until`.
    pub fn drain(&mut self, now: Now, until: Deadline) {
        let now = self.advance(now);
        self.tell_all(now, Input::Drain { until });
        self.around.bridge.drain(now);
        self.settle(now);
    }

    /// True once nothing more will be said to the broker.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.around.bridge.is_drained()
    }

    /// Datagrams to send; to be cleared once they are.
    pub const fn outbox(&mut self) -> &mut Outbox {
        &mut self.around.outbox
    }

    /// What is for other shards; to be drained.
    pub fn parcels(&mut self) -> &mut Vec<Parcel> {
        self.counts.add(ShardCount::Posted, self.around.posts.len() as u64);
        self.parcels.extend(self.around.posts.drain(..).map(Parcel::Message));
        &mut self.parcels
    }

    /// Another shard had no room for a parcel.
    pub fn parcel_refused(&self, parcel: &Parcel) {
        self.counts.up(match parcel {
            Parcel::Datagram(_) => ShardCount::Refused,
            Parcel::Message(_) => ShardCount::PostsRefused,
        });
    }

    /// True while every link is online with all its subscriptions in force.
    #[must_use]
    pub const fn is_reachable(&self) -> bool {
        self.around.bridge.is_reachable()
    }

    /// For whoever reports: those of the shard and its bridge. (The machines' are had from the machines.)
    #[must_use]
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        let mut meters = self.around.bridge.meters();
        meters.push(self.counts.meter());
        meters
    }

    /// Brings the gauges up to date.
    pub fn gauge(&self) {
        self.around.bridge.gauge();
        self.counts.set(ShardCount::Routes, self.routes.len() as u64);
    }

    /// A `now` older than the last counts as the last.
    pub(crate) fn advance(&mut self, now: Now) -> Now {
        if now.mono_ms >= self.last.mono_ms {
            self.last = now;
        }
        self.last
    }
}

fn tell(machines: &mut [Box<dyn Machine + Send>], around: &mut Around, now: Now, gateway: GatewayId, input: Input<'_>) {
    if let Some(machine) = machines.get_mut(usize::from(gateway.0)) {
        hear(&mut **machine, around, now, input);
    }
}

/// Only a datagram and a stream can belong elsewhere, or be taken in part.
fn hear(machine: &mut dyn Machine, around: &mut Around, now: Now, input: Input<'_>) {
    match machine.handle(&mut around.cx(now), input) {
        Handled::Here | Handled::Took(_) | Handled::Elsewhere(_) => {}
    }
}
