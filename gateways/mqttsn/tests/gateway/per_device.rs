//! An MQTT connection for each client: what the broker says of it holds.

use crate::world::{Qos, Setup, World};
use bridge_core::gate::Gate;
use codec_mqtt::ReasonCode;
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;
use settings::HumanDuration;

pub(crate) const NOTHING: [&str; 0] = [];
/// CONNECT of "dev", without a will: with CleanSession and without.
pub(crate) const CLEAN: &str = "09040401003c646576";
const KEPT: &str = "09040001003c646576";
/// The same with a will.
const CLEAN_WILL: &str = "09040c01003c646576";
const KEPT_WILL: &str = "09040801003c646576";
pub(crate) const DISCONNECT: &str = "0218";
/// Silent for so long that a client with a keep alive of 60 s is lost.
const LOST_S: u64 = 91;

fn world() -> World {
    with(MqttsnConfig { auth_refused_code: 128, ..Setup::default().config })
}

pub(crate) fn with(config: MqttsnConfig) -> World {
    World::new(Setup { config, per_device: true, ..Setup::default() })
}

/// "dev" is connected, and subscribed to t/a, whose id is 1025.
pub(crate) fn subscribed(clean: bool) -> World {
    let mut world = world();
    world.connect(1, "dev", clean);
    assert_eq!(world.subscribe(1, "t/a", SnQos::ExactlyOnce), ["0813400401020200"]);
    world
}

#[test]
fn each_client_is_known_to_the_broker_by_its_own_id() {
    let mut world = world();
    world.connect(1, "dev", true);
    world.connect(2, "other", false);
    assert_eq!(world.connections(), 3, "with the gateway's own");
    world.ask(1, "080c010007000031");
    world.ask(2, "080c210007000132");
    assert_eq!(world.given_by(), ["dev: pre/seven 1 0", "other: pre/seven 2 1"]);
    assert_eq!(world.hear(2), NOTHING);
}

#[test]
fn connack_follows_the_brokers() {
    let mut world = world();
    world.paused = true;
    assert_eq!(world.ask(1, CLEAN), NOTHING);
    assert_eq!(world.count("sessions", &["waiting"]), 1);
    world.resume();
    assert_eq!(world.hear(1), ["030500"]);
}

#[test]
fn the_session_at_the_broker_lives_as_long_as_that_of_the_client() {
    for (clean, kept) in [(true, false), (false, true)] {
        let mut world = subscribed(clean);
        assert!(world.broker.has_session("dev"));
        assert_eq!(world.ask(1, DISCONNECT), [DISCONNECT]);
        assert_eq!((world.broker.has_session("dev"), world.connections()), (kept, 1), "CleanSession {clean}");
    }
}

#[test]
#[rustfmt::skip]
fn the_brokers_refusal_reaches_the_client_by_its_code() {
    for (code, connack) in [
        (ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "030503"),
        (ReasonCode::BAD_USER_NAME_OR_PASSWORD,   "030580"),
        (ReasonCode::NOT_AUTHORIZED,              "030580"),
        (ReasonCode::BANNED,                      "030580"),
        (ReasonCode::SERVER_BUSY,                 "030501"),
        (ReasonCode::SERVER_UNAVAILABLE,          "030501"),
        (ReasonCode::QUOTA_EXCEEDED,              "030501"),
        (ReasonCode::CONNECTION_RATE_EXCEEDED,    "030501"),
        (ReasonCode::UNSPECIFIED_ERROR,           "030503"),
    ] {
        let mut world = world();
        world.broker.options().refuse_connect = Some(code);
        assert_eq!(world.ask(1, CLEAN), [connack], "{code:?}");
        assert_eq!((world.sessions(), world.connections()), ([0, 0, 0], 1), "{code:?}");
        world.broker.options().refuse_connect = None;
        assert_eq!(world.ask(1, CLEAN), ["030500"], "{code:?}: the next attempt is a new one");
    }
}

#[test]
fn while_the_broker_is_away_nobody_comes_in() {
    let mut world = world();
    world.broker_down();
    assert_eq!(world.ask(1, CLEAN), ["030501"]);
    assert_eq!(world.sessions(), [0, 0, 0]);
}

