//! What must hold, whatever goes wrong. It is witnessed at the edges: what goes into a shard, what comes out of it, what
//! the broker takes, and what a device hears.
//!
//! What cannot be promised, and is excused:
//!
//! * A copy without DUP of a QoS 2 message that comes after its PUBREL passes for a new message ([`up`]).
//! * A process that crashes leaves messages of QoS 2 with the broker without PUBREL. The next knows their packet ids, not
//!   their order, and packet ids are used again in any order: a broker that takes messages at PUBREL takes these in another
//!   order than they were sent in ([`up`], [`streams`]); each of them before whatever the next process publishes.
//! * A broker that forgets its sessions forgets messages to devices, and cannot tell repetitions of theirs.
//! * Without subscription identifiers a client whose filters overlap with others' gets copies that were meant for them.
//! * A datagram that was delayed on its way from an old address of a device (CONNECT, or PINGREQ with its client id)
//!   takes the session back there until the device is heard again. So a message of QoS 0 may be sent to where nobody is;
//!   nothing else comes of it, and nothing else is excused.

mod down;
mod sleep;
mod streams;
mod tally;
mod up;
mod wills;

pub(crate) use tally::Tally;

use crate::device::{Device, Heard};
use crate::plan::Plan;
use codec_mqttsn::{self as sn, Message, Qos, ReturnCode};
use down::Downlinks;
use sleep::Sleepers;
use std::collections::BTreeMap;
use streams::Streams;
use support::broker::Accepted;
use up::Uplinks;
use wills::Wills;

/// The witness.
pub(crate) struct Checks {
    up: Uplinks,
    down: Downlinks,
    sleep: Sleepers,
    wills: Wills,
    pub(crate) streams: Streams,
    pub(crate) now: u64,
    /// Connections of single devices begun, by shard and second, and how many may be.
    begun: BTreeMap<(usize, u64), u32>,
    connect_rate: u32,
    /// When a link was opened last.
    pub(crate) line_opened_at: u64,
    /// There are not as many shards as before, and not all of them have their subscriptions yet.
    pub(crate) unsettled: bool,
    /// Nothing goes wrong any more.
    pub(crate) calm: bool,
    pub(crate) tally: Tally,
}

impl Checks {
    pub(crate) fn new(devices: &[Device], plan: &Plan) -> Self {
        Self {
            up: Uplinks::new(devices, plan),
            down: Downlinks::new(plan),
            sleep: Sleepers::new(devices),
            wills: Wills::default(),
            streams: Streams::new(plan),
            now: 0,
            begun: BTreeMap::new(),
            connect_rate: match plan.connect_rate {
                0 => 0,
                rate => rate.div_ceil(plan.shards.into()) * 11 / 10 + 2,
            },
            line_opened_at: 0,
            unsettled: false,
            calm: false,
            tally: Tally::default(),
        }
    }

    /// A shard is handed a datagram of a device.
    pub(crate) fn handed(&mut self, index: usize, device: &Device, bytes: &[u8]) {
        let frame = sn::decode(bytes).expect("devices write what can be read");
        self.sleep.handed(self.now, index, &frame.message);
        self.tally.enveloped += u64::from(frame.via.is_some());
        match frame.message {
            Message::Publish(publish) => self.up.handed(index, &publish),
            Message::Pubrel { msg_id } => self.up.released(index, device, msg_id),
            _ => {}
        }
    }

    /// A shard says something to a device.
    pub(crate) fn said(&mut self, index: usize, device: &Device, bytes: &[u8]) {
        let frame = sn::decode(bytes).expect("the gateway writes what can be read");
        self.tally.naps += u64::from(self.sleep.said(self.now, index, device, &frame.message));
        match frame.message {
            Message::Puback(ack) if ack.code == ReturnCode::Accepted => self.acknowledged(index, device, ack.msg_id),
            Message::Pubrec { msg_id } => self.acknowledged(index, device, msg_id),
            Message::Publish(publish) => self.down.sent(index, device, &publish),
            _ => {}
        }
    }

