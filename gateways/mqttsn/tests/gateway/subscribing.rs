//! SUBSCRIBE and UNSUBSCRIBE.

use crate::world::{Qos, Setup, World, hex};
use codec_mqtt::ReasonCode;
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;
use support::broker::{Message, Options};

const NOTHING: [&str; 0] = [];

#[test]
#[rustfmt::skip]
fn subscribe_answers_each_filter_with_its_id_and_code() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    let table = [
        ("a plain name, QoS 0",       "0812000001612f62",            "0813000401000100"),
        ("another, QoS 1",            "0812200002612f63",            "0813200402000200"),
        ("the first again, QoS 2",    "0812400003612f62",            "0813400401000300"),
        ("a wildcard",                "0812200004612f23",            "0813200000000400"),
        ("a short name",              "07122200056162",              "0813200000000500"),
        ("a short wildcard",          "07122200062f2b",              "0813200000000600"),
        ("a predefined id",           "07122100070007",              "0813200007000700"),
        ("a predefined name",         "0c12200008 7072652f6f6e65",   "0813200001000800"),
        ("an unknown predefined id",  "07122100090099",              "0813000099000902"),
        ("a dynamic id",              "071221000a0401",              "0813000401000a02"),
        ("the reserved type",         "071223000b6162",              "0813000000000b03"),
        ("QoS -1",                    "081260000c612f62",            "0813000000000c03"),
        ("no filter",                 "081220000d612362",            "0813000000000d03"),
        ("what MQTT cannot carry",    "081220000e610062",            "0813000000000e03"),
        ("short, no UTF-8",           "071222000fffff",              "0813000000000f03"),
    ];
    for (name, subscribe, suback) in table {
        assert_eq!(world.ask(1, &subscribe.replace(' ', "")), [suback], "{name}");
    }
    assert_eq!(world.filters(), ["/+", "a/#", "a/b", "a/c", "ab", "pre/one", "pre/seven"]);
}

#[test]
fn a_shared_filter_has_no_id() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    assert_eq!(world.subscribe(1, "$share/g/a", SnQos::AtLeastOnce), ["0813200000020200"]);
}

