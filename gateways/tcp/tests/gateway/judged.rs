//! Somebody has to be asked before a device is let in.

use crate::frames::{CONNACK, connect, data, refusal};
use crate::world::{Setup, World};
use bridge_core::auth::{Answer, AuthRules, ChainEntry, EntryKind, Opinion, StoreId};
use bridge_core::bridge::Policy;
use bridge_core::streams::CloseReason;
use std::sync::Arc;
use tcp_gateway::{FramingConfig, FramingKind};

/// A store has to be asked about each device.
fn policy() -> Policy {
    let entries = vec![ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) }];
    Policy { auth: Arc::new(AuthRules { entries, ..AuthRules::default() }), ..Policy::default() }
}

fn asking() -> World {
    World::new(&Setup { policy: policy(), ..Setup::default() })
}

/// The store's word about who asked first.
fn answer(world: &mut World, opinion: Opinion) {
    let question = world.shards[0].take_question().unwrap();
    world.shards[0].answer(world.now, Answer { id: question.id, opinion });
    world.settle();
}

#[test]
fn while_somebody_is_asked_the_stream_stands_still_and_then_goes_on() {
    let mut world = asking();
    world.open(1);
    assert_eq!(world.send(1, &[connect("dev", 60), data(b"x")].concat()), "");
    assert_eq!((world.unread(1), world.states()), (4, [0, 1, 0, 0]));
    answer(&mut world, Opinion::Allow { superuser: false });
    assert_eq!((world.hear(1).as_str(), world.given()), (CONNACK, vec!["tcp/dev/up x 0".to_owned()]));
    assert_eq!(world.states(), [0, 0, 1, 0]);
}

#[test]
fn the_credentials_are_those_of_connect() {
    let mut world = asking();
    world.open(1);
    world.ask(1, "1000133c000461626364000461626364000461626364");
    let question = world.shards[0].take_question().unwrap();
    let shown = &question.credentials;
    assert_eq!((&*shown.client_id, &*shown.username, &shown.password[..]), ("abcd", "abcd", &b"abcd"[..]));
}

#[test]
fn who_is_refused_is_connack_1_and_closed() {
    for (opinion, text, count) in [
        (Opinion::Deny, "Authentication Failed", "connect_refused"),
        (Opinion::Failed, "Server Unavailable", "not_admitted"),
        (Opinion::Busy, "Server Busy", "not_admitted"),
    ] {
        let mut world = asking();
        world.open(1);
        world.send(1, &connect("dev", 60));
        answer(&mut world, opinion);
        assert_eq!(world.hear(1), refusal(text));
        assert!(world.is_closed(1));
        assert_eq!((world.fault(count), world.states()), (1, [0; 4]));
        // The id is free.
        world.open(2);
        world.send(2, &connect("dev", 60));
        answer(&mut world, Opinion::Allow { superuser: false });
        assert_eq!(world.hear(2), CONNACK);
    }
}

#[test]
fn who_has_the_client_id_keeps_it_until_the_other_is_let_in() {
    let mut world = asking();
    for port in 1..3 {
        world.open(port);
        world.send(port, &connect("dev", 60));
    }
    answer(&mut world, Opinion::Allow { superuser: false });
    assert_eq!((world.hear(1).as_str(), world.is_closed(1)), (CONNACK, false));
    answer(&mut world, Opinion::Deny);
    assert_eq!((world.is_closed(1), world.is_closed(2), world.states()), (false, true, [0, 0, 1, 0]));
    world.open(3);
    world.send(3, &connect("dev", 60));
    answer(&mut world, Opinion::Allow { superuser: false });
    assert_eq!((world.is_closed(1), world.hear(3).as_str()), (true, CONNACK));
}

#[test]
fn whoever_is_refused_leaves_the_id_to_another_who_is_still_being_judged() {
    let mut world = World::new(&Setup { shards: 2, policy: policy(), ..Setup::default() });
    // Somebody who has no right to the id, the device, and again somebody.
    for (shard, port) in [(0, 1), (0, 2)] {
        world.open_at(shard, 0, port, None);
        world.send(port, &connect("dev", 60));
    }
    answer(&mut world, Opinion::Deny);
    assert!(world.is_closed(1));
    world.open_at(1, 0, 3, None);
    world.send(3, &connect("dev", 60));
    assert_eq!(world.shard_of(3), 0, "the id lives where the device waits");
    answer(&mut world, Opinion::Allow { superuser: false });
    assert_eq!(world.hear(2), CONNACK);
    answer(&mut world, Opinion::Deny);
    assert_eq!((world.is_closed(2), world.is_closed(3), world.states()), (false, true, [0, 0, 1, 0]));
    // The last of them frees it.
    world.ask(2, "60");
    world.open_at(1, 0, 4, None);
    world.send(4, &connect("dev", 60));
    assert_eq!(world.shard_of(4), 1);
}

#[test]
fn who_has_gone_is_not_let_in_any_more() {
    let mut world = asking();
    world.open(1);
    world.send(1, &connect("dev", 60));
    world.cut(1, CloseReason::Peer);
    assert_eq!(world.states(), [0; 4]);
    answer(&mut world, Opinion::Allow { superuser: false });
    assert_eq!((world.states(), world.faults()), ([0; 4], 0));
}

#[test]
fn nobody_answers_in_time_and_idle_timeout_does_not_count_meanwhile() {
    let mut world = World::new(&Setup {
        policy: Policy {
            auth: Arc::new(AuthRules { timeout_ms: 20_000, ..(*policy().auth).clone() }),
            ..Policy::default()
        },
        ..Setup::default()
    });
    world.open(1);
    world.send(1, &connect("dev", 2));
    world.wait(19_999);
    assert!(!world.is_closed(1));
    world.wait(1);
    assert_eq!((world.hear(1), world.fault("idle_timeout")), (refusal("Server Unavailable"), 0));
}

#[test]
fn who_waits_when_the_process_stops_is_told() {
    let mut world = asking();
    world.open(1);
    world.send(1, &connect("dev", 60));
    world.drain();
    assert_eq!((world.hear(1), world.is_closed(1)), (refusal("Server Busy"), true));
}

#[test]
fn a_frame_that_names_a_device_and_is_a_message_is_published_once_it_is_in() {
    for (client_id, given) in
        [("regex:^(d1)", vec!["tcp/d1/up d1 0", "tcp/d1/up x 0"]), ("first-frame", vec!["tcp/d1/up x 0"])]
    {
        let framing =
            FramingConfig { framing: FramingKind::Line, client_id: client_id.to_owned(), ..FramingConfig::default() };
        let mut world = World::new(&Setup { policy: policy(), framings: vec![framing], ..Setup::default() });
        world.open(1);
        world.send(1, b"d1\nx\n");
        assert_eq!(world.given(), [""; 0]);
        answer(&mut world, Opinion::Allow { superuser: false });
        assert_eq!(
            (world.given(), world.hear(1)),
            (given.iter().map(|&line| line.to_owned()).collect(), String::new())
        );
        world.open(2);
        world.send(2, b"d1\n");
        answer(&mut world, Opinion::Deny);
        assert_eq!((world.is_closed(2), world.hear(2), world.is_closed(1)), (true, String::new(), false));
    }
}
