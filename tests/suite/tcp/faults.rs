//! Devices that speak wrongly, too slowly, or not at all.

use std::net::Shutdown;
use std::process::{Command, Stdio};

use super::with;
use crate::process::{Setup, program};
use crate::tcp_device::{TcpDevice, connect_frame, connection, data_frame};

/// Counted of what devices did wrong.
const FAULTS: &str = "tidegate_faults_total{protocol=\"tcp\"";

#[test]
fn a_first_frame_that_is_no_connect_is_the_last() {
    let tidegate = Setup::new().start();
    let wrong: [&[u8]; 6] =
        [&data_frame("x"), &[0x40], &[0x60], b"\x20\x00\x00", b"\xF0\x00", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"];
    for (n, octets) in (1..).zip(wrong) {
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(octets);
        assert!(device.is_closed(), "{octets:?}");
        tidegate.metric_until(FAULTS, |count| count >= n);
    }
}

#[test]
fn a_connect_whose_lengths_are_wrong_closes() {
    let tidegate = Setup::new().start();
    let wrong: [&[u8]; 6] = [
        b"\x10\x00\x00",
        b"\x10\x00\x01\x3C",
        b"\x10\x00\x07\x3C\x00\x05abcd",
        b"\x10\x00\x08\x3C\x00\x04abcdx",
        b"\x10\x00\x13\x3C\x00\x04abcd\x00\x04abcd\x00\x05abcd",
        b"\x10\x00\x15\x3C\x00\x04abcd\x00\x04abcd\x00\x04abcd\x00\x00",
    ];
    for octets in wrong {
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(octets);
        assert!(device.is_closed(), "{octets:?}");
    }
    tidegate.metric_until(FAULTS, |count| count == 6);
}

#[test]
fn what_may_not_follow_a_connect_closes() {
    let tidegate = Setup::new().start().ready();
    for octets in [&connect_frame(60, &["pump"])[..], b"\x20\x00\x00", &[0x50], &[0x70], &[0x00]] {
        let mut device = TcpDevice::connect(tidegate.tcp(), "pump");
        device.write(octets);
        assert!(device.is_closed(), "{octets:?}");
    }
    tidegate.metric_until(FAULTS, |count| count == 5);
}

#[test]
fn a_version_that_is_not_spoken_and_a_name_that_is_none_are_refused_in_words() {
    let tidegate = Setup::new().start().ready();
    let mut device = TcpDevice::new(tidegate.tcp());
    let mut octets = connect_frame(60, &["pump"]);
    octets[0] = 0x12;
    device.write(&octets);
    assert_eq!(device.frame().map(|frame| frame.head), Some(0x22));
    assert!(device.is_closed());
    for id in ["", "a+b", "a/b", "#"] {
        let (head, text) = TcpDevice::new(tidegate.tcp()).refused(&[id]);
        assert!(head == 0x21 && !text.is_empty(), "{id:?}: {head:x} {text}");
    }
}

#[test]
fn random_octets_close_and_disturb_nobody() {
    let tidegate = Setup::new().start().ready();
    let mut quiet = TcpDevice::connect(tidegate.tcp(), "quiet");
    for _ in 0..50 {
        let mut noise = [0; 300];
        openssl::rand::rand_bytes(&mut noise).unwrap();
        // Neither a CONNECT nor a TLS ClientHello.
        noise[0] |= 0x80;
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(&noise);
        assert!(device.is_closed());
    }
    quiet.ping();
}

#[test]
fn who_says_nothing_or_too_slowly_is_closed() {
    let tidegate = with(&[("IDLE_TIMEOUT", "1s")]).start().ready();
    // Nothing at all; half of a CONNECT; a CONNECT, and half of a frame behind it.
    let mut devices = [(); 3].map(|()| TcpDevice::new(tidegate.tcp()));
    devices[1].write(b"\x10\x00\x07\x3C");
    devices[2].enter(&["slow"]);
    devices[2].write(b"\x30\x00\x09half");
    for (n, device) in devices.iter_mut().enumerate() {
        assert!(device.is_closed(), "{n}");
    }
    tidegate.metric_until("tidegate_streams_open", |open| open == 0);
}

#[test]
fn a_device_that_dribbles_octets_gains_no_time() {
    let tidegate = with(&[("IDLE_TIMEOUT", "1s")]).start().ready();
    let mut device = TcpDevice::over(connection(tidegate.tcp()));
    device.write(b"\x10\xFF\xFF\x3C\xFF\x00");
    let mut wire = connection(tidegate.tcp());
    wire.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    std::io::Write::write_all(&mut wire, b"\x10\xFF\xFF\x3C\xFF\x00").unwrap();
    // An octet each 100 ms, until it hangs up.
    let closed = (0..300).any(|_| {
        let gone = std::io::Write::write_all(&mut wire, b"a").is_err();
        gone || matches!(std::io::Read::read(&mut wire, &mut [0; 8]), Ok(0))
            || std::io::Read::read(&mut wire, &mut [0; 8])
                .is_err_and(|fault| fault.kind() == std::io::ErrorKind::ConnectionReset)
    });
    assert!(closed);
    assert!(device.is_closed());
}

#[test]
fn silence_beyond_one_and_a_half_keepalives_closes() {
    let tidegate = Setup::new().set("NODE__NAME", "north").start().ready();
    let mut listener = crate::mqtt::MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("tidegate/north/clients/tcp/+/disconnected", 1);
    let mut device = TcpDevice::new(tidegate.tcp());
    device.write(&connect_frame(1, &["brief"]));
    assert_eq!(device.frame().map(|frame| frame.head), Some(0x20));
    assert!(device.is_closed());
    assert!(listener.message().payload.contains("\"reason\":\"keepalive_timeout\""));
    let mut forever = TcpDevice::new(tidegate.tcp());
    forever.write(&connect_frame(0, &["forever"]));
    assert_eq!(forever.frame().map(|frame| frame.head), Some(0x20));
    // Longer than the other was given.
    let mut device = TcpDevice::new(tidegate.tcp());
    device.write(&connect_frame(1, &["brief"]));
    assert_eq!(device.frame().map(|frame| frame.head), Some(0x20));
    assert!(device.is_closed());
    forever.ping();
}

#[test]
fn who_closes_its_half_is_heard_to_the_end() {
    let tidegate = Setup::new().start().ready();
    let mut listener = crate::mqtt::MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("tcp/last/up", 0);
    let wire = connection(tidegate.tcp());
    let mut device = TcpDevice::over(wire.try_clone().unwrap());
    device.enter(&["last"]);
    device.publish("words");
    wire.shutdown(Shutdown::Write).unwrap();
    assert_eq!(listener.message().payload, "words");
    assert!(device.is_closed());
}

#[test]
fn tls_to_a_plain_port_is_told_in_one_line() {
    let Some(openssl) = program("openssl") else { return };
    let mut tidegate = Setup::new().start().ready();
    let mut client = Command::new(openssl)
        .args(["s_client", "-connect", &tidegate.tcp().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(!client.wait().unwrap().success());
    let line = tidegate.logged("TLS");
    assert!(line.contains("gateways.tcp.listeners.tcp.default") || line.contains("127.0.0.1"), "{line}");
}
