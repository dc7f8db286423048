//! Devices that say no CONNECT.

use crate::frames::hex;
use crate::world::{Qos, Setup, World};
use tcp_gateway::{ByteOrder, FramingConfig, FramingKind, TcpConfig};

fn framing(kind: FramingKind, client_id: &str) -> FramingConfig {
    FramingConfig { framing: kind, client_id: client_id.to_owned(), ..FramingConfig::default() }
}

fn world(framing: FramingConfig) -> World {
    World::new(&Setup { framings: vec![framing], ..Setup::default() })
}

/// What the world of one listener with this framing makes of a device that sends these pieces, and of one message.
fn through(framing: &FramingConfig, pieces: &[&[u8]], message: &str) -> (Vec<String>, String) {
    let mut world = world(framing.clone());
    world.open(1);
    for piece in pieces {
        assert_eq!(world.send(1, piece), "", "there is no CONNACK");
    }
    world.publish("tcp/d1/dn", message, Qos::AtMostOnce);
    let given = world.given();
    (given, world.hear(1))
}

#[test]
fn each_framing_goes_up_and_down() {
    let line = framing(FramingKind::Line, "first-frame");
    let (given, heard) = through(&line, &[b"d1\nhello\n\nwo", b"rld\n"], "on");
    assert_eq!(given, ["tcp/d1/up hello 0", "tcp/d1/up  0", "tcp/d1/up world 0"]);
    assert_eq!(heard, hex(b"on\n"));

    let crlf = FramingConfig { delimiter: "\r\n".to_owned(), ..line };
    let (given, heard) = through(&crlf, &[b"d1\r\na\nb\r", b"\nc\r\n"], "on");
    assert_eq!((given, heard), (vec!["tcp/d1/up a\nb 0".to_owned(), "tcp/d1/up c 0".to_owned()], hex(b"on\r\n")));

    let prefix = framing(FramingKind::LengthPrefix, "first-frame");
    let (given, heard) = through(&prefix, &[b"\0\x02d1\0\x05hel", b"lo"], "on");
    assert_eq!((given, heard), (vec!["tcp/d1/up hello 0".to_owned()], hex(b"\0\x02on")));

    let little = FramingConfig { header_width: 4, header_endianness: ByteOrder::Little, ..prefix.clone() };
    let (given, heard) = through(&little, &[b"\x02\0\0\0d1\x01\0\0\0x"], "on");
    assert_eq!((given, heard), (vec!["tcp/d1/up x 0".to_owned()], hex(b"\x02\0\0\0on")));

    let one = FramingConfig { header_width: 1, ..prefix };
    let (given, heard) = through(&one, &[b"\x02d1\x01x"], "on");
    assert_eq!((given, heard), (vec!["tcp/d1/up x 0".to_owned()], hex(b"\x02on")));

    let fixed = framing(FramingKind::Fixed, "first-frame");
    let (given, heard) = through(&fixed, &[b"d1\0\0\0\0\0\0" as &[u8], b"12345678abc"], "87654321");
    assert_eq!((given, heard), (vec!["tcp/d1/up 12345678 0".to_owned()], hex(b"87654321")));

    let raw = framing(FramingKind::Raw, "first-frame");
    let (given, heard) = through(&raw, &[b"d1", b"any\nthing"], "on");
    assert_eq!((given, heard), (vec!["tcp/d1/up any\nthing 0".to_owned()], hex(b"on")));
}

#[test]
fn a_message_that_the_framing_cannot_say_is_dropped_and_counted() {
    let fixed = framing(FramingKind::Fixed, "first-frame");
    assert_eq!(through(&fixed, &[b"d1      "], "short").1, "");
    let mut world = world(fixed);
    world.open(1);
    world.send(1, b"d1      ");
    world.publish("tcp/d1/dn", "123456789", Qos::AtMostOnce);
    assert_eq!((world.fault("wrong_size"), world.hear(1), world.is_closed(1)), (1, String::new(), false));
    let one = FramingConfig { header_width: 1, ..framing(FramingKind::LengthPrefix, "first-frame") };
    assert_eq!(through(&one, &[b"\x02d1"], &"x".repeat(256)).1, "");
    assert_eq!(through(&one, &[b"\x02d1"], &"x".repeat(255)).1, format!("ff{}", "78".repeat(255)));
}

