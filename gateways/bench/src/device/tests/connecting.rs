//! How a session begins, is kept, is lost and ends.

use super::*;

#[test]
fn a_session_begins_with_connect_subscribe_register_and_the_first_reading() {
    let mut bench = Bench::new(&profile());
    bench.until(0);
    let expected = [
        "0 CONNECT sim-1 60s clean",
        "0 SUBSCRIBE sim/sim-1/command 1",
        "0 REGISTER sim/sim-1/telemetry",
        "0 PUBLISH 1 id=3",
    ];
    assert_eq!(bench.take_sent(), expected);
    let subscribed = Event::Subscribed { filter: "sim/sim-1/command".into() };
    assert_eq!(bench.events[..2], [(0, Event::Connected), (0, subscribed)]);
}

#[test]
fn section_6_3_a_will_is_told_when_the_gateway_asks_for_it() {
    let will = Some(Will { topic: "sim/%c/gone".into(), payload: "%c is lost".into() });
    let mut bench = Bench::new(&Profile { will, command: None, ..profile() });
    bench.until(0);
    let expected = ["0 CONNECT sim-1 60s clean will", "0 WILLTOPIC sim/sim-1/gone", "0 WILLMSG sim-1 is lost"];
    assert_eq!(bench.take_sent()[..3], expected);
    assert_eq!(bench.events[0], (0, Event::Connected));
}

#[test]
fn a_gateway_that_asks_for_the_will_again_is_told_again() {
    let will = Some(Will { topic: "gone".into(), payload: "lost".into() });
    let mut bench = Bench::new(&Profile { will, ..profile() });
    bench.deaf_to = vec!["willmsg"];
    bench.until(0);
    bench.take_sent();
    bench.hear(&Message::WillMsgReq);
    bench.hear(&Message::WillTopicReq);
    assert_eq!(bench.take_sent(), ["0 WILLMSG lost", "0 WILLTOPIC gone", "0 WILLMSG lost"]);
}

#[test]
fn section_6_13_an_unanswered_connect_is_repeated_and_then_given_up_for_a_while() {
    let mut bench = Bench::new(&profile());
    bench.deaf_to = vec!["connect"];
    bench.until(71);
    // Four transmissions, ten seconds for each; then a pause of one second, and of two.
    let expected = [0, 10, 20, 30, 41, 51, 61, 71].map(|second| format!("{second} CONNECT sim-1 60s clean"));
    assert_eq!(bench.take_sent(), expected);
    assert_eq!(
        bench.events[2..4],
        [(30, Event::Repeated { what: "CONNECT" }), (40, Event::Unanswered { what: "CONNECT" })]
    );
    bench.until(82);
    assert_eq!(bench.take_sent(), [] as [&str; 0], "two seconds of pause have not passed");
    bench.deaf_to.clear();
    bench.until(83);
    assert_eq!(bench.take_sent()[0], "83 CONNECT sim-1 60s clean");
}

#[test]
fn pauses_double_up_to_a_minute() {
    let mut bench = Bench::new(&profile());
    bench.refuses = vec![("connect", ReturnCode::Congestion); 12];
    bench.until(400);
    let seconds: Vec<_> =
        bench.sent.iter().filter(|(_, what)| what.starts_with("CONNECT")).map(|(at, _)| *at).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]);
    assert_eq!(bench.events[0], (0, Event::Refused { what: "CONNECT", code: 1 }));
}

#[test]
fn a_session_that_the_gateway_ends_is_opened_again_and_gone_on_with() {
    let mut bench = Bench::new(&profile());
    bench.until(2);
    bench.take_sent();
    bench.take_events();
    bench.hear(&Message::Disconnect { duration: None });
    bench.until(4);
    let expected = ["3 CONNECT sim-1 60s", "3 SUBSCRIBE sim/sim-1/command 1"];
    assert_eq!(bench.take_sent(), expected, "not clean: what is held comes through");
    assert_eq!(bench.take_events()[..2], [(2, Event::Disconnected), (3, Event::Connected)]);
    bench.until(5);
    assert_eq!(bench.take_sent(), ["5 REGISTER sim/sim-1/telemetry", "5 PUBLISH 1 id=6"], "the reading keeps its time");
}

