//! The rules of a link that carries many devices, each against every broker that this machine has.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use codec_mqtt::{Connect, Delivery, Level, Packet, PacketId, Properties, Property, PublishOut, Version};
use codec_mqttsn::{Qos, ReturnCode, Topic};

use crate::mosquitto::{Door, Mosquitto};
use crate::mqtt::MqttClient;
use crate::process::{Dir, PATIENCE, Setup, Tidegate, pause};
use crate::sn::{Delivered, Device};

/// A gateway with one link, and its broker.
struct Scene {
    broker: &'static str,
    tidegate: Tidegate,
    port: u16,
    _mosquitto: Option<Mosquitto>,
}

/// Plays `rule` with each broker.
fn with_each_broker(rule: impl Fn(&mut Scene)) {
    let setup = || Setup::new().set("NODE__WORKERS", "1").set("NODE__NAME", "n");
    let tidegate = setup().start().ready();
    let port = tidegate.broker_port();
    rule(&mut Scene { broker: "embedded", tidegate, port, _mosquitto: None });
    for (broker, protocol) in [("mosquitto, MQTT 5", "5"), ("mosquitto, MQTT 3.1.1", "3.1.1")] {
        let Some(mosquitto) = Mosquitto::start("") else { return };
        let port = mosquitto.port;
        let tidegate = setup().broker(port).set("BROKER__PROTOCOL", protocol).start().ready();
        rule(&mut Scene { broker, tidegate, port, _mosquitto: Some(mosquitto) });
    }
}

impl Scene {
    /// A device that is subscribed to these filters.
    fn device(&self, name: &str, filters: &[&str]) -> Device {
        let mut device = Device::connect(self.tidegate.mqttsn(), name);
        for filter in filters {
            device.subscribe(filter, Qos::AtLeastOnce);
        }
        device
    }

    fn client(&self) -> MqttClient {
        MqttClient::connect("ops", self.port)
    }
}

/// What comes before the end, which must have been published to the same topic: a device's messages keep their order by
/// topic.
fn all(device: &mut Device) -> Vec<Delivered> {
    let mut heard = Vec::new();
    loop {
        let message = device.message();
        if message.payload == END {
            return heard;
        }
        heard.push(message);
    }
}

fn payloads(device: &mut Device) -> Vec<String> {
    all(device).into_iter().map(|message| message.payload).collect()
}

const END: &str = "end";

#[test]
fn a_retained_message_goes_to_its_new_subscriber_alone() {
    with_each_broker(|scene| {
        let mut ops = scene.client();
        ops.publish("state/door", "shut", true);
        let mut first = scene.device("first", &["state/door"]);
        let mut second = scene.device("second", &["state/door"]);
        let mut wild = scene.device("wild", &["state/+"]);
        ops.publish("state/door", "open", true);
        ops.publish("state/door", END, false);
        for device in [&mut first, &mut second, &mut wild] {
            let heard: Vec<_> = all(device).into_iter().map(|message| (message.payload, message.retain)).collect();
            assert_eq!(heard, [("shut".to_owned(), true), ("open".to_owned(), false)], "{}", scene.broker);
        }
    });
}

#[test]
fn each_device_gets_a_message_once_for_each_of_its_subscriptions() {
    with_each_broker(|scene| {
        let mut devices = [
            (scene.device("wild", &["a/#"]), 1),
            (scene.device("plain", &["a/b"]), 1),
            (scene.device("threefold", &["a/#", "a/b", "+/b"]), 3),
        ];
        let mut ops = scene.client();
        for number in 0..3 {
            ops.publish("a/b", &number.to_string(), false);
        }
        ops.publish("a/b", END, false);
        for (device, copies) in &mut devices {
            let heard = payloads(device);
            for number in ["0", "1", "2"] {
                let got = heard.iter().filter(|payload| *payload == number).count();
                assert_eq!(got, *copies, "{}: {heard:?}", scene.broker);
            }
        }
    });
}

#[test]
fn members_of_a_share_group_on_one_link_take_turns() {
    with_each_broker(|scene| {
        let mut members = ["one", "two"].map(|name| scene.device(name, &["$share/g/job"]));
        let mut ops = scene.client();
        for payload in ["0", "1", "2", "3", "4", "5", END, END] {
            ops.publish("job", payload, false);
        }
        let [one, two] = &mut members;
        assert_eq!(payloads(one), ["0", "2", "4"], "{}", scene.broker);
        assert_eq!(payloads(two), ["1", "3", "5"], "{}", scene.broker);
    });
}

