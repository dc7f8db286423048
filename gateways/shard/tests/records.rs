//! Processes that crash, one after the other, over one store and one broker: no message that the broker may forget is
//! lost.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a broken test bench must stop the test at its line"
)]

use bridge_core::bridge::{BridgeSettings, LinkId, ListenerRules, Policy};
use bridge_core::gate::Gates;
use bridge_core::link::{Closed, LinkSettings, Password, QueueLimits, SessionScope, VersionChoice, Wish};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
use bridge_core::template::{Literals, Template};
use bridge_core::time::Now;
use codec_mqtt::Qos;
use mqttsn::{Mqttsn, MqttsnConfig};
use shard::{Record, Records, Shard, ShardSettings};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Change, Entry, Home, LinkMemory, MemoryStore, SessionStore, Table, Verdict, link_changes};
use support::broker::{Message, SimBroker};
use support::vectors::unhex;

const LINK: LinkId = LinkId::shared(0);
const LINK_ID: &str = "tidegate-n-0";
const SN: GatewayId = GatewayId(0);
const NOTHING: [&str; 0] = [];

/// What outlives a process.
#[derive(Default)]
struct Outside {
    broker: SimBroker,
    store: MemoryStore,
    next_conn: u64,
    wall_ms: u64,
}

/// A process, with one shard.
struct Process {
    shard: Shard,
    outside: Outside,
    conn: Option<u64>,
    now: Now,
    /// The store takes what there is to write, as soon as there is something.
    writes: bool,
    heard: BTreeMap<u16, Vec<String>>,
}

impl Process {
    fn start(mut outside: Outside) -> Self {
        let mut memory = LinkMemory::new([LINK_ID.to_owned()]);
        let read = &mut |entry: Entry<'_>| match entry {
            Entry::Link { name, value } => memory.read(name, value),
            Entry::Session { .. } => Verdict::SetAside,
        };
        assert_eq!(outside.store.load(Table::Links, read).unwrap().set_aside, 0);
        let now = Now { mono_ms: 1, wall_ms: outside.wall_ms };
        let mut shard = shard(memory.session(LINK_ID));
        let thaw = &mut |entry: Entry<'_>| match entry {
            Entry::Session { id, session, .. } => {
                shard.thaw(now, SN, id, session).unwrap();
                Verdict::Keep
            }
            Entry::Link { .. } => Verdict::SetAside,
        };
        outside.store.load(Table::Sessions, thaw).unwrap();
        assert_eq!(shard.recall(LINK, memory.take_filters(LINK_ID)), 0);
        let mut process = Self { shard, outside, conn: None, now, writes: true, heard: BTreeMap::new() };
        process.settle();
        process
    }

    /// It ends without a word, and another begins a second later.
    fn crash(mut self) -> Self {
        if let Some(conn) = self.conn {
            self.outside.broker.disconnect(conn);
        }
        self.outside.wall_ms += 1000;
        Self::start(self.outside)
    }

    /// A device says something; what it is told then.
    fn ask(&mut self, port: u16, hex: &str) -> Vec<String> {
        let peer = Peer::plain(ListenerId(0), ([127, 0, 0, 1], port).into(), None);
        self.shard.datagram(self.now, peer, Proven::default(), &unhex(hex));
        self.settle();
        self.heard.remove(&port).unwrap_or_default()
    }

    fn publish(&mut self, topic: &str, payload: &str, qos: Qos) {
        self.outside.broker.publish(Message::new(topic, payload, qos));
        self.settle();
    }

    /// What the broker keeps because we have not acknowledged it.
    fn unacknowledged(&self) -> usize {
        self.outside.broker.undelivered(LINK_ID)
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            self.shard.finish(self.now);
            let mut busy = self.drive();
            let outbox = self.shard.outbox();
            for (peer, bytes) in outbox.iter() {
                let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.heard.entry(peer.addr.port()).or_default().push(hex);
            }
            outbox.clear();
            if self.writes {
                busy |= self.write();
            }
            if !busy {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn write(&mut self) -> bool {
        let Records { records, links, upto } = self.shard.take_records(self.now);
        let home = Home { shard: 0, of: 1 };
        let change = |Record { id, session, .. }| Change::Session { gateway: "mqttsn", id, home, session };
        let mut changes: Vec<Change> = records.into_iter().map(change).collect();
        changes.extend(links.into_iter().flat_map(link_changes));
        self.outside.store.write(&changes).unwrap();
        self.shard.written(self.now, upto);
        !changes.is_empty()
    }

    fn drive(&mut self) -> bool {
        let (now, broker) = (self.now, &mut self.outside.broker);
        let link = self.shard.link_mut(LINK).unwrap();
        match link.wish() {
            Wish::Nothing => {}
            Wish::Open { .. } => {
                link.opening(now);
                self.outside.next_conn += 1;
                assert!(broker.connect(self.outside.next_conn));
                self.conn = Some(self.outside.next_conn);
                link.opened(now);
                return true;
            }
            Wish::Close => {
                broker.disconnect(self.conn.take().unwrap());
                link.closed(now, Closed::Broken, "closed");
                return true;
            }
        }
        let Some(conn) = self.conn else { return false };
        let out = link.pending().to_vec();
        link.written(out.len());
        broker.receive(conn, &out);
        let back = broker.take_output(conn);
        assert_eq!(self.shard.link_bytes(now, LINK, &back), back.len());
        !out.is_empty() || !back.is_empty()
    }
}

fn shard(session: Option<bridge_core::link::SessionRecord>) -> Shard {
    let link = LinkSettings {
        client_id: LINK_ID.to_owned(),
        username: String::new(),
        password: Password::default(),
        keepalive_s: 600,
        max_inflight: 64,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 3600,
        scope: SessionScope::Durable(session),
        queue: QueueLimits { max_bytes: 1 << 20, max_messages: 100 },
    };
    let bridge = BridgeSettings {
        links: vec![link],
        listeners: vec![ListenerRules::new(Template::parse("", Literals::TopicName).unwrap())],
        node: "n".into(),
        status: None,
        policy: Policy::default(),
        seed: 1,
    };
    let settings = ShardSettings {
        id: ShardId(0),
        bridge,
        listeners: vec![SN.into()],
        gates: Gates::default(),
        directory: Arc::default(),
        max_routes: 10,
        durable: true,
        seed: 1,
    };
    let config = MqttsnConfig { subs_resume: false, ..MqttsnConfig::default() };
    let machine = Mqttsn::new(SN, config, vec![ListenerId(0)], 1);
    Shard::new(settings, vec![Box::new(machine)])
}

/// `a` with CleanSession 0 has subscribed to t/a (1025) at QoS 2, and is gone; `b`, clean, to t/b at QoS 1, and is there.
fn two_devices() -> Process {
    let mut process = Process::start(Outside::default());
    assert_eq!(process.ask(1, "070400010e1061"), ["030500"]);
    assert_eq!(process.ask(1, "0812400001742f61"), ["081340040100 0100".replace(' ', "")]);
    assert_eq!(process.ask(1, "0218"), ["0218"]);
    assert_eq!(process.ask(2, "070404010e1062"), ["030500"]);
    assert_eq!(process.ask(2, "0812200002742f62").len(), 1);
    process
}

/// `a` comes back, and acknowledges what it is told as long as there is something.
fn all_for_a(process: &mut Process) -> Vec<String> {
    let mut payloads = Vec::new();
    let mut said = process.ask(1, "070400010e1061");
    while let Some(publish) = said.iter().find(|hex| &hex[2..4] == "0c") {
        payloads.push(String::from_utf8(unhex(&publish[14..])).unwrap());
        let msg_id = publish[10..14].to_owned();
        said = match &publish[4..6] {
            "20" | "a0" => process.ask(1, &format!("070d0401{msg_id}00")),
            _ => {
                assert_eq!(process.ask(1, &format!("040f{msg_id}")), [format!("0410{msg_id}")]);
                process.ask(1, &format!("040e{msg_id}"))
            }
        };
    }
    payloads
}

#[test]
fn what_was_not_written_when_it_crashed_the_broker_sends_again() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut process = two_devices();
        process.writes = false;
        process.publish("t/a", "1", qos);
        assert_eq!(process.unacknowledged(), 1, "it is held, and not written down");
        let mut process = process.crash();
        assert_eq!(process.unacknowledged(), 0, "{qos:?}");
        assert_eq!(all_for_a(&mut process), ["1"], "{qos:?}");
    }
}

