//! Sleeping clients (MQTT-SN 1.2 §6.14): the rows "DISCONNECT + duration", "CONNECT while asleep or awake", "PINGREQ +
//! clientid while asleep" and "sleep deadline".

use crate::world::{Qos, Setup, World, hex};
use codec_mqttsn::{Connect, Message, Qos as SnQos};
use mqttsn::MqttsnConfig;

const NOTHING: [&str; 0] = [];
const PINGREQ: &str = "0516646576";
const PINGRESP: &str = "0217";
const SLEEP_60: &str = "0418003c";

/// `dev`, subscribed to t/a (id 1025) and to w/#, asleep for a minute.
fn asleep(clean: bool) -> World {
    let mut world = World::default();
    world.connect_with_will(1, "dev", clean);
    world.subscribe(1, "t/a", SnQos::ExactlyOnce);
    world.subscribe(1, "x/#", SnQos::AtLeastOnce);
    assert_eq!(world.ask(1, SLEEP_60), ["0218"]);
    assert_eq!((world.sessions(), world.sleepers()), ([0, 0, 0], [1, 0]));
    world
}

#[test]
fn disconnect_with_duration_is_answered_and_suspends_the_keep_alive() {
    let mut world = asleep(true);
    // Keep-alive would end after 90 s as well: a longer sleep tells them apart.
    assert_eq!(world.ask(1, "0418012c"), ["0218"]);
    world.wait_s(200);
    assert_eq!((world.hear(1), world.given(), world.sleepers()), (vec![], vec![], [1, 0]));
}

#[test]
fn duration_0_is_a_plain_disconnect_of_an_active_and_of_a_sleeping_client() {
    for goodbye in ["04180000", "0218"] {
        let mut world = asleep(true);
        assert_eq!(world.ask(1, goodbye), ["0218"]);
        assert_eq!((world.sessions(), world.sleepers(), world.given()), ([0, 0, 0], [0, 0], vec![]));
        let mut world = asleep(false);
        assert_eq!(world.ask(1, goodbye), ["0218"]);
        assert_eq!((world.sessions(), world.sleepers(), world.given()), ([0, 0, 1], [0, 0], vec![]));
    }
}

#[test]
fn the_sleep_deadline_is_half_as_much_again_up_to_a_minute_and_a_tenth_beyond() {
    for (duration, ms) in [(1_u16, 1500), (60, 90_000), (61, 67_100), (1000, 1_100_000)] {
        let mut world = asleep(true);
        assert_eq!(world.ask(1, &format!("0418{duration:04x}")), ["0218"], "another duration, while asleep");
        world.wait(ms - 1);
        assert_eq!((world.given(), world.sleepers()), (vec![], [1, 0]), "{duration} s");
        world.wait(1);
        assert_eq!((world.given(), world.sleepers()), (vec!["w/dev gone 1".to_owned()], [0, 0]), "{duration} s");
        assert_eq!((world.hear(1), world.fault("unanswered")), (vec![], 1));
    }
}

#[test]
fn each_pingreq_restarts_the_sleep_deadline() {
    let mut world = asleep(true);
    for _ in 0..5 {
        world.wait_s(85);
        assert_eq!(world.ask(1, PINGREQ), [PINGRESP]);
    }
    world.wait(89_999);
    assert_eq!(world.sleepers(), [1, 0]);
    world.wait(1);
    assert_eq!(world.sleepers(), [0, 0]);
}

#[test]
fn a_session_with_clean_session_0_that_misses_its_sleep_deadline_is_kept() {
    let mut world = asleep(false);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    world.wait_s(90);
    assert_eq!((world.given(), world.sessions()), (vec!["w/dev gone 1".to_owned()], [0, 0, 1]));
    assert_eq!(world.ask(1, PINGREQ), ["0218"], "a client that is lost is told so");
    assert_eq!(world.try_connect(1, "dev", false), ["030500", "080c200401000131"]);
}

#[test]
fn a_publication_for_a_sleeping_client_waits_for_its_pingreq() {
    let mut world = asleep(true);
    for (payload, qos) in [("1", Qos::AtMostOnce), ("2", Qos::AtLeastOnce), ("3", Qos::AtMostOnce)] {
        world.publish("t/a", payload, qos);
    }
    world.wait_s(59);
    assert_eq!(world.hear(1), NOTHING);
    assert_eq!(world.ask(1, PINGREQ), ["080c000401000031", "080c200401000132"]);
    assert_eq!(world.sleepers(), [0, 1], "awake");
    assert_eq!(world.ask(1, "070d0401000100"), ["080c000401000033", PINGRESP], "in order, and PINGRESP last");
    assert_eq!(world.sleepers(), [1, 0]);
    assert_eq!(world.ask(1, PINGREQ), [PINGRESP], "each message once");
}

