//! The link to a broker over WebSocket: mosquitto with a listener for it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use codec_mqttsn::{Qos, Topic};

use crate::certificates::{Authority, Certificate};
use crate::mosquitto::{Door, Mosquitto, free_port};
use crate::mqtt::MqttClient;
use crate::process::{Dir, Setup, program, skip};
use crate::sn::Device;

/// A mosquitto with a WebSocket listener besides its plain one, and that one's port. `options`: lines about it.
fn mosquitto(options: &str) -> Option<(Mosquitto, u16)> {
    let binary = std::fs::read(program("mosquitto")?).expect("it can be read");
    if !binary.windows(LIBRARY.len()).any(|octets| octets == LIBRARY) {
        return skip("this mosquitto is built without WebSocket");
    }
    let port = free_port();
    // As root it would give up its rights, and then could not read a key.
    let options = format!("user root\nlistener {port} 127.0.0.1\nprotocol websockets\n{options}");
    Mosquitto::start(&options).map(|broker| (broker, port))
}

/// What a mosquitto with WebSocket says at its start.
const LIBRARY: &[u8] = b"Opening websockets listen socket";

#[test]
fn messages_go_both_ways_over_web_socket() {
    for protocol in ["5", "3.1.1"] {
        let Some((broker, port)) = mosquitto("") else { return };
        let tidegate = Setup::new()
            .set("BROKER__URL", &format!("ws://127.0.0.1:{port}/mqtt"))
            .set("BROKER__PROTOCOL", protocol)
            .start()
            .ready();
        let mut ops = MqttClient::connect("ops", broker.port);
        ops.subscribe("up/#", 2);
        let mut device = Device::connect(tidegate.mqttsn(), "lamp");
        device.subscribe("down", Qos::ExactlyOnce);
        let topic = device.register("up/lamp");
        for (qos, level) in [(Qos::AtMostOnce, 0), (Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 2)] {
            // Longer than one frame of ours could tell in a single octet.
            let payload = format!("{level} {}", "x".repeat(1000));
            device.publish(Topic::Normal(topic), &payload, qos, false);
            let heard = ops.message();
            assert_eq!((heard.topic.as_str(), heard.payload, heard.qos), ("up/lamp", payload, level));
        }
        ops.publish("down", "on", false);
        assert_eq!(device.message().payload, "on");
    }
}

#[test]
fn messages_go_over_web_socket_in_tls() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let Certificate { cert, key } = authority.certify(&dir, "localhost");
    let Some((broker, port)) = mosquitto(&format!("certfile {cert}\nkeyfile {key}")) else { return };
    let tidegate = Setup::new()
        .set("BROKER__URL", &format!("wss://localhost:{port}"))
        .set("BROKER__TLS__CA_FILE", &authority.file)
        .start()
        .ready();
    let mut ops = MqttClient::connect("ops", broker.port);
    ops.subscribe("up", 1);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    device.publish(Topic::Short(*b"up"), "on", Qos::AtLeastOnce, false);
    assert_eq!(ops.message().payload, "on");
}

#[test]
fn each_device_has_a_web_socket_of_its_own_in_per_device_mode() {
    let Some((broker, port)) = mosquitto("") else { return };
    let tidegate = Setup::new()
        .set("BROKER__URL", &format!("ws://127.0.0.1:{port}"))
        .set("BROKER__MODE", "per-device")
        .set("BROKER__BIND", "['127.0.0.2', '127.0.0.3']")
        .start()
        .ready();
    let mut ops = MqttClient::connect("ops", broker.port);
    ops.subscribe("up", 1);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    device.subscribe("down", Qos::AtLeastOnce);
    device.publish(Topic::Short(*b"up"), "on", Qos::AtLeastOnce, false);
    assert_eq!(ops.message().payload, "on");
    ops.publish("down", "off", false);
    assert_eq!(device.message().payload, "off");
    // Whoever takes its client id at the broker ends its connection. mosquitto 2.0 does not say why over WebSocket: so it is
    // one that was lost, and comes back.
    let _other = MqttClient::connect("lamp", broker.port);
    tidegate.metric_until("tidegate_client_links_reconnected_total", |count| count >= 1);
    device.publish(Topic::Short(*b"up"), "again", Qos::AtLeastOnce, false);
    assert_eq!(ops.message().payload, "again");
}

#[test]
fn a_link_over_web_socket_comes_back_and_what_waited_arrives() {
    let Some((broker, port)) = mosquitto("") else { return };
    let mut door = Door::to(port);
    let tidegate = Setup::new().set("BROKER__URL", &format!("ws://127.0.0.1:{}", door.port)).start().ready();
    let mut ops = MqttClient::connect("ops", broker.port);
    ops.subscribe("up", 1);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    door.shut();
    tidegate.readyz_until(|code, _| code == 503);
    let sent = device.send_publish(Topic::Short(*b"up"), "on", Qos::AtLeastOnce, false);
    door.open();
    assert_eq!(device.puback().0, sent);
    assert_eq!(ops.message().payload, "on");
}

#[test]
fn a_web_server_that_refuses_is_told_in_its_words() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut coming in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 1024];
            drop(coming.read(&mut request));
            drop(coming.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nnot you\n"));
        }
    });
    let tidegate = Setup::new().set("BROKER__URL", &format!("ws://127.0.0.1:{port}/mqtt")).start();
    let expected = format!("ws://127.0.0.1:{port}/mqtt answered HTTP 403 Forbidden: not you");
    tidegate.readyz_until(|code, body| code == 503 && body.contains(&expected));
}
