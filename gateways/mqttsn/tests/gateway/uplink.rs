//! REGISTER and PUBLISH from devices.

use crate::world::{Setup, World, hex};
use bridge_core::link::QueueLimits;
use codec_mqtt::ReasonCode;
use mqttsn::MqttsnConfig;
use support::broker::Options;

const NOTHING: [&str; 0] = [];

fn connected() -> World {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world
}

/// A broker that acknowledges only when told to.
fn slow_broker() -> World {
    let options = Options { hold_acks: true, ..Options::default() };
    let mut world = World::new(Setup { options, ..Setup::default() });
    world.connect(1, "dev", false);
    world
}

impl World {
    fn release(&mut self) -> Vec<String> {
        self.broker.release_acks();
        self.settle();
        // QoS 2 takes two rounds.
        self.broker.release_acks();
        self.settle();
        self.hear(1)
    }
}

#[test]
#[rustfmt::skip]
fn register_answers_each_name_as_it_deserves() {
    let mut world = connected();
    let table = [
        ("a new name",                 "090a00000001612f62",         "070b0401000100"),
        ("the same name again",        "090a00000002612f62",         "070b0401000200"),
        ("another name",               "090a00000003612f63",         "070b0402000300"),
        ("a predefined name",          "0d0a000000047072652f6f6e65", "070b0001000400"),
        ("a wildcard",                 "090a00000005612f2b",         "070b0000000503"),
        ("a name MQTT cannot carry",   "090a00000006610062",         "070b0000000603"),
        ("two octets",                 "080a000000076162",           "070b0403000700"),
        ("with an id, which is ours",  "090a12340008612f62",         "070b0401000800"),
    ];
    for (name, register, regack) in table {
        assert_eq!(world.ask(1, register), [regack], "{name}");
    }
}

