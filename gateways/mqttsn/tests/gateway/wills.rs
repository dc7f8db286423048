//! The will dialogue, its timers, and the updates.

use crate::world::{Setup, World};
use bridge_core::link::QueueLimits;
use mqttsn::MqttsnConfig;

const NOTHING: [&str; 0] = [];
/// CONNECT with Will=1, CleanSession=1 and 0, from "dev".
const CLEAN: &str = "09040c01003c646576";
const KEPT: &str = "09040801003c646576";

/// Silent for so long that a client with a keep alive of 60 s is lost.
const LOST_S: u64 = 91;

#[test]
fn connect_with_a_will_runs_the_dialogue_then_connack() {
    let mut world = World::default();
    assert_eq!(world.ask(1, CLEAN), ["0206"]);
    assert_eq!(world.ask(1, "060730772f61"), ["0208"]);
    assert_eq!(world.ask(1, "04093132"), ["030500"]);
    world.wait_s(LOST_S);
    assert_eq!(world.given(), ["w/a 12 1 retained"]);
}

#[test]
fn an_empty_willtopic_deletes_the_stored_will_and_is_connack_at_once() {
    for empty in ["0207", "030720"] {
        let mut world = World::default();
        world.connect_with_will(1, "dev", false);
        assert_eq!(world.ask(1, KEPT), ["0206"]);
        assert_eq!(world.ask(1, empty), ["030500"]);
        world.wait_s(LOST_S);
        assert_eq!(world.given(), NOTHING, "{empty}");
    }
}

#[test]
fn a_will_on_a_topic_that_mqtt_cannot_carry_is_connack_3() {
    let mut world = World::default();
    assert_eq!(world.ask(1, CLEAN), ["0206"]);
    assert_eq!(world.ask(1, "060720772f2b"), ["030503"]);
    assert_eq!(world.sessions(), [0, 0, 0]);
}

#[test]
fn requests_of_the_dialogue_are_repeated_until_they_were_sent_often_enough() {
    let config = MqttsnConfig {
        idle_timeout: settings::HumanDuration::from_secs(3600),
        max_retries: 2,
        ..MqttsnConfig::default()
    };
    let mut world = World::new(Setup { config, ..Setup::default() });
    assert_eq!(world.ask(1, CLEAN), ["0206"]);
    world.wait_s(10);
    assert_eq!(world.hear(1), ["0206"]);
    assert_eq!(world.ask(1, "060730772f61"), ["0208"]);
    world.wait_s(20);
    assert_eq!(world.hear(1), ["0208", "0208"], "its own repetitions");
    world.wait_s(10);
    assert_eq!(world.hear(1), ["0218"]);
    assert_eq!(world.sessions(), [0, 0, 0]);
}

#[test]
fn a_dialogue_that_does_not_finish_in_time_is_ended() {
    let config = MqttsnConfig { max_retries: 200, ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, ..Setup::default() });
    assert_eq!(world.ask(1, CLEAN), ["0206"]);
    world.wait_s(25);
    assert_eq!(world.ask(1, CLEAN), ["0206"], "which wins no more time");
    world.wait_s(5);
    assert_eq!(world.hear(1), ["0218"]);
    assert_eq!((world.sessions(), world.given()), ([0, 0, 0], vec![]));
    assert_eq!(world.ask(1, KEPT), ["0206"]);
    world.wait_s(30);
    assert_eq!(world.sessions(), [0, 0, 0], "nothing is kept of who was never connected");
}

