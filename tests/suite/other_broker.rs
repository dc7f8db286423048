//! Devices through Debian's mosquitto: both protocol versions, restarts and crashes.

use codec_mqttsn::{Qos, Topic};

use crate::mosquitto::{Door, Mosquitto, MosquittoSub};
use crate::mqtt::MqttClient;
use crate::process::{Setup, Tidegate};
use crate::sn::{Device, Stream};

/// A device and a client of the broker talk in both directions.
fn both_ways(gateway: &Tidegate, broker: u16, round: &str) {
    let mut client = MqttClient::connect("client", broker);
    client.subscribe("up/#", 2);
    let mut device = Device::connect(gateway.mqttsn(), "lamp");
    device.subscribe("down/lamp", Qos::ExactlyOnce);
    let topic = device.register("up/lamp");
    for (qos, level) in [(Qos::AtMostOnce, 0), (Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 2)] {
        let payload = format!("{round} {level}");
        device.publish(Topic::Normal(topic), &payload, qos, false);
        let heard = client.message();
        assert_eq!((heard.topic.as_str(), heard.payload, heard.qos), ("up/lamp", payload, level));
    }
    client.publish("down/lamp", round, false);
    let heard = device.message();
    assert_eq!((heard.topic.as_str(), heard.payload.as_str(), heard.qos), ("down/lamp", round, 1));
    device.disconnect();
}

#[test]
fn mqtt_5_carries_messages_both_ways() {
    let Some(broker) = Mosquitto::start("") else { return };
    let tidegate = Setup::new().broker(broker.port).start().ready();
    both_ways(&tidegate, broker.port, "5");
    assert!(tidegate.get("/readyz").1.contains("MQTT 5.0"));
}

#[test]
fn mqtt_3_1_1_carries_messages_both_ways() {
    let Some(broker) = Mosquitto::start("") else { return };
    let tidegate = Setup::new().broker(broker.port).set("BROKER__PROTOCOL", "3.1.1").start().ready();
    both_ways(&tidegate, broker.port, "3.1.1");
    assert!(tidegate.get("/readyz").1.contains("MQTT 3.1.1"));
}

#[test]
fn subscriptions_are_restored_when_the_broker_restarts() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let tidegate = Setup::new().broker(broker.port).start().ready();
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    device.subscribe("down/lamp", Qos::AtLeastOnce);
    broker.crash();
    let body = tidegate.readyz_until(|code, _| code == 503);
    assert!(body.contains("\"ready\":false"), "{body}");
    broker.start_again();
    tidegate.await_ready();
    MqttClient::connect("ops", broker.port).publish("down/lamp", "again", false);
    assert_eq!(device.message().payload, "again");
    both_ways(&tidegate, broker.port, "after the restart");
}

const MESSAGES: u16 = 300;

#[test]
fn no_acknowledged_publish_is_lost_when_the_broker_crashes() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    // QoS 0: what mosquitto has written to this socket before the acknowledgement, a crash cannot take back.
    let Some(mut counter) = MosquittoSub::start(broker.port, "count/#") else { return };
    // Through a door, so that the link does not find the broker before the one who counts has subscribed again.
    let mut door = Door::to(broker.port);
    let tidegate = Setup::new().broker(door.port).start().ready();
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    let topic = device.register("count/lamp");
    let mut stream = Stream::default();
    for at in [100, 200] {
        stream.run(&mut device, topic, at);
        // In the middle: some are sent, and not answered yet.
        broker.crash();
        door.shut();
        broker.start_again();
        counter.await_subscribed();
        door.open();
    }
    stream.run(&mut device, topic, MESSAGES);
    stream.settle(&mut device, topic);
    assert_eq!(stream.acknowledged, (0..MESSAGES).collect());
    let heard = counter.until(MESSAGES.into());
    assert!(stream.acknowledged.iter().all(|number| heard.contains(&number.to_string())));
}

#[test]
fn exactly_once_survives_a_broken_connection() {
    let Some(broker) = Mosquitto::start("max_inflight_messages 0") else { return };
    let mut door = Door::to(broker.port);
    let tidegate = Setup::new().broker(door.port).start().ready();
    let mut counter = MqttClient::connect("counter", broker.port);
    counter.subscribe("once/#", 2);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    let topic = device.register("once/lamp");
    for number in 0..30 {
        if matches!(number, 5 | 20) {
            // The broker lives and keeps the session; only the connection is cut. (A third time in a row would look
            // like another process with the same client id.)
            door.shut();
            door.open();
        }
        device.publish(Topic::Normal(topic), &number.to_string(), Qos::ExactlyOnce, false);
    }
    for number in 0..30 {
        assert_eq!(counter.message().payload, number.to_string(), "each once and in order");
    }
}

#[test]
fn a_broker_that_refuses_is_quoted_and_tried_again() {
    let Some(broker) = Mosquitto::start("allow_anonymous false") else { return };
    let mut tidegate = Setup::new().broker(broker.port).set("NODE__WORKERS", "1").start();
    let body = tidegate.readyz_until(|code, body| code == 503 && body.contains("the broker refused the connection"));
    assert!(body.to_lowercase().contains("not authori"), "{body}");
    for attempt in 1..=2 {
        let line = tidegate.logged("the broker refused the connection");
        assert!(line.contains("WARN"), "attempt {attempt}: {line}");
    }
}
