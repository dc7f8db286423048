//! Keep-alive, DISCONNECT, what is kept, and for how long.

use crate::world::{Qos, World, hex};
use codec_mqttsn::Qos as SnQos;

const NOTHING: [&str; 0] = [];

#[test]
fn disconnect_is_answered_and_ends_a_clean_session_without_its_will() {
    for disconnect in ["0218", "04180000"] {
        let mut world = World::default();
        world.connect_with_will(1, "dev", true);
        world.subscribe(1, "t/a", SnQos::AtMostOnce);
        assert_eq!(world.ask(1, disconnect), ["0218"]);
        assert_eq!((world.sessions(), world.filters(), world.given()), ([0, 0, 0], vec![], vec![]));
        assert_eq!(world.ask(1, "0218"), NOTHING, "a stranger's is not answered");
    }
}

#[test]
fn a_client_that_is_silent_for_one_and_a_half_keep_alives_is_lost() {
    let mut world = World::default();
    world.connect_with_will(1, "dev", true);
    world.wait(80_000);
    assert_eq!(world.ask(1, "0216"), ["0217"]);
    world.wait(89_999);
    assert_eq!((world.given(), world.sessions()), (vec![], [0, 1, 0]));
    world.wait(1);
    assert_eq!((world.given(), world.sessions()), (vec!["w/dev gone 1".to_owned()], [0, 0, 0]));
    assert_eq!((world.hear(1), world.fault("unanswered")), (vec![], 1));
    assert_eq!(world.ask(1, "0216"), ["0218"]);
}

#[test]
fn any_message_of_the_client_is_a_sign_of_life() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    assert_eq!(world.register(1, "t/a"), 1025);
    for _ in 0..5 {
        world.wait_s(85);
        assert_eq!(world.ask(1, "080c000401000031"), NOTHING);
    }
    assert_eq!(world.sessions(), [0, 1, 0]);
}

#[test]
fn duration_0_asks_for_no_sign_of_life() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "090404010000646576"), ["030500"]);
    world.wait_s(1_000_000);
    assert_eq!(world.ask(1, "0216"), ["0217"]);
}

#[test]
fn a_reconnect_brings_its_own_keep_alive() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "090400010000646576"), ["030500"]);
    world.wait_s(1000);
    assert_eq!(world.sessions(), [0, 1, 0]);
    assert_eq!(world.ask(1, "090400010002646576"), ["030500"]);
    world.wait_s(3);
    assert_eq!(world.sessions(), [0, 0, 1]);
}

#[test]
fn a_session_without_clean_session_is_kept_until_it_expires() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    world.wait_s(7199);
    assert_eq!((world.filters(), world.sessions()), (vec!["t/a".to_owned()], [0, 0, 1]));
    assert_eq!(world.gates.get(bridge_core::peer::ListenerId(0)).unwrap().sessions(), 1);
    world.wait_s(1);
    assert_eq!((world.filters(), world.sessions()), (vec![], [0, 0, 0]));
    assert_eq!(world.gates.get(bridge_core::peer::ListenerId(0)).unwrap().sessions(), 0);
}

#[test]
fn a_session_under_a_generated_id_is_not_kept() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "06040001003c"), ["030500"]);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    assert_eq!(world.sessions(), [0, 0, 0], "nobody could come back to it");
}

#[test]
fn what_came_meanwhile_is_delivered_after_the_connack_that_resumes_the_session() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.subscribe(1, "u/#", SnQos::AtMostOnce);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    world.publish("u/1", "2", Qos::AtMostOnce);
    world.publish("t/a", "3", Qos::AtMostOnce);
    world.publish("t/a", "4", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), NOTHING);
    let register = format!("090a04020002{}", hex("u/1"));
    assert_eq!(
        world.try_connect(1, "dev", false),
        ["030500", "080c000401000033", "080c200401000131", register.as_str()]
    );
    assert_eq!(world.ask(1, "070d0401000100"), ["080c200401000334"]);
    assert_eq!(world.ask(1, "070b0402000200"), ["080c000402000032"]);
}

