//! Devices whose address changes.

use codec_mqttsn::{Message, Qos, Topic};

use crate::mqtt::MqttClient;
use crate::process::Setup;
use crate::sn::Device;

/// Addresses enough to come upon every shard: each is as likely as another.
const ADDRESSES: usize = 24;

#[test]
fn a_session_follows_its_device_from_shard_to_shard() {
    let tidegate = Setup::new().set("NODE__WORKERS", "3").start().ready();
    let mut other = MqttClient::connect("other", tidegate.broker_port());
    other.subscribe("lamp/state", 1);
    let mut device = Device::new(tidegate.mqttsn());
    device.try_connect("lamp", false);
    device.subscribe("lamp/set", Qos::AtLeastOnce);
    let topic = device.register("lamp/state");
    for number in 0..ADDRESSES {
        let mut before = device.rebind();
        // Half of the times it knows that it has moved, half of the times only the network does.
        if number % 2 == 0 {
            device.try_connect("lamp", false);
            before.await_disconnect();
        } else {
            device.ping(Some("lamp"));
        }
        let text = number.to_string();
        device.publish(Topic::Normal(topic), &text, Qos::AtLeastOnce, false);
        assert_eq!(other.message().payload, text);
        other.publish("lamp/set", &text, false);
        let message = device.message();
        assert_eq!((message.topic.as_str(), message.payload), ("lamp/set", text), "its subscription came along");
        // Its PUBACK must not be overtaken by what comes from the next address.
        device.ping(None);
    }
    assert!(tidegate.metric("tidegate_forwarded_total{result=\"sent\"") > 0, "it was on more than one shard");
    assert_eq!(tidegate.metric("tidegate_sessions{"), 1);
    let mut stranger = Device::new(tidegate.mqttsn());
    stranger.send(&Message::Pingreq { client_id: Some("nobody") });
    stranger.await_disconnect();
}
