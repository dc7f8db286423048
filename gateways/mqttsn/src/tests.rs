//! What the machine makes of a client's own MQTT connection: receipts that it gives back, ends that it is told of.

use crate::fuzzing::{Bench, peer};
use bridge_core::Qos;
use bridge_core::downlink::{Delivery, Downlink};
use bridge_core::machine::Input;
use bridge_core::peer::Proven;
use bridge_core::publication::{Publication, Shared};
use bridge_core::slab::Key;
use bridge_core::topic::TopicName;
use bridge_core::uplink::{Ending, OwnLink, Receipt, Token};

const NOTHING: [&str; 0] = [];
/// CONNECT of "d", with CleanSession and without.
const CLEAN: &str = "0704040 1003c64";
const KEPT: &str = "07040001003c64";
const PINGREQ: &str = "031664";
const DISCONNECT: &str = "0218";
const PINGRESP: &str = "0217";
/// PUBLISH of "p/1" with payload "x": at QoS 0, and first and again at QoS 1 and 2.
const AT_0: &str = "080c01000100 0078";
const AT_1: &str = "080c2100010001 78";
const AT_1_AGAIN: &str = "080ca100010001 78";
const AT_2: &str = "080c4100010001 78";
const PUBACK: &str = "070d0001000100";
const PUBREC: &str = "040f0001";
const PUBREL: &str = "04100001";
const PUBCOMP: &str = "040e0001";
const LINK: OwnLink = OwnLink(Key { slot: 1, generation: 0 });
const NEWER_LINK: OwnLink = OwnLink(Key { slot: 2, generation: 0 });

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn said(bench: &Bench) -> Vec<Vec<u8>> {
    bench.machine.check();
    bench.said.clone()
}

fn all(hex: &[&str]) -> Vec<Vec<u8>> {
    hex.iter().map(|hex| octets(hex)).collect()
}

fn ask(bench: &mut Bench, hex: &str) -> Vec<Vec<u8>> {
    bench.handle(Input::Datagram { peer: peer(1), proven: Proven::default(), bytes: &octets(hex) });
    said(bench)
}

/// "x" comes over the first connection.
fn message(bench: &mut Bench, number: u32, qos: Qos, topic: &str) -> Vec<Vec<u8>> {
    deliver(bench, Receipt { link: LINK, number, again: false }, qos, topic)
}

/// It comes again, over the second.
fn repetition(bench: &mut Bench, number: u32, qos: Qos, topic: &str) -> Vec<Vec<u8>> {
    deliver(bench, Receipt { link: NEWER_LINK, number, again: true }, qos, topic)
}

fn deliver(bench: &mut Bench, receipt: Receipt, qos: Qos, topic: &str) -> Vec<Vec<u8>> {
    let topic = TopicName::try_from(topic).unwrap();
    let what = Publication { topic, payload: b"x", qos, retain: false, expiry_s: Some(5) };
    let message = Shared::new(what);
    down(
        bench,
        Downlink::Message(Delivery { message: &message, qos, subscription: Token::NONE, receipt: Some(receipt) }),
    )
}

fn down(bench: &mut Bench, down: Downlink<'_>) -> Vec<Vec<u8>> {
    let client = bench.machine.keys().next().map(|key| Token(key.to_bits())).unwrap();
    bench.handle(Input::Down { client, down });
    said(bench)
}

fn wait(bench: &mut Bench, ms: u64) -> Vec<Vec<u8>> {
    bench.now_ms += ms;
    bench.handle(Input::Timer);
    said(bench)
}

fn held(bench: &Bench) -> u64 {
    bench.machine.base.copies.get()
}

