//! Devices through the embedded broker.

use codec_mqttsn::{Qos, Topic};

use crate::mqtt::{Message, MqttClient};
use crate::process::Setup;
use crate::sn::{Delivered, Device, Will};

fn message(topic: &str, payload: &str, qos: u8, retain: bool) -> Message {
    Message { topic: topic.into(), payload: payload.into(), qos, retain }
}

#[test]
fn a_device_publishes_with_each_qos() {
    let tidegate = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("room/#", 2);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    let topic = device.register("room/lamp");
    for (qos, level) in [(Qos::AtMostOnce, 0), (Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 2)] {
        let payload = format!("with {level}");
        device.publish(Topic::Normal(topic), &payload, qos, false);
        assert_eq!(listener.message(), message("room/lamp", &payload, level, false));
    }
    device.disconnect();
}

#[test]
fn a_device_hears_what_it_subscribed_to_and_each_message_once() {
    let tidegate = Setup::new().start().ready();
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    device.subscribe("lamp/set", Qos::AtLeastOnce);
    device.subscribe("all/+", Qos::AtMostOnce);
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    for (topic, payload) in [("lamp/set", "on"), ("all/lights", "dim"), ("lamp/set", "off")] {
        ops.publish(topic, payload, false);
    }
    let delivered = |topic: &str, payload: &str, qos| Delivered {
        topic: topic.into(),
        payload: payload.into(),
        qos,
        retain: false,
    };
    // Topics are told apart by their ids, so that one does not wait for the other's.
    let mut heard: Vec<_> = (0..3).map(|_| device.message()).collect();
    heard.sort_by_key(|message| message.qos);
    let expected = [delivered("all/lights", "dim", 0), delivered("lamp/set", "on", 1), delivered("lamp/set", "off", 1)];
    assert_eq!(heard, expected);
}

#[test]
fn a_retained_message_reaches_a_new_subscriber_on_either_side() {
    let tidegate = Setup::new().start().ready();
    let mut first = Device::connect(tidegate.mqttsn(), "first");
    let topic = first.register("state/door");
    first.publish(Topic::Normal(topic), "open", Qos::AtLeastOnce, true);
    let mut second = Device::connect(tidegate.mqttsn(), "second");
    second.subscribe("state/door", Qos::AtLeastOnce);
    let heard = second.message();
    assert_eq!((heard.topic.as_str(), heard.payload.as_str(), heard.retain), ("state/door", "open", true));
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("state/#", 1);
    assert_eq!(listener.message(), message("state/door", "open", 1, true));
}

#[test]
fn the_will_of_a_lost_device_is_published() {
    let tidegate = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("gone/#", 1);
    let will = Will { topic: "gone/lamp", payload: "lost" };
    // It says nothing more: after 1.5 s it is lost.
    let _silent = Device::connect_with_will(tidegate.mqttsn(), "lamp", 1, will);
    assert_eq!(listener.message(), message("gone/lamp", "lost", 1, false));
}

#[test]
fn many_devices_on_two_shards_talk_to_each_other() {
    let tidegate = Setup::new().start().ready();
    let mut devices: Vec<_> = (0..32).map(|n| Device::connect(tidegate.mqttsn(), &format!("d{n}"))).collect();
    for (n, device) in devices.iter_mut().enumerate() {
        device.subscribe(&format!("to/{n}"), Qos::AtLeastOnce);
    }
    for n in 0..devices.len() {
        let to = (n * 7 + 3) % devices.len();
        let topic = devices[n].register(&format!("to/{to}"));
        devices[n].publish(Topic::Normal(topic), &format!("from {n}"), Qos::AtLeastOnce, false);
        let heard = devices[to].message();
        assert_eq!((heard.topic, heard.payload), (format!("to/{to}"), format!("from {n}")));
    }
    assert_eq!(tidegate.metric("tidegate_sessions{protocol=\"mqttsn\",state=\"active\"}"), 32);
}

#[test]
fn the_node_says_that_it_is_online() {
    let tidegate = Setup::new().set("NODE__NAME", "north").start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("tidegate/north/status", 1);
    assert_eq!(listener.message().payload, "online");
}
