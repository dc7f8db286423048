//! An MQTT-SN 1.2 client as devices have it: it connects, registers, subscribes, publishes, and repeats what is not
//! answered. Nothing in it knows the gateway's code; it speaks through the codec alone.

use crate::plan::{Planned, Script, TopicForm};
use bridge_core::rng::Rng;
use codec_mqttsn as sn;
use codec_mqttsn::{Ack, Filter, Message, MsgId, Qos, ReturnCode, Topic, TopicId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// One device.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) addr: SocketAddr,
    pub(crate) script: Script,
    rng: Rng,
    connected: bool,
    /// What must be answered before anything else is asked.
    request: Option<Request>,
    flights: Vec<Flight>,
    topic_ids: Vec<Option<TopicId>>,
    subscribed: Vec<bool>,
    next: usize,
    publish_at: u64,
    ping_at: u64,
    last_msg_id: u16,
    /// Which message was published under which msg id, for good: ids do not come round in a run.
    pub(crate) seq_of: BTreeMap<u16, usize>,
    names: BTreeMap<TopicId, String>,
    /// QoS 2 messages received whose PUBREL has not come.
    open: BTreeSet<MsgId>,
    /// Those whose PUBREL has come lately: the network may bring their PUBLISH once more.
    closed: VecDeque<MsgId>,
}

/// What a device does: it sends, and it hears.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) messages: Vec<Heard>,
    /// A message was refused for good.
    pub(crate) given_up: Vec<usize>,
}

/// A message that the device took for new.
pub(crate) struct Heard {
    /// `None`: it does not know the id.
    pub(crate) topic: Option<String>,
    pub(crate) payload: Vec<u8>,
}

struct Request {
    what: Ask,
    msg_id: MsgId,
    due: u64,
    tries: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Connect,
    Register(usize),
    Subscribe(usize),
    Ping,
}

/// A publication of QoS 1 or 2 under way.
struct Flight {
    seq: usize,
    msg_id: MsgId,
    released: bool,
    sent: bool,
    due: u64,
    tries: u8,
}

const TRIES: u8 = 4;
const KEEPALIVE_S: u16 = 60;

impl Device {
    pub(crate) fn new(index: usize, addr: SocketAddr, script: Script, seed: u64) -> Self {
        Self {
            id: format!("d{index}"),
            addr,
            rng: Rng::seeded(seed),
            connected: false,
            request: None,
            flights: Vec::new(),
            topic_ids: vec![None; script.topics.len()],
            subscribed: vec![false; script.filters.len()],
            next: 0,
            publish_at: 0,
            ping_at: 0,
            last_msg_id: 0,
            seq_of: BTreeMap::new(),
            names: BTreeMap::new(),
            open: BTreeSet::new(),
            closed: VecDeque::new(),
            script,
        }
    }

    /// It is somewhere else now, and has to begin anew there.
    pub(crate) fn move_to(&mut self, now: u64, addr: SocketAddr) {
        self.addr = addr;
        self.topic_ids.fill(None);
        self.subscribed.fill(false);
        self.names.clear();
        self.open.clear();
        self.closed.clear();
        self.reconnect(now);
    }

