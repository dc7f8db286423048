//! What a reconnect brings back.

use super::*;

/// Three in flight, the second one with its PUBREC: "a" and "c" of QoS 1, "b" of QoS 2.
fn three_in_flight() -> Bench {
    let mut bench = Bench::online(settings());
    for (token, payload, qos) in [(1, "a", 1), (2, "b", 2), (3, "c", 1)] {
        assert_eq!(bench.publish(token, payload, qos), Taken::Owed);
    }
    bench.hear(&Packet::Pubrec(Ack::new(id(2))));
    assert_eq!(bench.out(), ["a qos1 #1", "b qos2 #2", "c qos1 #3", "PUBREL 2"]);
    bench
}

#[test]
fn with_the_session_present_what_is_in_flight_goes_on_in_order() {
    let mut bench = three_in_flight();
    bench.close(Closed::Broken);
    bench.say(4, "d", 1);
    bench.wait();
    assert_eq!(bench.open(), "CONNECT 5 resume");
    bench.hear(&accept(true, &[]));
    bench.link.timer(bench.now);
    assert_eq!(bench.out(), ["a qos1 #1 dup", "PUBREL 2", "c qos1 #3 dup", "d qos1 #4"]);
    assert_eq!(bench.count(LinkCount::Replayed), 3);
    bench.events();
    bench.hear(&Packet::Pubcomp(Ack::new(id(2))));
    for n in [3, 1, 4] {
        bench.hear(&puback(n));
    }
    assert_eq!(bench.events(), [2, 3, 1, 4].map(acknowledged));
}

#[test]
fn with_the_session_gone_everything_in_flight_is_published_again_as_new() {
    let mut bench = three_in_flight();
    assert_eq!(bench.reconnect(false, &[]), ["a qos1 #1", "b qos2 #2", "c qos1 #3"]);
    bench.events();
    bench.hear(&Packet::Pubcomp(Ack::new(id(2))));
    assert_eq!(bench.events(), [], "its PUBREC is to come again");
    bench.hear(&Packet::Pubrec(Ack::new(id(2))));
    bench.hear(&Packet::Pubcomp(Ack::new(id(2))));
    assert_eq!(bench.events(), [acknowledged(2)]);
}

#[test]
fn a_smaller_receive_maximum_holds_for_what_is_replayed_too() {
    let mut bench = three_in_flight();
    bench.close(Closed::Broken);
    bench.say(4, "d", 1);
    bench.say(5, "e", 0);
    bench.wait();
    bench.connect(true, &[Property::ReceiveMaximum(1)]);
    assert_eq!(bench.out(), ["a qos1 #1 dup", "e qos0"]);
    assert_eq!(bench.publish(6, "f", 1), Taken::Owed);
    bench.hear(&puback(1));
    assert_eq!(bench.out(), ["PUBREL 2"]);
    bench.hear(&puback(3));
    assert_eq!(bench.count(LinkCount::UnexpectedAck), 1, "not sent over this connection");
    bench.hear(&Packet::Pubcomp(Ack::new(id(2))));
    assert_eq!(bench.out(), ["c qos1 #3 dup"]);
    bench.hear(&puback(3));
    assert_eq!(bench.out(), ["d qos1 #3"]);
    bench.hear(&puback(3));
    assert_eq!(bench.out(), ["f qos1 #3"]);
}

#[test]
fn a_replay_that_is_cut_off_begins_again_in_the_first_order() {
    let mut bench = three_in_flight();
    assert_eq!(bench.reconnect(true, &[Property::ReceiveMaximum(1)]), ["a qos1 #1 dup"]);
    assert_eq!(bench.reconnect(true, &[]), ["a qos1 #1 dup", "PUBREL 2", "c qos1 #3 dup"]);
    assert_eq!(bench.reconnect(false, &[]), ["a qos1 #1", "b qos2 #2", "c qos1 #3"]);
}

#[test]
fn a_replay_stops_at_the_high_water_mark_and_goes_on_as_the_batch_leaves() {
    let mut bench = Bench::online(settings());
    let large = "x".repeat(100_000);
    for token in 0..8 {
        bench.say(token, &large, 1);
        bench.out();
    }
    bench.close(Closed::Broken);
    bench.wait();
    bench.connect(true, &[]);
    assert!(bench.link.pending().len() < HIGH_WATER + 100_100, "{}", bench.link.pending().len());
    assert_eq!(bench.out().len(), 8);
}

