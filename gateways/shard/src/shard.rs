use crate::counts::ShardCount;
use crate::records::Held;
use crate::routes::{Forward, Routes};
use bridge_core::acl::Acl;
use bridge_core::ask::{Answer, Ask};
use bridge_core::auth::{self, AuthRules};
use bridge_core::bridge::{Bridge, BridgeSettings, LinkId, Notice};
use bridge_core::downlink::{Delivery, Downlink};
use bridge_core::gate::Gates;
use bridge_core::journal::Journal;
use bridge_core::link::Link;
use bridge_core::machine::{Cx, Handled, Input, Machine};
use bridge_core::meter::{Counts, Meter};
use bridge_core::outbox::Outbox;
use bridge_core::owners::{Directory, Owners};
use bridge_core::peer::{GatewayId, Peer, Proven, ShardId};
use bridge_core::rng::Rng;
use bridge_core::time::{Deadline, Now, earliest};
use std::sync::Arc;

/// A datagram may go where its address's route leads, back when that is not the owner, and on to the owner; then it
/// strays.
const MAX_HOPS: u8 = 3;

/// What a shard is made of.
#[derive(Debug)]
pub struct ShardSettings {
    /// Its number.
    pub id: ShardId,
    /// Its bridge's.
    pub bridge: BridgeSettings,
    /// The gateway behind each listener, by listener number.
    pub listeners: Vec<GatewayId>,
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

/// See the [crate](crate).
pub struct Shard {
    id: ShardId,
    pub(crate) machines: Vec<Box<dyn Machine + Send>>,
    listeners: Vec<GatewayId>,
    pub(crate) around: Around,
    pub(crate) held: Held,
    routes: Routes,
    forwards: Vec<Forward>,
    pub(crate) last: Now,
    counts: Counts<ShardCount>,
}

/// What the machines use, apart from them so that both can be borrowed.
pub(crate) struct Around {
    pub(crate) bridge: Bridge,
    outbox: Outbox,
    rng: Rng,
    owners: Owners,
    gates: Gates,
    pub(crate) journal: Journal,
}

impl Around {
    pub(crate) const fn cx(&mut self, now: Now) -> Cx<'_> {
        Cx {
            now,
            rng: &mut self.rng,
            out: &mut self.outbox,
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
        let around = Around {
            bridge: Bridge::new(bridge),
            outbox: Outbox::default(),
            rng: Rng::seeded(seed),
            owners: Owners::new(directory, id),
            gates,
            journal: Journal::new(durable),
        };
        Self {
            id,
            machines,
            listeners,
            around,
            held: Held::default(),
            routes: Routes::new(max_routes, seed),
            forwards: Vec::new(),
            last: Now { mono_ms: 0, wall_ms: 0 },
            counts: Counts::default(),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> ShardId {
        self.id
    }

    /// One datagram from a socket of this shard. `proven`: by the association that it came through.
    #[inline]
    pub fn datagram(&mut self, now: Now, peer: Peer, proven: Proven<'_>, bytes: &[u8]) {
        let route = if self.routes.is_empty() { None } else { self.routes.find(&peer, self.lane(&peer, bytes)) };
        let packet = Packet { peer, proven, bytes, entry: self.id, hops: 0 };
        match route.filter(|to| *to != self.id) {
            None => self.take(now, &packet),
            Some(to) => self.forward(packet.onward(to, None)),
        }
    }

    /// One datagram from another shard, or one of our own that came back: its route was stale.
    pub fn forwarded(&mut self, now: Now, forward: &Forward) {
        let Forward { peer, entry, hops, .. } = *forward;
        let packet = Packet { peer, proven: forward.proven(), bytes: &forward.bytes, entry, hops };
        match forward.owner {
            Some(owner) if owner != self.id => self.send_on(owner, &packet),
            Some(_) => {
                self.learn(&packet, self.id);
                self.take(now, &packet);
            }
            None => self.take(now, &packet),
        }
    }

    fn take(&mut self, now: Now, packet: &Packet<'_>) {
        let now = self.advance(now);
        let Packet { peer, proven, bytes, entry, .. } = *packet;
        let Some(gateway) = self.listeners.get(usize::from(peer.listener.0)) else { return };
        let Some(machine) = self.machines.get_mut(usize::from(gateway.0)) else { return };
        match machine.handle(&mut self.around.cx(now), Input::Datagram { peer, proven, bytes }) {
            Handled::Here => {}
            Handled::Elsewhere(to) if entry == self.id => self.send_on(to, packet),
            // Only the shard that the address writes to keeps its route: there it is put right.
            Handled::Elsewhere(to) => self.forward(packet.onward(entry, Some(to))),
        }
    }

    /// This datagram of an address that writes to this shard, and all that follow, go to `owner`.
    fn send_on(&mut self, owner: ShardId, packet: &Packet<'_>) {
        self.learn(packet, owner);
        self.forward(Packet { entry: self.id, ..*packet }.onward(owner, None));
    }

    fn learn(&mut self, packet: &Packet<'_>, to: ShardId) {
        let lane = self.lane(&packet.peer, packet.bytes);
        if self.routes.learn(&packet.peer, lane, to) {
            self.counts.up(ShardCount::RoutesDropped);
        }
    }

    /// What of the datagram is part of its sender's address.
    fn lane<'a>(&self, peer: &Peer, bytes: &'a [u8]) -> &'a [u8] {
        let gateway = self.listeners.get(usize::from(peer.listener.0));
        let machine = gateway.and_then(|gateway| self.machines.get(usize::from(gateway.0)));
        machine.map_or(&[], |machine| machine.lane(bytes))
    }

