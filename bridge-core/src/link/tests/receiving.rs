//! Messages from the broker, and its faults.

use super::*;

fn message(payload: &str, delivery: Delivery) -> Packet<'_> {
    let properties = Properties::EMPTY;
    Packet::Publish(Publish { topic: "t", delivery, retain: false, properties, payload: payload.as_bytes() })
}

const fn once(packet_id: PacketId) -> Delivery {
    Delivery::ExactlyOnce { packet_id, dup: false }
}

#[test]
fn a_message_is_acknowledged_after_it_was_handed_out() {
    let mut bench = Bench::online(settings());
    let mut octets = Vec::new();
    message("a", Delivery::AtLeastOnce { packet_id: id(9), dup: false }).encode(Version::V5, &mut octets).unwrap();
    let received = bench.link.receive(bench.now, &octets);
    let Inbound { publication, due, .. } = received.message.unwrap();
    assert_eq!((publication.payload, publication.qos, received.consumed), (&b"a"[..], Qos::AtLeastOnce, octets.len()));
    assert_eq!(bench.link.pending(), b"");
    bench.link.acknowledge(due);
    assert_eq!(bench.out(), ["PUBACK 9"]);
}

#[test]
fn an_acknowledgement_is_not_due_on_another_connection() {
    let mut bench = Bench::online(settings());
    let mut octets = Vec::new();
    message("a", Delivery::AtLeastOnce { packet_id: id(9), dup: false }).encode(Version::V5, &mut octets).unwrap();
    let due = bench.link.receive(bench.now, &octets).message.unwrap().due;
    bench.reconnect(true, &[]);
    bench.link.acknowledge(due);
    assert_eq!(bench.out(), [""; 0]);
}

#[test]
fn what_the_broker_has_not_sent_again_takes_no_place() {
    // Messages that had expired by the time of the reconnection, say.
    for again in [false, true] {
        let mut bench = Bench::online(settings());
        let hear = |bench: &mut Bench, number: u16, dup: bool| {
            let (mut octets, packet_id) = (Vec::new(), id(number));
            let delivery = Delivery::ExactlyOnce { packet_id, dup };
            message("a", delivery).encode(Version::V5, &mut octets).unwrap();
            bench.link.receive(bench.now, &octets).message.map(|inbound| inbound.due)
        };
        let mut due: Vec<_> = (1..=RECEIVE_MAXIMUM).map(|number| hear(&mut bench, number, false).unwrap()).collect();
        bench.reconnect(true, &[]);
        bench.out();
        for number in (1..=RECEIVE_MAXIMUM).filter(|_| again) {
            assert_eq!(hear(&mut bench, number, true), None, "it is here");
        }
        let new = hear(&mut bench, RECEIVE_MAXIMUM + 1, false);
        assert_eq!((new.is_some(), bench.link.is_online()), (!again, !again), "sent again: {again}");
        bench.link.acknowledge(due.remove(0));
        let expected: &[&str] = if again { &["DISCONNECT 93"] } else { &[] };
        assert_eq!(bench.out(), expected);
    }
}

#[test]
fn octets_may_come_in_any_pieces() {
    let mut octets = Vec::new();
    for (n, payload) in [(1, "a"), (2, "b")] {
        message(payload, once(id(n))).encode(Version::V5, &mut octets).unwrap();
    }
    for cut in 0..=octets.len() {
        let mut bench = Bench::online(settings());
        let mut unread = Vec::new();
        let mut delivered = 0;
        for piece in [&octets[..cut], &octets[cut..]] {
            unread.extend_from_slice(piece);
            loop {
                let Received { consumed, message } = bench.link.receive(bench.now, &unread);
                let due = message.map(|inbound| inbound.due);
                unread.drain(..consumed);
                let Some(due) = due else { break };
                delivered += 1;
                bench.link.acknowledge(due);
            }
        }
        assert_eq!((delivered, unread.len()), (2, 0), "cut at {cut}");
        assert_eq!(bench.out(), ["PUBREC 1", "PUBREC 2"], "cut at {cut}");
    }
}

#[test]
fn qos_2_is_delivered_once_until_it_is_released() {
    let mut bench = Bench::online(settings());
    assert_eq!(bench.hear(&message("a", once(id(5)))), ["a"]);
    assert_eq!(bench.hear(&message("a", once(id(5)))), [""; 0]);
    assert_eq!(bench.out(), ["PUBREC 5", "PUBREC 5"]);
    assert_eq!(bench.count(LinkCount::Duplicates), 1);
    bench.hear(&Packet::Pubrel(Ack::new(id(5))));
    assert_eq!(bench.out(), ["PUBCOMP 5"]);
    assert_eq!(bench.hear(&message("b", once(id(5)))), ["b"]);
}

