//! Sessions that outlive the process.

use std::fs;
use std::net::UdpSocket;
use std::time::Instant;

use codec_mqttsn::{Message, Qos, ReturnCode, Topic};
use store::{Change, FileStore, Home, SessionStore};

use crate::mosquitto::Mosquitto;
use crate::mqtt::MqttClient;
use crate::process::{Dir, PATIENCE, Setup, Tidegate, pause};
use crate::sn::Device;

/// What is the same for one process after the other.
struct Node {
    dir: Dir,
    broker: Mosquitto,
    port: u16,
}

impl Node {
    /// `None` without a mosquitto.
    fn new() -> Option<Self> {
        let broker = Mosquitto::start("")?;
        let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap().port();
        Some(Self { dir: Dir::new(), broker, port })
    }

    fn setup(&self) -> Setup {
        Setup::new()
            .broker(self.broker.port)
            .set("NODE__NAME", "north")
            .set("NODE__DATA_DIR", &self.dir.path("data").display().to_string())
            .set("GATEWAYS__MQTTSN__LISTENERS__UDP__DEFAULT__BIND", &format!("127.0.0.1:{}", self.port))
            .set("SESSIONS__STORE", "file")
    }

    fn start(&self) -> Tidegate {
        self.setup().start().ready()
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path("data").join("sessions.redb")
    }
}

/// Waits until all that has changed is safe.
fn await_written(tidegate: &Tidegate) {
    let until = Instant::now() + PATIENCE;
    while tidegate.metric("tidegate_store_queue") > 0 {
        assert!(Instant::now() < until, "not written in time");
        pause();
    }
}

/// Waits until the one client that there is has so many messages held.
fn await_held(tidegate: &Tidegate, messages: usize) {
    let until = Instant::now() + PATIENCE;
    let wanted = format!("\"mqueue_len\":{messages}");
    loop {
        let (code, body) = tidegate.get("/api/v5/gateways/mqttsn/clients/lamp");
        if code == 200 && body.replace(' ', "").contains(&wanted) {
            return;
        }
        assert!(Instant::now() < until, "{code}: {body}");
        pause();
    }
}

fn end(tidegate: Tidegate, signal: &str) {
    tidegate.signal(signal);
    let (code, log) = tidegate.end();
    assert_eq!(code, (signal == "TERM").then_some(0), "{log}");
}

#[test]
fn a_device_need_not_notice_that_there_was_another_process() {
    for signal in ["TERM", "KILL"] {
        let Some(node) = Node::new() else { return };
        let tidegate = node.start();
        let mut lamp = Device::new(tidegate.mqttsn());
        assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
        let topic = lamp.register("up/lamp");
        lamp.subscribe("down/#", Qos::AtLeastOnce);
        await_written(&tidegate);
        end(tidegate, signal);
        let mut ops = MqttClient::connect("ops", node.broker.port);
        ops.subscribe("up/#", 1);
        ops.publish("down/lamp", "meanwhile", false);
        let tidegate = node.start();
        assert_eq!(tidegate.metric("tidegate_store_restored_total{result=\"restored\"}"), 1, "SIG{signal}");
        let heard = lamp.message();
        assert_eq!((heard.topic.as_str(), heard.payload.as_str()), ("down/lamp", "meanwhile"), "SIG{signal}");
        lamp.ping(None);
        lamp.publish(Topic::Normal(topic), "still here", Qos::AtLeastOnce, false);
        assert_eq!(ops.message().payload, "still here");
        ops.publish("down/lamp", "on", false);
        assert_eq!(lamp.message().payload, "on", "once, and nothing else");
    }
}

#[test]
fn what_was_on_its_way_to_a_device_survives_sigkill() {
    let Some(node) = Node::new() else { return };
    let tidegate = node.start();
    let mut lamp = Device::new(tidegate.mqttsn());
    assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
    lamp.subscribe("down/lamp", Qos::AtLeastOnce);
    lamp.leave();
    // A SUBACK does not wait for the disk.
    await_written(&tidegate);
    let ops = &mut MqttClient::connect("ops", node.broker.port);
    for number in 0..20 {
        ops.publish("down/lamp", &number.to_string(), false);
    }
    // Whatever the broker still has then comes again.
    end(tidegate, "KILL");
    let tidegate = node.start();
    assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
    let mut due = 0;
    while due < 20 {
        let number: usize = lamp.message().payload.parse().unwrap();
        assert!(number <= due, "{number} came before {due}");
        due = due.max(number + 1);
    }
    end(tidegate, "TERM");
}

