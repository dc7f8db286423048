//! The broker against clients that are lists of packets. What it sends is compared as text: `PUBLISH a=1 q1 #1 dup`.

mod downlink;
mod refusals;
mod sessions;
mod uplink;
mod violations;

use super::{Message, Options, SimBroker};
use codec_mqtt::{
    Ack, Connect, Delivery, Filters, Level, Names, Packet, PacketId, Properties, Property, PublishOut, Qos, Subscribe,
    Subscription, Unsubscribe, Version, decode_from_server, split,
};

const Q0: Qos = Qos::AtMostOnce;
const Q1: Qos = Qos::AtLeastOnce;
const Q2: Qos = Qos::ExactlyOnce;

/// A client that sends what it is told to.
struct Client {
    conn: u64,
    version: Version,
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn delivery(qos: Qos, number: u16, dup: bool) -> Delivery {
    match qos {
        Q0 => Delivery::AtMostOnce,
        Q1 => Delivery::AtLeastOnce { packet_id: id(number), dup },
        Q2 => Delivery::ExactlyOnce { packet_id: id(number), dup },
    }
}

impl Client {
    /// Connects with 5.0, keeping its session, and drops the CONNACK.
    fn resuming(broker: &mut SimBroker, conn: u64, name: &str) -> Self {
        let (client, _connack) = Self::connect(broker, conn, name, false, &[Property::SessionExpiryInterval(60)]);
        client
    }

    fn connect(b: &mut SimBroker, conn: u64, name: &str, clean: bool, list: &[Property<'_>]) -> (Self, Vec<String>) {
        let connect = Connect { properties: Properties::list(list), ..Connect::new(Level::V5, name, clean, 60) };
        Self::say_hello(b, conn, connect)
    }

    fn say_hello(broker: &mut SimBroker, conn: u64, connect: Connect<'_>) -> (Self, Vec<String>) {
        let client = Self { conn, version: connect.level.version() };
        assert!(broker.connect(conn));
        let answers = client.send(broker, &Packet::Connect(connect));
        (client, answers)
    }

    /// Sends a packet and reads what the broker has to say.
    fn send(&self, broker: &mut SimBroker, packet: &Packet<'_>) -> Vec<String> {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        broker.receive(self.conn, &bytes);
        self.hear(broker)
    }

    /// Sends a publication without reading the answer.
    fn offer(&self, broker: &mut SimBroker, topic: &str, payload: &str, delivery: Delivery) {
        let publish = PublishOut { name: topic, payload: payload.as_bytes(), delivery, ..PublishOut::default() };
        let mut bytes = Vec::new();
        publish.encode(self.version, &mut bytes).unwrap();
        broker.receive(self.conn, &bytes);
    }

    fn publish(&self, broker: &mut SimBroker, topic: &str, payload: &str, delivery: Delivery) -> Vec<String> {
        self.offer(broker, topic, payload, delivery);
        self.hear(broker)
    }

    fn subscribe(&self, broker: &mut SimBroker, number: u16, wanted: Subscription<'_>, ident: u32) -> Vec<String> {
        let properties = [Property::SubscriptionIdentifier(ident)];
        let filters = [wanted];
        let properties = if ident == 0 { Properties::EMPTY } else { Properties::list(&properties) };
        let subscribe = Subscribe { packet_id: id(number), properties, filters: Filters::list(&filters) };
        self.send(broker, &Packet::Subscribe(subscribe))
    }

    fn unsubscribe(&self, broker: &mut SimBroker, number: u16, filter: &str) -> Vec<String> {
        let filters = [filter];
        let properties = Properties::EMPTY;
        let unsubscribe = Unsubscribe { packet_id: id(number), properties, filters: Names::list(&filters) };
        self.send(broker, &Packet::Unsubscribe(unsubscribe))
    }

    fn puback(&self, broker: &mut SimBroker, number: u16) -> Vec<String> {
        self.send(broker, &Packet::Puback(Ack::new(id(number))))
    }

    fn pubrec(&self, broker: &mut SimBroker, number: u16) -> Vec<String> {
        self.send(broker, &Packet::Pubrec(Ack::new(id(number))))
    }

    fn pubrel(&self, broker: &mut SimBroker, number: u16) -> Vec<String> {
        self.send(broker, &Packet::Pubrel(Ack::new(id(number))))
    }

    fn pubcomp(&self, broker: &mut SimBroker, number: u16) -> Vec<String> {
        self.send(broker, &Packet::Pubcomp(Ack::new(id(number))))
    }

    fn hear(&self, broker: &mut SimBroker) -> Vec<String> {
        let bytes = broker.take_output(self.conn);
        let mut rest = &bytes[..];
        let mut heard = Vec::new();
        while let Some((packet, tail)) = split(rest, u32::MAX).unwrap() {
            heard.push(text(&decode_from_server(packet, self.version).unwrap()));
            rest = tail;
        }
        assert!(rest.is_empty(), "half a packet: {rest:02X?}");
        heard
    }
}

fn text(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connack(c) => format!("CONNACK {:02X}{}", c.reason.0, if c.session_present { " present" } else { "" }),
        Packet::Publish(p) => {
            let number = p.delivery.packet_id().map_or_else(String::new, |id| format!(" #{id}"));
            let dup = if p.delivery.dup() { " dup" } else { "" };
            let retain = if p.retain { " retain" } else { "" };
            let ids: Vec<String> = p.properties.subscription_identifiers().map(|id| format!(" @{id}")).collect();
            let payload = String::from_utf8_lossy(p.payload);
            format!("PUBLISH {}={payload} q{}{number}{dup}{retain}{}", p.topic, p.delivery.qos().bits(), ids.concat())
        }
        Packet::Puback(ack) => format!("PUBACK #{} {:02X}", ack.packet_id, ack.reason.0),
        Packet::Pubrec(ack) => format!("PUBREC #{} {:02X}", ack.packet_id, ack.reason.0),
        Packet::Pubrel(ack) => format!("PUBREL #{}", ack.packet_id),
        Packet::Pubcomp(ack) => format!("PUBCOMP #{} {:02X}", ack.packet_id, ack.reason.0),
        Packet::Suback(ack) => format!("SUBACK #{} {:02X?}", ack.packet_id, codes(ack.codes.iter().map(|c| c.0))),
        Packet::Unsuback(ack) => format!("UNSUBACK #{} {:02X?}", ack.packet_id, codes(ack.codes.iter().map(|c| c.0))),
        Packet::Disconnect(d) => format!("DISCONNECT {:02X}", d.reason.0),
        other => format!("{other:?}"),
    }
}

fn codes(all: impl Iterator<Item = u8>) -> Vec<u8> {
    all.collect()
}

/// Topics and payloads of what was accepted.
fn taken(broker: &SimBroker) -> Vec<String> {
    broker.accepted().iter().map(|a| format!("{}={}", a.topic, String::from_utf8_lossy(&a.payload))).collect()
}
