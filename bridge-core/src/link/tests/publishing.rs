//! Publications while the broker is there, and the queue.

use super::*;
use crate::uplink::Refusal;

const REFUSED: Packet<'static> = Packet::Puback(Ack::with_reason(PacketId::FIRST, ReasonCode::NOT_AUTHORIZED));

#[test]
fn qos_0_leaves_at_once_and_owes_nothing() {
    let mut bench = Bench::online(settings());
    assert_eq!(bench.publish(1, "a", 0), Taken::Done);
    assert_eq!(bench.out(), ["a qos0"]);
    assert_eq!(bench.events(), []);
}

#[test]
fn qos_1_settles_with_puback() {
    let mut bench = Bench::online(settings());
    assert_eq!(bench.publish(1, "a", 1), Taken::Owed);
    assert_eq!(bench.out(), ["a qos1 #1"]);
    assert_eq!((bench.events(), bench.count(LinkCount::InFlight)), (vec![], 1));
    bench.hear(&puback(1));
    assert_eq!(bench.events(), [acknowledged(1)]);
    assert_eq!((bench.count(LinkCount::Acknowledged), bench.count(LinkCount::InFlight)), (1, 0));
}

#[test]
fn qos_2_settles_with_pubcomp() {
    let mut bench = Bench::online(settings());
    assert_eq!(bench.publish(1, "a", 2), Taken::Owed);
    assert_eq!(bench.out(), ["a qos2 #1"]);
    bench.hear(&Packet::Pubrec(Ack::new(id(1))));
    assert_eq!((bench.out(), bench.events()), (vec!["PUBREL 1".into()], vec![]));
    bench.hear(&Packet::Pubcomp(Ack::new(id(1))));
    assert_eq!(bench.events(), [acknowledged(1)]);
}

#[test]
fn nobody_being_subscribed_is_no_refusal() {
    let mut bench = Bench::online(settings());
    bench.say(1, "a", 1);
    bench.hear(&Packet::Puback(Ack::with_reason(id(1), ReasonCode::NO_MATCHING_SUBSCRIBERS)));
    assert_eq!(bench.events(), [acknowledged(1)]);
}

#[test]
fn a_reason_code_from_0x80_on_settles_as_a_refusal() {
    let refused = settled(1, Outcome::Refused(Refusal::Broker(0x87)));
    let mut bench = Bench::online(settings());
    bench.say(1, "a", 1);
    bench.hear(&REFUSED);
    assert_eq!(bench.events(), std::slice::from_ref(&refused));
    bench.say(1, "a", 2);
    bench.out();
    bench.hear(&Packet::Pubrec(Ack::with_reason(id(1), ReasonCode::NOT_AUTHORIZED)));
    assert_eq!((bench.events(), bench.out()), (vec![refused], vec![]), "which ends the exchange");
    assert_eq!(bench.link.window.len(), 0);
}

#[test]
fn unexpected_acknowledgements_are_counted() {
    let mut bench = Bench::online(settings());
    bench.say(1, "a", 1);
    bench.out();
    bench.hear(&puback(2));
    bench.hear(&Packet::Pubcomp(Ack::new(id(1))));
    bench.hear(&Packet::Pubrec(Ack::new(id(1))));
    assert_eq!(bench.out(), ["PUBREL 1 92"], "PUBREC must be answered");
    assert_eq!((bench.count(LinkCount::UnexpectedAck), bench.events()), (3, vec![]));
    bench.hear(&puback(1));
    assert_eq!(bench.events(), [acknowledged(1)]);
}

#[test]
fn the_window_is_the_lesser_of_ours_and_the_broker_s() {
    for (ours, theirs, expected) in [(3, None, 3), (3, Some(2), 2), (2, Some(3), 2)] {
        let mut bench = Bench::new(LinkSettings { max_inflight: ours, ..settings() });
        let properties: Vec<_> = theirs.map(Property::ReceiveMaximum).into_iter().collect();
        bench.connect(false, &properties);
        for token in 0..5 {
            assert_eq!(bench.publish(token, "a", 1), Taken::Owed);
        }
        assert_eq!(bench.out().len(), expected);
        bench.hear(&puback(1));
        assert_eq!(bench.out(), ["a qos1 #1"], "an acknowledgement makes room for one");
    }
}

