//! Clients, subscriptions, gateways and listeners through the admin API.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use codec_mqttsn::Qos;
use serde_json::{Value, json};

use crate::mqtt::MqttClient;
use crate::process::{Setup, Tidegate};
use crate::sn::{Device, Will};

const CLIENTS: &str = "/api/v5/gateways/mqttsn/clients";

/// An answer in JSON.
fn get(tidegate: &Tidegate, path: &str) -> Value {
    let (code, body) = tidegate.get(path);
    assert_eq!(code, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// The client ids of a page.
fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row["clientid"].as_str().unwrap().to_owned()).collect()
}

fn delete(tidegate: &Tidegate, path: &str) -> u16 {
    tidegate.request("DELETE", path, "").0
}

fn subscribe(tidegate: &Tidegate, id: &str, body: &Value) -> (u16, Value) {
    let json = "Content-Type: application/json\r\n";
    let path = format!("{CLIENTS}/{id}/subscriptions");
    let (code, _, answer) = tidegate.exchange("POST", &path, json, &body.to_string());
    (code, serde_json::from_str(&answer).unwrap())
}

#[test]
fn gateways_and_their_listeners_are_told_with_their_sessions() {
    let tidegate = Setup::new().set("NODE__NAME", "north").start().ready();
    let _lamp = Device::connect(tidegate.mqttsn(), "lamp");
    let gateways = get(&tidegate, "/api/v5/gateways");
    let named: Vec<_> = gateways.as_array().unwrap().iter().map(|g| (&g["name"], &g["status"])).collect();
    let expected =
        [("coap", "unloaded"), ("lwm2m", "unloaded"), ("mqttsn", "running"), ("stomp", "unloaded"), ("tcp", "running")];
    assert_eq!(
        named,
        expected.map(|(name, status)| (json!(name), json!(status))).iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()
    );
    let gateway = get(&tidegate, "/api/v5/gateways/mqttsn");
    assert_eq!(gateway, gateways[2]);
    assert_eq!((&gateway["current_connections"], &gateway["max_connections"]), (&json!(1), &json!(1_024_000)));
    assert_eq!(gateway["sessions"]["active"], 1);
    let listener = json!({
        "id": "mqttsn:udp:default", "type": "udp", "name": "default", "bind": tidegate.mqttsn(), "running": true,
        "current_connections": 1, "max_connections": 1_024_000, "node_status": [{ "node": "north", "status": {
            "running": true, "current_connections": 1, "max_connections": 1_024_000
        } }],
    });
    assert_eq!(gateway["listeners"], json!([listener]));
    assert_eq!(get(&tidegate, "/api/v5/gateways/mqttsn/listeners"), json!([listener]));
    assert_eq!(get(&tidegate, "/api/v5/gateways/coap"), json!({ "name": "coap", "status": "unloaded" }));
}

#[test]
fn a_gateway_that_is_switched_off_is_stopped_and_has_no_clients() {
    let tidegate = Setup::new().set("GATEWAYS__MQTTSN__ENABLE", "false").start();
    let gateway = get(&tidegate, "/api/v5/gateways/mqttsn");
    assert_eq!((&gateway["status"], &gateway["listeners"]), (&json!("stopped"), &json!([])));
    assert_eq!(
        get(&tidegate, CLIENTS),
        json!({ "data": [], "meta": { "page": 1, "limit": 100, "count": 0, "hasnext": false } })
    );
}

#[test]
fn a_client_is_shown_wherever_it_lives() {
    let tidegate = Setup::new().set("NODE__NAME", "north").start().ready();
    // The kernel spreads the devices over the shards; of so many, some meet either.
    let mut devices: Vec<_> = (0..16).map(|n| Device::connect(tidegate.mqttsn(), &format!("room/{n} lamp"))).collect();
    devices[3].subscribe("a/#", Qos::AtLeastOnce);
    for n in 0..16 {
        let client = get(&tidegate, &format!("{CLIENTS}/room%2F{n}%20lamp"));
        assert_eq!(client["clientid"], format!("room/{n} lamp"));
        assert_eq!((&client["node"], &client["proto_name"]), (&json!("north"), &json!("MQTT-SN")));
        assert_eq!((&client["connected"], &client["state"]), (&json!(true), &json!("connected")));
        assert_eq!((&client["ip_address"], &client["keepalive"]), (&json!("127.0.0.1"), &json!(60)));
        assert_eq!((&client["clean_start"], &client["expiry_interval"]), (&json!(true), &json!(0)));
        assert_eq!(client["subscriptions_cnt"], u8::from(n == 3));
        assert!(client["connected_at"].as_str().is_some_and(|at| at.starts_with("20")), "{client}");
    }
    let one = get(&tidegate, &format!("{CLIENTS}?clientid=room%2F7+lamp"));
    assert_eq!((ids(&one), &one["meta"]["count"]), (vec!["room/7 lamp".to_owned()], &json!(1)));
    let none = get(&tidegate, &format!("{CLIENTS}?clientid=room%2F7+lamp&conn_state=disconnected"));
    assert_eq!((ids(&none), &none["meta"]["count"]), (vec![], &json!(0)));
}