#[test]
fn a_second_subscriber_raises_the_qos_of_a_filter_for_itself() {
    with_each_broker(|scene| {
        let mut modest = scene.device("modest", &[]);
        modest.subscribe("q", Qos::AtMostOnce);
        let mut careful = scene.device("careful", &["q"]);
        let mut ops = scene.client();
        ops.publish("q", "x", false);
        ops.publish("q", END, false);
        let [modest, careful] = [&mut modest, &mut careful].map(all);
        assert_eq!(modest.iter().map(|message| message.qos).collect::<Vec<_>>(), [0], "{}", scene.broker);
        assert_eq!(careful.iter().map(|message| message.qos).collect::<Vec<_>>(), [1], "{}", scene.broker);
    });
}

#[test]
fn who_stays_is_not_touched_when_another_leaves() {
    with_each_broker(|scene| {
        let mut stays = scene.device("stays", &["t"]);
        let leaves = scene.device("leaves", &["t"]);
        leaves.disconnect();
        let mut ops = scene.client();
        ops.publish("t", "x", false);
        ops.publish("t", END, false);
        assert_eq!(payloads(&mut stays), ["x"], "{}", scene.broker);
    });
}

#[test]
fn another_process_with_the_links_client_id_is_found_out() {
    with_each_broker(|scene| {
        let _rival = Rival::begin(scene.port, "tidegate-n-0");
        let told = |code, body: &str| code == 503 && body.contains("another process uses this client id");
        let body = scene.tidegate.readyz_until(told);
        assert!(body.contains("tidegate-n-0"), "{}: {body}", scene.broker);
    });
}

/// A client that comes back whenever it is thrown out, until it goes out of scope.
struct Rival {
    over: Arc<AtomicBool>,
    stream: Arc<Mutex<Option<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Rival {
    fn begin(port: u16, client_id: &'static str) -> Self {
        let (over, stream) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Option<TcpStream>>>::default());
        let (is_over, at_it) = (Arc::clone(&over), Arc::clone(&stream));
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                let (_, mut stream) = say_hello(port, client_id);
                *at_it.lock().unwrap() = Some(stream.try_clone().expect("a second handle"));
                drop(stream.read_to_end(&mut Vec::new()));
            }
        });
        Self { over, stream, thread: Some(thread) }
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() {
            // It may be closed already, and the next on its way.
            let last = self.stream.lock().unwrap().take();
            drop(last.map(|stream| stream.shutdown(Shutdown::Both)));
            pause();
        }
        drop(thread.join());
    }
}

/// True if the broker has a session of this client id. Asks in MQTT 3.1.1 without Clean Session, and so leaves one that is
/// there as it is, and one that is not for as long as the broker likes.
fn session_present(port: u16, client_id: &str) -> bool {
    say_hello(port, client_id).0
}

/// Whether a session was there, and the connection.
fn say_hello(port: u16, client_id: &str) -> (bool, TcpStream) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the broker accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut connect = Vec::new();
    let packet = Packet::Connect(Connect::new(Level::V311, client_id, false, 60));
    packet.encode(Version::V311, &mut connect).expect("a packet");
    stream.write_all(&connect).expect("the broker reads");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("CONNACK");
    assert_eq!((connack[0], connack[3]), (0x20, 0), "accepted");
    (connack[2] == 1, stream)
}

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

#[test]
fn sessions_of_links_that_are_gone_are_ended() {
    for protocol in PROTOCOLS {
        let data = Dir::new();
        let Some(broker) = Mosquitto::start("") else { return };
        let run = |connections: &str| {
            let setup = Setup::new().broker(broker.port).set("NODE__WORKERS", "1").set("BROKER__PROTOCOL", protocol);
            let setup = setup.set("NODE__DATA_DIR", &data.path("data").display().to_string());
            setup.set("NODE__NAME", "n").set("BROKER__CONNECTIONS", connections).start().ready()
        };
        let four = run("4");
        four.signal("KILL");
        assert_eq!(four.end().0, None, "it was killed");
        let sessions = || (0..4).map(|n| session_present(broker.port, &format!("tidegate-n-{n}"))).collect::<Vec<_>>();
        assert_eq!(sessions(), [true; 4], "MQTT {protocol}");
        let mut one = run("1");
        one.logged("sessions of links that are gone were ended");
        assert_eq!(one.metric("tidegate_link_sessions_ended_total"), 4, "one of them its own link's");
        one.signal("KILL");
        assert_eq!(one.end().0, None, "it was killed");
        assert_eq!(sessions(), [true, false, false, false], "MQTT {protocol}");
        let list = std::fs::read_to_string(data.path("data").join("links")).expect("the list");
        assert_eq!(list, "tidegate links 1\nsessions memory\ntidegate-n-0\nend 1\n");
    }
}

/// A gateway whose sessions, and those of its links, outlive it.
fn durable(broker: u16, protocol: &str, data: &Dir) -> Setup {
    let setup = Setup::new().broker(broker).set("NODE__WORKERS", "1").set("BROKER__PROTOCOL", protocol);
    let setup = setup.set("NODE__DATA_DIR", &data.path("data").display().to_string());
    setup.set("NODE__NAME", "n").set("SESSIONS__STORE", "file")
}