#[test]
fn what_nobody_has_kept_yet_is_not_confirmed_when_it_comes_again() {
    for (session_present, confirmed) in [(true, &["PUBREC 5"][..]), (false, &[])] {
        let mut bench = Bench::online(settings());
        let mut octets = Vec::new();
        message("a", once(id(5))).encode(Version::V5, &mut octets).unwrap();
        let due = bench.link.receive(bench.now, &octets).message.unwrap().due;
        bench.reconnect(session_present, &[]);
        if session_present {
            assert_eq!((bench.hear(&message("a", once(id(5)))), bench.out()), (vec![], vec![]));
        }
        bench.link.acknowledge(due);
        assert_eq!(bench.out(), confirmed, "session present: {session_present}");
    }
}

#[test]
fn what_was_delivered_is_remembered_with_the_session_and_forgotten_with_it() {
    let mut bench = Bench::online(settings());
    bench.hear(&message("a", once(id(5))));
    bench.reconnect(true, &[]);
    assert_eq!(bench.hear(&message("a", once(id(5)))), [""; 0]);
    bench.reconnect(false, &[]);
    assert_eq!(bench.hear(&message("a", once(id(5)))), ["a"]);
}

#[test]
fn a_repetition_of_what_somebody_still_writes_down_is_acknowledged_with_it() {
    let mut bench = Bench::online(settings());
    let mut octets = Vec::new();
    message("a", once(id(5))).encode(Version::V5, &mut octets).unwrap();
    let due = bench.link.receive(bench.now, &octets).message.unwrap().due;
    for _ in 0..2 {
        bench.reconnect(true, &[]);
        assert_eq!(bench.hear(&message("a", once(id(5)))), [""; 0]);
        assert_eq!(bench.out(), [""; 0], "it is not written down yet");
    }
    bench.link.acknowledge(due);
    assert_eq!((bench.out(), bench.link.unacknowledged), (vec!["PUBREC 5".to_owned()], 0));
    assert_eq!(bench.hear(&message("a", once(id(5)))), [""; 0]);
    assert_eq!(bench.out(), ["PUBREC 5"]);
}

#[test]
fn an_acknowledgement_of_a_forgotten_session_is_for_no_message_of_the_new_one() {
    let mut bench = Bench::online(settings());
    let mut octets = Vec::new();
    message("a", once(id(5))).encode(Version::V5, &mut octets).unwrap();
    let old = bench.link.receive(bench.now, &octets).message.unwrap().due;
    bench.reconnect(false, &[]);
    let new = bench.link.receive(bench.now, &octets).message.unwrap().due;
    bench.link.acknowledge(old);
    assert_eq!(bench.out(), [""; 0]);
    bench.link.acknowledge(new);
    assert_eq!(bench.out(), ["PUBREC 5"]);
}

#[test]
fn a_release_of_nothing_is_answered_and_counted() {
    let mut bench = Bench::online(settings());
    bench.hear(&Packet::Pubrel(Ack::new(id(5))));
    assert_eq!(bench.out(), ["PUBCOMP 5 92"]);
    assert_eq!(bench.count(LinkCount::UnexpectedRelease), 1);
}

#[test]
fn more_qos_2_than_our_receive_maximum_ends_the_connection() {
    let mut bench = Bench::online(settings());
    for n in 1..=RECEIVE_MAXIMUM {
        assert_eq!(bench.hear(&message("a", once(id(n)))), ["a"]);
    }
    bench.out();
    assert_eq!(bench.hear(&message("a", once(id(2000)))), [""; 0]);
    assert_eq!((bench.out(), bench.link.wish()), (vec!["DISCONNECT 93".into()], Wish::Close));
    assert_eq!(bench.link.unreleased.len(), usize::from(RECEIVE_MAXIMUM));
}

#[test]
fn a_message_names_its_subscriptions() {
    let mut bench = Bench::online(settings());
    let properties =
        [Property::SubscriptionIdentifier(7), Property::SubscriptionIdentifier(9), Property::MessageExpiryInterval(3)];
    let publish = Publish {
        topic: "t",
        delivery: Delivery::AtMostOnce,
        retain: true,
        properties: Properties::list(&properties),
        payload: b"",
    };
    let mut octets = Vec::new();
    Packet::Publish(publish).encode(Version::V5, &mut octets).unwrap();
    let inbound = bench.link.receive(bench.now, &octets).message.unwrap();
    assert_eq!(inbound.subscription_ids().collect::<Vec<_>>(), [7, 9]);
    assert_eq!((inbound.publication.retain, inbound.publication.expiry_s), (true, Some(3)));
    bench.link.acknowledge(inbound.due);
    assert_eq!(bench.link.pending(), b"", "QoS 0 has no acknowledgement");
}

