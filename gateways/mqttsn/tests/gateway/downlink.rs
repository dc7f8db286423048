//! Messages from the broker: topic ids, order, acknowledgement, repetition.

use crate::world::{Qos, Setup, World, hex};
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;
use support::broker::Message;

const NOTHING: [&str; 0] = [];

/// Connected, and subscribed to everything below `t/` at this QoS.
fn wildcard(qos: SnQos) -> World {
    let mut world = World::default();
    world.connect(1, "dev", false);
    assert_eq!(world.subscribe(1, "t/#", qos).len(), 1);
    world
}

fn register(id: &str, msg_id: &str, name: &str) -> String {
    format!("{:02x}0a{id}{msg_id}{}", 6 + name.len(), hex(name))
}

#[test]
fn a_name_the_client_has_subscribed_to_comes_under_its_id() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::ExactlyOnce);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000031"]);
    world.publish("t/a", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000132"]);
}

#[test]
fn the_qos_is_the_lesser_of_message_and_subscription_and_retain_passes() {
    let mut world = World::default();
    world.broker.publish(Message { retain: true, ..Message::new("t/a", "1", Qos::ExactlyOnce) });
    world.connect(1, "dev", true);
    world.connect(2, "two", true);
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtMostOnce)[1], "080c100401000031");
    assert_eq!(world.subscribe(2, "t/a", SnQos::AtLeastOnce)[1], "080c300401000131");
}

#[test]
fn an_unknown_name_is_registered_and_its_messages_wait_in_order() {
    let mut world = wildcard(SnQos::AtMostOnce);
    world.publish("t/a", "1", Qos::AtMostOnce);
    world.publish("t/b", "2", Qos::AtMostOnce);
    world.publish("t/a", "3", Qos::AtMostOnce);
    assert_eq!(world.hear(1), [register("0401", "0001", "t/a")], "one REGISTER at a time");
    assert_eq!(
        world.ask(1, "070b0401000100"),
        ["080c000401000031", "080c000401000033", register("0402", "0002", "t/b").as_str()]
    );
    world.publish("t/a", "4", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000034"], "a known topic waits for no other");
    assert_eq!(world.ask(1, "070b0402000200"), ["080c000402000032"]);
}

#[test]
fn a_regack_with_congestion_is_tried_again() {
    let mut world = wildcard(SnQos::AtMostOnce);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), [register("0401", "0001", "t/a")]);
    assert_eq!(world.ask(1, "070b0401000101"), NOTHING);
    world.wait_s(10);
    assert_eq!(world.hear(1), [register("0401", "0001", "t/a")]);
    assert_eq!(world.ask(1, "070b0401000100"), ["080c000401000031"]);
}

#[test]
fn a_regack_with_another_code_drops_that_topics_messages() {
    for code in ["02", "03", "77"] {
        let mut world = wildcard(SnQos::AtLeastOnce);
        world.publish("t/a", "1", Qos::AtMostOnce);
        world.publish("t/b", "2", Qos::AtMostOnce);
        world.publish("t/a", "3", Qos::AtLeastOnce);
        assert_eq!(world.hear(1).len(), 1);
        let answer = world.ask(1, &format!("070b04010001{code}"));
        assert_eq!(answer, [register("0402", "0002", "t/b")]);
        assert_eq!(world.fault("register_refused"), 2);
        assert_eq!(world.ask(1, "070b0402000200"), ["080c000402000032"], "the other topic goes on");
    }
}

#[test]
fn a_regack_that_answers_nothing_changes_nothing() {
    let mut world = wildcard(SnQos::AtMostOnce);
    assert_eq!(world.ask(1, "070b0401000100"), NOTHING);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1).len(), 1);
    assert_eq!(world.ask(1, "070b0401009900"), NOTHING, "another msg id");
    assert_eq!(world.fault("out_of_place"), 2);
}

#[test]
fn a_register_of_the_client_serves_the_messages_that_wait() {
    let mut world = wildcard(SnQos::AtMostOnce);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1).len(), 1);
    assert_eq!(world.ask(1, "090a00000009742f61"), ["070b0401000900", "080c000401000031"]);
}

