//! Devices, network, shards and broker, in one virtual time.

use crate::checks::{Checks, Tally};
use crate::device::{Device, Said};
use crate::event::Event;
use crate::network::{Air, Timeline};
use crate::plan::{Plan, Script, Trouble};
use crate::restarts::Store;
use crate::shards::{Side, gates, side};
use crate::spots::Spot;
use crate::streams::StreamNet;
use bridge_core::gate::Gates;
use bridge_core::owners::Directory;
use bridge_core::peer::{ListenerId, Peer, Proven, ShardId};
use bridge_core::rng::Rng;
use bridge_core::time::Now;
use codec_mqttsn as sn;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use support::broker::SimBroker;

/// Everything there is.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) timeline: Timeline<Event>,
    pub(crate) shards: Vec<Side>,
    pub(crate) gates: Gates,
    pub(crate) streams: StreamNet,
    /// What outlives the process.
    pub(crate) store: Store,
    /// The process stops, by then at the latest.
    pub(crate) stopping: Option<u64>,
    pub(crate) broker: SimBroker,
    pub(crate) next_conn: u64,
    /// Connections that have broken while octets were on their way to the broker: these are lost.
    pub(crate) broken: BTreeSet<u64>,
    pub(crate) devices: Vec<Device>,
    /// When each device's timer is planned.
    wakes: Vec<u64>,
    /// Who is where.
    pub(crate) places: BTreeMap<Spot, usize>,
    /// Who is, or was, where.
    pub(crate) authors: BTreeMap<Spot, usize>,
    pub(crate) checks: Checks,
    pub(crate) air: Air,
    /// When the broker is to be slow no more.
    pub(crate) slow_until: u64,
    /// Of each event with its time: two runs of one seed have one trace.
    trace: DefaultHasher,
}

impl World {
    pub(crate) fn new(seed: u64, keeps_sessions: bool) -> Self {
        let (plan, rng) = Plan::by_lot(seed, keeps_sessions);
        Self::planned(plan, rng)
    }

    /// Each device has an MQTT connection of its own, which the broker throws out at times.
    ///
    /// What it was sent and has not acknowledged, and what it has sent and was not answered, may come once more when it
    /// comes again: over another connection, which knows nothing of the one before. Its will is published when its new
    /// connection takes the place of the old one at the broker. A broker that sends a session one copy for all of its
    /// filters sends a device one. What a raw TCP device leaves behind may be lost.
    pub(crate) fn per_device(seed: u64, keeps_sessions: bool) -> Self {
        let (mut plan, rng) = Plan::by_lot(seed, keeps_sessions);
        (plan.per_device, plan.durable) = (true, false);
        // What is dropped for want of room before the broker has heard so comes again, out of its order.
        (plan.hold, plan.streams.hold) = (1000, 1000);
        plan.streams.commands = tcp_gateway::CommandSubscription::PerDevice;
        plan.troubles.retain(|(_, trouble)| !matches!(trouble, Trouble::Restart { .. }));
        plan.troubles.extend((1..20).map(|part| (plan.span_ms * part / 20, Trouble::Evict)));
        Self::planned(plan, rng)
    }

