//! What a start tells, and what keeps it from starting.

use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use crate::process::{Lines, Setup, program};

#[test]
fn a_gateway_port_in_use_is_told_with_its_listener_and_address() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = Setup::new().set("GATEWAYS__MQTTSN__LISTENERS__UDP__DEFAULT__BIND", &address).outcome();
    assert_eq!((outcome.code, outcome.output.as_str()), (Some(1), ""));
    let expected = format!(
        "tidegate: listener gateways.mqttsn.listeners.udp.default: UDP {address}: cannot bind: the port is in use"
    );
    assert_eq!(outcome.errors.lines().last(), Some(expected.as_str()));
}

#[test]
fn an_admin_port_in_use_is_told_with_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = Setup::new().set("ADMIN__BIND", &address).outcome();
    assert_eq!(outcome.code, Some(1));
    let expected = format!("tidegate: listener admin: TCP {address}: cannot bind: the port is in use");
    assert_eq!(outcome.errors.lines().last(), Some(expected.as_str()));
}

#[test]
fn the_embedded_brokers_port_in_use_comes_with_the_way_to_use_who_is_there() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let outcome = Setup::new().set("BROKER__EMBEDDED__BIND", &address.to_string()).outcome();
    assert_eq!(outcome.code, Some(1));
    let port = address.port();
    for part in [format!("port {port} is in use"), format!("TIDEGATE__BROKER__URL=mqtt://127.0.0.1:{port}")] {
        assert!(outcome.errors.contains(&part), "{part} in\n{}", outcome.errors);
    }
}

#[test]
fn the_lines_to_try_work_as_they_are_printed() {
    if ["mosquitto_sub", "nc", "stdbuf"].into_iter().any(|name| program(name).is_none()) {
        return;
    }
    let mut tidegate = Setup::new().start().ready();
    for protocol in ["MQTT-SN", "TCP"] {
        let (listen, send) = tidegate.try_it(protocol);
        try_it(&listen, &send);
    }
}

fn try_it(listen: &str, send: &str) {
    // With -d it tells when it is subscribed, and unbuffered it tells so at once; the line itself stays as it is.
    let mut listener = Command::new("sh")
        .args(["-c", &format!("exec stdbuf -oL {listen} -d -C 1 -W 30")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = Lines::of(listener.stdout.take().unwrap());
    assert!(heard.find(|line| line.contains("received SUBACK")).is_some(), "{:?}", heard.seen);
    let sent = Command::new("sh").args(["-c", send]).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(sent.success(), "{send}");
    assert!(heard.find(|line| line == "hello").is_some(), "{:?}", heard.seen);
    assert!(listener.wait().unwrap().success());
}

#[test]
fn the_table_names_everything_that_listens_and_says_that_it_is_all_loopback() {
    let tidegate = Setup::new().start();
    for protocol in ["MQTT-SN", "TCP", "MQTT", "HTTP"] {
        let address = tidegate.address(protocol);
        assert!(address.ip().is_loopback() && address.port() != 0, "{protocol} {address}");
    }
    assert!(tidegate.table.contains("node.bind"), "{}", tidegate.table);
}

#[test]
fn a_node_keeps_its_made_up_name() {
    let first = Setup::new().start();
    let name = first.table.split_once("node ").and_then(|(_, rest)| rest.split_once(',')).unwrap().0.to_owned();
    assert!(name.strip_prefix("tidegate-").is_some_and(|hex| hex.len() == 8), "{name}");
    let second = Setup::new().set("NODE__NAME", "north").start();
    assert!(second.table.contains("node north,"), "{}", second.table);
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let mut tidegate = Setup::new().set("LOG__FORMAT", "json").start().ready();
    let line = tidegate.logged("broker connection up");
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    let broker = tidegate.address("MQTT").to_string();
    assert_eq!((parsed["fields"]["server"].as_str(), parsed["fields"].get("target")), (Some(broker.as_str()), None));
    assert_eq!(
        (&parsed["level"], parsed["fields"]["message"].as_str()),
        (&"INFO".into(), Some("broker connection up"))
    );
}
