//! Messages of devices.

use crate::frames::{connect, data};
use crate::world::{Qos, Setup, World};
use bridge_core::acl::{Acl, AclRule, Actions, RuleTopic, Verdict, Who};
use bridge_core::bridge::Policy;
use bridge_core::limit::SessionLimits;
use bridge_core::link::QueueLimits;
use bridge_core::listeners::{ListenerPolicy, Listeners};
use codec_mqtt::ReasonCode;
use std::sync::Arc;
use tcp_gateway::TcpConfig;

fn acknowledged(max_inflight: u16) -> TcpConfig {
    TcpConfig { uplink_qos: 1, max_inflight, ..TcpConfig::default() }
}

/// So many messages, "0" and up.
fn messages(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| data(number.to_string().as_bytes())).collect()
}

#[test]
fn each_message_goes_to_the_up_topic_whatever_it_holds() {
    let config = TcpConfig { up_topic: "t/%c/%u/%a/%n".to_owned(), ..TcpConfig::default() };
    let mut world = World::new(&Setup { config, mountpoints: vec!["m/%c/"], ..Setup::default() });
    world.open(1);
    world.ask(1, "1000083c00026431000175");
    for payload in [&b""[..], b"a", b"\x40\x50\x60", &[b'x'; 65_535]] {
        world.send(1, &data(payload));
        let given = world.broker.take_accepted();
        assert_eq!((given.len(), given[0].topic.as_str()), (1, "m/d1/t/d1/u/127.0.0.1/n"));
        assert_eq!(given[0].payload[..], payload[..]);
    }
    assert_eq!(world.count("packets_total", &["datatrans", "uplink"]), 4);
}

#[test]
fn the_flags_of_a_message_and_the_low_bits_of_ping_and_disconnect_are_ignored() {
    let mut world = World::default();
    world.connect(1, "dev");
    assert_eq!(world.ask(1, "3100017a 3200017a 3300017a 3f00017a 41 4f"), "5050");
    assert_eq!(world.given(), ["tcp/dev/up z 0"; 4]);
    world.ask(1, "6f");
    assert!(world.is_closed(1));
    assert_eq!(world.faults(), 0);
}

#[test]
fn uplink_qos_is_that_of_each_message() {
    for qos in 0..=2 {
        let mut world = World::with(TcpConfig { uplink_qos: qos, ..TcpConfig::default() });
        world.connect(1, "dev");
        world.say(1, "x");
        assert_eq!(world.given(), [format!("tcp/dev/up x {qos}")]);
    }
}

#[test]
fn a_device_is_read_no_faster_than_the_broker_acknowledges() {
    let mut world = World::with(acknowledged(3));
    world.connect(1, "dev");
    world.paused = true;
    world.send(1, &messages(10));
    assert_eq!(world.unread(1), 7 * 4, "three are on their way");
    assert_eq!(world.states(), [0, 0, 1, 1]);
    world.send(1, &data(b"a"));
    assert_eq!(world.unread(1), 8 * 4);
    world.resume();
    assert_eq!((world.unread(1), world.states(), world.given().len()), (0, [0, 0, 1, 0], 11));
    assert_eq!(world.faults(), 0);
}

#[test]
fn order_is_kept_and_nothing_is_lost_while_the_broker_is_away() {
    let mut world = World::with(acknowledged(4));
    world.connect(1, "dev");
    world.broker_down();
    world.send(1, &messages(10));
    assert_eq!((world.unread(1), world.given().len()), (6 * 4, 0));
    world.broker_up();
    let given: Vec<_> = (0..10).map(|number| format!("tcp/dev/up {number} 1")).collect();
    assert_eq!((world.unread(1), world.given()), (0, given));
}

