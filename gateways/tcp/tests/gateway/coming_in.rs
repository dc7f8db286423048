//! CONNECT: who comes in, and who does not.

use crate::frames::{CONNACK, connect, data, hex, refusal};
use crate::world::{Qos, Setup, World};
use bridge_core::bridge::Policy;
use bridge_core::events::{EventSettings, GatewayNames};
use bridge_core::streams::CloseReason;
use support::vectors::{Use, rows};
use tcp_gateway::TcpConfig;

#[test]
fn a_device_connects_publishes_gets_messages_and_leaves() {
    let mut world = World::default();
    world.open(1);
    assert_eq!(world.ask(1, "1000073c000461626364"), CONNACK);
    assert_eq!(world.ask(1, "30000461626364"), "");
    assert_eq!(world.given(), ["tcp/abcd/up abcd 0"]);
    world.publish("tcp/abcd/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), "3000026f6e");
    assert_eq!(world.ask(1, "40"), "50");
    assert_eq!(world.states(), [0, 0, 1, 0]);
    assert_eq!(world.ask(1, "60"), "");
    assert!(world.is_closed(1));
    assert_eq!((world.states(), world.faults()), ([0; 4], 0));
    assert_eq!(world.gates.get(bridge_core::peer::ListenerId(0)).unwrap().sessions(), 0);
}

#[test]
fn versions_0_and_1_are_one_and_others_are_connack_2_and_closed() {
    let mut world = World::default();
    for (port, first, answer) in [(1, "10", CONNACK), (2, "11", CONNACK), (3, "12", "220000"), (4, "1f", "220000")] {
        world.open(port);
        assert_eq!(world.ask(port, &format!("{first}00053c0002{}", hex(format!("d{port}").as_bytes()))), answer);
        assert_eq!(world.is_closed(port), answer != CONNACK);
    }
    assert_eq!((world.fault("illegal_version"), world.states()), (2, [0, 0, 2, 0]));
}

#[test]
fn a_client_id_that_mqtt_cannot_carry_is_connack_1_and_closed() {
    let mut world = World::default();
    let ids: [&[u8]; 10] =
        [b"", b"a\0", b"a\x1f", b"a\x7f", "a\u{FFFE}".as_bytes(), b"\xC3\x28", b"\xFF", b"a/b", b"a+", b"#"];
    for (port, id) in (1..).zip(ids) {
        let mut frame = vec![0x10, 0, u8::try_from(id.len()).unwrap() + 3, 60, 0, u8::try_from(id.len()).unwrap()];
        frame.extend(id);
        world.open(port);
        assert_eq!(world.send(port, &frame), refusal("Client Id Not Allowed"), "{id:?}");
        assert!(world.is_closed(port), "{id:?}");
    }
    assert_eq!((world.fault("bad_identity"), world.states()), (10, [0; 4]));
}

#[test]
fn a_client_id_may_hold_what_would_break_out_if_no_topic_in_effect_has_it() {
    let topics = TcpConfig { up_topic: "all/up".to_owned(), dn_topic: "all/dn".to_owned(), ..TcpConfig::default() };
    let mut world = World::with(topics.clone());
    world.connect(1, "a/+#");
    world.say(1, "x");
    assert_eq!((world.given(), world.filters()), (vec!["all/up x 0".to_owned()], vec!["all/dn".to_owned()]));
    let mut mounted = World::new(&Setup { config: topics, mountpoints: vec!["%c/"], ..Setup::default() });
    mounted.open(1);
    assert_eq!(mounted.send(1, &connect("a/b", 60)), refusal("Client Id Not Allowed"));
}

#[test]
fn a_user_name_without_a_password_is_valid_and_one_that_mqtt_cannot_carry_is_not() {
    let mut world = World::with(TcpConfig { up_topic: "%u/%c".to_owned(), ..TcpConfig::default() });
    for (port, name, answer) in [
        (1, b"u".as_slice(), CONNACK.to_owned()),
        (2, b"", CONNACK.to_owned()),
        (3, b"a/b", refusal("Client Id Not Allowed")),
        (4, b"a\0", refusal("Client Id Not Allowed")),
        (5, b"\xFF", refusal("Client Id Not Allowed")),
    ] {
        let length = u8::try_from(name.len()).unwrap();
        world.open(port);
        let frame = [&[0x10, 0, 7 + length, 60, 0, 2, b'd', b'0' + u8::try_from(port).unwrap(), 0, length], name];
        assert_eq!(world.send(port, &frame.concat()), answer, "{name:?}");
    }
    world.say(1, "x");
    assert_eq!(world.given(), ["u/d1 x 0"]);
}

/// Each row that must be refused: closed without a word, and counted.
#[test]
fn whatever_is_not_the_protocol_is_closed_and_counted() {
    let mut world = World::default();
    let mut rejects = 0;
    for (port, row) in (1..).zip(rows("tcp.tsv")).filter(|(_, row)| row.use_ == Use::Reject) {
        rejects += 1;
        let before = world.faults();
        world.open(port);
        let heard = world.send(port, &row.bytes);
        let expected = match row.id.as_str() {
            // It was in before.
            "connect-twice" => CONNACK.to_owned(),
            // A client id that MQTT cannot carry, like others of that kind.
            "connect-bad-utf8" => refusal("Client Id Not Allowed"),
            _ => String::new(),
        };
        assert_eq!(heard, expected, "{}", row.id);
        assert!(world.is_closed(port), "{}", row.id);
        assert_eq!(world.faults(), before + 1, "{}", row.id);
        let reason = match row.meaning["fault"].as_str().unwrap() {
            "bad-utf8" => "bad_identity".to_owned(),
            other => other.replace('-', "_"),
        };
        assert!(world.fault(&reason) > 0, "{}", row.id);
    }
    assert_eq!((rejects, world.states()), (25, [0; 4]));
}

#[test]
fn a_second_connect_ends_the_session() {
    let mut world = World::default();
    world.connect(1, "dev");
    assert_eq!(world.send(1, &connect("other", 60)), "");
    assert!(world.is_closed(1));
    assert_eq!((world.fault("second_connect"), world.states()), (1, [0; 4]));
}

#[test]
fn a_frame_above_max_frame_is_closed_and_counted_before_it_has_come() {
    let mut setup = Setup::default();
    setup.framings[0].max_frame = settings::ByteSize::from_kb(1);
    let mut world = World::new(&setup);
    world.connect(1, "dev");
    assert_eq!(world.send(1, &data(&[b'x'; 1024])), "");
    assert_eq!(world.ask(1, "300401"), "");
    assert!(world.is_closed(1));
    assert_eq!((world.fault("frame_too_large"), world.given().len()), (1, 1));
}

#[test]
fn the_same_client_id_again_closes_the_older_connection() {
    let mut world = World::default();
    world.connect(1, "dev");
    world.connect(2, "dev");
    assert!(world.is_closed(1));
    assert_eq!((world.states(), world.fault("taken_over")), ([0, 0, 1, 0], 1));
    world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(2), hex(&data(b"on")));
    world.say(2, "x");
    assert_eq!(world.given(), ["tcp/dev/up x 0"]);
}

