//! The driver's side of the shards: they are made, their turns end, and what they say is carried away.

use crate::event::Event;
use crate::judge::policy;
use crate::lines::Line;
use crate::plan::Plan;
use crate::restarts::Store;
use crate::streams::{FRAMES, LINES, TCP};
use crate::world::World;
use bridge_core::bridge::{BridgeSettings, LinkId, ListenerRules, OwnLinks};
use bridge_core::gate::{Gate, Gates};
use bridge_core::link::{LinkSettings, Password, SessionScope, VersionChoice};
use bridge_core::meter::Meter;
use bridge_core::owners::Directory;
use bridge_core::peer::{GatewayId, ListenerId, ShardId};
use bridge_core::template::{Literals, Template};
use mqttsn::{Mqttsn, MqttsnConfig};
use shard::{Listener, Shard, ShardSettings};
use std::collections::BTreeMap;
use std::sync::Arc;
use tcp_gateway::{FramingConfig, FramingKind, ListenerSettings, Tcp, TcpSettings};

/// A shard and what its driver keeps.
pub(crate) struct Side {
    pub(crate) shard: Shard,
    pub(crate) lines: BTreeMap<LinkId, Line>,
    /// It was handed something, and its turn has not ended.
    pub(crate) dirty: bool,
    /// When its timer is planned.
    pub(crate) timer_at: Option<u64>,
    /// Of all its parts.
    meters: Vec<Arc<Meter>>,
    /// The store is writing what it has changed.
    pub(crate) writing: bool,
}

impl Side {
    /// What was counted under this label.
    pub(crate) fn counted(&self, label: (&str, &str)) -> u64 {
        let series = self.meters.iter().flat_map(|meter| meter.read());
        series.filter(|(series, _)| series.labels.contains(&label)).map(|(_, value)| value).sum()
    }
}

impl Side {
    /// The value of one series.
    pub(crate) fn gauged(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let series = self.meters.iter().flat_map(|meter| meter.read());
        let mut these = series.filter(|(series, _)| {
            series.family.name == family && labels.iter().all(|label| series.labels.contains(label))
        });
        these.next().map_or(0, |(_, value)| value)
    }
}

impl World {
    /// Ends turns: of all shards that have something to end, or, as a driver with more to read would, of some.
    pub(crate) fn end_turns(&mut self, all: bool) {
        for shard in 0..self.shards.len() {
            if self.shards[shard].dirty && (all || self.rng.chance(300)) {
                self.end_turn(shard);
            }
        }
        self.stop_if_done();
    }

    pub(crate) fn end_turn(&mut self, shard: usize) {
        let now = self.clock();
        let side = &mut self.shards[shard];
        side.dirty = false;
        side.shard.finish(now);
        let out = side.shard.outbox();
        let said: Vec<_> = out.iter().map(|(peer, bytes)| (peer.addr, bytes.to_vec())).collect();
        out.clear();
        let parcels: Vec<_> = side.shard.parcels().drain(..).collect();
        for (to, bytes) in said {
            if let Some(index) = self.author(to, &bytes) {
                self.checks.said(index, &self.devices[index], &bytes);
            }
            for delay in self.air.copies(&mut self.rng) {
                self.timeline.plan(self.now + delay, Event::ToDevice { to, bytes: bytes.clone() });
            }
        }
        for parcel in parcels {
            self.timeline.plan(self.now, Event::Parcel(parcel));
        }
        self.carry_questions(shard);
        self.carry_records(shard);
        self.tend_streams(shard);
        self.tend_lines(shard);
        self.check_bounds(shard);
        let side = &mut self.shards[shard];
        let late = self.plan.late_ms;
        let due = side.shard.next_deadline().map(|deadline| deadline.0.max(self.now) + late);
        if let Some(due) = due.filter(|due| side.timer_at.is_none_or(|planned| *due < planned)) {
            side.timer_at = Some(due);
            self.timeline.plan(due, Event::ShardTimer(shard));
        }
    }

    /// A turn of this shard is to come, at the next millisecond.
    pub(crate) fn turn(&mut self, shard: usize) {
        self.timeline.plan(self.now + 1, Event::Turn(shard));
    }

