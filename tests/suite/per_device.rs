//! One MQTT connection for each device: mosquitto itself says who comes in and who may do what.

use std::process::{Child, Command, Stdio};

use codec_mqttsn::{Qos, ReturnCode, Topic};

use crate::mosquitto::Mosquitto;
use crate::mqtt::MqttClient;
use crate::process::{Dir, Lines, Tidegate, program};
use crate::sn::{Device, Will};
use crate::strict::{broker, node, ops};
use crate::tcp_device::TcpDevice;

fn start(broker: &Mosquitto) -> Tidegate {
    node(broker, "per-device", "lamp-pw").start().ready()
}

fn pump(tidegate: &Tidegate) -> TcpDevice {
    let mut device = TcpDevice::new(tidegate.tcp());
    device.enter(&["pump", "pump", "pump-pw"]);
    device
}

/// Somebody who hears when a device's subscription is in force.
fn watching(broker: &Mosquitto) -> MqttClient {
    let mut watcher = MqttClient::connect_as("watcher", broker.port, "ops", "ops-pw");
    watcher.subscribe("tidegate/north/clients/+/+/subscribed", 1);
    watcher
}

#[test]
fn a_device_of_sockets_comes_in_with_the_password_that_mosquitto_knows_and_with_no_other() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    for protocol in ["5", "3.1.1"] {
        let tidegate = node(&broker, "per-device", "lamp-pw").set("BROKER__PROTOCOL", protocol).start().ready();
        for fields in [&["pump"][..], &["pump", "pump"], &["pump", "pump", "wrong"], &["pump", "stranger", "pump-pw"]] {
            let (head, text) = TcpDevice::new(tidegate.tcp()).refused(fields);
            assert!(head == 0x21 && !text.is_empty(), "{protocol} {fields:?}: {head:x} {text}");
        }
        pump(&tidegate).ping();
    }
}

#[test]
fn a_device_of_mqtt_sn_is_told_by_its_connack() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    for (password, code) in [("lamp-pw", ReturnCode::Accepted), ("wrong", ReturnCode::NotSupported)] {
        let tidegate = node(&broker, "per-device", password).start().ready();
        assert_eq!(Device::new(tidegate.mqttsn()).try_connect("lamp", true), code, "{password}");
    }
}

#[test]
fn a_chain_may_leave_the_decision_to_mosquitto() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let chain =
        "[{ type = 'static', gateways = ['mqttsn'], username = 'lamp', password = 'lamp-pw' }, { type = 'broker' }]";
    let tidegate = node(&broker, "per-device", "wrong").set("AUTH__CHAIN", chain).start().ready();
    assert_eq!(Device::new(tidegate.mqttsn()).try_connect("lamp", true), ReturnCode::Accepted);
    assert_eq!(TcpDevice::new(tidegate.tcp()).refused(&["pump", "pump", "wrong"]).0, 0x21);
    pump(&tidegate).ping();
}

#[test]
fn messages_go_both_ways_over_the_devices_own_connection() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let tidegate = start(&broker);
    let (mut ops, mut watcher) = (ops(&broker), watching(&broker));
    ops.subscribe("tcp/+/up", 1);
    ops.subscribe("lamp/state", 2);
    let mut pump = pump(&tidegate);
    watcher.message();
    pump.publish("running");
    assert_eq!((ops.message().payload.as_str(), "tcp/pump/up"), ("running", "tcp/pump/up"));
    ops.publish("tcp/pump/dn", "stop", false);
    assert_eq!(pump.message(), "stop");
    let mut lamp = Device::connect(tidegate.mqttsn(), "lamp");
    let state = lamp.register("lamp/state");
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        lamp.publish(Topic::Normal(state), "on", qos, false);
        assert_eq!(ops.message().topic, "lamp/state");
    }
    lamp.subscribe("lamp/set", Qos::AtLeastOnce);
    ops.publish("lamp/set", "off", false);
    assert_eq!(lamp.message().payload, "off");
}

