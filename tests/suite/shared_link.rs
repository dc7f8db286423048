//! The rules of a link that carries many devices, each against every broker that this machine has.

use codec_mqttsn::Qos;

use crate::mosquitto::{Door, Mosquitto};
use crate::mqtt::MqttClient;
use crate::process::{Dir, Setup};
use crate::sn::Device;

/// The protocols that mosquitto speaks.
const PROTOCOLS: [&str; 2] = ["5", "3.1.1"];

#[test]
fn what_is_published_between_the_brokers_return_and_the_links_arrives() {
    for protocol in PROTOCOLS {
        let dir = Dir::new();
        let Some(mut broker) = Mosquitto::persistent(&dir) else { return };
        let mut door = Door::to(broker.port);
        let setup = Setup::new().broker(door.port).set("NODE__WORKERS", "1").set("BROKER__PROTOCOL", protocol);
        let tidegate = setup.start().ready();
        let mut lamp = Device::connect(tidegate.mqttsn(), "lamp");
        lamp.subscribe("down/lamp", Qos::AtLeastOnce);
        broker.stop();
        door.shut();
        broker.start_again();
        MqttClient::connect("ops", broker.port).publish("down/lamp", "meanwhile", false);
        door.open();
        assert_eq!(lamp.message().payload, "meanwhile", "MQTT {protocol}");
    }
}
