//! Each breach of the protocol stops the test in words.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The words that the broker stops with when a client of `options` does `breach`; empty when it does not stop.
fn words(options: Options, breach: impl FnOnce(&mut SimBroker, &Client)) -> String {
    let mut broker = SimBroker::new(options);
    let client = Client::resuming(&mut broker, 1, "c");
    match catch_unwind(AssertUnwindSafe(|| breach(&mut broker, &client))) {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[track_caller]
fn refused(expected: &str, options: Options, breach: impl FnOnce(&mut SimBroker, &Client)) {
    let words = words(options, breach);
    assert!(words.contains("client \"c\"") && words.contains(expected), "{words:?} does not say {expected:?}");
}

#[test]
fn a_packet_id_is_in_use_until_the_client_can_know_better() {
    refused("packet id in use", Options::new(), |b, c| {
        c.offer(b, "a", "1", delivery(Q1, 1, false));
        c.offer(b, "a", "2", delivery(Q1, 1, false));
    });
    refused("packet id in use", Options::new(), |b, c| {
        c.publish(b, "a", "1", delivery(Q2, 1, false));
        c.offer(b, "a", "1", delivery(Q2, 1, false));
    });
    refused("packet id 1 of a request is in use", Options::new(), |b, c| {
        c.offer(b, "a", "1", delivery(Q1, 1, false));
        c.subscribe(b, 1, Subscription::new("a", Q0), 0);
    });
    let fine = words(Options::new(), |b, c| {
        c.publish(b, "a", "1", delivery(Q1, 1, false));
        c.publish(b, "a", "2", delivery(Q1, 1, false));
    });
    assert_eq!(fine, "");
}

#[test]
fn the_receive_maximum_counts_until_puback_or_pubcomp_is_read() {
    let two = || Options { receive_maximum: 2, ..Options::new() };
    refused("more in flight than the receive maximum", two(), |b, c| {
        (1..=3).for_each(|n| c.offer(b, "a", "x", delivery(Q1, n, false)));
    });
    refused("more in flight than the receive maximum", two(), |b, c| {
        (1..=3).for_each(|n| drop(c.publish(b, "a", "x", delivery(Q2, n, false))));
    });
    let fine = words(two(), |b, c| {
        (1..=2).for_each(|n| drop(c.publish(b, "a", "x", delivery(Q2, n, false))));
        c.offer(b, "a", "x", delivery(Q0, 0, false));
        c.pubrel(b, 1);
        c.offer(b, "a", "x", delivery(Q1, 1, false));
    });
    assert_eq!(fine, "");
}

#[test]
fn limits_of_connack_hold() {
    refused("above the maximum QoS", Options { maximum_qos: Q1, ..Options::new() }, |b, c| {
        c.offer(b, "a", "x", delivery(Q2, 1, false));
    });
    refused("TooLarge", Options { maximum_packet_size: Some(40), ..Options::new() }, |b, c| {
        c.offer(b, "a", &"x".repeat(40), delivery(Q0, 1, false));
    });
    refused(
        "identifier, which is not available",
        Options { subscription_identifiers: false, ..Options::new() },
        |b, c| {
            c.subscribe(b, 1, Subscription::new("a", Q0), 4);
        },
    );
    refused("retain, which is not available", Options { retain_available: false, ..Options::new() }, |b, c| {
        let mut bytes = Vec::new();
        PublishOut { name: "a", retain: true, ..PublishOut::default() }.encode(c.version, &mut bytes).unwrap();
        b.receive(c.conn, &bytes);
    });
}

#[test]
fn dup_is_for_what_the_session_may_have_seen() {
    refused("DUP in a session that has never seen it", Options::new(), |b, c| {
        c.offer(b, "a", "x", delivery(Q1, 1, true));
    });
    refused("unfinished QoS 2 exchange, without DUP", Options::new(), |b, c| {
        c.offer(b, "a", "x", delivery(Q2, 1, false));
        b.disconnect(c.conn);
        Client::resuming(b, 2, "c").offer(b, "a", "x", delivery(Q2, 1, false));
    });
    refused("PUBREL 4 of no publication", Options::new(), |b, c| drop(c.pubrel(b, 4)));
}

#[test]
fn acknowledgements_name_what_is_due_and_in_order() {
    let receive = |b: &mut SimBroker, c: &Client, qos| {
        c.subscribe(b, 1, Subscription::new("#", Q2), 0);
        b.publish(Message::new("a", "1", qos));
        b.publish(Message::new("a", "2", qos));
        c.hear(b);
    };
    refused("PUBACK 1 is not due", Options::new(), |b, c| drop(c.puback(b, 1)));
    refused("PUBACK 2 is not due", Options::new(), |b, c| {
        receive(b, c, Q1);
        c.puback(b, 2);
    });
    refused("PUBACK 1 is not due", Options::new(), |b, c| {
        receive(b, c, Q2);
        c.puback(b, 1);
    });
    refused("PUBREC 2 is not due", Options::new(), |b, c| {
        receive(b, c, Q2);
        c.pubrec(b, 2);
    });
    refused("PUBCOMP 1 is not due", Options::new(), |b, c| {
        receive(b, c, Q2);
        c.pubcomp(b, 1);
    });
    refused("PUBREC 1 is not due", Options::new(), |b, c| {
        receive(b, c, Q2);
        c.pubrec(b, 1);
        c.pubrec(b, 1);
    });
}

#[test]
fn only_clients_packets_and_in_their_place() {
    refused("from a connected client", Options::new(), |b, c| {
        c.send(b, &Packet::Connect(Connect::new(Level::V5, "c", true, 0)));
    });
    refused("Pingresp from a connected client", Options::new(), |b, c| drop(c.send(b, &Packet::Pingresp)));
    refused("Malformed", Options::new(), |b, c| b.receive(c.conn, &[0x00, 0x00]));
    let early = words(Options::new(), |b, _client| {
        b.connect(2);
        b.receive(2, &[0xC0, 0]);
    });
    assert!(early.contains("Pingreq before CONNECT"), "{early}");
}
