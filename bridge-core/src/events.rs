//! What is told about clients, for whoever follows them: JSON under `<prefix>/clients/<gateway>/<client id>/<event>`.

use crate::peer::GatewayId;
use crate::publication::Publication;
use crate::template::percent_encode_level;
use crate::time::Now;
use crate::topic::TopicName;
use crate::uplink::{Ending, Online};
use codec_mqtt::Qos;
use std::fmt::Write;

/// Where events go, and what they call the gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// What their topics begin with, rendered, without a `/` at its end.
    pub prefix: Box<str>,
    /// The QoS that they are published with.
    pub qos: Qos,
    /// By gateway number.
    pub gateways: Vec<GatewayNames>,
}

/// What a gateway is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayNames {
    /// As in the configuration: `mqttsn`.
    pub key: &'static str,
    /// Its protocol: `MQTT-SN`.
    pub protocol: &'static str,
}

/// Whom an event is about.
#[derive(Clone, Copy, Debug)]
pub struct EventClient<'a> {
    /// Its gateway.
    pub gateway: GatewayId,
    /// Its client id.
    pub id: &'a str,
    /// Its user name; empty = none.
    pub username: &'a str,
}

/// What happened to a client.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It is connected.
    Connected(Online),
    /// It is not connected any more.
    Disconnected(Ending),
    /// A subscription of its is in force.
    Subscribed {
        /// As the client knows it.
        filter: &'a str,
        /// What was granted.
        qos: Qos,
    },
    /// It has ended a subscription.
    Unsubscribed {
        /// As the client knows it.
        filter: &'a str,
    },
}

/// Writes events, one at a time, into memory that it keeps.
#[derive(Debug)]
pub struct Events {
    settings: EventSettings,
    topic: String,
    payload: String,
}

impl Events {
    /// Nothing is written yet.
    #[must_use]
    pub const fn new(settings: EventSettings) -> Self {
        Self { settings, topic: String::new(), payload: String::new() }
    }

    /// The message that tells `what`; `ts` is `now` of the wall clock. `None` when its topic is longer than MQTT has.
    pub fn write(&mut self, now: Now, who: &EventClient<'_>, what: &Event<'_>) -> Option<Publication<'_>> {
        let Self { settings, topic, payload } = self;
        let unknown = GatewayNames { key: "", protocol: "" };
        let gateway = settings.gateways.get(usize::from(who.gateway.0)).copied().unwrap_or(unknown);
        topic.clear();
        for part in [&*settings.prefix, "/clients/", gateway.key, "/", &percent_encode_level(who.id), what.level()] {
            topic.push_str(part);
        }
        payload.clear();
        let mut object = Object { text: payload };
        object.text("clientid", who.id);
        object.text("username", who.username);
        match *what {
            Event::Connected(online) => object.connected(gateway, &online),
            Event::Disconnected(ending) => object.text("reason", ending.reason()),
            Event::Subscribed { filter, qos } => {
                object.text("topic", filter);
                object.number("qos", u64::from(qos.bits()));
            }
            Event::Unsubscribed { filter } => object.text("topic", filter),
        }
        object.number("ts", now.wall_ms);
        object.text.push('}');
        let topic = TopicName::try_from(topic.as_str()).ok()?;
        Some(Publication { topic, payload: payload.as_bytes(), qos: settings.qos, retain: false, expiry_s: None })
    }
}

impl Event<'_> {
    const fn level(&self) -> &'static str {
        match self {
            Self::Connected(_) => "/connected",
            Self::Disconnected(_) => "/disconnected",
            Self::Subscribed { .. } => "/subscribed",
            Self::Unsubscribed { .. } => "/unsubscribed",
        }
    }
}

/// A JSON object that is being written (RFC 8259).
struct Object<'a> {
    text: &'a mut String,
}

impl Object<'_> {
    fn connected(&mut self, gateway: GatewayNames, online: &Online) {
        self.key("ipaddress");
        self.display(format_args!("\"{}\"", online.address.ip().to_canonical()));
        self.number("port", u64::from(online.address.port()));
        self.text("gateway", gateway.key);
        self.text("proto_name", gateway.protocol);
        self.text("proto_ver", online.version);
        self.key("clean_start");
        self.text.push_str(if online.clean { "true" } else { "false" });
        self.number("keepalive", u64::from(online.keepalive_s));
        self.number("connack", 0);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text.push('"');
        escape(self.text, value);
        self.text.push('"');
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.display(format_args!("{value}"));
    }

    fn key(&mut self, key: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        for part in ["\"", key, "\":"] {
            self.text.push_str(part);
        }
    }

    fn display(&mut self, what: std::fmt::Arguments<'_>) {
        // A string takes whatever it is given.
        if self.text.write_fmt(what).is_err() {
            self.text.push_str("null");
        }
    }
}

