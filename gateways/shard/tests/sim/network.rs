//! Virtual time, and a datagram network that loses, doubles and delays.

use bridge_core::rng::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is still to happen, in the order of time; what falls on one millisecond, in the order it was planned.
pub(crate) struct Timeline<E> {
    heap: BinaryHeap<Reverse<Planned<E>>>,
    serial: u64,
}

struct Planned<E> {
    at_ms: u64,
    serial: u64,
    event: E,
}

impl<E> Timeline<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), serial: 0 }
    }

    pub(crate) fn plan(&mut self, at_ms: u64, event: E) {
        self.serial += 1;
        self.heap.push(Reverse(Planned { at_ms, serial: self.serial, event }));
    }

    /// Takes out all that is so, in no order that means anything but is the same in each run.
    pub(crate) fn take_out(&mut self, is_so: impl Fn(&E) -> bool) -> Vec<E> {
        let (out, rest): (Vec<_>, Vec<_>) = self.heap.drain().partition(|Reverse(planned)| is_so(&planned.event));
        self.heap = rest.into();
        out.into_iter().map(|Reverse(planned)| planned.event).collect()
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(planned)| planned.at_ms)
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        self.heap.pop().map(|Reverse(planned)| (planned.at_ms, planned.event))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.serial).cmp(&(other.at_ms, other.serial))
    }
}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl<E> Eq for Planned<E> {}

/// How bad a datagram network is. Rates are per thousand, times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Air {
    pub(crate) loss: u64,
    pub(crate) doubling: u64,
    /// Datagrams that take a detour of up to [`DETOUR_MS`], and so are overtaken.
    pub(crate) detour: u64,
    pub(crate) delay_ms: u64,
    pub(crate) jitter_ms: u64,
}

impl Air {
    /// Fast, and in order.
    pub(crate) const CALM: Self = Self { loss: 0, doubling: 0, detour: 0, delay_ms: 5, jitter_ms: 0 };

    pub(crate) fn by_lot(rng: &mut Rng) -> Self {
        // A quarter of all networks is calm: order is then easiest to hold to account.
        if rng.chance(250) {
            return Self::CALM;
        }
        Self {
            loss: rng.below(150),
            doubling: rng.below(100),
            detour: rng.below(200),
            delay_ms: 2 + rng.below(30),
            jitter_ms: rng.below(20),
        }
    }

    /// How long each copy of a datagram is on its way: none, one or two.
    pub(crate) fn copies(&self, rng: &mut Rng) -> Vec<u64> {
        let copies = if rng.chance(self.loss) { 0 } else { 1 + usize::from(rng.chance(self.doubling)) };
        (0..copies).map(|_| self.delay(rng)).collect()
    }

    fn delay(&self, rng: &mut Rng) -> u64 {
        let detour = if rng.chance(self.detour) { rng.below(DETOUR_MS) } else { 0 };
        self.delay_ms + rng.below(self.jitter_ms + 1) + detour
    }
}

/// The longest detour. A device pauses long enough after each exchange that nothing of the ninth before it can still be
/// on its way: the gateway remembers eight.
pub(crate) const DETOUR_MS: u64 = 300;

#[test]
fn events_come_in_the_order_of_time_and_then_of_planning() {
    let mut timeline = Timeline::new();
    for (at_ms, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
        timeline.plan(at_ms, event);
    }
    assert_eq!(timeline.next_at(), Some(1));
    let order: String = std::iter::from_fn(|| timeline.pop().map(|(_, event)| event)).collect();
    assert_eq!(order, "abcd");
}

#[test]
fn a_network_loses_and_doubles_as_often_as_it_should() {
    let air = Air { loss: 100, doubling: 100, detour: 100, delay_ms: 5, jitter_ms: 3 };
    let mut rng = Rng::seeded(1);
    let copies: Vec<_> = (0..10_000).map(|_| air.copies(&mut rng)).collect();
    let of = |count| copies.iter().filter(|delays| delays.len() == count).count();
    assert!((800..1200).contains(&of(0)) && (700..1100).contains(&of(2)), "{} {}", of(0), of(2));
    let late = copies.iter().flatten().filter(|delay| **delay > 8).count();
    assert!((700..1200).contains(&late), "{late}");
}
