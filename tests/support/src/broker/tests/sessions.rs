//! CONNECT, sessions, take-over and wills.

use super::*;
use codec_mqtt::{Disconnect, ReasonCode, Will};

const KEEP: [Property<'static>; 1] = [Property::SessionExpiryInterval(60)];

#[test]
fn a_session_lives_as_long_as_version_and_expiry_say() {
    for (level, clean, properties, lives) in [
        (Level::V5, false, &KEEP[..], true),
        (Level::V5, true, &KEEP[..], true),
        (Level::V5, false, &[][..], false),
        (Level::V311, false, &[][..], true),
        (Level::V311, true, &[][..], false),
    ] {
        let mut broker = SimBroker::default();
        let connect = Connect { properties: Properties::list(properties), ..Connect::new(level, "c", clean, 60) };
        let (_client, heard) = Client::say_hello(&mut broker, 1, connect);
        assert_eq!(heard, ["CONNACK 00"]);
        broker.disconnect(1);
        assert_eq!(broker.has_session("c"), lives, "{level:?} {clean} {properties:?}");
    }
}

#[test]
fn a_resumed_session_has_its_subscriptions_and_a_clean_one_has_none() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    client.subscribe(&mut broker, 1, Subscription::new("a", Q0), 0);
    broker.disconnect(1);
    let (_client, heard) = Client::connect(&mut broker, 2, "c", false, &KEEP);
    assert_eq!((heard, broker.filters("c").collect::<Vec<_>>()), (vec!["CONNACK 00 present".to_owned()], vec!["a"]));
    let (_client, heard) = Client::connect(&mut broker, 3, "c", true, &KEEP);
    assert_eq!((heard, broker.filters("c").count()), (vec!["CONNACK 00".to_owned()], 0));
}

#[test]
fn disconnect_may_change_the_expiry() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    let ends = [Property::SessionExpiryInterval(0)];
    let disconnect = Disconnect { reason: ReasonCode::SUCCESS, properties: Properties::list(&ends) };
    client.send(&mut broker, &Packet::Disconnect(disconnect));
    assert!(!broker.is_open(1) && !broker.has_session("c"));
}

#[test]
fn the_newer_connection_takes_the_client_id_over() {
    for (silent_take_over, expected) in [(false, vec!["DISCONNECT 8E"]), (true, vec![])] {
        let mut broker = SimBroker::new(Options { silent_take_over, ..Options::new() });
        let older = Client::resuming(&mut broker, 1, "c");
        older.publish(&mut broker, "a", "2", delivery(Q2, 7, false));
        let newer = Client::resuming(&mut broker, 2, "c");
        assert_eq!(older.hear(&mut broker), expected);
        assert!(!broker.is_open(1) && broker.is_open(2));
        broker.disconnect(1);
        assert_eq!(newer.pubrel(&mut broker, 7), ["PUBCOMP #7 00"], "the session went over");
    }
}

#[test]
fn a_client_without_an_id_gets_one() {
    let mut broker = SimBroker::default();
    let connect = Packet::Connect(Connect::new(Level::V5, "", true, 0));
    let mut bytes = Vec::new();
    connect.encode(Version::V5, &mut bytes).unwrap();
    broker.connect(1);
    broker.receive(1, &bytes);
    let heard = broker.take_output(1);
    let Ok(Packet::Connack(connack)) = decode_from_server(&heard, Version::V5) else { panic!("{heard:02X?}") };
    assert_eq!(connack.properties.assigned_client_identifier(), Some("auto-1"));
    assert!(broker.has_session("auto-1"));
}

/// Connects client `c` with a will on topic `w`.
fn with_will(broker: &mut SimBroker, conn: u64, delay: u32) -> Client {
    let delay = [Property::WillDelayInterval(delay)];
    let will = Will { topic: "w", payload: b"dead", qos: Q1, retain: true, properties: Properties::list(&delay) };
    let connect =
        Connect { will: Some(will), properties: Properties::list(&KEEP), ..Connect::new(Level::V5, "c", false, 9) };
    Client::say_hello(broker, conn, connect).0
}

#[test]
fn a_will_is_published_unless_the_client_says_goodbye() {
    let mut broker = SimBroker::default();
    let client = with_will(&mut broker, 1, 0);
    client.send(&mut broker, &Packet::Disconnect(Disconnect::default()));
    broker.disconnect(1);
    assert_eq!(taken(&broker), [""; 0]);
    let client = with_will(&mut broker, 2, 0);
    client.send(&mut broker, &Packet::Disconnect(Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL)));
    assert_eq!(taken(&broker), ["w=dead"]);
    with_will(&mut broker, 3, 0);
    broker.disconnect(3);
    assert_eq!(taken(&broker), ["w=dead", "w=dead"]);
    assert!(broker.accepted()[1].will && broker.accepted()[1].retain);
    assert!(broker.retained("w").is_some());
}

#[test]
fn a_delayed_will_is_not_published_when_the_client_comes_back() {
    let mut broker = SimBroker::default();
    with_will(&mut broker, 1, 5);
    broker.disconnect(1);
    with_will(&mut broker, 2, 5);
    broker.elapse_will_delays();
    assert_eq!(taken(&broker), [""; 0]);
    broker.disconnect(2);
    broker.elapse_will_delays();
    assert_eq!(taken(&broker), ["w=dead"]);
}

#[test]
fn a_broker_that_goes_down_says_nothing_and_keeps_its_sessions() {
    let mut broker = SimBroker::default();
    with_will(&mut broker, 1, 0);
    broker.set_down();
    assert!(!broker.is_up() && !broker.is_open(1) && broker.has_session("c"));
    broker.receive(1, &[0xC0, 0]);
    assert_eq!((broker.take_output(1), taken(&broker)), (vec![], vec![]));
    broker.set_up();
    let (_client, heard) = Client::connect(&mut broker, 1, "c", false, &KEEP);
    assert_eq!(heard, ["CONNACK 00 present"]);
}

#[test]
fn a_kicked_client_is_told_why() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    broker.kick("c", ReasonCode::ADMINISTRATIVE_ACTION);
    assert!(broker.is_open(1), "its last words are not read yet");
    assert_eq!(client.hear(&mut broker), ["DISCONNECT 98"]);
    assert!(!broker.is_open(1));
}

#[test]
fn a_broker_may_forget_in_a_crash_what_began_clean() {
    for clean in [false, true] {
        let mut broker = SimBroker::new(Options { forget_clean_starts: true, ..Options::new() });
        Client::connect(&mut broker, 1, "c", clean, &KEEP);
        broker.set_down();
        assert_eq!(broker.has_session("c"), !clean);
    }
}
