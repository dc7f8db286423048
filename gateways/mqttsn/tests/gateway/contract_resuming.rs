//! `subs_resume` (MQTT-SN 1.2 §6.5): who resumes a session is told the topic ids of its subscriptions again.

use crate::world::{Qos, Setup, World, hex};
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;

const NOTHING: [&str; 0] = [];

/// `dev`, subscribed to t/a (1025), t/b (1026), ab, w/# and pre/one.
fn world() -> World {
    let config = MqttsnConfig { subs_resume: true, ..Setup::default().config };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(1, "dev", false);
    for filter in ["t/a", "t/b", "w/#", "pre/one"] {
        world.subscribe(1, filter, SnQos::AtLeastOnce);
    }
    assert_eq!(world.ask(1, "07122200096162"), ["0813200000000900"]);
    world
}

fn register(id: &str, msg_id: &str, name: &str) -> String {
    format!("{:02x}0a{id}{msg_id}{}", 6 + name.len(), hex(name))
}

#[test]
fn each_subscription_with_an_id_of_its_own_is_registered_again_one_after_the_other() {
    for goodbye in [Some("0218"), None] {
        let mut world = world();
        if let Some(goodbye) = goodbye {
            assert_eq!(world.ask(1, goodbye), ["0218"]);
        }
        assert_eq!(world.try_connect(1, "dev", false), ["030500", &register("0401", "0001", "t/a")]);
        assert_eq!(world.ask(1, "070b0401000100"), [register("0402", "0002", "t/b")]);
        assert_eq!(world.ask(1, "070b0402000200"), NOTHING, "no wildcard, no short name, no predefined one");
    }
}

#[test]
fn its_messages_wait_for_the_regack_and_those_of_others_do_not() {
    let mut world = world();
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    for (topic, payload) in [("t/b", "1"), ("ab", "2"), ("t/b", "3")] {
        world.publish(topic, payload, Qos::AtMostOnce);
    }
    assert_eq!(world.try_connect(1, "dev", false), ["030500", "080c026162000032", &register("0401", "0001", "t/a")]);
    assert_eq!(world.ask(1, "070b0401000100"), [register("0402", "0002", "t/b")]);
    assert_eq!(world.ask(1, "070b0402000200"), ["080c000402000031", "080c000402000033"]);
}

#[test]
fn what_was_in_flight_waits_for_the_regack_too_and_keeps_its_msg_id() {
    let mut world = world();
    world.publish("t/b", "1", Qos::AtLeastOnce);
    world.publish("t/b", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200402000131"]);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    assert_eq!(world.try_connect(1, "dev", false), ["030500", &register("0401", "0002", "t/a")]);
    world.wait_s(10);
    assert_eq!(world.hear(1), [register("0401", "0002", "t/a")], "only the REGISTER is repeated");
    assert_eq!(world.ask(1, "070b0401000200"), [register("0402", "0003", "t/b")]);
    assert_eq!(world.ask(1, "070b0402000300"), ["080ca00402000131"]);
    assert_eq!(world.ask(1, "070d0402000100"), ["080c200402000432"]);
}

#[test]
fn a_refused_topic_loses_what_waits_for_it_and_the_next_follows() {
    let mut world = world();
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1).len(), 1);
    world.publish("t/a", "2", Qos::AtMostOnce);
    assert_eq!(world.hear(1).len(), 1);
    assert_eq!(world.try_connect(1, "dev", false), ["030500", &register("0401", "0002", "t/a")]);
    world.publish("t/a", "3", Qos::AtMostOnce);
    assert_eq!(world.hear(1), NOTHING);
    assert_eq!(world.ask(1, "070b0401000202"), [register("0402", "0003", "t/b")]);
    assert_eq!(world.fault("register_refused"), 2, "in flight and held");
    assert_eq!(world.ask(1, "070b0402000300"), NOTHING);
}

#[test]
fn a_client_that_subscribes_again_by_itself_is_not_told_twice() {
    let mut world = world();
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    assert_eq!(world.try_connect(1, "dev", false).len(), 2);
    assert_eq!(world.subscribe(1, "t/b", SnQos::AtLeastOnce), ["0813200402020200"]);
    assert_eq!(world.ask(1, "070b0401000100"), NOTHING);
    world.publish("t/b", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000402000031"]);
}

#[test]
fn registers_without_an_answer_cost_the_client_its_connection_as_ever() {
    let mut world = world();
    assert_eq!(world.try_connect(1, "dev", false).len(), 2);
    world.wait_s(40);
    let mut heard = world.hear(1);
    assert_eq!((heard.pop(), heard.len(), world.sessions()), (Some("0218".to_owned()), 3, [0, 0, 1]));
    assert_eq!(world.try_connect(1, "dev", false), ["030500", &register("0401", "0002", "t/a")], "and begin anew");
}

#[test]
fn nothing_is_registered_for_a_new_session_nor_after_sleep_nor_when_it_is_off() {
    let mut world = world();
    assert_eq!(world.try_connect(1, "dev", true), ["030500"], "CleanSession");
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    assert_eq!(world.ask(1, "0418003c"), ["0218"]);
    assert_eq!(world.try_connect(1, "dev", false), ["030500"], "from asleep");
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    assert_eq!(world.try_connect(1, "dev", false), ["030500"], "off");
}

#[test]
fn what_a_client_is_still_to_be_told_when_it_falls_asleep_it_is_told_awake() {
    let mut world = world();
    assert_eq!(world.try_connect(1, "dev", false).len(), 2);
    assert_eq!(world.ask(1, "070b0401000100"), [register("0402", "0002", "t/b")]);
    assert_eq!(world.ask(1, "0418003c"), ["0218"]);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.ask(1, "0516646576"), [register("0402", "0003", "t/b")]);
    assert_eq!(world.ask(1, "070b0402000300"), ["080c000401000031", "0217"]);
}

#[test]
fn the_session_that_comes_from_elsewhere_is_told_there() {
    let mut world = world();
    assert_eq!(world.try_connect(2, "dev", false), ["030500", &register("0401", "0001", "t/a")]);
}

#[test]
fn the_last_word_of_a_will_dialogue_comes_again_when_connack_was_lost() {
    let mut world = World::default();
    world.connect_with_will(1, "dev", true);
    assert_eq!(world.ask(1, &format!("0609{}", hex("gone"))), ["030500"]);
    assert_eq!(world.ask(1, "0207"), ["030500"], "an empty WILLTOPIC");
    world.wait_s(91);
    assert_eq!(world.given(), ["w/dev gone 1"], "which changes nothing");
    world.connect(2, "other", true);
    assert_eq!(world.ask(2, &format!("0609{}", hex("gone"))), NOTHING, "without a dialogue there is none");
}
