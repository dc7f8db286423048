//! One client id, more than one connection.

use super::world::{CLEAN, KEPT, World, message};
use crate::bridge::Notice;
use crate::downlink::Outcome;
use crate::uplink::{Admission, Ending, Refusal, Taken, Token, Uplink};
use codec_mqtt::{Qos, ReasonCode};
use support::broker::{Message, Options, RefuseV5};

fn brokers() -> [Options; 3] {
    let silent = Options { silent_take_over: true, ..Options::new() };
    let older = Options { refuse_v5: Some(RefuseV5::ReasonCode), ..Options::new() };
    [Options::new(), silent, older]
}

#[test]
fn a_client_that_comes_again_hears_nothing_of_its_older_connection() {
    for options in brokers() {
        for wish in [CLEAN, KEPT] {
            let mut world = World::new(options.clone());
            let (lamp, old) = world.enter(7, "lamp", wish);
            world.subscribe(lamp, 9, "a");
            let new = world.admit(8, "lamp", wish);
            assert_eq!(world.up(lamp, Uplink::Relink(new)), Taken::Done);
            world.wait(120_000);
            assert_eq!(world.ended(7), [], "{options:?}");
            assert!(world.bridge.lines.get(old).is_none(), "the older one is gone");
            assert!(world.begun.len() <= 3, "and does not throw out the newer: {:?}", world.begun);
            world.broker.publish(Message::new("site/a", "x", Qos::AtLeastOnce));
            world.settle();
            assert_eq!(world.texts(7), ["a x"], "its subscriptions have come along");
        }
    }
}

#[test]
fn what_the_older_connection_owed_is_settled_and_nothing_is_claimed_that_the_broker_has_not() {
    let mut world = World::new(Options { hold_acks: true, ..Options::new() });
    let (lamp, _) = world.enter(7, "lamp", KEPT);
    assert_eq!(world.publish(lamp, 5, "x"), Taken::Owed);
    let new = world.admit(8, "lamp", KEPT);
    world.say(lamp, Uplink::Relink(new));
    let outcomes: Vec<_> = world.notices.iter().filter(|notice| matches!(notice, Notice::Settled { .. })).collect();
    let [Notice::Settled { outcome, .. }] = outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(*outcome, Outcome::Refused(Refusal::BrokerAway));
}

#[test]
fn what_the_older_connection_left_half_done_does_not_swallow_what_the_newer_publishes() {
    let mut world = World::new(Options { hold_acks: true, ..Options::new() });
    let (lamp, _) = world.enter(7, "lamp", KEPT);
    let publish = |world: &mut World, token: u64, text: &str| {
        let what = message("up", text, Qos::ExactlyOnce);
        assert_eq!(world.up(lamp, Uplink::Publish { token: Some(Token(token)), what }), Taken::Owed);
    };
    publish(&mut world, 5, "first");
    let new = world.admit(8, "lamp", KEPT);
    world.say(lamp, Uplink::Relink(new));
    world.broker.options().hold_acks = false;
    world.broker.release_acks();
    publish(&mut world, 6, "second");
    assert!(world.broker.accepted().iter().any(|accepted| accepted.payload == b"second"));
}

#[test]
fn another_client_by_the_name_takes_it_over() {
    for options in brokers() {
        let mut world = World::new(options);
        let (first, _) = world.enter(7, "lamp", CLEAN);
        let link = world.admit(8, "lamp", CLEAN);
        assert_eq!(world.ended(7), [], "not before somebody has its place");
        let second = world.connect(8, "lamp", link).unwrap();
        assert_eq!((world.ended(7), world.ended(8)), (vec![Ending::TakenOver], vec![]));
        assert_eq!(world.publish(first, 5, "x"), Taken::Denied(Refusal::BrokerAway));
        world.say(first, Uplink::Disconnect);
        assert_eq!(world.publish(second, 6, "x"), Taken::Owed);
        world.wait(120_000);
        assert!(world.begun.len() <= 3, "{:?}", world.begun);
    }
}

