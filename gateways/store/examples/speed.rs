//! How fast sessions are frozen, written, read and thawed:
//! `cargo run --release -p tidegate-store --example speed -- [SESSIONS] [FILE]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement tells, and stops at what is wrong")]

use bridge_core::bridge::{BridgeSettings, ListenerRules, Policy};
use bridge_core::gate::Gates;
use bridge_core::link::{LinkSettings, Password, QueueLimits, SessionScope, VersionChoice};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
use bridge_core::template::{Literals, Template};
use bridge_core::time::Now;
use codec_mqttsn::{Connect, Filter, Message, MsgId, Qos, Register, Subscribe, TopicId};
use mqttsn::{Mqttsn, MqttsnConfig};
use shard::{Shard, ShardSettings};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Change, Entry, FileStore, Home, SessionStore, Table, Verdict};

const NOW: Now = Now { mono_ms: 1, wall_ms: 1_700_000_000_000 };
const HOME: Home = Home { shard: 0, of: 1 };

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments.next().map_or(100_000, |text| text.parse().unwrap());
    let temporary = || std::env::temp_dir().join(format!("tidegate-speed-{}.redb", std::process::id()));
    let path = arguments.next().map_or_else(temporary, PathBuf::from);
    let mut devices = shard();
    (0..count).for_each(|number| connect(&mut devices, number));

    let begun = Instant::now();
    let mut lots = Vec::new();
    while !devices.is_written() {
        lots.push(devices.take_records(NOW).records);
    }
    tell("frozen", count, begun.elapsed());
    let octets: usize = lots.iter().flatten().filter_map(|record| Some(record.session.as_ref()?.len())).sum();
    println!("{} octets a session", octets / usize::try_from(count).unwrap().max(1));

    let mut store = FileStore::open(&path).unwrap().store;
    let begun = Instant::now();
    for lot in lots {
        let change = |record: shard::Record| Change::Session {
            gateway: "mqttsn",
            id: record.id,
            home: HOME,
            session: record.session,
        };
        store.write(&lot.into_iter().map(change).collect::<Vec<_>>()).unwrap();
    }
    tell("written", count, begun.elapsed());
    let one = Change::Session { gateway: "mqttsn", id: "dev-0".into(), home: HOME, session: Some([1; 100].into()) };
    let begun = Instant::now();
    for _ in 0..100 {
        store.write(std::slice::from_ref(&one)).unwrap();
    }
    println!("one commit of one session: {} µs", begun.elapsed().as_micros() / 100);
    drop(store);

    let begun = Instant::now();
    let mut store = FileStore::open(&path).unwrap().store;
    tell("checked", count, begun.elapsed());
    let begun = Instant::now();
    store.load(Table::Sessions, &mut |_| Verdict::Keep).unwrap();
    tell("read", count, begun.elapsed());
    let (mut next, mut back) = (shard(), 0);
    let begun = Instant::now();
    let thaw = &mut |entry: Entry<'_>| {
        if let Entry::Session { id, session, .. } = entry {
            back += u32::from(next.thaw(NOW, GatewayId(0), id, session).is_ok());
        }
        Verdict::Keep
    };
    store.load(Table::Sessions, thaw).unwrap();
    tell("read and thawed", back, begun.elapsed());
    std::fs::remove_file(path).unwrap();
}

fn tell(what: &str, count: u32, time: Duration) {
    println!("{what}: {count} sessions in {} ms, {:.0}/s", time.as_millis(), f64::from(count) / time.as_secs_f64());
}

/// A session with a subscription and two topics of its own.
fn connect(shard: &mut Shard, number: u32) {
    let [_, a, b, c] = number.to_be_bytes();
    let peer = Peer::plain(ListenerId(0), ([10, a, b, c], 1884).into(), None);
    let mut say = |message: &Message<'_>| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        shard.datagram(NOW, peer, Proven::default(), &bytes);
    };
    let client_id = &format!("dev-{number}");
    say(&Message::Connect(Connect { will: false, clean_session: false, protocol_id: 1, duration: 60, client_id }));
    let filter = &format!("dev/{number}/command");
    let msg_id = MsgId(1);
    let filter = Filter::Name(filter);
    say(&Message::Subscribe(Subscribe { dup: false, qos: Qos::AtLeastOnce, msg_id, filter }));
    for topic in ["state", "battery"] {
        let topic_name = &format!("dev/{number}/{topic}");
        say(&Message::Register(Register { topic_id: TopicId(0), msg_id, topic_name }));
    }
    shard.finish(NOW);
    shard.outbox().clear();
}

fn shard() -> Shard {
    let link = LinkSettings {
        client_id: "tidegate-n-0".to_owned(),
        username: String::new(),
        password: Password::default(),
        keepalive_s: 60,
        max_inflight: 1024,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 3600,
        scope: SessionScope::Process,
        queue: QueueLimits { max_bytes: 1 << 20, max_messages: 1000 },
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
        listeners: vec![GatewayId(0).into()],
        gates: Gates::default(),
        directory: Arc::default(),
        max_routes: 16,
        durable: true,
        seed: 1,
    };
    Shard::new(settings, vec![Box::new(Mqttsn::new(GatewayId(0), MqttsnConfig::default(), vec![ListenerId(0)], 1))])
}