#[test]
fn a_clean_connect_throws_away_what_was_kept() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.try_connect(1, "dev", true), ["030500"]);
    assert_eq!(world.filters(), NOTHING);
}

#[test]
fn a_client_lost_in_the_moment_of_a_repetition_is_sent_nothing_more() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.wait_s(80);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"]);
    // Keep-alive and repetition fall due in the same millisecond.
    world.wait_s(10);
    assert_eq!((world.hear(1), world.sessions()), (vec![], [0, 0, 1]));
    world.wait_s(60);
    assert_eq!(world.hear(1), NOTHING);
}

#[test]
fn a_client_lost_just_before_its_keep_alive_ends_keeps_its_session() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.wait_s(5);
    assert_eq!(world.ask(1, "0216"), ["0217"]);
    world.wait_s(50);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    // The last repetition was armed before the keep-alive was set anew: both fall due after 95 s, in this order.
    world.wait_s(40);
    assert_eq!((world.hear(1).pop(), world.sessions()), (Some("0218".to_owned()), [0, 0, 1]));
}

#[test]
fn what_was_in_flight_comes_again_after_a_reconnect() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::ExactlyOnce);
    world.publish("t/a", "1", Qos::ExactlyOnce);
    assert_eq!(world.hear(1), ["080c400401000131"]);
    assert_eq!(world.try_connect(1, "dev", false), ["030500", "080cc00401000131"]);
    assert_eq!(world.ask(1, "040f0001"), ["04100001"]);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    world.wait_s(60);
    assert_eq!(world.hear(1), NOTHING, "nothing is repeated to who is not there");
    assert_eq!(world.try_connect(1, "dev", false), ["030500", "04100001"], "only the second half");
    assert_eq!(world.ask(1, "040e0001"), NOTHING);
}

#[test]
fn a_lost_client_keeps_what_it_had_if_its_session_was_not_clean() {
    let mut world = World::default();
    world.connect_with_will(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.wait_s(91);
    assert_eq!((world.given(), world.sessions()), (vec!["w/dev gone 1".to_owned()], [0, 0, 1]));
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.try_connect(1, "dev", false), ["030500", "080c200401000131"]);
}

#[test]
fn a_kept_session_holds_1000_messages_and_drops_the_oldest_of_qos_0_first() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    world.publish("t/a", "first", Qos::AtLeastOnce);
    world.publish("t/a", "zero", Qos::AtMostOnce);
    for _ in 0..999 {
        world.publish("t/a", "x", Qos::AtLeastOnce);
    }
    let dropped = |world: &World| {
        ["drop-oldest-qos0", "drop-oldest"].map(|policy| world.count("queue_dropped_total", &["mqttsn", policy]))
    };
    assert_eq!(dropped(&world), [1, 0]);
    let answer = world.try_connect(1, "dev", false);
    assert_eq!(answer, ["030500", &format!("0c0c2004010001{}", hex("first"))]);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    for _ in 0..3 {
        world.publish("t/a", "x", Qos::AtLeastOnce);
    }
    assert_eq!(dropped(&world), [1, 2], "what is in flight is not in the queue");
}

#[test]
fn messages_expire_while_they_wait() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut message = support::broker::Message::new("t/a", "1", qos);
        message.properties.message_expiry_interval = Some(30);
        world.broker.publish(message);
    }
    world.settle();
    world.wait_s(30);
    assert_eq!(world.try_connect(1, "dev", false), ["030500"]);
    assert_eq!(world.count("queue_dropped_total", &["mqttsn", "expired"]), 2);
}

#[test]
fn a_broker_that_comes_back_finds_the_subscriptions() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtMostOnce);
    world.broker.crash(support::broker::Crash { keep_sessions: false, keep_retained: false });
    world.settle();
    world.broker.set_up();
    world.wait_s(40);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000031"]);
}