#[test]
fn a_newcomer_that_is_not_let_in_changes_nothing() {
    let mut world = World::new(Options::new());
    let (lamp, old) = world.enter(7, "lamp", KEPT);
    world.broker.options().refuse_clients = [("lamp".to_owned(), ReasonCode::BAD_USER_NAME_OR_PASSWORD)].into();
    assert_eq!(world.ask(8, "lamp", KEPT), Admission::Parked);
    world.settle();
    assert_eq!(world.verdict(8), Some(Err(Refusal::Broker(0x86))));
    world.broker.options().refuse_clients.clear();
    assert_eq!(world.publish(lamp, 5, "x"), Taken::Owed);
    world.cut(old);
    world.wait(5000);
    assert!(world.bridge.lines.get(old).unwrap().link.is_online(), "it is the newest again");
}

#[test]
fn a_newcomer_that_is_dismissed_leaves_its_place_or_the_news_of_it() {
    for (options, over) in brokers().into_iter().zip([true, false, false]) {
        let mut world = World::new(options);
        let (_, old) = world.enter(7, "lamp", KEPT);
        let link = world.admit(8, "lamp", KEPT);
        assert_eq!(world.ended(7), []);
        world.bridge.dismiss(link);
        world.wait(5000);
        if over {
            assert_eq!(world.ended(7), [Ending::TakenOver], "the broker said so");
        } else {
            assert_eq!(world.ended(7), []);
            assert!(world.bridge.lines.get(old).unwrap().link.is_online(), "it was a loss like any other");
        }
    }
}

#[test]
fn a_newcomer_that_is_on_its_way_out_leaves_what_it_had_thrown_out_to_the_next() {
    for options in brokers() {
        let mut world = World::new(options.clone());
        let (lamp, first) = world.enter(7, "lamp", KEPT);
        let second = world.admit(8, "lamp", KEPT);
        world.bridge.dismiss(second);
        // Before its connection is closed, the client comes once more.
        assert_eq!(world.ask(9, "lamp", KEPT), Admission::Parked);
        world.wait(20_000);
        let third = world.verdict(9).unwrap().unwrap();
        assert!(world.begun.len() <= 3, "nobody throws out anybody: {:?}", world.begun);
        assert_eq!(world.ended(7), [], "{options:?}");
        world.say(lamp, Uplink::Relink(third));
        world.wait(70_000);
        assert_eq!(world.ended(7), []);
        assert!(world.bridge.lines.get(first).is_none());
        assert_eq!((world.begun.len(), world.publish(lamp, 5, "x")), (3, Taken::Owed));
    }
}

#[test]
fn nobody_takes_over_a_link_of_the_node() {
    let mut world = World::new(Options::new());
    for id in ["tidegate-n-0", "tidegate-n-17"] {
        assert_eq!(world.ask(7, id, CLEAN), Admission::Parked);
        world.settle();
        assert_eq!(world.verdict(7), Some(Err(Refusal::BadIdentity)), "{id}");
    }
    assert!(world.bridge.is_reachable() && world.begun.is_empty());
    for (number, id) in (8..).zip(["tidegate-n-", "tidegate-n-x1", "tidegate-m-0"]) {
        world.enter(number, id, CLEAN);
    }
}

#[test]
fn who_asks_twice_is_answered_twice_and_connects_once() {
    let mut world = World::new(Options::new());
    assert_eq!(world.ask(1, "lamp", CLEAN), Admission::Parked);
    assert_eq!(world.ask(2, "lamp", CLEAN), Admission::Parked);
    world.settle();
    assert_eq!(world.verdict(1), Some(Err(Refusal::Busy)));
    let link = world.verdict(2).unwrap().unwrap();
    let later = world.admit(3, "lamp", CLEAN);
    assert_eq!(world.connect(2, "lamp", link), Err(Refusal::BrokerAway), "a later one has its place");
    assert!(world.connect(3, "lamp", later).is_ok());
    world.wait(70_000);
    assert_eq!(world.bridge.lines.iter().count(), 2);
    assert_eq!(world.ended(3), []);
}

