//! What every device does: come in, send, hear, go.

use crate::mosquitto::Mosquitto;
use crate::mqtt::MqttClient;
use crate::process::Setup;
use crate::tcp_device::{Frame, TcpDevice};

#[test]
fn the_frames_of_the_manual_are_answered_octet_by_octet() {
    let tidegate = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("tcp/#", 0);
    for connect in [
        &b"\x10\x00\x07\x3C\x00\x04abcd"[..],
        b"\x11\x00\x07\x3C\x00\x04abcd",
        b"\x10\x00\x13\x3C\x00\x04abcd\x00\x04abcd\x00\x04abcd",
    ] {
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(connect);
        let connack = Frame { head: 0x20, payload: b"Connect Successfully".to_vec() };
        assert_eq!(device.frame(), Some(connack));
        device.write(b"\x30\x00\x04abcd");
        let heard = listener.message();
        assert_eq!((heard.topic.as_str(), heard.payload.as_str(), heard.qos), ("tcp/abcd/up", "abcd", 0));
        device.ping();
        device.write(&[0x60]);
        assert!(device.is_closed());
    }
}

#[test]
fn every_octet_may_come_by_itself() {
    let tidegate = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("tcp/slow/up", 0);
    let mut device = TcpDevice::new(tidegate.tcp());
    for octet in b"\x10\x00\x07\x3C\x00\x04slow\x30\x00\x02hi\x40" {
        device.write(&[*octet]);
    }
    assert_eq!(device.frame().unwrap().payload, b"Connect Successfully");
    assert_eq!(device.frame().unwrap().head, 0x50);
    assert_eq!(listener.message().payload, "hi");
}

#[test]
fn a_message_comes_back_on_the_devices_own_topic() {
    for workers in ["1", "3"] {
        let tidegate = Setup::new().set("NODE__WORKERS", workers).start().ready();
        let mut device = TcpDevice::connect(tidegate.tcp(), "pump");
        let mut ops = MqttClient::connect("ops", tidegate.broker_port());
        for payload in ["start", "", "stop"] {
            ops.publish("tcp/pump/dn", payload, false);
        }
        assert_eq!([device.message(), device.message(), device.message()], ["start", "", "stop"]);
    }
}

#[test]
fn the_largest_message_goes_both_ways_and_a_larger_one_is_dropped() {
    let tidegate = Setup::new().start().ready();
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    ops.subscribe("tcp/pump/up", 0);
    let mut device = TcpDevice::connect(tidegate.tcp(), "pump");
    let largest = "x".repeat(65_535);
    device.publish(&largest);
    assert!(ops.message().payload == largest);
    ops.publish("tcp/pump/dn", &format!("{largest}y"), false);
    ops.publish("tcp/pump/dn", &largest, false);
    assert!(device.message() == largest);
}

#[test]
fn many_devices_on_two_shards_are_reached_wherever_they_came_in() {
    let tidegate = Setup::new().start().ready();
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    ops.subscribe("tcp/+/up", 0);
    let mut devices: Vec<_> = (0..32).map(|n| TcpDevice::connect(tidegate.tcp(), &format!("d{n}"))).collect();
    for (n, device) in devices.iter_mut().enumerate() {
        device.publish(&format!("from {n}"));
        let heard = ops.message();
        assert_eq!((heard.topic, heard.payload), (format!("tcp/d{n}/up"), format!("from {n}")));
        ops.publish(&format!("tcp/d{n}/dn"), &format!("to {n}"), false);
        assert_eq!(device.message(), format!("to {n}"));
    }
    // Each comes in again, wherever the kernel puts it, and the older connection ends.
    for (n, older) in devices.iter_mut().enumerate() {
        let mut newer = TcpDevice::connect(tidegate.tcp(), &format!("d{n}"));
        assert!(older.is_closed(), "{n}");
        ops.publish(&format!("tcp/d{n}/dn"), "again", false);
        assert_eq!(newer.message(), "again");
    }
}

