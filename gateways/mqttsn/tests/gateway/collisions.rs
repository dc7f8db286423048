//! Several things at once: whoever moves, sleeps or outlives the process in the middle of something.

use crate::world::{Qos, Setup, World, hex};
use bridge_core::acl::{Acl, AclRule, Actions, RuleTopic, Verdict, Who};
use bridge_core::auth::{Answer, AuthRules, ChainEntry, EntryKind, Opinion, StoreId};
use bridge_core::bridge::Policy;
use bridge_core::events::{EventSettings, GatewayNames};
use bridge_core::machine::Unthawed;
use bridge_core::owners::{Owner, Owners};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, SecureRef, ShardId};
use bridge_core::slab::Key;
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;
use std::sync::Arc;

const NOTHING: [&str; 0] = [];
/// CONNECT of "dev" with CleanSession 0.
const CONNECT: &str = "09040001003c646576";
/// PINGREQ of "dev".
const PINGREQ: &str = "0516646576";

fn secure(port: u16, association: u32) -> Peer {
    let plain = Peer::plain(ListenerId(0), ([127, 0, 0, 1], port).into(), None);
    Peer { secure: Some(SecureRef(Key { slot: association, generation: 0 })), ..plain }
}

/// Somebody has to be asked about each client.
fn asking() -> World {
    let entries = vec![ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) }];
    let policy = Policy { auth: Arc::new(AuthRules { entries, ..AuthRules::default() }), ..Policy::default() };
    World::new(Setup { policy, ..Setup::default() })
}

/// All who wait may come in; how many were asked about.
fn let_in(world: &mut World) -> usize {
    decide(world, Opinion::Allow { superuser: false })
}

/// Nobody who waits may.
fn keep_out(world: &mut World) -> usize {
    decide(world, Opinion::Deny)
}

fn decide(world: &mut World, opinion: Opinion) -> usize {
    let questions: Vec<_> = std::iter::from_fn(|| world.shard.take_question()).collect();
    for question in &questions {
        world.shard.answer(world.now, Answer { id: question.id, opinion });
    }
    world.settle();
    questions.len()
}

#[test]
fn a_subscribe_that_is_under_way_when_the_client_comes_through_another_listener_is_answered_when_repeated() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    world.paused = true;
    assert_eq!(world.ask(1, "0812200007612f62"), NOTHING, "the broker is being asked");
    assert_eq!(world.ask(1, "0812200008612f62"), NOTHING, "twice");
    assert_eq!(world.ask_elsewhere(2, CONNECT), ["030500"]);
    world.resume();
    assert_eq!(world.hear(2), NOTHING);
    world.publish("a/b", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(2), [format!("090a04010001{}", hex("a/b"))], "it has not been told the id");
    assert_eq!(world.ask_elsewhere(2, "0812a00007612f62")[0], "0813200401000700");
}

#[test]
fn what_waits_for_its_topic_when_the_process_ends_still_does_in_the_next() {
    let durable = || {
        let config = MqttsnConfig { subs_resume: true, ..Setup::default().config };
        Setup { config, durable: true, ..Setup::default() }
    };
    let mut world = World::new(durable());
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"]);
    let register = format!("090a04010002{}", hex("t/a"));
    assert_eq!(world.try_connect(1, "dev", false), ["030500", &register]);
    let (mut world, thawed) = world.restart(durable(), 0);
    assert_eq!(thawed, [Ok(())]);
    world.wait_s(10);
    assert_eq!(world.hear(1), [register], "the REGISTER alone");
    assert_eq!(world.ask(1, "070b0401000200"), ["080ca00401000131"]);
}

#[test]
fn a_ping_of_somebody_who_is_proved_does_not_move_the_session_of_one_who_is_not() {
    let mut world = World::default();
    assert_eq!(world.ask_as(secure(1, 7), Proven::default(), CONNECT), ["030500"]);
    assert_eq!(world.ask_as(secure(2, 8), Proven::Psk("door"), PINGREQ), ["0218"]);
    assert_eq!(world.ask_as(secure(3, 9), Proven::default(), PINGREQ), ["0217"]);
}

