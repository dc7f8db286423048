//! CONNECT to CONNACK, what the broker refuses, and keep alive.

use super::*;

#[test]
fn connect_says_what_the_settings_say() {
    let will = Farewell { topic: "s".into(), payload: b"offline".to_vec(), retain: true, qos: Qos::AtLeastOnce };
    let told = LinkSettings { username: "u".into(), password: "p".into(), will: Some(will), ..settings() };
    let mut bench = Bench::new(told);
    bench.link.opening(bench.now);
    bench.link.opened(bench.now);
    let octets = bench.link.pending().to_vec();
    let Ok(Packet::Connect(connect)) = codec_mqtt::decode(&octets, Version::V5) else { panic!("no CONNECT") };
    assert_eq!((connect.client_id, connect.keep_alive, connect.clean_start), ("tidegate-n-1", 60, false));
    assert_eq!((connect.user_name, connect.password.map(|secret| secret.0)), (Some("u"), Some(&b"p"[..])));
    let will = connect.will.unwrap();
    assert_eq!((will.topic, will.payload, will.retain, will.qos), ("s", &b"offline"[..], true, Qos::AtLeastOnce));
    let p = connect.properties;
    assert_eq!((p.session_expiry_interval(), p.receive_maximum()), (Some(3600), Some(1024)));
    assert_eq!((p.maximum_packet_size(), p.topic_alias_maximum()), (Some(1 << 20), None));
}

#[test]
fn no_credential_shows_in_debug_output() {
    let bench = Bench::new(LinkSettings { username: "tok3n".into(), password: "hunter2".into(), ..settings() });
    let shown = format!("{:?}", bench.link);
    assert!(shown.contains("tidegate-n-1") && !shown.contains("tok3n") && !shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("104, 117"), "not as octets either");
}

#[test]
fn up_and_down_are_told_and_counted() {
    let mut bench = Bench::new(settings());
    assert_eq!(bench.link.state(), LinkStatus::Connecting { target: 0 });
    bench.connect(false, &[]);
    assert_eq!(bench.link.state(), LinkStatus::Online { target: 0, version: Version::V5 });
    assert_eq!(bench.count(LinkCount::Up), 1);
    bench.close(Closed::Broken);
    assert_eq!(bench.events(), [LinkEvent::Up { session_present: false }, LinkEvent::Down]);
    assert_eq!((bench.count(LinkCount::Up), bench.count(LinkCount::Connects)), (0, 1));
    assert_eq!(bench.count(LinkCount::Failures), 1);
    assert!(matches!(bench.link.state(), LinkStatus::Waiting { reason: "it is gone", .. }));
}

#[test]
fn a_refusal_keeps_the_broker_s_words() {
    let mut bench = Bench::new(settings());
    bench.open();
    let properties = [Property::ReasonString("come back with a token")];
    let properties = Properties::list(&properties);
    bench.hear(&Packet::Connack(Connack { session_present: false, reason: ReasonCode::NOT_AUTHORIZED, properties }));
    assert_eq!(bench.link.wish(), Wish::Close);
    bench.close(Closed::Orderly);
    let LinkStatus::Waiting { reason, .. } = bench.link.state() else { panic!("{:?}", bench.link.state()) };
    assert_eq!(reason, "the broker refused the connection: not authorized (0x87): come back with a token");
    assert_eq!(bench.events(), []);
}

#[test]
fn a_web_server_is_known_by_its_answer() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.0 403 Forbidden\r\nServer: s\r\n\r\n<html></html>"] {
        let mut bench = Bench::new(settings());
        bench.open();
        bench.hear_octets(answer.as_bytes());
        assert_eq!(bench.link.wish(), Wish::Close);
        bench.close(Closed::Orderly);
        let LinkStatus::Waiting { reason, .. } = bench.link.state() else { panic!("{:?}", bench.link.state()) };
        assert_eq!(reason, "it answers HTTP: if this is its port for WebSocket, the url begins with ws://");
    }
}

