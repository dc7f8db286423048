//! Messages for devices.

use crate::frames::{data, hex};
use crate::world::{Qos, Setup, World};
use bridge_core::acl::{Acl, AclRule, Actions, RuleTopic, Verdict, Who};
use bridge_core::bridge::Policy;
use bridge_core::streams::Marks;
use codec_mqtt::ReasonCode;
use settings::ByteSize;
use std::sync::Arc;
use support::broker::{Crash, Message};
use tcp_gateway::{CommandSubscription, TcpConfig};

fn each_its_own() -> TcpConfig {
    TcpConfig { command_subscription: Some(CommandSubscription::PerDevice), ..TcpConfig::default() }
}

/// A world of each kind of subscription.
fn both(config: &TcpConfig, mountpoint: &'static str) -> [World; 2] {
    [CommandSubscription::Template, CommandSubscription::PerDevice].map(|kind| {
        let config = TcpConfig { command_subscription: Some(kind), ..config.clone() };
        World::new(&Setup { config, mountpoints: vec![mountpoint], ..Setup::default() })
    })
}

#[test]
fn a_message_on_the_dn_topic_is_datatrans_for_its_device_alone() {
    for mut world in both(&TcpConfig::default(), "") {
        world.connect(1, "a");
        world.connect(2, "b");
        world.publish("tcp/a/dn", "on", Qos::ExactlyOnce);
        world.publish("tcp/b/dn", "", Qos::AtMostOnce);
        assert_eq!((world.hear(1), world.hear(2)), ("3000026f6e".to_owned(), "300000".to_owned()));
        assert_eq!(world.count("packets_total", &["datatrans", "downlink"]), 2);
    }
}

#[test]
fn by_default_one_subscription_serves_all_devices() {
    let mut world = World::default();
    assert_eq!(world.filters(), ["tcp/+/dn"]);
    for port in 1..20 {
        world.connect(port, &format!("d{port}"));
    }
    assert_eq!(world.filters(), ["tcp/+/dn"]);
}

#[test]
fn per_device_each_has_its_own_while_it_is_there() {
    let mut world = World::with(each_its_own());
    assert_eq!(world.filters(), [""; 0]);
    world.connect(1, "a");
    world.connect(2, "b");
    assert_eq!(world.filters(), ["tcp/a/dn", "tcp/b/dn"]);
    world.ask(1, "60");
    assert_eq!(world.filters(), ["tcp/b/dn"]);
}

#[test]
fn topics_with_mountpoints_and_other_values_find_their_device_and_no_other() {
    let config = TcpConfig { dn_topic: "dn/%u/x%c".to_owned(), ..TcpConfig::default() };
    for mut world in both(&config, "site/%a/") {
        world.open(1);
        world.ask(1, "1000083c00026431000175");
        for wrong in ["site/127.0.0.1/dn/v/xd1", "site/1.1.1.1/dn/u/xd1", "site/127.0.0.1/dn/u/d1"] {
            world.publish(wrong, "no", Qos::AtMostOnce);
        }
        world.publish("site/127.0.0.1/dn/u/xd1", "on", Qos::AtMostOnce);
        assert_eq!(world.hear(1), "3000026f6e");
    }
    assert_eq!(both(&config, "site/%a/")[0].filters(), ["site/+/dn/+/+"]);
}

#[test]
fn listeners_with_mountpoints_of_their_own_do_not_hear_each_others_messages() {
    let mut world = World::new(&Setup { mountpoints: vec!["a/", "b/"], ..Setup::default() });
    assert_eq!(world.filters(), ["a/tcp/+/dn", "b/tcp/+/dn"]);
    world.connect(1, "d1");
    world.open_at(0, 1, 2, None);
    world.send(2, &crate::frames::connect("d2", 60));
    for topic in ["a/tcp/d2/dn", "b/tcp/d1/dn"] {
        world.publish(topic, "no", Qos::AtMostOnce);
    }
    assert_eq!((world.hear(1), world.hear(2), world.dropped("not-connected")), (String::new(), String::new(), 2));
    world.publish("a/tcp/d1/dn", "1", Qos::AtMostOnce);
    world.publish("b/tcp/d2/dn", "2", Qos::AtMostOnce);
    assert_eq!((world.hear(1), world.hear(2)), ("30000131".to_owned(), "30000132".to_owned()));
}