#[test]
fn a_client_that_sleeps_outlives_its_association() {
    let mut world = World::default();
    let lamp = Proven::Psk("lamp");
    assert_eq!(world.ask_as(secure(1, 7), lamp, "09040401003c646576"), ["030500"]);
    assert_eq!(world.ask_as(secure(1, 7), lamp, "0812200007612f62"), ["0813200401000700"]);
    assert_eq!(world.ask_as(secure(1, 7), lamp, "0418003c"), ["0218"]);
    world.publish("a/b", "1", Qos::AtLeastOnce);
    world.closed(secure(1, 7));
    assert_eq!(world.sleepers(), [1, 0]);
    assert_eq!(world.ask_as(secure(1, 8), lamp, PINGREQ), ["080c200401000131"]);
    world.closed(secure(1, 8));
    assert_eq!(world.sleepers(), [1, 0], "it has gone back to sleep");
    assert_eq!(world.ask_as(secure(1, 9), lamp, PINGREQ), ["080ca00401000131"]);
    assert_eq!(world.ask_as(secure(1, 9), lamp, "070d0401000100"), ["0217"]);
}

#[test]
fn qos_minus_one_is_asked_for_once_though_the_configuration_is_read_anew_meanwhile() {
    let mut world = asking();
    let publish = "080c626162000031";
    assert_eq!(world.ask(1, publish), NOTHING);
    world.reload(Setup::default().config);
    assert_eq!(world.ask(1, publish), NOTHING);
    assert_eq!(let_in(&mut world), 1);
    assert_eq!((world.ask(1, publish), world.given()), (vec![], vec!["ab 1 0".to_owned()]));
    world.reload(Setup::default().config);
    assert_eq!((world.ask(1, publish), let_in(&mut world)), (vec![], 1), "after that, anew");
}

#[test]
fn who_waits_to_be_let_in_gives_way_to_a_client_that_moves_to_its_address() {
    let mut world = asking();
    assert_eq!((world.ask(1, CONNECT), let_in(&mut world)), (vec![], 1));
    assert_eq!(world.hear(1), ["030500"]);
    assert_eq!(world.ask(2, "09040001003c787878"), NOTHING, "xxx");
    assert_eq!(world.count("sessions", &["waiting"]), 1);
    assert_eq!(world.ask(2, PINGREQ), ["0217"], "but dev is there");
    assert_eq!(world.count("sessions", &["waiting"]), 0);
    let_in(&mut world);
    assert_eq!((world.hear(2), world.sessions()), (vec![], [0, 1, 0]));
    assert_eq!(world.ask(2, PINGREQ), ["0217"]);
    assert_eq!((world.ask(3, CONNECT), world.ask(3, PINGREQ)), (vec![], vec!["0217".to_owned()]));
    assert_eq!((let_in(&mut world), world.hear(3)), (1, vec!["030500".to_owned()]), "unless it is the same");
}

