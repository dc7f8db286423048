//! Messages of devices: none that was acknowledged is lost, none of QoS 2 comes twice, and none overtakes another.

use super::{Tally, bits};
use crate::device::Device;
use crate::plan::Plan;
use codec_mqttsn::{self as sn, MsgId, Qos};
use std::collections::BTreeMap;
use support::broker::Accepted;

/// All messages of devices.
pub(super) struct Uplinks {
    /// The broker never forgets a session.
    keeps_sessions: bool,
    /// The broker takes messages of QoS 2 at their PUBREL.
    take_at_pubrel: bool,
    uplinks: Vec<Vec<Uplink>>,
    /// PUBRELs that were handed over, by device.
    releases: Vec<u32>,
    lanes: BTreeMap<(usize, String, u8), Lane>,
    hands: u64,
}

/// A message of a device.
#[derive(Default)]
struct Uplink {
    /// When a shard was handed a copy.
    hands: Vec<u64>,
    accepted: u32,
    acknowledged: bool,
    /// PUBREL was handed over, as and was the device's nth: a copy without DUP that comes after it passes for a new message,
    /// and so does any copy once as many others are released as are remembered.
    released: Option<u32>,
    /// It may be published twice, by no fault of the gateway.
    twice: bool,
    /// A process crashed that may have left it with the broker, to be released by the next in whatever order.
    left: bool,
}

/// One client's messages on one topic with one QoS.
#[derive(Default)]
struct Lane {
    /// Of the messages accepted, the one that was handed over last: when it was for the first time.
    latest: u64,
    /// The same without those that a crashed process has left.
    latest_settled: u64,
    /// The highest sequence number accepted.
    highest: Option<usize>,
}

impl Uplinks {
    pub(super) fn new(devices: &[Device], plan: &Plan) -> Self {
        let uplinks = devices.iter().map(|d| d.script.messages.iter().map(|_| Uplink::default()).collect()).collect();
        let releases = vec![0; devices.len()];
        Self {
            releases,
            keeps_sessions: plan.keeps_sessions && !plan.per_device,
            take_at_pubrel: plan.broker.take_at_pubrel,
            uplinks,
            lanes: BTreeMap::new(),
            hands: 0,
        }
    }

    pub(super) fn handed(&mut self, index: usize, publish: &sn::Publish<'_>) {
        self.hands += 1;
        let Some((_, seq)) = index_and_seq(publish.payload) else { return };
        let uplink = &mut self.uplinks[index][seq];
        uplink.hands.push(self.hands);
        let releases = self.releases[index];
        uplink.twice |= uplink.released.is_some_and(|nth| !publish.dup || releases >= nth + REMEMBERED);
    }

    pub(super) fn released(&mut self, index: usize, device: &Device, msg_id: MsgId) {
        if let Some(&seq) = device.seq_of.get(&msg_id.0) {
            self.releases[index] += 1;
            self.uplinks[index][seq].released.get_or_insert(self.releases[index]);
        }
    }

    /// No acknowledged message is lost: the broker has it before the device is told.
    pub(super) fn acknowledged(&mut self, index: usize, device: &Device, msg_id: MsgId, tally: &mut Tally) {
        let Some(&seq) = device.seq_of.get(&msg_id.0) else { return };
        let uplink = &mut self.uplinks[index][seq];
        assert!(uplink.accepted > 0, "message {seq} of {} is acknowledged, and the broker has it not", device.id);
        tally.acknowledged += u64::from(!uplink.acknowledged);
        uplink.acknowledged = true;
    }

    /// What was not answered in full may be published once more by the next process.
    pub(super) fn crash(&mut self) {
        for uplink in self.uplinks.iter_mut().flatten().filter(|uplink| uplink.released.is_none()) {
            uplink.twice = true;
            uplink.left |= self.take_at_pubrel && uplink.accepted == 0 && !uplink.hands.is_empty();
        }
    }

    /// The broker has taken a message.
    pub(super) fn accepted(&mut self, accepted: &Accepted, devices: &[Device], tally: &mut Tally) {
        let Some((index, seq)) = index_and_seq(&accepted.payload) else { return };
        let (device, uplink) = (&devices[index], &mut self.uplinks[index][seq]);
        let planned = &device.script.messages[seq];
        let (id, name, qos) = (&device.id, device.script.topics[planned.topic].name(), bits(planned.qos));
        assert_eq!(accepted.payload, planned.payload, "message {seq} of {id} is intact");
        assert_eq!(accepted.qos.bits(), qos, "message {seq} of {id}");
        assert_eq!(accepted.topic, name, "message {seq} of {id}");
        tally.accepted += 1;
        uplink.accepted += 1;
        if uplink.accepted > 1 {
            tally.repeated += 1;
            let excused = uplink.twice || !self.keeps_sessions;
            tally.excused += u64::from(qos == 2 && excused);
            assert!(qos < 2 || excused, "message {seq} of {id} with QoS 2 is published twice");
            let copies = uplink.accepted as usize;
            assert!(qos > 0 || copies <= uplink.hands.len(), "message {seq} of {id}: {copies} times with QoS 0");
            return;
        }
        let (Some(&first), Some(&last)) = (uplink.hands.first(), uplink.hands.last()) else {
            panic!("message {seq} of {id} is published, and was never sent")
        };
        let lane = self.lanes.entry((index, name.to_owned(), qos)).or_default();
        let left = uplink.left && qos == 2;
        let latest = if left { lane.latest_settled } else { lane.latest };
        assert!(last > latest, "message {seq} of {id} on {name} with QoS {qos} was overtaken");
        lane.latest = lane.latest.max(first);
        if !left {
            lane.latest_settled = lane.latest_settled.max(first);
        }
        // One at a time, each answered before the next: that order holds even where copies were refused.
        if device.script.window == 1 && qos > 0 {
            assert!(lane.highest.is_none_or(|highest| highest < seq), "message {seq} of {id} on {name} is late");
        }
        lane.highest = lane.highest.max(Some(seq));
    }

    pub(super) fn finish(&self, devices: &[Device]) {
        for (device, uplinks) in devices.iter().zip(&self.uplinks) {
            for (seq, (planned, uplink)) in device.script.messages.iter().zip(uplinks).enumerate() {
                let fate = (uplink.acknowledged, uplink.accepted > 0);
                assert!(
                    planned.qos == Qos::AtMostOnce || fate == (true, true),
                    "message {seq} of {}: {fate:?}",
                    device.id
                );
            }
        }
    }
}

/// Answered publications of a device that the gateway remembers.
const REMEMBERED: u32 = 8;

/// Of `u <device> <seq> …`.
fn index_and_seq(payload: &[u8]) -> Option<(usize, usize)> {
    let mut words = std::str::from_utf8(payload).ok()?.strip_prefix("u ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
