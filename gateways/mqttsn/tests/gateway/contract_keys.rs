//! The keys of `[gateways.mqttsn]` that no other test shows: their defaults, and who comes in under which name.

use crate::world::{Qos, Setup, World};
use bridge_core::auth::AuthRules;
use bridge_core::bridge::Policy;
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;
use std::sync::Arc;

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = MqttsnConfig::default();
    assert_eq!((config.gateway_id, config.broadcast, config.advertise_interval.as_millis()), (1, false, 900_000));
    assert_eq!((config.qos_minus_one, config.subs_resume, config.max_topics), (true, true, 1024));
    assert_eq!(config.predefined, [(1, "predefined/topic/name/hello".to_owned())].into());
    assert!(config.predefined_for.is_empty());
    assert_eq!((config.retry_interval.as_millis(), config.max_retries), (10_000, 3));
    assert_eq!((config.sleep_queue, config.session_expiry.as_millis()), (1000, 7_200_000));
    assert_eq!((config.username.as_str(), config.password.is_empty(), config.auth_refused_code), ("", true, 3));
    assert_eq!(config.idle_timeout.as_millis(), 30_000);
}

#[test]
fn auth_refused_code_is_what_a_client_hears_that_may_not_come_in() {
    for (code, heard) in [(3, "030503"), (1, "030501"), (128, "030580")] {
        let auth = AuthRules { allow_anonymous: Some(false), ..AuthRules::default() };
        let policy = Policy { auth: Arc::new(auth), ..Policy::default() };
        let config = MqttsnConfig { auth_refused_code: code, ..MqttsnConfig::default() };
        let mut world = World::new(Setup { config, policy, ..Setup::default() });
        assert_eq!(world.try_connect(1, "dev", true), [heard]);
        assert_eq!((world.sessions(), world.ask(1, "0216")), ([0, 0, 0], vec!["0218".to_owned()]));
    }
}

#[test]
fn every_client_comes_in_under_the_static_user_name() {
    let config = MqttsnConfig { username: "fleet".to_owned(), ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, mountpoint: "%u/%c/", ..Setup::default() });
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtMostOnce);
    assert_eq!(world.filters(), ["fleet/dev/t/a"]);
    assert_eq!(
        (world.ask(1, "080c626162000031"), world.given()),
        (vec![], vec!["fleet/NegQoS-Client/ab 1 0".to_owned()])
    );
    world.publish("fleet/dev/t/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["080c000401000031"]);
}

#[test]
fn without_repetitions_the_first_silence_is_the_last() {
    let config = MqttsnConfig { max_retries: 0, ..Setup::default().config };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"]);
    world.wait_s(10);
    assert_eq!((world.hear(1), world.sessions()), (vec!["0218".to_owned()], [0, 0, 0]));
}
