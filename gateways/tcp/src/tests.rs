//! What the machine makes of a device's own MQTT connection: receipts that it gives back, ends that it is told of.

use crate::counts::Count;
use crate::fuzzing::Bench;
use bridge_core::Qos;
use bridge_core::downlink::{Delivery, Downlink};
use bridge_core::machine::Input;
use bridge_core::publication::{Publication, Shared};
use bridge_core::slab::Key;
use bridge_core::streams::CloseReason;
use bridge_core::topic::TopicName;
use bridge_core::uplink::{Ending, Identity, OwnLink, Receipt, Refusal, Token};

const LINK: OwnLink = OwnLink(Key { slot: 1, generation: 0 });
/// Each device has its own; somebody is asked.
const OWN_LINKS: u8 = 0x80 | 0x20;
/// CONNECT of "a".
const CONNECT: &[u8] = b"\x10\x00\x04\x00\x00\x01a";

fn key(bench: &Bench) -> Key {
    bench.machine.keys().next().unwrap()
}

/// "a" has connected. (The bridge of these tests has no links of clients' own: it takes back any receipt.)
fn bench() -> Bench {
    let mut bench = Bench::new(OWN_LINKS);
    bench.send(0, 0, CONNECT);
    let applicant = Token(key(&bench).to_bits());
    bench.handle(Input::Decided { applicant, verdict: Ok(&Identity::default()), link: None });
    bench.take(0, usize::MAX);
    assert_eq!(bench.machine.base.counts.get(Count::Active), 1);
    bench
}

fn down(bench: &mut Bench, down: Downlink<'_>) {
    let client = Token(key(bench).to_bits());
    bench.handle(Input::Down { client, down });
    bench.check();
}

/// A message of so many octets, which the broker keeps a copy of.
fn message(bench: &mut Bench, number: u32, octets: usize) {
    let topic = TopicName::try_from("tcp/a/dn").unwrap();
    let (payload, qos) = (vec![b'x'; octets], Qos::AtLeastOnce);
    let message = Shared::new(Publication { topic, payload: &payload, qos, retain: false, expiry_s: Some(3) });
    let receipt = Some(Receipt { link: LINK, number, again: false });
    down(bench, Downlink::Message(Delivery { message: &message, qos, subscription: Token(0), receipt }));
}

fn copies(bench: &Bench) -> u64 {
    bench.machine.base.copies
}

#[test]
fn a_receipt_is_given_back_when_the_message_is_written_or_never_will_be() {
    let mut bench = bench();
    message(&mut bench, 1, 30);
    assert_eq!(copies(&bench), 0, "written");
    message(&mut bench, 2, 70_000);
    assert_eq!(copies(&bench), 0, "no frame can say it");
    // 33 octets are on their way, 40 is the mark.
    message(&mut bench, 3, 10);
    let most_held = 2;
    for number in 4..8 {
        message(&mut bench, number, 1);
    }
    assert_eq!(copies(&bench), most_held, "the others had to go");
    bench.take(0, usize::MAX);
    assert_eq!(copies(&bench), 0);
}

#[test]
fn what_a_device_leaves_behind_nobody_keeps_a_receipt_of() {
    let mut bench = bench();
    message(&mut bench, 1, 60);
    message(&mut bench, 2, 1);
    assert_eq!(copies(&bench), 1);
    bench.hang_up(0, CloseReason::Peer);
    assert_eq!(copies(&bench), 0);
}

#[test]
fn when_the_broker_ends_its_connection_a_device_is_closed() {
    for (why, taken_over) in [(Ending::TakenOver, 1), (Ending::Kicked, 0), (Ending::NotAuthorised, 0)] {
        let mut bench = bench();
        let conn = bench.lines[0].as_ref().unwrap().conn;
        let client = Token(key(&bench).to_bits());
        bench.handle(Input::Down { client, down: Downlink::Ended(why) });
        assert!(bench.streams.is_closing(conn), "{why:?}");
        assert_eq!(bench.machine.base.counts.get(Count::TakenOver), taken_over);
        bench.check();
        assert_eq!(bench.machine.keys().count(), 0);
    }
}

#[test]
#[rustfmt::skip]
fn the_brokers_refusal_reaches_the_device() {
    for (why, text) in [
        (Refusal::Broker(0x87),    "Authentication Failed"),
        (Refusal::Broker(0x86),    "Authentication Failed"),
        (Refusal::Broker(0x85),    "Client Id Not Allowed"),
        (Refusal::Broker(0x8A),    "Banned"),
        (Refusal::Broker(0x88),    "Server Unavailable"),
        (Refusal::Broker(0x89),    "Server Busy"),
        (Refusal::BrokerAway,      "Server Unavailable"),
        (Refusal::Busy,            "Server Busy"),
        (Refusal::BadCredentials,  "Authentication Failed"),
    ] {
        let mut bench = Bench::new(OWN_LINKS);
        bench.send(0, 0, CONNECT);
        let conn = bench.lines[0].as_ref().unwrap().conn;
        let applicant = Token(key(&bench).to_bits());
        bench.handle(Input::Decided { applicant, verdict: Err(why), link: None });
        let said = [&[0x21, 0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        assert_eq!((bench.streams.pending(conn), bench.streams.is_closing(conn)), (&said[..], true), "{why:?}");
    }
}
