//! A small blocking MQTT-SN device on our codec.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use codec_mqttsn::{
    Ack, Connect, Filter, Frame, Message, MsgId, Publish, Qos, Register, ReturnCode, Suback, Subscribe, Topic, TopicId,
    WillTopic, decode,
};

use crate::process::PATIENCE;

/// A message that the gateway delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// One device on one socket.
#[derive(Debug)]
pub(crate) struct Device {
    socket: UdpSocket,
    next_id: u16,
    names: BTreeMap<u16, String>,
    delivered: VecDeque<Delivered>,
    buffer: Vec<u8>,
}

/// What a device wants published when it is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Will<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a str,
}

impl Device {
    /// A device that has not connected.
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(gateway).expect("a loopback address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        Self { socket, next_id: 0, names: BTreeMap::new(), delivered: VecDeque::new(), buffer: vec![0; 65_536] }
    }

    /// A device that has not connected, at this address of its own.
    pub(crate) fn at(address: IpAddr, gateway: SocketAddr) -> Self {
        let mut device = Self::new(gateway);
        device.socket = UdpSocket::bind((address, 0)).expect("a free port");
        device.socket.connect(gateway).expect("a loopback address");
        device.socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        device
    }

    /// A device in a clean session, at this address of its own.
    pub(crate) fn connect_from(address: IpAddr, gateway: SocketAddr, client_id: &str) -> Self {
        let mut device = Self::at(address, gateway);
        assert_eq!(device.try_connect(client_id, true), ReturnCode::Accepted);
        device
    }

    /// A device in a clean session.
    pub(crate) fn connect(gateway: SocketAddr, client_id: &str) -> Self {
        let mut device = Self::new(gateway);
        assert_eq!(device.try_connect(client_id, true), ReturnCode::Accepted);
        device
    }

    /// CONNECT without a will, and what CONNACK says to it.
    pub(crate) fn try_connect(&mut self, client_id: &str, clean_session: bool) -> ReturnCode {
        self.send(&Message::Connect(Connect { will: false, clean_session, protocol_id: 1, duration: 60, client_id }));
        self.answer(|message| match message {
            Message::Connack { code } => Some(*code),
            _ => None,
        })
    }

    /// Another address from now on; returns what is still at the old one.
    pub(crate) fn rebind(&mut self) -> Self {
        let mut other = Self::new(self.socket.peer_addr().expect("connected"));
        std::mem::swap(&mut self.socket, &mut other.socket);
        other
    }

    /// PINGREQ; what came before PINGRESP is there to be taken then.
    pub(crate) fn ping(&mut self, client_id: Option<&str>) {
        self.send(&Message::Pingreq { client_id });
        self.answer(|message| matches!(message, Message::Pingresp).then_some(()));
    }

    /// DISCONNECT with a duration in seconds, and the gateway's answer.
    pub(crate) fn sleep(&mut self, duration: u16) {
        self.send(&Message::Disconnect { duration: Some(duration) });
        self.await_disconnect();
    }

    /// The messages that have come and are not taken yet.
    pub(crate) fn delivered(&mut self) -> Vec<Delivered> {
        self.delivered.drain(..).collect()
    }

    /// Waits for the gateway's DISCONNECT.
    pub(crate) fn await_disconnect(&mut self) {
        self.answer(|message| matches!(message, Message::Disconnect { .. }).then_some(()));
    }

    /// The same with a will and this keep-alive, in seconds.
    pub(crate) fn connect_with_will(gateway: SocketAddr, client_id: &str, duration: u16, will: Will<'_>) -> Self {
        let mut device = Self::new(gateway);
        let connect = Connect { will: true, clean_session: true, protocol_id: 1, duration, client_id };
        device.send(&Message::Connect(connect));
        device.answer(|message| matches!(message, Message::WillTopicReq).then_some(()));
        let topic = WillTopic { qos: Qos::AtLeastOnce, retain: false, topic_name: will.topic };
        device.send(&Message::WillTopic(Some(topic)));
        device.answer(|message| matches!(message, Message::WillMsgReq).then_some(()));
        device.send(&Message::WillMsg { payload: will.payload.as_bytes() });
        device.answer(|message| matches!(message, Message::Connack { code: ReturnCode::Accepted }).then_some(()));
        device
    }

