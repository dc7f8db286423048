//! `rate_limit` and `publish_limit`, as the sessions of a listener meet them.

use super::world::{World, message};
use super::*;
use crate::acl::{Acl, AclRule, Actions, RuleTopic, Verdict, Who};
use crate::limit::SessionLimits;
use crate::listeners::{ListenerPolicy, Listeners};

fn listeners(rate: &str, publish: &str) -> Arc<Listeners> {
    let rate = (!rate.is_empty()).then(|| rate.parse().unwrap());
    let publish = (!publish.is_empty()).then(|| publish.parse().unwrap());
    let limits = SessionLimits::new(rate, publish);
    Arc::new(Listeners::new(vec![ListenerPolicy { limits, ..ListenerPolicy::default() }]))
}

fn world(rate: &str, publish: &str) -> World {
    let policy = Policy { listeners: listeners(rate, publish), ..Policy::default() };
    World::with_policy(1, "site/%c/", Options::new(), policy)
}

fn publish(world: &mut World, client: ClientRef, topic: &str, payload: &str) -> Taken {
    world.up(client, Uplink::Publish { token: None, what: message(topic, payload, Qos::AtMostOnce) })
}

fn given(world: &World) -> usize {
    world.broker.accepted().iter().filter(|message| message.topic.starts_with("site/")).count()
}

fn counted(world: &World) -> [u64; 2] {
    [BridgeCount::OverRate, BridgeCount::OverPublish].map(|what| world.bridge.counts.get(what))
}

#[test]
fn a_rate_counts_topic_and_payload_without_the_mountpoint() {
    let mut world = world("10B/s", "");
    let lamp = world.connect(7, "lamp").unwrap();
    let start = world.now.mono_ms;
    assert_eq!(publish(&mut world, lamp, "abcd", "12345"), Taken::Done);
    assert_eq!(publish(&mut world, lamp, "a", "1"), Taken::Later(Deadline(start + 100)));
    assert_eq!(publish(&mut world, lamp, "a", ""), Taken::Done);
    assert_eq!((given(&world), counted(&world)), (2, [1, 0]));
    world.wait(199);
    assert_eq!(publish(&mut world, lamp, "a", "1"), Taken::Later(Deadline(start + 200)));
    world.wait(1);
    assert_eq!(publish(&mut world, lamp, "a", "1"), Taken::Done);
    assert_eq!((given(&world), counted(&world)), (3, [2, 0]));
}

#[test]
fn each_session_has_its_own_allowance() {
    let mut world = world("", "1/10s");
    let [lamp, bell] = [(7, "lamp"), (8, "bell")].map(|(handle, id)| world.connect(handle, id).unwrap());
    let later = Taken::Later(Deadline(world.now.mono_ms + 10_000));
    let taken = [lamp, bell, lamp, bell].map(|client| publish(&mut world, client, "a", "1"));
    assert_eq!((taken, counted(&world)), ([Taken::Done, Taken::Done, later, later], [0, 2]));
}

#[test]
fn what_the_rules_forbid_or_finds_no_room_is_not_charged() {
    let topics = vec![RuleTopic::parse("secret").unwrap()];
    let rule = AclRule { permit: Verdict::Deny, who: Who::All, actions: Actions::All, topics };
    let acl = Arc::new(Acl { rules: vec![rule], ..Acl::default() });
    let policy = Policy { acl, listeners: listeners("", "101/d"), ..Policy::default() };
    let mut world = World::with_policy(1, "site/%c/", Options::new(), policy);
    let lamp = world.connect(7, "lamp").unwrap();
    assert!(matches!(publish(&mut world, lamp, "secret", "1"), Taken::Denied(_)));
    world.crash();
    let mut owed = |token| {
        let what = message("a", "1", Qos::AtLeastOnce);
        world.up(lamp, Uplink::Publish { token: Some(Token(token)), what })
    };
    // The queue holds 100.
    assert!((0..100).all(|token| owed(token) == Taken::Owed));
    assert!((100..200).all(|token| owed(token) == Taken::Full));
    assert_eq!(counted(&world), [0, 0]);
}

#[test]
fn a_will_is_published_whatever_was_published_before_it() {
    let mut world = world("", "1/d");
    let lamp = world.connect(7, "lamp").unwrap();
    assert_eq!(publish(&mut world, lamp, "a", "1"), Taken::Done);
    assert!(matches!(publish(&mut world, lamp, "a", "1"), Taken::Later(_)));
    assert_eq!(world.up(lamp, Uplink::PublishWill(message("will", "1", Qos::AtMostOnce))), Taken::Done);
    assert_eq!(given(&world), 2);
}

#[test]
fn other_limits_hold_for_sessions_that_are_there() {
    let mut world = world("", "");
    let lamp = world.connect(7, "lamp").unwrap();
    assert!((0..10).all(|_| publish(&mut world, lamp, "a", "1") == Taken::Done));
    world.bridge.replace_rules(Arc::default(), Arc::default(), &listeners("", "1/10s"));
    assert_eq!(publish(&mut world, lamp, "a", "1"), Taken::Done);
    assert!(matches!(publish(&mut world, lamp, "a", "1"), Taken::Later(_)));
    world.bridge.replace_rules(Arc::default(), Arc::default(), &listeners("", ""));
    assert_eq!(publish(&mut world, lamp, "a", "1"), Taken::Done);
}