#[test]
fn who_may_not_come_in_takes_nobodys_place() {
    let mut world = World::new(&Setup {
        config: TcpConfig { up_topic: "%u/%c".to_owned(), ..TcpConfig::default() },
        ..Setup::default()
    });
    world.connect(1, "dev");
    world.open(2);
    assert_eq!(world.ask(2, "10000b3c00036465760003612f62"), refusal("Client Id Not Allowed"));
    assert_eq!((world.is_closed(1), world.is_closed(2), world.fault("taken_over")), (false, true, 0));
}

#[test]
fn a_device_that_hangs_up_is_gone_with_all_that_it_had() {
    let mut world = World::default();
    for (port, why) in [(1, CloseReason::Peer), (2, CloseReason::Broken), (3, CloseReason::Stalled)] {
        world.connect(port, "dev");
        world.cut(port, why);
        assert_eq!(world.states(), [0; 4]);
    }
    assert_eq!((world.fault("stalled"), world.faults()), (1, 1));
    world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.dropped("not-connected"), 1);
}

#[test]
fn events_tell_of_who_comes_and_goes() {
    let gateways = vec![GatewayNames { key: "tcp", protocol: "TCP" }];
    let events = Some(EventSettings { prefix: "ev".into(), qos: Qos::AtMostOnce, gateways });
    let mut world = World::new(&Setup { policy: Policy { events, ..Policy::default() }, ..Setup::default() });
    world.connect(1, "dev");
    world.ask(1, "60");
    let given = world.broker.take_accepted();
    let event = |topic: &str| -> serde_json::Value {
        let found = given.iter().find(|message| message.topic == format!("ev/clients/tcp/dev/{topic}"));
        serde_json::from_slice(&found.unwrap_or_else(|| panic!("no {topic}")).payload).unwrap()
    };
    let connected = event("connected");
    let about =
        ["proto_name", "proto_ver", "clean_start", "keepalive", "gateway"].map(|key| connected[key].to_string());
    assert_eq!(about, ["\"TCP\"", "\"0\"", "true", "60", "\"tcp\""]);
    assert_eq!(event("disconnected")["reason"], "normal");
    world.connect(2, "dev");
    world.connect(3, "dev");
    world.cut(3, CloseReason::Peer);
    let reasons = world.broker.take_accepted().into_iter().filter(|message| message.topic.ends_with("/disconnected"));
    let reasons = reasons.map(|message| serde_json::from_slice::<serde_json::Value>(&message.payload).unwrap());
    assert_eq!(reasons.map(|event| event["reason"].clone()).collect::<Vec<_>>(), ["takenover", "closed"]);
}

#[test]
fn events_tell_half_a_frame_from_a_device_that_takes_nothing_and_the_version_as_it_was_said() {
    let gateways = vec![GatewayNames { key: "tcp", protocol: "TCP" }];
    let events = Some(EventSettings { prefix: "ev".into(), qos: Qos::AtMostOnce, gateways });
    let mut world = World::new(&Setup { policy: Policy { events, ..Policy::default() }, ..Setup::default() });
    world.open(1);
    // Version 1, no keepalive; the others say 0.
    world.ask(1, "110006000003646576");
    world.ask(1, "3000");
    world.wait(15_000);
    assert!(world.is_closed(1));
    world.connect(2, "dev");
    world.cut(2, CloseReason::Stalled);
    let given = world.broker.take_accepted();
    let of = |event: &str, key: &str| -> Vec<serde_json::Value> {
        let about = given.iter().filter(|message| message.topic.ends_with(event));
        let about = about.map(|message| serde_json::from_slice::<serde_json::Value>(&message.payload).unwrap());
        about.map(|event| event[key].clone()).collect()
    };
    assert_eq!(of("/connected", "proto_ver"), ["1", "0"]);
    assert_eq!(of("/disconnected", "reason"), ["partial_frame", "stalled"]);
    assert_eq!((world.fault("partial_frame"), world.fault("stalled")), (1, 1));
}

#[test]
fn nobody_new_is_let_in_while_the_process_stops() {
    let mut world = World::default();
    world.open(1);
    world.drain();
    assert!(world.is_closed(1));
    world.open(2);
    assert_eq!(world.send(2, &connect("dev", 60)), refusal("Server Busy"));
    assert!(world.is_closed(2));
    assert_eq!(world.fault("not_admitted"), 1);
}