#[test]
fn the_flags_of_suback_carry_the_granted_qos() {
    let options = Options { maximum_qos: Qos::AtLeastOnce, ..Options::default() };
    let mut world = World::new(Setup { options, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!(world.subscribe(1, "t/a", SnQos::ExactlyOnce), ["0813200401020200"]);
}

#[test]
fn a_full_table_is_2_for_names_and_for_subscriptions() {
    let config = MqttsnConfig { max_topics: 2, ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!((world.register(1, "r/1"), world.register(1, "r/2")), (1025, 1026));
    assert_eq!(world.subscribe(1, "r/3", SnQos::AtMostOnce), ["0813000000020202"]);
    assert_eq!(world.subscribe(1, "r/2", SnQos::AtMostOnce), ["0813000402020200"], "a known name");
    assert_eq!(world.subscribe(1, "a/#", SnQos::AtMostOnce), ["0813000000020200"]);
    assert_eq!(world.subscribe(1, "b/#", SnQos::AtMostOnce), ["0813000000020202"], "a third subscription");
    assert_eq!(world.subscribe(1, "a/#", SnQos::AtLeastOnce), ["0813200000020200"], "a known one");
}

#[test]
fn a_table_is_full_of_octets_too() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    let long = |n: u8, end: &str| format!("{}{n:03}{end}", "x".repeat(60_000));
    for n in 0..4 {
        assert_ne!(world.register(1, &long(n, "")), 0);
        assert_eq!(world.subscribe(1, &long(n, "/#"), SnQos::AtMostOnce), ["0813000000020200"]);
    }
    assert_eq!(world.register(1, &long(4, "")), 0);
    assert_eq!(world.subscribe(1, &long(4, "/#"), SnQos::AtMostOnce), ["0813000000020202"]);
    assert_eq!(world.fault("registry_full"), 2);
    assert_eq!(world.subscribe(1, &long(0, "/#"), SnQos::AtLeastOnce), ["0813200000020200"], "a known one");
    let unsubscribe = codec_mqttsn::Unsubscribe {
        msg_id: codec_mqttsn::MsgId(3),
        filter: codec_mqttsn::Filter::Name(&long(0, "/#")),
    };
    assert_eq!(world.say(1, &codec_mqttsn::Message::Unsubscribe(unsubscribe)), ["04150003"]);
    assert_eq!(world.subscribe(1, &long(4, "/#"), SnQos::AtMostOnce), ["0813000000020200"], "there is room again");
}

#[test]
fn what_the_broker_refuses_is_3_without_an_id() {
    let mut options = Options::default();
    options.refuse_subscribe.insert("no/no".to_owned(), ReasonCode::NOT_AUTHORIZED);
    let mut world = World::new(Setup { options, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!(world.subscribe(1, "no/no", SnQos::AtLeastOnce), ["0813000000020203"]);
}

#[test]
fn what_the_broker_refuses_takes_no_place_in_the_table() {
    let mut options = Options::default();
    options.refuse_subscribe.insert("no/#".to_owned(), ReasonCode::NOT_AUTHORIZED);
    let config = MqttsnConfig { max_topics: 1, ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, options, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!(world.subscribe(1, "no/#", SnQos::AtLeastOnce), ["0813000000020203"]);
    assert_eq!(world.subscribe(1, "a/#", SnQos::AtLeastOnce), ["0813200000020200"]);
}

#[test]
fn an_answer_to_a_subscribe_before_a_clean_connect_is_not_taken_for_a_later_one() {
    let mut world = World::default();
    world.connect(2, "two", true);
    assert_eq!(world.subscribe(2, "$share/g/a", SnQos::AtLeastOnce).len(), 1);
    world.connect(1, "dev", true);
    world.paused = true;
    let shared = format!("0f12200001{}", hex("$share/g/a"));
    let heard = world.ask_at_once(1, &[&shared, "09040401003c646576", "0812200002782f23"]);
    assert_eq!(heard, ["030500"], "the broker has yet to answer the second");
    world.resume();
    assert_eq!(world.hear(1), ["0813200000000200"]);
}

#[test]
fn subscribe_while_the_broker_is_away_is_congestion() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.broker_down();
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), ["0813000000020201"]);
    world.broker.set_up();
    world.wait_s(40);
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), ["0813200401020200"]);
}

#[test]
fn suback_goes_before_what_the_broker_had_retained() {
    let mut world = World::default();
    world.broker.publish(Message { retain: true, ..Message::new("t/a", "kept", Qos::AtMostOnce) });
    world.connect(1, "dev", true);
    let publish = format!("0b0c1004010000{}", hex("kept"));
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), ["0813200401020200", &publish]);
}

#[test]
fn a_subscribe_repeated_while_the_broker_is_asked_is_one_subscribe() {
    let mut world = World::default();
    world.broker.publish(Message { retain: true, ..Message::new("t/a", "kept", Qos::AtMostOnce) });
    world.connect(1, "dev", true);
    world.paused = true;
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), NOTHING);
    assert_eq!(world.ask(1, &format!("0812a00202{}", hex("t/a"))), NOTHING);
    world.resume();
    let publish = format!("0b0c1004010000{}", hex("kept"));
    assert_eq!(world.hear(1), ["0813200401020200", &publish], "one answer, and what was kept once");
    assert_eq!((world.subscribes, world.fault("repeated")), (1, 1), "the broker was asked once");
}

#[test]
fn each_subscribe_to_one_filter_while_the_broker_is_asked_is_answered() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.paused = true;
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), NOTHING);
    assert_eq!(world.subscribe(1, "t/b", SnQos::AtLeastOnce), NOTHING);
    for msg_id in ["0009", "000a", "0009"] {
        assert_eq!(world.ask(1, &format!("081220{msg_id}{}", hex("t/a"))), NOTHING);
    }
    world.resume();
    let mut heard = world.hear(1);
    heard.sort();
    assert_eq!(heard, ["0813200401000900", "0813200401000a00", "0813200401020200", "0813200402020200"]);
    assert_eq!(world.ask(1, &format!("0812200010{}", hex("t/a"))), ["0813200401001000"], "nothing is owed any more");
}