    fn forward(&mut self, forward: Forward) {
        if forward.hops > MAX_HOPS || forward.to == self.id {
            self.counts.up(ShardCount::Stray);
            return;
        }
        self.counts.up(ShardCount::Forwarded);
        self.forwards.push(forward);
    }

    /// A peer's association proved a newer address.
    pub fn peer_moved(&mut self, now: Now, from: Peer, to: Peer) {
        self.tell_of_peer(now, from, Input::PeerMoved { from, to });
    }

    /// A peer's association has ended.
    pub fn peer_closed(&mut self, now: Now, peer: Peer) {
        self.tell_of_peer(now, peer, Input::PeerClosed { peer });
    }

    fn tell_of_peer(&mut self, now: Now, peer: Peer, input: Input<'_>) {
        let now = self.advance(now);
        if let Some(&gateway) = self.listeners.get(usize::from(peer.listener.0)) {
            tell(&mut self.machines, &mut self.around, now, gateway, input);
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
                let delivery = Delivery { message, qos: to.qos, subscription: to.subscription, receipt: None };
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

    /// How many links there are; they are numbered from 0.
    #[must_use]
    pub fn links(&self) -> u16 {
        self.around.bridge.links()
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
    pub fn replace_rules(&mut self, auth: Arc<AuthRules>, acl: Arc<Acl>) {
        self.around.bridge.replace_rules(auth, acl);
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

    /// Datagrams for other shards; to be drained.
    pub const fn forwards(&mut self) -> &mut Vec<Forward> {
        &mut self.forwards
    }

    /// Another shard had no room for a forward.
    pub fn forward_refused(&self) {
        self.counts.up(ShardCount::Refused);
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

/// A datagram on its way through this shard.
#[derive(Clone, Copy)]
struct Packet<'a> {
    peer: Peer,
    proven: Proven<'a>,
    bytes: &'a [u8],
    /// The shard that its address writes to.
    entry: ShardId,
    hops: u8,
}

impl Packet<'_> {
    /// To be carried to the shard `to`. `owner`: on the way back, where the client lives instead.
    fn onward(&self, to: ShardId, owner: Option<ShardId>) -> Forward {
        Forward {
            to,
            entry: self.entry,
            owner,
            peer: self.peer,
            identity: self.proven.identity.map(Into::into),
            bytes: self.bytes.into(),
            hops: self.hops.saturating_add(1),
        }
    }
}

fn tell(machines: &mut [Box<dyn Machine + Send>], around: &mut Around, now: Now, gateway: GatewayId, input: Input<'_>) {
    if let Some(machine) = machines.get_mut(usize::from(gateway.0)) {
        hear(&mut **machine, around, now, input);
    }
}

/// Only a datagram can belong elsewhere.
fn hear(machine: &mut dyn Machine, around: &mut Around, now: Now, input: Input<'_>) {
    match machine.handle(&mut around.cx(now), input) {
        Handled::Here | Handled::Elsewhere(_) => {}
    }
}