#[test]
fn what_is_in_flight_by_an_id_that_means_something_else_after_a_reload_goes_by_its_name() {
    let mut world = World::default();
    world.connect(1, "lamp", false);
    assert_eq!(world.ask(1, "07122100070007"), ["0813200007000700"]);
    world.publish("pre/seven", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c210007000131"]);
    let predefined = [(7, "other".to_owned())].into();
    world.reload(MqttsnConfig { predefined, ..Setup::default().config });
    let register = format!("0f0a04010002{}", hex("pre/seven"));
    assert_eq!(world.hear(1), [&*register]);
    world.wait_s(10);
    assert_eq!(world.hear(1), [register]);
    assert_eq!(world.ask(1, "070b0401000200"), ["080ca00401000131"]);
    assert_eq!(world.ask(1, "070d0401000100"), NOTHING);
}

#[test]
fn a_connect_repeated_while_somebody_is_asked_changes_what_it_asks_for() {
    let mut world = asking();
    assert_eq!((world.ask(1, CONNECT), world.ask(1, "09040401003c646576")), (vec![], vec![]));
    assert_eq!((let_in(&mut world), world.hear(1)), (1, vec!["030500".to_owned()]), "one question, one answer");
    assert_eq!((world.ask(1, "0218"), world.sessions()), (vec!["0218".to_owned()], [0, 0, 0]), "CleanSession");
}

#[test]
fn the_id_of_who_gave_up_waiting_is_free() {
    let mut world = asking();
    let other = Owners::new(Arc::clone(&world.directory), ShardId(1));
    assert_eq!(world.ask(1, CONNECT), NOTHING);
    assert_eq!(other.locate(GatewayId(0), "dev"), Owner::Elsewhere(ShardId(0)));
    assert_eq!(world.ask(1, "09040001003c787878"), NOTHING, "xxx");
    assert_eq!(other.locate(GatewayId(0), "dev"), Owner::Nobody);
    assert_eq!((let_in(&mut world), world.hear(1), world.sessions()), (2, vec!["030500".to_owned()], [0, 1, 0]));
}

#[test]
fn a_refused_qos_minus_one_is_asked_for_again_after_10_s() {
    let mut world = asking();
    let publish = "080c626162000031";
    assert_eq!((world.ask(1, publish), keep_out(&mut world)), (vec![], 1));
    world.wait(9999);
    assert_eq!((world.ask(1, publish), keep_out(&mut world)), (vec![], 0));
    world.wait(1);
    assert_eq!((world.ask(1, publish), let_in(&mut world)), (vec![], 1));
    assert_eq!((world.ask(1, publish), world.given()), (vec![], vec!["ab 1 0".to_owned()]));
}

#[test]
fn a_ping_through_another_listener_moves_nobody() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    assert_eq!(world.ask_elsewhere(2, PINGREQ), ["0218"]);
    assert_eq!(world.ask(1, "0216"), ["0217"]);
}

#[test]
fn a_finished_exchange_of_qos_2_is_finished_in_the_next_process_too() {
    let durable = || Setup { durable: true, ..Setup::default() };
    let mut world = World::new(durable());
    world.connect(1, "dev", false);
    assert_eq!(world.register(1, "up/a"), 1025);
    assert_eq!(world.ask(1, "080c400401000731"), ["040f0007"]);
    assert_eq!((world.ask(1, "04100007"), world.given().len()), (vec!["040e0007".to_owned()], 1));
    let (mut world, _thawed) = world.restart(durable(), 0);
    assert_eq!(world.ask(1, "080c400401000731"), ["040f0007"]);
    assert_eq!(world.given(), ["up/a 1 2"], "without DUP it is another");
}

#[test]
fn what_is_held_at_qos_0_alone_outlives_the_process() {
    let durable = || Setup { durable: true, ..Setup::default() };
    for (goodbye, back, answer) in [("0418003c", PINGREQ, "0217"), ("0218", CONNECT, "030500")] {
        let mut world = World::new(durable());
        world.connect(1, "dev", false);
        world.subscribe(1, "t/a", SnQos::AtMostOnce);
        assert_eq!(world.ask(1, goodbye), ["0218"]);
        world.publish("t/a", "1", Qos::AtMostOnce);
        let (mut world, _thawed) = world.restart(durable(), 0);
        let mut heard = world.ask(1, back);
        heard.sort();
        let mut expected = ["080c000401000031", answer];
        expected.sort_unstable();
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_wall_clock_that_was_put_back_gives_a_kept_session_no_more_than_its_time() {
    let durable = || Setup { durable: true, ..Setup::default() };
    let (mut world, _thawed) = World::new(durable()).restart(durable(), 3_600_000);
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    let (mut world, thawed) = world.restart(durable(), 0);
    assert_eq!(thawed, [Ok(())]);
    world.wait_s(7199);
    assert_eq!(world.sessions(), [0, 0, 1]);
    world.wait_s(1);
    assert_eq!(world.sessions(), [0, 0, 0]);
}

#[test]
fn connect_within_the_will_dialogue_brings_repetitions_of_its_own() {
    let idle_timeout = settings::HumanDuration::from_secs(3600);
    let config = MqttsnConfig { idle_timeout, max_retries: 1, ..Setup::default().config };
    let mut world = World::new(Setup { config, ..Setup::default() });
    let connect = "09040c01003c646576";
    assert_eq!(world.ask(1, connect), ["0206"]);
    world.wait_s(10);
    assert_eq!(world.hear(1), ["0206"]);
    assert_eq!(world.ask(1, connect), ["0206"]);
    world.wait_s(10);
    assert_eq!(world.hear(1), ["0206"], "not yet lost");
    world.wait_s(10);
    assert_eq!(world.hear(1), ["0218"]);
}

#[test]
fn the_rules_follow_a_client_that_moves_by_pingreq() {
    let rule = AclRule {
        permit: Verdict::Deny,
        who: Who::Address("10.0.0.0/8".parse().unwrap()),
        actions: Actions::All,
        topics: vec![RuleTopic::parse("#").unwrap()],
    };
    let policy = Policy { acl: Arc::new(Acl { rules: vec![rule], ..Acl::default() }), ..Policy::default() };
    let mut world = World::new(Setup { policy, ..Setup::default() });
    let there = Peer::plain(ListenerId(0), ([10, 0, 0, 1], 2).into(), None);
    let publish = "080c226162000731";
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, publish), ["070d6162000700"]);
    assert_eq!(world.ask_as(there, Proven::default(), PINGREQ), ["0217"]);
    assert_eq!(world.ask_as(there, Proven::default(), publish), ["070d6162000703"]);
}

