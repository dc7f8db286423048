//! A client lives on one shard, whichever its connection comes to; messages find it there.

use crate::frames::{CONNACK, connect, data, hex};
use crate::world::{Qos, Setup, World};
use tcp_gateway::{CommandSubscription, FramingConfig, FramingKind, TcpConfig};

fn two() -> World {
    World::new(&Setup { shards: 2, ..Setup::default() })
}

#[test]
fn a_connection_goes_to_the_shard_where_its_client_lives_with_all_that_it_has_sent() {
    let mut world = two();
    world.open_at(0, 0, 1, None);
    assert_eq!(world.send(1, &connect("dev", 60)), CONNACK);
    world.open_at(1, 0, 2, None);
    assert_eq!(world.send(2, &[connect("dev", 60), data(b"x")].concat()), CONNACK);
    assert_eq!((world.shard_of(2), world.is_closed(1)), (0, true));
    assert_eq!((world.given(), world.fault("taken_over")), (vec!["tcp/dev/up x 0".to_owned()], 1));
    assert_eq!((world.states(), world.count("packets_total", &["connect"])), ([0, 0, 1, 0], 2));
    world.ask(2, "60");
    assert_eq!(world.gates.get(bridge_core::peer::ListenerId(0)).unwrap().sessions(), 0);
}

#[test]
fn who_has_left_may_live_elsewhere() {
    let mut world = two();
    for (shard, port) in [(0, 1), (1, 2), (0, 3)] {
        world.open_at(shard, 0, port, None);
        assert_eq!(world.send(port, &connect("dev", 60)), CONNACK);
        assert_eq!(world.shard_of(port), shard);
        world.ask(port, "60");
    }
}

#[test]
fn one_subscription_serves_the_devices_of_all_shards() {
    let mut world = World::new(&Setup { shards: 3, ..Setup::default() });
    assert_eq!(world.filters(), ["tcp/+/dn"]);
    for (shard, port) in [(0, 1), (1, 2), (2, 3)] {
        world.open_at(shard, 0, port, None);
        world.send(port, &connect(&format!("d{port}"), 60));
    }
    for port in 1..4 {
        world.publish(&format!("tcp/d{port}/dn"), &port.to_string(), Qos::AtMostOnce);
    }
    for port in 1..4 {
        assert_eq!(world.hear(port), hex(&data(port.to_string().as_bytes())));
    }
    world.publish("tcp/nobody/dn", "x", Qos::AtMostOnce);
    assert_eq!(world.dropped("not-connected"), 1);
}

#[test]
fn on_another_shard_too_a_message_must_be_on_the_devices_own_topic() {
    let mut world = World::new(&Setup { shards: 2, mountpoints: vec!["a/", "b/"], ..Setup::default() });
    world.open_at(1, 1, 1, None);
    world.send(1, &connect("d1", 60));
    world.publish("a/tcp/d1/dn", "no", Qos::AtMostOnce);
    assert_eq!((world.hear(1), world.dropped("not-connected")), (String::new(), 1));
    world.publish("b/tcp/d1/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), "3000026f6e");
}

#[test]
fn what_comes_for_a_device_of_another_shard_waits_there_while_it_takes_nothing() {
    let marks = bridge_core::streams::Marks { high: 0, low: 0 };
    let mut world = World::new(&Setup { shards: 2, marks, ..Setup::default() });
    world.open_at(1, 0, 1, None);
    world.send(1, &connect("dev", 60));
    world.devices.get_mut(&1).unwrap().stuck = true;
    for payload in ["a", "b", "c"] {
        world.publish("tcp/dev/dn", payload, Qos::AtMostOnce);
    }
    world.unstick(1);
    assert_eq!(world.hear(1), ["a", "b", "c"].map(|text| hex(&data(text.as_bytes()))).concat());
}

#[test]
fn per_device_each_subscribes_on_its_own_shard() {
    let config = TcpConfig { command_subscription: Some(CommandSubscription::PerDevice), ..TcpConfig::default() };
    let mut world = World::new(&Setup { shards: 2, config, ..Setup::default() });
    world.open_at(1, 0, 1, None);
    world.send(1, &connect("dev", 60));
    assert_eq!(world.broker.filters("tidegate-n-1").collect::<Vec<_>>(), ["tcp/dev/dn"]);
}

#[test]
fn devices_without_connect_go_where_their_client_id_lives_too() {
    for client_id in ["first-frame", "regex:^(d1)"] {
        let framing =
            FramingConfig { framing: FramingKind::Line, client_id: client_id.to_owned(), ..FramingConfig::default() };
        let mut world = World::new(&Setup { shards: 2, framings: vec![framing], ..Setup::default() });
        for (shard, port) in [(0, 1), (1, 2)] {
            world.open_at(shard, 0, port, None);
            world.send(port, b"d1\nx\n");
        }
        assert_eq!((world.shard_of(2), world.is_closed(1), world.states()), (0, true, [0, 0, 1, 0]));
        assert_eq!(world.given().iter().filter(|line| line.contains(" x ")).count(), 2);
    }
}
