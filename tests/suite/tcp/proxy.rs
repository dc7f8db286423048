//! Devices behind a proxy that says who they are.

use super::listening;
use crate::process::Tidegate;
use crate::tcp_device::{TcpDevice, connect_frame};

/// A header of version 2 for a TCP connection over IPv4, from 192.0.2.9:4000.
const V2: &[u8] =
    b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A\x21\x11\x00\x0C\xC0\x00\x02\x09\x7F\x00\x00\x01\x0F\xA0\x1F\x9A";

fn address_of(tidegate: &Tidegate, id: &str) -> (String, u64) {
    let (_, body) = tidegate.get(&format!("/api/v5/gateways/tcp/clients/{id}"));
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    (told["ip_address"].as_str().unwrap_or_default().to_owned(), told["port"].as_u64().unwrap_or_default())
}

#[test]
fn the_address_in_the_header_is_the_devices() {
    let tidegate = listening(&[("PROXY_PROTOCOL", "true")]).start().ready();
    let v1 = b"PROXY TCP4 192.0.2.8 127.0.0.1 4001 8090\r\n";
    let v6 = b"PROXY TCP6 2001:db8::7 ::1 4002 8090\r\n";
    for (id, header, expected) in
        [("one", &v1[..], ("192.0.2.8", 4001)), ("six", v6, ("2001:db8::7", 4002)), ("two", V2, ("192.0.2.9", 4000))]
    {
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(&[header, &connect_frame(60, &[id])].concat());
        assert_eq!(device.frame().map(|frame| frame.head), Some(0x20), "{id}");
        assert_eq!(address_of(&tidegate, id), (expected.0.to_owned(), expected.1));
        device.ping();
    }
}

#[test]
fn a_proxys_own_word_leaves_the_address_as_it_is() {
    let tidegate = listening(&[("PROXY_PROTOCOL", "true")]).start().ready();
    let local = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A\x20\x00\x00\x00";
    for (id, header) in [("unknown", &b"PROXY UNKNOWN\r\n"[..]), ("local", local)] {
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(&[header, &connect_frame(60, &[id])].concat());
        assert_eq!(device.frame().map(|frame| frame.head), Some(0x20), "{id}");
        assert_eq!(address_of(&tidegate, id).0, "127.0.0.1");
    }
}

#[test]
fn a_header_that_nobody_asked_for_is_told_in_one_line() {
    let mut tidegate = listening(&[]).start().ready();
    for header in [&b"PROXY TCP4 192.0.2.8 127.0.0.1 4001 8090\r\n"[..], V2] {
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(header);
        assert!(device.is_closed());
    }
    assert_eq!(tidegate.metric("tidegate_connections_refused_total{reason=\"proxy_unasked\"}"), 2);
    let line = tidegate.logged("a PROXY header");
    assert!(line.contains("WARN") && line.contains("proxy_protocol"), "{line}");
}

#[test]
fn the_access_rules_see_the_proxied_address() {
    let keys = [("PROXY_PROTOCOL", "true"), ("ACCESS", "['deny 192.0.2.8', 'allow all']")];
    let tidegate = listening(&keys).start().ready();
    for (source, enters) in [("192.0.2.8", false), ("192.0.2.7", true)] {
        let mut device = TcpDevice::new(tidegate.tcp());
        let header = format!("PROXY TCP4 {source} 127.0.0.1 4001 8090\r\n");
        device.write(&[header.as_bytes(), &connect_frame(60, &["pump"])].concat());
        assert_eq!(device.frame().is_some(), enters, "{source}");
    }
}

#[test]
fn a_connection_without_a_good_header_is_closed() {
    let tidegate = listening(&[("PROXY_PROTOCOL", "true"), ("PROXY_PROTOCOL_TIMEOUT", "500ms")]).start().ready();
    let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    let wrong: [&[u8]; 5] = [&connect_frame(60, &["pump"]), b"PROXY TCP4 nonsense\r\n", &long, &V2[..20], b""];
    for octets in wrong {
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(octets);
        assert!(device.is_closed(), "{octets:?}");
    }
}

#[test]
fn a_header_where_none_is_wanted_is_no_frame() {
    let tidegate = listening(&[]).start().ready();
    let mut device = TcpDevice::new(tidegate.tcp());
    device.write(b"PROXY TCP4 192.0.2.8 127.0.0.1 4001 8090\r\n");
    assert!(device.is_closed());
}
