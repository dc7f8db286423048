//! Draining and goodbye.

use super::*;
use crate::uplink::Refusal;

#[test]
fn a_link_that_owes_nothing_says_goodbye_at_once() {
    let mut bench = Bench::online(settings());
    bench.link.drain(bench.now);
    assert_eq!((bench.link.wish(), bench.link.is_drained()), (Wish::Nothing, false));
    assert_eq!(bench.out(), ["DISCONNECT"]);
    assert_eq!((bench.link.wish(), bench.events()), (Wish::Close, vec![LinkEvent::Down]));
    bench.close(Closed::Broken);
    assert!(bench.link.is_drained());
    assert_eq!((bench.link.wish(), bench.link.state()), (Wish::Nothing, LinkStatus::Stopped));
    assert_eq!(bench.link.next_deadline(), None);
    assert_eq!(bench.publish(1, "a", 1), Taken::Denied(Refusal::BrokerAway));
}

#[test]
fn what_is_queued_and_in_flight_is_flushed_first() {
    let mut bench = Bench::online(LinkSettings { max_inflight: 1, ..settings() });
    bench.say(1, "a", 1);
    bench.say(2, "b", 2);
    bench.link.drain(bench.now);
    assert_eq!(bench.publish(3, "c", 0), Taken::Done, "the last word of a session");
    assert_eq!(bench.out(), ["a qos1 #1", "c qos0"]);
    bench.hear(&puback(1));
    assert_eq!(bench.out(), ["b qos2 #1"]);
    bench.hear(&Packet::Pubrec(Ack::new(id(1))));
    bench.hear(&Packet::Pubcomp(Ack::new(id(1))));
    assert_eq!(bench.out(), ["PUBREL 1", "DISCONNECT"]);
    assert_eq!(bench.events()[..2], [acknowledged(1), acknowledged(2)]);
}

#[test]
fn an_idle_link_without_a_broker_stops_and_one_that_owes_tries_at_once() {
    let mut bench = Bench::new(settings());
    bench.link.opening(bench.now);
    bench.close(Closed::Refused);
    bench.link.drain(bench.now);
    assert!(bench.link.is_drained());

    let mut bench = Bench::new(settings());
    bench.say(1, "a", 1);
    bench.link.opening(bench.now);
    bench.close(Closed::Refused);
    assert_eq!(bench.link.wish(), Wish::Nothing);
    bench.link.drain(bench.now);
    assert_eq!(bench.link.wish(), Wish::Open { target: 0 });
    bench.connect(false, &[]);
    bench.hear(&puback(1));
    assert_eq!(bench.out(), ["a qos1 #1", "DISCONNECT"]);
}

#[test]
fn goodbye_does_not_wait() {
    let mut bench = Bench::online(settings());
    bench.say(1, "a", 1);
    bench.link.goodbye(bench.now);
    assert_eq!(bench.out(), ["a qos1 #1", "DISCONNECT"]);
    assert_eq!(bench.link.wish(), Wish::Close);

    let mut bench = Bench::new(settings());
    bench.link.opening(bench.now);
    bench.link.goodbye(bench.now);
    assert_eq!(bench.link.wish(), Wish::Close, "an attempt is given up");
    bench.close(Closed::Broken);
    assert!(bench.link.is_drained());
}

#[test]
fn a_message_that_came_is_acknowledged_before_the_goodbye() {
    let publish = |payload: &'static [u8]| {
        let delivery = Delivery::AtLeastOnce { packet_id: id(5), dup: false };
        let mut octets = Vec::new();
        let packet =
            Packet::Publish(Publish { topic: "t", delivery, retain: false, properties: Properties::EMPTY, payload });
        packet.encode(Version::V5, &mut octets).unwrap();
        octets
    };
    let mut bench = Bench::online(settings());
    let octets = publish(b"x");
    let due = bench.link.receive(bench.now, &octets).message.unwrap().due;
    bench.link.drain(bench.now);
    assert_eq!(bench.out(), [""; 0], "somebody still writes it down");
    bench.link.acknowledge(due);
    assert_eq!(bench.out(), ["PUBACK 5", "DISCONNECT"]);

    let mut bench = Bench::online(settings());
    let due = bench.link.receive(bench.now, &octets).message.unwrap().due;
    bench.link.drain(bench.now);
    bench.close(Closed::Broken);
    bench.link.acknowledge(due);
    assert!(bench.link.is_drained(), "over this connection nothing can be said any more");
}

#[test]
fn what_comes_while_a_link_stops_is_left_to_the_next_process() {
    let publish = |n, payload: &'static [u8]| {
        let delivery = Delivery::AtLeastOnce { packet_id: id(n), dup: false };
        Packet::Publish(Publish { topic: "t", delivery, retain: false, properties: Properties::EMPTY, payload })
    };
    let mut bench = Bench::online(LinkSettings { scope: SessionScope::Durable(None), ..settings() });
    let mut octets = Vec::new();
    publish(5, b"x").encode(Version::V5, &mut octets).unwrap();
    let due = bench.link.receive(bench.now, &octets).message.unwrap().due;
    bench.link.drain(bench.now);
    assert_eq!(bench.hear(&publish(6, b"y")), [""; 0]);
    assert_eq!(bench.out(), [""; 0]);
    bench.link.acknowledge(due);
    assert_eq!(bench.out(), ["PUBACK 5", "DISCONNECT"], "the broker still has the other");
}
