//! Messages to subscribers.

use super::*;
use codec_mqtt::{PublishProperties, RetainHandling};

fn message(topic: &str, payload: &str, qos: Qos) -> Message {
    Message::new(topic, payload, qos)
}

#[test]
fn the_lower_qos_of_message_and_subscription_counts() {
    for (subscribed, published, expected) in
        [(Q0, Q2, "q0"), (Q1, Q0, "q0"), (Q1, Q1, "q1 #1"), (Q1, Q2, "q1 #1"), (Q2, Q2, "q2 #1")]
    {
        let mut broker = SimBroker::default();
        let client = Client::resuming(&mut broker, 1, "c");
        let granted = format!("SUBACK #1 [{:02X}]", subscribed.bits());
        assert_eq!(client.subscribe(&mut broker, 1, Subscription::new("a/+", subscribed), 0), [granted]);
        broker.publish(message("a/b", "x", published));
        assert_eq!(client.hear(&mut broker), [format!("PUBLISH a/b=x {expected}")]);
    }
}

#[test]
fn overlapping_subscriptions_bring_one_copy_each_or_one_with_all_identifiers() {
    for (merge_overlaps, expected) in [
        (false, vec!["PUBLISH a/b=x q1 #1 @7", "PUBLISH a/b=x q0 @8", "PUBLISH a/b=x q1 #2 @9"]),
        (true, vec!["PUBLISH a/b=x q1 #1 @7 @8 @9"]),
    ] {
        let mut broker = SimBroker::new(Options { merge_overlaps, ..Options::new() });
        let client = Client::resuming(&mut broker, 1, "c");
        client.subscribe(&mut broker, 1, Subscription::new("a/#", Q0), 8);
        client.subscribe(&mut broker, 1, Subscription::new("a/+", Q2), 9);
        client.subscribe(&mut broker, 1, Subscription::new("a/b", Q1), 7);
        broker.publish(message("a/b", "x", Q1));
        assert_eq!(client.hear(&mut broker), expected);
    }
}

#[test]
fn the_clients_receive_maximum_and_our_window_hold_messages_back() {
    for (theirs, ours) in [(2, 9), (9, 2)] {
        let mut broker = SimBroker::new(Options { send_window: ours, ..Options::new() });
        let (client, _connack) = Client::connect(&mut broker, 1, "c", true, &[Property::ReceiveMaximum(theirs)]);
        client.subscribe(&mut broker, 1, Subscription::new("#", Q2), 0);
        for payload in ["1", "2", "3", "4"] {
            broker.publish(message("a", payload, Q2));
        }
        broker.publish(message("a", "now", Q0));
        assert_eq!(client.hear(&mut broker), ["PUBLISH a=1 q2 #1", "PUBLISH a=2 q2 #2", "PUBLISH a=now q0"]);
        assert_eq!(client.pubrec(&mut broker, 1), ["PUBREL #1"]);
        assert_eq!(client.pubcomp(&mut broker, 1), ["PUBLISH a=3 q2 #3"]);
        assert_eq!(broker.undelivered("c"), 3);
    }
}

#[test]
fn what_was_in_flight_comes_again_with_dup_and_what_waited_after_it() {
    let mut broker = SimBroker::new(Options { send_window: 3, ..Options::new() });
    let client = Client::resuming(&mut broker, 1, "c");
    client.subscribe(&mut broker, 1, Subscription::new("#", Q2), 0);
    for (payload, qos) in [("1", Q2), ("2", Q1), ("3", Q2), ("4", Q1)] {
        broker.publish(message("a", payload, qos));
    }
    client.hear(&mut broker);
    client.pubrec(&mut broker, 1);
    broker.disconnect(1);
    broker.publish(message("a", "lost", Q0));
    broker.publish(message("a", "5", Q1));
    let (client, heard) = Client::connect(&mut broker, 2, "c", false, &[Property::SessionExpiryInterval(60)]);
    let again = ["CONNACK 00 present", "PUBREL #1", "PUBLISH a=2 q1 #2 dup", "PUBLISH a=3 q2 #3 dup"];
    assert_eq!(heard, again);
    assert_eq!(client.pubcomp(&mut broker, 1), ["PUBLISH a=4 q1 #4"]);
    assert_eq!(client.puback(&mut broker, 2), ["PUBLISH a=5 q1 #5"]);
    client.pubrec(&mut broker, 3);
    client.pubcomp(&mut broker, 3);
    client.puback(&mut broker, 4);
    client.puback(&mut broker, 5);
    assert_eq!(broker.undelivered("c"), 0);
}

