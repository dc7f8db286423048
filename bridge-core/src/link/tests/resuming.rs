//! A process that goes on with the session of the one before.

use super::*;

/// Packet ids of 1 to `last_packet_id` may be held by the broker.
fn record(server: &str, last_packet_id: u16) -> SessionRecord {
    SessionRecord { server: server.into(), version: Version::V5, last_packet_id }
}

fn resuming(record: SessionRecord) -> LinkSettings {
    LinkSettings { scope: SessionScope::Durable(Some(record)), max_inflight: 2, ..settings() }
}

fn pubcomp(n: u16) -> Packet<'static> {
    Packet::Pubcomp(Ack::with_reason(id(n), ReasonCode::PACKET_IDENTIFIER_NOT_FOUND))
}

#[test]
fn a_recorded_session_is_taken_over() {
    let mut bench = Bench::new(resuming(record("h:1883", 0)));
    bench.connect(true, &[]);
    assert_eq!(bench.events(), [LinkEvent::Up { session_present: true }]);
    assert_eq!(bench.count(LinkCount::SessionsEnded), 0);
}

#[test]
fn a_session_of_another_broker_or_protocol_is_not_the_recorded_one() {
    let older = SessionRecord { version: Version::V311, ..record("h:1883", 0) };
    for foreign in [record("elsewhere:1883", 0), older] {
        let mut bench = Bench::new(resuming(foreign));
        bench.open();
        bench.hear(&accept(true, &[]));
        assert_eq!((bench.out(), bench.events()), (vec!["DISCONNECT".into()], vec![]));
    }
}

#[test]
fn the_broker_that_holds_the_session_is_tried_first() {
    let servers = vec!["a:1".into(), "b:1".into()];
    let bench = Bench::new(LinkSettings { servers, ..resuming(record("b:1", 0)) });
    assert_eq!(bench.link.wish(), Wish::Open { target: 1 });
}

#[test]
fn the_packet_ids_of_the_earlier_life_are_released_before_they_are_used() {
    let mut bench = Bench::new(resuming(record("h:1883", 3)));
    bench.say(1, "a", 2);
    bench.say(2, "b", 1);
    bench.say(3, "c", 0);
    bench.connect(true, &[]);
    assert_eq!(bench.out(), ["PUBREL 1", "PUBREL 2", "PUBREL 3", "c qos0"]);
    bench.hear(&Packet::Pubrec(Ack::new(id(3))));
    assert_eq!(bench.out(), [""; 0], "PUBREL is on its way");
    bench.hear(&pubcomp(2));
    assert_eq!(bench.out(), ["a qos2 #2"]);
    bench.hear(&pubcomp(1));
    assert_eq!(bench.out(), ["b qos1 #1"]);
    bench.hear(&pubcomp(3));
    bench.say(4, "d", 1);
    assert_eq!(bench.out(), [""; 0], "no more than the window holds");
    bench.hear(&puback(1));
    assert_eq!(bench.out(), ["d qos1 #1"]);
    assert_eq!(bench.count(LinkCount::UnexpectedAck), 0);
}

#[test]
fn what_was_not_released_over_one_connection_is_over_the_next() {
    let mut bench = Bench::new(resuming(record("h:1883", 2)));
    bench.connect(true, &[]);
    bench.hear(&pubcomp(1));
    bench.say(1, "a", 2);
    assert_eq!(bench.out(), ["PUBREL 1", "PUBREL 2", "a qos2 #1"]);
    assert_eq!(bench.reconnect(true, &[]), ["PUBREL 2", "a qos2 #1 dup"]);
    bench.say(2, "b", 2);
    assert_eq!(bench.reconnect(false, &[]), ["a qos2 #1", "b qos2 #2"], "nothing is held in a new session");
}

#[test]
fn a_broker_that_releases_nothing_loses_the_session() {
    let mut bench = Bench::new(resuming(record("h:1883", 2)));
    bench.connect(true, &[]);
    bench.hear(&pubcomp(1));
    bench.advance(29_999);
    assert!(bench.link.phase.is_online());
    bench.advance(1);
    assert_eq!(bench.out().last().unwrap(), "DISCONNECT 82");
    bench.close(Closed::Broken);
    assert!(matches!(bench.link.state(), LinkStatus::Waiting { reason: "the broker does not answer PUBREL", .. }));
    bench.wait();
    bench.open();
    bench.hear(&accept(true, &[]));
    assert_eq!(bench.out(), ["DISCONNECT"], "it is ended");
}

#[test]
fn a_broker_that_closes_at_each_release_loses_the_session() {
    let mut bench = Bench::new(resuming(record("h:1883", 2)));
    for _ in 0..3 {
        bench.connect(true, &[]);
        assert_eq!(bench.out()[..2], ["PUBREL 1", "PUBREL 2"]);
        bench.close(Closed::Orderly);
        bench.wait();
    }
    bench.open();
    bench.hear(&accept(true, &[]));
    assert_eq!(bench.out(), ["DISCONNECT"], "it is ended");
    assert_eq!(bench.count(LinkCount::Connects), 3);
}

#[test]
fn a_broker_that_has_released_everything_is_left_in_peace() {
    let mut bench = Bench::new(LinkSettings { keepalive_s: 0, ..resuming(record("h:1883", 1)) });
    bench.connect(true, &[]);
    bench.hear(&pubcomp(1));
    assert_eq!(bench.link.next_deadline(), None);
}

#[test]
fn the_record_for_the_next_life_names_broker_protocol_and_the_highest_packet_id() {
    for (session_present, left_behind, expected) in [(true, 5, 5), (true, 1, 2), (false, 0, 2)] {
        let mut bench = Bench::new(resuming(record("h:1883", left_behind)));
        bench.connect(session_present, &[]);
        assert_eq!(bench.link.session_record(), Some(record("h:1883", expected)));
    }
    let mut bench = Bench::new(LinkSettings { scope: SessionScope::Durable(None), ..settings() });
    assert_eq!(bench.link.session_record(), None, "there is no session yet");
    bench.connect(false, &[]);
    assert_eq!(bench.link.session_record(), Some(record("h:1883", 8)));
    assert_eq!(Bench::online(settings()).link.session_record(), None, "nobody is to go on with it");
}

#[test]
fn a_record_that_makes_no_sense_is_bounded() {
    let mut bench = Bench::new(resuming(record("h:1883", u16::MAX)));
    bench.connect(true, &[]);
    assert_eq!(bench.out().len(), usize::from(MAX_IN_FLIGHT));
}
