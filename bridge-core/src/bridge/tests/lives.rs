//! One process after another, with a record that the next one reads.

use super::*;
use crate::bridge::{FilterRecord, LinkChanges};
use crate::link::{SessionRecord, SessionScope};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::broker::SimBroker;

const LINK: &str = "tidegate-n-0";

/// What has been written down of one link.
#[derive(Default)]
struct Store {
    session: Option<SessionRecord>,
    filters: BTreeMap<Box<str>, FilterRecord>,
}

impl Store {
    fn write(&mut self, changes: LinkChanges) {
        assert_eq!(changes.client_id, LINK);
        self.session = changes.session.or_else(|| self.session.take());
        if changes.is_new {
            self.filters.clear();
        }
        self.filters.extend(changes.put.into_iter().map(|record| (record.filter.clone(), record)));
        for filter in changes.removed {
            self.filters.remove(&filter);
        }
    }

    fn filters(&self) -> Vec<&str> {
        self.filters.keys().map(AsRef::as_ref).collect()
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

struct Life {
    world: World,
    store: Store,
}

impl Life {
    fn first(options: Options) -> Self {
        let mut life = Self::begin(Store::default(), SimBroker::new(options), 1);
        life.settle();
        life
    }

    fn begin(store: Store, broker: SimBroker, next_conn: u64) -> Self {
        let link = LinkSettings { scope: SessionScope::Durable(store.session.clone()), ..world::link(0) };
        let mut world = World { next_conn, ..World::with(vec![link], "", broker, Policy::default()) };
        assert_eq!(world.bridge.recall(LinkId::shared(0), store.filters.values().cloned()), 0);
        Self { world, store }
    }

    /// Lets bytes flow, and writes down what changed.
    fn settle(&mut self) {
        self.world.settle();
        self.world.wait(1);
        for changes in self.world.bridge.take_link_changes() {
            self.store.write(changes);
        }
    }

    fn subscribe(&mut self, handle: u64, filter: &str) -> ClientRef {
        let client = self.world.connect(handle, &format!("d{handle}")).unwrap();
        self.world.subscribe(client, filter, Qos::ExactlyOnce);
        self.settle();
        client
    }

    /// A client of the earlier life is back; nothing is sent before the link connects.
    fn returns(&mut self, handle: u64, filter: &str) {
        let client = self.world.connect(handle, &format!("d{handle}")).unwrap();
        let (token, filter) = (Token(9), TopicFilter::try_from(filter).unwrap());
        let resubscribe = Uplink::Resubscribe { token, filter, qos: Qos::ExactlyOnce };
        assert_eq!(self.world.bridge.up(self.world.now, client, resubscribe), Taken::Done);
    }

    /// The process ends, and another begins, without a connection yet.
    fn next(mut self, end: End) -> Self {
        self.settle();
        if end == End::Stopped {
            self.world.bridge.drain(self.world.now);
            self.settle();
            assert!(self.world.bridge.is_drained());
        }
        if let Some(conn) = self.world.conns[0].take() {
            self.world.broker.disconnect(conn);
        }
        Self::begin(self.store, self.world.broker, self.world.next_conn)
    }

    fn handed(&mut self) -> Vec<(u64, String)> {
        let handed = std::mem::take(&mut self.world.handed).into_iter();
        let mut handed: Vec<_> = handed.map(|(who, _, what, _)| (who, String::from_utf8(what).unwrap())).collect();
        handed.sort();
        handed
    }

    fn publish(&mut self, topic: &str, payload: &str) {
        self.world.broker.publish(Message::new(topic, payload, Qos::ExactlyOnce));
    }
}

#[test]
fn what_the_broker_queued_between_two_lives_reaches_exactly_its_subscribers() {
    for (refuse_v5, merge_overlaps) in [(None, false), (None, true), (Some(RefuseV5::ReasonCode), true)] {
        for end in [End::Killed, End::Stopped] {
            let mut life = Life::first(Options { refuse_v5, merge_overlaps, ..Options::new() });
            life.world.wait(1_000);
            let devices = [(1, "a/#"), (2, "a/b"), (3, "+/b"), (4, "a/#"), (5, "c")];
            for (handle, filter) in devices {
                life.subscribe(handle, filter);
            }
            let mut life = life.next(end);
            life.publish("a/b", "x");
            // Who asked again would be refused.
            let filters = devices.map(|(_, filter)| (filter.to_owned(), ReasonCode::NOT_AUTHORIZED));
            life.world.broker.options().refuse_subscribe = filters.into();
            for (handle, filter) in devices {
                life.returns(handle, filter);
            }
            life.settle();
            life.world.wait(1_000);
            let expected: Vec<_> = (1..=4).map(|who| (who, "x".to_owned())).collect();
            assert_eq!(life.handed(), expected, "{end:?}, MQTT 5 refused: {refuse_v5:?}, merged: {merge_overlaps}");
            assert_eq!(granted(&life.world.notices, 5), [], "nobody is told anything");
            assert!(life.world.bridge.is_reachable());
        }
    }
}

#[test]
fn what_nobody_came_back_for_is_unsubscribed() {
    let mut life = Life::first(Options::new());
    life.subscribe(1, "a");
    life.subscribe(2, "b");
    let mut life = life.next(End::Killed);
    life.publish("b", "for nobody");
    life.returns(1, "a");
    life.settle();
    assert_eq!(life.world.broker.filters(LINK).collect::<Vec<_>>(), ["a"]);
    assert_eq!((life.handed(), life.store.filters()), (vec![], vec!["a"]));
}

#[test]
fn what_was_never_granted_is_asked_again() {
    let mut life = Life::first(Options::new());
    life.subscribe(1, "a");
    let record = FilterRecord { filter: "b".into(), id: 77, granted: None };
    life.store.filters.insert("b".into(), record);
    let mut life = life.next(End::Killed);
    life.returns(1, "a");
    life.returns(2, "b");
    life.settle();
    assert_eq!(life.world.broker.filters(LINK).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(life.store.filters["b"].granted, Some(Qos::ExactlyOnce));
}

#[test]
fn who_wants_more_than_was_granted_is_asked_for() {
    let mut life = Life::first(Options::new());
    life.subscribe(1, "a");
    life.store.filters.get_mut("a").unwrap().granted = Some(Qos::AtMostOnce);
    let mut life = life.next(End::Killed);
    life.returns(1, "a");
    life.settle();
    assert_eq!(life.store.filters["a"].granted, Some(Qos::ExactlyOnce));
}

#[test]
fn records_that_make_no_sense_are_left_out() {
    let record = |filter: &str, id| FilterRecord { filter: filter.into(), id, granted: None };
    let mut world = World::new(1, "", Options::new());
    let records = [("a", 1), ("a/#/b", 2), ("b", 0), ("c", 1), ("d", u32::MAX)].map(|(filter, id)| record(filter, id));
    assert_eq!(world.bridge.recall(LinkId::shared(0), records), 4);
}

#[test]
fn a_broker_that_lost_the_session_is_asked_for_everything_and_sends_nothing_that_it_kept() {
    let mut life = Life::first(Options::new());
    life.world.broadcast("a", "kept", Qos::AtLeastOnce, true);
    life.subscribe(1, "a");
    life.subscribe(2, "gone");
    let mut life = life.next(End::Killed);
    life.world.broker.crash(Crash { keep_sessions: false, keep_retained: true });
    life.world.broker.set_up();
    life.returns(1, "a");
    life.settle();
    assert_eq!((life.handed(), life.store.filters()), (vec![], vec!["a"]));
    assert_eq!(life.world.broadcast("a", "live", Qos::AtMostOnce, false).len(), 1);
}

#[test]
fn identifiers_of_the_lives_never_meet() {
    let mut life = Life::first(Options::new());
    life.subscribe(1, "a");
    let mut life = life.next(End::Killed);
    life.returns(1, "a");
    life.settle();
    life.subscribe(2, "b");
    let [a, b] = ["a", "b"].map(|filter| life.store.filters[filter].id);
    assert!(b > a + 10_000, "{a} and {b}: the earlier life may have given out more than it had time to write down");
}

#[test]
fn identifiers_never_meet_though_the_earlier_life_had_no_time_to_write_down_any() {
    let mut life = Life::first(Options::new());
    life.subscribe(1, "a");
    life.store.filters.clear();
    let mut life = life.next(End::Killed);
    life.settle();
    life.subscribe(2, "b");
    let b = life.store.filters["b"].id;
    assert!(b > 10_000, "{b}: the broker may still know a filter of the earlier life by it");
}

#[test]
fn a_publication_is_not_taken_for_the_repetition_of_an_earlier_lifes() {
    for take_at_pubrel in [false, true] {
        let mut life = Life::first(Options { take_at_pubrel, ..Options::new() });
        for payload in ["first life", "second life", "third life"] {
            life.settle();
            let lamp = life.world.connect(1, "lamp").unwrap();
            // The broker has it, and its PUBREC never comes.
            life.world.broker.options().hold_acks = true;
            let what = message("t", payload, Qos::ExactlyOnce);
            assert_eq!(life.world.up(lamp, Uplink::Publish { token: Some(Token(1)), what }), Taken::Owed);
            life = life.next(End::Killed);
            life.world.broker.options().hold_acks = false;
        }
        life.settle();
        let accepted = life.world.broker.accepted().iter().filter(|accepted| accepted.topic == "t");
        let accepted: Vec<_> = accepted.map(|a| String::from_utf8(a.payload.clone()).unwrap()).collect();
        assert_eq!(accepted, ["first life", "second life", "third life"]);
    }
}

#[test]
fn what_was_handed_out_before_an_orderly_stop_does_not_come_again() {
    let mut life = Life::first(Options::new());
    life.subscribe(1, "a");
    for payload in ["1", "2"] {
        life.publish("a", payload);
        life.settle();
    }
    assert_eq!(life.handed().len(), 2);
    let mut life = life.next(End::Stopped);
    life.returns(1, "a");
    life.settle();
    assert_eq!(life.handed(), []);
}

#[test]
fn the_record_says_what_the_broker_holds() {
    let mut life = Life::first(Options::new());
    let one = life.subscribe(1, "a");
    life.subscribe(2, "a");
    let three = life.subscribe(3, "b");
    assert_eq!(life.store.filters(), ["a", "b"]);
    let filter = TopicFilter::try_from("a").unwrap();
    assert_eq!(life.world.up(one, Uplink::Unsubscribe { token: Token(9), filter }), Taken::Done);
    assert_eq!(life.world.up(three, Uplink::Disconnect), Taken::Done);
    life.settle();
    assert_eq!(life.store.filters(), ["a"]);
    assert_eq!(life.world.bridge.take_link_changes(), [], "nothing has changed since");
    assert!(life.store.session.is_some());
}

#[test]
fn the_record_of_a_lost_session_is_void() {
    let mut life = Life::first(Options::new());
    let one = life.subscribe(1, "a");
    life.subscribe(2, "b");
    life.world.crash();
    let filter = TopicFilter::try_from("a").unwrap();
    assert_eq!(life.world.up(one, Uplink::Unsubscribe { token: Token(9), filter }), Taken::Done);
    life.settle();
    assert_eq!(life.store.filters(), ["a", "b"], "as far as anybody knows");
    life.world.broker.crash(Crash { keep_sessions: false, keep_retained: true });
    life.world.broker.set_up();
    life.world.wait(1_000);
    life.settle();
    assert_eq!(life.store.filters(), ["b"]);
}

#[test]
fn without_a_store_nothing_is_noted() {
    let mut world = World::new(1, "", Options::new());
    let lamp = world.connect(7, "lamp").unwrap();
    world.subscribe(lamp, "a", Qos::AtMostOnce);
    assert_eq!(world.bridge.take_link_changes(), []);
}

#[test]
fn who_comes_back_late_is_subscribed_and_told_nothing() {
    let mut life = Life::first(Options::new());
    life.subscribe(1, "a");
    let mut life = life.next(End::Killed);
    life.settle();
    life.world.notices.clear();
    life.returns(1, "a");
    life.settle();
    assert_eq!(life.world.broadcast("a", "live", Qos::AtMostOnce, false).len(), 1);
    assert_eq!(life.world.notices, []);
}

const FILTERS: [&str; 4] = ["a/#", "a/b", "+/b", "a/b/c"];
const TOPICS: [&str; 3] = ["a/b", "a/b/c", "x/b"];

#[derive(Clone, Debug)]
enum Step {
    Subscribe {
        device: u64,
        filter: usize,
    },
    Unsubscribe {
        device: u64,
        filter: usize,
    },
    Publish {
        topic: usize,
    },
    /// One process ends, the broker takes these messages, another process begins.
    Next {
        end: End,
        topics: Vec<usize>,
        broker_forgets: bool,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![Just(End::Killed), Just(End::Stopped)];
    let topics = prop::collection::vec(0..TOPICS.len(), 0..4);
    prop_oneof![
        3 => (1_u64..5, 0..FILTERS.len()).prop_map(|(device, filter)| Step::Subscribe { device, filter }),
        2 => (1_u64..5, 0..FILTERS.len()).prop_map(|(device, filter)| Step::Unsubscribe { device, filter }),
        2 => (0..TOPICS.len()).prop_map(|topic| Step::Publish { topic }),
        2 => (end, topics, prop::bool::weighted(0.3)).prop_map(|(end, topics, broker_forgets)| {
            Step::Next { end, topics, broker_forgets }
        }),
    ]
}

/// Devices over several lives, and what they are subscribed to.
struct Devices {
    life: Life,
    clients: BTreeMap<u64, ClientRef>,
    subscribed: BTreeSet<(u64, usize)>,
    payloads: u32,
    expected: Vec<(u64, String)>,
}

impl Devices {
    fn publish(&mut self, topic: usize, reaches: bool) {
        self.payloads += 1;
        let payload = self.payloads.to_string();
        self.life.publish(TOPICS[topic], &payload);
        let matching = self.subscribed.iter().filter(|(_, f)| support::broker::matches(FILTERS[*f], TOPICS[topic]));
        self.expected.extend(matching.filter(|_| reaches).map(|(device, _)| (*device, payload.clone())));
    }

    fn client(&mut self, device: u64) -> ClientRef {
        let world = &mut self.life.world;
        *self.clients.entry(device).or_insert_with(|| world.connect(device, &format!("d{device}")).unwrap())
    }

    fn apply(mut self, step: Step) -> Self {
        match step {
            Step::Subscribe { device, filter } => {
                let client = self.client(device);
                self.life.world.subscribe(client, FILTERS[filter], Qos::ExactlyOnce);
                self.subscribed.insert((device, filter));
            }
            Step::Unsubscribe { device, filter } => {
                let (client, text) = (self.client(device), TopicFilter::try_from(FILTERS[filter]).unwrap());
                let unsubscribe = Uplink::Unsubscribe { token: Token(9), filter: text };
                assert_eq!(self.life.world.up(client, unsubscribe), Taken::Done);
                self.subscribed.remove(&(device, filter));
            }
            Step::Publish { topic } => self.publish(topic, true),
            Step::Next { end, topics, broker_forgets } => {
                self.life = self.life.next(end);
                self.clients.clear();
                if broker_forgets {
                    self.life.world.broker.crash(Crash { keep_sessions: false, keep_retained: true });
                    self.life.world.broker.set_up();
                }
                topics.into_iter().for_each(|topic| self.publish(topic, !broker_forgets));
                for (device, filter) in self.subscribed.clone() {
                    let (client, text) = (self.client(device), TopicFilter::try_from(FILTERS[filter]).unwrap());
                    let back = Uplink::Resubscribe { token: Token(9), filter: text, qos: Qos::ExactlyOnce };
                    assert_eq!(self.life.world.bridge.up(self.life.world.now, client, back), Taken::Done);
                }
            }
        }
        self.life.settle();
        self.expected.sort();
        assert_eq!(self.life.handed(), std::mem::take(&mut self.expected));
        let held: BTreeSet<&str> = self.subscribed.iter().map(|(_, filter)| FILTERS[*filter]).collect();
        assert_eq!(self.life.world.broker.filters(LINK).collect::<BTreeSet<_>>(), held);
        assert_eq!(self.life.store.filters().into_iter().collect::<BTreeSet<_>>(), held);
        self
    }
}

proptest! {
    /// Whatever ends and begins, each message reaches each subscription once, and broker, record and devices agree.
    #[test]
    fn over_all_lives_each_subscription_gets_each_message_once(
        merge_overlaps in any::<bool>(),
        steps in prop::collection::vec(any_step(), 0..25),
    ) {
        let life = Life::first(Options { merge_overlaps, ..Options::new() });
        let (clients, subscribed, payloads, expected) = Default::default();
        let devices = Devices { life, clients, subscribed, payloads, expected };
        steps.into_iter().fold(devices, Devices::apply);
    }
}