#[test]
fn a_broker_that_does_not_know_mqtt_5_is_asked_in_3_1_1() {
    let told: [&[u8]; 2] = [&[0x20, 2, 0, 1], &[0x20, 3, 0, 0x84, 0]];
    for told in told {
        let mut bench = Bench::new(settings());
        assert_eq!(bench.open(), "CONNECT 5 resume");
        bench.hear_octets(told);
        assert_eq!(bench.link.wish(), Wish::Close);
        bench.close(Closed::Orderly);
        bench.wait();
        assert_eq!(bench.open(), "CONNECT 3.1.1 resume");
    }
}

#[test]
fn two_closes_without_a_word_lead_to_3_1_1() {
    let mut bench = Bench::new(settings());
    for expected in ["CONNECT 5 resume", "CONNECT 5 resume", "CONNECT 3.1.1 resume"] {
        assert_eq!(bench.open(), expected);
        bench.close(Closed::Orderly);
        bench.wait();
    }
}

#[test]
fn connack_is_due_within_10_s() {
    let mut bench = Bench::new(settings());
    bench.open();
    bench.advance(9_999);
    assert_eq!(bench.link.wish(), Wish::Nothing);
    bench.advance(1);
    assert_eq!(bench.link.wish(), Wish::Close);
    bench.close(Closed::Broken);
    assert!(matches!(bench.link.state(), LinkStatus::Waiting { reason: "the broker did not answer CONNECT", .. }));
}

#[test]
fn a_failed_attempt_is_followed_by_the_next_broker_of_the_list() {
    let mut bench = Bench::new(LinkSettings { servers: vec!["a:1".into(), "b:1".into()], ..settings() });
    for target in [0, 1, 0] {
        assert_eq!(bench.link.wish(), Wish::Open { target });
        bench.link.opening(bench.now);
        bench.close(Closed::Refused);
        assert_eq!(bench.link.wish(), Wish::Nothing);
        bench.wait();
    }
}

#[test]
fn three_quick_closes_mean_that_another_process_uses_the_id() {
    let taken_over = Packet::Disconnect(Disconnect::new(ReasonCode::SESSION_TAKEN_OVER));
    // mosquitto closes without a word, and by a reset if something of ours lay there unread.
    for (said, how) in [(Some(taken_over), Closed::Broken), (None, Closed::Orderly), (None, Closed::Reset)] {
        let mut bench = Bench::new(settings());
        for round in 0..3 {
            bench.connect(round > 0, &[]);
            bench.advance(4_000);
            if let Some(said) = &said {
                bench.hear(said);
                assert_eq!(bench.link.wish(), Wish::Close);
            }
            assert!(!matches!(bench.link.state(), LinkStatus::Conflict { .. }));
            // What the driver makes of the close after DISCONNECT must not matter.
            bench.close(how);
            if round < 2 {
                bench.wait();
            }
        }
        let until = bench.now.after_ms(30_000);
        assert_eq!(bench.link.state(), LinkStatus::Conflict { until });
    }
}

#[test]
fn a_broker_that_says_goodbye_for_another_reason_is_no_conflict() {
    let mut bench = Bench::new(settings());
    for round in 0..4 {
        bench.connect(round > 0, &[]);
        bench.hear(&Packet::Disconnect(Disconnect::new(ReasonCode::SERVER_SHUTTING_DOWN)));
        bench.close(Closed::Orderly);
        let LinkStatus::Waiting { reason, .. } = bench.link.state() else { panic!("{:?}", bench.link.state()) };
        assert_eq!(reason, "the broker closed the connection: server is shutting down (0x8B)");
        bench.wait();
    }
}

