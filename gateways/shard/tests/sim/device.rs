//! An MQTT-SN 1.2 client as devices have it: it connects, registers, subscribes, publishes, and repeats what is not
//! answered. Nothing in it knows the gateway's code; it speaks through the codec alone.

mod hearing;
mod moving;
mod sleeping;

pub(crate) use sleeping::Naps;

use crate::plan::{Planned, Script, TopicForm};
use crate::spots::Spot;
use bridge_core::rng::Rng;
use codec_mqttsn as sn;
use codec_mqttsn::{Filter, Message, MsgId, Qos, Topic, TopicId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One device.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) spot: Spot,
    /// How often it has moved.
    pub(crate) moves: u16,
    pub(crate) script: Script,
    rng: Rng,
    connected: bool,
    /// Its PINGREQs carry its client id: its session follows them.
    names_itself: bool,
    /// When it wakes up.
    asleep_until: Option<u64>,
    /// It says nothing and hears nothing any more.
    silent: bool,
    /// What must be answered before anything else is asked.
    request: Option<Request>,
    flights: Vec<Flight>,
    topic_ids: Vec<Option<TopicId>>,
    /// It has been told so since it began.
    subscribed: Vec<bool>,
    /// In force, whether it remembers or not.
    standing: Vec<bool>,
    /// When it was granted a subscription or a topic id last.
    granted_at: u64,
    /// What it is granted until then was granted by a process that has crashed.
    distrusts_until: u64,
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
    closed: VecDeque<(MsgId, u64)>,
    /// Messages of QoS 1 and 2 whose topic id it did not know.
    refused: BTreeSet<MsgId>,
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
    Sleep,
    Wake,
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
    pub(crate) fn new(index: usize, spot: Spot, script: Script, seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        Self {
            id: format!("d{index}"),
            spot,
            moves: 0,
            connected: false,
            names_itself: rng.chance(500),
            rng,
            asleep_until: None,
            silent: false,
            request: None,
            flights: Vec::new(),
            topic_ids: vec![None; script.topics.len()],
            subscribed: vec![false; script.filters.len()],
            standing: vec![false; script.filters.len()],
            granted_at: 0,
            distrusts_until: 0,
            next: 0,
            publish_at: 0,
            ping_at: 0,
            last_msg_id: 0,
            seq_of: BTreeMap::new(),
            names: BTreeMap::new(),
            open: BTreeSet::new(),
            closed: VecDeque::new(),
            refused: BTreeSet::new(),
            script,
        }
    }

    /// True once it has said all it had to say, and all of it was acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.connected
            && self.next == self.script.messages.len()
            && self.flights.is_empty()
            && self.subscribed.iter().all(|done| *done)
    }

    /// Filters that are in force.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = &(String, Qos)> {
        self.script.filters.iter().zip(&self.standing).filter(|(_, done)| **done).map(|(filter, _)| filter)
    }

    /// The process has crashed: what it was granted in the last moments is granted, but may not be in the store. True if
    /// there is such a thing. It asks for all anew, since an id that was forgotten may come to mean something else.
    pub(crate) fn doubts(&mut self, now: u64) -> bool {
        self.distrusts_until = now + 500;
        let lately = self.granted_at > 0 && self.granted_at + 400 >= now;
        if lately {
            self.standing.fill(false);
            self.subscribed.fill(false);
            self.topic_ids.fill(None);
            self.names.clear();
        }
        lately
    }

    pub(crate) fn state(&self) -> String {
        let flights: Vec<_> = self.flights.iter().map(|f| (f.seq, f.msg_id.0, f.released, f.due)).collect();
        let (id, all) = (&self.id, self.script.messages.len());
        let waits = self.request.is_some();
        format!("{id}: connected {}, waits {waits}, {}/{all}, in flight {flights:?}", self.connected, self.next)
    }

    /// When it wants [`Device::timer`] next.
    pub(crate) fn wake_at(&self, now: u64) -> u64 {
        if self.silent {
            return u64::MAX;
        }
        if let Some(until) = self.asleep_until {
            return until.max(now + 1);
        }
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

    pub(crate) const fn fall_silent(&mut self) {
        self.silent = true;
    }

    /// It has sent something: the gateway knows that it lives.
    pub(crate) fn has_spoken(&mut self, now: u64) {
        self.ping_at = now + 1000 * u64::from(KEEPALIVE_S) / 2;
    }

    pub(crate) fn timer(&mut self, now: u64, said: &mut Said) {
        if self.silent {
            return;
        }
        if let Some(until) = self.asleep_until {
            if until <= now {
                self.wake_up(now, said);
            }
            return;
        }
        if !self.connected && self.request.is_none() {
            self.ask(now, Ask::Connect, said);
            return;
        }
        if let Some(request) = &mut self.request {
            if request.due <= now {
                request.tries = request.tries.saturating_add(1);
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
        } else if self.may_sleep(now) {
            self.ask(now, Ask::Sleep, said);
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
                will: self.script.will,
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
            Ask::Ping | Ask::Wake => Message::Pingreq { client_id: self.says_its_name(what) },
            Ask::Sleep => Message::Disconnect { duration: self.nap_s(what) },
        };
        say(said, &message);
    }

    fn new_msg_id(&mut self) -> MsgId {
        self.last_msg_id = self.last_msg_id.checked_add(1).expect("more than 65,535 msg ids in a run");
        MsgId(self.last_msg_id)
    }
}

fn say(said: &mut Said, message: &Message<'_>) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap_or_else(|fault| panic!("{fault:?}: {message:?}"));
    said.datagrams.push(bytes);
}
