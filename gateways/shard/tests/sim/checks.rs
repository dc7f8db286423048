//! What must hold, whatever goes wrong. It is witnessed at the edges: what goes into a shard, what comes out of it, what
//! the broker takes, and what a device hears.

use crate::device::{Device, Heard};
use crate::plan::Plan;
use codec_mqttsn::{self as sn, Message, Qos, ReturnCode};
use std::collections::{BTreeMap, BTreeSet};
use support::broker::{Accepted, matches};

/// The witness.
pub(crate) struct Checks {
    /// The broker never forgets a session.
    keeps_sessions: bool,
    has_identifiers: bool,
    uplinks: Vec<Vec<Uplink>>,
    lanes: BTreeMap<(usize, String, u8), Lane>,
    downlinks: Vec<Downlink>,
    /// Per device, topic and QoS: the latest message that was sent to it for the first time.
    sent: BTreeMap<(usize, String, u8), usize>,
    moved: Vec<bool>,
    hands: u64,
    /// Nothing goes wrong any more.
    pub(crate) calm: bool,
    pub(crate) tally: Tally,
}

/// How much was seen: a run that checks nothing proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) acknowledged: u64,
    pub(crate) accepted: u64,
    pub(crate) repeated: u64,
    pub(crate) heard: u64,
    pub(crate) excused: u64,
    pub(crate) unsure: u64,
    pub(crate) misled: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.acknowledged += other.acknowledged;
        self.accepted += other.accepted;
        self.repeated += other.repeated;
        self.heard += other.heard;
        self.excused += other.excused;
        self.unsure += other.unsure;
        self.misled += other.misled;
    }
}

/// A message of a device.
#[derive(Default)]
struct Uplink {
    /// When a shard was handed a copy.
    hands: Vec<u64>,
    /// A copy was refused, or came when the device was not connected, or moved: which one was taken cannot be known.
    unsure: bool,
    accepted: u32,
    acknowledged: bool,
    given_up: bool,
    /// PUBREL was handed over: a copy without DUP that comes after it passes for a new message.
    released: bool,
    /// It may be published twice, by no fault of the gateway.
    twice: bool,
}

/// One client's messages on one topic with one QoS.
#[derive(Default)]
struct Lane {
    /// Of the messages accepted, the one that was handed over last: when it was for the first time.
    latest: u64,
    /// The highest sequence number accepted.
    highest: Option<usize>,
}

/// A message to devices.
struct Downlink {
    topic: String,
    calm: bool,
    qos: Qos,
    /// Copies that a device must get, those of QoS 0 aside, and may get at most; by device.
    owed: BTreeMap<usize, Owed>,
    heard: BTreeMap<usize, u32>,
    /// Devices that it was sent to.
    sent: BTreeSet<usize>,
}

struct Owed {
    must: u32,
    may: u32,
    exactly: bool,
}

impl Checks {
    pub(crate) fn new(devices: &[Device], plan: &Plan) -> Self {
        let uplinks = devices.iter().map(|d| d.script.messages.iter().map(|_| Uplink::default()).collect()).collect();
        Self {
            keeps_sessions: plan.keeps_sessions,
            has_identifiers: plan.has_identifiers(),
            uplinks,
            lanes: BTreeMap::new(),
            downlinks: Vec::new(),
            sent: BTreeMap::new(),
            moved: vec![false; devices.len()],
            hands: 0,
            calm: false,
            tally: Tally::default(),
        }
    }

    /// A shard is handed a datagram of a device.
    pub(crate) fn handed(&mut self, index: usize, device: &Device, bytes: &[u8]) {
        self.hands += 1;
        let frame = sn::decode(bytes).expect("devices write what can be read");
        match frame.message {
            Message::Publish(publish) => {
                let Some(seq) = seq_of(publish.payload) else { return };
                let uplink = &mut self.uplinks[index][seq];
                uplink.hands.push(self.hands);
                uplink.twice |= uplink.released && !publish.dup;
            }
            Message::Pubrel { msg_id } => {
                if let Some(&seq) = device.seq_of.get(&msg_id.0) {
                    self.uplinks[index][seq].released = true;
                }
            }
            _ => {}
        }
    }