#[test]
fn subscribes_without_an_answer_have_their_bound() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.paused = true;
    for msg_id in 0..=16 {
        assert_eq!(world.ask(1, &format!("08120000{msg_id:02x}{}", hex("t/a"))), NOTHING);
    }
    assert_eq!(world.ask(1, &format!("0812000020{}", hex("t/a"))), ["0813000000002001"]);
    assert_eq!(world.ask(1, &format!("08140000ff{}", hex("t/a"))), ["041500ff"]);
    world.resume();
    assert_eq!(world.hear(1), NOTHING, "UNSUBSCRIBE ends what was asked");
}

#[test]
fn a_message_that_overtakes_the_suback_waits_for_it() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    assert_eq!(world.subscribe(1, "t/#", SnQos::AtMostOnce).len(), 1);
    world.paused = true;
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), NOTHING);
    world.resume();
    assert_eq!(world.hear(1), ["0813200401020200", "080c000401000031"], "no REGISTER: SUBACK tells the id");
}

#[test]
fn a_client_that_left_before_the_broker_answered_is_told_nothing() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.paused = true;
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), NOTHING);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    world.resume();
    assert_eq!((world.hear(1), world.filters()), (vec![], vec!["t/a".to_owned()]));
    world.connect(1, "dev", false);
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), ["0813200401020200"]);
}

#[test]
fn unsubscribe_is_always_answered_and_ends_the_subscription() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    for (subscribe, unsubscribe) in [
        ("0812000001612f62", "0814000002612f62"),
        ("07122200036162", "07142200046162"),
        ("07122100050007", "07142100060007"),
        ("0812000001612f2b", "0814000002612f2b"),
    ] {
        assert_eq!(world.ask(1, subscribe).len(), 1);
        assert_eq!(world.filters().len(), 1, "{subscribe}");
        let unsuback = format!("0415{}", unsubscribe.get(6..10).unwrap());
        assert_eq!(world.ask(1, unsubscribe), [unsuback.as_str()]);
        assert_eq!(world.filters(), NOTHING, "{subscribe}");
        assert_eq!(world.ask(1, unsubscribe), [unsuback.as_str()], "again");
    }
    assert_eq!(world.ask(1, "07142100070099"), ["04150007"], "an unknown predefined id");
    assert_eq!(world.ask(1, "0714230008aaaa"), ["04150008"], "the reserved type");
    assert_eq!(world.ask(1, "0814000009612362"), ["04150009"], "no filter");
}

#[test]
fn after_unsubscribe_nothing_comes_any_more() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtMostOnce);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000031"]);
    assert_eq!(world.ask(1, &format!("0814000003{}", hex("t/a"))), ["04150003"]);
    world.publish("t/a", "2", Qos::AtMostOnce);
    assert_eq!(world.hear(1), NOTHING);
}

#[test]
fn a_subscription_that_a_broker_without_memory_refuses_to_restore_has_ended() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    assert_eq!(world.ask(1, "0812000001742f61"), ["0813000401000100"]);
    world.broker.crash(support::broker::Crash { keep_sessions: false, keep_retained: false });
    world.settle();
    world.broker.options().refuse_subscribe = [("t/a".to_owned(), ReasonCode::NOT_AUTHORIZED)].into();
    world.broker.set_up();
    world.wait_s(40);
    assert_eq!(world.hear(1), NOTHING, "MQTT-SN has no word for it");
    world.broker.options().refuse_subscribe.clear();
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), NOTHING);
    assert_eq!(world.ask(1, "0812000002742f61"), ["0813000401000200"], "a new subscription");
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000031"]);
}
