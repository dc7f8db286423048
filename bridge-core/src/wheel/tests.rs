use super::*;
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;

const LEVEL_STARTS: [u64; 7] = [1, 64, 4_096, 262_144, 16_777_216, 1_073_741_824, 68_719_476_736];

fn fired<K: Copy>(wheel: &mut Wheel<K>, now_ms: u64) -> Vec<K> {
    let mut keys = Vec::new();
    wheel.advance(now_ms, |key| keys.push(key));
    keys
}

/// Goes from one announced deadline to the next; when did each key fire, in how many steps?
fn run_dry(wheel: &mut Wheel<u64>) -> (Vec<(u64, u64)>, usize) {
    let (mut all, mut steps) = (Vec::new(), 0);
    while let Some(now) = wheel.next_deadline() {
        all.extend(fired(wheel, now).into_iter().map(|key| (now, key)));
        steps += 1;
    }
    (all, steps)
}

#[test]
fn a_timer_with_a_key_of_eight_bytes_takes_24() {
    assert_eq!(size_of::<Timer<(u32, u32)>>(), 24);
    assert_eq!(size_of::<Timer<u64>>(), 24);
    let mut wheel = Wheel::new(0);
    for at in 0..1_000_000 {
        wheel.schedule(at, (0_u32, 0_u32));
    }
    assert!(wheel.timers.capacity() <= 1_250_000, "{}", wheel.timers.capacity());
}

#[test]
fn a_timer_fires_at_its_millisecond_and_not_before_at_every_level() {
    for origin in [0, 63, 1_000_000_007] {
        for delay in LEVEL_STARTS.iter().flat_map(|start| [start - 1, *start, start + 1, 63 * start]).filter(|d| *d > 0)
        {
            let at = origin + delay;
            let mut wheel = Wheel::new(origin);
            let id = wheel.schedule(at, ());
            assert_eq!(fired(&mut wheel, at - 1).len(), 0, "{at}");
            assert!(wheel.is_armed(id));
            assert_eq!(fired(&mut wheel, at).len(), 1, "{at}");
            assert!(!wheel.is_armed(id) && wheel.is_empty());
        }
    }
}

#[test]
fn following_the_announced_deadlines_is_exact_and_takes_few_steps() {
    let mut wheel = Wheel::new(5);
    for at in LEVEL_STARTS {
        wheel.schedule(at + 1_234_567, at);
    }
    let (all, steps) = run_dry(&mut wheel);
    assert_eq!(all, LEVEL_STARTS.map(|at| (at + 1_234_567, at)));
    assert!(steps <= 7 * LEVEL_STARTS.len(), "{steps}");
}