#[test]
fn without_room_in_the_queue_a_device_waits_at_qos_1_and_loses_at_qos_0() {
    let queue = QueueLimits { max_bytes: 1 << 20, max_messages: 5 };
    let mut world = World::new(&Setup { config: acknowledged(100), queue, ..Setup::default() });
    world.connect(1, "dev");
    world.connect(2, "other");
    world.broker_down();
    world.send(1, &messages(8));
    world.send(2, &data(b"x"));
    assert_eq!((world.unread(1), world.unread(2), world.states()), (3 * 4, 4, [0, 0, 2, 2]));
    world.broker_up();
    assert_eq!((world.unread(1), world.unread(2), world.given().len()), (0, 0, 9));

    let mut world = World::new(&Setup { queue, ..Setup::default() });
    world.connect(1, "dev");
    world.broker_down();
    world.send(1, &messages(8));
    assert_eq!((world.unread(1), world.states()), (0, [0, 0, 1, 0]));
    world.broker_up();
    assert_eq!(world.given(), (3..8).map(|number| format!("tcp/dev/up {number} 0")).collect::<Vec<_>>());
}

/// tcp/dev/up is forbidden.
fn forbidding(disconnect: bool, config: TcpConfig) -> World {
    let topics = vec![RuleTopic::parse("tcp/dev/up").unwrap()];
    let rule = AclRule { permit: Verdict::Deny, who: Who::All, actions: Actions::Publish, topics };
    let policy = Policy { acl: Arc::new(Acl { rules: vec![rule], disconnect, ..Acl::default() }), ..Policy::default() };
    let mut world = World::new(&Setup { policy, config, ..Setup::default() });
    world.connect(1, "dev");
    world
}

#[test]
fn what_the_access_rules_forbid_is_dropped_and_counted() {
    for config in [TcpConfig::default(), acknowledged(1)] {
        let mut world = forbidding(false, config);
        world.send(1, &messages(3));
        assert_eq!((world.given(), world.fault("not_authorised"), world.unread(1)), (vec![], 3, 0));
        assert_eq!(world.states(), [0, 0, 1, 0]);
    }
}

#[test]
fn with_deny_action_disconnect_who_tries_is_closed() {
    let mut world = forbidding(true, TcpConfig::default());
    world.send(1, &messages(3));
    assert!(world.is_closed(1));
    assert_eq!((world.given(), world.fault("not_authorised"), world.states()), (vec![], 1, [0; 4]));
}

#[test]
fn what_the_broker_refuses_is_counted_and_the_next_goes_on() {
    let mut setup = Setup { config: acknowledged(1), ..Setup::default() };
    setup.options.refuse_publish.insert("tcp/dev/up".to_owned(), ReasonCode::NOT_AUTHORIZED);
    let mut world = World::new(&setup);
    world.connect(1, "dev");
    world.send(1, &messages(3));
    assert_eq!((world.fault("refused") + world.fault("not_authorised"), world.unread(1)), (3, 0));
    assert_eq!(world.states(), [0, 0, 1, 0]);
}

#[test]
fn over_a_limit_a_device_is_not_read_until_it_may_go_on() {
    let limits = SessionLimits::new(None, Some("2/10s".parse().unwrap()));
    let listeners = Listeners::new(vec![ListenerPolicy { limits, ..ListenerPolicy::default() }]);
    let policy = Policy { listeners: Arc::new(listeners), ..Policy::default() };
    for config in [TcpConfig::default(), acknowledged(10)] {
        let mut world = World::new(&Setup { policy: policy.clone(), config, ..Setup::default() });
        world.open(1);
        // Its silence is our doing.
        world.send(1, &connect("dev", 2));
        world.send(1, &messages(5));
        assert_eq!((world.given().len(), world.unread(1), world.states()), (2, 12, [0, 0, 1, 1]));
        world.wait(4999);
        assert_eq!((world.given().len(), world.unread(1)), (0, 12));
        world.wait(1);
        assert_eq!((world.given().len(), world.unread(1)), (1, 8));
        world.wait(10_000);
        assert_eq!((world.given().len(), world.unread(1), world.states()), (2, 0, [0, 0, 1, 0]));
        assert_eq!(world.faults(), 0);
    }
}

#[test]
fn limits_and_qos_that_are_read_anew_hold_for_what_follows() {
    let mut world = World::with(acknowledged(1));
    world.connect(1, "dev");
    world.paused = true;
    world.send(1, &messages(3));
    assert_eq!(world.unread(1), 8);
    world.reload(TcpConfig { uplink_qos: 2, max_inflight: 2, ..TcpConfig::default() });
    world.resume();
    assert_eq!(world.given(), ["tcp/dev/up 0 1", "tcp/dev/up 1 2", "tcp/dev/up 2 2"]);
    world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), "3000026f6e");
}
