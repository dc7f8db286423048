//! Messages to devices: none is lost while the broker keeps its sessions, none of QoS 2 comes twice, and none overtakes
//! another.

use super::bits;
use crate::device::{Device, Heard};
use crate::plan::Plan;
use codec_mqttsn::{self as sn, Qos};
use std::collections::BTreeMap;
use support::broker::matches;

/// All messages to devices.
pub(super) struct Downlinks {
    /// The broker never forgets a session.
    keeps_sessions: bool,
    /// The broker sends a device one copy for all of its filters.
    merges: bool,
    /// A device that comes again gets again what it has not acknowledged, over another connection to the broker.
    again: bool,
    has_identifiers: bool,
    /// A process has crashed.
    crashed: bool,
    downlinks: Vec<Downlink>,
    /// Per device, topic and QoS: the latest message that was sent to it for the first time.
    sent: BTreeMap<(usize, String, u8), usize>,
    /// The same of those that it has heard, if they were sent to it at QoS 1 or 2.
    heard: BTreeMap<(usize, String, u8), usize>,
}

/// A message to devices.
struct Downlink {
    topic: String,
    calm: bool,
    at: u64,
    /// It may come once more than it should: the process has crashed since.
    again: bool,
    qos: Qos,
    /// Copies that a device must get, those of QoS 0 aside, and may get at most; by device.
    owed: BTreeMap<usize, Owed>,
    heard: BTreeMap<usize, u32>,
    /// Devices that it was sent to; how often, at QoS 0.
    sent: BTreeMap<usize, u32>,
}

struct Owed {
    must: u32,
    may: u32,
    /// The least and the greatest QoS of its copies.
    qos: (u8, u8),
}

impl Downlinks {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            merges: plan.per_device && plan.broker.merge_overlaps,
            again: plan.per_device,
            keeps_sessions: plan.keeps_sessions,
            has_identifiers: plan.has_identifiers(),
            crashed: false,
            downlinks: Vec::new(),
            sent: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// A message to devices is about to be published; returns its payload.
    pub(super) fn publishes(
        &mut self,
        topic: &str,
        qos: Qos,
        devices: &[Device],
        (now, calm): (u64, bool),
        unsettled: bool,
    ) -> Vec<u8> {
        let number = self.downlinks.len();
        let mut owed = BTreeMap::new();
        for (index, device) in devices.iter().enumerate() {
            let lower = |filter: &&(String, Qos)| matches(&filter.0, topic).then(|| bits(filter.1).min(bits(qos)));
            let all: Vec<u8> = device.script.filters.iter().filter_map(|filter| lower(&filter)).collect();
            let (Some(&least), Some(&most)) = (all.iter().min(), all.iter().max()) else { continue };
            let must = device.in_force().filter(|filter| lower(filter).is_some_and(|qos| qos > 0)).count();
            let must = if unsettled { 0 } else { must };
            let must = if self.merges { must.min(1) } else { must };
            owed.insert(index, Owed { must: count(must), may: count(all.len()), qos: (least, most) });
        }
        let (heard, sent) = (BTreeMap::new(), BTreeMap::new());
        self.downlinks.push(Downlink {
            topic: topic.to_owned(),
            calm,
            at: now,
            again: unsettled || self.again,
            qos,
            owed,
            heard,
            sent,
        });
        format!("d {number} {topic}").into_bytes()
    }

