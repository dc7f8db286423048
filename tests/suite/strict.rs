//! A mosquitto that knows whom it lets in and to what, in shared mode; and what both modes need to be tested so.

use crate::mosquitto::Mosquitto;
use crate::mqtt::MqttClient;
use crate::process::{Dir, Setup};
use crate::tcp_device::TcpDevice;

/// Whom mosquitto knows.
const USERS: [(&str, &str); 4] = [("node", "node-pw"), ("ops", "ops-pw"), ("pump", "pump-pw"), ("lamp", "lamp-pw")];
/// What they may.
const RULES: &str = "user node\ntopic readwrite tidegate/#\nuser ops\ntopic readwrite #\n\
                     user pump\ntopic write tcp/pump/up\ntopic read tcp/pump/dn\n\
                     user lamp\ntopic write lamp/state\ntopic read lamp/set\ntopic write lamp/gone\n";

pub(crate) fn broker(dir: &Dir) -> Option<Mosquitto> {
    Mosquitto::strict(dir, &USERS, RULES)
}

/// A node whose MQTT-SN devices come as `lamp`, with this password.
pub(crate) fn node(broker: &Mosquitto, mode: &str, lamp: &str) -> Setup {
    Setup::new()
        .broker(broker.port)
        .set("BROKER__MODE", mode)
        .set("BROKER__USERNAME", "node")
        .set("BROKER__PASSWORD", "node-pw")
        .set("NODE__NAME", "north")
        .set("GATEWAYS__MQTTSN__USERNAME", "lamp")
        .set("GATEWAYS__MQTTSN__PASSWORD", lamp)
        .set("GATEWAYS__TCP__UPLINK_QOS", "1")
        .set("GATEWAYS__TCP__DOWNLINK_QOS", "1")
}

/// Somebody who may hear and say everything.
pub(crate) fn ops(broker: &Mosquitto) -> MqttClient {
    MqttClient::connect_as("ops", broker.port, "ops", "ops-pw")
}

#[test]
fn in_shared_mode_the_nodes_own_user_is_what_mosquitto_judges() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let shared = || node(&broker, "shared", "lamp-pw");
    let tidegate = shared().set("BROKER__USERNAME", "ops").set("BROKER__PASSWORD", "ops-pw").start().ready();
    let mut ops = ops(&broker);
    ops.subscribe("tcp/+/up", 1);
    // Mosquitto does not know this device, and is not asked.
    let mut device = TcpDevice::new(tidegate.tcp());
    device.enter(&["valve", "nobody", "wrong"]);
    device.publish("open");
    assert_eq!(ops.message().topic, "tcp/valve/up");
    ops.publish("tcp/valve/dn", "shut", false);
    assert_eq!(device.message(), "shut");
    drop(tidegate);
    let tidegate = shared().set("BROKER__PASSWORD", "wrong").start();
    let body = tidegate.readyz_until(|code, body| code == 503 && body.contains("authori"));
    assert!(body.contains("uthori"), "{body}");
}