#[test]
fn a_device_that_says_or_hears_nothing_else_pings_within_its_keep_alive() {
    let mut bench = Bench::new(&Profile { interval: 1000 * SECOND, ..profile() });
    bench.until(100);
    assert_eq!(bench.take_sent()[4..], ["48 PINGREQ", "96 PINGREQ"]);
    // At QoS 0 it speaks often and hears nothing.
    let mut bench = Bench::new(&Profile { interval: 7 * SECOND, qos: Qos::AtMostOnce, command: None, ..profile() });
    bench.until(100);
    let sent = bench.take_sent();
    let pings: Vec<_> = sent.iter().filter(|what| what.ends_with("PINGREQ")).collect();
    assert_eq!(pings, ["48 PINGREQ", "96 PINGREQ"]);
}

#[test]
fn a_keep_alive_of_zero_asks_for_no_pings() {
    let mut bench = Bench::new(&Profile { interval: 100_000 * SECOND, keep_alive: 0, ..profile() });
    bench.until(90_000);
    assert_eq!(bench.take_sent().len(), 4);
}

#[test]
fn an_unanswered_pingreq_means_that_the_gateway_is_gone() {
    let mut bench = Bench::new(&Profile { interval: 1000 * SECOND, tries: 2, ..profile() });
    bench.until(1);
    bench.take_sent();
    bench.deaf_to = vec!["pingreq"];
    bench.until(69);
    assert_eq!(bench.take_sent()[..3], ["48 PINGREQ", "58 PINGREQ", "69 CONNECT sim-1 60s"]);
}

#[test]
fn whoever_leaves_says_so_and_is_gone_when_that_is_answered() {
    let mut bench = Bench::new(&profile());
    bench.until(1);
    bench.take_sent();
    bench.leave();
    bench.leave();
    assert_eq!(bench.take_sent(), ["1 DISCONNECT"]);
    assert!(bench.device.is_gone());
    assert_eq!(bench.events.last(), Some(&(1, Event::Left)));
    bench.hear(&Message::Disconnect { duration: None });
    bench.until(1000);
    assert_eq!((bench.take_sent(), bench.device.next_deadline()), (Vec::new(), None));
}

#[test]
fn whoever_leaves_in_the_middle_of_something_leaves_at_once() {
    for (deaf_to, sleep) in [("connect", None), ("subscribe", None), ("publish", None), ("pingreq", Some(30))] {
        let mut bench = Bench::new(&Profile { sleep, interval: 10 * SECOND, tries: 9, ..profile() });
        bench.deaf_to = vec![deaf_to];
        bench.until(31);
        bench.take_sent();
        bench.leave();
        assert_eq!(bench.take_sent(), ["31 DISCONNECT"], "{deaf_to}");
        assert!(bench.device.is_gone(), "{deaf_to}");
    }
    // Nobody answers, or there was no session at all.
    let mut bench = Bench::new(&profile());
    bench.deaf_to = vec!["disconnect"];
    bench.until(1);
    bench.leave();
    bench.until(100);
    assert!(bench.device.is_gone());
    let mut bench = Bench::new(&profile());
    bench.leave();
    assert!(bench.device.is_gone() && bench.sent.is_empty());
}

#[test]
fn answers_to_no_question_change_nothing() {
    let mut bench = Bench::new(&profile());
    bench.until(1);
    bench.take_sent();
    let events = bench.events.len();
    let ack = Ack { topic_id: TopicId(9), msg_id: MsgId(99), code: ReturnCode::Accepted };
    let suback = Suback { qos: Qos::AtMostOnce, topic_id: TopicId(9), msg_id: MsgId(99), code: ReturnCode::Accepted };
    for message in [
        Message::Connack { code: ReturnCode::Congestion },
        Message::WillTopicReq,
        Message::WillMsgReq,
        Message::Regack(ack),
        Message::Puback(ack),
        Message::Suback(suback),
        Message::Pubrec { msg_id: MsgId(99) },
        Message::Pubcomp { msg_id: MsgId(99) },
        Message::Pingresp,
        Message::Unsuback { msg_id: MsgId(99) },
    ] {
        bench.hear(&message);
    }
    bench.hear_octets(&[]);
    bench.hear_octets(&[9, 0x0C, 1]);
    assert_eq!((bench.take_sent(), bench.events.len()), (Vec::new(), events));
    bench.until(5);
    assert_eq!(bench.take_sent(), ["5 PUBLISH 1 id=4"]);
}