#[test]
fn connect_pingreq_and_searchgw_in_the_dialogue_are_answered_and_all_else_is_dropped() {
    let mut world = World::default();
    assert_eq!(world.ask(1, CLEAN), ["0206"]);
    for dropped in ["090a00000001612f62", "080c000401000031", "0812000001612f62", "0218", "070b0401000100", "041a0077"]
    {
        assert_eq!(world.ask(1, dropped), NOTHING, "{dropped}");
    }
    assert_eq!(world.ask(1, "0216"), ["0217"]);
    assert_eq!(world.ask(1, "030100"), ["030201"]);
    assert_eq!(world.ask(1, "030931"), NOTHING, "WILLMSG before WILLTOPIC");
    assert_eq!(world.ask(1, "060730772f61"), ["0208"]);
    assert_eq!(world.ask(1, CLEAN), ["0206"], "CONNECT asks anew");
    world.wait_s(10);
    assert_eq!(world.hear(1), ["0206"], "and so does its repetition");
    assert_eq!(world.ask(1, "030931"), ["030500"], "but what was told is not lost");
    world.wait_s(LOST_S);
    assert_eq!(world.given(), ["w/a 1 1 retained"]);
}

#[test]
fn connect_without_will_ends_the_dialogue() {
    let mut world = World::default();
    assert_eq!(world.ask(1, CLEAN), ["0206"]);
    assert_eq!(world.ask(1, "09040401003c646576"), ["030500"]);
    assert_eq!(world.sessions(), [0, 1, 0]);
    world.wait_s(30);
    assert_eq!(world.hear(1), NOTHING, "nothing is asked any more");
}

#[test]
fn a_stored_will_survives_disconnect_and_connect_without_clean_session() {
    let mut world = World::default();
    world.connect_with_will(1, "dev", false);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    world.wait_s(LOST_S);
    assert_eq!(world.given(), NOTHING, "who says goodbye is not lost");
    world.connect(1, "dev", false);
    world.wait_s(LOST_S);
    assert_eq!(world.given(), ["w/dev gone 1"]);
    world.connect(1, "dev", true);
    world.wait_s(LOST_S);
    assert_eq!(world.given(), NOTHING, "a clean session deletes it");
}

#[test]
fn a_client_that_fails_its_dialogue_was_lost_if_it_was_connected() {
    let mut world = World::default();
    world.connect_with_will(1, "dev", false);
    assert_eq!(world.ask(1, KEPT), ["0206"]);
    world.wait_s(30);
    assert_eq!((world.given(), world.sessions()), (vec!["w/dev gone 1".to_owned()], [0, 0, 1]));
    assert_eq!(world.ask(1, KEPT), ["0206"]);
    world.wait_s(30);
    assert_eq!((world.given(), world.sessions()), (vec![], [0, 0, 1]), "and was not if it was away");
}

#[test]
#[rustfmt::skip]
fn will_updates_are_answered_and_take_effect() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "031c31"), ["031d03"], "WILLMSGUPD without a will");
    assert_eq!(world.ask(1, "061a20772f62"), ["031b00"]);
    assert_eq!(world.ask(1, "041c3132"), ["031d00"]);
    assert_eq!(world.ask(1, "061a20772f23"), ["031b03"], "a topic that cannot be");
    world.wait_s(LOST_S);
    assert_eq!(world.given(), ["w/b 12 1"]);
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "061a40772f63"), ["031b00"], "another topic, the same payload");
    world.wait_s(LOST_S);
    assert_eq!(world.given(), ["w/c 12 2"]);
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "021a"), ["031b00"], "no will any more");
    world.wait_s(LOST_S);
    assert_eq!(world.given(), NOTHING);
}

#[test]
fn a_will_waits_for_a_broker_that_is_away_and_is_counted_when_there_is_no_room() {
    let queue = QueueLimits { max_bytes: 1 << 20, max_messages: 1 };
    let mut world = World::new(Setup { queue, ..Setup::default() });
    world.connect_with_will(1, "one", true);
    world.connect_with_will(2, "two", true);
    world.broker_down();
    world.wait_s(LOST_S);
    assert_eq!(world.sessions(), [0, 0, 0]);
    assert_eq!(["published", "refused"].map(|result| world.count("wills_total", &[result])), [1, 1]);
    world.broker.set_up();
    world.wait_s(40);
    assert_eq!(world.given(), ["w/one gone 1"]);
}