#[test]
#[rustfmt::skip]
fn when_the_broker_ends_its_connection_a_client_is_told_unless_it_sleeps_and_goes() {
    for (before, told, sessions) in [
        (&[CLEAN][..],                     &[DISCONNECT][..], 0),
        (&[KEPT],                          &[DISCONNECT],     1),
        (&[KEPT, "0418003d"],              &NOTHING,          1),
        (&[CLEAN, "0418003d"],             &NOTHING,          0),
        (&[KEPT, "0218"],                  &NOTHING,          1), // It has gone already.
        (&[KEPT, "07040401003c64"],        &[DISCONNECT],     0), // CONNECT again, with CleanSession.
        (&[KEPT, "07040801003c64"],        &[DISCONNECT],     1), // In its will dialogue.
        (&["07040801003c64"],              &NOTHING,          1), // In its first: it has none that could end.
    ] {
        let mut bench = Bench::new();
        for hex in before {
            ask(&mut bench, hex);
        }
        assert_eq!(down(&mut bench, Downlink::Ended(Ending::TakenOver)), all(told), "{before:?}");
        assert_eq!(bench.machine.keys().count(), sessions, "{before:?}");
        if sessions > 0 {
            assert_eq!(down(&mut bench, Downlink::Ended(Ending::Kicked)), all(&NOTHING), "{before:?}: told twice");
        }
    }
}

#[test]
fn a_client_that_the_broker_ended_is_a_stranger_and_may_come_again() {
    let mut bench = Bench::new();
    ask(&mut bench, KEPT);
    down(&mut bench, Downlink::Ended(Ending::Kicked));
    assert_eq!(ask(&mut bench, "0216"), all(&[DISCONNECT]));
    assert_eq!(ask(&mut bench, KEPT), all(&["030500"]));
}

