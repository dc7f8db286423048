//! A device and a gateway in a few lines, in virtual time.

mod connecting;
mod publishing;
mod receiving;
mod sleeping;

use super::*;
use codec_mqttsn::{Ack, Filter, Register, ReturnCode, Suback, decode};

const SECOND: u64 = 1000;

fn profile() -> Profile {
    Profile {
        topic: "sim/%c/telemetry".into(),
        command: Some("sim/%c/command".into()),
        interval: 5 * SECOND,
        qos: Qos::AtLeastOnce,
        sleep: None,
        will: None,
        keep_alive: 60,
        retry_after: 10 * SECOND,
        tries: 4,
    }
}

/// Both ends of the way, and what went over it.
struct Bench {
    device: Device,
    now: u64,
    /// What the device sent, in short, with its second.
    sent: Vec<(u64, String)>,
    events: Vec<(u64, Event)>,
    /// The gateway hears nothing of these types.
    deaf_to: Vec<&'static str>,
    /// Code of the next answers to these types, instead of "accepted".
    refuses: Vec<(&'static str, ReturnCode)>,
    /// Sent before the next PINGRESP.
    held: Vec<Vec<u8>>,
}

impl Bench {
    fn new(profile: &Profile) -> Self {
        let device = Device::new("sim-1".into(), profile, 1, 0);
        let (sent, events) = (Vec::new(), Vec::new());
        Self { device, now: 0, sent, events, deaf_to: Vec::new(), refuses: Vec::new(), held: Vec::new() }
    }

    /// Moves from deadline to deadline up to and with this second.
    fn until(&mut self, second: u64) {
        while let Some(due) = self.device.next_deadline().filter(|due| *due <= second * SECOND) {
            self.now = self.now.max(due);
            let mut out = Output::default();
            self.device.handle_timer(self.now, &mut out);
            let is_over = self.device.next_deadline().is_none_or(|next| next > self.now);
            assert!(is_over || !out.datagrams.is_empty(), "it turns in circles");
            self.deliver(out);
        }
        self.now = second * SECOND;
    }

    /// The gateway says something of its own accord.
    fn hear(&mut self, message: &Message<'_>) {
        self.hear_octets(&octets(message));
    }

    fn hear_octets(&mut self, datagram: &[u8]) {
        let mut out = Output::default();
        self.device.handle_datagram(self.now, datagram, &mut out);
        self.deliver(out);
    }

    fn leave(&mut self) {
        let mut out = Output::default();
        self.device.leave(self.now, &mut out);
        self.deliver(out);
    }

    fn deliver(&mut self, out: Output) {
        let second = self.now / SECOND;
        self.events.extend(out.events.into_iter().map(|event| (second, event)));
        for datagram in out.datagrams {
            let message = decode(&datagram).unwrap().message;
            self.sent.push((second, short(&message)));
            if !self.deaf_to.contains(&message.type_name()) {
                for answer in self.answers(&message) {
                    self.hear_octets(&answer);
                }
            }
        }
    }

    fn answers(&mut self, message: &Message<'_>) -> Vec<Vec<u8>> {
        let refused = self.refuses.iter().position(|(what, _)| *what == message.type_name());
        let code = refused.map_or(ReturnCode::Accepted, |at| self.refuses.remove(at).1);
        let answer = match message {
            Message::Connect(connect) if connect.will => octets(&Message::WillTopicReq),
            Message::WillTopic(_) => octets(&Message::WillMsgReq),
            Message::Connect(_) | Message::WillMsg { .. } => octets(&Message::Connack { code }),
            Message::Register(register) => {
                octets(&Message::Regack(Ack { topic_id: TopicId(1025), msg_id: register.msg_id, code }))
            }
            Message::Subscribe(subscribe) => {
                let (qos, msg_id) = (subscribe.qos, subscribe.msg_id);
                octets(&Message::Suback(Suback { qos, topic_id: TopicId(1026), msg_id, code }))
            }
            Message::Publish(Publish { topic: Topic::Normal(topic_id), msg_id, qos, .. }) => {
                let (topic_id, msg_id) = (*topic_id, *msg_id);
                match qos {
                    Qos::ExactlyOnce if code == ReturnCode::Accepted => octets(&Message::Pubrec { msg_id }),
                    Qos::AtMostOnce if code == ReturnCode::Accepted => return Vec::new(),
                    _ => octets(&Message::Puback(Ack { topic_id, msg_id, code })),
                }
            }
            Message::Pubrel { msg_id } => octets(&Message::Pubcomp { msg_id: *msg_id }),
            Message::Pingreq { .. } => {
                let mut held = std::mem::take(&mut self.held);
                held.push(octets(&Message::Pingresp));
                return held;
            }
            Message::Disconnect { .. } => octets(&Message::Disconnect { duration: None }),
            _ => return Vec::new(),
        };
        vec![answer]
    }

