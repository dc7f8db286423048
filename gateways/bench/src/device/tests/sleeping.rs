//! Sleeping clients (MQTT-SN 1.2 §6.14).

use super::*;

fn sleeper(interval: u64) -> Bench {
    Bench::new(&Profile { interval: interval * SECOND, sleep: Some(60), ..profile() })
}

#[test]
fn a_device_sleeps_after_its_reading_and_fetches_what_is_held_before_the_next() {
    let mut bench = sleeper(60);
    bench.until(0);
    assert_eq!(bench.take_sent()[3..], ["0 PUBLISH 1 id=3", "0 DISCONNECT 60s"]);
    assert_eq!(bench.take_events().last(), Some(&(0, Event::FellAsleep { seconds: 60 })));
    bench.held = vec![octets(&publish(Topic::Normal(TopicId(1026)), Qos::AtLeastOnce, 7, b"on"))];
    bench.until(59);
    assert_eq!(bench.take_sent(), [""; 0], "it sleeps");
    bench.until(60);
    let expected =
        ["60 PINGREQ sim-1", "60 PUBACK 1026 id=7 0", "60 CONNECT sim-1 60s", "60 PUBLISH 1 id=4", "60 DISCONNECT 60s"];
    assert_eq!(bench.take_sent(), expected, "active again for the reading, with its subscription and topic id");
    let events = bench.take_events();
    assert_eq!(events[0], (60, Event::WokeUp));
    assert!(matches!(&events[1], (60, Event::Received { topic, .. }) if topic == "sim/sim-1/command"));
    assert_eq!(events[2], (60, Event::Connected));
}

#[test]
fn between_readings_it_only_looks_what_is_held() {
    let mut bench = sleeper(150);
    bench.until(0);
    bench.take_sent();
    bench.until(180);
    let expected = ["60 PINGREQ sim-1", "120 PINGREQ sim-1", "180 PINGREQ sim-1", "180 CONNECT sim-1 60s"];
    assert_eq!(bench.take_sent()[..4], expected);
}

#[test]
fn readings_are_no_more_often_than_it_wakes() {
    let mut bench = sleeper(5);
    bench.until(200);
    let is_reading = |event: &Event| matches!(event, Event::Published { .. });
    let seconds: Vec<_> = bench.events.iter().filter(|(_, event)| is_reading(event)).map(|(at, _)| *at).collect();
    assert_eq!(seconds, [0, 60, 120, 180]);
}

#[test]
fn it_is_deaf_while_it_sleeps() {
    let mut bench = sleeper(60);
    bench.until(30);
    bench.take_sent();
    bench.take_events();
    bench.hear(&publish(Topic::Normal(TopicId(1026)), Qos::AtLeastOnce, 7, b"on"));
    bench.hear(&Message::Disconnect { duration: None });
    assert_eq!((bench.take_sent(), bench.take_events()), (Vec::new(), Vec::new()));
    bench.until(60);
    assert_eq!(bench.take_sent()[0], "60 PINGREQ sim-1");
}

#[test]
fn an_unanswered_disconnect_and_an_unanswered_pingreq_are_repeated() {
    let mut bench = sleeper(60);
    bench.deaf_to = vec!["disconnect"];
    bench.until(12);
    assert_eq!(bench.take_sent()[4..], ["0 DISCONNECT 60s", "10 DISCONNECT 60s"]);
    bench.hear(&Message::Disconnect { duration: None });
    bench.deaf_to = vec!["pingreq"];
    bench.until(82);
    assert_eq!(bench.take_sent(), ["72 PINGREQ sim-1", "82 PINGREQ sim-1"], "it slept from second 12 on");
}

#[test]
fn while_held_messages_come_pingresp_is_not_overdue() {
    let mut bench = sleeper(600);
    bench.until(1);
    bench.take_sent();
    bench.deaf_to = vec!["pingreq"];
    bench.until(68);
    bench.hear(&publish(Topic::Normal(TopicId(1026)), Qos::AtMostOnce, 0, b"1"));
    bench.until(77);
    assert_eq!(bench.take_sent(), ["60 PINGREQ sim-1"]);
    bench.until(78);
    assert_eq!(bench.take_sent(), ["78 PINGREQ sim-1"]);
}

#[test]
fn a_gateway_that_knows_the_sleeper_no_more_gets_a_new_session() {
    let mut bench = sleeper(60);
    bench.until(1);
    bench.take_sent();
    bench.deaf_to = vec!["pingreq"];
    bench.until(60);
    bench.hear(&Message::Disconnect { duration: None });
    bench.until(61);
    let expected = [
        "60 PINGREQ sim-1",
        "61 CONNECT sim-1 60s",
        "61 SUBSCRIBE sim/sim-1/command 1",
        "61 REGISTER sim/sim-1/telemetry",
        "61 PUBLISH 1 id=6",
        "61 DISCONNECT 60s",
    ];
    assert_eq!(bench.take_sent(), expected);
}

#[test]
fn whoever_leaves_while_asleep_says_so() {
    let mut bench = sleeper(60);
    bench.until(30);
    bench.take_sent();
    bench.leave();
    assert_eq!(bench.take_sent(), ["30 DISCONNECT"]);
    assert!(bench.device.is_gone());
}