#[test]
fn a_full_table_refuses_new_names_with_3() {
    let config = MqttsnConfig { max_topics: 2, ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!((world.register(1, "a/1"), world.register(1, "a/2")), (1025, 1026));
    assert_eq!(world.ask(1, &format!("090a00000009{}", hex("a/3"))), ["070b0000000903"]);
    assert_eq!(world.register(1, "a/2"), 1026, "a known one is still answered");
    assert_eq!(world.fault("registry_full"), 1);
}

#[test]
#[rustfmt::skip]
fn publish_at_qos_0_finds_its_topic_by_each_type() {
    let mut world = connected();
    assert_eq!(world.register(1, "dyn/a"), 1025);
    let table = [
        ("dynamic by type 0",              "080c000401000031", "dyn/a 1 0"),
        ("dynamic by type 1",              "080c010401000031", "dyn/a 1 0"),
        ("predefined by type 1",           "080c010007000032", "pre/seven 2 0"),
        ("predefined by type 0",           "080c000007000032", "pre/seven 2 0"),
        ("short",                          "080c026162000033", "ab 3 0"),
        ("retained",                       "080c100401000034", "dyn/a 4 0 retained"),
    ];
    for (name, publish, given) in table {
        assert_eq!(world.ask(1, publish), NOTHING, "{name}");
        assert_eq!(world.given(), [given], "{name}");
    }
}

#[test]
#[rustfmt::skip]
fn publish_that_cannot_be_is_answered_at_every_qos_but_minus_one() {
    let mut world = connected();
    let table = [
        ("unknown id, QoS 0",         "080c000999000031", Some("070d0999000002")),
        ("unknown id, QoS 1",         "080c200999000531", Some("070d0999000502")),
        ("unknown id, QoS 2",         "080c400999000531", Some("070d0999000502")),
        ("unknown predefined",        "080c210099000531", Some("070d0099000502")),
        ("id 0",                      "080c200000000531", Some("070d0000000502")),
        ("id 0xFFFF",                 "080c20ffff000531", Some("070dffff000502")),
        ("short with +, QoS 0",       "080c02612b000031", Some("070d612b000003")),
        ("short with #, QoS 1",       "080c222361000531", Some("070d2361000503")),
        ("short, QoS 2, no UTF-8",    "080c42ffff000531", Some("070dffff000503")),
        ("short that MQTT refuses",   "080c226100000531", Some("070d6100000503")),
        ("reserved type",             "080c230401000531", Some("070d0401000503")),
        ("QoS -1, unknown id",        "080c610099000031", None),
        ("QoS -1, short with +",      "080c62612b000031", None),
        ("QoS -1, reserved type",     "080c630401000031", None),
        ("QoS -1, name with +",       "0a0c600003000061 2f2b", None),
    ];
    for (name, publish, expected) in table {
        assert_eq!(world.ask(1, &publish.replace(' ', "")), expected.into_iter().collect::<Vec<_>>(), "{name}");
        assert_eq!(world.given(), NOTHING, "{name}");
    }
}

#[test]
fn publish_at_qos_1_is_answered_once_the_broker_has_it() {
    let mut world = slow_broker();
    assert_eq!(world.register(1, "t/a"), 1025);
    assert_eq!(world.ask(1, "080c200401000531"), NOTHING);
    assert_eq!(world.given(), ["t/a 1 1"]);
    assert_eq!(world.release(), ["070d0401000500"]);
}

#[test]
fn publish_at_qos_2_is_pubrec_once_the_broker_has_it_then_pubrel_pubcomp() {
    let mut world = slow_broker();
    assert_eq!(world.register(1, "t/a"), 1025);
    assert_eq!(world.ask(1, "080c400401000531"), NOTHING);
    assert_eq!(world.ask(1, "04100005"), NOTHING, "PUBREL before PUBREC says nothing");
    assert_eq!(world.release(), ["040f0005"]);
    assert_eq!(world.given(), ["t/a 1 2"]);
    assert_eq!(world.ask(1, "080cc00401000531"), ["040f0005"], "PUBREC was lost");
    assert_eq!(world.ask(1, "080c400401000531"), ["040f0005"], "DUP or not");
    assert_eq!(world.ask(1, "04100005"), ["040e0005"]);
    assert_eq!(world.ask(1, "04100005"), ["040e0005"], "PUBCOMP was lost");
    assert_eq!(world.given(), NOTHING);
}

#[test]
fn dup_of_an_owed_publication_is_not_published_twice_and_answered_when_it_is_settled() {
    let mut world = slow_broker();
    assert_eq!(world.register(1, "t/a"), 1025);
    assert_eq!(world.ask(1, "080c200401000531"), NOTHING);
    assert_eq!(world.ask(1, "080ca00401000531"), NOTHING);
    assert_eq!(world.ask(1, "080ca00401000531"), NOTHING);
    assert_eq!(world.release(), ["070d0401000500"]);
    assert_eq!(world.given(), ["t/a 1 1"]);
}

#[test]
fn dup_of_a_finished_publication_is_answered_at_once_and_not_published() {
    let mut world = connected();
    assert_eq!(world.register(1, "t/a"), 1025);
    assert_eq!(world.ask(1, "080c200401000531"), ["070d0401000500"]);
    assert_eq!(world.ask(1, "080ca00401000531"), ["070d0401000500"]);
    assert_eq!(world.given(), ["t/a 1 1"]);
    assert_eq!(world.ask(1, "080c200401000531"), ["070d0401000500"], "without DUP it is a new one");
    assert_eq!(world.given(), ["t/a 1 1"]);
    assert_eq!(world.ask(1, "080ca00401000631"), ["070d0401000600"], "DUP of one that never arrived is new");
    assert_eq!(world.ask(1, "080ca00401000532"), ["070d0401000500"], "another payload under an old id is new");
    assert_eq!(world.given(), ["t/a 1 1", "t/a 2 1"]);
}

#[test]
fn what_was_settled_while_the_device_was_away_is_answered_at_its_dup() {
    let mut world = slow_broker();
    assert_eq!(world.register(1, "t/a"), 1025);
    assert_eq!(world.ask(1, "080c200401000531"), NOTHING);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    assert_eq!(world.release(), NOTHING);
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "080ca00401000531"), ["070d0401000500"]);
    assert_eq!(world.given(), ["t/a 1 1"]);
}