#[test]
fn what_the_rules_of_mosquitto_forbid_is_refused_there() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let tidegate = start(&broker);
    let mut ops = ops(&broker);
    ops.subscribe("#", 1);
    let mut lamp = Device::connect(tidegate.mqttsn(), "lamp");
    let other = lamp.register("pump/state");
    let msg_id = lamp.send_publish(Topic::Normal(other), "x", Qos::AtLeastOnce, false);
    assert_eq!(lamp.puback(), (msg_id, ReturnCode::NotSupported));
    let state = lamp.register("lamp/state");
    lamp.publish(Topic::Normal(state), "on", Qos::AtLeastOnce, false);
    let heard = std::iter::repeat_with(|| ops.message()).find(|message| !message.topic.starts_with("tidegate/"));
    assert_eq!(heard.map(|message| message.topic).as_deref(), Some("lamp/state"));
}

#[test]
fn a_device_of_sockets_whose_message_mosquitto_forbids_stays_and_the_refusal_is_counted() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let tidegate = start(&broker);
    let mut device = TcpDevice::new(tidegate.tcp());
    // The rules know no topic of its own for this user.
    device.enter(&["lamp", "lamp", "lamp-pw"]);
    device.publish("x");
    tidegate.metric_until("tidegate_faults_total{protocol=\"tcp\",blame=\"broker\"", |refused| refused == 1);
    device.ping();
}

#[test]
fn who_sleeps_gets_its_messages_when_it_wakes_whether_its_connection_was_kept_or_dropped() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let mut ops = ops(&broker);
    for (link, while_asleep) in [("keep", 1), ("drop", 0)] {
        let setup = node(&broker, "per-device", "lamp-pw").set("GATEWAYS__MQTTSN__SLEEP_LINK", link);
        let tidegate = setup.start().ready();
        let mut lamp = Device::new(tidegate.mqttsn());
        assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
        lamp.subscribe("lamp/set", Qos::AtLeastOnce);
        lamp.sleep(600);
        tidegate.metric_until("tidegate_client_links{state=\"up\"}", |up| up == while_asleep);
        for payload in ["1", "2", "3"] {
            ops.publish("lamp/set", payload, false);
        }
        // Over a connection that was kept they come while it sleeps, and only the gateway can tell that they are there.
        tidegate.metric_until("tidegate_link_received_total", |count| count >= 3 * while_asleep);
        lamp.ping(Some("lamp"));
        let heard: Vec<_> = lamp.delivered().into_iter().map(|message| message.payload).collect();
        assert_eq!(heard, ["1", "2", "3"], "{link}");
        assert_eq!(lamp.try_connect("lamp", true), ReturnCode::Accepted);
        lamp.leave();
    }
}

/// `mosquitto_sub` under a client id that a device has.
struct Rival {
    child: Child,
    lines: Lines,
}

impl Rival {
    fn start(port: u16, id: &str, password: &str, filter: &str) -> Option<Self> {
        let (unbuffered, program) = (program("stdbuf")?, program("mosquitto_sub")?);
        let mut command = Command::new(unbuffered);
        command.arg("-oL").arg(program).args(["-p", &port.to_string(), "-t", filter, "-d", "-V", "5"]);
        command.args(["-i", id, "-u", id, "-P", password]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = Lines::of(child.stdout.take().unwrap());
        assert!(lines.find(|line| line.contains("received SUBACK")).is_some(), "{:?}", lines.seen);
        Some(Self { child, lines })
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::mem::take(&mut self.lines));
    }
}

#[test]
fn a_device_that_mosquitto_lets_another_take_over_is_told_to_go_and_does_not_fight_back() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let tidegate = start(&broker);
    let mut events = ops(&broker);
    events.subscribe("tidegate/north/clients/+/+/disconnected", 1);
    let mut device = pump(&tidegate);
    let Some(mut rival) = Rival::start(broker.port, "pump", "pump-pw", "tcp/pump/dn") else { return };
    assert!(device.is_closed());
    assert!(events.message().payload.contains("\"reason\":\"takenover\""));
    events.publish("tcp/pump/dn", "for the rival", false);
    assert!(rival.lines.find(|line| line == "for the rival").is_some(), "{:?}", rival.lines.seen);
    let mut lamp = Device::connect(tidegate.mqttsn(), "lamp");
    let _rival = Rival::start(broker.port, "lamp", "lamp-pw", "lamp/set");
    lamp.await_disconnect();
    assert!(events.message().payload.contains("\"reason\":\"takenover\""));
    // A device that comes back takes its place again.
    pump(&tidegate).ping();
}