#[test]
fn one_exchange_is_under_way_to_a_client_that_is_awake_and_topics_are_registered_on_the_way() {
    let mut world = asleep(true);
    world.publish("x/1", "1", Qos::AtLeastOnce);
    world.publish("t/a", "2", Qos::ExactlyOnce);
    world.publish("x/2", "3", Qos::AtMostOnce);
    assert_eq!(world.ask(1, PINGREQ), [format!("090a04020001{}", hex("x/1"))]);
    assert_eq!(world.ask(1, "070b0402000100"), ["080c200402000231"]);
    assert_eq!(world.ask(1, "070d0402000200"), ["080c400401000332"]);
    assert_eq!(world.ask(1, "040f0003"), ["04100003"]);
    assert_eq!(world.ask(1, "040e0003"), [format!("090a04030004{}", hex("x/2"))]);
    assert_eq!(world.ask(1, "070b0403000400"), ["080c000403000033", PINGRESP]);
}

#[test]
fn a_topic_that_the_client_does_not_want_does_not_keep_it_awake() {
    let mut world = asleep(true);
    world.publish("x/1", "1", Qos::AtLeastOnce);
    world.publish("x/1", "2", Qos::AtMostOnce);
    world.publish("t/a", "3", Qos::AtMostOnce);
    assert_eq!(world.ask(1, PINGREQ).len(), 1, "REGISTER");
    assert_eq!(world.ask(1, "070b0402000103"), ["080c000401000033", PINGRESP]);
    assert_eq!(world.fault("register_refused"), 2);
}

#[test]
fn a_repeated_pingreq_while_awake_sends_nothing_twice() {
    let mut world = asleep(true);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.ask(1, PINGREQ), ["080c200401000131"]);
    assert_eq!((world.ask(1, PINGREQ), world.fault("repeated")), (vec![], 1));
    assert_eq!(world.ask(1, "070d0401000100"), [PINGRESP]);
}

#[test]
fn what_comes_while_the_client_is_awake_waits_for_the_next_time() {
    let mut world = asleep(true);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.ask(1, PINGREQ), ["080c200401000131"]);
    world.publish("t/a", "2", Qos::AtMostOnce);
    world.publish("t/a", "3", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), NOTHING);
    assert_eq!(world.ask(1, "070d0401000100"), [PINGRESP]);
    assert_eq!(world.ask(1, PINGREQ), ["080c000401000032", "080c200401000233"]);
    world.publish("t/a", "4", Qos::AtMostOnce);
    assert_eq!(world.try_connect(1, "dev", true), ["030500", "080ca00401000233", "080c000401000034"], "or for CONNECT");
}

#[test]
fn pingreq_without_an_id_is_answered_and_changes_nothing() {
    let mut world = asleep(true);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!((world.ask(1, "0216"), world.sleepers()), (vec![PINGRESP.to_owned()], [1, 0]));
    assert_eq!(world.ask(1, PINGREQ), ["080c200401000131"]);
    assert_eq!((world.ask(1, "0216"), world.sleepers()), (vec![PINGRESP.to_owned()], [0, 1]));
}

#[test]
fn a_client_that_goes_back_to_sleep_in_mid_delivery_gets_the_rest_next_time_and_is_not_lost() {
    let mut world = asleep(true);
    assert_eq!(world.ask(1, "04180e10"), ["0218"], "an hour");
    for payload in ["1", "2"] {
        world.publish("t/a", payload, Qos::AtLeastOnce);
    }
    assert_eq!(world.ask(1, PINGREQ), ["080c200401000131"]);
    world.wait_s(30);
    assert_eq!(world.hear(1), ["080ca00401000131"; 3], "T_retry, N_retry times");
    world.wait_s(1000);
    assert_eq!(
        (world.hear(1), world.sleepers(), world.given()),
        (vec![], [1, 0], vec![]),
        "no DISCONNECT, no PINGRESP"
    );
    assert_eq!(world.ask(1, PINGREQ), ["080ca00401000131"], "what was in flight comes first, with DUP");
    assert_eq!(world.ask(1, "070d0401000100"), ["080c200401000232"]);
    assert_eq!(world.ask(1, "070d0401000200"), [PINGRESP]);
}

