//! The rules of a link that carries many devices, each against every broker that this machine has.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use codec_mqtt::{Connect, Level, Packet, Version};
use codec_mqttsn::Qos;

use crate::mosquitto::{Door, Mosquitto};
use crate::mqtt::MqttClient;
use crate::process::{Dir, PATIENCE, Setup};
use crate::sn::Device;

/// True if the broker has a session of this client id. Asks in MQTT 3.1.1 without Clean Session, and so leaves one that is
/// there as it is, and one that is not for as long as the broker likes.
fn session_present(port: u16, client_id: &str) -> bool {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the broker accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut connect = Vec::new();
    let packet = Packet::Connect(Connect::new(Level::V311, client_id, false, 60));
    packet.encode(Version::V311, &mut connect).expect("a packet");
    stream.write_all(&connect).expect("the broker reads");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("CONNACK");
    assert_eq!((connack[0], connack[3]), (0x20, 0), "accepted");
    connack[2] == 1
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
        assert_eq!(list, "tidegate links 1\ntidegate-n-0\nend 1\n");
    }
}