/// A device that takes its session up again.
fn returns(gateway: &Tidegate, name: &str) -> Device {
    let mut device = Device::new(gateway.mqttsn());
    assert_eq!(device.try_connect(name, false), ReturnCode::Accepted);
    device
}

fn stop(gateway: Tidegate) {
    gateway.signal("TERM");
    let (code, log) = gateway.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_gateway_goes_on_with_its_links_sessions() {
    for protocol in PROTOCOLS {
        let data = Dir::new();
        let Some(broker) = Mosquitto::start("") else { return };
        let setup = || durable(broker.port, protocol, &data);
        let first = setup().start().ready();
        returns(&first, "wild").subscribe("a/#", Qos::AtLeastOnce);
        returns(&first, "plain").subscribe("a/b", Qos::AtLeastOnce);
        stop(first);
        let mut ops = MqttClient::connect("ops", broker.port);
        ops.publish("a/b", "meanwhile", false);
        let second = setup().start().ready();
        let mut devices = ["wild", "plain"].map(|name| returns(&second, name));
        ops.publish("a/b", END, false);
        for device in &mut devices {
            assert_eq!(payloads(device), ["meanwhile"], "MQTT {protocol}");
        }
        assert_eq!(second.metric("tidegate_link_sessions_ended_total"), 0, "MQTT {protocol}");
    }
}

#[test]
fn what_a_run_without_a_store_has_changed_is_not_taken_for_the_record() {
    for protocol in PROTOCOLS {
        let data = Dir::new();
        let Some(broker) = Mosquitto::start("") else { return };
        let setup = || durable(broker.port, protocol, &data);
        let first = setup().start().ready();
        returns(&first, "lamp").subscribe("a/b", Qos::AtLeastOnce);
        stop(first);
        let forgetful = setup().set("SESSIONS__STORE", "memory").start().ready();
        // Its session stays at the broker, with the client id of the first one's.
        forgetful.signal("KILL");
        forgetful.end();
        let last = setup().start().ready();
        let mut lamp = returns(&last, "lamp");
        MqttClient::connect("ops", broker.port).publish("a/b", "x", false);
        assert_eq!(lamp.message().payload, "x", "MQTT {protocol}");
    }
}

#[test]
fn what_an_earlier_life_left_half_said_is_finished_before_anything_new() {
    for protocol in PROTOCOLS {
        let data = Dir::new();
        let Some(broker) = Mosquitto::start("") else { return };
        let setup = || durable(broker.port, protocol, &data);
        stop(setup().start().ready());
        let mut ops = MqttClient::connect("ops", broker.port);
        ops.subscribe("t", 2);
        // In the link's name: publications of QoS 2 that got as far as PUBREC, as a crash leaves them.
        let (version, level) = if protocol == "5" { (Version::V5, Level::V5) } else { (Version::V311, Level::V311) };
        let lasting = [Property::SessionExpiryInterval(3600)];
        let mut connect = Connect::new(level, "tidegate-n-0", false, 60);
        if version == Version::V5 {
            connect.properties = Properties::list(&lasting);
        }
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, broker.port)).expect("the broker accepts");
        let mut said = Vec::new();
        Packet::Connect(connect).encode(version, &mut said).expect("a packet");
        for (number, payload) in (1..=3).zip(["one", "two", "three"]) {
            let delivery = Delivery::ExactlyOnce { packet_id: PacketId::new(number).expect("not 0"), dup: false };
            let publish = PublishOut { name: "t", delivery, payload: payload.as_bytes(), ..PublishOut::default() };
            publish.encode(version, &mut said).expect("a packet");
        }
        stream.write_all(&said).expect("the broker reads");
        await_pubrecs(&mut stream, 3);
        drop(stream);
        let second = setup().start().ready();
        let mut lamp = Device::connect(second.mqttsn(), "lamp");
        let topic = lamp.register("t");
        lamp.publish(Topic::Normal(topic), "four", Qos::ExactlyOnce, false);
        let heard: Vec<_> = (0..4).map(|_| ops.message().payload).collect();
        assert_eq!(heard, ["one", "two", "three", "four"], "MQTT {protocol}");
    }
}

/// Reads until so many PUBRECs have come; no packet until then has 128 octets.
fn await_pubrecs(stream: &mut TcpStream, count: usize) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut seen = 0;
    while seen < count {
        let mut head = [0; 2];
        stream.read_exact(&mut head).expect("a packet");
        stream.read_exact(&mut vec![0; head[1].into()]).expect("the rest of it");
        seen += usize::from(head[0] == 0x50);
    }
}
