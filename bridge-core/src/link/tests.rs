//! Scripted dialogues in virtual time. What the link writes is read back as short texts, one per packet.

mod connecting;
mod property;
mod publishing;
mod receiving;
mod resuming;
mod sessions;
mod stopping;
mod subscribing;

use super::*;
use crate::meter::Count;
use crate::publication::Publication;
use crate::topic::TopicName;
use crate::uplink::Taken;
use codec_mqtt::{
    Ack, Connack, Delivery, Disconnect, Properties, Property, Publish, ReasonCode, ReasonCodes, Suback, Unsuback, peek,
};

/// A link, and a driver that does what it wishes.
struct Bench {
    link: Link,
    now: Now,
}

fn settings() -> LinkSettings {
    LinkSettings {
        client_id: "tidegate-n-1".into(),
        username: String::new(),
        password: Password::default(),
        keepalive_s: 60,
        max_inflight: 8,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 3600,
        scope: SessionScope::Process,
        queue: QueueLimits { max_bytes: 1 << 24, max_messages: 1000 },
    }
}

fn publication<'a>(payload: &'a str, qos: u8) -> Publication<'a> {
    let topic = TopicName::try_from("t").unwrap();
    let qos = Qos::from_bits(qos).unwrap();
    Publication { topic, payload: payload.as_bytes(), qos, retain: false, expiry_s: None }
}

