//! Wills, and publications at QoS −1.

use crate::device::Device;
use crate::plan::WILL_TOPIC;
use std::collections::BTreeMap;
use support::broker::Accepted;

/// Names of topics of publications at QoS −1, by place.
const NAMES: [&str; 3] = ["ab", "predefined/topic/name/hello", "minus/one"];

#[derive(Default)]
pub(super) struct Wills {
    /// How many came, by device: reset when it begins to matter.
    came: BTreeMap<usize, u32>,
    expected: BTreeMap<usize, u32>,
    /// Publications at QoS −1: where they belong, and how often they came.
    without: Vec<(&'static str, u32)>,
}

impl Wills {
    pub(super) fn begin(&mut self) {
        self.came.clear();
    }

    pub(super) fn expect(&mut self, index: usize, comes: bool) {
        self.expected.insert(index, u32::from(comes));
    }

    pub(super) fn end(&self, devices: &[Device]) {
        for (&index, &expected) in &self.expected {
            let came = self.came.get(&index).copied().unwrap_or_default();
            assert_eq!(came, expected, "wills of {}", devices[index].id);
        }
    }

    /// True when it is one of these.
    pub(super) fn accepted(&mut self, accepted: &Accepted, devices: &[Device]) -> bool {
        let text = String::from_utf8_lossy(&accepted.payload);
        let number = |kind: &str| text.strip_prefix(kind).and_then(|number| number.parse::<usize>().ok());
        if let Some(index) = number("w ") {
            assert!(devices[index].script.will && accepted.topic == WILL_TOPIC, "{accepted:?}");
            *self.came.entry(index).or_default() += 1;
            return true;
        }
        let Some((name, times)) = number("m ").and_then(|number| self.without.get_mut(number)) else { return false };
        *times += 1;
        assert_eq!((accepted.topic.as_str(), accepted.qos.bits(), *times), (*name, 0, 1), "{text}");
        true
    }

    /// The number of a new publication at QoS −1, and its topic's name.
    pub(super) fn without_connection(&mut self, place: usize) -> (u32, &'static str) {
        let name = NAMES[place % NAMES.len()];
        self.without.push((name, 0));
        (u32::try_from(self.without.len() - 1).expect("some"), name)
    }

    pub(super) fn arrived(&self, numbers: &[u32]) {
        for &number in numbers {
            assert_eq!(self.without[number as usize].1, 1, "publication m {number}");
        }
    }
}