#[test]
fn predefined_names_come_as_predefined_and_two_octets_as_short() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    assert_eq!(world.subscribe(1, "#", SnQos::AtMostOnce).len(), 1);
    world.publish("pre/seven", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c010007000031"]);
    world.publish("ab", "2", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c026162000032"]);
    assert_eq!(world.register(1, "ab"), 1025);
    world.publish("ab", "3", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000033"], "the client holds an id for it");
    world.publish("é", "4", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c02c3a9000034"], "two octets, not two letters");
}

#[test]
fn one_publication_of_qos_1_is_in_flight_at_a_time() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    world.publish("t/a", "2", Qos::AtLeastOnce);
    world.publish("t/a", "3", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c200401000131", "080c000401000033"], "QoS 0 does not wait");
    assert_eq!(world.ask(1, "070d0401000100"), ["080c200401000232"]);
    assert_eq!(world.ask(1, "070d0401000100"), NOTHING, "an old PUBACK");
    assert_eq!(world.ask(1, "070d0401000200"), NOTHING);
}

#[test]
fn a_publication_of_qos_2_takes_all_four_steps() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::ExactlyOnce);
    world.publish("t/a", "1", Qos::ExactlyOnce);
    world.publish("t/a", "2", Qos::ExactlyOnce);
    assert_eq!(world.hear(1), ["080c400401000131"]);
    assert_eq!(world.ask(1, "040e0001"), NOTHING, "PUBCOMP before PUBREC");
    assert_eq!(world.ask(1, "040f0001"), ["04100001"]);
    assert_eq!(world.ask(1, "040f0001"), ["04100001"], "PUBREL was lost");
    world.wait_s(10);
    assert_eq!(world.hear(1), ["04100001"], "it is repeated");
    assert_eq!(world.ask(1, "040e0001"), ["080c400401000232"]);
    assert_eq!(world.ask(1, "040f0099"), ["04100099"], "PUBREC of an exchange long forgotten");
}

#[test]
fn a_publication_without_an_answer_is_repeated_with_dup_then_the_client_is_lost() {
    let mut world = World::default();
    world.connect_with_will(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"]);
    for _ in 0..3 {
        world.wait_s(10);
        assert_eq!(world.hear(1), ["080ca00401000131"]);
    }
    assert_eq!(world.given(), NOTHING);
    world.wait_s(10);
    assert_eq!(world.hear(1), ["0218"]);
    assert_eq!((world.given(), world.sessions()), (vec!["w/dev gone 1".to_owned()], [0, 0, 0]));
}

#[test]
fn each_step_of_an_exchange_has_repetitions_of_its_own_and_so_has_each_connection() {
    let mut world = wildcard(SnQos::ExactlyOnce);
    world.register(1, "t/a");
    world.publish("t/a", "1", Qos::ExactlyOnce);
    world.wait_s(30);
    assert_eq!(world.hear(1).len(), 4);
    assert_eq!(world.ask(1, "040f0001"), ["04100001"]);
    assert_eq!(world.ask(1, "070d0401000103"), NOTHING, "PUBREC was the answer, and PUBACK comes too late");
    world.wait_s(30);
    assert_eq!(world.hear(1), ["04100001"; 3]);
    assert_eq!(world.try_connect(1, "dev", false), ["030500", "04100001"]);
    world.wait_s(30);
    assert_eq!(world.hear(1), ["04100001"; 3]);
    assert_eq!(world.ask(1, "040e0001"), NOTHING);
    assert_eq!(world.sessions(), [0, 1, 0]);
}

#[test]
fn a_late_answer_to_what_came_before_a_clean_connect_finds_nothing() {
    let mut world = wildcard(SnQos::AtLeastOnce);
    world.register(1, "t/a");
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"]);
    world.connect(1, "dev", true);
    world.register(1, "t/a");
    assert_eq!(world.subscribe(1, "t/#", SnQos::AtLeastOnce).len(), 1);
    world.publish("t/a", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000232"]);
    assert_eq!(world.ask(1, "070d0401000100"), NOTHING);
    world.wait_s(10);
    assert_eq!(world.hear(1), ["080ca00401000232"], "it is not acknowledged");
}

#[test]
fn a_register_without_an_answer_is_repeated_then_the_client_is_lost() {
    let mut world = wildcard(SnQos::AtMostOnce);
    world.publish("t/a", "1", Qos::AtMostOnce);
    world.wait_s(30);
    assert_eq!(world.hear(1), vec![register("0401", "0001", "t/a"); 4]);
    world.wait_s(10);
    assert_eq!((world.hear(1), world.sessions()), (vec!["0218".to_owned()], [0, 0, 1]));
}

#[test]
fn a_client_that_says_it_does_not_know_the_id_is_told_and_gets_the_message_again() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    world.publish("t/a", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"]);
    assert_eq!(world.ask(1, "070d0401000102"), [register("0401", "0002", "t/a")]);
    assert_eq!(world.ask(1, "070b0401000200"), ["080c200401000331"], "before what came later");
    // REGACK and what follows may have been mixed up on the way: it is told as often as it may be asked.
    for (refused, told, again) in [("0003", "0004", "0005"), ("0005", "0006", "0007")] {
        assert_eq!(world.ask(1, &format!("070d0401{refused}02")), [register("0401", told, "t/a")]);
        assert_eq!(world.ask(1, &format!("070b0401{told}00")), [format!("080c200401{again}31")]);
    }
    assert_eq!(world.ask(1, "070d0401000702"), ["080c200401000832"], "then it is given up");
    assert_eq!(world.fault("publish_refused"), 1);
}

#[test]
fn a_client_without_our_predefined_ids_gets_ids_of_its_own() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    assert_eq!(world.subscribe(1, "#", SnQos::AtLeastOnce).len(), 1);
    world.publish("pre/seven", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c210007000131"]);
    assert_eq!(world.ask(1, "070d0007000102"), [register("0401", "0002", "pre/seven")]);
    assert_eq!(world.ask(1, "070b0401000200"), ["080c200401000331"]);
    assert_eq!(world.ask(1, "070d0401000300"), NOTHING);
    world.publish("pre/seven", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000432"], "from then on");
}

#[test]
fn what_waits_behind_a_publication_whose_id_the_client_does_not_know_stays_behind_it() {
    let table = [("pre/seven", "080c210007000131", "070d0007000102"), ("ab", "080c226162000131", "070d6162000102")];
    for (topic, first, refusal) in table {
        let mut world = World::default();
        world.connect(1, "dev", true);
        assert_eq!(world.subscribe(1, "#", SnQos::AtLeastOnce).len(), 1);
        for payload in ["1", "2", "3"] {
            world.publish(topic, payload, Qos::AtLeastOnce);
        }
        assert_eq!(world.hear(1), [first]);
        assert_eq!(world.ask(1, refusal), [register("0401", "0002", topic)]);
        world.publish(topic, "4", Qos::AtLeastOnce);
        assert_eq!(world.hear(1), NOTHING, "it waits for the id too");
        assert_eq!(world.ask(1, "070b0401000200"), ["080c200401000331"]);
        assert_eq!(world.ask(1, "070d0401000300"), ["080c200401000432"]);
        assert_eq!(world.ask(1, "070d0401000400"), ["080c200401000533"]);
        assert_eq!(world.ask(1, "070d0401000500"), ["080c200401000634"]);
    }
}

#[test]
fn a_refused_publication_of_qos_0_makes_the_next_one_register() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtMostOnce);
    assert_eq!(world.ask(1, "070d0401000002"), NOTHING);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), [register("0401", "0001", "t/a")]);
}