#[test]
fn retained_messages_come_as_retain_handling_says() {
    let mut broker = SimBroker::default();
    broker.publish(message("a/1", "x", Q1).retained());
    broker.publish(message("a/2", "gone", Q1).retained());
    broker.publish(message("a/2", "", Q1).retained());
    let client = Client::resuming(&mut broker, 1, "c");
    let with = |retain_handling| Subscription { retain_handling, ..Subscription::new("a/#", Q0) };
    let (send, if_new, never) = (RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend);
    let both = ["SUBACK #1 [00]", "PUBLISH a/1=x q0 retain @3"];
    assert_eq!(client.subscribe(&mut broker, 1, with(never), 3), both[..1]);
    assert_eq!(client.subscribe(&mut broker, 1, with(if_new), 3), both[..1], "not new");
    assert_eq!(client.subscribe(&mut broker, 1, with(send), 3), both);
    assert_eq!(client.unsubscribe(&mut broker, 1, "a/#"), ["UNSUBACK #1 [00]"]);
    assert_eq!(client.subscribe(&mut broker, 1, with(if_new), 3), both);
    let shared = Subscription::new("$share/g/a/#", Q0);
    assert_eq!(client.subscribe(&mut broker, 1, shared, 3), both[..1], "shared subscriptions bring none");
}

#[test]
fn live_messages_keep_their_retain_flag_only_if_asked_to() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    let subscription = Subscription::new("a", Q0);
    client.subscribe(&mut broker, 1, subscription, 0);
    broker.publish(message("a", "x", Q0).retained());
    assert_eq!(client.hear(&mut broker), ["PUBLISH a=x q0"]);
    let kept = Subscription { retain_as_published: true, retain_handling: RetainHandling::DoNotSend, ..subscription };
    client.subscribe(&mut broker, 1, kept, 0);
    broker.publish(message("a", "x", Q0).retained());
    assert_eq!(client.hear(&mut broker), ["PUBLISH a=x q0 retain"]);
}

#[test]
fn no_local_keeps_own_messages_away() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    client.subscribe(&mut broker, 1, Subscription { no_local: true, ..Subscription::new("a", Q0) }, 0);
    assert_eq!(client.publish(&mut broker, "a", "own", delivery(Q0, 0, false)), [""; 0]);
    broker.publish(message("a", "other", Q0));
    assert_eq!(client.hear(&mut broker), ["PUBLISH a=other q0"]);
}

#[test]
fn members_of_a_shared_subscription_take_turns_while_they_are_here() {
    let mut broker = SimBroker::default();
    let clients = [Client::resuming(&mut broker, 1, "c1"), Client::resuming(&mut broker, 2, "c2")];
    for client in &clients {
        client.subscribe(&mut broker, 1, Subscription::new("$share/g/a/+", Q1), 0);
    }
    for payload in ["1", "2", "3"] {
        broker.publish(message("a/b", payload, Q0));
    }
    assert_eq!(clients[0].hear(&mut broker), ["PUBLISH a/b=1 q0", "PUBLISH a/b=3 q0"]);
    assert_eq!(clients[1].hear(&mut broker), ["PUBLISH a/b=2 q0"]);
    broker.disconnect(1);
    broker.publish(message("a/b", "4", Q0));
    broker.publish(message("a/b", "5", Q0));
    assert_eq!(clients[1].hear(&mut broker), ["PUBLISH a/b=4 q0", "PUBLISH a/b=5 q0"]);
}

#[test]
fn a_message_above_the_clients_packet_limit_is_left_out() {
    let mut broker = SimBroker::default();
    let (client, _connack) = Client::connect(&mut broker, 1, "c", true, &[Property::MaximumPacketSize(20)]);
    client.subscribe(&mut broker, 1, Subscription::new("#", Q1), 0);
    broker.publish(message("a", &"x".repeat(30), Q1));
    broker.publish(message("a", "x", Q1));
    assert_eq!(client.hear(&mut broker), ["PUBLISH a=x q1 #2"]);
    assert_eq!(broker.undelivered("c"), 1);
}

#[test]
fn properties_reach_the_subscriber() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    client.subscribe(&mut broker, 1, Subscription::new("a", Q0), 5);
    let properties = PublishProperties {
        content_type: Some("t"),
        response_topic: Some("r"),
        correlation_data: Some(b"x"),
        message_expiry_interval: Some(9),
        payload_is_utf8: true,
        user_properties: &[("k", "v"), ("k", "w")],
        ..PublishProperties::default()
    };
    let mut bytes = Vec::new();
    PublishOut { name: "a", properties, ..PublishOut::default() }.encode(Version::V5, &mut bytes).unwrap();
    broker.receive(client.conn, &bytes);
    let heard = broker.take_output(client.conn);
    let Ok(Packet::Publish(publish)) = decode_from_server(&heard, Version::V5) else { panic!("{heard:02X?}") };
    assert_eq!(publish.properties.iter().count(), 8);
    assert_eq!(publish.properties.user_properties().collect::<Vec<_>>(), [("k", "v"), ("k", "w")]);
    assert_eq!(publish.properties.response_topic(), Some("r"));
}
