//! Devices, a shard with one machine, a broker, and the clock.

use bridge_core::ask::{Answer, Ask};
use bridge_core::bridge::{BridgeSettings, LinkId, ListenerRules, OwnLinks, Policy};
use bridge_core::gate::{Gate, Gates};
use bridge_core::link::{Closed, LinkSettings, Password, QueueLimits, SessionScope, VersionChoice, Wish};
use bridge_core::live::Live;
use bridge_core::machine::Unthawed;
use bridge_core::meter::Meter;
use bridge_core::owners::Directory;
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
use bridge_core::template::{Literals, Template};
use bridge_core::time::{Deadline, Now};
use codec_mqttsn::{Connect, Message as Sn, MsgId};
use mqttsn::{Broadcast, Mqttsn, MqttsnConfig};
use shard::{Records, Shard, ShardSettings};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use support::broker::{Message, Options, SimBroker};
use support::vectors::unhex;

pub(crate) use codec_mqtt::Qos;

/// Everything. Devices are named by their port; what they say and hear is hexadecimal text.
pub(crate) struct World {
    pub(crate) shard: Shard,
    pub(crate) broker: SimBroker,
    pub(crate) directory: Arc<Directory>,
    pub(crate) gates: Gates,
    config: Live<MqttsnConfig>,
    meter: Arc<Meter>,
    /// SUBSCRIBEs that the link has sent.
    pub(crate) subscribes: usize,
    /// The network to the broker stands still.
    pub(crate) paused: bool,
    /// Connections to the broker, by link.
    conns: BTreeMap<LinkId, u64>,
    /// Octets of the broker that a link has not taken yet.
    unread: BTreeMap<LinkId, Vec<u8>>,
    next_conn: u64,
    pub(crate) now: Now,
    heard: BTreeMap<u16, Vec<String>>,
    /// What a store that outlives the process has, if there is one.
    pub(crate) kept: Option<BTreeMap<String, Vec<u8>>>,
}

