//! MQTT-SN devices behind a proxy that says who they are.

use std::net::UdpSocket;

use codec_mqttsn::{Connect, Message, ReturnCode, decode};

use crate::process::{PATIENCE, Setup};

/// A header of version 2 for a datagram over IPv4, from 192.0.2.9:4000.
const HEADER: &[u8] =
    b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A\x21\x12\x00\x0C\xC0\x00\x02\x09\x7F\x00\x00\x01\x0F\xA0\x07\x5C";

#[test]
fn the_address_in_the_header_is_the_devices_and_answers_go_to_the_proxy() {
    let tidegate =
        Setup::new().set("GATEWAYS__MQTTSN__LISTENERS__UDP__DEFAULT__PROXY_PROTOCOL", "true").start().ready();
    let proxy = UdpSocket::bind("127.0.0.1:0").unwrap();
    proxy.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connect = Vec::new();
    let message = Connect { will: false, clean_session: true, protocol_id: 1, duration: 60, client_id: "lamp" };
    Message::Connect(message).encode(&mut connect).unwrap();
    // What has no header is dropped.
    proxy.send_to(&connect, tidegate.mqttsn()).unwrap();
    proxy.send_to(&[HEADER, &connect].concat(), tidegate.mqttsn()).unwrap();
    let mut buffer = [0; 64];
    let length = proxy.recv(&mut buffer).unwrap();
    assert_eq!(decode(&buffer[..length]).unwrap().message, Message::Connack { code: ReturnCode::Accepted });
    let (_, body) = tidegate.get("/api/v5/gateways/mqttsn/clients/lamp");
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["ip_address"], &told["port"]), (&"192.0.2.9".into(), &4000.into()), "{body}");
    tidegate.metric_until("tidegate_udp_dropped_total{direction=\"uplink\",reason=\"proxy\"}", |dropped| dropped == 1);
}