    /// A shard says something to a device.
    pub(crate) fn said(&mut self, index: usize, device: &Device, bytes: &[u8]) {
        let frame = sn::decode(bytes).expect("the gateway writes what can be read");
        match frame.message {
            Message::Puback(ack) if ack.code == ReturnCode::Accepted => self.acknowledged(index, device, ack.msg_id.0),
            Message::Pubrec { msg_id } => self.acknowledged(index, device, msg_id.0),
            Message::Puback(ack) => {
                if let Some(&seq) = device.seq_of.get(&ack.msg_id.0) {
                    self.uplinks[index][seq].unsure = true;
                }
            }
            Message::Disconnect { .. } => self.doubt(index),
            Message::Publish(publish) => self.sent(index, device, &publish),
            _ => {}
        }
    }

    /// The device is not connected as it thinks it is.
    fn doubt(&mut self, index: usize) {
        let begun = self.uplinks[index].iter_mut().filter(|u| u.accepted == 0 && !u.hands.is_empty());
        begun.for_each(|uplink| uplink.unsure = true);
    }

    /// No acknowledged message is lost: the broker has it before the device is told.
    fn acknowledged(&mut self, index: usize, device: &Device, msg_id: u16) {
        let Some(&seq) = device.seq_of.get(&msg_id) else { return };
        let uplink = &mut self.uplinks[index][seq];
        assert!(uplink.accepted > 0, "message {seq} of {} is acknowledged, and the broker has it not", device.id);
        self.tally.acknowledged += u64::from(!uplink.acknowledged);
        uplink.acknowledged = true;
    }

    /// The broker has taken a message.
    pub(crate) fn accepted(&mut self, accepted: &Accepted, devices: &[Device]) {
        let Some((index, seq)) = index_and_seq(&accepted.payload) else { return };
        let (device, uplink) = (&devices[index], &mut self.uplinks[index][seq]);
        let planned = &device.script.messages[seq];
        assert_eq!(accepted.payload, planned.payload, "message {seq} of {} is intact", device.id);
        let name = device.script.topics[planned.topic].name();
        let qos = bits(planned.qos);
        assert_eq!(accepted.qos.bits(), qos, "message {seq} of {}", device.id);
        // A late copy of what was said in one session names in the next whatever has its topic id there.
        let stale = self.moved[index] && accepted.topic != name;
        assert!(stale || accepted.topic == name, "message {seq} of {} is published on {}", device.id, accepted.topic);
        self.tally.misled += u64::from(stale);
        self.tally.accepted += 1;
        uplink.accepted += 1;
        if uplink.accepted > 1 {
            self.tally.repeated += 1;
            let excused = uplink.twice || !self.keeps_sessions;
            self.tally.excused += u64::from(qos == 2 && excused);
            assert!(qos < 2 || excused, "message {seq} of {} with QoS 2 is published twice", device.id);
            assert!(qos > 0 || uplink.hands.len() > 1, "message {seq} of {} with QoS 0 is published twice", device.id);
            return;
        }
        let (Some(&first), Some(&last)) = (uplink.hands.first(), uplink.hands.last()) else {
            panic!("message {seq} of {} is published, and was never sent", device.id)
        };
        let lane = self.lanes.entry((index, name.to_owned(), qos)).or_default();
        let (id, unsure) = (&device.id, uplink.unsure);
        self.tally.unsure += u64::from(unsure);
        assert!(unsure || last > lane.latest, "message {seq} of {id} on {name} with QoS {qos} was overtaken");
        if !unsure {
            lane.latest = lane.latest.max(first);
        }
        // One at a time, each answered before the next: that order holds even where copies were refused.
        if device.script.window == 1 && qos > 0 && !self.moved[index] {
            assert!(lane.highest.is_none_or(|highest| highest < seq), "message {seq} of {id} on {name} is late");
        }
        lane.highest = lane.highest.max(Some(seq));
    }

