//! What happens to devices, as lines: for people, or a JSON object each.

use crate::device::Event;
use codec_mqttsn::Qos;
use serde_json::{Map, Value, json};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Silent,
    Text,
    Json,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) connected: u64,
    pub(crate) published: u64,
    pub(crate) received: u64,
    pub(crate) refused: u64,
    pub(crate) repeated: u64,
    /// Sessions that ended without being asked to.
    pub(crate) lost: u64,
}

impl Totals {
    pub(crate) const fn count(&mut self, event: &Event) {
        let total = match event {
            Event::Connected => &mut self.connected,
            Event::Published { .. } => &mut self.published,
            Event::Received { .. } => &mut self.received,
            Event::Refused { .. } => &mut self.refused,
            Event::Repeated { .. } => &mut self.repeated,
            Event::Unanswered { .. } | Event::Disconnected => &mut self.lost,
            Event::Subscribed { .. } | Event::FellAsleep { .. } | Event::WokeUp | Event::Left => return,
        };
        *total += 1;
    }
}

impl Style {
    /// The line of an event, with its end; `now` is in milliseconds since the start. Empty if nothing is told.
    pub(crate) fn line(self, now: u64, client_id: &str, event: &Event) -> String {
        match self {
            Self::Silent => String::new(),
            Self::Text => format!("{:>9}  {client_id:<8}  {}\n", seconds(now), sentence(event)),
            Self::Json => {
                let mut line = fields(event);
                line.insert("t".into(), (now as f64 / 1e3).into());
                line.insert("device".into(), client_id.into());
                format!("{}\n", Value::Object(line))
            }
        }
    }

    /// The last line.
    pub(crate) fn summary(self, now: u64, devices: u32, totals: &Totals) -> String {
        let Totals { connected, published, received, refused, repeated, lost } = totals;
        match self {
            Self::Silent => String::new(),
            Self::Text => format!(
                "{:>9}  {devices} devices: {published} published, {received} received, {connected} connected, \
                 {refused} refused, {repeated} repeated, {lost} lost\n",
                seconds(now)
            ),
            Self::Json => {
                let t = now as f64 / 1e3;
                let line = json!({
                    "t": t, "event": "summary", "devices": devices, "published": published, "received": received,
                    "connected": connected, "refused": refused, "repeated": repeated, "lost": lost,
                });
                format!("{line}\n")
            }
        }
    }
}

fn seconds(now: u64) -> String {
    format!("{}.{:03}", now / 1000, now % 1000)
}

fn sentence(event: &Event) -> String {
    match event {
        Event::Connected => "connected".into(),
        Event::Refused { what, code } => format!("{what} refused: {}", reason(*code)),
        Event::Subscribed { filter } => format!("subscribed to {filter}"),
        Event::Published { topic, payload } => format!("published {topic} {payload}"),
        Event::Received { topic, payload, retain, dup, .. } => {
            let flag = |is_set: &bool, text: &'static str| if *is_set { text } else { "" };
            let (retain, dup) = (flag(retain, " (retained)"), flag(dup, " (again)"));
            format!("received {topic} {}{retain}{dup}", printable(payload))
        }
        Event::Repeated { what } => format!("no answer: {what} again"),
        Event::Unanswered { what } => format!("no answer to {what}: connection lost"),
        Event::FellAsleep { seconds } => format!("asleep for {seconds} s"),
        Event::WokeUp => "awake".into(),
        Event::Disconnected => "disconnected by the gateway".into(),
        Event::Left => "left".into(),
    }
}

/// Text on one line that moves no terminal: control characters are spelt, octets that are no text replaced.
fn printable(payload: &[u8]) -> String {
    let spelt = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    String::from_utf8_lossy(payload).chars().map(spelt).collect()
}

/// A return code in words (MQTT-SN 1.2 §5.3.10).
fn reason(code: u8) -> String {
    match code {
        1 => "congestion".into(),
        2 => "invalid topic id".into(),
        3 => "not supported".into(),
        other => format!("return code {other}"),
    }
}

