//! What happens to devices, as lines: for people, or a JSON object each.

use crate::device::Event;
use crate::failure::Failure;
use codec_mqttsn::Qos;
use serde_json::{Map, Value, json};
use std::io::{ErrorKind, Write as _};

/// Tells what happens, on standard output.
#[derive(Debug)]
pub(crate) struct Teller {
    style: Style,
    totals: Totals,
    /// Lines not yet written.
    lines: String,
    is_unheard: bool,
}

impl Teller {
    pub(crate) fn new(quiet: bool, json: bool) -> Self {
        let style = match (quiet, json) {
            (true, _) => Style::Silent,
            (false, true) => Style::Json,
            (false, false) => Style::Text,
        };
        Self { style, totals: Totals::default(), lines: String::new(), is_unheard: false }
    }

    /// `now` is in milliseconds since the start.
    pub(crate) fn tell(&mut self, now: u64, client_id: &str, event: &Event) {
        self.totals.count(event);
        self.lines.push_str(&self.style.line(now, client_id, event));
    }

    pub(crate) fn sum_up(&mut self, now: u64, devices: usize) {
        self.lines.push_str(&self.style.summary(now, devices, &self.totals));
    }

    /// Nobody reads the lines any more.
    pub(crate) const fn is_unheard(&self) -> bool {
        self.is_unheard
    }

    pub(crate) const fn ever_connected(&self) -> bool {
        self.totals.connected > 0
    }

    /// Writes what has been told.
    ///
    /// # Errors
    /// [`Failure::Io`] from standard output.
    pub(crate) fn write(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() || self.is_unheard {
            self.lines.clear();
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        let written = out.write_all(self.lines.as_bytes()).and_then(|()| out.flush());
        self.lines.clear();
        match written {
            Ok(()) => Ok(()),
            // Who reads has seen enough: the end, but a polite one.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_unheard = true;
                Ok(())
            }
            Err(error) => Err(Failure::Io("standard output", error)),
        }
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Silent,
    Text,
    Json,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    connected: u64,
    published: u64,
    received: u64,
    refused: u64,
    repeated: u64,
    /// Sessions that ended without being asked to.
    lost: u64,
}

impl Totals {
    const fn count(&mut self, event: &Event) {
        let total = match event {
            Event::Connected => &mut self.connected,
            Event::Published { .. } | Event::Sent { .. } => &mut self.published,
            Event::Received { .. } | Event::Heard { .. } => &mut self.received,
            Event::Refused { .. } | Event::NotLetIn { .. } => &mut self.refused,
            Event::Repeated { .. } => &mut self.repeated,
            Event::Unanswered { .. } | Event::Disconnected | Event::NoTls { .. } => &mut self.lost,
            Event::Subscribed { .. } | Event::FellAsleep { .. } | Event::WokeUp | Event::Left => return,
        };
        *total += 1;
    }
}

impl Style {
    /// The line of an event, with its end; `now` is in milliseconds since the start. Empty if nothing is told.
    fn line(self, now: u64, client_id: &str, event: &Event) -> String {
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
    fn summary(self, now: u64, devices: usize, totals: &Totals) -> String {
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
        Event::NotLetIn { message } => format!("not let in: {}", printable(message.as_bytes())),
        Event::Published { topic, payload } => format!("published {topic} {payload}"),
        Event::Sent { payload } => format!("sent {payload}"),
        Event::Heard { payload } => format!("received {}", printable(payload)),
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
        Event::NoTls { why } => format!("not connected: {why}"),
        Event::Left => "left".into(),
    }
}

/// Octets that are no text are told in hexadecimal.
fn with_payload(mut fields: Value, payload: &[u8]) -> Value {
    let (key, value) = match std::str::from_utf8(payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => ("payload_hex", payload.iter().map(|octet| format!("{octet:02x}")).collect()),
    };
    if let Value::Object(fields) = &mut fields {
        fields.insert(key.into(), value.into());
    }
    fields
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
        Event::NotLetIn { message } => json!({ "event": "refused", "what": "CONNECT", "message": message }),
        Event::Subscribed { filter } => json!({ "event": "subscribed", "filter": filter }),
        Event::Published { topic, payload } => json!({ "event": "published", "topic": topic, "payload": payload }),
        Event::Sent { payload } => json!({ "event": "published", "payload": payload }),
        Event::Heard { payload } => with_payload(json!({ "event": "received" }), payload),
        Event::Received { topic, payload, qos, retain, dup } => {
            let fields =
                json!({ "event": "received", "topic": topic, "qos": level(*qos), "retain": retain, "dup": dup });
            with_payload(fields, payload)
        }
        Event::Repeated { what } => json!({ "event": "repeated", "what": what }),
        Event::Unanswered { what } => json!({ "event": "unanswered", "what": what }),
        Event::FellAsleep { seconds } => json!({ "event": "asleep", "seconds": seconds }),
        Event::WokeUp => json!({ "event": "awake" }),
        Event::Disconnected => json!({ "event": "disconnected" }),
        Event::NoTls { why } => json!({ "event": "disconnected", "reason": why }),
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
        let refused = Event::NotLetIn { message: "no\nroom".into() };
        assert_eq!(line(&refused), "    1.204  sim-3     not let in: no\\nroom\n");
        assert_eq!(line(&Event::Heard { payload: b"on".to_vec() }), "    1.204  sim-3     received on\n");
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
            (Event::NotLetIn { message: "m".into() }, "refused"),
            (Event::Sent { payload: "p".into() }, "published"),
            (Event::Heard { payload: b"p".to_vec() }, "received"),
            (Event::Repeated { what }, "repeated"),
            (Event::Unanswered { what }, "unanswered"),
            (Event::FellAsleep { seconds: 60 }, "asleep"),
            (Event::WokeUp, "awake"),
            (Event::Disconnected, "disconnected"),
            (Event::NoTls { why: "w".into() }, "disconnected"),
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