/// How a test's world differs from the default.
pub(crate) struct Setup {
    pub(crate) config: MqttsnConfig,
    pub(crate) gates: Vec<Gate>,
    pub(crate) mountpoint: &'static str,
    pub(crate) queue: QueueLimits,
    pub(crate) options: Options,
    pub(crate) networks: Vec<Broadcast>,
    /// There is a store that outlives the process.
    pub(crate) durable: bool,
    /// Who may come in, and do what; where events go.
    pub(crate) policy: Policy,
    /// Each client has an MQTT connection of its own.
    pub(crate) per_device: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: MqttsnConfig {
                // Said where it matters: all else reads better without the REGISTERs.
                subs_resume: false,
                predefined: [(1, "pre/one".to_owned()), (7, "pre/seven".to_owned())].into(),
                ..MqttsnConfig::default()
            },
            gates: vec![Gate::new(0, 0), Gate::new(0, 0)],
            mountpoint: "",
            queue: QueueLimits { max_bytes: 1 << 20, max_messages: 100 },
            options: Options::default(),
            networks: Vec::new(),
            durable: false,
            policy: Policy::default(),
            per_device: false,
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new(Setup::default())
    }
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let broker = SimBroker::new(setup.options.clone());
        let mut world = Self::before(setup, broker, Now { mono_ms: 1000, wall_ms: 0 });
        world.settle();
        world
    }

    /// The process ends without a word, and another begins, when the wall clock says `wall_ms`.
    pub(crate) fn restart(mut self, setup: Setup, wall_ms: u64) -> (Self, Vec<Result<(), Unthawed>>) {
        for conn in std::mem::take(&mut self.conns).into_values() {
            self.broker.disconnect(conn);
        }
        let mut world = Self::before(setup, self.broker, Now { mono_ms: 7, wall_ms });
        world.next_conn = self.next_conn;
        world.kept = self.kept;
        let (now, kept) = (world.now, world.kept.clone().unwrap_or_default());
        let thawed = kept.iter().map(|(id, record)| world.shard.thaw(now, GatewayId(0), id, record)).collect();
        world.settle();
        (world, thawed)
    }

    fn before(setup: Setup, broker: SimBroker, now: Now) -> Self {
        let rules = || ListenerRules::new(Template::parse(setup.mountpoint, Literals::TopicName).unwrap());
        let (directory, gates) = (Arc::<Directory>::default(), Gates::new(setup.gates));
        let listeners = vec![ListenerId(0), ListenerId(1)];
        let config = Live::from(setup.config);
        let machine = Mqttsn::new(GatewayId(0), config.clone(), listeners, 3).advertising(&setup.networks);
        let meter = machine.meter();
        let own_links = setup.per_device.then(|| OwnLinks { like: link(setup.queue), connect_rate: 0 });
        let bridge = BridgeSettings {
            links: vec![link(setup.queue)],
            listeners: vec![rules(), rules()],
            node: "n".into(),
            status: None,
            policy: Policy { own_links, ..setup.policy },
            seed: 3,
        };
        let settings = ShardSettings {
            id: ShardId(0),
            bridge,
            listeners: vec![GatewayId(0).into(), GatewayId(0).into()],
            gates: gates.clone(),
            directory: Arc::clone(&directory),
            durable: setup.durable,
            max_routes: 10,
            seed: 3,
        };
        Self {
            shard: Shard::new(settings, vec![Box::new(machine)]),
            broker,
            directory,
            gates,
            config,
            meter,
            subscribes: 0,
            paused: false,
            conns: BTreeMap::new(),
            unread: BTreeMap::new(),
            next_conn: 1,
            now,
            heard: BTreeMap::new(),
            kept: setup.durable.then(BTreeMap::new),
        }
    }

    /// The device says something; what it is told then.
    pub(crate) fn ask(&mut self, port: u16, hex: &str) -> Vec<String> {
        self.datagram(0, port, &unhex(hex))
    }

    /// The same through listener 1.
    pub(crate) fn ask_elsewhere(&mut self, port: u16, hex: &str) -> Vec<String> {
        self.datagram(1, port, &unhex(hex))
    }

    /// The admin API asks something.
    pub(crate) fn query(&mut self, ask: &Ask<'_>) -> Answer {
        let answer = self.shard.ask(self.now, GatewayId(0), ask);
        self.settle();
        answer
    }

    /// The same with a message instead of octets.
    pub(crate) fn say(&mut self, port: u16, message: &Sn<'_>) -> Vec<String> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        self.datagram(0, port, &bytes)
    }

    pub(crate) fn datagram(&mut self, listener: u16, port: u16, bytes: &[u8]) -> Vec<String> {
        self.heard.remove(&port);
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let peer = Peer::plain(ListenerId(listener), addr, None);
        self.shard.datagram(self.now, peer, Proven::default(), bytes);
        self.settle();
        self.hear(port)
    }

    /// A peer says something, and what is proved about it; what its port is told then.
    pub(crate) fn ask_as(&mut self, peer: Peer, proven: Proven<'_>, hex: &str) -> Vec<String> {
        self.heard.remove(&peer.addr.port());
        self.shard.datagram(self.now, peer, proven, &unhex(hex));
        self.settle();
        self.hear(peer.addr.port())
    }

    /// A peer's association proved a newer address.
    pub(crate) fn moved(&mut self, from: Peer, to: Peer) {
        self.shard.peer_moved(self.now, from, to);
        self.settle();
    }

    /// A peer's association has ended.
    pub(crate) fn closed(&mut self, peer: Peer) {
        self.shard.peer_closed(self.now, peer);
        self.settle();
    }

    /// The device says several things in one turn of the shard; what it is told then.
    pub(crate) fn ask_at_once(&mut self, port: u16, said: &[&str]) -> Vec<String> {
        self.heard.remove(&port);
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        for hex in said {
            self.shard.datagram(self.now, Peer::plain(ListenerId(0), addr, None), Proven::default(), &unhex(hex));
        }
        self.settle();
        self.hear(port)
    }

    /// What the device has been told since it was last asked.
    pub(crate) fn hear(&mut self, port: u16) -> Vec<String> {
        self.heard.remove(&port).unwrap_or_default()
    }

    /// CONNECT, Will=0, accepted.
    pub(crate) fn connect(&mut self, port: u16, id: &str, clean: bool) {
        assert_eq!(self.try_connect(port, id, clean)[0], "030500");
    }

    pub(crate) fn try_connect(&mut self, port: u16, id: &str, clean: bool) -> Vec<String> {
        let connect = Connect { will: false, clean_session: clean, protocol_id: 1, duration: 60, client_id: id };
        self.say(port, &Sn::Connect(connect))
    }

    /// CONNECT, Will=1, with a will on `w/<id>` at QoS 1, accepted.
    pub(crate) fn connect_with_will(&mut self, port: u16, id: &str, clean: bool) {
        let connect = Connect { will: true, clean_session: clean, protocol_id: 1, duration: 60, client_id: id };
        assert_eq!(self.say(port, &Sn::Connect(connect)), ["0206"]);
        let topic_name = &format!("w/{id}");
        let topic = codec_mqttsn::WillTopic { qos: codec_mqttsn::Qos::AtLeastOnce, retain: false, topic_name };
        assert_eq!(self.say(port, &Sn::WillTopic(Some(topic))), ["0208"]);
        assert_eq!(self.say(port, &Sn::WillMsg { payload: b"gone" })[0], "030500");
    }

    /// REGISTER; the id that REGACK gives.
    pub(crate) fn register(&mut self, port: u16, name: &str) -> u16 {
        let register =
            codec_mqttsn::Register { topic_id: codec_mqttsn::TopicId(0), msg_id: MsgId(0x0101), topic_name: name };
        let answer = unhex(&self.say(port, &Sn::Register(register))[0]);
        assert_eq!(answer[1], 0x0B);
        u16::from_be_bytes([answer[2], answer[3]])
    }

    /// SUBSCRIBE by name; all that the device is told then.
    pub(crate) fn subscribe(&mut self, port: u16, name: &str, qos: codec_mqttsn::Qos) -> Vec<String> {
        let filter = codec_mqttsn::Filter::Name(name);
        self.say(port, &Sn::Subscribe(codec_mqttsn::Subscribe { dup: false, qos, msg_id: MsgId(0x0202), filter }))
    }

    /// The broker publishes.
    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: Qos) {
        self.broker.publish(Message::new(topic, payload, qos));
        self.settle();
    }

    /// What the broker was given since it was last looked at: topic, payload, QoS.
    pub(crate) fn given(&mut self) -> Vec<String> {
        let accepted = self.broker.take_accepted();
        let line = |m: &support::broker::Accepted| {
            let retain = if m.retain { " retained" } else { "" };
            format!("{} {} {}{retain}", m.topic, String::from_utf8_lossy(&m.payload), m.qos.bits())
        };
        accepted.iter().map(line).collect()
    }

    /// The same, and by whom: by which client id, and whether it is a will.
    pub(crate) fn given_by(&mut self) -> Vec<String> {
        let accepted = self.broker.take_accepted();
        let line = |m: &support::broker::Accepted| {
            let will = if m.will { " will" } else { "" };
            format!("{}: {} {} {}{will}", m.client, m.topic, String::from_utf8_lossy(&m.payload), m.qos.bits())
        };
        accepted.iter().map(line).collect()
    }

    /// How many connections there are to the broker, the gateway's own among them.
    pub(crate) fn connections(&self) -> usize {
        self.conns.len()
    }

    /// The filters that the link holds at the broker, sorted.
    pub(crate) fn filters(&self) -> Vec<String> {
        let mut filters: Vec<String> = self.broker.filters("tidegate-n-0").map(str::to_owned).collect();
        filters.sort();
        filters
    }

    /// A counter or gauge of the machine: the value of the series with these label values.
    pub(crate) fn count(&self, family: &str, values: &[&str]) -> u64 {
        let mut found = self.meter.read().filter(|(series, _)| {
            series.family.name == format!("tidegate_{family}")
                && values.iter().all(|value| series.labels.iter().any(|(_, label)| label == value))
        });
        let (_, value) = found.next().unwrap_or_else(|| panic!("no series {family} {values:?}"));
        assert!(found.next().is_none(), "{family} {values:?} is not one series");
        value
    }

    pub(crate) fn fault(&self, reason: &str) -> u64 {
        self.count("faults_total", &[reason])
    }

    pub(crate) fn sessions(&self) -> [u64; 3] {
        ["connecting", "active", "away"].map(|state| self.count("sessions", &[state]))
    }

    /// Sessions that are asleep, and awake.
    pub(crate) fn sleepers(&self) -> [u64; 2] {
        ["asleep", "awake"].map(|state| self.count("sessions", &[state]))
    }

    /// Moves the clock, from deadline to deadline.
    pub(crate) fn wait(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.now.mono_ms < end {
            let next = self.shard.next_deadline().map_or(end, |at| at.0.clamp(self.now.mono_ms + 1, end));
            self.now.mono_ms = next;
            self.shard.timer(self.now);
            self.settle();
        }
    }

    pub(crate) fn wait_s(&mut self, seconds: u64) {
        self.wait(seconds * 1000);
    }

    pub(crate) fn drain(&mut self) {
        self.shard.drain(self.now, Deadline(self.now.mono_ms + 10_000));
        self.settle();
    }

    /// The configuration is read anew.
    pub(crate) fn reload(&mut self, config: MqttsnConfig) {
        self.config.set(config);
        self.shard.reconfigure(self.now);
        self.settle();
    }

    /// The broker's connection is gone, and it refuses new ones.
    pub(crate) fn broker_down(&mut self) {
        self.broker.set_down();
        self.settle();
    }

    /// The network to the broker moves again.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        self.settle();
    }

    /// Lets everything flow until all is quiet.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1000 {
            self.shard.finish(self.now);
            let busy = self.drive();
            let outbox = self.shard.outbox();
            for (peer, bytes) in outbox.iter() {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.heard.entry(peer.addr.port()).or_default().push(hex);
            }
            outbox.clear();
            self.keep();
            if !busy {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// What has changed goes to the store.
    fn keep(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        let Records { records, upto, .. } = self.shard.take_records(self.now);
        for record in records {
            match record.session {
                Some(session) => kept.insert(record.id.into(), session.into()),
                None => kept.remove(&*record.id),
            };
        }
        self.shard.written(self.now, upto);
    }

    /// One step of the links' driver.
    fn drive(&mut self) -> bool {
        if self.paused {
            return false;
        }
        let mut called: BTreeSet<LinkId> = std::iter::from_fn(|| self.shard.take_touched_line()).collect();
        let waits = |conn: &u64| self.broker.has_output(*conn) || !self.broker.is_open(*conn);
        called.extend(self.conns.iter().filter(|(_, conn)| waits(conn)).map(|(id, _)| *id));
        let busy = called.into_iter().filter(|id| self.drive_line(*id)).count();
        busy > 0
    }

    fn drive_line(&mut self, id: LinkId) -> bool {
        let now = self.now;
        let Some(link) = self.shard.link_mut(id) else {
            // The link is no more.
            if let Some(conn) = self.conns.remove(&id) {
                self.broker.disconnect(conn);
            }
            return true;
        };
        match link.wish() {
            Wish::Nothing => {}
            Wish::Open { .. } => {
                link.opening(now);
                if self.broker.connect(self.next_conn) {
                    self.conns.insert(id, self.next_conn);
                    self.next_conn += 1;
                    link.opened(now);
                } else {
                    link.closed(now, Closed::Refused, "connection refused");
                }
                return true;
            }
            Wish::Close => {
                if let Some(conn) = self.conns.remove(&id) {
                    self.broker.disconnect(conn);
                }
                link.closed(now, Closed::Broken, "closed");
                return true;
            }
        }
        let Some(&conn) = self.conns.get(&id) else { return false };
        let out = link.pending().to_vec();
        link.written(out.len());
        self.subscribes += packet_types(&out).iter().filter(|&&first| first >> 4 == 8).count();
        self.broker.receive(conn, &out);
        let mut back = self.unread.remove(&id).unwrap_or_default();
        let fresh = self.broker.take_output(conn);
        let busy = !out.is_empty() || !fresh.is_empty();
        back.extend(fresh);
        let consumed = self.shard.link_bytes(now, id, &back);
        // What a link does not want to hear yet it is offered again.
        back.drain(..consumed);
        if !self.broker.is_open(conn) {
            self.conns.remove(&id);
            self.broker.disconnect(conn);
            if let Some(link) = self.shard.link_mut(id) {
                link.closed(now, Closed::Orderly, "closed by the broker");
            }
            return true;
        }
        if !back.is_empty() {
            self.unread.insert(id, back);
        }
        busy
    }
}

fn link(queue: QueueLimits) -> LinkSettings {
    LinkSettings {
        client_id: "tidegate-n-0".to_owned(),
        username: String::new(),
        password: Password::default(),
        keepalive_s: 600,
        max_inflight: 64,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 3600,
        scope: SessionScope::Process,
        queue,
    }
}

/// The first octet of each MQTT packet in a batch of whole ones.
fn packet_types(mut batch: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some((&first, rest)) = batch.split_first() {
        types.push(first);
        let octets = rest.iter().position(|octet| octet & 0x80 == 0).unwrap() + 1;
        let length = rest[..octets].iter().rev().fold(0, |sum, octet| sum << 7 | usize::from(octet & 0x7F));
        batch = &rest[octets + length..];
    }
    types
}

/// Text as hexadecimal digits.
pub(crate) fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