fn fields(event: &Event) -> Map<String, Value> {
    let fields = match event {
        Event::Connected => json!({ "event": "connected" }),
        Event::Refused { what, code } => json!({ "event": "refused", "what": what, "code": code }),
        Event::Subscribed { filter } => json!({ "event": "subscribed", "filter": filter }),
        Event::Published { topic, payload } => json!({ "event": "published", "topic": topic, "payload": payload }),
        Event::Received { topic, payload, qos, retain, dup } => {
            let mut fields =
                json!({ "event": "received", "topic": topic, "qos": level(*qos), "retain": retain, "dup": dup });
            // Octets that are no text are told in hexadecimal.
            let (key, value) = match std::str::from_utf8(payload) {
                Ok(text) => ("payload", text.to_owned()),
                Err(_) => ("payload_hex", payload.iter().map(|octet| format!("{octet:02x}")).collect()),
            };
            if let Value::Object(fields) = &mut fields {
                fields.insert(key.into(), value.into());
            }
            fields
        }
        Event::Repeated { what } => json!({ "event": "repeated", "what": what }),
        Event::Unanswered { what } => json!({ "event": "unanswered", "what": what }),
        Event::FellAsleep { seconds } => json!({ "event": "asleep", "seconds": seconds }),
        Event::WokeUp => json!({ "event": "awake" }),
        Event::Disconnected => json!({ "event": "disconnected" }),
        Event::Left => json!({ "event": "left" }),
    };
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

const fn level(qos: Qos) -> i8 {
    match qos {
        Qos::MinusOne => -1,
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(payload: &[u8]) -> Event {
        Event::Received { topic: "t".into(), payload: payload.into(), qos: Qos::AtLeastOnce, retain: true, dup: false }
    }

    #[test]
    fn each_event_is_one_line_for_people() {
        let line = |event: &Event| Style::Text.line(1204, "sim-3", event);
        let published = Event::Published { topic: "a/b".into(), payload: "{\"n\":1}".into() };
        assert_eq!(line(&published), "    1.204  sim-3     published a/b {\"n\":1}\n");
        assert_eq!(
            line(&received(b"\"on\"\n\x1b[2J")),
            "    1.204  sim-3     received t \"on\"\\n\\u{1b}[2J (retained)\n"
        );
        let refused = Event::Refused { what: "CONNECT", code: 1 };
        assert_eq!(line(&refused), "    1.204  sim-3     CONNECT refused: congestion\n");
        assert_eq!(Style::Silent.line(1, "sim-3", &refused), "");
    }

    #[test]
    fn each_event_is_one_json_object() {
        let parsed = |event: &Event| -> Value {
            let line = Style::Json.line(1204, "sim-3", event);
            assert_eq!(line.matches('\n').count(), 1);
            serde_json::from_str(&line).unwrap()
        };
        let expected = json!({
            "t": 1.204, "device": "sim-3", "event": "received", "topic": "t", "payload": "on\noff", "qos": 1,
            "retain": true, "dup": false,
        });
        assert_eq!(parsed(&received(b"on\noff")), expected);
        assert_eq!(parsed(&received(&[0xFF, 0x01]))["payload_hex"], "ff01");
        let what = "CONNECT";
        for (event, name) in [
            (Event::Connected, "connected"),
            (Event::Refused { what, code: 3 }, "refused"),
            (Event::Subscribed { filter: "f".into() }, "subscribed"),
            (Event::Published { topic: "t".into(), payload: "p".into() }, "published"),
            (Event::Repeated { what }, "repeated"),
            (Event::Unanswered { what }, "unanswered"),
            (Event::FellAsleep { seconds: 60 }, "asleep"),
            (Event::WokeUp, "awake"),
            (Event::Disconnected, "disconnected"),
            (Event::Left, "left"),
        ] {
            assert_eq!(parsed(&event)["event"], name);
        }
    }

    #[test]
    fn the_last_line_sums_up() {
        let mut totals = Totals::default();
        for event in [Event::Connected, Event::WokeUp, received(b""), received(b""), Event::Disconnected, Event::Left] {
            totals.count(&event);
        }
        assert_eq!(totals, Totals { connected: 1, received: 2, lost: 1, ..Totals::default() });
        let text = Style::Text.summary(60_000, 10, &totals);
        assert!(
            text.starts_with("   60.000  10 devices: 0 published, 2 received,") && text.ends_with(" 1 lost\n"),
            "{text}"
        );
        let json: Value = serde_json::from_str(&Style::Json.summary(60_000, 10, &totals)).unwrap();
        assert_eq!((&json["event"], &json["devices"], &json["lost"]), (&json!("summary"), &json!(10), &json!(1)));
    }
}
