//! ADVERTISE (MQTT-SN 1.2 §5.4.1). In virtual time; that a socket may broadcast is shown where the sockets are.

use crate::world::{Setup, World};
use bridge_core::peer::ListenerId;
use mqttsn::{Broadcast, MqttsnConfig};
use settings::HumanDuration;
use std::net::Ipv4Addr;

const NOTHING: [&str; 0] = [];

fn network(listener: u16, port: u16) -> Broadcast {
    let (from, to) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 255));
    Broadcast { listener: ListenerId(listener), from, to, port }
}

fn world(broadcast: bool, interval_s: u64) -> World {
    let advertise_interval = HumanDuration::from_secs(interval_s);
    let config = MqttsnConfig { gateway_id: 9, broadcast, advertise_interval, ..MqttsnConfig::default() };
    World::new(Setup { config, networks: vec![network(0, 1884), network(1, 2884)], ..Setup::default() })
}

#[test]
fn advertise_goes_to_each_network_at_the_start_and_each_interval() {
    let mut world = world(true, 900);
    world.wait(1);
    for port in [1884, 2884] {
        assert_eq!(world.hear(port), ["0500090384"]);
    }
    world.wait_s(899);
    assert_eq!(world.hear(1884), NOTHING);
    world.wait_s(1);
    assert_eq!((world.hear(1884), world.hear(2884)), (vec!["0500090384".to_owned()], vec!["0500090384".to_owned()]));
    assert_eq!(world.count("packets_total", &["downlink", "advertise"]), 4);
}

#[test]
fn the_longest_interval_is_told_as_it_is() {
    let mut world = world(true, 65_535);
    world.wait_s(131_069);
    assert_eq!(world.hear(1884), ["050009ffff", "050009ffff"]);
}

#[test]
fn nothing_is_advertised_unless_it_is_asked_for_nor_while_the_process_stops() {
    let mut silent = world(false, 1);
    silent.wait_s(10);
    assert_eq!(silent.hear(1884), NOTHING);
    let mut stopping = world(true, 1);
    stopping.wait(1);
    assert_eq!(stopping.hear(1884).len(), 1);
    stopping.drain();
    stopping.wait_s(10);
    assert_eq!(stopping.hear(1884), NOTHING);
}

#[test]
fn another_gateways_advertise_is_not_answered() {
    let mut world = World::default();
    for advertise in ["0500020384", "0500010384"] {
        assert_eq!(world.ask(1, advertise), NOTHING);
    }
}
