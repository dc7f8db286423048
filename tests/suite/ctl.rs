//! `tidegate ctl` against a running node.

use std::net::TcpListener;

use codec_mqttsn::Qos;
use serde_json::{Value, json};

use crate::process::{Dir, Outcome, Setup, Tidegate, tidegate};
use crate::sn::Device;

/// Against this node.
fn ctl(node: &Tidegate, arguments: &[&str]) -> Outcome {
    let url = format!("http://{}", node.address("HTTP"));
    tidegate(&[&["ctl", "--url", &url], arguments].concat(), &[])
}

fn output(node: &Tidegate, arguments: &[&str]) -> String {
    let outcome = ctl(node, arguments);
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.errors);
    outcome.output
}

fn json_of(node: &Tidegate, arguments: &[&str]) -> Value {
    let text = output(node, &[arguments, &["--json"]].concat());
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The words of each line.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn a_node_its_gateways_and_listeners_are_tables() {
    let node = Setup::new().set("NODE__NAME", "north").start().ready();
    let status = output(&node, &["status"]);
    assert!(status.starts_with("node     north\n") && status.contains("\nready    yes\n"), "{status}");
    assert!(status.contains("\nLINK  CLIENT ID         SHARD  ONLINE  STATE\n"), "{status}");
    assert!(status.contains("\n1     tidegate-north-1  1      yes     online at "), "{status}");
    assert_eq!(json_of(&node, &["status"])["node"], "north");

    let gateways = output(&node, &["gateways"]);
    let table = words(&gateways);
    assert_eq!(table[0], ["NAME", "STATUS", "SESSIONS", "AT", "MOST", "LISTENERS"]);
    assert_eq!(table[1], ["coap", "unloaded", "-", "-", "-"]);
    assert_eq!(table[3], ["mqttsn", "running", "0", "1024000", "mqttsn:udp:default"]);
    let listeners = output(&node, &["listeners"]);
    let bind = node.mqttsn().to_string();
    assert_eq!(words(&listeners)[1], ["mqttsn:udp:default", &bind, "yes", "0", "1024000"]);
    assert_eq!(words(&listeners)[2][0], "tcp:tcp:default");
    let own = output(&node, &["listeners", "--gateway", "mqttsn"]);
    assert_eq!(own.lines().collect::<Vec<_>>(), listeners.lines().take(2).collect::<Vec<_>>());
    assert_eq!(json_of(&node, &["listeners"])[0]["id"], "mqttsn:udp:default");
}

#[test]
fn clients_are_listed_shown_and_kicked() {
    let node = Setup::new().start().ready();
    let mut lamp = Device::connect(node.mqttsn(), "room/lamp 1");
    let _door = Device::connect(node.mqttsn(), "door");
    let port = get_port(&node, "room/lamp 1");
    let table = output(&node, &["clients", "list", "--like-clientid", "lamp", "--conn-state", "connected"]);
    let rows = words(&table);
    assert_eq!(rows[0][..6], ["CLIENT", "ID", "USER", "NAME", "ADDRESS", "PORT"]);
    assert_eq!(rows[1][..7], ["room/lamp", "1", "-", "127.0.0.1", &port, "connected", "0"]);
    assert_eq!(rows.len(), 2);
    let all = json_of(&node, &["clients", "list"]);
    assert_eq!(
        (all["data"].as_array().map(Vec::len), &all["meta"]),
        (Some(2), &json!({ "count": 2, "hasnext": false }))
    );

    let one = output(&node, &["clients", "show", "room/lamp 1"]);
    assert!(one.contains("clientid           room/lamp 1\n") && one.contains("username           -\n"), "{one}");
    assert_eq!(json_of(&node, &["clients", "show", "door"])["proto_ver"], "1.2");

    let kicked = ctl(&node, &["clients", "kick", "room/lamp 1"]);
    assert_eq!((kicked.code, kicked.output.as_str()), (Some(0), "room/lamp 1 is gone"));
    lamp.await_disconnect();
    let again = ctl(&node, &["clients", "kick", "room/lamp 1"]);
    let url = format!("http://{}", node.address("HTTP"));
    assert_eq!(again.code, Some(1));
    let hint = "(mqttsn was asked; --gateway asks another: tcp)";
    assert_eq!(again.errors, format!("tidegate: {url}: the gateway has no client with this id {hint}"));
}

fn get_port(node: &Tidegate, id: &str) -> String {
    json_of(node, &["clients", "show", id])["port"].to_string()
}

#[test]
fn a_list_follows_the_pages_up_to_its_limit() {
    let node = Setup::new().start().ready();
    let _devices: Vec<_> = (0..7).map(|n| Device::connect(node.mqttsn(), &format!("dev-{n}"))).collect();
    let some = ctl(&node, &["clients", "list", "--limit", "5"]);
    assert_eq!((some.code, words(&some.output).len()), (Some(0), 6));
    assert_eq!(some.errors, "5 of 7 clients; --limit shows more");
    let some = ctl(&node, &["clients", "list", "--limit", "5", "--clean-start", "true"]);
    assert_eq!(some.errors, "5 clients, and there are more; --limit shows them");
    let all = ctl(&node, &["clients", "list", "--limit", "7"]);
    assert_eq!((words(&all.output).len(), all.errors.as_str()), (8, ""));
    let none = ctl(&node, &["clients", "list", "--limit", "0"]);
    assert_eq!((none.code, words(&none.output).len()), (Some(0), 1));
}

#[test]
fn subscriptions_are_listed_added_and_removed() {
    let node = Setup::new().start().ready();
    let mut lamp = Device::connect(node.mqttsn(), "lamp");
    lamp.subscribe("own", Qos::AtLeastOnce);
    assert_eq!(words(&output(&node, &["subscriptions", "lamp"])), [["TOPIC", "QOS"], ["own", "1"]]);
    let table = output(&node, &["subscriptions", "lamp", "--add", "a/#", "--qos", "2"]);
    assert_eq!(words(&table), [["TOPIC", "QOS"], ["own", "1"], ["a/#", "2"]]);
    let rows = json_of(&node, &["subscriptions", "lamp", "--remove", "a/#"]);
    assert_eq!(rows, json!([{ "clientid": "lamp", "topic": "own", "qos": 1 }]));
    let missing = ctl(&node, &["subscriptions", "lamp", "--remove", "a/#"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.errors.ends_with("the client has no subscription to this filter"), "{}", missing.errors);
}

#[test]
fn metrics_are_those_of_the_node() {
    let node = Setup::new().start().ready();
    assert!(output(&node, &["metrics"]).contains("\ntidegate_link_up 2\n"));
    let samples = json_of(&node, &["metrics"]);
    let up = samples.as_array().unwrap().iter().find(|sample| sample["name"] == "tidegate_link_up");
    assert_eq!(up, Some(&json!({ "name": "tidegate_link_up", "labels": {}, "value": 2 })));
}

#[test]
fn a_node_that_is_not_ready_is_exit_code_1() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let node = Setup::new().broker(closed).start();
    let outcome = ctl(&node, &["status"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.output.contains("ready    no: "), "{}", outcome.output);
    assert!(outcome.errors.starts_with("tidegate: the node is not ready: link "), "{}", outcome.errors);
}

#[test]
fn where_and_as_whom_comes_from_a_file_or_the_environment() {
    let node = Setup::new().set("ADMIN__USERNAME", "Aladdin").set("ADMIN__PASSWORD", "open sesame").start();
    let address = node.address("HTTP").to_string();
    let dir = Dir::new();
    let text = format!("[admin]\nbind = \"{address}\"\nusername = \"Aladdin\"\npassword = \"open sesame\"\n");
    let file = dir.write("t.toml", &text);
    let by_file = tidegate(&["ctl", "-c", file.to_str().unwrap(), "gateways"], &[]);
    assert_eq!((by_file.code, by_file.errors.as_str()), (Some(0), ""));
    let mut environment = vec![
        ("TIDEGATE__ADMIN__BIND", address.as_str()),
        ("TIDEGATE__ADMIN__USERNAME", "Aladdin"),
        ("TIDEGATE__ADMIN__PASSWORD", "open sesame"),
    ];
    let by_environment = tidegate(&["ctl", "gateways"], &environment);
    assert_eq!((by_environment.code, by_environment.output), (Some(0), by_file.output));
    environment[2].1 = "guess";
    let wrong = tidegate(&["ctl", "gateways"], &environment);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.errors.contains(&address) && wrong.errors.contains("TIDEGATE__ADMIN__PASSWORD"), "{}", wrong.errors);
    for _ in 0..4 {
        assert_eq!(tidegate(&["ctl", "gateways"], &environment).code, Some(1));
    }
    let locked = tidegate(&["ctl", "gateways"], &environment);
    assert!(locked.code == Some(1) && locked.errors.contains("try again in "), "{}", locked.errors);
}

#[test]
fn an_address_without_a_node_is_told_with_what_to_do() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = tidegate(&["ctl", "--url", &format!("http://{closed}"), "status"], &[]);
    assert_eq!(refused.code, Some(1));
    let expected = format!("tidegate: http://{closed}: connection refused: does the node run");
    assert!(refused.errors.starts_with(&expected), "{}", refused.errors);
    let off = tidegate(&["ctl", "status"], &[("TIDEGATE__ADMIN__BIND", "")]);
    assert_eq!(off.code, Some(2));
    assert!(off.errors.contains("admin.bind is empty"), "{}", off.errors);
}

#[test]
fn wrong_usage_is_exit_code_2_and_passwords_are_not_repeated() {
    for arguments in [
        &["ctl"][..],
        &["ctl", "clients"],
        &["ctl", "clients", "show"],
        &["ctl", "nothing"],
        &["ctl", "--url", "https://127.0.0.1:1", "status"],
        &["ctl", "--url", "http://ops:hunter2@127.0.0.1:1", "status"],
        &["ctl", "-c", "nowhere.toml", "status"],
        &["ctl", "clients", "list", "--ip-address", "lamp"],
        &["ctl", "subscriptions", "lamp", "--add", "a", "--qos", "3"],
        &["ctl", "trace", "start", "--client", "lamp"],
        &["ctl", "lwm2m", "read", "/3/0"],
        &["ctl", "token"],
    ] {
        let outcome = tidegate(arguments, &[]);
        assert_eq!((outcome.code, outcome.output.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!outcome.errors.is_empty() && !outcome.errors.contains("hunter2"), "{arguments:?}: {}", outcome.errors);
    }
    let trace = tidegate(&["ctl", "trace", "x"], &[]);
    assert_eq!(trace.errors, "tidegate: ctl trace is not in this version");
}
