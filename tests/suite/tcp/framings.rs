//! Devices that speak no CONNECT: lines, lengths, fixed sizes, or whatever comes.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use super::listening;
use crate::mqtt::MqttClient;
use crate::process::{Lines, program};
use crate::tcp_device::connection;

#[test]
fn lines_go_up_and_down_by_nc() {
    let Some(nc) = program("nc") else { return };
    let tidegate = listening(&[("FRAMING", "line"), ("CLIENT_ID", "first-frame")]).start().ready();
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    ops.subscribe("tcp/+/up", 0);
    let address = tidegate.tcp();
    let mut device = Command::new(nc)
        .args([address.ip().to_string(), address.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = device.stdin.take().unwrap();
    let mut heard = Lines::of(device.stdout.take().unwrap());
    said.write_all(b"scale-3\n12.5 kg\n13.0 kg\n").unwrap();
    for expected in ["12.5 kg", "13.0 kg"] {
        let message = ops.message();
        assert_eq!((message.topic.as_str(), message.payload.as_str()), ("tcp/scale-3/up", expected));
    }
    ops.publish("tcp/scale-3/dn", "tare", false);
    assert_eq!(heard.next().as_deref(), Some("tare"));
    drop(said);
    drop(device.kill());
    drop(device.wait());
}

#[test]
fn a_pattern_finds_the_name_in_what_is_said_first_and_that_is_published() {
    let keys = [("FRAMING", "line"), ("CLIENT_ID", "regex:^id=([0-9]+)"), ("DELIMITER", "\"\\r\\n\"")];
    let tidegate = listening(&keys).start().ready();
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    ops.subscribe("tcp/+/up", 0);
    let mut device = connection(tidegate.tcp());
    device.write_all(b"id=17 hello\r\nmore\r\n").unwrap();
    for expected in ["id=17 hello", "more"] {
        let message = ops.message();
        assert_eq!((message.topic.as_str(), message.payload.as_str()), ("tcp/17/up", expected));
    }
    let mut nameless = connection(tidegate.tcp());
    nameless.write_all(b"no name\r\n").unwrap();
    assert_eq!(nameless.read(&mut [0; 16]).unwrap(), 0, "it is closed, and told nothing");
}

#[test]
fn lengths_fixed_sizes_and_raw_octets_go_both_ways() {
    for (keys, up, payload, down) in [
        (
            &[("FRAMING", "length-prefix"), ("HEADER_WIDTH", "2"), ("HEADER_ENDIANNESS", "little")][..],
            &b"\x05\x00hello"[..],
            "hello",
            &b"\x05\x00reply"[..],
        ),
        (&[("FRAMING", "fixed"), ("FRAME_SIZE", "5")], b"hello", "hello", b"reply"),
        (&[("FRAMING", "raw")], b"hello", "hello", b"reply"),
    ] {
        let tidegate = listening(keys).start().ready();
        let mut ops = MqttClient::connect("ops", tidegate.broker_port());
        ops.subscribe("tcp/+/up", 0);
        let mut device = connection(tidegate.tcp());
        device.write_all(up).unwrap();
        let message = ops.message();
        assert_eq!(message.payload, payload, "{keys:?}");
        let id = message.topic.strip_prefix("tcp/").unwrap().strip_suffix("/up").unwrap();
        assert!(id.contains("127.0.0.1"), "the peer is the name: {id}");
        ops.publish(&format!("tcp/{id}/dn"), "reply", false);
        let mut heard = vec![0; down.len()];
        device.read_exact(&mut heard).unwrap();
        assert_eq!(heard, down, "{keys:?}");
    }
}

#[test]
fn a_frame_beyond_the_limit_closes() {
    let tidegate = listening(&[("FRAMING", "line"), ("MAX_FRAME", "1KB")]).start().ready();
    let mut device = connection(tidegate.tcp());
    device.write_all(&[b'x'; 1025]).unwrap();
    let closed = match device.read(&mut [0; 16]) {
        Ok(read) => read == 0,
        Err(fault) => fault.kind() == std::io::ErrorKind::ConnectionReset,
    };
    assert!(closed);
    tidegate.metric_until("tidegate_faults_total{protocol=\"tcp\"", |count| count == 1);
}