    /// What is sent for the first time keeps the order of the broker, which has one for each QoS. (A device whose filters
    /// overlap gets several copies, each in its own time.)
    pub(super) fn sent(&mut self, index: usize, device: &Device, publish: &sn::Publish<'_>) {
        let number = number_of(publish.payload);
        let downlink = &mut self.downlinks[number];
        let times = downlink.sent.entry(index).or_default();
        *times += 1;
        let Some(owed) = downlink.owed.get(&index).filter(|_| self.has_identifiers) else { return };
        let id = &device.id;
        // After a crash a copy may come under an identifier that the process does not know: see `Checks::restarts`.
        let once = downlink.qos == Qos::AtMostOnce && !downlink.again && !self.crashed;
        assert!(!once || *times <= owed.may, "{id} is sent message {number} with QoS 0 {times} times");
        assert!(bits(publish.qos) <= owed.qos.1, "{id} is sent message {number} with too high a QoS");
        if *times > 1 || owed.may > 1 || downlink.again {
            return;
        }
        let latest = self.sent.entry((index, downlink.topic.clone(), bits(downlink.qos))).or_insert(number);
        assert!(number >= *latest, "{id} is sent message {number} after message {latest}");
        *latest = number;
    }

    /// A device takes a message for new.
    pub(super) fn heard(&mut self, index: usize, device: &Device, heard: &Heard) {
        let (number, id) = (number_of(&heard.payload), &device.id);
        let downlink = &mut self.downlinks[number];
        assert_eq!(heard.topic.as_ref(), Some(&downlink.topic), "{id} knows the topic of message {number}");
        let Some(owed) = downlink.owed.get(&index) else {
            panic!("{id} hears message {number}, and is not subscribed")
        };
        let times = downlink.heard.entry(index).or_default();
        *times += 1;
        let strict = self.has_identifiers && owed.qos.0 == 2 && !downlink.again && !self.crashed;
        assert!(!strict || *times <= owed.may, "{id} hears message {number} of QoS 2 {times} times");
        if *times == 1 && !downlink.again && owed.may == 1 && owed.qos.0 > 0 && self.has_identifiers {
            let latest = self.heard.entry((index, downlink.topic.clone(), bits(downlink.qos))).or_insert(number);
            assert!(number >= *latest, "{id} hears message {number} after message {latest}");
            *latest = number;
        }
    }

    pub(super) fn restarts(&mut self, crash: bool, changes: bool, line_opened_at: u64) {
        self.crashed |= crash;
        for downlink in &mut self.downlinks {
            downlink.again |= crash || changes || downlink.at <= line_opened_at + RESTORED_MS;
            if changes {
                downlink.owed.values_mut().for_each(|owed| owed.must = 0);
            }
        }
    }

    /// What a device was granted a moment before a crash may not be in the store.
    pub(super) fn doubt(&mut self, index: usize, now: u64) {
        let lately = |downlink: &&mut Downlink| downlink.at + UNWRITTEN_MS >= now;
        for owed in self.downlinks.iter_mut().filter(lately).filter_map(|downlink| downlink.owed.get_mut(&index)) {
            owed.must = 0;
        }
    }

    /// What was dropped for want of room, `dropped` copies in all, may be missing. Returns how many are.
    pub(super) fn finish(&self, devices: &[Device], dropped: u64) -> u64 {
        let mut missed = 0;
        for (number, downlink) in self.downlinks.iter().enumerate() {
            if !downlink.calm && !self.keeps_sessions {
                continue;
            }
            for (&index, owed) in &downlink.owed {
                let times = downlink.heard.get(&index).copied().unwrap_or_default();
                let (id, topic, must) = (&devices[index].id, &downlink.topic, owed.must);
                missed += u64::from(must.saturating_sub(times));
                assert!(missed <= dropped, "{id} hears message {number} on {topic} {times} times of {must}");
            }
        }
        missed
    }
}

/// The longest that it takes a link to ask for its subscriptions.
const RESTORED_MS: u64 = 500;
/// The longest that something changed is not in the store.
pub(super) const UNWRITTEN_MS: u64 = 100;

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a handful")
}

/// Of `d <number> …`.
fn number_of(payload: &[u8]) -> usize {
    let text = std::str::from_utf8(payload).ok().and_then(|text| text.strip_prefix("d "));
    let number = text.and_then(|text| text.split(' ').next()).and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("nobody published {payload:02X?}"))
}
