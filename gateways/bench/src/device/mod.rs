//! A simulated MQTT-SN 1.2 device: it connects, subscribes to its commands, publishes a reading at each interval, and may
//! sleep in between.
//!
//! Nothing here knows a socket or the clock: datagrams and time, in milliseconds, come in; datagrams and what happened go
//! out. It asks one thing at a time and repeats what is not answered (MQTT-SN 1.2 §6.13).

mod hearing;
mod reading;
mod request;
pub(crate) mod tcp;
#[cfg(test)]
mod tests;

use codec_mqttsn::{Message, MsgId, Publish, Qos, Topic, TopicId};
use reading::Reading;
use request::{Pending, Request};
use std::collections::{BTreeMap, VecDeque};

/// What the devices of a run have in common. In topics `%c` is the client id.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Topic name that readings go to.
    pub(crate) topic: String,
    /// Topic filter of commands.
    pub(crate) command: Option<String>,
    /// Milliseconds from one reading to the next.
    pub(crate) interval: u64,
    /// Of readings and of the subscription: 0, 1 or 2.
    pub(crate) qos: Qos,
    /// Seconds that the device sleeps after each reading, and between two looks at what is held for it (§6.14).
    pub(crate) sleep: Option<u16>,
    pub(crate) will: Option<Will>,
    /// Seconds.
    pub(crate) keep_alive: u16,
    /// T_retry, in milliseconds.
    pub(crate) retry_after: u64,
    /// Transmissions of one message until its answer is given up: N_retry + 1.
    pub(crate) tries: u8,
}

/// What the gateway publishes for a device that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: String,
}

/// What happened to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected,
    /// The gateway said no to the message of this name.
    Refused {
        what: &'static str,
        code: u8,
    },
    /// The gateway let it not in, in these words.
    NotLetIn {
        message: String,
    },
    Subscribed {
        filter: String,
    },
    /// At QoS 1 and 2 with the gateway's acknowledgement.
    Published {
        topic: String,
        payload: String,
    },
    /// Without a topic, which the gateway knows.
    Sent {
        payload: String,
    },
    /// The same in the other direction.
    Heard {
        payload: Vec<u8>,
    },
    /// From the gateway. A topic id whose name is not known is written `#id`.
    Received {
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
        dup: bool,
    },
    /// There is no TLS session, for this reason.
    NoTls {
        why: String,
    },
    /// The message of this name is sent once more.
    Repeated {
        what: &'static str,
    },
    /// It was sent as often as may be: the connection counts as lost.
    Unanswered {
        what: &'static str,
    },
    FellAsleep {
        seconds: u16,
    },
    WokeUp,
    /// The gateway ended the session.
    Disconnected,
    /// The device ended its session, as it was told to.
    Left,
}

/// What a device says and tells.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) events: Vec<Event>,
}

/// One device. Times are in milliseconds.
#[derive(Debug)]
pub(crate) struct Device {
    client_id: String,
    topic: String,
    command: Option<String>,
    profile: Profile,
    state: State,
    reading: Reading,
    next_reading: u64,
    /// A reading has gone out since it woke up.
    is_done: bool,
    /// Of the device's own topic.
    topic_id: Option<TopicId>,
    is_subscribed: bool,
    /// What the ids in the gateway's publications stand for.
    names: BTreeMap<u16, String>,
    /// Publications of QoS 2 whose PUBREL has not come.
    unreleased: VecDeque<MsgId>,
    last_msg_id: u16,
    /// It has had a session before, which it would go on with.
    is_known: bool,
    /// Connections lost or refused since the last reading went out.
    failures: u32,
    last_sent: u64,
    last_heard: u64,
    is_leaving: bool,
}

#[derive(Debug)]
enum State {
    /// Without a session until then.
    Away {
        until: u64,
    },
    Asking(Pending),
    Active,
    /// It hears nothing until then.
    Asleep {
        until: u64,
    },
    Gone,
}

/// Names of topic ids that are kept: a gateway that gives more is told congestion.
const MAX_NAMES: usize = 1024;
/// QoS 2 publications that are remembered; the oldest goes.
const MAX_UNRELEASED: usize = 16;
/// Milliseconds to the second attempt to connect; each further one waits twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: u64 = 1_000;
const LONGEST_PAUSE: u64 = 60_000;

/// Milliseconds to the next attempt, after so many in a row that came to nothing.
fn pause_after(failures: u32) -> u64 {
    FIRST_PAUSE.checked_shl(failures).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
}