#[test]
fn what_the_broker_takes_no_more_is_settled_at_the_replay() {
    let mut bench = Bench::online(settings());
    bench.say(1, &"x".repeat(100), 1);
    bench.say(2, "a", 2);
    let limits = [Property::MaximumPacketSize(50), Property::MaximumQos(Qos::AtLeastOnce)];
    assert_eq!(bench.reconnect(false, &limits), ["a qos1 #2"]);
    let events = bench.events();
    assert_eq!(events.last(), Some(&settled(1, Outcome::Refused(Refusal::TooLarge))));
    bench.hear(&puback(2));
    assert_eq!(bench.events(), [acknowledged(2)]);
}

#[test]
fn what_expired_in_flight_is_dropped_only_if_the_broker_has_lost_it() {
    for (session_present, expected) in [(true, vec!["a qos2 #1 dup"]), (false, vec![])] {
        let mut bench = Bench::online(settings());
        let mortal = Publication { expiry_s: Some(1), ..publication("a", 2) };
        assert_ne!(bench.link.publish(bench.now, Some(origin(1)), "", &mortal), Taken::Full);
        bench.advance(2_000);
        assert_eq!(bench.reconnect(session_present, &[]), expected);
        let expired = bench.events().contains(&settled(1, Outcome::Expired));
        assert_eq!(expired, !session_present);
    }
}

#[test]
fn qos_0_in_the_batch_is_lost_with_the_connection() {
    let mut bench = Bench::online(settings());
    bench.say(1, "a", 0);
    assert_eq!(bench.reconnect(true, &[]), [""; 0]);
}

#[test]
fn another_broker_of_the_list_is_started_clean() {
    let mut bench = Bench::new(LinkSettings { servers: vec!["a:1".into(), "b:1".into()], ..settings() });
    bench.connect(false, &[]);
    bench.say(1, "a", 1);
    bench.close(Closed::Broken);
    bench.wait();
    assert_eq!(bench.link.wish(), Wish::Open { target: 1 });
    assert_eq!(bench.open(), "CONNECT 5 clean");
    bench.close(Closed::Broken);
    bench.wait();
    assert_eq!(bench.link.wish(), Wish::Open { target: 0 });
    assert_eq!(bench.open(), "CONNECT 5 resume");
}

#[test]
fn a_session_that_was_to_start_clean_and_did_not_is_a_fault() {
    let mut bench = Bench::new(settings());
    bench.open();
    bench.hear(&accept(true, &[]));
    assert_eq!((bench.link.wish(), bench.events()), (Wish::Close, vec![]));
}

#[test]
fn without_session_expiry_every_connection_starts_clean() {
    for (version, expected) in
        [(VersionChoice::V5OrOlder, "CONNECT 5 clean"), (VersionChoice::V311, "CONNECT 3.1.1 clean")]
    {
        let mut bench = Bench::online(LinkSettings { version, session_expiry_s: 0, ..settings() });
        bench.close(Closed::Broken);
        bench.wait();
        assert_eq!(bench.open(), expected);
    }
}

#[test]
fn in_3_1_1_a_clean_start_is_a_connection_of_its_own() {
    let will = Farewell { topic: "s".into(), payload: vec![], retain: true, qos: Qos::AtLeastOnce };
    let mut bench = Bench::new(LinkSettings { version: VersionChoice::V311, will: Some(will), ..settings() });
    assert_eq!(bench.open(), "CONNECT 3.1.1 clean");
    bench.hear(&accept(false, &[]));
    assert_eq!((bench.out(), bench.events()), (vec!["DISCONNECT".into()], vec![]));
    assert_eq!(bench.link.wish(), Wish::Close);
    bench.close(Closed::Orderly);
    assert_eq!(bench.open(), "CONNECT 3.1.1 resume will", "at once");
    bench.hear(&accept(false, &[]));
    assert_eq!(bench.events(), [LinkEvent::Up { session_present: false }]);
    bench.close(Closed::Broken);
    bench.wait();
    assert_eq!(bench.open(), "CONNECT 3.1.1 resume will");
    bench.hear(&accept(true, &[]));
    assert_eq!(bench.events(), [LinkEvent::Down, LinkEvent::Up { session_present: true }]);
    assert_eq!(bench.count(LinkCount::Failures), 1);
}
