//! SUBSCRIBE and UNSUBSCRIBE.

use super::super::requests::MAX_OUTSTANDING;
use super::*;
use crate::uplink::Refusal;

fn suback(n: u16, code: &[u8]) -> Packet<'_> {
    Packet::Suback(Suback { packet_id: id(n), properties: Properties::EMPTY, codes: ReasonCodes::new(code) })
}

fn unsuback(n: u16) -> Packet<'static> {
    Packet::Unsuback(Unsuback { packet_id: id(n), properties: Properties::EMPTY, codes: ReasonCodes::new(&[0]) })
}

fn subscribe(bench: &mut Bench, id: u32, filter: &str) {
    bench.link.subscribe(id, filter, Qos::AtLeastOnce, 0);
}

#[test]
fn a_subscription_is_answered_under_its_id() {
    let mut bench = Bench::online(settings());
    subscribe(&mut bench, 70_000, "a/#");
    bench.link.subscribe(2, "b", Qos::ExactlyOnce, 2);
    assert_eq!(bench.out(), ["SUBSCRIBE a/# Some(70000) qos1 rh0", "SUBSCRIBE b Some(2) qos2 rh2"]);
    bench.hear(&suback(10, &[0x87]));
    bench.hear(&suback(9, &[0]));
    let refused = LinkEvent::Subscribed { id: 2, granted: Err(Refusal::Broker(0x87)) };
    assert_eq!(bench.events(), [refused, LinkEvent::Subscribed { id: 70_000, granted: Ok(Qos::AtMostOnce) }]);
    bench.hear(&suback(9, &[0]));
    assert_eq!((bench.events(), bench.count(LinkCount::UnexpectedAnswer)), (vec![], 1));
}

#[test]
fn packet_ids_of_publications_and_requests_are_apart() {
    let mut bench = Bench::online(settings());
    subscribe(&mut bench, 1, "a");
    for token in 0..8 {
        bench.say(token, "x", 1);
    }
    bench.hear(&puback(9));
    assert_eq!(bench.count(LinkCount::UnexpectedAck), 1);
    bench.hear(&suback(9, &[1]));
    assert_eq!(bench.events(), [LinkEvent::Subscribed { id: 1, granted: Ok(Qos::AtLeastOnce) }]);
}

#[test]
fn a_broker_without_identifiers_gets_none() {
    let mut bench = Bench::new(settings());
    bench.connect(false, &[Property::SubscriptionIdentifierAvailable(false)]);
    assert!(!bench.link.has_identifiers());
    subscribe(&mut bench, 1, "a");
    assert_eq!(bench.out(), ["SUBSCRIBE a None qos1 rh0"]);
}

#[test]
fn requests_beyond_the_bound_wait_their_turn() {
    let mut bench = Bench::online(settings());
    for n in 0..u32::from(MAX_OUTSTANDING) + 2 {
        subscribe(&mut bench, n + 1, "a");
    }
    bench.link.unsubscribe("a");
    assert_eq!((bench.out().len(), bench.link.requests.outstanding()), (1024, 1024));
    bench.hear(&suback(9, &[1]));
    assert_eq!(bench.out(), ["SUBSCRIBE a Some(1025) qos1 rh0"]);
    bench.hear(&suback(500, &[1]));
    bench.hear(&suback(501, &[1]));
    assert_eq!(bench.out(), ["SUBSCRIBE a Some(1026) qos1 rh0", "UNSUBSCRIBE a"]);
    assert_eq!(bench.link.requests.outstanding(), 1024);
}

#[test]
fn subscriptions_are_forgotten_with_the_connection_and_unsubscriptions_are_not() {
    let mut bench = Bench::online(settings());
    subscribe(&mut bench, 1, "a");
    bench.link.unsubscribe("b");
    bench.link.unsubscribe("c");
    bench.hear(&unsuback(11));
    bench.close(Closed::Broken);
    subscribe(&mut bench, 2, "d");
    bench.link.unsubscribe("e");
    bench.wait();
    bench.connect(true, &[]);
    assert_eq!(bench.out(), ["UNSUBSCRIBE b", "UNSUBSCRIBE e"]);
    assert_eq!(bench.reconnect(false, &[]), [""; 0], "a new session holds nothing to unsubscribe");
}

#[test]
fn an_unsubscription_that_was_overtaken_is_not_repeated() {
    let mut bench = Bench::online(settings());
    bench.link.unsubscribe("a");
    bench.link.unsubscribe("b");
    subscribe(&mut bench, 1, "a");
    bench.hear(&suback(11, &[1]));
    assert_eq!(bench.reconnect(true, &[])[..], ["UNSUBSCRIBE b"]);
}

#[test]
fn a_filter_that_the_broker_s_packet_size_cannot_hold_is_refused() {
    let mut bench = Bench::new(settings());
    bench.connect(false, &[Property::MaximumPacketSize(20)]);
    bench.events();
    subscribe(&mut bench, 1, "a/long/topic/filter");
    subscribe(&mut bench, 2, "a");
    assert_eq!(bench.events(), [LinkEvent::Subscribed { id: 1, granted: Err(Refusal::TooLarge) }]);
    assert_eq!(bench.out(), ["SUBSCRIBE a Some(2) qos1 rh0"]);
}
