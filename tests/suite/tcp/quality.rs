//! QoS 1: nothing that a device is read of is lost, and it is read no faster than the broker takes.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use super::with;
use crate::mosquitto::{Door, Mosquitto, MosquittoSub};
use crate::mqtt::MqttClient;
use crate::process::Setup;
use crate::tcp_device::{TcpDevice, connection, data_frame};

/// The five digits that a message begins with.
fn number(payload: &str) -> u32 {
    payload.get(..5).unwrap().parse().unwrap()
}

#[test]
fn messages_with_qos_1_survive_a_crash_of_the_broker() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let Some(mut listener) = MosquittoSub::start(broker.port, "tcp/pump/up") else { return };
    let mut door = Door::to(broker.port);
    let tidegate = with(&[("UPLINK_QOS", "1")]).broker(door.port).start().ready();
    let mut device = TcpDevice::connect(tidegate.tcp(), "pump");
    for n in 0..100 {
        device.publish(&n.to_string());
    }
    listener.until(100);
    broker.crash();
    door.shut();
    for n in 100..200 {
        device.publish(&n.to_string());
    }
    broker.start_again();
    // First whoever listens, then whoever has something to say.
    listener.await_subscribed();
    door.open();
    let all: BTreeSet<_> = (100..200).map(|n| n.to_string()).collect();
    assert!(listener.until(200).is_superset(&all));
}

#[test]
fn a_device_is_not_read_while_the_broker_is_away_and_loses_nothing() {
    let Some(broker) = Mosquitto::start("") else { return };
    let mut door = Door::to(broker.port);
    let keys = [("UPLINK_QOS", "1"), ("MAX_INFLIGHT", "4")];
    let tidegate = with(&keys).broker(door.port).start().ready();
    let mut ops = MqttClient::connect("ops", broker.port);
    ops.subscribe("tcp/pump/up", 1);
    let wire = connection(tidegate.tcp());
    let mut device = TcpDevice::over(wire.try_clone().unwrap());
    device.enter(&["pump"]);
    door.shut();
    tidegate.readyz_until(|code, _| code == 503);
    // It writes until the kernel takes no more: nobody reads.
    let mut full = wire.try_clone().unwrap();
    full.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let payload = "x".repeat(60_000);
    let (mut whole, mut rest) = (0_u32, Vec::new());
    for n in 0..10_000 {
        let frame = data_frame(&format!("{n:05}{payload}"));
        let mut written = 0;
        while written < frame.len() {
            match full.write(&frame[written..]) {
                Ok(octets) => written += octets,
                Err(_full) => break,
            }
        }
        if written < frame.len() {
            rest = frame[written..].to_vec();
            break;
        }
        whole += 1;
    }
    assert!(!rest.is_empty() && whole < 5000, "{whole} messages of 60 KB were taken without a broker");
    door.open();
    // The rest of the last one goes as the broker takes the others.
    full.set_write_timeout(None).unwrap();
    full.write_all(&rest).unwrap();
    let mut expected = 0;
    while expected <= whole {
        let number = number(&ops.message().payload);
        assert!(number <= expected, "{expected} is lost: {number} came");
        expected = expected.max(number + 1);
    }
    device.ping();
}

#[test]
fn a_message_with_qos_1_reaches_a_device_that_is_slow_to_read() {
    let tidegate = with(&[("DOWNLINK_QOS", "1")]).start().ready();
    let mut device = TcpDevice::connect(tidegate.tcp(), "pump");
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    // More than the kernel takes at once, less than what may wait.
    for n in 0..90 {
        ops.publish("tcp/pump/dn", &format!("{n:05}{}", "x".repeat(1000)), false);
    }
    for n in 0..90 {
        assert_eq!(number(&device.message()), n);
    }
}

#[test]
fn who_does_not_read_is_closed_after_the_send_time_and_nobody_waits_for_it() {
    let setup = Setup::new().set("GATEWAYS__TCP__LISTENERS__TCP__DEFAULT__SEND_TIMEOUT", "1s");
    let tidegate = setup.start().ready();
    let _deaf = TcpDevice::connect(tidegate.tcp(), "deaf");
    let mut good = TcpDevice::connect(tidegate.tcp(), "good");
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    let large = "x".repeat(60_000);
    // More than the kernel's buffers and ours hold.
    for _ in 0..300 {
        ops.publish("tcp/deaf/dn", &large, false);
    }
    ops.publish("tcp/good/dn", "still here", false);
    assert_eq!(good.message(), "still here");
    tidegate.metric_until("tidegate_sessions{protocol=\"tcp\"", |sessions| sessions == 1);
    let dropped = tidegate.metric("tidegate_queue_dropped_total{queue=\"tcp\"");
    assert!(dropped > 0, "what it does not read is not kept for it without end");
}