    fn planned(plan: Plan, mut rng: Rng) -> Self {
        let directory = Arc::new(Directory::default());
        let (gates, store) = (gates(&plan), Store::default());
        let shards =
            (0..plan.shards).map(|id| side(&plan, ShardId(id), &directory, &gates, &store, rng.next_u64())).collect();
        let devices: Vec<Device> = (0..plan.devices)
            .map(|index| {
                let script = Script::by_lot(&mut rng, index, plan.span_ms);
                let spot = Spot::by_lot(&mut rng, plan.forwarders, index, 0);
                Device::new(index, spot, script, rng.next_u64())
            })
            .collect();
        let places: BTreeMap<_, _> =
            devices.iter().enumerate().map(|(index, device)| (device.spot.clone(), index)).collect();
        let checks = Checks::new(&devices, &plan);
        let broker = SimBroker::new(plan.broker.clone());
        let streams = StreamNet::new(&plan.streams, rng.next_u64());
        let mut world = Self {
            gates,
            streams,
            air: plan.air,
            timeline: Timeline::new(),
            now: 0,
            shards,
            store,
            stopping: None,
            broker,
            next_conn: 0,
            broken: BTreeSet::new(),
            wakes: vec![u64::MAX; devices.len()],
            devices,
            authors: places.clone(),
            places,
            checks,
            slow_until: 0,
            trace: DefaultHasher::new(),
            rng,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for index in 0..self.devices.len() {
            let at = self.rng.below(3000);
            self.wakes[index] = at;
            self.timeline.plan(at, Event::DeviceTimer(index));
        }
        self.begin_streams();
        for (at, trouble) in self.plan.troubles.clone() {
            self.timeline.plan(at, Event::Trouble(trouble));
        }
        for shard in 0..self.shards.len() {
            self.end_turn(shard);
        }
    }

    /// Runs to the end; what must hold is checked on the way.
    pub(crate) fn run(&mut self) -> Tally {
        self.run_until(self.plan.span_ms);
        self.calm_down();
        self.finish_all();
        // By then each device has pinged, and knows if it is not connected any more.
        self.run_until(self.now + 60_000);
        self.finish_all();
        // Whatever the broker forgot before: what is published now arrives.
        self.checks.calm = true;
        self.trouble(Trouble::Publish { messages: 40 });
        let before = self.checks.streams.count();
        self.command_all();
        self.run_until(self.now + 60_000);
        self.count();
        self.checks.finish(&self.devices, before);
        self.check_streams();
        self.check_lines();
        self.finale();
        self.checks.tally
    }

    /// What the gateway has counted.
    pub(crate) fn count(&mut self) {
        let (tally, shards) = (&mut self.checks.tally, &self.shards);
        let counted = |label| shards.iter().map(|side| side.counted(label)).sum::<u64>();
        tally.followed += counted(("reason", "moved"));
        let dropped = |queue| {
            let of = |policy| {
                move |side: &Side| side.gauged("tidegate_queue_dropped_total", &[("queue", queue), ("policy", policy)])
            };
            shards.iter().map(of("drop-oldest")).sum::<u64>()
        };
        tally.held_too_many += dropped("mqttsn");
        tally.commands_dropped += dropped("tcp");
        tally.forwarded += counted(("result", "sent"));
    }

    /// Waits until everybody has done what there was to do.
    fn finish_all(&mut self) {
        let give_up_at = self.now + PATIENCE_MS;
        while !self.is_quiet() {
            let unfinished: Vec<_> = self.devices.iter().filter(|d| !d.is_done()).map(Device::state).collect();
            let streams = self.streams.unfinished();
            assert!(self.now < give_up_at, "after {PATIENCE_MS} ms of calm: {unfinished:#?} {streams:#?}");
            self.run_until(self.now + 1000);
        }
    }

    /// Of all that has happened so far.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    pub(crate) fn run_until(&mut self, until: u64) {
        while let Some(at) = self.timeline.next_at() {
            if at > self.now {
                self.end_turns(true);
            }
            // Ending a turn may have planned something earlier.
            let at = self.timeline.next_at().unwrap_or(at);
            if at > until {
                break;
            }
            let Some((at, event)) = self.timeline.pop() else { break };
            self.now = at.max(self.now);
            self.checks.now = self.now;
            self.checks.tally.steps += 1;
            assert!(self.checks.tally.steps < MAX_STEPS, "it goes round in circles: {event:?}");
            (at, std::mem::discriminant(&event)).hash(&mut self.trace);
            self.happen(event);
            self.end_turns(false);
        }
        self.now = until;
    }

    /// No more trouble: everything gets its chance to finish.
    fn calm_down(&mut self) {
        self.air = Air::CALM;
        for index in 0..self.devices.len() {
            self.devices[index].stay_awake(self.now);
            self.wake(index);
        }
        self.calm_streams();
        self.broker.set_up();
        let options = self.broker.options();
        (options.hold_acks, options.drop_acks_per_mille) = (false, 0);
        self.broker.release_acks();
        self.after_broker();
        // What the broker failed to acknowledge comes with a new connection only.
        if self.plan.broker.drop_acks_per_mille > 0 {
            for shard in 0..self.shards.len() {
                let links: Vec<_> = self.shards[shard].lines.keys().copied().collect();
                links.into_iter().for_each(|link| self.cut(shard, link, 0));
            }
        }
    }