#[test]
fn who_was_connected_through_an_association_comes_back_with_connect_in_the_next_process() {
    let durable = || Setup { durable: true, ..Setup::default() };
    let (mut world, lamp) = (World::new(durable()), Proven::Psk("lamp"));
    assert_eq!(world.ask_as(secure(1, 7), lamp, CONNECT), ["030500"]);
    let (mut world, thawed) = world.restart(durable(), 0);
    assert_eq!((thawed, world.sessions()), (vec![Ok(())], [0, 0, 1]));
    assert_eq!(world.ask_as(secure(1, 8), lamp, PINGREQ), ["0218"]);
    assert_eq!(world.ask_as(secure(1, 8), lamp, CONNECT), ["030500"]);
}

#[test]
fn a_sleeper_without_a_session_to_keep_that_gave_way_to_another_has_ended() {
    let durable = || Setup { durable: true, ..Setup::default() };
    let mut world = World::new(durable());
    world.connect(1, "dev", true);
    assert_eq!(world.ask(1, "0418003c"), ["0218"]);
    let early = world.kept.clone().unwrap();
    world.connect(1, "a", false);
    // The end came before it was written that dev had given way.
    world.kept.as_mut().unwrap().extend(early);
    let (world, thawed) = world.restart(durable(), 0);
    assert_eq!((thawed, world.sessions()), (vec![Ok(()), Err(Unthawed::Expired)], [0, 1, 0]));
}

#[test]
fn nobody_gives_way_to_a_client_that_its_mountpoint_refuses() {
    let mut world = World::new(Setup { mountpoint: "site/%c/", ..Setup::default() });
    world.connect(1, "dev", false);
    assert_eq!(world.try_connect(1, "a/b", true), ["030503"]);
    assert_eq!((world.ask(1, "0216"), world.sessions()), (vec!["0217".to_owned()], [0, 1, 0]));
}

#[test]
fn each_connected_has_its_disconnected() {
    let gateways = vec![GatewayNames { key: "mqttsn", protocol: "MQTT-SN" }];
    let events = Some(EventSettings { prefix: "t".into(), qos: Qos::AtMostOnce, gateways });
    let policy = Policy { events, ..Policy::default() };
    let mut world = World::new(Setup { policy, ..Setup::default() });
    // Anew from the same address, on from there, on from elsewhere, anew from elsewhere, and gone.
    for (port, clean) in [(1, true), (1, true), (1, false), (2, false), (3, true)] {
        world.connect(port, "dev", clean);
    }
    world.ask(3, "0218");
    let told: Vec<String> = world.given().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    let expected = ["connected", "disconnected", "connected", "disconnected", "connected", "disconnected"];
    assert_eq!(told, expected.map(|what| format!("t/clients/mqttsn/dev/{what}")));
}