/// Appends `value` as the inside of a JSON string (RFC 8259 §7).
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\0'..='\u{1F}' => {
                let digit = |four_bits: u32| char::from_digit(four_bits & 0xF, 16).unwrap_or('0');
                let code = u32::from(character);
                text.extend(['\\', 'u', '0', '0', digit(code >> 4), digit(code)]);
            }
            plain => text.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: Now = Now { mono_ms: 5, wall_ms: 1_700_000_000_123 };

    fn events() -> Events {
        let gateways = vec![GatewayNames { key: "mqttsn", protocol: "MQTT-SN" }];
        Events::new(EventSettings { prefix: "tidegate/north".into(), qos: Qos::AtLeastOnce, gateways })
    }

    fn told(id: &str, username: &str, what: &Event<'_>) -> (String, Value) {
        let mut events = events();
        let who = EventClient { gateway: GatewayId(0), id, username };
        let message = events.write(NOW, &who, what).unwrap();
        assert_eq!((message.qos, message.retain, message.expiry_s), (Qos::AtLeastOnce, false, None));
        (message.topic.to_string(), serde_json::from_slice(message.payload).unwrap())
    }

    fn online(address: &str) -> Event<'static> {
        let address = address.parse().unwrap();
        Event::Connected(Online { address, version: "1.2", clean: true, keepalive_s: 60 })
    }

    #[test]
    fn each_event_is_as_documented() {
        let subscribed = Event::Subscribed { filter: "set/+", qos: Qos::ExactlyOnce };
        let table = [
            (
                online("10.0.0.7:50000"),
                "connected",
                json!({"clientid": "lamp", "username": "ann", "ipaddress": "10.0.0.7", "port": 50000, "gateway": "mqttsn",
                    "proto_name": "MQTT-SN", "proto_ver": "1.2", "clean_start": true, "keepalive": 60, "connack": 0,
                    "ts": 1_700_000_000_123_u64}),
            ),
            (
                Event::Disconnected(Ending::KeepAlive),
                "disconnected",
                json!({"clientid": "lamp", "username": "ann", "reason": "keepalive_timeout", "ts": 1_700_000_000_123_u64}),
            ),
            (
                subscribed,
                "subscribed",
                json!({"clientid": "lamp", "username": "ann", "topic": "set/+", "qos": 2, "ts": 1_700_000_000_123_u64}),
            ),
            (
                Event::Unsubscribed { filter: "set/+" },
                "unsubscribed",
                json!({"clientid": "lamp", "username": "ann", "topic": "set/+", "ts": 1_700_000_000_123_u64}),
            ),
        ];
        for (what, level, expected) in table {
            let (topic, found) = told("lamp", "ann", &what);
            assert_eq!(topic, format!("tidegate/north/clients/mqttsn/lamp/{level}"));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_examples_of_the_document_are_what_is_written() {
        let document = include_str!("../../docs/events.md");
        let all = [
            online("192.0.2.7:50000"),
            Event::Disconnected(Ending::Asleep),
            Event::Subscribed { filter: "set/+", qos: Qos::AtLeastOnce },
            Event::Unsubscribed { filter: "set/+" },
        ];
        let mut events = events();
        for what in all {
            let who = EventClient { gateway: GatewayId(0), id: "lamp", username: "" };
            let message = events.write(NOW, &who, &what).unwrap();
            let payload = std::str::from_utf8(message.payload).unwrap();
            for text in [message.topic.as_str(), payload] {
                assert!(document.lines().any(|line| line == text), "docs/events.md lacks the line\n{text}");
            }
        }
    }

    #[test]
    fn a_client_id_stays_in_its_level() {
        let gone = Event::Disconnected(Ending::Normal);
        let (topic, payload) = told("a/b+c#d%e", "", &gone);
        assert_eq!(topic, "tidegate/north/clients/mqttsn/a%2Fb%2Bc%23d%25e/disconnected");
        assert_eq!(payload["clientid"], "a/b+c#d%e");
        let who = EventClient { gateway: GatewayId(0), id: &"x".repeat(65_535), username: "" };
        assert!(events().write(NOW, &who, &gone).is_none(), "too long for a topic");
    }

    #[test]
    fn an_address_is_written_as_its_user_knows_it() {
        let address = |text: &str| told("lamp", "", &online(text)).1["ipaddress"].clone();
        assert_eq!(address("[2001:db8::1]:5"), "2001:db8::1");
        assert_eq!(address("[::ffff:10.0.0.7]:5"), "10.0.0.7");
    }

    proptest! {
        #[test]
        fn any_text_survives_json(username in any::<String>(), filter in "\\PC*|[\\x00-\\x2f\\\\]*") {
            let (_, payload) = told("lamp", &username, &Event::Unsubscribed { filter: &filter });
            prop_assert_eq!(&payload["username"], &username);
            prop_assert_eq!(&payload["topic"], &filter);
        }
    }
}