#[test]
fn the_announced_deadline_is_never_late_and_exact_within_64_ms() {
    let mut wheel = Wheel::new(0);
    assert_eq!(wheel.next_deadline(), None);
    let far = wheel.schedule(70_000, 0);
    assert_eq!(wheel.next_deadline(), Some(69_632), "17 × 4,096");
    let near = wheel.schedule(63, 1);
    assert_eq!(wheel.next_deadline(), Some(63));
    assert!(wheel.cancel(near));
    assert_eq!(wheel.next_deadline(), Some(69_632));
    assert!(wheel.cancel(far));
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn equal_deadlines_fire_in_the_order_of_their_schedules() {
    let mut wheel = Wheel::new(0);
    wheel.schedule(5_000, 0);
    let moved = wheel.schedule(5_000, 9);
    assert_eq!(fired(&mut wheel, 4_000), [0; 0]);
    wheel.schedule(5_000, 1);
    assert_eq!(fired(&mut wheel, 4_999), [0; 0]);
    wheel.schedule(5_000, 2);
    assert!(wheel.reschedule(moved, 5_000));
    wheel.schedule(4_000, 3);
    wheel.schedule(10, 4);
    assert_eq!(fired(&mut wheel, 5_000), [3, 4, 0, 1, 2, 9]);
}

#[test]
fn a_deadline_in_the_past_fires_at_the_next_advance_even_without_progress() {
    let mut wheel = Wheel::new(1_000);
    wheel.schedule(0, 'a');
    assert_eq!(wheel.next_deadline(), Some(1_000));
    assert_eq!(fired(&mut wheel, 1_000), ['a']);
    assert_eq!(fired(&mut wheel, 2_000), []);
    wheel.schedule(1_500, 'b');
    wheel.schedule(2_000, 'c');
    assert_eq!(fired(&mut wheel, 2_000), ['b', 'c']);
}

#[test]
fn an_older_now_counts_as_the_last() {
    let mut wheel = Wheel::new(0);
    assert_eq!(fired(&mut wheel, 1_000), []);
    wheel.schedule(1_001, 'x');
    assert_eq!(fired(&mut wheel, 5), []);
    assert_eq!(fired(&mut wheel, 1_000), []);
    wheel.schedule(7, 'y');
    assert_eq!(fired(&mut wheel, 0), ['y']);
    assert_eq!(fired(&mut wheel, 1_001), ['x']);
}

#[test]
fn stale_ids_do_nothing_to_the_next_user_of_the_slot() {
    let mut wheel = Wheel::new(0);
    let first = wheel.schedule(10, 1);
    assert!(wheel.cancel(first) && !wheel.cancel(first));
    let second = wheel.schedule(20, 2);
    assert_eq!((first.slot, first == second), (second.slot, false));
    assert!(!wheel.cancel(first) && !wheel.reschedule(first, 1) && !wheel.is_armed(first));
    assert_eq!(fired(&mut wheel, 20), [2]);
    assert!(!wheel.cancel(second) && !wheel.reschedule(second, 30));
    assert_eq!((wheel.next_deadline(), wheel.len()), (None, 0));
}

#[test]
fn generations_wrap_without_touching_the_deadline() {
    let mut stamp = Stamp(u64::MAX).with_deadline(123);
    assert_eq!(u64::from(stamp.generation()), GENERATIONS);
    stamp = stamp.next_generation();
    assert_eq!((stamp.generation(), stamp.deadline()), (0, 123));
}

#[test]
fn deadlines_beyond_139_years_fire_at_the_end_of_time() {
    let mut wheel = Wheel::new(1_000);
    wheel.schedule(u64::MAX, 'z');
    assert_eq!(fired(&mut wheel, LAST_TIME + 999), []);
    assert_eq!(fired(&mut wheel, LAST_TIME + 1_000), ['z']);
    wheel.schedule(u64::MAX, 'z');
    assert_eq!(fired(&mut wheel, u64::MAX), ['z']);
}

#[derive(Clone, Debug)]
enum Step {
    Schedule(u64),
    Cancel(prop::sample::Index),
    Reschedule(prop::sample::Index, u64),
    Advance(u64),
    Follow,
}

/// Spans of all magnitudes, up to the end of the wheel's time.
fn span() -> impl Strategy<Value = u64> {
    (0..43_u32, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => span().prop_map(Step::Schedule),
        1 => index().prop_map(Step::Cancel),
        2 => (index(), span()).prop_map(|(index, span)| Step::Reschedule(index, span)),
        1 => span().prop_map(Step::Advance),
        1 => Just(Step::Follow),
    ]
}

/// Timers by (deadline, order of schedule), and each id with its entry while it is armed.
struct Model {
    end: u64,
    now: u64,
    sequence: u64,
    armed: BTreeMap<(u64, u64), usize>,
    ids: Vec<(TimerId, Option<(u64, u64)>)>,
}

impl Model {
    fn arm(&mut self, span: u64, key: usize) -> (u64, u64) {
        self.sequence += 1;
        // Some deadlines lie before `now`.
        let at = (self.now + span).saturating_sub(100).clamp(self.now, self.end);
        self.armed.insert((at, self.sequence), key);
        (at, self.sequence)
    }

    fn disarm(&mut self, key: usize) -> bool {
        self.ids[key].1.take().is_some_and(|entry| self.armed.remove(&entry).is_some())
    }

    fn due(&mut self, now: u64) -> Vec<usize> {
        self.now = now.clamp(self.now, self.end);
        let later = self.armed.split_off(&(self.now + 1, 0));
        let due: Vec<usize> = std::mem::replace(&mut self.armed, later).into_values().collect();
        due.iter().for_each(|key| self.ids[*key].1 = None);
        due
    }
}

proptest! {
    #[test]
    fn it_does_what_an_ordered_map_does(origin in span(), steps in vec(step(), 1..120)) {
        let mut wheel = Wheel::new(origin);
        let mut model = Model { end: origin + LAST_TIME, now: origin, sequence: 0, armed: BTreeMap::new(), ids: Vec::new() };
        for step in steps {
            match step {
                Step::Schedule(span) => {
                    let key = model.ids.len();
                    let entry = model.arm(span, key);
                    let at = (model.now + span).saturating_sub(100);
                    model.ids.push((wheel.schedule(at, key), Some(entry)));
                }
                Step::Cancel(index) if !model.ids.is_empty() => {
                    let key = index.index(model.ids.len());
                    prop_assert_eq!(wheel.cancel(model.ids[key].0), model.disarm(key));
                }
                Step::Reschedule(index, span) if !model.ids.is_empty() => {
                    let key = index.index(model.ids.len());
                    let at = (model.now + span).saturating_sub(100);
                    let armed = model.disarm(key);
                    prop_assert_eq!(wheel.reschedule(model.ids[key].0, at), armed);
                    if armed { model.ids[key].1 = Some(model.arm(span, key)); }
                }
                Step::Cancel(_) | Step::Reschedule(..) => {}
                Step::Advance(span) => {
                    let now = (model.now + span / 4).saturating_sub(50);
                    prop_assert_eq!(fired(&mut wheel, now), model.due(now));
                }
                Step::Follow => if let Some(now) = wheel.next_deadline() {
                    prop_assert_eq!(fired(&mut wheel, now), model.due(now));
                },
            }
            let earliest = model.armed.keys().next().map(|(at, _)| *at);
            let announced = wheel.next_deadline();
            prop_assert_eq!(announced.is_some(), earliest.is_some());
            prop_assert!(announced <= earliest, "{:?} is later than {:?}", announced, earliest);
            prop_assert!(announced.is_none_or(|at| at >= model.now));
            prop_assert_eq!(wheel.len(), model.armed.len());
        }
        prop_assert_eq!(fired(&mut wheel, origin + LAST_TIME), model.due(origin + LAST_TIME));
        prop_assert!(wheel.is_empty());
    }
}
