//! Sessions that outlive the process: what is kept, and how they come back.

use crate::world::{Qos, Setup, World};
use bridge_core::gate::Gate;
use bridge_core::machine::Unthawed;
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;

const NOTHING: [&str; 0] = [];
const HOUR_MS: u64 = 3_600_000;

fn durable() -> Setup {
    Setup { durable: true, ..Setup::default() }
}

fn world() -> World {
    World::new(durable())
}

/// The next process, which everybody comes back to.
fn next(world: World, wall_ms: u64) -> World {
    let (world, thawed) = world.restart(durable(), wall_ms);
    assert!(thawed.iter().all(Result::is_ok), "{thawed:?}");
    world
}

fn kept(world: &World) -> Vec<&str> {
    world.kept.as_ref().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_connected_client_need_not_notice() {
    let mut world = world();
    world.connect(1, "dev", false);
    let id = world.register(1, "up/a");
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    let mut world = next(world, 0);
    assert_eq!((world.sessions(), world.filters()), ([0, 1, 0], vec!["t/a".to_owned()]));
    assert_eq!(world.ask(1, "0216"), ["0217"], "PINGREQ");
    assert_eq!(world.ask(1, &format!("080c20{id:04x}000731")), [format!("070d{id:04x}000700")], "PUBLISH");
    assert_eq!(world.given(), ["up/a 1 1"]);
    world.publish("t/a", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200402000132"], "under the id that it knows");
    assert_eq!(world.register(1, "up/a"), id);
}

#[test]
fn it_has_the_time_of_a_whole_keep_alive() {
    let mut world = world();
    world.connect_with_will(1, "dev", false);
    world.wait_s(80);
    let mut world = next(world, 0);
    world.wait_s(89);
    assert_eq!((world.sessions(), world.given().len()), ([0, 1, 0], 0));
    world.wait_s(2);
    assert_eq!(world.sessions(), [0, 0, 1]);
    assert_eq!(world.given(), ["w/dev gone 1"], "its will is the one it told before");
}

#[test]
fn only_who_may_come_back_is_kept() {
    let mut world = world();
    world.connect(1, "clean", true);
    world.try_connect(2, "", false);
    world.connect(3, "dev", false);
    assert_eq!(kept(&world), ["dev"]);
    world.subscribe(1, "t/a", SnQos::AtMostOnce);
    world.connect(3, "dev", true);
    assert_eq!(kept(&world), NOTHING, "CleanSession ends it");
    world.connect(3, "dev", false);
    world.ask(3, "0218");
    assert_eq!(kept(&world), ["dev"], "it may come back");
    world.wait_s(7201);
    assert_eq!(kept(&world), NOTHING, "its time is over");
}

#[test]
fn what_was_in_flight_and_held_comes_once_the_client_is_heard() {
    let mut world = world();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/#", SnQos::ExactlyOnce);
    for payload in ["1", "2", "3"] {
        world.publish("ab", payload, Qos::ExactlyOnce);
        world.publish("t/a", payload, Qos::ExactlyOnce);
    }
    assert_eq!(world.hear(1).len(), 1, "REGISTER");
    let mut world = next(world, 0);
    assert_eq!(world.hear(1), NOTHING, "nothing is said to whoever may not be there any more");
    assert_eq!(world.ask(1, "070b0401000100"), ["080c400401000231"], "the answer to the first process's REGISTER");
    let mut world = next(world, 0);
    world.wait_s(10);
    assert_eq!(world.hear(1), ["080cc00401000231"], "again, with DUP and the same msg id");
    assert_eq!(world.ask(1, "040f0002"), ["04100002"]);
    let mut world = next(world, 0);
    assert_eq!(world.ask(1, "040e0002"), ["080c400401000332"], "PUBCOMP ends what another process began");
}

#[test]
fn what_is_held_for_a_sleeping_client_comes_when_it_wakes_whatever_its_clean_session() {
    for clean in [false, true] {
        let mut world = world();
        world.connect(1, "dev", clean);
        world.subscribe(1, "t/a", SnQos::AtLeastOnce);
        assert_eq!(world.ask(1, "0418003c"), ["0218"], "DISCONNECT, 60 s");
        assert_eq!(kept(&world), ["dev"]);
        world.publish("t/a", "1", Qos::AtMostOnce);
        world.publish("t/a", "2", Qos::AtLeastOnce);
        let mut world = next(world, HOUR_MS);
        assert_eq!(world.sleepers()[0], 1);
        assert_eq!(world.ask(1, "0516646576"), ["080c000401000031", "080c200401000132"], "clean: {clean}");
        // What it has not acknowledged it gets again.
        let mut world = next(world, HOUR_MS);
        assert_eq!(world.ask(1, "0516646576"), ["080ca00401000132"]);
        assert_eq!(world.ask(1, "070d0401000100"), ["0217"], "PINGRESP last");
        let mut world = next(world, HOUR_MS);
        assert_eq!(world.ask(1, "0516646576"), ["0217"], "nothing twice");
        world.wait_s(89);
        assert_eq!(world.sleepers()[0], 1, "it has the time of a whole sleep");
        world.wait_s(2);
        assert_eq!((world.sleepers()[0], kept(&world).is_empty()), (0, clean));
    }
}

#[test]
fn a_publication_of_qos_2_that_was_answered_is_not_published_again() {
    let mut world = world();
    world.connect(1, "dev", false);
    let id = world.register(1, "up/a");
    let publish = |flags: &str| format!("080c{flags}{id:04x}000731");
    assert_eq!(world.ask(1, &publish("40")), ["040f0007"]);
    let mut world = next(world, 0);
    assert_eq!(world.ask(1, &publish("c0")), ["040f0007"]);
    assert_eq!(world.given(), ["up/a 1 2"], "by the first process");
    assert_eq!(world.ask(1, "04100007"), ["040e0007"]);
    let mut world = next(world, 0);
    assert_eq!(world.ask(1, "04100007"), ["040e0007"], "PUBCOMP was lost");
    assert_eq!(world.given(), NOTHING);
}

#[test]
fn a_message_goes_on_losing_lifetime_while_nobody_runs() {
    use support::broker::{Message, MessageProperties};
    let mut world = world();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.ask(1, "0218");
    for (payload, seconds) in [("1", 100), ("2", 1000)] {
        let properties = MessageProperties { message_expiry_interval: Some(seconds), ..MessageProperties::default() };
        world.broker.publish(Message { properties, ..Message::new("t/a", payload, Qos::AtLeastOnce) });
    }
    world.settle();
    let mut world = next(world, 100_000);
    assert_eq!(world.try_connect(1, "dev", false), ["030500", "080c200401000132"]);
}

#[test]
fn a_session_whose_time_was_over_meanwhile_has_ended() {
    for (wall_ms, thawed) in [(2 * HOUR_MS - 1, Ok(())), (2 * HOUR_MS, Err(Unthawed::Expired))] {
        let mut world = world();
        world.connect(1, "dev", false);
        world.ask(1, "0218");
        let (mut world, all) = world.restart(durable(), wall_ms);
        assert_eq!(all, [thawed]);
        world.wait_s(1);
        assert_eq!(world.sessions(), [0, 0, 0], "at the latest a moment later");
    }
}

#[test]
fn the_will_is_kept() {
    let mut world = world();
    world.connect_with_will(1, "dev", false);
    world.ask(1, "031c32");
    let mut world = next(world, 0);
    world.wait_s(91);
    assert_eq!(world.given(), ["w/dev 2 1"]);
}

#[test]
fn what_has_no_room_stays_out_and_changes_nothing() {
    let mut world = world();
    for port in 1..=3 {
        world.connect(port, &format!("dev{port}"), false);
    }
    let setup = Setup { gates: vec![Gate::new(2, 1), Gate::new(0, 0)], ..durable() };
    let (mut world, thawed) = world.restart(setup, 0);
    assert_eq!(thawed, [Ok(()), Ok(()), Err(Unthawed::NoRoom)], "max_conn_rate is for new ones");
    assert_eq!(world.ask(3, "0216"), ["0218"], "a stranger");
    world.ask(1, "0218");
    assert_eq!(kept(&world), ["dev1", "dev2", "dev3"], "what is kept of it stays");
}

#[test]
fn of_two_at_one_address_one_is_gone() {
    let mut world = world();
    world.connect(1, "a", false);
    let early = world.kept.clone().unwrap();
    world.connect(1, "b", false);
    // The end came before it was written that a had given way to b.
    world.kept.as_mut().unwrap().extend(early);
    let world = next(world, 0);
    assert_eq!(world.sessions(), [0, 1, 1]);
}

#[test]
fn a_configuration_with_other_names_leads_no_message_astray() {
    let config = |names: &[(u16, &str)], max_topics| MqttsnConfig {
        predefined: names.iter().map(|&(id, name)| (id, name.to_owned())).collect(),
        max_topics,
        subs_resume: false,
        ..MqttsnConfig::default()
    };
    let mut world = World::new(Setup { config: config(&[(1, "pre/one")], 4), ..durable() });
    world.connect(1, "dev", false);
    world.subscribe(1, "pre/one", SnQos::AtLeastOnce);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    world.subscribe(1, "t/b", SnQos::AtLeastOnce);
    world.ask(1, "0218");
    world.publish("pre/one", "1", Qos::AtLeastOnce);
    // 1 means something else now, and there is room for fewer.
    let (mut world, thawed) = world.restart(Setup { config: config(&[(1, "pre/other")], 2), ..durable() }, 0);
    assert_eq!(thawed, [Ok(())]);
    assert_eq!(world.filters(), ["t/a", "t/b"], "no id is left for the name that was predefined");
    assert_eq!(world.try_connect(1, "dev", false), ["030500"]);
    world.publish("t/b", "2", Qos::AtLeastOnce);
    assert_eq!(world.hear(1).len(), 1);
}

#[test]
fn records_that_make_no_sense_are_refused() {
    let mut world = world();
    world.connect(1, "dev", false);
    world.subscribe(1, "t/a", SnQos::AtLeastOnce);
    let record = world.kept.as_ref().unwrap()["dev"].clone();
    let kept = world.kept.as_mut().unwrap();
    kept.clear();
    for (id, record) in [
        ("empty", vec![]),
        ("version", [&[9][..], &record[1..]].concat()),
        ("longer", [&record[..], &[0]].concat()),
        ("shorter", record[..record.len() - 1].to_vec()),
        ("bad\u{1}id", record.clone()),
    ] {
        kept.insert(id.to_owned(), record);
    }
    let (world, thawed) = world.restart(durable(), 0);
    assert_eq!(thawed, [Err(Unthawed::Corrupt); 5]);
    assert_eq!((world.sessions(), world.gates.get(bridge_core::peer::ListenerId(0)).unwrap().sessions()), ([0; 3], 0));
}

#[test]
fn what_says_nothing_new_is_not_written() {
    let mut world = world();
    world.connect(1, "dev", false);
    let id = world.register(1, "up/a");
    world.subscribe(1, "t/a", SnQos::AtMostOnce);
    world.kept.as_mut().unwrap().clear();
    for said in ["0216".to_owned(), format!("080c00{id:04x}000031"), format!("080c20{id:04x}000231")] {
        world.ask(1, &said);
    }
    world.publish("t/a", "2", Qos::AtMostOnce);
    assert_eq!(world.hear(1).len(), 1);
    assert_eq!(kept(&world), NOTHING);
    world.register(1, "up/b");
    assert_eq!(kept(&world), ["dev"]);
}