    fn is_quiet(&self) -> bool {
        !self.shards.is_empty()
            && self.streams.is_quiet()
            && self.devices.iter().all(Device::is_done)
            && self.lines_are_idle()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToShard { from, bytes } => self.datagram(from, &bytes),
            Event::ToDevice { to, bytes } => {
                let spot = Spot::of(to, &sn::decode(&bytes).expect("the gateway writes what can be read"));
                if let Some(&index) = self.places.get(&spot) {
                    self.device(index, |device, now, said| device.receive(now, spot.unwrap(&bytes), said));
                }
            }
            // Only the timer that was planned last counts.
            Event::DeviceTimer(index) if self.wakes[index] != self.now => {}
            Event::DeviceTimer(index) => {
                self.wakes[index] = u64::MAX;
                self.device(index, |device, now, said| device.timer(now, said));
            }
            Event::ShardTimer(shard) => {
                let now = self.clock();
                let side = &mut self.shards[shard];
                side.timer_at = None;
                side.shard.timer(now);
                side.dirty = true;
            }
            Event::Turn(shard) => self.shards[shard].dirty = true,
            Event::Parcel(parcel) => {
                let (now, shard) = (self.clock(), usize::from(parcel.to().0));
                self.shards[shard].shard.receive(now, &parcel);
                self.shards[shard].dirty = true;
            }
            Event::Answer { shard, answer } => {
                let now = self.clock();
                self.shards[shard].shard.answer(now, answer);
                self.shards[shard].dirty = true;
            }
            Event::Line { shard, link, what } => {
                self.on_line(shard, link, what);
                self.shards[shard].dirty = true;
            }
            Event::ToBroker { conn, bytes } => {
                if !self.broken.contains(&conn) {
                    self.broker.receive(conn, &bytes);
                    self.after_broker();
                }
            }
            Event::Noticed { conn } => {
                self.broker.disconnect(conn);
                self.after_broker();
            }
            Event::Written { shard, records } => self.on_written(shard, records),
            Event::StopNow => self.stop_if_done(),
            Event::Boot => self.boot(),
            Event::BrokerUp => self.broker.set_up(),
            Event::BrokerSwift if self.now < self.slow_until => {}
            Event::BrokerSwift => {
                self.broker.options().hold_acks = false;
                self.broker.release_acks();
                self.after_broker();
            }
            Event::Trouble(trouble) => self.trouble(trouble),
            Event::Stream(event) => self.on_stream(event),
        }
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let now = self.clock();
        if let Some(index) = self.author(from, bytes) {
            self.checks.handed(index, &self.devices[index], bytes);
        }
        if self.shards.is_empty() {
            return;
        }
        // As the kernel spreads addresses over sockets: by hash, so always to the same one.
        let shard = usize::from(from.port()).wrapping_mul(31) % self.shards.len();
        let peer = Peer::plain(ListenerId(0), from, None);
        self.shards[shard].shard.datagram(now, peer, Proven::default(), bytes);
        self.shards[shard].dirty = true;
    }

    /// Who is, or was, where this datagram comes from or goes to.
    pub(crate) fn author(&self, addr: SocketAddr, bytes: &[u8]) -> Option<usize> {
        let frame = sn::decode(bytes).expect("both sides write what can be read");
        self.authors.get(&Spot::of(addr, &frame)).copied()
    }

    fn device(&mut self, index: usize, act: impl FnOnce(&mut Device, u64, &mut Said)) {
        let mut said = Said::default();
        let device = &mut self.devices[index];
        act(device, self.now, &mut said);
        if !said.datagrams.is_empty() {
            device.has_spoken(self.now);
        }
        self.wake(index);
        for heard in &said.messages {
            self.checks.heard(index, &self.devices[index], heard);
        }
        for seq in said.given_up {
            self.checks.given_up(&self.devices[index], seq);
        }
        let spot = self.devices[index].spot.clone();
        for message in said.datagrams {
            let (from, bytes) = (spot.addr, spot.wrap(&message));
            for delay in self.air.copies(&mut self.rng) {
                self.timeline.plan(self.now + delay, Event::ToShard { from, bytes: bytes.clone() });
            }
        }
    }

    /// Plans the device's timer, if it is not planned early enough.
    pub(crate) fn wake(&mut self, index: usize) {
        let wake_at = self.devices[index].wake_at(self.now);
        if wake_at < self.wakes[index] {
            self.wakes[index] = wake_at;
            self.timeline.plan(wake_at, Event::DeviceTimer(index));
        }
    }

    /// The broker did something: what it took is checked, and what it says is on its way.
    pub(crate) fn after_broker(&mut self) {
        for accepted in self.broker.take_accepted() {
            self.checks.accepted(&accepted, &self.devices);
        }
        self.collect_output();
    }

    pub(crate) const fn clock(&self) -> Now {
        Now { mono_ms: self.now, wall_ms: 1_600_000_000_000 + self.now }
    }
}

/// How long everything may take to finish once all is well.
const PATIENCE_MS: u64 = 600_000;
/// Far more than any run needs.
const MAX_STEPS: u64 = 5_000_000;
