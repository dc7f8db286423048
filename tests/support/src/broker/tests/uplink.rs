//! Publications of clients.

use super::*;
use crate::broker::{Crash, MessageProperties};
use codec_mqtt::{PublishProperties, ReasonCode};

#[test]
fn each_qos_is_acknowledged_as_its_flow_says() {
    let mut broker = SimBroker::new(Options { take_at_pubrel: false, ..Options::new() });
    let client = Client::resuming(&mut broker, 1, "c");
    assert_eq!(client.publish(&mut broker, "a", "0", delivery(Q0, 0, false)), [""; 0]);
    assert_eq!(client.publish(&mut broker, "a", "1", delivery(Q1, 1, false)), ["PUBACK #1 00"]);
    assert_eq!(client.publish(&mut broker, "a", "2", delivery(Q2, 2, false)), ["PUBREC #2 00"]);
    assert_eq!(taken(&broker), ["a=0", "a=1", "a=2"]);
    assert_eq!(client.pubrel(&mut broker, 2), ["PUBCOMP #2 00"]);
    assert_eq!(taken(&broker), ["a=0", "a=1", "a=2"]);
}

#[test]
fn a_qos_2_message_may_be_taken_at_its_pubrel() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    client.publish(&mut broker, "a", "2", delivery(Q2, 2, false));
    assert_eq!(taken(&broker), [""; 0]);
    client.pubrel(&mut broker, 2);
    assert_eq!(taken(&broker), ["a=2"]);
}

#[test]
fn a_qos_2_message_sent_again_after_resumption_is_not_taken_twice() {
    for take_at_pubrel in [false, true] {
        let mut broker = SimBroker::new(Options { take_at_pubrel, ..Options::new() });
        let client = Client::resuming(&mut broker, 1, "c");
        client.offer(&mut broker, "a", "2", delivery(Q2, 9, false));
        broker.disconnect(1);
        let client = Client::resuming(&mut broker, client.conn + 1, "c");
        assert_eq!(client.publish(&mut broker, "a", "2", delivery(Q2, 9, true)), ["PUBREC #9 00"]);
        assert_eq!(client.pubrel(&mut broker, 9), ["PUBCOMP #9 00"]);
        assert_eq!(taken(&broker), ["a=2"]);
    }
}

#[test]
fn a_pubrel_sent_again_after_resumption_finds_nothing() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    client.publish(&mut broker, "a", "2", delivery(Q2, 9, false));
    client.pubrel(&mut broker, 9);
    broker.disconnect(1);
    let client = Client::resuming(&mut broker, 2, "c");
    assert_eq!(client.pubrel(&mut broker, 9), ["PUBCOMP #9 92"]);
    assert_eq!(taken(&broker), ["a=2"]);
}

#[test]
fn what_was_accepted_is_recorded_with_all_it_carried() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    let properties = PublishProperties {
        payload_is_utf8: true,
        message_expiry_interval: Some(30),
        content_type: Some("text/plain"),
        response_topic: Some("r"),
        correlation_data: Some(b"x"),
        user_properties: &[("k", "v")],
        ..PublishProperties::default()
    };
    let publish = PublishOut { name: "a", payload: b"p", retain: true, properties, ..PublishOut::default() };
    let mut bytes = Vec::new();
    publish.encode(Version::V5, &mut bytes).unwrap();
    broker.receive(client.conn, &bytes);
    let accepted = broker.take_accepted();
    assert_eq!(broker.accepted(), []);
    assert_eq!((accepted[0].client.as_str(), accepted[0].retain, accepted[0].qos), ("c", true, Q0));
    let expected = MessageProperties {
        payload_is_utf8: true,
        message_expiry_interval: Some(30),
        content_type: Some("text/plain".into()),
        response_topic: Some("r".into()),
        correlation_data: Some(b"x".to_vec()),
        user_properties: vec![("k".into(), "v".into())],
    };
    assert_eq!(accepted[0].properties, expected);
    assert_eq!(broker.retained("a").map(|message| message.payload.as_slice()), Some(&b"p"[..]));
}

