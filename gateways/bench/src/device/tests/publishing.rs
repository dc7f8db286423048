//! Readings on their way.

use super::*;

fn readings(bench: &Bench) -> Vec<u64> {
    let is_reading = |event: &Event| matches!(event, Event::Published { topic, .. } if topic == "sim/sim-1/telemetry");
    bench.events.iter().filter(|(_, event)| is_reading(event)).map(|(second, _)| *second).collect()
}

fn counted(bench: &Bench) -> Vec<u64> {
    let n = |event: &Event| match event {
        Event::Published { payload, .. } => serde_json::from_str::<serde_json::Value>(payload).unwrap()["n"].as_u64(),
        _ => None,
    };
    bench.events.iter().filter_map(|(_, event)| n(event)).collect()
}

#[test]
fn a_reading_goes_out_at_each_interval_at_every_qos() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut bench = Bench::new(&Profile { qos, ..profile() });
        bench.until(22);
        assert_eq!(readings(&bench), [0, 5, 10, 15, 20], "{qos:?}");
        assert_eq!(counted(&bench), [1, 2, 3, 4, 5]);
    }
}

#[test]
fn qos_2_is_four_messages() {
    let mut bench = Bench::new(&Profile { qos: Qos::ExactlyOnce, command: None, ..profile() });
    bench.until(0);
    assert_eq!(bench.take_sent()[2..], ["0 PUBLISH 2 id=2", "0 PUBREL id=2"]);
}

#[test]
fn section_6_13_an_unanswered_publish_is_repeated_with_dup_and_then_the_session_counts_as_lost() {
    let mut bench = Bench::new(&profile());
    bench.until(4);
    bench.take_sent();
    bench.deaf_to = vec!["publish"];
    bench.until(46);
    let expected = [
        "5 PUBLISH 1 id=4",
        "15 PUBLISH 1 id=4 dup",
        "25 PUBLISH 1 id=4 dup",
        "35 PUBLISH 1 id=4 dup",
        "46 CONNECT sim-1 60s",
    ];
    assert_eq!(bench.take_sent()[..5], expected);
    assert_eq!(readings(&bench), [0]);
}

#[test]
fn a_late_acknowledgement_ends_the_repetitions_and_what_was_missed_is_left_out() {
    let mut bench = Bench::new(&profile());
    bench.until(4);
    bench.deaf_to = vec!["publish"];
    bench.until(18);
    bench.deaf_to.clear();
    bench.hear(&Message::Puback(Ack { topic_id: TopicId(1025), msg_id: MsgId(4), code: ReturnCode::Accepted }));
    bench.until(34);
    assert_eq!(readings(&bench), [0, 18, 23, 28, 33], "one for the three that were due, then at the interval");
}

#[test]
fn an_unanswered_pubrel_is_repeated_and_pubrec_again_is_answered_again() {
    let mut bench = Bench::new(&Profile { qos: Qos::ExactlyOnce, command: None, ..profile() });
    bench.deaf_to = vec!["pubrel"];
    bench.until(3);
    bench.hear(&Message::Pubrec { msg_id: MsgId(2) });
    bench.until(10);
    let expected = ["0 PUBLISH 2 id=2", "0 PUBREL id=2", "3 PUBREL id=2", "10 PUBREL id=2"];
    assert_eq!(bench.take_sent()[2..], expected);
    bench.hear(&Message::Pubcomp { msg_id: MsgId(2) });
    assert_eq!(readings(&bench), [10]);
}

#[test]
fn a_topic_id_that_the_gateway_has_forgotten_is_asked_for_again() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut bench = Bench::new(&Profile { qos, command: None, ..profile() });
        bench.until(4);
        bench.take_sent();
        bench.refuses = vec![("publish", ReturnCode::InvalidTopicId)];
        bench.until(10);
        let without_id = |what: &String| what.split(" id=").next().unwrap_or_default().to_owned();
        let sent: Vec<_> = bench.take_sent().iter().map(without_id).collect();
        let level = match qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
            _ => 2,
        };
        let published = format!("PUBLISH {level}");
        assert_eq!(
            sent[..3],
            [format!("5 {published}"), "10 REGISTER sim/sim-1/telemetry".into(), format!("10 {published}")]
        );
        assert!(bench.events.contains(&(5, Event::Refused { what: "PUBLISH", code: 2 })), "{qos:?}");
    }
}

#[test]
fn a_refusal_is_told_and_the_next_reading_is_tried() {
    let mut bench = Bench::new(&profile());
    bench.refuses = vec![
        ("subscribe", ReturnCode::NotSupported),
        ("register", ReturnCode::Congestion),
        ("publish", ReturnCode::Congestion),
    ];
    bench.until(10);
    let refused = |what, code| Event::Refused { what, code };
    let expected =
        [(0, Event::Connected), (0, refused("SUBSCRIBE", 3)), (0, refused("REGISTER", 1)), (5, refused("PUBLISH", 1))];
    assert_eq!(bench.events[..4], expected);
    assert_eq!(readings(&bench), [10]);
}

#[test]
fn msg_ids_are_never_zero() {
    let mut bench = Bench::new(&profile());
    bench.device.last_msg_id = u16::MAX - 1;
    bench.until(5);
    let sent = bench.take_sent();
    assert_eq!(sent[3..], ["0 PUBLISH 1 id=2", "5 PUBLISH 1 id=3"], "SUBSCRIBE had 65535 and REGISTER 1");
}