    /// A message to devices is about to be published; returns its payload.
    pub(crate) fn publishes(&mut self, topic: &str, qos: Qos, devices: &[Device]) -> Vec<u8> {
        let number = self.downlinks.len();
        let mut owed = BTreeMap::new();
        for (index, device) in devices.iter().enumerate() {
            let lower = |filter: &&(String, Qos)| matches(&filter.0, topic).then(|| bits(filter.1).min(bits(qos)));
            let all: Vec<u8> = device.script.filters.iter().filter_map(|filter| lower(&filter)).collect();
            let must = device.in_force().filter(|filter| lower(filter).is_some_and(|qos| qos > 0)).count();
            let (must, may) = (count(must), count(all.len()));
            owed.insert(index, Owed { must, may, exactly: self.has_identifiers && all.iter().all(|qos| *qos == 2) });
        }
        self.downlinks.push(Downlink {
            topic: topic.to_owned(),
            calm: self.calm,
            qos,
            owed,
            heard: BTreeMap::new(),
            sent: BTreeSet::new(),
        });
        format!("d {number} {topic}").into_bytes()
    }

    /// What is sent for the first time keeps the order of the broker, which has one for each QoS. (A device whose filters
    /// overlap gets several copies, each in its own time.)
    fn sent(&mut self, index: usize, device: &Device, publish: &sn::Publish<'_>) {
        let number = number_of(publish.payload);
        let downlink = &mut self.downlinks[number];
        if !downlink.sent.insert(index) || downlink.owed[&index].may > 1 || !self.has_identifiers {
            return;
        }
        let latest = self.sent.entry((index, downlink.topic.clone(), bits(downlink.qos))).or_insert(number);
        assert!(number >= *latest, "{} is sent message {number} after message {latest}", device.id);
        *latest = number;
    }

    /// A device takes a message for new.
    pub(crate) fn heard(&mut self, index: usize, device: &Device, heard: &Heard) {
        let number = number_of(&heard.payload);
        let downlink = &mut self.downlinks[number];
        assert_eq!(heard.topic.as_ref(), Some(&downlink.topic), "{} knows the topic of message {number}", device.id);
        self.tally.heard += 1;
        let times = downlink.heard.entry(index).or_default();
        *times += 1;
        let owed = &downlink.owed[&index];
        let strict = owed.exactly && self.keeps_sessions && !self.moved[index];
        assert!(owed.may > 0, "{} hears message {number}, and is not subscribed", device.id);
        assert!(!strict || *times <= owed.may, "{} hears message {number} of QoS 2 {times} times", device.id);
    }

    /// It has a new session at its new address: what it has not finished may be published twice, and what waited for it
    /// is lost.
    pub(crate) fn moves(&mut self, index: usize, device: &Device) {
        self.moved[index] = true;
        for seq in device.unanswered() {
            self.uplinks[index][seq].twice = true;
        }
        self.doubt(index);
    }

    pub(crate) fn given_up(&mut self, index: usize, seq: usize) {
        self.uplinks[index][seq].given_up = true;
    }

    /// All is quiet.
    pub(crate) fn finish(&self, devices: &[Device]) {
        for (index, device) in devices.iter().enumerate() {
            for (seq, uplink) in self.uplinks[index].iter().enumerate() {
                let best_effort = device.script.messages[seq].qos == Qos::AtMostOnce;
                let fate = (uplink.acknowledged, uplink.accepted > 0);
                assert!(!uplink.given_up, "message {seq} of {} was refused for good", device.id);
                assert!(best_effort || fate == (true, true), "message {seq} of {}: {fate:?}", device.id);
            }
        }
        for (number, downlink) in self.downlinks.iter().enumerate() {
            let due = |index: usize| downlink.calm || (self.keeps_sessions && !self.moved[index]);
            for (&index, owed) in downlink.owed.iter().filter(|(index, _)| due(**index)) {
                let times = downlink.heard.get(&index).copied().unwrap_or_default();
                let (id, topic, must) = (&devices[index].id, &downlink.topic, owed.must);
                assert!(times >= must, "{id} hears message {number} on {topic} {times} times of {must}");
            }
        }
    }
}

fn bits(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
        Qos::MinusOne => 3,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a handful")
}

/// Of `u <device> <seq> …`.
fn index_and_seq(payload: &[u8]) -> Option<(usize, usize)> {
    let mut words = std::str::from_utf8(payload).ok()?.strip_prefix("u ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn seq_of(payload: &[u8]) -> Option<usize> {
    index_and_seq(payload).map(|(_, seq)| seq)
}

/// Of `d <number> …`.
fn number_of(payload: &[u8]) -> usize {
    let text = std::str::from_utf8(payload).ok().and_then(|text| text.strip_prefix("d "));
    let number = text.and_then(|text| text.split(' ').next()).and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("nobody published {payload:02X?}"))
}