#[test]
fn what_is_held_for_a_sleeping_device_survives_sigkill_and_comes_with_its_pingreq() {
    let Some(node) = Node::new() else { return };
    let tidegate = node.start();
    // CleanSession 1: it sleeps, and would not hear that it is not known any more.
    let mut lamp = Device::connect(tidegate.mqttsn(), "lamp");
    lamp.subscribe("down/lamp", Qos::AtLeastOnce);
    lamp.sleep(600);
    let ops = &mut MqttClient::connect("ops", node.broker.port);
    ops.publish("down/lamp", "0", false);
    await_held(&tidegate, 1);
    await_written(&tidegate);
    end(tidegate, "KILL");
    ops.publish("down/lamp", "1", false);
    let tidegate = node.start();
    assert_eq!(tidegate.metric("tidegate_sessions{protocol=\"mqttsn\",state=\"asleep\"}"), 1);
    await_held(&tidegate, 2);
    lamp.ping(Some("lamp"));
    assert_eq!([lamp.message().payload, lamp.message().payload], ["0", "1"]);
    lamp.ping(Some("lamp"));
    ops.publish("down/lamp", "2", false);
    await_held(&tidegate, 1);
    lamp.ping(Some("lamp"));
    assert_eq!(lamp.message().payload, "2", "nothing comes twice");
}

#[test]
fn a_session_that_has_ended_is_not_there_any_more() {
    let Some(node) = Node::new() else { return };
    let tidegate = node.start();
    let mut lamp = Device::new(tidegate.mqttsn());
    assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
    await_written(&tidegate);
    assert_eq!(lamp.try_connect("lamp", true), ReturnCode::Accepted);
    await_written(&tidegate);
    end(tidegate, "KILL");
    let tidegate = node.start();
    assert_eq!(tidegate.metric("tidegate_store_restored_total"), 0);
    lamp.send(&Message::Pingreq { client_id: None });
    lamp.await_disconnect();
}

#[test]
fn a_damaged_file_is_kept_aside_and_the_node_starts() {
    let Some(node) = Node::new() else { return };
    fs::create_dir_all(node.dir.path("data")).unwrap();
    fs::write(node.file(), "what is this?").unwrap();
    let mut tidegate = node.start();
    tidegate.logged("damaged session store: a new one begun");
    assert_eq!(fs::read_to_string(node.dir.path("data").join("sessions.redb.damaged-1")).unwrap(), "what is this?");
    let mut lamp = Device::new(tidegate.mqttsn());
    assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
    await_written(&tidegate);
    end(tidegate, "TERM");
    assert_eq!(node.start().metric("tidegate_store_restored_total{result=\"restored\"}"), 1);
}

#[test]
fn a_record_that_makes_no_sense_is_set_aside_and_the_others_are_there() {
    let Some(node) = Node::new() else { return };
    let tidegate = node.start();
    let mut lamp = Device::new(tidegate.mqttsn());
    assert_eq!(lamp.try_connect("lamp", false), ReturnCode::Accepted);
    end(tidegate, "TERM");
    let home = Home { shard: 0, of: 2 };
    let odd = Change::Session { gateway: "mqttsn", id: "odd".into(), home, session: Some(b"odd"[..].into()) };
    FileStore::open(&node.file()).unwrap().store.write(&[odd]).unwrap();
    for set_aside in [1, 0] {
        let mut tidegate = node.start();
        assert_eq!(tidegate.metric("tidegate_store_set_aside_total"), set_aside, "once");
        assert_eq!(tidegate.metric("tidegate_store_restored_total{result=\"restored\"}"), 1);
        if set_aside > 0 {
            tidegate.logged("not all sessions are back");
        }
        lamp.ping(None);
        end(tidegate, "TERM");
    }
}

#[test]
fn two_processes_do_not_share_a_file() {
    let Some(node) = Node::new() else { return };
    let _first = node.start();
    let second = node.setup().set("GATEWAYS__MQTTSN__LISTENERS__UDP__DEFAULT__BIND", "127.0.0.1:0").outcome();
    assert_eq!(second.code, Some(1), "{}", second.errors);
    assert!(second.errors.contains("sessions.redb is in use by another process"), "{}", second.errors);
}