    /// What the device sent since it was last asked for: `second message`.
    fn take_sent(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|(second, what)| format!("{second} {what}")).collect()
    }

    fn take_events(&mut self) -> Vec<(u64, Event)> {
        std::mem::take(&mut self.events)
    }
}

fn octets(message: &Message<'_>) -> Vec<u8> {
    let mut datagram = Vec::new();
    message.encode(&mut datagram).unwrap();
    datagram
}

fn publish(topic: Topic<'static>, qos: Qos, msg_id: u16, payload: &'static [u8]) -> Message<'static> {
    Message::Publish(Publish { dup: false, qos, retain: false, topic, msg_id: MsgId(msg_id), payload })
}

/// A message in a few words: `PUBLISH 1 id=3 dup` has its QoS, its msg id and DUP.
fn short(message: &Message<'_>) -> String {
    let flag = |is_set: bool, text: &'static str| if is_set { text } else { "" };
    match message {
        Message::Connect(connect) => {
            let (clean, will) = (flag(connect.clean_session, " clean"), flag(connect.will, " will"));
            format!("CONNECT {} {}s{clean}{will}", connect.client_id, connect.duration)
        }
        Message::WillTopic(Some(will)) => format!("WILLTOPIC {}", will.topic_name),
        Message::WillMsg { payload } => format!("WILLMSG {}", String::from_utf8_lossy(payload)),
        Message::Register(register) => format!("REGISTER {}", register.topic_name),
        Message::Subscribe(subscribe) => match subscribe.filter {
            Filter::Name(name) => format!(
                "SUBSCRIBE {name} {}{}",
                u8::from(subscribe.qos == Qos::AtLeastOnce),
                flag(subscribe.dup, " dup")
            ),
            ref other => panic!("{other:?}"),
        },
        Message::Publish(publish) => {
            let level = match publish.qos {
                Qos::AtMostOnce => 0,
                Qos::AtLeastOnce => 1,
                Qos::ExactlyOnce => 2,
                Qos::MinusOne => panic!("a device of its own session"),
            };
            format!("PUBLISH {level} id={}{}", publish.msg_id.0, flag(publish.dup, " dup"))
        }
        Message::Pingreq { client_id: None } => "PINGREQ".into(),
        Message::Pingreq { client_id: Some(client_id) } => format!("PINGREQ {client_id}"),
        Message::Disconnect { duration: None } => "DISCONNECT".into(),
        Message::Disconnect { duration: Some(seconds) } => format!("DISCONNECT {seconds}s"),
        Message::Regack(ack) => format!("REGACK {} {}", ack.topic_id.0, u8::from(ack.code)),
        Message::Puback(ack) => format!("PUBACK {} id={} {}", ack.topic_id.0, ack.msg_id.0, u8::from(ack.code)),
        Message::Pubrec { msg_id } => format!("PUBREC id={}", msg_id.0),
        Message::Pubrel { msg_id } => format!("PUBREL id={}", msg_id.0),
        Message::Pubcomp { msg_id } => format!("PUBCOMP id={}", msg_id.0),
        other => panic!("{other:?}"),
    }
}

fn register(topic_id: u16, msg_id: u16, topic_name: &'static str) -> Message<'static> {
    Message::Register(Register { topic_id: TopicId(topic_id), msg_id: MsgId(msg_id), topic_name })
}