#[test]
fn pages_and_cursors_lead_through_2500_clients_each_once() {
    let listener = "GATEWAYS__MQTTSN__LISTENERS__UDP__DEFAULT";
    let tidegate = Setup::new().set(&format!("{listener}__MAX_CONN_RATE"), "0").start().ready();
    let all: BTreeSet<String> = (0..2500).map(|n| format!("dev-{n:04}")).collect();
    for (n, id) in (0_u16..).zip(&all) {
        // Each at an address of its own, so that none takes the port of one that has closed its socket.
        let [high, low] = (n + 256).to_be_bytes();
        Device::connect_from(Ipv4Addr::new(127, 1, high, low).into(), tidegate.mqttsn(), id);
    }
    let first = get(&tidegate, CLIENTS);
    assert_eq!(
        (ids(&first).len(), &first["meta"]["count"], &first["meta"]["hasnext"]),
        (100, &json!(2500), &json!(true))
    );

    let mut by_page = Vec::new();
    for page in 1..=3 {
        let told = get(&tidegate, &format!("{CLIENTS}?page={page}&limit=1000"));
        assert_eq!((&told["meta"]["page"], &told["meta"]["hasnext"]), (&json!(page), &json!(page < 3)));
        by_page.extend(ids(&told));
    }
    assert_eq!(by_page.len(), 2500);
    assert_eq!(by_page.iter().cloned().collect::<BTreeSet<_>>(), all);
    assert_eq!(ids(&get(&tidegate, &format!("{CLIENTS}?page=4&limit=1000"))).len(), 0);

    let (mut by_cursor, mut cursor) = (Vec::new(), "none".to_owned());
    loop {
        let told = get(&tidegate, &format!("{CLIENTS}?cursor={cursor}&limit=700"));
        by_cursor.extend(ids(&told));
        match told["meta"]["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(by_cursor, by_page, "in the same order");

    let few = get(&tidegate, &format!("{CLIENTS}?like_clientid=-24&limit=10"));
    assert_eq!((ids(&few).len(), few["meta"].get("count")), (10, None));
    let few = get(&tidegate, &format!("{CLIENTS}?like_clientid=-24&limit=100"));
    assert_eq!((ids(&few).len(), &few["meta"]["hasnext"]), (100, &json!(false)), "dev-2400 to dev-2499");
    let one = get(&tidegate, &format!("{CLIENTS}?ip_address=127.1.1.7"));
    assert_eq!((ids(&one), &one["meta"]["hasnext"]), (vec!["dev-0007".to_owned()], &json!(false)));
    assert_eq!(ids(&get(&tidegate, &format!("{CLIENTS}?clean_start=false"))).len(), 0);
    assert_eq!(ids(&get(&tidegate, &format!("{CLIENTS}?conn_state=connected&limit=1000"))).len(), 1000);
}

#[test]
fn who_is_kicked_hears_it_and_its_will_is_published() {
    // The other gateway has a subscription of its own.
    let tidegate = Setup::new().set("GATEWAYS__TCP__ENABLE", "false").start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("wills/#", 1);
    let will = Will { topic: "wills/lamp", payload: "gone" };
    let mut lamp = Device::connect_with_will(tidegate.mqttsn(), "lamp", 60, will);
    lamp.subscribe("a/#", Qos::AtLeastOnce);
    let path = format!("{CLIENTS}/lamp");
    assert_eq!(delete(&tidegate, &path), 204);
    lamp.await_disconnect();
    let message = listener.message();
    assert_eq!((message.topic.as_str(), message.payload.as_str()), ("wills/lamp", "gone"));
    assert_eq!((tidegate.get(&path).0, delete(&tidegate, &path)), (404, 404));
    assert_eq!(tidegate.metric("tidegate_upstream_filters"), 0, "its subscription has ended");
    assert_eq!(get(&tidegate, CLIENTS)["meta"]["count"], 0);
    // It may come back.
    Device::connect(tidegate.mqttsn(), "lamp");
    assert_eq!(tidegate.get(&path).0, 200);
}

#[test]
fn a_subscription_in_a_clients_stead_delivers_until_it_is_ended() {
    let tidegate = Setup::new().set("GATEWAYS__MQTTSN__MOUNTPOINT", "site/").start().ready();
    let mut lamp = Device::connect(tidegate.mqttsn(), "lamp");
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    let list = format!("{CLIENTS}/lamp/subscriptions");
    assert_eq!(get(&tidegate, &list), json!([]));
    let row = |topic: &str, qos: u8| json!({ "clientid": "lamp", "topic": topic, "qos": qos });
    assert_eq!(subscribe(&tidegate, "lamp", &json!({ "topic": "lamp/set", "qos": 1 })), (201, row("lamp/set", 1)));
    assert_eq!(subscribe(&tidegate, "lamp", &json!({ "topic": "all/+" })), (201, row("all/+", 0)));
    assert_eq!(get(&tidegate, &list), json!([row("lamp/set", 1), row("all/+", 0)]));
    // A device's own SUBSCRIBE after it: once that is answered, so are those before it.
    lamp.subscribe("own", Qos::AtLeastOnce);
    ops.publish("site/lamp/set", "on", false);
    let heard = lamp.message();
    assert_eq!((heard.topic.as_str(), heard.payload.as_str(), heard.qos), ("lamp/set", "on", 1));
    assert_eq!(delete(&tidegate, &format!("{list}/all%2F%2B")), 204);
    assert_eq!(delete(&tidegate, &format!("{list}/all%2F%2B")), 404);
    assert_eq!(delete(&tidegate, &format!("{list}/lamp%2Fset")), 204);
    assert_eq!(get(&tidegate, &list), json!([row("own", 1)]));
    ops.publish("site/lamp/set", "off", false);
    ops.publish("site/own", "last", false);
    assert_eq!(lamp.message().payload, "last", "nothing comes of a subscription that has ended");
}

#[test]
fn a_subscription_while_the_broker_is_away_is_refused() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tidegate = Setup::new().broker(closed).start();
    let _lamp = Device::connect(tidegate.mqttsn(), "lamp");
    let (code, told) = subscribe(&tidegate, "lamp", &json!({ "topic": "a" }));
    assert_eq!(
        (code, &told["code"], &told["message"]),
        (503, &json!("SERVICE_UNAVAILABLE"), &json!("the broker is away"))
    );
}