    /// True once it has said all it had to say, and all of it was acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.connected
            && self.next == self.script.messages.len()
            && self.flights.is_empty()
            && self.subscribed.iter().all(|done| *done)
    }

    /// Filters that it knows to be in force.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = &(String, Qos)> {
        self.script.filters.iter().zip(&self.subscribed).filter(|(_, done)| **done).map(|(filter, _)| filter)
    }

    /// Messages that it has begun to publish and has no answer to.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = usize> {
        self.flights.iter().map(|flight| flight.seq)
    }

    pub(crate) fn state(&self) -> String {
        let flights: Vec<_> = self.flights.iter().map(|f| (f.seq, f.msg_id.0, f.released, f.due)).collect();
        let (id, all) = (&self.id, self.script.messages.len());
        let waits = self.request.is_some();
        format!("{id}: connected {}, waits {waits}, {}/{all}, in flight {flights:?}", self.connected, self.next)
    }

    /// When it wants [`Device::timer`] next.
    pub(crate) fn wake_at(&self, now: u64) -> u64 {
        if !self.connected && self.request.is_none() {
            return now + 1;
        }
        let Some(request) = &self.request else {
            let flights = self.flights.iter().map(|flight| flight.due);
            let more = self.next < self.script.messages.len() && self.flights.len() < self.script.window;
            let publish = if more { self.publish_at } else { u64::MAX };
            return flights.chain([publish, self.ping_at]).min().unwrap_or(u64::MAX).max(now + 1);
        };
        request.due.max(now + 1)
    }

    /// It has sent something: the gateway knows that it lives.
    pub(crate) fn has_spoken(&mut self, now: u64) {
        self.ping_at = now + 1000 * u64::from(KEEPALIVE_S) / 2;
    }

    pub(crate) fn timer(&mut self, now: u64, said: &mut Said) {
        if !self.connected && self.request.is_none() {
            self.ask(now, Ask::Connect, said);
            return;
        }
        if let Some(request) = &mut self.request {
            if request.due <= now {
                request.tries += 1;
                let (what, msg_id, again) = (request.what, request.msg_id, request.tries <= TRIES);
                request.due = now + self.script.retry_ms;
                if again || what == Ask::Connect {
                    self.say_ask(what, msg_id, true, said);
                } else {
                    self.reconnect(now);
                    self.ask(now, Ask::Connect, said);
                }
            }
            return;
        }
        self.repeat(now, said);
        if self.connected && self.request.is_none() {
            self.go_on(now, said);
        }
    }

    /// Publications that were not answered in time.
    fn repeat(&mut self, now: u64, said: &mut Said) {
        let retry_ms = self.script.retry_ms;
        for place in 0..self.flights.len() {
            let flight = &mut self.flights[place];
            if flight.due > now {
                continue;
            }
            flight.due = now + retry_ms;
            flight.tries += 1;
            if flight.tries > TRIES {
                self.reconnect(now);
                self.ask(now, Ask::Connect, said);
                return;
            }
            self.say_flight(now, place, said);
        }
    }

    /// Whatever comes next: the first thing of all that is still to be done.
    fn go_on(&mut self, now: u64, said: &mut Said) {
        let named = |form: &TopicForm| matches!(form, TopicForm::Name(_));
        let unregistered = (0..self.topic_ids.len())
            .find(|&topic| self.topic_ids[topic].is_none() && named(&self.script.topics[topic]));
        if let Some(topic) = unregistered {
            self.ask(now, Ask::Register(topic), said);
        } else if let Some(filter) = self.subscribed.iter().position(|done| !done) {
            self.ask(now, Ask::Subscribe(filter), said);
        } else if self.ping_at <= now {
            self.ask(now, Ask::Ping, said);
        } else {
            while self.publish_at <= now
                && self.flights.len() < self.script.window
                && self.next < self.script.messages.len()
            {
                self.publish(now, said);
            }
        }
    }

    fn publish(&mut self, now: u64, said: &mut Said) {
        let seq = self.next;
        self.next += 1;
        let Planned { qos, pause_ms, .. } = self.script.messages[seq];
        self.publish_at = now + pause_ms;
        if qos == Qos::AtMostOnce {
            self.say_publish(seq, MsgId(0), false, said);
            return;
        }
        let msg_id = self.new_msg_id();
        self.seq_of.insert(msg_id.0, seq);
        let due = now + self.script.retry_ms;
        self.flights.push(Flight { seq, msg_id, released: false, sent: false, due, tries: 0 });
        self.say_flight(now, self.flights.len() - 1, said);
    }

    fn say_flight(&mut self, now: u64, place: usize, said: &mut Said) {
        let flight = &mut self.flights[place];
        flight.due = now + self.script.retry_ms;
        let (seq, msg_id, again) = (flight.seq, flight.msg_id, flight.sent);
        flight.sent = true;
        if flight.released {
            say(said, &Message::Pubrel { msg_id });
        } else if !self.say_publish(seq, msg_id, again, said) {
            // Its topic has no id just now: it goes out once REGACK has come, as what it is.
            self.flights[place].sent = again;
        }
    }

    fn say_publish(&self, seq: usize, msg_id: MsgId, dup: bool, said: &mut Said) -> bool {
        let Planned { topic, qos, payload, .. } = &self.script.messages[seq];
        let topic = match (&self.script.topics[*topic], self.topic_ids[*topic]) {
            (TopicForm::Short(octets), _) => Topic::Short(*octets),
            (TopicForm::Predefined(id, _), _) => Topic::Predefined(TopicId(*id)),
            (TopicForm::Name(_), Some(id)) => Topic::Normal(id),
            (TopicForm::Name(_), None) => return false,
        };
        say(said, &Message::Publish(sn::Publish { dup, qos: *qos, retain: false, topic, msg_id, payload }));
        true
    }

    fn ask(&mut self, now: u64, what: Ask, said: &mut Said) {
        let msg_id = self.new_msg_id();
        self.request = Some(Request { what, msg_id, due: now + self.script.retry_ms, tries: 0 });
        self.say_ask(what, msg_id, false, said);
    }

    fn say_ask(&self, what: Ask, msg_id: MsgId, dup: bool, said: &mut Said) {
        let message = match what {
            Ask::Connect => Message::Connect(sn::Connect {
                will: false,
                clean_session: false,
                protocol_id: 1,
                duration: KEEPALIVE_S,
                client_id: &self.id,
            }),
            Ask::Register(topic) => {
                let TopicForm::Name(topic_name) = &self.script.topics[topic] else { return };
                Message::Register(sn::Register { topic_id: TopicId(0), msg_id, topic_name })
            }
            Ask::Subscribe(filter) => {
                let (name, qos) = &self.script.filters[filter];
                Message::Subscribe(sn::Subscribe { dup, qos: *qos, msg_id, filter: Filter::Name(name) })
            }
            Ask::Ping => Message::Pingreq { client_id: None },
        };
        say(said, &message);
    }

    fn reconnect(&mut self, now: u64) {
        self.connected = false;
        self.request = None;
        for flight in &mut self.flights {
            (flight.due, flight.tries) = (now, 0);
        }
    }

    fn new_msg_id(&mut self) -> MsgId {
        self.last_msg_id = self.last_msg_id.checked_add(1).expect("more than 65,535 msg ids in a run");
        MsgId(self.last_msg_id)
    }

    pub(crate) fn receive(&mut self, now: u64, bytes: &[u8], said: &mut Said) {
        let frame = sn::decode(bytes).unwrap_or_else(|fault| panic!("{} was sent {bytes:02X?}: {fault:?}", self.id));
        match frame.message {
            Message::Connack { code } => self.on_connack(now, code),
            Message::Regack(ack) => self.on_regack(now, ack),
            Message::Suback(ack) => self.on_suback(now, ack),
            Message::Puback(ack) => self.on_puback(now, ack, said),
            Message::Pubrec { msg_id } => {
                if let Some(flight) = self.flights.iter_mut().find(|flight| flight.msg_id == msg_id) {
                    (flight.released, flight.tries, flight.due) = (true, 0, now + self.script.retry_ms);
                }
                say(said, &Message::Pubrel { msg_id });
            }
            Message::Pubcomp { msg_id } => self.flights.retain(|f| f.msg_id != msg_id || !f.released),
            Message::Register(register) => {
                let (topic_id, msg_id) = (register.topic_id, register.msg_id);
                self.names.insert(topic_id, register.topic_name.to_owned());
                say(said, &Message::Regack(Ack { topic_id, msg_id, code: ReturnCode::Accepted }));
            }
            Message::Publish(publish) => self.on_publish(&publish, said),
            Message::Pubrel { msg_id } => {
                if self.open.remove(&msg_id) {
                    self.closed.push_back(msg_id);
                    if self.closed.len() > 64 {
                        self.closed.pop_front();
                    }
                }
                say(said, &Message::Pubcomp { msg_id });
            }
            Message::Pingresp => self.answered(|request| request.what == Ask::Ping),
            // One that was meant for an earlier connection does no harm: it connects again.
            Message::Disconnect { .. } if self.connected => self.reconnect(now),
            Message::Disconnect { .. } => {}
            other => panic!("{} was sent {other:?}", self.id),
        }
    }

    fn answered(&mut self, fits: impl Fn(&Request) -> bool) {
        self.request.take_if(|request| fits(request));
    }

    fn on_connack(&mut self, now: u64, code: ReturnCode) {
        let Some(request) = self.request.as_mut().filter(|request| request.what == Ask::Connect) else { return };
        if code == ReturnCode::Accepted {
            self.request = None;
            self.connected = true;
        } else {
            request.due = now + 2 * self.script.retry_ms;
        }
    }

    fn on_regack(&mut self, now: u64, ack: Ack) {
        let Some(Ask::Register(topic)) = self.take_request(ack.msg_id) else { return };
        assert_eq!(ack.code, ReturnCode::Accepted, "{} may register", self.id);
        self.topic_ids[topic] = Some(ack.topic_id);
        if let TopicForm::Name(name) = &self.script.topics[topic] {
            self.names.insert(ack.topic_id, name.clone());
        }
        for flight in self.flights.iter_mut().filter(|flight| !flight.sent) {
            flight.due = now;
        }
    }

    fn on_suback(&mut self, now: u64, ack: sn::Suback) {
        let Some(request) = self.request.as_mut().filter(|request| request.msg_id == ack.msg_id) else { return };
        let Ask::Subscribe(filter) = request.what else { return };
        if ack.code == ReturnCode::Congestion {
            request.due = now + self.script.retry_ms;
            return;
        }
        let (name, qos) = &self.script.filters[filter];
        assert_eq!((ack.code, ack.qos), (ReturnCode::Accepted, *qos), "{} may subscribe to {name}", self.id);
        self.request = None;
        self.subscribed[filter] = true;
        if ack.topic_id != TopicId(0) {
            self.names.insert(ack.topic_id, name.clone());
        }
    }

    fn take_request(&mut self, msg_id: MsgId) -> Option<Ask> {
        self.request.take_if(|request| request.msg_id == msg_id).map(|request| request.what)
    }

    fn on_puback(&mut self, now: u64, ack: Ack, said: &mut Said) {
        if ack.code == ReturnCode::InvalidTopicId {
            for id in self.topic_ids.iter_mut().filter(|id| **id == Some(ack.topic_id)) {
                *id = None;
            }
        }
        let Some(place) = self.flights.iter().position(|f| f.msg_id == ack.msg_id && !f.released) else { return };
        let flight = &mut self.flights[place];
        let exactly_once = self.script.messages[flight.seq].qos == Qos::ExactlyOnce;
        match ack.code {
            ReturnCode::Accepted => {
                assert!(!exactly_once, "{}: PUBACK of a QoS 2 message", self.id);
                self.flights.remove(place);
            }
            ReturnCode::Congestion => {
                flight.due = now + self.script.retry_ms + self.rng.below(self.script.retry_ms);
                flight.tries = 0;
            }
            ReturnCode::InvalidTopicId => (flight.due, flight.tries) = (now + self.script.retry_ms, 0),
            ReturnCode::NotSupported | ReturnCode::Other(_) => {
                said.given_up.push(flight.seq);
                self.flights.remove(place);
            }
        }
    }

    fn on_publish(&mut self, publish: &sn::Publish<'_>, said: &mut Said) {
        let name = match publish.topic {
            Topic::Normal(id) => self.names.get(&id).cloned(),
            Topic::Short(octets) => String::from_utf8(octets.to_vec()).ok(),
            Topic::Predefined(_) | Topic::Inline(_) | Topic::Reserved(_) => None,
        };
        let msg_id = publish.msg_id;
        if name.is_none() {
            let Topic::Normal(topic_id) = publish.topic else { panic!("{} was sent {publish:?}", self.id) };
            say(said, &Message::Puback(Ack { topic_id, msg_id, code: ReturnCode::InvalidTopicId }));
            return;
        }
        let new = match publish.qos {
            Qos::ExactlyOnce => {
                say(said, &Message::Pubrec { msg_id });
                !self.closed.contains(&msg_id) && self.open.insert(msg_id)
            }
            Qos::AtLeastOnce => {
                let topic_id = if let Topic::Normal(id) = publish.topic { id } else { TopicId(0) };
                say(said, &Message::Puback(Ack { topic_id, msg_id, code: ReturnCode::Accepted }));
                true
            }
            Qos::AtMostOnce | Qos::MinusOne => true,
        };
        if new {
            said.messages.push(Heard { topic: name, payload: publish.payload.to_vec() });
        }
    }
}

fn say(said: &mut Said, message: &Message<'_>) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap_or_else(|fault| panic!("{fault:?}: {message:?}"));
    said.datagrams.push(bytes);
}
