//! What is published about clients and the node, as an operator sees it at the broker.

use codec_mqttsn::{Filter, Message, MsgId, Qos, Unsubscribe};
use serde_json::Value;

use crate::mqtt::MqttClient;
use crate::process::Setup;
use crate::sn::Device;

/// The next event: its topic below the prefix, and its payload.
fn event(listener: &mut MqttClient) -> (String, Value) {
    let message = listener.message();
    assert_eq!((message.qos, message.retain), (1, false), "{message:?}");
    let topic = message.topic.strip_prefix("site/north/clients/mqttsn/").expect("an event");
    (topic.to_owned(), serde_json::from_str(&message.payload).expect("JSON"))
}

fn told(listener: &mut MqttClient, topic: &str, field: &str, expected: impl Into<Value>) {
    let (found, payload) = event(listener);
    assert_eq!((found.as_str(), &payload[field]), (topic, &expected.into()), "{payload}");
    assert_eq!(payload["clientid"], topic.split('/').next().expect("a level").replace("%2F", "/"));
}

#[test]
fn who_follows_the_events_hears_of_each_client() {
    let setup = Setup::new().set("NODE__NAME", "north").set("EVENTS__PREFIX", "site/%n");
    let tidegate = setup.start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("site/+/clients/#", 2);
    let mut device = Device::connect(tidegate.mqttsn(), "a/b");
    let (topic, payload) = event(&mut listener);
    assert_eq!(topic, "a%2Fb/connected");
    for (key, expected) in [
        ("clientid", Value::from("a/b")),
        ("username", Value::from("")),
        ("ipaddress", Value::from("127.0.0.1")),
        ("gateway", Value::from("mqttsn")),
        ("proto_name", Value::from("MQTT-SN")),
        ("proto_ver", Value::from("1.2")),
        ("clean_start", Value::from(true)),
        ("keepalive", Value::from(60)),
        ("connack", Value::from(0)),
    ] {
        assert_eq!(payload[key], expected, "{key}");
    }
    assert!(payload["port"].as_u64() > Some(0) && payload["ts"].as_u64() > Some(1_700_000_000_000), "{payload}");
    device.subscribe("set/+", Qos::AtLeastOnce);
    told(&mut listener, "a%2Fb/subscribed", "topic", "set/+");
    device.send(&Message::Unsubscribe(Unsubscribe { msg_id: MsgId(77), filter: Filter::Name("set/+") }));
    told(&mut listener, "a%2Fb/unsubscribed", "topic", "set/+");
    let newer = Device::connect(tidegate.mqttsn(), "a/b");
    told(&mut listener, "a%2Fb/disconnected", "reason", "takenover");
    told(&mut listener, "a%2Fb/connected", "connack", 0);
    newer.disconnect();
    told(&mut listener, "a%2Fb/disconnected", "reason", "normal");
}

#[test]
fn without_a_prefix_nothing_is_told() {
    let tidegate = Setup::new().set("EVENTS__PREFIX", "").start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("#", 1);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    let topic = device.register("room/lamp");
    device.publish(codec_mqttsn::Topic::Normal(topic), "on", Qos::AtLeastOnce, false);
    assert_eq!(listener.message().topic, "room/lamp", "the first that the broker hears");
}