    /// What the shard counts stays within what it was told. (Receive Maximum and the like are the broker's to check.)
    fn check_bounds(&self, shard: usize) {
        let side = &self.shards[shard];
        for (series, value) in side.meters.iter().flat_map(|meter| meter.read()) {
            let bound = match series.family.name {
                "tidegate_queue_messages" => self.plan.queue.max_messages,
                "tidegate_queue_bytes" => self.plan.queue.max_bytes,
                // Each link has its own bound, and those of single devices are counted together.
                "tidegate_link_in_flight" if !self.plan.per_device => usize::from(self.plan.max_inflight),
                _ => continue,
            };
            assert!(value <= bound as u64, "shard {shard}: {} is {value} of {bound}", series.family.name);
        }
    }
}

/// One for each listener.
pub(crate) fn gates(plan: &Plan) -> Gates {
    let rate = plan.streams.rate;
    Gates::new(vec![Gate::new(0, 0), Gate::new(0, rate), Gate::new(0, rate)])
}

/// A shard with a machine for MQTT-SN, which has one listener, and one for raw TCP, which has two.
pub(crate) fn side(
    plan: &Plan,
    id: ShardId,
    directory: &Arc<Directory>,
    gates: &Gates,
    store: &Store,
    seed: u64,
) -> Side {
    let gateway = GatewayId(0);
    let mountpoint = Template::parse("", Literals::TopicName).expect("nothing is a template");
    let bridge = BridgeSettings {
        links: (0..plan.links).map(|link| link_settings(plan, store, id, link)).collect(),
        listeners: [(); 3].map(|()| ListenerRules::new(mountpoint.clone())).into(),
        node: "sim".into(),
        status: None,
        policy: policy(plan, own_links(plan, store, id)),
        seed,
    };
    let stream = Listener { gateway: TCP, marks: plan.streams.marks };
    let settings = ShardSettings {
        id,
        bridge,
        listeners: vec![gateway.into(), stream, stream],
        gates: gates.clone(),
        directory: Arc::clone(directory),
        max_routes: plan.max_routes,
        durable: plan.durable,
        seed,
    };
    let config = MqttsnConfig { sleep_queue: plan.hold, ..MqttsnConfig::default() };
    let machine = Mqttsn::new(gateway, config, vec![ListenerId(0)], seed);
    let lines = (0..plan.links).map(|link| (LinkId::shared(link), Line::default())).collect();
    let tcp = Tcp::new(tcp_settings(plan, id, seed));
    let of_machines = [machine.meter(), tcp.meter()];
    let shard = Shard::new(settings, vec![Box::new(machine), Box::new(tcp)]);
    let meters = shard.meters().into_iter().chain(of_machines).collect();
    Side { shard, lines, dirty: false, timer_at: None, meters, writing: false }
}

fn own_links(plan: &Plan, store: &Store, shard: ShardId) -> Option<OwnLinks> {
    let connect_rate = OwnLinks::part_of(plan.connect_rate, shard.0.into(), plan.shards.into());
    plan.per_device.then(|| OwnLinks { like: link_settings(plan, store, shard, 0), connect_rate })
}

fn tcp_settings(plan: &Plan, shard: ShardId, seed: u64) -> TcpSettings {
    let lines =
        FramingConfig { framing: FramingKind::Line, client_id: "first-frame".to_owned(), ..FramingConfig::default() };
    let listeners = [(FRAMES, FramingConfig::default()), (LINES, lines)];
    let listener = |(id, framing)| ListenerSettings { id, framing, mountpoint: String::new() };
    TcpSettings {
        gateway: TCP,
        config: plan.streams.config().into(),
        listeners: listeners.map(listener).into(),
        node: "sim".into(),
        own_links: plan.per_device,
        first_shard: shard == ShardId(0),
        seed,
    }
}

fn link_settings(plan: &Plan, store: &Store, shard: ShardId, link: u16) -> LinkSettings {
    let client_id = format!("sim-{}-{}", shard.0, link);
    let scope = if plan.durable { SessionScope::Durable(store.session(&client_id)) } else { SessionScope::Process };
    LinkSettings {
        client_id,
        username: String::new(),
        password: Password::default(),
        keepalive_s: 30,
        max_inflight: plan.max_inflight,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 3600,
        scope,
        queue: plan.queue,
    }
}
