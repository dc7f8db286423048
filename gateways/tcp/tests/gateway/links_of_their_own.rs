//! `broker.mode = "per-device"`: each device has an MQTT connection of its own.

use crate::frames::{CONNACK, connect, data, refusal};
use crate::world::{Qos, Setup, World};
use bridge_core::auth::{Answer, AuthRules, ChainEntry, EntryKind, Opinion, StoreId};
use bridge_core::bridge::Policy;
use bridge_core::streams::Marks;
use codec_mqtt::ReasonCode;
use std::sync::Arc;
use support::broker::Crash;
use tcp_gateway::TcpConfig;

fn setup() -> Setup {
    let config = TcpConfig { uplink_qos: 1, downlink_qos: 1, max_inflight: 4, ..TcpConfig::default() };
    Setup { own_links: true, config, ..Setup::default() }
}

fn filters(world: &World, client: &str) -> Vec<String> {
    world.broker.filters(client).map(str::to_owned).collect()
}

#[test]
fn a_device_is_a_client_of_the_broker_under_its_own_client_id() {
    let mut world = World::new(&setup());
    world.connect(1, "dev");
    assert_eq!((filters(&world, "dev"), filters(&world, "tidegate-n-0").len()), (vec!["tcp/dev/dn".to_owned()], 0));
    world.say(1, "x");
    let given = world.broker.take_accepted();
    assert_eq!((given.len(), given[0].client.as_str(), given[0].topic.as_str()), (1, "dev", "tcp/dev/up"));
    world.publish("tcp/dev/dn", "on", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), "3000026f6e");
    world.ask(1, "60");
    assert_eq!((world.broker.has_session("dev"), world.states(), world.faults()), (false, [0; 4], 0));
    world.open(2);
    assert_eq!(world.send(2, &connect("dev", 37)), CONNACK);
    assert_eq!(world.broker.keep_alive("dev"), Some(37));
}

#[test]
#[rustfmt::skip]
fn the_brokers_refusal_is_connack_1() {
    for (code, text) in [
        (ReasonCode::NOT_AUTHORIZED,              "Authentication Failed"),
        (ReasonCode::BAD_USER_NAME_OR_PASSWORD,   "Authentication Failed"),
        (ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "Client Id Not Allowed"),
        (ReasonCode::BANNED,                      "Banned"),
    ] {
        let mut setup = setup();
        setup.options.refuse_clients.insert("dev".to_owned(), code);
        let mut world = World::new(&setup);
        world.open(1);
        assert_eq!(world.send(1, &connect("dev", 60)), refusal(text));
        assert!(world.is_closed(1));
        assert_eq!((world.fault("connect_refused"), world.states()), (1, [0; 4]));
        world.connect(2, "other");
    }
}

#[test]
fn while_the_broker_is_away_nobody_comes_in_and_who_is_in_stays() {
    let mut world = World::new(&setup());
    world.connect(1, "dev");
    world.broker_down();
    world.open(2);
    let at_once = world.send(2, &connect("other", 60));
    world.wait(30_000);
    assert_eq!((at_once + &world.hear(2), world.is_closed(2)), (refusal("Server Unavailable"), true));
    world.send(1, &(0..10).flat_map(|number| data(number.to_string().as_bytes())).collect::<Vec<_>>());
    assert_eq!(world.unread(1), 6 * 4);
    world.broker.set_up();
    world.wait(30_000);
    let given: Vec<_> = (0..10).map(|number| format!("tcp/dev/up {number} 1")).collect();
    assert_eq!((world.given(), world.unread(1), world.is_closed(1)), (given, 0, false));
    world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), "3000026f6e");
}

#[test]
fn a_broker_that_has_forgotten_everything_is_asked_again() {
    let mut world = World::new(&setup());
    world.connect(1, "dev");
    world.broker.crash(Crash { keep_sessions: false, keep_retained: false });
    world.settle();
    world.broker.set_up();
    world.wait(30_000);
    world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), "3000026f6e");
}

#[test]
fn who_is_taken_over_or_told_to_go_at_the_broker_is_closed() {
    for (reason, taken_over) in [(ReasonCode::SESSION_TAKEN_OVER, 1), (ReasonCode::ADMINISTRATIVE_ACTION, 0)] {
        let mut world = World::new(&setup());
        world.connect(1, "dev");
        world.broker.kick("dev", reason);
        world.settle();
        assert!(world.is_closed(1), "{reason}");
        assert_eq!((world.states(), world.fault("taken_over")), ([0; 4], taken_over));
        world.connect(2, "dev");
    }
}

#[test]
fn the_same_client_id_again_takes_the_connection_over() {
    let mut world = World::new(&setup());
    world.connect(1, "dev");
    world.connect(2, "dev");
    assert_eq!((world.is_closed(1), world.is_closed(2), world.fault("taken_over")), (true, false, 1));
    world.say(2, "x");
    assert_eq!(world.given(), ["tcp/dev/up x 1"]);
    world.publish("tcp/dev/dn", "on", Qos::AtLeastOnce);
    assert_eq!((world.hear(2).as_str(), world.states()), ("3000026f6e", [0, 0, 1, 0]));
}

#[test]
fn the_broker_keeps_its_copy_until_the_message_is_written() {
    let mut world = World::new(&Setup { marks: Marks { high: 0, low: 0 }, ..setup() });
    world.connect(1, "dev");
    world.devices.get_mut(&1).unwrap().stuck = true;
    for payload in ["a", "b", "c"] {
        world.publish("tcp/dev/dn", payload, Qos::AtLeastOnce);
    }
    assert_eq!(world.broker.undelivered("dev"), 2, "one is written");
    world.unstick(1);
    assert_eq!((world.hear(1).as_str(), world.broker.undelivered("dev")), ("300001613000016230000163", 0));
}

#[test]
fn who_is_refused_by_the_chain_gets_no_connection() {
    let entries = vec![ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) }];
    let policy = Policy { auth: Arc::new(AuthRules { entries, ..AuthRules::default() }), ..Policy::default() };
    let mut world = World::new(&Setup { policy, ..setup() });
    for (port, opinion, answer) in [
        (1, Opinion::Deny, refusal("Authentication Failed")),
        (2, Opinion::Allow { superuser: false }, CONNACK.to_owned()),
    ] {
        world.open(port);
        assert_eq!(world.send(port, &connect("dev", 60)), "");
        let question = world.shards[0].take_question().unwrap();
        world.shards[0].answer(world.now, Answer { id: question.id, opinion });
        world.settle();
        assert_eq!((world.hear(port), world.broker.has_session("dev")), (answer.clone(), answer == CONNACK));
    }
}

#[test]
fn a_device_whose_topics_cannot_be_leaves_no_connection_behind() {
    let mut world = World::new(&setup());
    world.open(1);
    assert_eq!(world.send(1, &connect("a/b", 60)), refusal("Client Id Not Allowed"));
    assert!(!world.broker.has_session("a/b"));
}