#[test]
fn what_was_written_is_there_though_the_broker_has_forgotten_it() {
    let mut process = two_devices();
    process.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(process.unacknowledged(), 0);
    let mut process = process.crash();
    assert_eq!(all_for_a(&mut process), ["1"]);
    assert_eq!(all_for_a(&mut process.crash()), NOTHING);
}

#[test]
fn what_comes_after_it_over_the_same_link_waits_too_and_qos_0_does_not() {
    let mut process = two_devices();
    process.writes = false;
    process.publish("t/b", "1", Qos::AtLeastOnce);
    assert_eq!(process.unacknowledged(), 0, "nobody keeps it");
    process.publish("t/a", "2", Qos::AtLeastOnce);
    process.publish("t/b", "3", Qos::AtLeastOnce);
    process.publish("t/b", "4", Qos::AtMostOnce);
    assert_eq!(process.unacknowledged(), 2, "acknowledgements keep their order");
    assert_eq!(process.heard[&2].len(), 2, "1, and then what waits for no acknowledgement of the device: 4");
    process.writes = true;
    process.settle();
    assert_eq!(process.unacknowledged(), 0);
}

#[test]
fn acknowledgements_wait_for_the_lot_that_has_their_message() {
    let mut process = two_devices();
    process.writes = false;
    process.publish("t/a", "1", Qos::AtLeastOnce);
    let first = process.shard.take_records(process.now);
    process.publish("t/a", "2", Qos::AtLeastOnce);
    process.shard.written(process.now, first.upto);
    process.settle();
    assert_eq!((first.records.len(), process.unacknowledged()), (1, 1));
    let second = process.shard.take_records(process.now);
    assert!(!process.shard.is_written());
    process.shard.written(process.now, second.upto);
    process.settle();
    assert_eq!((process.unacknowledged(), process.shard.is_written()), (0, true));
}

#[test]
fn one_crash_after_the_other_loses_nothing() {
    let mut process = two_devices();
    for round in 0..20 {
        // Now and then nothing is written between two crashes.
        process.writes = round % 3 != 0;
        process.publish("t/a", &round.to_string(), Qos::AtLeastOnce);
        process = process.crash();
    }
    let mut heard: Vec<u32> = all_for_a(&mut process).iter().map(|payload| payload.parse().unwrap()).collect();
    heard.dedup();
    assert_eq!(heard, (0..20).collect::<Vec<_>>());
}