#[test]
fn devices_stay_while_mosquitto_restarts_and_lose_nothing() {
    let dir = Dir::new();
    let Some(mut broker) = broker(&dir) else { return };
    let tidegate = start(&broker);
    let mut pump = pump(&tidegate);
    let mut lamp = Device::connect(tidegate.mqttsn(), "lamp");
    lamp.subscribe("lamp/set", Qos::AtLeastOnce);
    let state = lamp.register("lamp/state");
    broker.stop();
    tidegate.readyz_until(|code, _| code == 503);
    pump.ping();
    lamp.ping(None);
    // Waits until there is somebody to acknowledge it.
    let waiting = lamp.send_publish(Topic::Normal(state), "while away", Qos::AtLeastOnce, false);
    broker.start_again();
    let mut ops = ops(&broker);
    ops.subscribe("lamp/state", 1);
    ops.subscribe("tcp/pump/up", 1);
    assert_eq!(lamp.puback(), (waiting, ReturnCode::Accepted));
    tidegate.metric_until("tidegate_client_links{state=\"up\"}", |up| up == 2);
    pump.publish("again");
    lamp.publish(Topic::Normal(state), "again", Qos::AtLeastOnce, false);
    let mut heard = vec![ops.message().topic, ops.message().topic];
    // The first may have come before anybody listened.
    while heard.iter().filter(|topic| *topic == "tcp/pump/up").count() < 1 || !heard.contains(&"lamp/state".to_owned())
    {
        heard.push(ops.message().topic);
    }
    ops.publish("lamp/set", "on", false);
    ops.publish("tcp/pump/dn", "on", false);
    assert_eq!((lamp.message().payload.as_str(), pump.message().as_str()), ("on", "on"));
}

#[test]
fn the_will_of_a_lost_device_is_mosquittos_to_publish() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let tidegate = start(&broker);
    let mut ops = ops(&broker);
    ops.subscribe("lamp/gone", 1);
    let will = Will { topic: "lamp/gone", payload: "lost" };
    let _silent = Device::connect_with_will(tidegate.mqttsn(), "lamp", 1, will);
    assert_eq!(ops.message().payload, "lost");
}

#[test]
fn who_comes_again_takes_its_own_place_without_a_quarrel() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let tidegate = start(&broker);
    let (mut ops, mut watcher) = (ops(&broker), watching(&broker));
    let mut older = pump(&tidegate);
    watcher.message();
    for _ in 0..5 {
        let mut newer = pump(&tidegate);
        assert!(older.is_closed());
        watcher.message();
        ops.publish("tcp/pump/dn", "yours", false);
        assert_eq!(newer.message(), "yours");
        older = newer;
    }
    let mut lamp = Device::connect(tidegate.mqttsn(), "lamp");
    for _ in 0..5 {
        assert_eq!(lamp.try_connect("lamp", true), ReturnCode::Accepted);
        lamp.subscribe("lamp/set", Qos::AtLeastOnce);
        ops.publish("lamp/set", "yours", false);
        assert_eq!(lamp.message().payload, "yours");
    }
}

#[test]
fn a_session_that_is_not_clean_is_kept_by_mosquitto() {
    let dir = Dir::new();
    let Some(broker) = broker(&dir) else { return };
    let tidegate = start(&broker);
    let mut ops = ops(&broker);
    let mut lamp = Device::new(tidegate.mqttsn());
    assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
    lamp.subscribe("lamp/set", Qos::AtLeastOnce);
    lamp.leave();
    tidegate.metric_until("tidegate_client_links{state=\"up\"}", |up| up == 0);
    ops.publish("lamp/set", "while away", false);
    assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
    assert_eq!(lamp.message().payload, "while away");
}