#[test]
fn a_register_without_an_answer_leaves_the_client_asleep_too() {
    let mut world = asleep(true);
    assert_eq!(world.ask(1, "04180e10"), ["0218"]);
    world.publish("x/1", "1", Qos::AtMostOnce);
    assert_eq!(world.ask(1, PINGREQ).len(), 1);
    world.wait_s(60);
    assert_eq!((world.hear(1).len(), world.sleepers()), (3, [1, 0]));
    assert_eq!(world.ask(1, PINGREQ), [format!("090a04020002{}", hex("x/1"))]);
    assert_eq!(world.ask(1, "070b0402000200"), ["080c000402000031", PINGRESP]);
}

#[test]
fn what_is_in_flight_when_the_client_falls_asleep_comes_first_when_it_wakes() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::ExactlyOnce);
    world.publish("t/a", "1", Qos::ExactlyOnce);
    world.publish("t/a", "2", Qos::ExactlyOnce);
    assert_eq!(world.hear(1), ["080c400401000131"]);
    assert_eq!(world.ask(1, SLEEP_60), ["0218"]);
    world.wait_s(50);
    assert_eq!(world.hear(1), NOTHING, "nothing is repeated to who sleeps");
    assert_eq!(world.ask(1, PINGREQ), ["080cc00401000131"]);
    assert_eq!(world.ask(1, "040f0001"), ["04100001"]);
    assert_eq!(world.ask(1, SLEEP_60), ["0218"], "and sleeps again in the middle of it");
    assert_eq!(world.ask(1, PINGREQ), ["04100001"], "only the second half");
    assert_eq!(world.ask(1, "040e0001"), ["080c400401000232"]);
}

#[test]
fn an_acknowledgement_that_comes_after_the_client_fell_asleep_still_counts() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::ExactlyOnce);
    world.publish("t/a", "1", Qos::ExactlyOnce);
    world.publish("t/a", "2", Qos::AtMostOnce);
    assert_eq!(world.hear(1).len(), 2);
    assert_eq!(world.ask(1, SLEEP_60), ["0218"]);
    assert_eq!(world.ask(1, "040f0001"), ["04100001"]);
    world.wait_s(50);
    assert_eq!(world.hear(1), NOTHING, "but PUBREL is not repeated");
    assert_eq!((world.ask(1, "040e0001"), world.ask(1, PINGREQ)), (vec![], vec![PINGRESP.to_owned()]));
}

#[test]
fn other_frames_of_a_sleeping_client_are_answered_and_leave_it_asleep() {
    let mut world = asleep(true);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.register(1, "up"), 1026);
    assert_eq!(world.ask(1, "080c200402000731"), ["070d0402000700"]);
    assert_eq!(world.subscribe(1, "y/#", SnQos::AtMostOnce), ["0813000000020200"]);
    assert_eq!(world.ask(1, &format!("0814000009{}", hex("x/#"))), ["04150009"]);
    assert_eq!(world.ask(1, "041c3132"), ["031d00"]);
    assert_eq!((world.given(), world.sleepers()), (vec!["up 1 1".to_owned()], [1, 0]));
    assert_eq!(world.ask(1, PINGREQ), ["080c000401000031", PINGRESP]);
}

#[test]
fn connect_while_asleep_or_awake_makes_it_active_again_and_clean_session_means_nothing() {
    for awake in [false, true] {
        let mut world = asleep(false);
        world.publish("t/a", "1", Qos::AtLeastOnce);
        world.publish("t/a", "2", Qos::AtMostOnce);
        let dup = if awake {
            assert_eq!(world.ask(1, PINGREQ), ["080c200401000131"]);
            "080ca00401000131"
        } else {
            "080c200401000131"
        };
        let mut answer = world.try_connect(1, "dev", true);
        answer.sort();
        assert_eq!(answer, ["030500", "080c000401000032", dup]);
        assert_eq!((world.sessions(), world.sleepers()), ([0, 1, 0], [0, 0]));
        assert_eq!((world.filters(), world.given()), (vec!["t/a".to_owned(), "x/#".to_owned()], vec![]));
        assert_eq!(world.ask(1, "0218"), ["0218"]);
        assert_eq!(world.sessions(), [0, 0, 1], "nor does it change what becomes of the session later");
    }
}