#[test]
#[rustfmt::skip]
fn a_receipt_is_held_until_the_client_has_the_message_or_never_will() {
    // QoS; each step: what the client says (or seconds that pass), what it is told, receipts that are held then.
    type Step<'a> = (&'a str, &'a [&'a str], u64);
    let scripts: &[(Qos, &[Step<'_>])] = &[
        (Qos::AtLeastOnce, &[(PUBACK, &[], 0)]),
        (Qos::AtLeastOnce, &[("070d0001000103", &[], 0)]), // PUBACK 3: it would not have it
        (Qos::AtLeastOnce, &[("070d0001000101", &[], 1), ("s2", &[AT_1_AGAIN], 1), (PUBACK, &[], 0)]),
        (Qos::AtLeastOnce, &[("070d0001000102", &["090a040100027 02f31"], 1), ("070b0401000203", &[], 0)]),
        (Qos::AtLeastOnce, &[("s2", &[AT_1_AGAIN], 1), ("s3", &[DISCONNECT], 1)]), // lost: the broker keeps it, too
        (Qos::AtLeastOnce, &[("070d0001000101", &[], 1), ("s6", &[], 0)]), // it expires
        (Qos::ExactlyOnce, &[(PUBREC, &[PUBREL], 0), (PUBREC, &[PUBREL], 0), (PUBCOMP, &[], 0)]),
        (Qos::AtMostOnce,  &[(PINGREQ, &[PINGRESP], 0)]),
        (Qos::AtLeastOnce, &[("07040401003c64", &["030500"], 0)]), // a new session
        (Qos::AtLeastOnce, &[(KEPT, &["030500", AT_1_AGAIN], 1), (PUBACK, &[], 0)]),
        (Qos::AtLeastOnce, &[(DISCONNECT, &[DISCONNECT], 1), ("s200", &[], 0)]), // the session ends
    ];
    for (number, (qos, steps)) in scripts.iter().enumerate() {
        let mut bench = Bench::new();
        ask(&mut bench, KEPT);
        let first = match qos { Qos::AtMostOnce => AT_0, Qos::AtLeastOnce => AT_1, Qos::ExactlyOnce => AT_2 };
        assert_eq!(message(&mut bench, 1, *qos, "p/1"), all(&[first]), "script {number}");
        assert_eq!(held(&bench), u64::from(*qos != Qos::AtMostOnce), "script {number}");
        for (step, told, receipts) in *steps {
            let heard = match step.strip_prefix('s') {
                Some(seconds) => wait(&mut bench, seconds.parse::<u64>().unwrap() * 1000),
                None => ask(&mut bench, step),
            };
            assert_eq!(heard, all(told), "script {number}, {step}");
            assert_eq!(held(&bench), *receipts, "script {number}, {step}");
        }
    }
}

#[test]
fn a_message_for_which_there_is_no_topic_id_gives_its_receipt_back() {
    let mut bench = Bench::new();
    ask(&mut bench, KEPT);
    for topic in ["t/1", "t/2", "t/3", "t/4", "t/5"] {
        message(&mut bench, 1, Qos::AtLeastOnce, topic);
    }
    assert_eq!(held(&bench), 4);
    assert_eq!(ask(&mut bench, "070b0401000103"), all(&["090a04020002742f32"]), "the first is refused");
    assert_eq!(held(&bench), 3);
}

#[test]
fn what_the_broker_sends_again_over_a_new_connection_is_here_already() {
    let mut bench = Bench::new();
    ask(&mut bench, KEPT);
    assert_eq!(message(&mut bench, 1, Qos::AtLeastOnce, "p/1"), all(&[AT_1]));
    assert_eq!(message(&mut bench, 2, Qos::AtLeastOnce, "p/1"), all(&NOTHING), "the same again, as it happens");
    assert_eq!(held(&bench), 2);
    for number in [1, 2] {
        assert_eq!(repetition(&mut bench, number, Qos::AtLeastOnce, "p/1"), all(&NOTHING));
    }
    assert_eq!(held(&bench), 2, "both are known");
    deliver(&mut bench, Receipt { link: NEWER_LINK, number: 3, again: false }, Qos::AtLeastOnce, "p/1");
    assert_eq!(held(&bench), 3, "a third is new");
    for id in ["01", "02", "03"] {
        ask(&mut bench, &format!("070d000100{id}00"));
    }
    assert_eq!(held(&bench), 0);
    assert_eq!(
        repetition(&mut bench, 1, Qos::AtLeastOnce, "p/1"),
        all(&["080c210001000478"]),
        "nobody has it any more"
    );
}

#[test]
fn each_of_two_equal_ones_is_known_once() {
    let mut bench = Bench::new();
    ask(&mut bench, KEPT);
    let receipts = |bench: &Bench| {
        let session = bench.machine.sessions.iter().next().unwrap().1;
        let flight = session.down.in_flight.iter().map(|flight| &flight.held);
        let all = flight.chain(session.down.queue.iter()).map(|held| held.receipt.unwrap());
        all.map(|receipt| (receipt.link == NEWER_LINK, receipt.number)).collect::<Vec<_>>()
    };
    for number in [1, 2] {
        message(&mut bench, number, Qos::AtLeastOnce, "p/1");
    }
    repetition(&mut bench, 7, Qos::AtLeastOnce, "p/1");
    assert_eq!(receipts(&bench), [(true, 7), (false, 2)]);
    repetition(&mut bench, 8, Qos::AtLeastOnce, "p/1");
    assert_eq!(receipts(&bench), [(true, 7), (true, 8)]);
    // The same connection came back: what it brings once more takes the place of the older again.
    repetition(&mut bench, 9, Qos::AtLeastOnce, "p/1");
    assert_eq!((receipts(&bench), held(&bench)), (vec![(true, 9), (true, 8)], 2));
}

#[test]
fn what_differs_or_is_no_repetition_is_another_message() {
    let mut bench = Bench::new();
    ask(&mut bench, KEPT);
    message(&mut bench, 1, Qos::AtLeastOnce, "p/1");
    repetition(&mut bench, 1, Qos::ExactlyOnce, "p/1");
    repetition(&mut bench, 2, Qos::AtLeastOnce, "p/2");
    assert_eq!(held(&bench), 3);
    deliver(&mut bench, Receipt { link: NEWER_LINK, number: 3, again: false }, Qos::AtLeastOnce, "p/1");
    assert_eq!(held(&bench), 4, "equal, but the broker has not sent it before");
}

#[test]
fn a_message_of_qos_2_that_the_client_has_received_is_not_sent_twice() {
    let mut bench = Bench::new();
    ask(&mut bench, KEPT);
    message(&mut bench, 1, Qos::ExactlyOnce, "p/1");
    assert_eq!(ask(&mut bench, PUBREC), all(&[PUBREL]));
    // The connection was gone when that was said.
    assert_eq!(repetition(&mut bench, 1, Qos::ExactlyOnce, "p/1"), all(&NOTHING));
    assert_eq!(held(&bench), 0);
    assert_eq!(ask(&mut bench, PUBCOMP), all(&NOTHING));
    assert_eq!(repetition(&mut bench, 2, Qos::ExactlyOnce, "p/1"), all(&["080c410001000278"]));
}