#[test]
fn a_publication_is_acknowledged_once_the_broker_has_it() {
    let mut world = subscribed(true);
    world.broker.options().hold_acks = true;
    assert_eq!(world.ask(1, "080c210007000131"), NOTHING);
    world.broker.release_acks();
    world.settle();
    assert_eq!(world.hear(1), ["070d0007000100"]);
}

#[test]
fn the_broker_keeps_a_message_until_its_client_has_it() {
    let mut world = subscribed(true);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    world.publish("t/a", "2", Qos::ExactlyOnce);
    assert_eq!((world.hear(1), world.broker.undelivered("dev")), (vec!["080c200401000131".to_owned()], 2));
    assert_eq!(world.ask(1, "070d0401000100"), ["080c400401000232"]);
    assert_eq!(world.broker.undelivered("dev"), 1);
    assert_eq!(world.ask(1, "040f0002"), ["04100002"]);
    assert_eq!(world.broker.undelivered("dev"), 0, "the client has it, as far as the broker is concerned");
    assert_eq!(world.ask(1, "040e0002"), NOTHING);
}

#[test]
fn the_broker_need_not_keep_what_the_client_will_never_get() {
    let mut world = subscribed(true);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    world.publish("t/a", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"]);
    assert_eq!(world.ask(1, "070d0401000103"), ["080c200401000232"], "it refuses the first");
    assert_eq!(world.broker.undelivered("dev"), 1);
    world.wait_s(40);
    assert_eq!(world.sessions(), [0, 0, 0], "it does not answer");
}

#[test]
fn a_will_is_the_brokers_to_publish() {
    let mut world = world();
    world.connect_with_will(1, "dev", true);
    world.wait_s(LOST_S);
    assert_eq!(world.given_by(), ["dev: w/dev gone 1 will"]);
    assert_eq!((world.sessions(), world.connections()), ([0, 0, 0], 1));
}

#[test]
fn disconnect_takes_the_will_back() {
    let mut world = world();
    world.connect_with_will(1, "dev", true);
    assert_eq!(world.ask(1, DISCONNECT), [DISCONNECT]);
    assert_eq!((world.given_by(), world.connections()), (vec![], 1));
}

#[test]
fn an_update_of_the_will_reaches_the_broker() {
    for (update, expected) in [(["061a40782f79", "031c32"], "dev: x/y 2 2"), (["031c32", "0216"], "dev: w/dev 2 1")] {
        let mut world = world();
        world.connect_with_will(1, "dev", true);
        for said in update {
            assert_eq!(world.ask(1, said).len(), 1);
        }
        world.wait_s(LOST_S);
        assert_eq!(world.given_by(), [format!("{expected} will")]);
    }
    let mut world = world();
    world.connect_with_will(1, "dev", true);
    assert_eq!(world.ask(1, "021a"), ["031b00"], "there is none any more");
    world.wait_s(LOST_S);
    assert_eq!(world.given_by(), NOTHING);
}

#[test]
fn a_stored_will_goes_to_the_next_connection_too() {
    let mut world = world();
    world.connect_with_will(1, "dev", false);
    assert_eq!(world.ask(1, DISCONNECT), [DISCONNECT]);
    assert_eq!(world.ask(1, KEPT), ["030500"]);
    world.wait_s(LOST_S);
    assert_eq!(world.given_by(), ["dev: w/dev gone 1"], "by the client's connection: the broker would wait for it");
}

#[test]
fn connect_again_is_no_loss() {
    let mut world = world();
    world.connect_with_will(1, "dev", false);
    assert_eq!(world.ask(1, KEPT), ["030500"]);
    assert_eq!(world.ask(2, KEPT), ["030500"]);
    world.wait_s(1);
    assert_eq!(world.given_by(), NOTHING);
}

#[test]
fn who_is_taken_over_at_the_broker_is_told_and_goes() {
    for (reason, clean, sessions) in [
        (ReasonCode::SESSION_TAKEN_OVER, true, [0, 0, 0]),
        (ReasonCode::SESSION_TAKEN_OVER, false, [0, 0, 1]),
        (ReasonCode::ADMINISTRATIVE_ACTION, false, [0, 0, 1]),
        (ReasonCode::NOT_AUTHORIZED, false, [0, 0, 1]),
    ] {
        let mut world = subscribed(clean);
        world.broker.kick("dev", reason);
        world.settle();
        assert_eq!(world.hear(1), [DISCONNECT], "{reason:?}");
        assert_eq!((world.sessions(), world.connections()), (sessions, 1), "{reason:?}");
        world.wait_s(60);
        assert_eq!(world.connections(), 1, "{reason:?}: nobody takes it back");
        assert_eq!(world.ask(1, KEPT), ["030500"], "{reason:?}");
    }
}

#[test]
fn a_connection_that_is_lost_comes_back_and_the_client_hears_nothing_of_it() {
    let mut world = subscribed(true);
    world.broker_down();
    world.wait_s(5);
    world.broker.set_up();
    world.wait_s(31);
    assert_eq!((world.hear(1), world.connections()), (vec![], 2));
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000031"]);
}

#[test]
fn connect_again_from_wherever_goes_on_over_a_new_connection() {
    for port in [1, 2] {
        let mut world = subscribed(false);
        assert_eq!(world.ask(port, KEPT), ["030500"]);
        assert_eq!((world.sessions(), world.connections()), ([0, 1, 0], 2));
        world.wait_s(40);
        assert_eq!(world.connections(), 2, "neither throws the other out");
        world.publish("t/a", "1", Qos::AtLeastOnce);
        assert_eq!(world.hear(port), ["080c200401000131"]);
        if port == 2 {
            assert_eq!(world.hear(1), [DISCONNECT]);
        }
    }
}

#[test]
fn connect_again_with_clean_session_begins_anew_at_the_broker_too() {
    let mut world = subscribed(false);
    assert_eq!(world.ask(1, CLEAN), ["030500"]);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!((world.hear(1), world.connections()), (vec![], 2));
    assert_eq!(world.broker.filters("dev").count(), 0);
}

#[test]
fn what_was_in_flight_when_the_client_was_lost_is_sent_once_when_it_is_back() {
    for (qos, first, again) in [
        (Qos::AtLeastOnce, "080c200401000131", "080ca00401000131"),
        (Qos::ExactlyOnce, "080c400401000131", "080cc00401000131"),
    ] {
        let mut world = subscribed(false);
        world.publish("t/a", "1", qos);
        assert_eq!(world.hear(1), [first]);
        world.wait_s(40);
        assert_eq!(world.hear(1), [again, again, again, DISCONNECT]);
        world.publish("t/a", "2", Qos::AtLeastOnce);
        assert_eq!(world.broker.undelivered("dev"), 2);
        assert_eq!(world.ask(1, KEPT), ["030500", again]);
        let answer = if qos == Qos::AtLeastOnce { "070d0401000100" } else { "040f0001" };
        let mut told = world.ask(1, answer);
        if qos == Qos::ExactlyOnce {
            assert_eq!(told, ["04100001"]);
            told = world.ask(1, "040e0001");
        }
        assert_eq!(told, ["080c200401000232"], "{qos:?}");
        assert_eq!(world.ask(1, "070d0401000200"), NOTHING);
        assert_eq!(world.broker.undelivered("dev"), 0);
    }
}

#[test]
fn what_comes_while_the_client_is_away_waits_at_the_broker() {
    let mut world = subscribed(false);
    assert_eq!(world.ask(1, DISCONNECT), [DISCONNECT]);
    for payload in ["1", "2"] {
        world.publish("t/a", payload, Qos::AtLeastOnce);
    }
    assert_eq!((world.broker.undelivered("dev"), world.hear(1)), (2, vec![]));
    assert_eq!(world.ask(1, KEPT), ["030500", "080c200401000131"]);
    assert_eq!(world.ask(1, "070d0401000100"), ["080c200401000232"]);
}

#[test]
fn a_connection_that_is_not_taken_up_ends() {
    // In the dialogue: it does not finish, it is superseded, its topic is none.
    let mut world = world();
    assert_eq!(world.ask(1, CLEAN_WILL), ["0206"]);
    assert_eq!(world.connections(), 2);
    world.wait_s(60);
    assert_eq!((world.hear(1).last().map(String::as_str), world.connections()), (Some(DISCONNECT), 1));
    assert_eq!(world.ask(1, CLEAN_WILL), ["0206"]);
    assert_eq!(world.ask(1, KEPT), ["030500"]);
    assert_eq!(world.connections(), 2);
    assert_eq!(world.ask(1, KEPT_WILL), ["0206"]);
    assert_eq!(world.ask(1, "060720772f2b"), ["030503"]);
    assert_eq!((world.connections(), world.sessions()), (1, [0, 0, 1]));
    // It is not waited for any more: another came to its address.
    world.paused = true;
    assert_eq!(world.ask(1, KEPT), NOTHING);
    assert_eq!(world.ask(1, "09040401003c6f7468"), NOTHING);
    world.resume();
    assert_eq!((world.hear(1), world.connections()), (vec!["030500".to_owned()], 2));
}

#[test]
fn nobody_is_let_in_beyond_the_gate_and_its_connection_ends() {
    let gates = vec![Gate::new(1, 0), Gate::new(0, 0)];
    let mut world = World::new(Setup { gates, per_device: true, ..Setup::default() });
    world.connect(1, "dev", true);
    assert_eq!(world.ask(2, "09040401003c6f7468"), ["030501"]);
    assert_eq!(world.connections(), 2);
}

#[test]
fn while_the_process_stops_a_connection_that_was_asked_for_ends() {
    let mut world = world();
    world.paused = true;
    assert_eq!(world.ask(1, CLEAN), NOTHING);
    world.drain();
    world.resume();
    assert_eq!((world.hear(1), world.sessions()), (vec!["030501".to_owned()], [0, 0, 0]));
}

#[test]
fn a_connect_repeated_with_another_clean_session_gets_what_it_asks_for_last() {
    for (first, last, kept) in [(CLEAN, KEPT, true), (KEPT, CLEAN, false)] {
        let mut world = world();
        world.paused = true;
        assert_eq!(world.ask(1, first), NOTHING);
        assert_eq!(world.ask(1, last), NOTHING);
        world.resume();
        assert_eq!(world.hear(1), ["030500"]);
        assert_eq!(world.ask(1, DISCONNECT), [DISCONNECT]);
        assert_eq!((world.broker.has_session("dev"), world.connections()), (kept, 1));
    }
}

#[test]
fn qos_minus_one_goes_over_the_gateways_own_connection() {
    let mut world = world();
    assert_eq!(world.ask(9, "080c610007000031"), NOTHING);
    assert_eq!(world.given_by(), ["tidegate-n-0: pre/seven 1 0"]);
    assert_eq!(world.connections(), 1);
}

#[test]
fn a_session_that_expires_here_leaves_no_connection() {
    let config = MqttsnConfig { session_expiry: HumanDuration::from_secs(60), ..Setup::default().config };
    let mut world = with(config);
    world.connect(1, "dev", false);
    world.wait_s(LOST_S);
    assert_eq!((world.sessions(), world.connections()), ([0, 0, 1], 1));
    world.wait_s(60);
    assert_eq!((world.sessions(), world.connections()), ([0, 0, 0], 1));
}

#[test]
fn what_is_in_flight_when_the_connection_is_lost_is_not_doubled() {
    for (qos, first) in [(Qos::AtLeastOnce, "080c200401000131"), (Qos::ExactlyOnce, "080c400401000131")] {
        let mut world = subscribed(false);
        world.publish("t/a", "1", qos);
        assert_eq!(world.hear(1), [first]);
        world.broker_down();
        world.broker.set_up();
        world.wait_s(5);
        assert_eq!((world.hear(1), world.connections(), world.broker.undelivered("dev")), (vec![], 2, 1));
        let answers = if qos == Qos::AtLeastOnce { vec!["070d0401000100"] } else { vec!["040f0001", "040e0001"] };
        let told: Vec<_> = answers.iter().flat_map(|answer| world.ask(1, answer)).collect();
        assert_eq!((told.len(), world.broker.undelivered("dev")), (answers.len() - 1, 0), "{told:?}");
    }
}

#[test]
fn a_client_gets_rid_of_what_it_subscribed_to_before_this_process_began() {
    let (mut world, _) = subscribed(false).restart(Setup { per_device: true, ..Setup::default() }, 0);
    world.connect(1, "dev", false);
    world.publish("t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["090a04010001742f61"], "the broker has kept the subscription");
    assert_eq!(world.ask(1, "0814000007742f61"), ["04150007"]);
    assert_eq!(world.broker.filters("dev").count(), 0);
}