    /// A topic id for `name`.
    pub(crate) fn register(&mut self, name: &str) -> TopicId {
        let msg_id = self.id();
        self.send(&Message::Register(Register { topic_id: TopicId(0), msg_id, topic_name: name }));
        let ack = self.answer(|message| match message {
            Message::Regack(ack) if ack.msg_id == msg_id => Some(*ack),
            _ => None,
        });
        assert_eq!(ack.code, ReturnCode::Accepted);
        self.names.insert(ack.topic_id.0, name.to_owned());
        ack.topic_id
    }

    /// Sends a PUBLISH and waits for nothing. Returns its message id.
    pub(crate) fn send_publish(&mut self, topic: Topic<'_>, payload: &str, qos: Qos, retain: bool) -> MsgId {
        let msg_id = if matches!(qos, Qos::AtMostOnce | Qos::MinusOne) { MsgId(0) } else { self.id() };
        self.repeat_publish(topic, payload, qos, retain, msg_id, false);
        msg_id
    }

    /// The same PUBLISH again, with DUP.
    pub(crate) fn repeat_publish(
        &self,
        topic: Topic<'_>,
        payload: &str,
        qos: Qos,
        retain: bool,
        msg_id: MsgId,
        dup: bool,
    ) {
        let publish = Publish { dup, qos, retain, topic, msg_id, payload: payload.as_bytes() };
        self.send(&Message::Publish(publish));
    }

    /// Publishes, and sees QoS 1 and 2 through to their end.
    pub(crate) fn publish(&mut self, topic: Topic<'_>, payload: &str, qos: Qos, retain: bool) {
        let msg_id = self.send_publish(topic, payload, qos, retain);
        match qos {
            Qos::AtMostOnce | Qos::MinusOne => {}
            Qos::AtLeastOnce => assert_eq!(self.puback(), (msg_id, ReturnCode::Accepted)),
            Qos::ExactlyOnce => {
                self.answer(|message| (*message == Message::Pubrec { msg_id }).then_some(()));
                self.send(&Message::Pubrel { msg_id });
                self.answer(|message| (*message == Message::Pubcomp { msg_id }).then_some(()));
            }
        }
    }

    /// The next PUBACK.
    pub(crate) fn puback(&mut self) -> (MsgId, ReturnCode) {
        self.answer(|message| match message {
            Message::Puback(Ack { msg_id, code, .. }) => Some((*msg_id, *code)),
            _ => None,
        })
    }