#[test]
fn pingreq_is_sent_when_nothing_else_was() {
    let mut bench = Bench::online(settings());
    bench.advance(59_999);
    assert_eq!(bench.out(), [""; 0]);
    bench.advance(1);
    assert_eq!(bench.out(), ["PINGREQ"]);
    bench.hear(&Packet::Pingresp);
    bench.advance(59_999);
    assert_eq!(bench.out(), [""; 0]);
    bench.advance(1);
    assert_eq!(bench.out(), ["PINGREQ"]);
}

#[test]
fn the_broker_s_keep_alive_overrules_ours() {
    let mut bench = Bench::new(settings());
    bench.connect(false, &[Property::ServerKeepAlive(10)]);
    bench.advance(9_999);
    assert_eq!(bench.out(), [""; 0]);
    bench.advance(1);
    assert_eq!(bench.out(), ["PINGREQ"]);
}

#[test]
fn a_silent_broker_is_dead_half_a_keep_alive_after_pingreq() {
    let mut bench = Bench::online(settings());
    bench.advance(60_000);
    assert_eq!(bench.out(), ["PINGREQ"]);
    bench.advance(29_999);
    assert_eq!(bench.link.wish(), Wish::Nothing);
    bench.advance(1);
    assert_eq!(bench.events(), [LinkEvent::Down]);
    assert_eq!(bench.out(), ["DISCONNECT 8D"]);
    assert_eq!(bench.link.wish(), Wish::Close);
}

#[test]
fn anything_heard_is_a_sign_of_life() {
    let mut bench = Bench::online(settings());
    bench.advance(60_000);
    bench.out();
    bench.hear_octets(&[0x30]);
    bench.advance(59_000);
    assert_eq!(bench.link.wish(), Wish::Nothing);
}

#[test]
fn a_dead_connection_is_noticed_even_while_we_send() {
    let mut bench = Bench::online(settings());
    for _ in 0..9 {
        bench.advance(10_000);
        assert_eq!(bench.publish(1, "x", 0), Taken::Done);
        bench.link.written(usize::MAX);
    }
    bench.advance(0);
    assert_eq!(bench.events(), [LinkEvent::Down]);
}

#[test]
fn keep_alive_0_is_off() {
    let mut bench = Bench::online(LinkSettings { keepalive_s: 0, ..settings() });
    assert_eq!(bench.link.next_deadline(), None);
    bench.advance(10_000_000);
    assert_eq!(bench.out(), [""; 0]);
}

#[test]
fn a_connection_that_takes_nothing_is_closed_a_second_later_all_the_same() {
    let mut bench = Bench::online(settings());
    bench.hear_octets(&[0x00]);
    assert_eq!(read(bench.link.pending(), Version::V5), ["DISCONNECT 81"]);
    bench.advance(999);
    assert_eq!(bench.link.wish(), Wish::Nothing);
    bench.advance(1);
    assert_eq!(bench.link.wish(), Wish::Close);
}

#[test]
fn a_session_that_may_have_begun_with_an_unanswered_connect_is_not_known_to_be_ours() {
    let mut bench = Bench::online(settings());
    bench.say(1, "a", 1);
    bench.out();
    bench.close(Closed::Broken);
    bench.wait();
    bench.open();
    assert_eq!(bench.reconnect(true, &[]), ["a qos1 #1 dup"], "if the broker has it, it must not be another");
    assert_eq!(bench.events(), [LinkEvent::Down, LinkEvent::Up { session_present: false }], "all is subscribed again");
    bench.reconnect(true, &[]);
    assert_eq!(bench.events(), [LinkEvent::Down, LinkEvent::Up { session_present: true }]);
}

#[test]
fn an_attempt_that_the_broker_has_not_heard_of_leaves_no_doubt() {
    let mut bench = Bench::online(settings());
    bench.close(Closed::Broken);
    bench.wait();
    bench.link.opening(bench.now);
    bench.close(Closed::Refused);
    bench.wait();
    bench.connect(true, &[]);
    assert_eq!(bench.events(), [LinkEvent::Down, LinkEvent::Up { session_present: true }]);
}