#[test]
fn qos_0_passes_a_full_window() {
    let mut bench = Bench::online(LinkSettings { max_inflight: 1, ..settings() });
    for (token, payload, qos) in [(1, "a", 1), (2, "b", 2), (3, "c", 0)] {
        bench.say(token, payload, qos);
    }
    assert_eq!(bench.out(), ["a qos1 #1", "c qos0"]);
    bench.hear(&puback(1));
    assert_eq!(bench.out(), ["b qos2 #1"]);
}

#[test]
fn above_the_high_water_mark_publications_wait_and_keep_their_order() {
    let mut bench = Bench::online(settings());
    let large = "x".repeat(HIGH_WATER - 100);
    for (token, payload) in [(1, &*large), (2, &*large), (3, "a"), (4, "b")] {
        bench.say(token, payload, 0);
    }
    assert_eq!(bench.link.queue.len(), 2, "the first two are in the batch");
    bench.link.written(2 * HIGH_WATER - LOW_WATER - 300);
    bench.say(5, "c", 0);
    assert_eq!(bench.link.queue.len(), 3, "not before the low-water mark, and behind those that wait");
    bench.link.written(1000);
    assert_eq!(bench.link.queue.len(), 0);
    let out = bench.link.pending().to_vec();
    bench.link.written(out.len());
    let tail = read(&out[out.len() - 21..], Version::V5);
    assert_eq!(tail, ["a qos0", "b qos0", "c qos0"]);
}

#[test]
fn while_the_broker_is_away_publications_wait_in_order() {
    let mut bench = Bench::new(settings());
    for (token, payload, qos) in [(1, "a", 0), (2, "b", 1), (3, "c", 0), (4, "d", 2), (5, "e", 1)] {
        assert!(matches!(bench.publish(token, payload, qos), Taken::Done | Taken::Owed));
    }
    assert_eq!(bench.count(LinkCount::QueueMessages), 5);
    bench.connect(false, &[]);
    assert_eq!(bench.out(), ["a qos0", "b qos1 #1", "c qos0", "d qos2 #2", "e qos1 #3"]);
    assert_eq!((bench.count(LinkCount::QueueMessages), bench.count(LinkCount::QueueBytes)), (0, 0));
}

#[test]
fn the_queue_moves_only_after_up_was_heard() {
    let mut bench = Bench::new(settings());
    bench.say(1, "a", 1);
    bench.open();
    bench.hear(&accept(false, &[]));
    assert_eq!(bench.events(), [LinkEvent::Up { session_present: false }]);
    bench.link.subscribe(1, "f", Qos::AtMostOnce, 0);
    assert!(bench.link.next_deadline().unwrap().is_due(bench.now));
    bench.link.timer(bench.now);
    assert_eq!(bench.out(), ["SUBSCRIBE f Some(1) qos0 rh0", "a qos1 #1"]);
}

#[test]
fn nothing_overtakes_what_is_yet_to_move_after_up() {
    let mut bench = Bench::online(settings());
    bench.say(1, "a", 1);
    bench.close(Closed::Broken);
    bench.wait();
    bench.open();
    bench.hear(&accept(true, &[]));
    bench.say(2, "b", 1);
    assert_eq!(bench.out(), [""; 0], "\"a\" goes first");
    bench.link.timer(bench.now);
    assert_eq!(bench.out(), ["a qos1 #1 dup", "b qos1 #2"]);
}

#[test]
fn a_full_queue_says_so_and_tells_when_there_is_room() {
    let limits = QueueLimits { max_bytes: 1 << 20, max_messages: 2 };
    let mut bench = Bench::new(LinkSettings { queue: limits, ..settings() });
    assert_eq!((bench.publish(1, "a", 0), bench.publish(2, "b", 1)), (Taken::Done, Taken::Owed));
    assert_eq!(bench.publish(3, "c", 1), Taken::Owed, "the oldest QoS 0 makes room");
    assert_eq!((bench.publish(4, "d", 1), bench.publish(5, "e", 0)), (Taken::Full, Taken::Full));
    let dropped = [LinkCount::DroppedOldest, LinkCount::TurnedAway, LinkCount::DroppedNewest];
    assert_eq!(dropped.map(|what| bench.count(what)), [1, 1, 1]);
    assert_eq!(bench.events(), []);
    bench.connect(false, &[]);
    assert_eq!(bench.events(), [LinkEvent::Up { session_present: false }, LinkEvent::Room]);
    bench.hear(&puback(1));
    assert_eq!(bench.events(), [acknowledged(2)], "told once");
}

