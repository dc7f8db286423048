//! Devices that sleep.

use codec_mqttsn::{Message, Qos};

use crate::mqtt::MqttClient;
use crate::process::Setup;
use crate::sn::Device;

#[test]
fn what_comes_for_a_sleeping_device_waits_until_it_wakes() {
    let tidegate = Setup::new().start().ready();
    let mut other = MqttClient::connect("other", tidegate.broker_port());
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    device.subscribe("lamp/set", Qos::AtLeastOnce);
    device.sleep(300);
    assert_eq!(tidegate.metric("tidegate_sessions{protocol=\"mqttsn\",state=\"asleep\"}"), 1);
    let texts = ["1", "2", "3"];
    for text in texts {
        other.publish("lamp/set", text, false);
    }
    // The device is silent, so that only the gateway can tell that they are there.
    tidegate.metric_until("tidegate_link_received_total", |count| count >= 3);
    device.ping(Some("lamp"));
    let delivered = device.delivered();
    assert_eq!(delivered.iter().map(|message| message.payload.as_str()).collect::<Vec<_>>(), texts, "PINGRESP is last");
    device.ping(Some("lamp"));
    assert_eq!(device.delivered(), [], "each once");
    other.publish("lamp/set", "4", false);
    tidegate.metric_until("tidegate_link_received_total", |count| count >= 4);
    device.try_connect("lamp", true);
    assert_eq!(device.message().payload, "4", "CONNECT wakes it for good, and empties nothing");
    device.send(&Message::Pingreq { client_id: None });
}

#[test]
fn a_device_that_misses_its_time_is_lost() {
    let tidegate = Setup::new().start().ready();
    let mut other = MqttClient::connect("other", tidegate.broker_port());
    other.subscribe("lamp/gone", 1);
    let will = crate::sn::Will { topic: "lamp/gone", payload: "overslept" };
    let mut device = Device::connect_with_will(tidegate.mqttsn(), "lamp", 60, will);
    device.sleep(1);
    assert_eq!(other.message().payload, "overslept", "after 1.5 s");
    device.send(&Message::Pingreq { client_id: Some("lamp") });
    device.await_disconnect();
}