#[test]
fn by_peer_a_device_is_its_address_and_need_not_say_a_word() {
    let mut world = world(framing(FramingKind::Line, "peer"));
    world.open(1);
    assert_eq!(world.states(), [0, 0, 1, 0]);
    world.publish("tcp/127.0.0.1:1/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), hex(b"on\n"));
    world.send(1, b"x\n");
    assert_eq!(world.given(), ["tcp/127.0.0.1:1/up x 0"]);
    world.wait(1_000_000_000);
    assert!(!world.is_closed(1));
}

#[test]
fn by_first_frame_a_device_says_its_client_id_and_nothing_else_first() {
    let mut world = world(framing(FramingKind::Line, "first-frame"));
    world.open(1);
    world.send(1, b"  lamp 7\t\r\n");
    assert_eq!((world.given(), world.states()), (vec![], [0, 0, 1, 0]));
    world.send(1, b"on\r\n");
    assert_eq!(world.given(), ["tcp/lamp 7/up on\r 0"], "what is published is left as it is");
    for (port, first) in (2..).zip([&b"\n"[..], b"a/b\n", b"\xFF\n", b" \r\n"]) {
        world.open(port);
        world.send(port, first);
        assert!(world.is_closed(port), "{first:?}");
        assert_eq!(world.hear(port), "");
    }
    assert_eq!((world.fault("bad_identity"), world.fault("unnamed")), (3, 1));
}

#[test]
fn by_regex_the_first_group_is_the_client_id_and_the_frame_is_published() {
    let mut world = world(framing(FramingKind::Line, r"regex:imei:([0-9]+)(;|$)"));
    world.open(1);
    world.send(1, b"\x01\xFFimei:8675309;t=21\nnext\n");
    let given = world.broker.take_accepted();
    let given: Vec<_> = given.iter().map(|m| (m.topic.as_str(), m.payload.to_vec())).collect();
    let first = b"\x01\xFFimei:8675309;t=21".to_vec();
    assert_eq!(given, [("tcp/8675309/up", first), ("tcp/8675309/up", b"next".to_vec())]);
    world.open(2);
    world.send(2, b"hello\nimei:1\n");
    assert!(world.is_closed(2));
    assert_eq!((world.fault("unnamed"), world.given()), (1, vec![]));
}

#[test]
fn by_regex_two_devices_do_not_become_one_by_octets_that_are_no_text() {
    let mut world = world(framing(FramingKind::Line, "regex:^id=([^;]+);"));
    for (port, first) in (1..).zip([&b"id=a\xFE;\n"[..], b"id=a\xFF;\n"]) {
        world.open(port);
        world.send(port, first);
        assert!(world.is_closed(port), "{first:?}");
    }
    assert_eq!((world.fault("unnamed"), world.states()), (2, [0; 4]));
    // As text it is a character like others.
    world.open(3);
    world.send(3, "id=a\u{FFFD};\n".as_bytes());
    assert_eq!(world.states(), [0, 0, 1, 0]);
}

#[test]
fn a_frame_over_max_frame_is_closed_and_counted() {
    for (kind, stream) in [(FramingKind::Line, [b'x'; 1025].to_vec()), (FramingKind::LengthPrefix, vec![4, 1])] {
        for first in [false, true] {
            let framing = FramingConfig { max_frame: settings::ByteSize::from_kb(1), ..framing(kind, "first-frame") };
            let mut world = world(framing);
            world.open(1);
            if !first {
                world.send(1, if kind == FramingKind::Line { b"d1\n" } else { b"\0\x02d1" });
            }
            world.send(1, &stream);
            assert!(world.is_closed(1));
            assert_eq!((world.fault("frame_too_large"), world.states()), (1, [0; 4]));
        }
    }
}

#[test]
fn time_outs_and_one_session_for_each_client_id_hold_for_them_too() {
    let mut world = world(framing(FramingKind::Line, "first-frame"));
    for port in 1..3 {
        world.open(port);
        world.send(port, b"d1\n");
    }
    assert!(world.is_closed(1));
    assert_eq!((world.fault("taken_over"), world.states()), (1, [0, 0, 1, 0]));
    world.send(2, b"begin");
    world.open(3);
    world.wait(15_000);
    assert!(world.is_closed(2) && world.is_closed(3));
    assert_eq!((world.fault("partial_frame"), world.fault("idle_timeout")), (1, 1));
}

#[test]
fn back_pressure_holds_for_them_too() {
    let config = TcpConfig { uplink_qos: 1, max_inflight: 1, ..TcpConfig::default() };
    let framings = vec![framing(FramingKind::Line, "regex:^(d1)")];
    let mut world = World::new(&Setup { config, framings, ..Setup::default() });
    world.paused = true;
    world.open(1);
    world.send(1, b"d1 a\nb\nc\n");
    assert_eq!((world.unread(1), world.states()), (4, [0, 0, 1, 1]));
    world.resume();
    assert_eq!(world.given(), ["tcp/d1/up d1 a 1", "tcp/d1/up b 1", "tcp/d1/up c 1"]);
}