#[test]
fn what_expires_while_it_waits_is_settled_as_expired() {
    let mut bench = Bench::new(settings());
    let mortal = |payload, qos, expiry_s| Publication { expiry_s: Some(expiry_s), ..publication(payload, qos) };
    for (token, what) in [(1, mortal("a", 1, 5)), (2, mortal("b", 0, 5)), (3, mortal("c", 1, 60))] {
        assert_ne!(bench.link.publish(bench.now, Some(origin(token)), "", &what), Taken::Full);
    }
    bench.advance(5_000);
    bench.connect(false, &[]);
    assert_eq!(bench.out(), ["c qos1 #1"]);
    assert_eq!(bench.events()[1..], [settled(1, Outcome::Expired)]);
    assert_eq!(bench.count(LinkCount::Expired), 2);
}

#[test]
fn the_mountpoint_stands_before_the_topic_directly_and_from_the_queue() {
    let mut bench = Bench::new(settings());
    let publish = |bench: &mut Bench, qos| {
        assert_ne!(bench.link.publish(bench.now, None, "site/", &publication("a", qos)), Taken::Full);
    };
    publish(&mut bench, 1);
    bench.connect(false, &[]);
    (0..3).for_each(|qos| publish(&mut bench, qos));
    let octets = bench.link.pending().to_vec();
    assert_eq!(octets.windows(6).filter(|w| w == b"site/t").count(), 4);
    let long = "x".repeat(65_535);
    let answer = bench.link.publish(bench.now, None, &long, &publication("a", 0));
    assert_eq!(answer, Taken::Denied(Refusal::BadTopic));
}

#[test]
fn what_the_broker_cannot_take_is_denied_or_lowered() {
    let mut bench = Bench::new(settings());
    assert_eq!(bench.publish(1, &"x".repeat(100), 1), Taken::Owed);
    let limits =
        [Property::MaximumQos(Qos::AtLeastOnce), Property::RetainAvailable(false), Property::MaximumPacketSize(50)];
    bench.connect(false, &limits);
    assert_eq!(bench.events()[1..], [settled(1, Outcome::Refused(Refusal::TooLarge))]);
    assert_eq!(bench.publish(2, &"x".repeat(45), 0), Taken::Denied(Refusal::TooLarge));
    assert_eq!(bench.publish(2, &"x".repeat(44), 0), Taken::Done);
    bench.out();
    let retained = Publication { retain: true, ..publication("a", 2) };
    assert_eq!(bench.link.publish(bench.now, Some(origin(3)), "", &retained), Taken::Owed);
    assert_eq!(bench.out(), ["a qos1 #1"]);
    bench.hear(&puback(1));
    assert_eq!(bench.events(), [acknowledged(3)]);
    assert_eq!((bench.count(LinkCount::QosLowered), bench.count(LinkCount::RetainDropped)), (1, 1));
}

#[test]
fn a_broker_of_qos_0_alone_acknowledges_by_taking() {
    let mut bench = Bench::new(settings());
    assert_eq!(bench.publish(1, "a", 2), Taken::Owed);
    bench.connect(false, &[Property::MaximumQos(Qos::AtMostOnce)]);
    assert_eq!(bench.publish(2, "b", 1), Taken::Owed);
    assert_eq!(bench.out(), ["a qos0", "b qos0"]);
    assert_eq!(bench.events()[1..], [acknowledged(1), acknowledged(2)]);
}

#[test]
fn our_own_packet_size_limits_what_is_sent() {
    let mut bench = Bench::online(LinkSettings { max_packet_size: 64, ..settings() });
    assert_eq!(bench.publish(1, &"x".repeat(100), 1), Taken::Denied(Refusal::TooLarge));
}