#[test]
fn a_packet_cut_anywhere_is_put_together() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    let mut bytes = Vec::new();
    PublishOut { name: "a", payload: b"xyz", ..PublishOut::default() }.encode(Version::V5, &mut bytes).unwrap();
    bytes.extend_from_within(..);
    for octet in bytes {
        broker.receive(client.conn, &[octet]);
    }
    assert_eq!(taken(&broker), ["a=xyz", "a=xyz"]);
}

#[test]
fn acknowledgements_held_back_come_when_told_and_in_order() {
    let mut broker = SimBroker::new(Options { hold_acks: true, ..Options::new() });
    let client = Client::resuming(&mut broker, 1, "c");
    for number in 1..=3 {
        assert_eq!(client.publish(&mut broker, "a", "x", delivery(Q1, number, false)), [""; 0]);
    }
    assert_eq!(broker.held_acks(1), 3);
    broker.release_acks_of(1, 1);
    assert_eq!(client.hear(&mut broker), ["PUBACK #1 00"]);
    broker.options().hold_acks = false;
    assert_eq!(client.publish(&mut broker, "a", "x", delivery(Q1, 4, false)), [""; 0], "not before the older ones");
    broker.release_acks();
    assert_eq!(client.hear(&mut broker), ["PUBACK #2 00", "PUBACK #3 00", "PUBACK #4 00"]);
}

#[test]
fn acknowledgements_get_lost_by_the_seed() {
    let heard = |seed| {
        let mut broker = SimBroker::new(Options { seed, drop_acks_per_mille: 500, ..Options::new() });
        let client = Client::resuming(&mut broker, 1, "c");
        (1..=64).flat_map(|n| client.publish(&mut broker, "a", "x", delivery(Q1, n, false))).collect::<Vec<_>>()
    };
    assert!((16..48).contains(&heard(1).len()), "{}", heard(1).len());
    assert_eq!(heard(1), heard(1));
    assert_ne!(heard(1), heard(2));
}

#[test]
fn a_refused_topic_is_not_taken_at_any_qos() {
    let mut broker = SimBroker::default();
    broker.options().refuse_publish.insert("no".into(), ReasonCode::NOT_AUTHORIZED);
    let client = Client::resuming(&mut broker, 1, "c");
    assert_eq!(client.publish(&mut broker, "no", "0", delivery(Q0, 0, false)), [""; 0]);
    assert_eq!(client.publish(&mut broker, "no", "1", delivery(Q1, 1, false)), ["PUBACK #1 87"]);
    assert_eq!(client.publish(&mut broker, "no", "2", delivery(Q2, 1, false)), ["PUBREC #1 87"]);
    assert_eq!(
        client.publish(&mut broker, "yes", "2", delivery(Q2, 1, false)),
        ["PUBREC #1 00"],
        "the id is free again"
    );
    assert_eq!(taken(&broker), [""; 0]);
}

#[test]
fn it_says_when_nobody_is_subscribed() {
    let mut broker = SimBroker::new(Options { tell_no_subscribers: true, ..Options::new() });
    let client = Client::resuming(&mut broker, 1, "c");
    assert_eq!(client.publish(&mut broker, "a", "1", delivery(Q1, 1, false)), ["PUBACK #1 10"]);
    client.subscribe(&mut broker, 2, Subscription::new("a", Q0), 0);
    assert_eq!(client.publish(&mut broker, "a", "1", delivery(Q1, 1, false)), ["PUBLISH a=1 q0", "PUBACK #1 00"]);
}

#[test]
fn a_crash_without_sessions_forgets_unfinished_exchanges() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    client.publish(&mut broker, "a", "2", delivery(Q2, 9, false));
    broker.crash(Crash { keep_sessions: false, keep_retained: true });
    assert!(!broker.connect(2), "it is down");
    broker.set_up();
    let (client, connack) = Client::connect(&mut broker, 3, "c", false, &[]);
    assert_eq!(connack, ["CONNACK 00"]);
    assert_eq!(client.publish(&mut broker, "a", "2", delivery(Q2, 9, false)), ["PUBREC #9 00"]);
    client.pubrel(&mut broker, 9);
    assert_eq!(taken(&broker), ["a=2"]);
}