#[test]
fn events_tell_of_who_comes_and_who_takes_over() {
    let tidegate = Setup::new().set("NODE__NAME", "north").start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("tidegate/north/clients/tcp/#", 1);
    let mut older = TcpDevice::connect(tidegate.tcp(), "pump");
    let connected = listener.message();
    assert_eq!(connected.topic, "tidegate/north/clients/tcp/pump/connected");
    let told: serde_json::Value = serde_json::from_str(&connected.payload).unwrap();
    assert_eq!((&told["gateway"], &told["proto_name"]), (&"tcp".into(), &"TCP".into()));
    assert_eq!((&told["ipaddress"], &told["keepalive"]), (&"127.0.0.1".into(), &60.into()));
    let _newer = TcpDevice::connect(tidegate.tcp(), "pump");
    assert!(older.is_closed());
    let gone = std::iter::repeat_with(|| listener.message()).find(|told| told.topic.ends_with("/disconnected"));
    assert!(gone.is_some_and(|gone| gone.payload.contains("\"reason\":\"takenover\"")));
}

#[test]
fn a_device_talks_through_mosquitto_and_stays_while_it_restarts() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let tidegate = Setup::new().broker(broker.port).start().ready();
    let mut device = TcpDevice::connect(tidegate.tcp(), "pump");
    for round in ["before", "after"] {
        let mut ops = MqttClient::connect("ops", broker.port);
        ops.subscribe("tcp/pump/up", 0);
        device.publish(round);
        assert_eq!(ops.message().payload, round);
        ops.publish("tcp/pump/dn", round, false);
        assert_eq!(device.message(), round);
        if round == "before" {
            broker.crash();
            tidegate.readyz_until(|code, _| code == 503);
            device.ping();
            broker.start_again();
            tidegate.await_ready();
        }
    }
}

#[test]
fn the_admin_api_and_ctl_show_devices_and_listeners_of_sockets() {
    let tidegate = Setup::new().start().ready();
    let mut device = TcpDevice::new(tidegate.tcp());
    device.enter(&["pump", "ann", "secret"]);
    let (code, body) = tidegate.get("/api/v5/gateways/tcp/clients");
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    let row = &told["data"][0];
    assert_eq!((code, &row["clientid"], &row["username"]), (200, &"pump".into(), &"ann".into()), "{body}");
    assert_eq!((&row["proto_name"], &row["keepalive"], &row["connected"]), (&"TCP".into(), &60.into(), &true.into()));
    assert!(!body.contains("secret"));
    let (_, body) = tidegate.get("/api/v5/gateways/tcp/listeners");
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    let listener = &told[0];
    assert_eq!((&listener["id"], &listener["type"]), (&"tcp:tcp:default".into(), &"tcp".into()), "{body}");
    assert_eq!(listener["current_connections"], 1);
    let url = format!("http://{}", tidegate.address("HTTP"));
    let shown = crate::process::tidegate(&["ctl", "--url", &url, "clients", "list", "--gateway", "tcp"], &[]);
    assert!(shown.code == Some(0) && shown.output.contains("pump"), "{shown:?}");
    let kicked = crate::process::tidegate(&["ctl", "--url", &url, "clients", "kick", "pump", "--gateway", "tcp"], &[]);
    assert_eq!(kicked.code, Some(0), "{kicked:?}");
    assert!(device.is_closed());
}

#[test]
fn a_stop_takes_what_devices_have_said_and_closes_their_connections() {
    let Some(broker) = Mosquitto::start("") else { return };
    let tidegate = Setup::new().broker(broker.port).set("GATEWAYS__TCP__UPLINK_QOS", "1").start().ready();
    let mut ops = MqttClient::connect("ops", broker.port);
    ops.subscribe("tcp/pump/up", 1);
    let mut device = TcpDevice::connect(tidegate.tcp(), "pump");
    for n in 0..20 {
        device.publish(&n.to_string());
    }
    device.ping();
    tidegate.signal("TERM");
    assert!(device.is_closed());
    let heard: Vec<_> = (0..20).map(|_| ops.message().payload).collect();
    assert_eq!(heard, (0..20).map(|n: u8| n.to_string()).collect::<Vec<_>>());
    let (code, log) = tidegate.end();
    assert_eq!(code, Some(0), "{log}");
}