impl Device {
    /// A device that connects at `start`. `seed` makes its readings its own.
    pub(crate) fn new(client_id: String, profile: &Profile, seed: u64, start: u64) -> Self {
        let named = |template: &String| template.replace("%c", &client_id);
        let will = |will: &Will| Will { topic: named(&will.topic), payload: named(&will.payload) };
        Self {
            topic: named(&profile.topic),
            command: profile.command.as_ref().map(named),
            profile: Profile { will: profile.will.as_ref().map(will), ..profile.clone() },
            state: State::Away { until: start },
            reading: Reading::new(seed),
            next_reading: start,
            is_done: false,
            topic_id: None,
            is_subscribed: false,
            names: BTreeMap::new(),
            unreleased: VecDeque::new(),
            last_msg_id: 0,
            is_known: false,
            failures: 0,
            last_sent: start,
            last_heard: start,
            is_leaving: false,
            client_id,
        }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// When [`Self::handle_timer`] is due; `None` once it is gone.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        match &self.state {
            State::Away { until } | State::Asleep { until } => Some(*until),
            State::Asking(pending) => Some(pending.due),
            State::Active => Some(self.next_reading.min(self.ping_at())),
            State::Gone => None,
        }
    }

    /// The session is ended, or there is none and no attempt at one.
    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// Does what is due. Harmless when nothing is.
    pub(crate) fn handle_timer(&mut self, now: u64, out: &mut Output) {
        if self.next_deadline().is_none_or(|due| now < due) {
            return;
        }
        match &self.state {
            State::Away { .. } => self.open(now, out),
            State::Asking(_) => self.repeat(now, out),
            State::Active => self.proceed(now, out),
            State::Asleep { .. } => {
                out.events.push(Event::WokeUp);
                self.ask(Request::Fetch, now, out);
            }
            State::Gone => {}
        }
    }

    /// Ends the session politely, with DISCONNECT, whatever is under way.
    pub(crate) fn leave(&mut self, now: u64, out: &mut Output) {
        if std::mem::replace(&mut self.is_leaving, true) {
            return;
        }
        match &self.state {
            State::Away { .. } => self.state = State::Gone,
            State::Gone => {}
            State::Asking(_) | State::Active | State::Asleep { .. } => self.ask(Request::Leave, now, out),
        }
    }

    fn open(&mut self, now: u64, out: &mut Output) {
        self.topic_id = None;
        self.is_subscribed = false;
        self.names.clear();
        let will = self.profile.will.is_some();
        self.ask(Request::Connect { clean_session: !self.is_known, will }, now, out);
    }

    /// What an active device does next.
    fn proceed(&mut self, now: u64, out: &mut Output) {
        self.state = State::Active;
        if self.command.is_some() && !self.is_subscribed {
            let msg_id = self.next_msg_id();
            return self.ask(Request::Subscribe { msg_id }, now, out);
        }
        if let (Some(_), true) = (self.profile.sleep, self.is_done) {
            return self.ask(Request::Sleep, now, out);
        }
        if now >= self.next_reading {
            return match self.topic_id {
                Some(topic_id) => self.publish(topic_id, now, out),
                None => {
                    let msg_id = self.next_msg_id();
                    self.ask(Request::Register { msg_id }, now, out);
                }
            };
        }
        if now >= self.ping_at() {
            self.ask(Request::Ping, now, out);
        }
    }

    fn publish(&mut self, topic_id: TopicId, now: u64, out: &mut Output) {
        let payload = self.reading.next();
        if self.profile.qos != Qos::AtMostOnce {
            let msg_id = self.next_msg_id();
            return self.ask(Request::Publish { msg_id, topic_id, payload }, now, out);
        }
        let topic = Topic::Normal(topic_id);
        let (dup, qos, retain, msg_id) = (false, Qos::AtMostOnce, false, MsgId(0));
        self.send(
            &Message::Publish(Publish { dup, qos, retain, topic, msg_id, payload: payload.as_bytes() }),
            now,
            out,
        );
        self.published(payload, now, out);
    }

    fn published(&mut self, payload: String, now: u64, out: &mut Output) {
        self.failures = 0;
        out.events.push(Event::Published { topic: self.topic.clone(), payload });
        self.reading_ended(now, out);
    }

    /// The reading is out, or will never be: the next one keeps to the grid of intervals, and what was missed is left out.
    fn reading_ended(&mut self, now: u64, out: &mut Output) {
        self.is_done = true;
        self.next_reading = self.next_reading.saturating_add(self.profile.interval);
        if self.next_reading <= now {
            self.next_reading = now.saturating_add(self.profile.interval);
        }
        self.proceed(now, out);
    }

    /// The session is lost: another attempt, after a pause that grows.
    fn lost(&mut self, now: u64) {
        let pause = pause_after(self.failures);
        // No more than doublings that matter.
        self.failures = (self.failures + 1).min(16);
        self.state = if self.is_leaving { State::Gone } else { State::Away { until: now.saturating_add(pause) } };
    }

    /// Both sides speak within the keep alive interval, whoever spoke last; a fifth of it is for the way. With a keep
    /// alive of 0 there is nothing to keep.
    fn ping_at(&self) -> u64 {
        match self.profile.keep_alive {
            0 => u64::MAX,
            seconds => self.last_sent.min(self.last_heard).saturating_add(u64::from(seconds) * 800),
        }
    }

    fn send(&mut self, message: &Message<'_>, now: u64, out: &mut Output) {
        let mut datagram = Vec::new();
        // What the wire does not have is not sent; whoever makes the profile takes care that there is no such thing.
        if message.encode(&mut datagram).is_ok() {
            self.last_sent = now;
            out.datagrams.push(datagram);
        }
    }

    const fn next_msg_id(&mut self) -> MsgId {
        self.last_msg_id = match self.last_msg_id.checked_add(1) {
            Some(next) => next,
            None => 1,
        };
        MsgId(self.last_msg_id)
    }
}