#[test]
fn a_topic_that_does_not_show_its_device_is_subscribed_device_by_device() {
    let mut world = World::with(TcpConfig { dn_topic: "all/dn".to_owned(), ..TcpConfig::default() });
    world.connect(1, "a");
    world.connect(2, "b");
    world.publish("all/dn", "on", Qos::AtMostOnce);
    assert_eq!((world.hear(1), world.hear(2)), ("3000026f6e".to_owned(), "3000026f6e".to_owned()));
}

#[test]
fn a_retained_message_comes_with_a_subscription_of_its_own_and_not_with_the_one_for_all() {
    let [mut all, mut own] = both(&TcpConfig::default(), "");
    for world in [&mut all, &mut own] {
        world.broker.publish(Message::new("tcp/dev/dn", "on", Qos::AtMostOnce).retained());
        world.open(1);
    }
    let connect = crate::frames::connect("dev", 60);
    assert_eq!(all.send(1, &connect), crate::frames::CONNACK);
    assert_eq!(own.send(1, &connect), [crate::frames::CONNACK, "3000026f6e"].concat());
}

#[test]
fn a_message_of_65535_octets_fits_and_a_longer_one_is_dropped_and_counted() {
    for mut world in both(&TcpConfig { downlink_qos: 1, ..TcpConfig::default() }, "") {
        world.connect(1, "dev");
        world.publish("tcp/dev/dn", &"x".repeat(65_536), Qos::AtLeastOnce);
        assert_eq!((world.hear(1), world.fault("too_large")), (String::new(), 1));
        world.publish("tcp/dev/dn", &"x".repeat(65_535), Qos::AtLeastOnce);
        assert_eq!(world.hear(1), hex(&data(&[b'x'; 65_535])));
    }
}

#[test]
fn downlink_qos_is_what_the_subscription_asks_for() {
    for (qos, kept) in [(0, 0), (1, 1), (2, 1)] {
        for mut world in both(&TcpConfig { downlink_qos: qos, ..TcpConfig::default() }, "") {
            world.connect(1, "dev");
            // While the links are away, the broker keeps for their sessions what it would not at QoS 0.
            world.broker_down();
            world.publish("tcp/dev/dn", "on", Qos::ExactlyOnce);
            assert_eq!(world.broker.undelivered("tidegate-n-0"), kept, "QoS {qos}");
            world.broker_up();
            assert_eq!(world.hear(1), "3000026f6e".repeat(kept), "QoS {qos}");
        }
    }
}

#[test]
fn while_a_device_takes_nothing_its_messages_wait_in_order() {
    let marks = Marks { high: 8, low: 4 };
    for kind in [CommandSubscription::Template, CommandSubscription::PerDevice] {
        let config = TcpConfig { command_subscription: Some(kind), ..TcpConfig::default() };
        let mut world = World::new(&Setup { marks, config, ..Setup::default() });
        world.connect(1, "dev");
        world.devices.get_mut(&1).unwrap().stuck = true;
        for number in 0..30 {
            world.publish("tcp/dev/dn", &format!("{number:02}"), Qos::AtMostOnce);
        }
        assert_eq!(world.hear(1), "");
        world.unstick(1);
        let expected: String = (0..30).map(|number| hex(&data(format!("{number:02}").as_bytes()))).collect();
        assert_eq!(world.hear(1), expected);
        world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
        assert_eq!(world.hear(1), "3000026f6e");
    }
}

#[test]
fn what_waits_has_its_bounds_and_qos_0_goes_first() {
    let config = TcpConfig { downlink_queue: 3, downlink_qos: 1, ..TcpConfig::default() };
    let mut world = World::new(&Setup { marks: Marks { high: 0, low: 0 }, config, ..Setup::default() });
    world.connect(1, "dev");
    world.devices.get_mut(&1).unwrap().stuck = true;
    let (zero, one) = (Qos::AtMostOnce, Qos::AtLeastOnce);
    for (payload, qos) in [("x", one), ("a", one), ("b", zero), ("c", one), ("d", one), ("e", one), ("f", zero)] {
        world.publish("tcp/dev/dn", payload, qos);
    }
    assert_eq!((world.dropped("drop-oldest-qos0"), world.dropped("drop-oldest")), (2, 1));
    world.unstick(1);
    assert_eq!(world.hear(1), ["x", "c", "d", "e"].map(|text| hex(&data(text.as_bytes()))).concat());

    let config = TcpConfig { downlink_queue_bytes: ByteSize::from_kb(1), ..TcpConfig::default() };
    let mut world = World::new(&Setup { marks: Marks { high: 0, low: 0 }, config, ..Setup::default() });
    world.connect(1, "dev");
    world.devices.get_mut(&1).unwrap().stuck = true;
    for _ in 0..4 {
        world.publish("tcp/dev/dn", &"x".repeat(400), zero);
    }
    assert_eq!(world.dropped("drop-oldest-qos0"), 1, "one is on its way, two wait");
}