fn origin(token: u64) -> Origin {
    Origin { gateway: GatewayId(0), client: Token(1), token: Token(token) }
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn settled(token: u64, outcome: Outcome) -> LinkEvent {
    LinkEvent::Settled { origin: origin(token), outcome }
}

fn acknowledged(token: u64) -> LinkEvent {
    settled(token, Outcome::Acknowledged)
}

fn accept<'a>(session_present: bool, properties: &'a [Property<'a>]) -> Packet<'a> {
    let properties = Properties::list(properties);
    Packet::Connack(Connack { session_present, reason: ReasonCode::SUCCESS, properties })
}

fn puback(n: u16) -> Packet<'static> {
    Packet::Puback(Ack::new(id(n)))
}

impl Bench {
    fn new(settings: LinkSettings) -> Self {
        Self { link: Link::new(settings, 7), now: Now { mono_ms: 0, wall_ms: 0 } }
    }

    /// Online, clean, with nothing left to hear or to write.
    fn online(settings: LinkSettings) -> Self {
        let mut bench = Self::new(settings);
        bench.connect(false, &[]);
        assert_eq!(bench.events(), [LinkEvent::Up { session_present: false }]);
        bench
    }

    /// Opens the connection that is wished for; what CONNECT says.
    fn open(&mut self) -> String {
        assert!(matches!(self.link.wish(), Wish::Open { .. }), "{:?}", self.link);
        self.link.opening(self.now);
        assert_eq!(self.link.wish(), Wish::Nothing);
        self.link.opened(self.now);
        self.out().pop().unwrap()
    }

    /// Opens, lets the broker accept, and sets the queue in motion.
    fn connect(&mut self, session_present: bool, properties: &[Property<'_>]) {
        self.greet(session_present, properties);
        self.link.timer(self.now);
    }

    /// Opens, and lets the broker accept.
    fn greet(&mut self, session_present: bool, properties: &[Property<'_>]) {
        self.open();
        self.hear(&accept(session_present, properties));
        assert!(self.link.phase.is_online(), "{:?}", self.link);
    }

    fn close(&mut self, why: Closed) {
        self.link.closed(self.now, why, "it is gone");
    }

    /// Waits until the next attempt is due.
    fn wait(&mut self) {
        let due = self.link.next_deadline().unwrap();
        self.now.mono_ms = due.0;
        self.link.timer(self.now);
    }

    /// Loses the connection and makes a new one; what is written after CONNECT.
    fn reconnect(&mut self, session_present: bool, properties: &[Property<'_>]) -> Vec<String> {
        self.close(Closed::Broken);
        self.wait();
        self.connect(session_present, properties);
        self.out()
    }

    /// Time passes, and the timer is called when due.
    fn advance(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while let Some(due) = self.link.next_deadline().filter(|due| due.0 <= end) {
            self.now.mono_ms = due.0.max(self.now.mono_ms);
            self.link.timer(self.now);
            assert!(self.link.next_deadline() != Some(due), "the timer did nothing: {:?}", self.link);
        }
        self.now.mono_ms = end;
    }

    fn publish(&mut self, token: u64, payload: &str, qos: u8) -> Taken {
        self.link.publish(self.now, Some(origin(token)), "", &publication(payload, qos))
    }

    /// Publishes what must be taken.
    fn say(&mut self, token: u64, payload: &str, qos: u8) {
        let taken = self.publish(token, payload, qos);
        assert!(matches!(taken, Taken::Done | Taken::Owed), "{taken:?}");
    }

    /// Everything that is pending, written.
    fn out(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while !self.link.pending().is_empty() {
            let octets = self.link.pending().to_vec();
            self.link.written(octets.len());
            texts.extend(read(&octets, self.link.broker.version));
        }
        texts
    }

    /// The broker sends `packet`; what is delivered and acknowledged.
    fn hear(&mut self, packet: &Packet<'_>) -> Vec<String> {
        let mut octets = Vec::new();
        packet.encode(self.link.broker.version, &mut octets).unwrap();
        self.hear_octets(&octets)
    }

    fn hear_octets(&mut self, octets: &[u8]) -> Vec<String> {
        let mut rest = octets;
        let mut delivered = Vec::new();
        loop {
            let received = self.link.receive(self.now, rest);
            rest = &rest[received.consumed..];
            let Some(Inbound { publication, due, .. }) = received.message else { return delivered };
            delivered.push(String::from_utf8(publication.payload.to_vec()).unwrap());
            self.link.acknowledge(due);
        }
    }

    fn events(&mut self) -> Vec<LinkEvent> {
        std::iter::from_fn(|| self.link.take_event()).collect()
    }

    fn count(&self, what: LinkCount) -> u64 {
        self.link.meter().read().nth(what.index()).unwrap().1
    }
}

/// Packets as texts.
fn read(octets: &[u8], version: Version) -> Vec<String> {
    let mut rest = octets;
    let mut texts = Vec::new();
    while let Some(length) = peek(rest, u32::MAX).unwrap() {
        let (packet, after) = rest.split_at(length);
        texts.push(text(&codec_mqtt::decode(packet, version).unwrap()));
        rest = after;
    }
    assert!(rest.is_empty(), "half a packet");
    texts
}

fn text(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(connect) => {
            let version = if connect.level == codec_mqtt::Level::V5 { "5" } else { "3.1.1" };
            let start = if connect.clean_start { "clean" } else { "resume" };
            format!("CONNECT {version} {start}{}", if connect.will.is_some() { " will" } else { "" })
        }
        Packet::Publish(publish) => {
            let payload = std::str::from_utf8(publish.payload).unwrap();
            let flags = [if publish.delivery.dup() { " dup" } else { "" }, if publish.retain { " retain" } else { "" }];
            match publish.delivery.packet_id() {
                Some(id) => format!("{payload} qos{} #{id}{}", publish.delivery.qos().bits(), flags.concat()),
                None => format!("{payload} qos0{}", flags.concat()),
            }
        }
        Packet::Puback(ack) => format!("PUBACK {}{}", ack.packet_id, unless_success(ack.reason)),
        Packet::Pubrec(ack) => format!("PUBREC {}{}", ack.packet_id, unless_success(ack.reason)),
        Packet::Pubrel(ack) => format!("PUBREL {}{}", ack.packet_id, unless_success(ack.reason)),
        Packet::Pubcomp(ack) => format!("PUBCOMP {}{}", ack.packet_id, unless_success(ack.reason)),
        Packet::Subscribe(subscribe) => {
            let subscription = subscribe.filters.iter().next().unwrap();
            let identifier = subscribe.properties.iter().find_map(|property| match property {
                Property::SubscriptionIdentifier(id) => Some(id),
                _ => None,
            });
            let handling = subscription.retain_handling.bits();
            format!("SUBSCRIBE {} {identifier:?} qos{} rh{handling}", subscription.filter, subscription.qos.bits())
        }
        Packet::Unsubscribe(unsubscribe) => format!("UNSUBSCRIBE {}", unsubscribe.filters.iter().next().unwrap()),
        Packet::Pingreq => "PINGREQ".into(),
        Packet::Disconnect(disconnect) => format!("DISCONNECT{}", unless_success(disconnect.reason)),
        other => format!("{other:?}"),
    }
}

fn unless_success(code: ReasonCode) -> String {
    if code == ReasonCode::SUCCESS { String::new() } else { format!(" {:02X}", code.0) }
}