    /// Subscribes to a name or wildcard, and waits for the SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: Qos) -> Suback {
        let suback = self.try_subscribe(filter, qos);
        assert_eq!(suback.code, ReturnCode::Accepted, "{filter}");
        if suback.topic_id.0 != 0 {
            self.names.insert(suback.topic_id.0, filter.to_owned());
        }
        suback
    }

    /// SUBSCRIBE, and what SUBACK says to it.
    pub(crate) fn try_subscribe(&mut self, filter: &str, qos: Qos) -> Suback {
        let msg_id = self.id();
        self.send(&Message::Subscribe(Subscribe { dup: false, qos, msg_id, filter: Filter::Name(filter) }));
        self.answer(|message| match message {
            Message::Suback(suback) if suback.msg_id == msg_id => Some(*suback),
            _ => None,
        })
    }

    /// The next message.
    pub(crate) fn message(&mut self) -> Delivered {
        loop {
            if let Some(message) = self.delivered.pop_front() {
                return message;
            }
            self.hear(|_| None::<()>);
        }
    }

    /// Sends DISCONNECT and waits for the gateway's.
    pub(crate) fn disconnect(mut self) {
        self.leave();
    }

    /// The same; it may come back from where it is.
    pub(crate) fn leave(&mut self) {
        self.send(&Message::Disconnect { duration: None });
        self.await_disconnect();
    }

    /// Waits for an answer, while messages are taken and acknowledged.
    fn answer<T>(&mut self, wanted: impl Fn(&Message<'_>) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "no answer");
            if let Some(answer) = self.hear(&wanted) {
                return answer;
            }
        }
    }

    /// One datagram.
    fn hear<T>(&mut self, wanted: impl Fn(&Message<'_>) -> Option<T>) -> Option<T> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let length = self.socket.recv(&mut buffer).expect("a datagram in time");
        let Frame { message, .. } = decode(&buffer[..length]).expect("a message");
        let answer = wanted(&message);
        match message {
            Message::Register(Register { topic_id, msg_id, topic_name }) => {
                self.names.insert(topic_id.0, topic_name.to_owned());
                self.send(&Message::Regack(Ack { topic_id, msg_id, code: ReturnCode::Accepted }));
            }
            Message::Publish(publish) => self.take(&publish),
            Message::Pubrel { msg_id } => self.send(&Message::Pubcomp { msg_id }),
            _ => {}
        }
        self.buffer = buffer;
        answer
    }

    fn take(&mut self, publish: &Publish<'_>) {
        let (topic, topic_id) = match publish.topic {
            Topic::Normal(id) => (self.names.get(&id.0).cloned().unwrap_or_else(|| format!("id {id}")), id),
            Topic::Predefined(id) => (format!("predefined {id}"), id),
            Topic::Short(name) => (String::from_utf8_lossy(&name).into_owned(), TopicId(u16::from_be_bytes(name))),
            Topic::Inline(name) => (name.to_owned(), TopicId(0)),
            Topic::Reserved(_) => panic!("a reserved topic type"),
        };
        let payload = String::from_utf8_lossy(publish.payload).into_owned();
        let qos = match publish.qos {
            Qos::AtLeastOnce => 1,
            Qos::ExactlyOnce => 2,
            Qos::AtMostOnce | Qos::MinusOne => 0,
        };
        self.delivered.push_back(Delivered { topic, payload, qos, retain: publish.retain });
        match qos {
            1 => self.send(&Message::Puback(Ack { topic_id, msg_id: publish.msg_id, code: ReturnCode::Accepted })),
            2 => self.send(&Message::Pubrec { msg_id: publish.msg_id }),
            _ => {}
        }
    }

    pub(crate) fn send(&self, message: &Message<'_>) {
        let mut datagram = Vec::new();
        message.encode(&mut datagram).expect("it fits a datagram");
        self.socket.send(&datagram).expect("the gateway listens");
    }

    fn id(&mut self) -> MsgId {
        self.next_id += 1;
        MsgId(self.next_id)
    }
}

/// Publishes of one device that are unanswered at a time: what a gateway must take.
const WINDOW: usize = 8;

/// A device's publishes of QoS 1, several unanswered at a time, each with its number as payload.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    next: u16,
    unanswered: Vec<(MsgId, u16)>,
    pub(crate) acknowledged: BTreeSet<u16>,
}

impl Stream {
    /// Publishes up to number `end`, and leaves the last ones unanswered.
    pub(crate) fn run(&mut self, device: &mut Device, topic: TopicId, end: u16) {
        while self.next < end {
            while self.unanswered.len() >= WINDOW {
                self.hear(device, topic);
            }
            let id = device.send_publish(Topic::Normal(topic), &self.next.to_string(), Qos::AtLeastOnce, false);
            self.unanswered.push((id, self.next));
            self.next += 1;
        }
    }

    /// Waits for all answers.
    pub(crate) fn settle(&mut self, device: &mut Device, topic: TopicId) {
        while !self.unanswered.is_empty() {
            self.hear(device, topic);
        }
    }

    fn hear(&mut self, device: &mut Device, topic: TopicId) {
        let (id, code) = device.puback();
        let Some(at) = self.unanswered.iter().position(|(known, _)| *known == id) else { return };
        let (_, number) = self.unanswered[at];
        match code {
            ReturnCode::Accepted => {
                self.unanswered.remove(at);
                self.acknowledged.insert(number);
            }
            // The queue is full: the device may try again.
            ReturnCode::Congestion => {
                device.repeat_publish(Topic::Normal(topic), &number.to_string(), Qos::AtLeastOnce, false, id, true);
            }
            other => panic!("publish {number}: {other:?}"),
        }
    }
}
