//! A client that sleeps and has an MQTT connection of its own: whether that stays, and where its messages wait.

use crate::per_device::{CLEAN, DISCONNECT, NOTHING, subscribed, with};
use crate::world::{Qos, Setup, World};
use codec_mqtt::ReasonCode;
use codec_mqttsn::Qos as SnQos;
use mqttsn::{MqttsnConfig, SleepLink};

const PINGREQ: &str = "0516646576";
const PINGRESP: &str = "0217";
const SLEEP_60: &str = "0418003c";

/// "dev", subscribed to t/a, asleep for a minute, without its connection.
fn asleep_and_apart() -> World {
    let mut world = with(MqttsnConfig { sleep_link: SleepLink::Drop, ..Setup::default().config });
    world.connect(1, "dev", false);
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtLeastOnce), ["0813200401020200"]);
    assert_eq!(world.ask(1, SLEEP_60), [DISCONNECT]);
    assert_eq!(world.connections(), 1, "the gateway's own");
    world
}

#[test]
fn a_full_queue_drops_the_oldest_at_the_broker_too() {
    let mut world = with(MqttsnConfig { sleep_queue: 2, ..Setup::default().config });
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    assert_eq!(world.ask(1, SLEEP_60), [DISCONNECT]);
    for payload in ["1", "2", "3"] {
        world.publish("t/a", payload, Qos::AtLeastOnce);
    }
    assert_eq!(world.broker.undelivered("dev"), 2);
    assert_eq!(world.ask(1, PINGREQ), ["080c200401000132"]);
    assert_eq!(world.ask(1, "070d0401000100"), ["080c200401000233"]);
    assert_eq!(world.ask(1, "070d0401000200"), [PINGRESP]);
    assert_eq!(world.broker.undelivered("dev"), 0);
}

#[test]
fn who_is_asleep_then_is_not_told_and_learns_it_when_it_wakes() {
    let mut world = subscribed(false);
    assert_eq!(world.ask(1, SLEEP_60), [DISCONNECT]);
    world.broker.kick("dev", ReasonCode::SESSION_TAKEN_OVER);
    world.settle();
    assert_eq!((world.hear(1), world.sessions()), (vec![], [0, 0, 1]));
    assert_eq!(world.ask(1, PINGREQ), [DISCONNECT]);
}

#[test]
fn asleep_with_its_connection_kept_messages_wait_here() {
    let mut world = subscribed(false);
    assert_eq!(world.ask(1, SLEEP_60), [DISCONNECT]);
    assert_eq!(world.connections(), 2);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.ask(1, PINGREQ), ["080c000401000031", PINGRESP]);
}

#[test]
fn asleep_without_its_connection_messages_wait_at_the_broker() {
    let mut world = asleep_and_apart();
    for payload in ["1", "2"] {
        world.publish("t/a", payload, Qos::AtLeastOnce);
    }
    assert_eq!((world.connections(), world.broker.undelivered("dev")), (1, 2));
    assert_eq!(world.ask(1, PINGREQ), ["080c200401000131"]);
    assert_eq!(world.connections(), 2);
    assert_eq!(world.ask(1, "070d0401000100"), ["080c200401000232"]);
    assert_eq!(world.ask(1, "070d0401000200"), [PINGRESP]);
    assert_eq!((world.connections(), world.broker.undelivered("dev")), (1, 0), "it goes again");
    assert_eq!(world.ask(1, PINGREQ), [PINGRESP]);
}

#[test]
fn pingreq_waits_for_the_connection_and_its_repetition_is_counted() {
    let mut world = asleep_and_apart();
    world.publish("t/a", "1", Qos::AtLeastOnce);
    world.paused = true;
    assert_eq!(world.ask(1, PINGREQ), NOTHING);
    assert_eq!((world.ask(1, PINGREQ), world.fault("repeated"), world.sleepers()), (vec![], 1, [0, 1]));
    world.resume();
    assert_eq!((world.hear(1), world.sleepers()), (vec!["080c200401000131".to_owned()], [0, 1]));
    assert_eq!(world.ask(1, "070d0401000100"), [PINGRESP]);
}

#[test]
fn while_the_broker_is_away_who_wakes_gets_what_is_here() {
    let mut world = asleep_and_apart();
    world.broker_down();
    assert_eq!(world.ask(1, PINGREQ), NOTHING);
    world.wait_s(30);
    assert_eq!((world.hear(1), world.sleepers()), (vec![PINGRESP.to_owned()], [1, 0]));
}

#[test]
fn connect_wakes_the_connection_of_a_sleeping_client() {
    let mut world = asleep_and_apart();
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.ask(1, CLEAN), ["030500", "080c200401000131"], "CleanSession means nothing");
    assert_eq!((world.sessions(), world.connections()), ([0, 1, 0], 2));
}

#[test]
fn a_sleeping_client_without_its_connection_may_still_publish() {
    let mut world = asleep_and_apart();
    assert_eq!(world.ask(1, "080c210007000131"), NOTHING);
    world.wait_s(1);
    assert_eq!(
        (world.hear(1), world.given_by()),
        (vec!["070d0007000100".to_owned()], vec!["dev: pre/seven 1 1".to_owned()])
    );
    assert_eq!((world.sleepers(), world.connections()), ([1, 0], 1), "it sleeps on");
}

#[test]
fn the_will_of_a_client_lost_in_its_sleep_is_published() {
    let mut world = with(MqttsnConfig { sleep_link: SleepLink::Drop, ..Setup::default().config });
    world.connect_with_will(1, "dev", false);
    assert_eq!(world.ask(1, SLEEP_60), [DISCONNECT]);
    assert_eq!(world.given(), NOTHING);
    world.wait_s(91);
    assert_eq!(world.given(), ["w/dev gone 1"]);
}

#[test]
fn a_clean_session_keeps_its_connection_asleep() {
    let mut world = with(MqttsnConfig { sleep_link: SleepLink::Drop, ..Setup::default().config });
    world.connect(1, "dev", true);
    assert_eq!(world.ask(1, SLEEP_60), [DISCONNECT]);
    assert_eq!(world.connections(), 2);
}

#[test]
fn more_than_the_broker_has_on_its_way_at_once_comes_within_one_awakening() {
    for sleep_link in [SleepLink::Keep, SleepLink::Drop] {
        let mut world = with(MqttsnConfig { sleep_link, ..Setup::default().config });
        world.connect(1, "dev", false);
        world.subscribe(1, "t/a", SnQos::AtLeastOnce);
        assert_eq!(world.ask(1, SLEEP_60), [DISCONNECT]);
        for _ in 0..50 {
            world.publish("t/a", "1", Qos::AtLeastOnce);
        }
        let mut told = world.ask(1, PINGREQ);
        for number in 1..=50 {
            assert_eq!(told, [format!("080c200401{number:04x}31")], "{sleep_link}");
            told = world.ask(1, &format!("070d0401{number:04x}00"));
        }
        assert_eq!((told, world.broker.undelivered("dev")), (vec![PINGRESP.to_owned()], 0), "{sleep_link}");
    }
}