#[test]
fn a_full_broker_queue_is_congestion_at_qos_1_and_2_and_silent_at_qos_0() {
    let queue = QueueLimits { max_bytes: 1 << 20, max_messages: 1 };
    let mut world = World::new(Setup { queue, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!(world.register(1, "t/a"), 1025);
    world.broker_down();
    assert_eq!(world.ask(1, "080c200401000531"), NOTHING, "held for the broker");
    assert_eq!(world.ask(1, "080c200401000631"), ["070d0401000601"]);
    assert_eq!(world.ask(1, "080c400401000731"), ["070d0401000701"]);
    assert_eq!(world.ask(1, "080c000401000031"), NOTHING);
    assert_eq!(world.fault("congested"), 3);
    world.broker.set_up();
    world.wait_s(40);
    assert_eq!(world.hear(1), ["070d0401000500"]);
    assert_eq!(world.ask(1, "080ca00401000631"), ["070d0401000600"], "a repetition is a new attempt");
    assert_eq!(world.given(), ["t/a 1 1", "t/a 1 1"]);
}

#[test]
fn too_many_unanswered_publications_of_one_device_are_congestion() {
    let mut world = slow_broker();
    assert_eq!(world.register(1, "t/a"), 1025);
    for n in 1..=16 {
        assert_eq!(world.ask(1, &format!("080c20040100{n:02x}31")), NOTHING);
    }
    assert_eq!(world.ask(1, "080c200401001131"), ["070d0401001101"]);
    assert_eq!(world.release().len(), 16);
}

#[test]
fn a_publication_of_qos_2_whose_pubrel_never_comes_gives_way_to_later_ones() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    assert_eq!(world.register(1, "t/a"), 1025);
    for n in 1..=17 {
        assert_eq!(world.ask(1, &format!("080c40040100{n:02x}31")), [format!("040f00{n:02x}")]);
    }
    assert_eq!((world.fault("pubrel_missing"), world.fault("too_many_owed"), world.given().len()), (1, 0, 17));
    assert_eq!(world.ask(1, "080cc00401000131"), ["040f0001"]);
    assert_eq!(world.given(), ["t/a 1 2"], "the first is forgotten, so it is published again");
    assert_eq!((world.ask(1, "080cc00401001131"), world.given()), (vec!["040f0011".to_owned()], vec![]));
}

#[test]
fn what_the_broker_refuses_is_3() {
    let mut options = Options::default();
    options.refuse_publish.insert("no/no".to_owned(), ReasonCode::NOT_AUTHORIZED);
    let mut world = World::new(Setup { options, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!(world.register(1, "no/no"), 1025);
    assert_eq!(world.ask(1, "080c200401000531"), ["070d0401000503"]);
    assert_eq!(world.ask(1, "080c400401000631"), ["070d0401000603"]);
    assert_eq!(world.fault("refused"), 2);
}

#[test]
fn what_is_larger_than_the_broker_takes_is_3() {
    let options = Options { maximum_packet_size: Some(100), ..Options::default() };
    let mut world = World::new(Setup { options, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!(world.register(1, "t/a"), 1025);
    let long = "31".repeat(120);
    assert_eq!(world.ask(1, &format!("7f0c2004010005{long}")), ["070d0401000503"]);
    assert_eq!(world.ask(1, &format!("7f0ca004010005{long}")), ["070d0401000503"], "a repetition is a new attempt");
    assert_eq!(world.ask(1, &format!("7f0c0004010000{long}")), ["070d0401000003"], "at QoS 0 too");
}

#[test]
#[rustfmt::skip]
fn publish_at_qos_minus_one_needs_no_connection_and_gets_no_reply() {
    let mut world = World::default();
    let table = [
        ("predefined",  "080c610007000031",                          "pre/seven 1 0"),
        ("short",       "080c626162000032",                          "ab 2 0"),
        ("inline name", "0e0c6000060000 6e2f616d6531 33",            "n/ame1 3 0"),
        ("retained",    "080c726162000034",                          "ab 4 0 retained"),
        ("no payload",  "070c6261620000",                            "ab  0"),
    ];
    for (name, publish, given) in table {
        assert_eq!(world.ask(1, &publish.replace(' ', "")), NOTHING, "{name}");
        assert_eq!(world.given(), [given], "{name}");
    }
    world.connect(1, "dev", true);
    assert_eq!(world.ask(1, "080c610007000031"), NOTHING, "from a client too");
    assert_eq!(world.given(), ["pre/seven 1 0"]);
    assert_eq!(world.sessions(), [0, 1, 0], "and it opens no session");
}

#[test]
fn qos_minus_one_passes_the_mountpoint_as_negqos_client() {
    let mut world = World::new(Setup { mountpoint: "site/%c/", ..Setup::default() });
    assert_eq!(world.ask(1, "080c610007000031"), NOTHING);
    assert_eq!(world.given(), ["site/NegQoS-Client/pre/seven 1 0"]);
}

#[test]
fn qos_minus_one_is_dropped_when_it_is_switched_off() {
    let config = MqttsnConfig { qos_minus_one: false, ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, ..Setup::default() });
    assert_eq!(world.ask(1, "080c626162000032"), NOTHING);
    assert_eq!((world.given(), world.fault("qos_minus_one_off")), (vec![], 1));
}

#[test]
fn an_answer_to_what_was_published_before_a_clean_connect_is_not_taken_for_a_later_one() {
    let mut world = slow_broker();
    assert_eq!(world.ask(1, "080c226162000531"), NOTHING);
    world.connect(1, "dev", true);
    assert_eq!(world.ask(1, "080c226162000632"), NOTHING);
    world.broker.release_acks_of(1, 1);
    world.settle();
    assert_eq!(world.hear(1), NOTHING, "the broker has acknowledged the earlier one only");
    assert_eq!(world.release(), ["070d6162000600"]);
}