#[test]
fn what_waited_too_long_or_for_who_has_left_is_dropped_and_counted() {
    let mut world = World::new(&Setup { marks: Marks { high: 0, low: 0 }, ..Setup::default() });
    world.connect(1, "dev");
    world.devices.get_mut(&1).unwrap().stuck = true;
    world.publish("tcp/dev/dn", "a", Qos::AtMostOnce);
    let mut brief = Message::new("tcp/dev/dn", "b", Qos::AtMostOnce);
    brief.properties.message_expiry_interval = Some(2);
    world.broker.publish(brief);
    world.publish("tcp/dev/dn", "c", Qos::AtMostOnce);
    world.wait(2000);
    world.unstick(1);
    assert_eq!((world.hear(1), world.dropped("expired")), ("3000016130000163".to_owned(), 1));
    world.devices.get_mut(&1).unwrap().stuck = true;
    for _ in 0..3 {
        world.publish("tcp/dev/dn", "d", Qos::AtMostOnce);
    }
    world.cut(1, bridge_core::streams::CloseReason::Peer);
    assert_eq!(world.dropped("session-ended"), 2);
}

#[test]
fn a_device_that_connects_while_the_broker_is_away_is_subscribed_when_it_is_back() {
    for kind in [CommandSubscription::Template, CommandSubscription::PerDevice] {
        let config = TcpConfig { command_subscription: Some(kind), ..TcpConfig::default() };
        let mut world = World::new(&Setup { alone: true, config, ..Setup::default() });
        world.connect(1, "dev");
        world.broker_up();
        world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
        assert_eq!((world.hear(1), world.faults()), ("3000026f6e".to_owned(), 0));
    }
}

#[test]
fn subscriptions_come_back_with_the_broker() {
    for mut world in both(&TcpConfig::default(), "") {
        world.connect(1, "dev");
        world.broker.crash(Crash { keep_sessions: false, keep_retained: false });
        world.settle();
        world.broker_up();
        world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
        assert_eq!(world.hear(1), "3000026f6e");
    }
}

#[test]
fn a_subscription_that_the_broker_refuses_is_counted_and_the_device_may_still_publish() {
    for kind in [CommandSubscription::Template, CommandSubscription::PerDevice] {
        let config = TcpConfig { command_subscription: Some(kind), ..TcpConfig::default() };
        let mut setup = Setup { config, ..Setup::default() };
        for filter in ["tcp/+/dn", "tcp/dev/dn"] {
            setup.options.refuse_subscribe.insert(filter.to_owned(), ReasonCode::NOT_AUTHORIZED);
        }
        let mut world = World::new(&setup);
        world.connect(1, "dev");
        world.say(1, "x");
        assert_eq!(world.given(), ["tcp/dev/up x 0"]);
        assert_eq!(world.fault("refused") + world.fault("not_authorised"), 1);
    }
}

#[test]
fn who_may_not_subscribe_to_its_topic_gets_nothing_from_it_whoever_is_subscribed() {
    for disconnect in [false, true] {
        for kind in [CommandSubscription::Template, CommandSubscription::PerDevice] {
            let topics = vec![RuleTopic::parse("tcp/dev/dn").unwrap()];
            let rule = AclRule { permit: Verdict::Deny, who: Who::All, actions: Actions::Subscribe, topics };
            let acl = Acl { rules: vec![rule], disconnect, ..Acl::default() };
            let policy = Policy { acl: Arc::new(acl), ..Policy::default() };
            let config = TcpConfig { command_subscription: Some(kind), ..TcpConfig::default() };
            let mut world = World::new(&Setup { policy, config, ..Setup::default() });
            world.connect(1, "dev");
            assert_eq!((world.is_closed(1), world.fault("not_authorised")), (disconnect, 1));
            world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
            assert_eq!(world.hear(1), "");
            world.connect(2, "other");
            world.publish("tcp/other/dn", "on", Qos::AtMostOnce);
            assert_eq!(world.hear(2), "3000026f6e");
        }
    }
}