    fn acknowledged(&mut self, index: usize, device: &Device, msg_id: sn::MsgId) {
        self.up.acknowledged(index, device, msg_id, &mut self.tally);
    }

    /// The broker has taken a message.
    pub(crate) fn accepted(&mut self, accepted: &Accepted, devices: &[Device]) {
        if !self.wills.accepted(accepted, devices) && !self.streams.accepted(accepted, &mut self.tally) {
            self.up.accepted(accepted, devices, &mut self.tally);
        }
    }

    /// A link begins a connection. `own`: it is that of a single device.
    pub(crate) fn begun(&mut self, shard: usize, own: bool) {
        let second = self.now / 1000;
        if !own {
            return;
        }
        let count = self.begun.entry((shard, second)).or_insert(0);
        *count += 1;
        // A shard's part, and the tenth of a second's worth that may come at once.
        let most = self.connect_rate;
        assert!(most == 0 || *count <= most, "{count} connections are begun in second {second}: {most} may be");
        self.tally.own_links += 1;
    }

    /// A message to devices is about to be published; returns its payload.
    pub(crate) fn publishes(&mut self, topic: &str, qos: Qos, devices: &[Device]) -> Vec<u8> {
        self.down.publishes(topic, qos, devices, (self.now, self.calm), self.unsettled)
    }

    /// A device takes a message for new.
    pub(crate) fn heard(&mut self, index: usize, device: &Device, heard: &Heard) {
        self.down.heard(index, device, heard);
        self.tally.heard += 1;
    }

    /// The process has ended, with or without a last word; the next has as many shards, or not (`changes`).
    ///
    /// After a crash, not after an orderly stop, a message may come twice: what the broker had handed over and was not
    /// acknowledged, and what a device had handed over without an answer. What was published before a link has asked for
    /// its subscriptions anew may wait at the broker under identifiers that the next process does not know. A SUBSCRIBE of its last moments has left the
    /// broker with an identifier that the next process does not know: what comes under it goes to all whose filters match,
    /// so that those who have got a copy by a filter of theirs get one too many from then on, at any QoS. What waits at the broker waits in the session of
    /// a link, which follows from shard and client id: with another number of shards it may be dropped, come late, or come to who has
    /// had it from another link.
    pub(crate) fn restarts(&mut self, devices: &mut [Device], crash: bool, changes: bool) {
        if crash {
            self.up.crash();
            self.streams.crash();
            self.sleep.crash(self.now);
        }
        self.unsettled |= changes;
        self.down.restarts(crash, changes, self.line_opened_at);
        for (index, device) in devices.iter_mut().enumerate().filter(|_| crash) {
            if device.doubts(self.now) {
                self.down.doubt(index, self.now);
            }
        }
    }

    /// From here on it is known what leads to a will.
    pub(crate) fn begin_wills(&mut self) {
        self.wills.begin();
    }

    pub(crate) fn expect_will(&mut self, index: usize, comes: bool) {
        self.wills.expect(index, comes);
    }

    pub(crate) fn end_wills(&self, devices: &[Device]) {
        self.wills.end(devices);
    }

    pub(crate) fn without_connection(&mut self, place: usize) -> (u32, &'static str) {
        self.wills.without_connection(place)
    }

    /// These have come, each once.
    pub(crate) fn arrived(&self, numbers: &[u32]) {
        self.wills.arrived(numbers);
    }

    pub(crate) fn given_up(&self, device: &Device, seq: usize) {
        panic!("message {seq} of {} was refused for good", device.id);
    }

    /// All is quiet. `calm_from`: the first message to raw TCP devices that was published when all was well.
    pub(crate) fn finish(&mut self, devices: &[Device], calm_from: usize) {
        self.up.finish(devices);
        self.streams.finish(calm_from, self.tally.commands_dropped);
        self.tally.missed = self.down.finish(devices, self.tally.held_too_many);
    }
}

const fn bits(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
        Qos::MinusOne => 3,
    }
}
