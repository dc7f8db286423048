//! `[gateways.mqttsn.predefined_for]`: predefined topics of single clients.

use crate::world::{Qos, Setup, World, hex};
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;

const NOTHING: [&str; 0] = [];

/// For everybody 1 is pre/one and 7 is pre/seven; for the lamp 1 is own/one, and 9 is own/nine.
fn world() -> World {
    let lamp = [(1, "own/one".to_owned()), (9, "own/nine".to_owned())].into();
    let config = Setup::default().config;
    let config = MqttsnConfig { predefined_for: [("lamp".to_owned(), lamp)].into(), ..config };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(1, "lamp", true);
    world.connect(2, "other", true);
    world
}

#[test]
fn a_publication_goes_by_the_clients_own_table_first() {
    let mut world = world();
    for (id, lamp, other) in [(1, "own/one x 0", "pre/one x 0"), (7, "pre/seven x 0", "pre/seven x 0")] {
        let publish = format!("080c0100{id:02x}000078");
        assert_eq!((world.ask(1, &publish), world.given()), (vec![], vec![lamp.to_owned()]));
        assert_eq!((world.ask(2, &publish), world.given()), (vec![], vec![other.to_owned()]));
    }
    assert_eq!((world.ask(1, "080c010009000078"), world.given()), (vec![], vec!["own/nine x 0".to_owned()]));
    assert_eq!(world.ask(2, "080c010009000078"), ["070d0009000002"], "another client does not know it");
    for (port, given) in [(1, "own/one x 0"), (2, "pre/one x 0"), (3, "pre/one x 0")] {
        assert_eq!((world.ask(port, "080c610001000078"), world.given()), (vec![], vec![given.to_owned()]), "QoS -1");
    }
}

#[test]
fn register_and_subscribe_tell_the_clients_own_id() {
    let mut world = world();
    assert_eq!((world.register(1, "own/nine"), world.register(2, "own/nine")), (9, 1025));
    assert_eq!(world.register(1, "pre/one"), 1025, "to the lamp 1 means something else");
    assert_eq!(world.subscribe(1, "own/one", SnQos::AtMostOnce), ["0813000001020200"]);
    assert_eq!(world.ask(1, "0712010003 0009".replace(' ', "").as_str()), ["0813000009000300"]);
    assert_eq!(world.ask(2, "07120100030009"), ["0813000009000302"]);
    assert_eq!(world.filters(), ["own/nine", "own/one"]);
    assert_eq!(world.ask(1, "07140100040009"), ["04150004"]);
    assert_eq!(world.filters(), ["own/one"]);
}

#[test]
fn a_message_goes_down_under_the_clients_own_id() {
    let mut world = world();
    for port in [1, 2] {
        assert_eq!(world.subscribe(port, "+/+", SnQos::AtMostOnce).len(), 1);
    }
    world.publish("own/nine", "x", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c010009000078"]);
    assert_eq!(world.hear(2), [format!("0e0a04010001{}", hex("own/nine"))]);
    world.publish("pre/one", "x", Qos::AtMostOnce);
    assert_eq!(world.hear(1), [format!("0d0a04010001{}", hex("pre/one"))], "to the lamp 1 means something else");
    assert_eq!(world.hear(2), ["080c010001000078"]);
}

#[test]
fn a_client_keeps_its_table_when_it_comes_back() {
    let mut world = world();
    world.connect(3, "lamp", false);
    assert_eq!(world.ask(3, "0218"), ["0218"]);
    world.connect(3, "lamp", false);
    assert_eq!((world.ask(3, "080c010009000078"), world.given()), (vec![], vec!["own/nine x 0".to_owned()]));
    assert_eq!(world.hear(2), NOTHING);
}

#[test]
fn what_goes_by_an_id_that_means_something_else_after_a_reload_goes_by_its_name() {
    let mut world = World::default();
    world.connect(1, "lamp", false);
    assert_eq!(world.ask(1, "07122100070007"), ["0813200007000700"]);
    world.publish("pre/seven", "1", Qos::AtLeastOnce);
    world.publish("pre/seven", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c210007000131"]);
    let lamp = [(8, "own/eight".to_owned())].into();
    let predefined = [(7, "other".to_owned())].into();
    let predefined_for = [("lamp".to_owned(), lamp)].into();
    world.reload(MqttsnConfig { predefined, predefined_for, ..MqttsnConfig::default() });
    assert_eq!(world.hear(1), [format!("0f0a04010002{}", hex("pre/seven"))]);
    assert_eq!(world.ask(1, "070d0007000100"), NOTHING, "what was in flight has come");
    assert_eq!(world.ask(1, "070b0401000200"), ["080c200401000332"]);
    assert_eq!((world.ask(1, "080c010008000078"), world.given()), (vec![], vec!["own/eight x 0".to_owned()]));
    assert_eq!(world.ask(1, &format!("0e140000 07{}", hex("pre/seven")).replace(' ', "")), ["04150007"]);
    assert_eq!(world.filters(), NOTHING, "the subscription is still found by its name");
}
