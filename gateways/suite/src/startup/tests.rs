//! The text as a person sees it.

use super::*;
use bridge_core::config::{LinkMode, Server};

fn rows(device: &str, broker: &str) -> Vec<Row> {
    let row = |protocol, transport, address: &str, note: &str| Row {
        protocol,
        transport,
        address: address.parse().unwrap(),
        note: note.to_owned(),
    };
    vec![
        row("MQTT-SN", "udp", device, "gateways.mqttsn.listeners.udp.default"),
        row("TCP", "tcp", "127.0.0.1:8090", "gateways.tcp.listeners.tcp.default"),
        row("MQTT", "tcp", broker, "embedded broker"),
    ]
}

fn overview(config: &Config) -> Overview<'_> {
    Overview {
        config,
        node: "north",
        workers: 2,
        links: 2,
        rows: rows("127.0.0.1:1884", "127.0.0.1:1883"),
        embedded: Some(([127, 0, 0, 1], 1883).into()),
    }
}

/// The first command that listens at the broker.
fn listens(overview: &Overview<'_>) -> Option<String> {
    let text = overview.text();
    text.lines().map(str::trim).find(|line| line.starts_with("mosquitto_sub")).map(ToOwned::to_owned)
}

#[test]
fn the_defaults_are_told_in_full() {
    let expected = [
        &format!("tidegate {}: node north, 2 workers", env!("CARGO_PKG_VERSION")),
        "",
        "  PROTOCOL  TRANSPORT  ADDRESS         WHAT",
        "  MQTT-SN   udp        127.0.0.1:1884  gateways.mqttsn.listeners.udp.default",
        "  TCP       tcp        127.0.0.1:8090  gateways.tcp.listeners.tcp.default",
        "  MQTT      tcp        127.0.0.1:1883  embedded broker",
        "",
        "Broker: embedded, 2 connections.",
        "All of it listens on loopback: no other machine gets in. `node.bind = \"0.0.0.0\"` opens the gateways.",
        "",
        "Try MQTT-SN. In one terminal:",
        "  mosquitto_sub -h 127.0.0.1 -p 1883 -t 'hi'",
        "In another:",
        r"  printf '\014\014bhi\000\000hello' | nc -u -w1 127.0.0.1 1884",
        "",
        "Try TCP. In one terminal:",
        "  mosquitto_sub -h 127.0.0.1 -p 1883 -t 'tcp/demo/up'",
        "In another:",
        r"  printf '\020\000\007\074\000\004demo\060\000\005hello' | nc -w1 127.0.0.1 8090",
        "",
    ];
    assert_eq!(overview(&Config::default()).text(), expected.join("\n"));
}

#[test]
fn a_node_without_a_gateway_says_so() {
    let config = Config::default();
    let mut without = overview(&config);
    assert!(!without.text().contains("No gateway runs"));
    without.rows.retain(|row| row.protocol == "MQTT");
    assert!(without.text().contains("No gateway runs"));
}

#[test]
fn what_other_machines_reach_is_named() {
    let config = Config::default();
    let open = Overview { rows: rows("0.0.0.0:1884", "127.0.0.1:1883"), ..overview(&config) };
    assert_eq!(open.reach(), "Other machines can reach MQTT-SN 0.0.0.0:1884.");
    assert!(open.text().contains("nc -u -w1 127.0.0.1 1884"), "from here it is reached by loopback");
}

#[test]
fn passwords_are_not_shown() {
    let mut config = Config::default();
    config.broker.link.username = "ops".into();
    config.broker.link.password = "hunter2".to_owned().into();
    let text = overview(&config).text();
    assert!(text.contains("as ops:***") && text.contains("-u 'ops' -P PASSWORD"), "{text}");
    assert!(!text.contains("hunter2"));
}

#[test]
fn the_topic_to_listen_to_has_the_mountpoint() {
    let mut config = Config::default();
    let listen = |config: &Config| listens(&overview(config));
    config.gateways.mqttsn.machine.mountpoint = "site/%n/%c/".into();
    assert_eq!(listen(&config).unwrap(), "mosquitto_sub -h 127.0.0.1 -p 1883 -t 'site/north/NegQoS-Client/hi'");
    config.gateways.mqttsn.machine.qos_minus_one = false;
    assert_eq!(listen(&config).unwrap(), "mosquitto_sub -h 127.0.0.1 -p 1883 -t 'tcp/demo/up'");
    config.gateways.tcp.machine.mountpoint = "%n/".into();
    config.gateways.tcp.machine.up_topic = "%c".into();
    assert_eq!(listen(&config).unwrap(), "mosquitto_sub -h 127.0.0.1 -p 1883 -t 'north/demo'");
    config.auth.allow_anonymous = Some(false);
    assert_eq!(listen(&config), None, "nothing to try without a password");
}

#[test]
fn a_broker_whose_certificate_is_not_checked_is_tried_only_as_mosquitto_sub_can() {
    let mut config = Config::default();
    config.broker.link.url = BrokerUrl::Tls(Server { host: "broker.example".into(), port: 8883 });
    let listen = |config: &Config| listens(&overview(config)).unwrap();
    assert_eq!(listen(&config), "mosquitto_sub -h broker.example -p 8883 --tls-use-os-certs -t 'hi'");
    config.broker.link.tls.insecure_skip_verify = true;
    let text = overview(&config).text();
    assert!(!text.contains("mosquitto_sub -h") && !text.contains("nc -u"), "{text}");
    let why = "No command to try it with: mosquitto_sub has to trust somebody, and [broker.tls] says insecure_skip_verify \
               without ca_file.";
    assert!(text.ends_with(&format!("\n{why}\n")), "{text}");
    config.broker.link.tls.ca_file = Some("ca.pem".into());
    let expected = "mosquitto_sub -h broker.example -p 8883 --cafile 'ca.pem' --insecure -t 'hi'";
    assert_eq!(listen(&config), expected);
}

#[test]
fn a_connection_for_each_device_is_told() {
    let mut config = Config::default();
    config.broker.link.mode = LinkMode::PerDevice;
    assert_eq!(overview(&config).broker(), "Broker: embedded, 2 connections and one for each device.");
    assert!(!overview(&config).text().contains("Try TCP"), "the broker decides who comes in");
}

#[test]
fn a_device_that_speaks_otherwise_is_not_tried() {
    let mut config = Config::default();
    let tried = |config: &Config| overview(config).text().contains("Try TCP");
    assert!(tried(&config));
    config.gateways.tcp.listeners.tcp.get_mut("default").unwrap().common.proxy_protocol = true;
    assert!(!tried(&config));
}

#[test]
fn an_address_that_stands_for_all_is_reached_by_loopback() {
    for (address, expected) in [
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("[::]:1", "[::1]:1"),
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("127.0.0.1:1", "127.0.0.1:1"),
    ] {
        assert_eq!(reached_from_here(address.parse().unwrap()).to_string(), expected);
    }
}
