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

/// The broker says that a session is there; the link steps back, and ends it by a connection of its own.
fn end_foreign(bench: &mut Bench, version: &str) {
    bench.hear(&accept(true, &[]));
    assert_eq!((bench.out(), bench.events()), (vec!["DISCONNECT".into()], vec![]));
    assert_eq!(bench.link.wish(), Wish::Close);
    bench.close(Closed::Broken);
    assert_eq!(bench.open(), format!("CONNECT {version} clean"), "at once, and without the will");
    bench.hear(&accept(false, &[]));
    assert_eq!((bench.out(), bench.events()), (vec!["DISCONNECT".into()], vec![]));
    assert_eq!(bench.link.wish(), Wish::Close);
    bench.close(Closed::Orderly);
}

#[test]
fn another_broker_of_the_list_is_started_clean() {
    let mut bench = Bench::new(LinkSettings { servers: vec!["a:1".into(), "b:1".into()], ..settings() });
    bench.connect(false, &[]);
    bench.say(1, "a", 1);
    bench.close(Closed::Broken);
    bench.wait();
    assert_eq!(bench.link.wish(), Wish::Open { target: 1 });
    bench.open();
    bench.events();
    end_foreign(&mut bench, "5");
    bench.link.opening(bench.now);
    bench.close(Closed::Refused);
    bench.wait();
    assert_eq!(bench.link.wish(), Wish::Open { target: 0 });
    bench.open();
    bench.hear(&accept(true, &[]));
    assert!(bench.link.phase.is_online(), "the session there is still ours");
}

#[test]
fn a_session_that_an_earlier_process_left_is_ended_first() {
    let will = Farewell { topic: "s".into(), payload: vec![], retain: true, qos: Qos::AtLeastOnce };
    for (choice, version) in [(VersionChoice::V5OrOlder, "5"), (VersionChoice::V311, "3.1.1")] {
        let told = LinkSettings { version: choice, will: Some(will.clone()), ..settings() };
        let mut bench = Bench::new(told);
        assert_eq!(bench.open(), format!("CONNECT {version} resume will"));
        end_foreign(&mut bench, version);
        assert_eq!(bench.open(), format!("CONNECT {version} resume will"), "at once");
        bench.hear(&accept(false, &[]));
        assert_eq!(bench.events(), [LinkEvent::Up { session_present: false }]);
        assert_eq!((bench.count(LinkCount::SessionsEnded), bench.count(LinkCount::Failures)), (1, 0));
        bench.close(Closed::Broken);
        bench.wait();
        assert_eq!(bench.open(), format!("CONNECT {version} resume will"));
        bench.hear(&accept(true, &[]));
        assert_eq!(bench.events(), [LinkEvent::Down, LinkEvent::Up { session_present: true }], "its own");
    }
}

#[test]
fn the_connection_that_ends_a_session_leaves_none() {
    let mut bench = Bench::new(settings());
    bench.open();
    bench.hear(&accept(true, &[]));
    bench.out();
    bench.close(Closed::Broken);
    bench.link.opening(bench.now);
    bench.link.opened(bench.now);
    let octets = bench.link.pending().to_vec();
    let Ok(Packet::Connect(connect)) = codec_mqtt::decode(&octets, Version::V5) else { panic!("no CONNECT") };
    assert_eq!((connect.clean_start, connect.properties.session_expiry_interval()), (true, Some(0)));
}

#[test]
fn a_session_that_was_ended_and_is_there_all_the_same_is_a_fault() {
    let mut bench = Bench::new(settings());
    bench.open();
    end_foreign(&mut bench, "5");
    bench.open();
    bench.hear(&accept(true, &[]));
    assert_eq!((bench.link.wish(), bench.events()), (Wish::Close, vec![]));
    bench.close(Closed::Broken);
    let LinkStatus::Waiting { reason, .. } = bench.link.state() else { panic!("{:?}", bench.link.state()) };
    assert_eq!(reason, "the broker kept a session that was to start clean");
}

#[test]
fn a_link_that_only_ends_a_session_stops_when_it_has_or_may_not() {
    let told = LinkSettings { scope: SessionScope::Discarded, ..settings() };
    let mut bench = Bench::new(told.clone());
    assert_eq!(bench.open(), "CONNECT 5 clean");
    bench.hear(&accept(false, &[]));
    assert_eq!(bench.out(), ["DISCONNECT"]);
    bench.close(Closed::Broken);
    assert_eq!((bench.link.state(), bench.link.has_discarded()), (LinkStatus::Stopped, true));

    let mut bench = Bench::new(told.clone());
    bench.link.opening(bench.now);
    bench.close(Closed::Refused);
    bench.wait();
    bench.open();
    bench.hear_octets(&[0x20, 2, 0, 1]);
    bench.close(Closed::Orderly);
    bench.wait();
    assert_eq!(bench.open(), "CONNECT 3.1.1 clean", "an older broker is asked in its own protocol");

    let mut bench = Bench::new(told);
    bench.open();
    bench.hear_octets(&[0x20, 3, 0, 0x87, 0]);
    bench.close(Closed::Orderly);
    assert_eq!((bench.link.state(), bench.link.has_discarded()), (LinkStatus::Stopped, false));
}

#[test]
fn the_last_goodbye_ends_a_session_that_nobody_comes_back_for() {
    let durable = SessionScope::Durable(None);
    for (scope, expected) in [(SessionScope::Process, Some(0)), (durable, None)] {
        let mut bench = Bench::online(LinkSettings { scope, ..settings() });
        bench.link.drain(bench.now);
        let octets = bench.link.pending().to_vec();
        let Ok(Packet::Disconnect(disconnect)) = codec_mqtt::decode(&octets, Version::V5) else { panic!("{octets:?}") };
        assert_eq!(disconnect.properties.session_expiry_interval(), expected);
    }
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
