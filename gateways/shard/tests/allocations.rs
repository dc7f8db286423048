//! A publication of QoS 0 costs no allocation, from the datagram to the broker's write batch, with access rules or without.
#![allow(clippy::unwrap_used, reason = "a broken test bench must stop the test at its line")]

use bridge_core::acl::{Acl, AclRule, Actions, RuleTopic, Verdict, Who};
use bridge_core::bridge::{BridgeSettings, LinkId, ListenerRules, Policy};
use bridge_core::gate::{Gate, Gates};
use bridge_core::link::{LinkSettings, Password, QueueLimits, SessionScope, VersionChoice, Wish};
use bridge_core::owners::Directory;
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
use bridge_core::template::{Literals, Template};
use bridge_core::time::Now;
use codec_mqtt::{Connack, Packet, Properties, ReasonCode, Version};
use codec_mqttsn::{Connect, Message, MsgId, Publish, Qos, Register, Topic, TopicId};
use mqttsn::{Mqttsn, MqttsnConfig};
use shard::{Shard, ShardSettings};
use std::sync::Arc;

const NOW: Now = Now { mono_ms: 1, wall_ms: 1 };
const LINK: LinkId = LinkId::shared(0);
/// As many as one `recvmmsg` brings.
const BATCH: usize = 64;

fn online(policy: Policy) -> Shard {
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
        listeners: vec![ListenerRules::new(Template::parse("site/", Literals::TopicName).unwrap())],
        node: "n".into(),
        status: None,
        policy,
        seed: 1,
    };
    let settings = ShardSettings {
        id: ShardId(0),
        bridge,
        listeners: vec![GatewayId(0).into()],
        gates: Gates::new(vec![Gate::new(0, 0)]),
        directory: Arc::new(Directory::default()),
        max_routes: 16,
        durable: false,
        seed: 1,
    };
    let machine = Mqttsn::new(GatewayId(0), MqttsnConfig::default(), vec![ListenerId(0)], 1);
    let mut shard = Shard::new(settings, vec![Box::new(machine)]);
    let link = shard.link_mut(LINK).unwrap();
    assert_eq!(link.wish(), Wish::Open { target: 0 });
    link.opening(NOW);
    link.opened(NOW);
    let mut connack = Vec::new();
    let accepted = Connack { session_present: false, reason: ReasonCode::SUCCESS, properties: Properties::EMPTY };
    Packet::Connack(accepted).encode(Version::V5, &mut connack).unwrap();
    assert_eq!(shard.link_bytes(NOW, LINK, &connack), connack.len());
    shard.finish(NOW);
    shard.timer(NOW);
    carry(&mut shard);
    shard
}

/// What a driver does at the end of a turn. Returns the octets for the broker.
fn carry(shard: &mut Shard) -> usize {
    shard.finish(NOW);
    shard.outbox().clear();
    let link = shard.link_mut(LINK).unwrap();
    let octets = link.pending().len();
    link.written(octets);
    octets
}

fn peer(client: u16) -> Peer {
    Peer::plain(ListenerId(0), ([127, 0, 0, 1], client).into(), None)
}

fn bytes(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out).unwrap();
    out
}

fn connect(shard: &mut Shard, client: u16) {
    let id = format!("sensor-{client}");
    let hello = Connect { will: false, clean_session: true, protocol_id: 1, duration: 60, client_id: &id };
    shard.datagram(NOW, peer(client), Proven::default(), &bytes(&Message::Connect(hello)));
    let name = format!("sensors/{client}/temperature");
    let register = Register { topic_id: TopicId(0), msg_id: MsgId(1), topic_name: &name };
    shard.datagram(NOW, peer(client), Proven::default(), &bytes(&Message::Register(register)));
    carry(shard);
}

fn publish() -> Vec<u8> {
    bytes(&Message::Publish(Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: Topic::Normal(TopicId(1025)),
        msg_id: MsgId(0),
        payload: &[7; 64],
    }))
}

/// Rules of which the last but one lets the devices publish, and the cache to remember it.
fn rules() -> Policy {
    let rule = |permit, topic: &str| AclRule {
        permit,
        who: Who::All,
        actions: Actions::All,
        topics: vec![RuleTopic::parse(topic).unwrap()],
    };
    let mut rules: Vec<AclRule> = (0..20).map(|n| rule(Verdict::Deny, &format!("secret/{n}/#"))).collect();
    rules.push(rule(Verdict::Allow, "sensors/+/temperature"));
    rules.push(rule(Verdict::Deny, "%c/#"));
    Policy { acl: Arc::new(Acl { rules, no_match: Verdict::Deny, ..Acl::default() }), ..Policy::default() }
}

#[test]
fn a_publication_of_qos_0_allocates_nothing_on_its_way_to_the_broker() {
    for policy in [Policy::default(), rules()] {
        let mut shard = online(policy);
        for client in 1..=100 {
            connect(&mut shard, client);
        }
        let datagram = publish();
        let mut turn = |rounds: usize| {
            let mut octets = 0;
            for round in 0..rounds {
                for n in 0..BATCH {
                    let client = u16::try_from((round * BATCH + n) % 100 + 1).unwrap();
                    shard.datagram(NOW, peer(client), Proven::default(), &datagram);
                }
                octets += carry(&mut shard);
            }
            octets
        };
        turn(10);
        let mut octets = 0;
        let spent = allocation_counter::measure(|| octets = turn(1000));
        assert!(octets > 1000 * BATCH * 64, "{octets} octets: they did reach the broker");
        assert_eq!(spent.count_total, 0, "allocations in {} publications", 1000 * BATCH);
    }
}
