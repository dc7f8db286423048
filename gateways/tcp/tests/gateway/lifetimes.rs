//! What time does.

use crate::frames::{connect, data};
use crate::world::{Qos, Setup, World};
use bridge_core::streams::Marks;
use settings::HumanDuration;
use tcp_gateway::TcpConfig;

#[test]
fn who_does_not_say_who_it_is_within_idle_timeout_is_closed_and_counted() {
    let mut world = World::default();
    world.open(1);
    world.open(2);
    world.wait(10_000);
    // A beginning wins no time.
    world.ask(2, "1000073c0004");
    world.wait(4999);
    assert_eq!(world.states(), [2, 0, 0, 0]);
    world.wait(1);
    assert!(world.is_closed(1) && world.is_closed(2));
    assert_eq!((world.fault("idle_timeout"), world.hear(1)), (2, String::new()));
}

#[test]
fn silence_of_one_and_a_half_keepalives_closes() {
    let mut world = World::default();
    world.open(1);
    world.send(1, &connect("dev", 10));
    world.wait(14_999);
    assert_eq!(world.ask(1, "40"), "50");
    world.wait(14_999);
    world.say(1, "x");
    world.wait(14_999);
    assert!(!world.is_closed(1));
    world.wait(1);
    assert!(world.is_closed(1));
    assert_eq!((world.fault("unanswered"), world.states()), (1, [0; 4]));
}

#[test]
fn messages_for_a_device_are_no_sign_of_its_life() {
    let mut world = World::default();
    world.open(1);
    world.send(1, &connect("dev", 10));
    world.wait(10_000);
    world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
    world.wait(5000);
    assert!(world.is_closed(1));
}

#[test]
fn with_keepalive_0_a_device_may_be_silent_for_ever() {
    let mut world = World::default();
    world.open(1);
    world.send(1, &connect("dev", 0));
    world.wait(1_000_000_000);
    assert_eq!(world.ask(1, "40"), "50");
}

#[test]
fn a_frame_that_does_not_end_within_idle_timeout_is_closed_and_counted() {
    let mut world = World::default();
    world.open(1);
    world.send(1, &connect("dev", 0));
    world.ask(1, "300004");
    for _ in 0..3 {
        world.wait(3749);
        world.ask(1, "61");
    }
    world.wait(3752);
    assert!(!world.is_closed(1));
    world.wait(1);
    assert!(world.is_closed(1));
    assert_eq!(world.fault("partial_frame"), 1);
}

#[test]
fn each_frame_has_its_own_time() {
    let mut world = World::with(TcpConfig { idle_timeout: HumanDuration::from_secs(2), ..TcpConfig::default() });
    world.open(1);
    world.send(1, &connect("dev", 0));
    world.ask(1, "30000261");
    for _ in 0..5 {
        world.wait(1500);
        // The end of one frame and the beginning of the next.
        world.ask(1, "62 30000261");
    }
    assert!(!world.is_closed(1));
    assert_eq!(world.given().len(), 5);
}

#[test]
fn a_device_that_is_not_read_is_not_silent() {
    let mut world = World::with(TcpConfig { uplink_qos: 1, max_inflight: 1, ..TcpConfig::default() });
    world.open(1);
    world.send(1, &connect("dev", 2));
    world.paused = true;
    world.send(1, &[data(b"a"), data(b"b"), vec![0x30, 0]].concat());
    world.wait(60_000);
    assert!(!world.is_closed(1));
    world.resume();
    assert_eq!((world.unread(1), world.given().len()), (2, 2));
    // From here on it is read, and has its time again.
    world.wait(2999);
    assert!(!world.is_closed(1));
    world.wait(1);
    assert!(world.is_closed(1));
    assert_eq!(world.fault("unanswered"), 1);
}

#[test]
fn who_takes_no_answers_is_not_read() {
    let mut world = World::new(&Setup { marks: Marks { high: 10, low: 4 }, ..Setup::default() });
    world.connect(1, "dev");
    world.devices.get_mut(&1).unwrap().stuck = true;
    world.send(1, &[0x40; 100]);
    assert_eq!((world.unread(1), world.states()), (89, [0, 0, 1, 1]), "11 answers are more than 10 octets");
    world.unstick(1);
    assert_eq!((world.hear(1), world.unread(1), world.states()), ("50".repeat(100), 0, [0, 0, 1, 0]));
}

#[test]
fn at_the_end_of_the_process_who_is_owed_something_waits_for_it_and_the_others_go() {
    let mut setup =
        Setup { config: TcpConfig { uplink_qos: 1, max_inflight: 2, ..TcpConfig::default() }, ..Setup::default() };
    setup.options.hold_acks = true;
    let mut world = World::new(&setup);
    for port in 1..4 {
        world.connect(port, &format!("d{port}"));
    }
    world.send(2, &data(b"x"));
    world.send(3, &[data(b"x"), data(b"y"), data(b"z")].concat());
    world.drain();
    assert_eq!([1, 2, 3].map(|port| world.is_closed(port)), [true, false, false]);
    // What comes now is not taken: there would be nobody to see to it.
    world.send(2, &data(b"late"));
    world.broker.release_acks();
    world.settle();
    assert_eq!([1, 2, 3].map(|port| world.is_closed(port)), [true, true, true]);
    assert_eq!((world.given().len(), world.unread(3)), (3, 4));
    assert_eq!((world.states(), world.faults()), ([0; 4], 0));
}