#[test]
fn faults_of_the_broker_end_the_connection_and_are_told() {
    let alias = [Property::TopicAlias(1)];
    let mut aliased = Vec::new();
    let properties = Properties::list(&alias);
    let publish = Publish { topic: "t", delivery: Delivery::AtMostOnce, retain: false, properties, payload: b"" };
    Packet::Publish(publish).encode(Version::V5, &mut aliased).unwrap();
    let table: [(&[u8], &str, &str); 6] = [
        (&[0x00, 0], "packet type 0", "DISCONNECT 81"),
        (&[0x40, 2, 0, 0], "packet id 0", "DISCONNECT 82"),
        (&[0xC0, 0], "PINGREQ", "DISCONNECT 82"),
        (&[0x20, 3, 0, 0, 0], "a second CONNACK", "DISCONNECT 82"),
        (&[0xF0, 0], "AUTH", "DISCONNECT 82"),
        (&aliased, "a topic alias", "DISCONNECT 94"),
    ];
    for (octets, rule, expected) in table {
        let mut bench = Bench::online(settings());
        bench.hear_octets(octets);
        assert_eq!(bench.out(), [expected], "{rule}");
        assert_eq!((bench.link.wish(), bench.events()), (Wish::Close, vec![LinkEvent::Down]), "{rule}");
        assert_eq!(bench.link.receive(bench.now, b"anything").consumed, 8, "{rule}: nothing is read any more");
    }
    let mut bench = Bench::online(LinkSettings { max_packet_size: 100, ..settings() });
    bench.hear_octets(&[0x30, 99]);
    assert_eq!(bench.out(), ["DISCONNECT 95"], "a packet above what we announced");
}

#[test]
fn a_message_with_a_value_that_its_sender_should_not_have_chosen_is_dropped_and_answered() {
    // Response Topic "#", which mosquitto passes on.
    let table: [(&[u8], &str, &[&str]); 7] = [
        (&[0x32, 10, 0, 1, b't', 0, 9, 4, 0x03, 0, 1, 0xFF], "a content type that is not UTF-8", &["PUBACK 9 83"]),
        (&[0x32, 6, 0, 1, 0xFF, 0, 9, 0], "a topic that is not UTF-8", &["PUBACK 9 83"]),
        (&[0x32, 6, 0, 1, b'#', 0, 9, 0], "a topic with a wildcard", &["PUBACK 9 83"]),
        (&[0x30, 8, 0, 1, b't', 4, 0x08, 0, 1, b'#'], "QoS 0", &[]),
        (&[0x32, 10, 0, 1, b't', 0, 9, 4, 0x08, 0, 1, b'#'], "QoS 1", &["PUBACK 9 83"]),
        (&[0x34, 10, 0, 1, b't', 0, 9, 4, 0x08, 0, 1, b'#'], "QoS 2", &["PUBREC 9 83"]),
        (&[0x3D, 10, 0, 1, b't', 0, 9, 4, 0x08, 0, 1, b'#'], "QoS 2, again, retained", &["PUBREC 9 83"]),
    ];
    for (octets, rule, expected) in table {
        let mut bench = Bench::online(settings());
        assert_eq!(bench.hear_octets(octets), [""; 0], "{rule}");
        assert_eq!(
            (bench.out(), bench.link.wish()),
            (expected.iter().map(|&s| s.to_owned()).collect(), Wish::Nothing),
            "{rule}"
        );
        assert_eq!((bench.count(LinkCount::Unusable), bench.count(LinkCount::Received)), (1, 0), "{rule}");
        assert_eq!(bench.hear(&message("next", once(id(9)))), ["next"], "{rule}");
    }
    let mut bench = Bench::online(settings());
    bench.hear_octets(&[0x32, 10, 0, 1, b't', 0, 0, 4, 0x08, 0, 1, b'#']);
    assert_eq!(bench.out(), ["DISCONNECT 82"], "without a packet id there is nothing to answer");
}

#[test]
fn a_fault_in_3_1_1_leaves_the_will_in_force() {
    let mut bench = Bench::online(LinkSettings { version: VersionChoice::V311, session_expiry_s: 0, ..settings() });
    bench.hear_octets(&[0x00, 0]);
    assert_eq!((bench.link.pending(), bench.link.wish()), (&b""[..], Wish::Close));
}