#[test]
fn three_comings_in_a_row_leave_the_last() {
    let mut world = World::new(Options::new());
    let (lamp, first) = world.enter(7, "lamp", KEPT);
    let second = world.admit(8, "lamp", KEPT);
    let third = world.admit(9, "lamp", KEPT);
    assert_eq!(world.up(lamp, Uplink::Relink(second)), Taken::Denied(Refusal::BrokerAway));
    assert_eq!(world.up(lamp, Uplink::Relink(third)), Taken::Done);
    world.wait(70_000);
    assert_eq!(world.ended(7), []);
    assert!(world.bridge.lines.get(first).is_none());
    assert_eq!((world.bridge.lines.iter().count(), world.publish(lamp, 5, "x")), (2, Taken::Owed));
}

#[test]
fn who_is_told_to_go_by_the_broker_hears_why_and_stays_away() {
    let table = [
        (ReasonCode::SESSION_TAKEN_OVER, Ending::TakenOver, "takenover"),
        (ReasonCode::ADMINISTRATIVE_ACTION, Ending::Kicked, "kicked"),
        (ReasonCode::NOT_AUTHORIZED, Ending::NotAuthorised, "not_authorized"),
    ];
    for (code, why, label) in table {
        let mut world = World::new(Options { hold_acks: true, ..Options::new() });
        let (lamp, _) = world.enter(7, "lamp", KEPT);
        assert_eq!(world.publish(lamp, 5, "x"), Taken::Owed);
        world.broker.kick("lamp", code);
        world.wait(60_000);
        assert_eq!(world.ended(7), [why]);
        assert!(world.notices.iter().any(|notice| matches!(notice, Notice::Settled { .. })), "nobody waits in vain");
        assert_eq!(world.counted("tidegate_client_links_ended_total", label), 1);
        assert_eq!((world.begun.len(), world.bridge.lines.iter().count()), (1, 1));
        assert_eq!(world.publish(lamp, 6, "x"), Taken::Denied(Refusal::BrokerAway));
    }
    for code in [ReasonCode::SERVER_SHUTTING_DOWN, ReasonCode::KEEP_ALIVE_TIMEOUT, ReasonCode::SERVER_BUSY] {
        let mut world = World::new(Options::new());
        let (_, link) = world.enter(7, "lamp", KEPT);
        world.broker.kick("lamp", code);
        world.wait(5_000);
        assert_eq!(world.ended(7), [], "{code}");
        assert!(world.bridge.lines.get(link).unwrap().link.is_online());
    }
}

#[test]
fn credentials_that_are_good_no_longer_end_it() {
    let mut world = World::new(Options::new());
    let (_, link) = world.enter(7, "lamp", KEPT);
    world.broker.options().refuse_clients = [("lamp".to_owned(), ReasonCode::SERVER_BUSY)].into();
    world.cut(link);
    world.wait(60_000);
    assert_eq!(world.ended(7), [], "that may change");
    world.broker.options().refuse_clients = [("lamp".to_owned(), ReasonCode::NOT_AUTHORIZED)].into();
    world.wait(60_000);
    assert_eq!(world.ended(7), [Ending::NotAuthorised]);
}

#[test]
fn three_quick_closes_without_a_word_mean_another_connection() {
    let mut world = World::new(Options { refuse_v5: Some(RefuseV5::ReasonCode), ..Options::new() });
    let (_, link) = world.enter(7, "lamp", KEPT);
    for _ in 0..3 {
        assert_eq!(world.ended(7), []);
        world.broker.kick("lamp", ReasonCode::SESSION_TAKEN_OVER);
        world.wait(1500);
    }
    assert_eq!(world.ended(7), [Ending::TakenOver]);
    assert!(world.bridge.lines.get(link).is_none());
}