#[test]
fn connect_with_will_while_asleep_still_runs_its_dialogue() {
    let mut world = asleep(false);
    world.publish("t/a", "1", Qos::AtMostOnce);
    let connect = Connect { will: true, clean_session: true, protocol_id: 1, duration: 60, client_id: "dev" };
    assert_eq!(world.say(1, &Message::Connect(connect)), ["0206"]);
    assert_eq!(world.ask(1, &format!("060720{}", hex("n/w"))), ["0208"]);
    assert_eq!(world.ask(1, &format!("0509{}", hex("new"))), ["030500", "080c000401000031"]);
    world.wait_s(91);
    assert_eq!(world.given(), ["n/w new 1"]);
}

#[test]
fn connect_from_elsewhere_while_asleep_moves_the_session_and_clean_session_counts() {
    let mut world = asleep(false);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.try_connect(2, "dev", false), ["030500", "080c000401000031"]);
    assert_eq!((world.hear(1), world.given()), (vec!["0218".to_owned()], vec![]));
    let mut world = asleep(false);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.try_connect(2, "dev", true), ["030500"]);
    assert_eq!((world.filters(), world.given()), (vec![], vec!["w/dev gone 1".to_owned()]));
    assert_eq!(world.count("queue_dropped_total", &["mqttsn", "session-ended"]), 1);
}

#[test]
fn a_sleeping_client_may_wake_at_another_address() {
    let mut world = asleep(true);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.ask(2, PINGREQ), ["080c200401000131"]);
    assert_eq!(world.ask(2, "070d0401000100"), [PINGRESP]);
    assert_eq!((world.ask(1, "0216"), world.sleepers()), (vec!["0218".to_owned()], [1, 0]), "nobody is there any more");
}

#[test]
fn the_queue_of_a_sleeping_client_has_its_bounds() {
    let config = MqttsnConfig { sleep_queue: 3, ..Setup::default().config };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    assert_eq!(world.ask(1, SLEEP_60), ["0218"]);
    for (payload, qos) in [("1", Qos::AtLeastOnce), ("2", Qos::AtMostOnce)] {
        world.publish("t/a", payload, qos);
    }
    for payload in ["3", "4", "5"] {
        world.publish("t/a", payload, Qos::AtLeastOnce);
    }
    let dropped = ["drop-oldest-qos0", "drop-oldest"].map(|p| world.count("queue_dropped_total", &["mqttsn", p]));
    assert_eq!(dropped, [1, 1]);
    assert_eq!(world.ask(1, PINGREQ), ["080c200401000133"]);
    assert_eq!(world.ask(1, "070d0401000100"), ["080c200401000234"]);
}

#[test]
fn what_expires_while_the_client_sleeps_does_not_come() {
    let mut world = asleep(true);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut message = support::broker::Message::new("t/a", "1", qos);
        message.properties.message_expiry_interval = Some(30);
        world.broker.publish(message);
    }
    world.settle();
    world.wait_s(30);
    assert_eq!(world.ask(1, PINGREQ), [PINGRESP]);
    assert_eq!(world.count("queue_dropped_total", &["mqttsn", "expired"]), 2);
}

#[test]
fn a_message_that_waits_for_a_suback_does_not_keep_the_client_awake() {
    let mut world = asleep(true);
    world.paused = true;
    assert_eq!(world.subscribe(1, "x/1", SnQos::AtMostOnce), NOTHING);
    assert_eq!(world.ask(1, PINGREQ), [PINGRESP]);
    world.resume();
    assert_eq!(world.hear(1), ["0813000402020200"], "SUBACK goes to who sleeps: it has just asked");
}

#[test]
fn a_sleeping_client_outlives_the_process_whatever_its_clean_session() {
    for clean in [false, true] {
        let durable = || Setup { durable: true, ..Setup::default() };
        let mut world = World::new(durable());
        world.connect_with_will(1, "dev", clean);
        world.subscribe(1, "t/a", SnQos::AtLeastOnce);
        assert_eq!(world.ask(1, SLEEP_60), ["0218"]);
        world.publish("t/a", "1", Qos::AtMostOnce);
        world.publish("t/a", "2", Qos::AtLeastOnce);
        let (mut world, thawed) = world.restart(durable(), 0);
        assert_eq!((thawed, world.sleepers()), (vec![Ok(())], [1, 0]));
        world.wait_s(89);
        assert_eq!(world.ask(1, PINGREQ), ["080c000401000031", "080c200401000132"]);
        let (mut world, _thawed) = world.restart(durable(), 0);
        assert_eq!(world.ask(1, PINGREQ), ["080ca00401000132"], "what went at QoS 0 is not sent again");
        assert_eq!(world.ask(1, "070d0401000100"), [PINGRESP]);
        world.wait_s(91);
        assert_eq!(world.given(), ["w/dev gone 1"]);
    }
}
