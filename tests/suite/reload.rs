//! What SIGHUP changes while the node runs.

use std::time::Instant;

use codec_mqttsn::{Qos, ReturnCode, Topic, TopicId};

use crate::mqtt::MqttClient;
use crate::process::{PATIENCE, Setup};
use crate::sn::Device;

const BEFORE: &str = "
[gateways.mqttsn]
predefined = { 5 = \"five/before\" }
";

const AFTER: &str = "
[log]
level = \"debug\"
[gateways.mqttsn]
predefined = { 5 = \"five/after\" }
mountpoint = \"elsewhere/\"
[gateways.mqttsn.listeners.udp.default]
max_connections = 1
";

#[test]
fn what_may_change_changes_and_no_session_ends() {
    let mut tidegate = Setup::new().file(BEFORE).start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("five/+", 1);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    device.publish(Topic::Predefined(TopicId(5)), "1", Qos::AtLeastOnce, false);
    assert_eq!(listener.message().topic, "five/before");
    tidegate.rewrite(AFTER);
    tidegate.signal("HUP");
    let waits = tidegate.logged("waits for a restart");
    assert!(waits.contains("gateways.mqttsn.mountpoint"), "{waits}");
    tidegate.logged("the configuration is reloaded");
    // Each shard hears of it by itself.
    let until = Instant::now() + PATIENCE;
    loop {
        device.publish(Topic::Predefined(TopicId(5)), "2", Qos::AtLeastOnce, false);
        if listener.message().topic == "five/after" {
            break;
        }
        assert!(Instant::now() < until, "the shard does not hear of it");
    }
    let refused = Device::new(tidegate.mqttsn()).try_connect("other", true);
    assert_eq!(refused, ReturnCode::Congestion, "the limit holds for who comes next");
    device.ping(None);
    let line = tidegate.logged("not let in");
    assert!(["WARN", "other", "reason=\"max_connections\""].iter().all(|part| line.contains(part)), "{line}");
    tidegate.logged("refused");
}

#[test]
fn a_bad_file_is_refused_whole() {
    let mut tidegate = Setup::new().file(BEFORE).start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("five/+", 1);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    let bad = AFTER.replace("max_connections = 1", "max_connections = \"few\"\nmax_conn_rte = 7");
    tidegate.rewrite(&bad);
    tidegate.signal("HUP");
    tidegate.logged("not reloaded");
    for key in ["tidegate.toml:8:19: gateways.mqttsn.listeners.udp.default.max_connections", "max_conn_rte"] {
        tidegate.logged(key);
    }
    device.publish(Topic::Predefined(TopicId(5)), "1", Qos::AtLeastOnce, false);
    assert_eq!(listener.message().topic, "five/before");
    tidegate.rewrite(AFTER);
    tidegate.signal("HUP");
    tidegate.logged("the configuration is reloaded");
}
