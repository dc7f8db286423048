//! What the gateway sends to a device.

use super::*;

fn received(topic: &str, payload: &[u8], qos: Qos) -> Event {
    Event::Received { topic: topic.into(), payload: payload.into(), qos, retain: false, dup: false }
}

fn connected() -> Bench {
    let mut bench = Bench::new(&profile());
    bench.until(1);
    bench.take_sent();
    bench.take_events();
    bench
}

#[test]
fn a_command_comes_under_the_id_of_its_subscription_and_is_acknowledged() {
    let mut bench = connected();
    bench.hear(&publish(Topic::Normal(TopicId(1026)), Qos::AtLeastOnce, 7, b"on"));
    assert_eq!(bench.take_sent(), ["1 PUBACK 1026 id=7 0"]);
    assert_eq!(bench.take_events(), [(1, received("sim/sim-1/command", b"on", Qos::AtLeastOnce))]);
    bench.hear(&publish(Topic::Normal(TopicId(1026)), Qos::AtMostOnce, 0, b"off"));
    assert_eq!(bench.take_sent(), [""; 0]);
    assert_eq!(bench.take_events(), [(1, received("sim/sim-1/command", b"off", Qos::AtMostOnce))]);
}

#[test]
fn a_name_that_the_gateway_registers_is_known_from_then_on() {
    let mut bench = connected();
    let message = publish(Topic::Normal(TopicId(1300)), Qos::AtLeastOnce, 8, b"x");
    bench.hear(&message);
    assert_eq!(bench.take_sent(), ["1 PUBACK 1300 id=8 2"], "unknown: invalid topic id");
    assert_eq!(bench.take_events(), []);
    bench.hear(&register(1300, 9, "other/name"));
    bench.hear(&message);
    assert_eq!(bench.take_sent(), ["1 REGACK 1300 0", "1 PUBACK 1300 id=8 0"]);
    assert_eq!(bench.take_events(), [(1, received("other/name", b"x", Qos::AtLeastOnce))]);
}

#[test]
fn an_id_that_the_gateway_gives_to_the_devices_own_topic_is_used() {
    let mut bench = connected();
    bench.hear(&register(1400, 9, "sim/sim-1/telemetry"));
    assert_eq!(bench.device.topic_id, Some(TopicId(1400)));
}

#[test]
fn names_are_bounded_and_one_more_is_congestion() {
    let mut bench = connected();
    // One is the subscription's.
    for topic_id in 2001..2001 + 1023 {
        bench.hear(&register(topic_id, 1, "n"));
    }
    assert!(bench.take_sent().iter().all(|answer| answer.ends_with(" 0")));
    bench.hear(&register(4000, 1, "n"));
    bench.hear(&register(2001, 1, "again"));
    assert_eq!(bench.take_sent(), ["1 REGACK 4000 1", "1 REGACK 2001 0"]);
}

#[test]
fn short_and_predefined_topics_need_no_registration() {
    let mut bench = connected();
    bench.hear(&publish(Topic::Short(*b"ab"), Qos::AtLeastOnce, 7, b"1"));
    bench.hear(&publish(Topic::Predefined(TopicId(3)), Qos::AtLeastOnce, 8, b"2"));
    assert_eq!(bench.take_sent(), ["1 PUBACK 24930 id=7 0", "1 PUBACK 3 id=8 0"]);
    let expected = [(1, received("ab", b"1", Qos::AtLeastOnce)), (1, received("#3", b"2", Qos::AtLeastOnce))];
    assert_eq!(bench.take_events(), expected);
}

#[test]
fn a_message_of_qos_2_comes_once_however_often_it_is_sent() {
    let mut bench = connected();
    let message = publish(Topic::Normal(TopicId(1026)), Qos::ExactlyOnce, 7, b"on");
    bench.hear(&message);
    bench.hear(&message);
    bench.hear(&Message::Pubrel { msg_id: MsgId(7) });
    bench.hear(&Message::Pubrel { msg_id: MsgId(7) });
    assert_eq!(bench.take_sent(), ["1 PUBREC id=7", "1 PUBREC id=7", "1 PUBCOMP id=7", "1 PUBCOMP id=7"]);
    assert_eq!(bench.take_events().len(), 1);
    bench.hear(&message);
    assert_eq!(bench.take_events().len(), 1, "after PUBREL the msg id is another message's");
}

#[test]
fn messages_of_qos_2_that_are_never_released_are_bounded() {
    let mut bench = connected();
    for msg_id in 1..=17 {
        bench.hear(&publish(Topic::Normal(TopicId(1026)), Qos::ExactlyOnce, msg_id, b""));
    }
    assert_eq!(bench.device.unreleased.len(), 16);
    assert_eq!(bench.device.unreleased.front(), Some(&MsgId(2)));
}

#[test]
fn a_device_without_a_session_hears_nothing() {
    let mut bench = connected();
    bench.hear(&Message::Disconnect { duration: None });
    bench.take_events();
    bench.hear(&publish(Topic::Normal(TopicId(1026)), Qos::AtLeastOnce, 7, b"on"));
    assert_eq!((bench.take_sent(), bench.take_events()), (Vec::new(), Vec::new()));
}