#[test]
fn a_puback_with_congestion_waits_and_one_with_another_code_gives_up() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    world.publish("t/a", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"]);
    assert_eq!(world.ask(1, "070d0401000101"), NOTHING);
    world.wait_s(10);
    assert_eq!(world.hear(1), ["080ca00401000131"]);
    assert_eq!(world.ask(1, "070d0401000103"), ["080c200401000232"]);
    assert_eq!(world.fault("publish_refused"), 1);
}

#[test]
fn a_client_that_answers_congestion_again_and_again_is_lost_only_once_it_is_silent() {
    let mut world = wildcard(SnQos::AtLeastOnce);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    for _ in 0..5 {
        assert_eq!(world.hear(1), [register("0401", "0001", "t/a")]);
        assert_eq!(world.ask(1, "070b0401000101"), NOTHING);
        world.wait_s(10);
    }
    assert_eq!(world.ask(1, "070b0401000100"), ["080c200401000231"]);
    for _ in 0..5 {
        assert_eq!(world.ask(1, "070d0401000201"), NOTHING);
        world.wait_s(10);
        assert_eq!(world.hear(1), ["080ca00401000231"]);
    }
    world.wait_s(30);
    assert_eq!(world.hear(1), ["080ca00401000231", "080ca00401000231", "0218"], "two times more, and it is lost");
}

#[test]
fn a_topic_that_finds_no_room_in_the_registry_is_dropped_and_counted() {
    let config = MqttsnConfig { max_topics: 1, ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!(world.subscribe(1, "t/#", SnQos::AtMostOnce).len(), 1);
    world.publish("t/a", "1", Qos::AtMostOnce);
    world.publish("t/b", "2", Qos::AtMostOnce);
    assert_eq!(world.ask(1, "070b0401000100"), ["080c000401000031"]);
    assert_eq!(world.fault("no_topic_id"), 1);
}

#[test]
fn a_message_that_no_datagram_holds_is_dropped_and_counted() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    let fits = "x".repeat(65_507 - 9);
    world.publish("t/a", &fits, Qos::AtMostOnce);
    assert_eq!(world.hear(1).len(), 1);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        world.publish("t/a", &format!("{fits}x"), qos);
    }
    assert_eq!((world.hear(1), world.fault("too_large")), (vec![], 2));
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1).len(), 1, "nothing is stuck");
}

#[test]
fn a_topic_that_no_register_holds_is_dropped_and_counted() {
    let mut world = wildcard(SnQos::AtLeastOnce);
    world.publish(&format!("t/{}", "x".repeat(65_510)), "1", Qos::AtMostOnce);
    world.publish("t/a", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1).len(), 1, "the next topic is registered");
    assert_eq!(world.fault("too_large"), 1);
}

#[test]
fn each_overlapping_subscription_brings_its_own_copy() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtMostOnce);
    world.subscribe(1, "t/+", SnQos::AtMostOnce);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000031", "080c000401000031"]);
}
