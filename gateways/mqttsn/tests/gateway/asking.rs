//! What the admin API asks the machine.

use crate::world::{Qos, Setup, World};
use bridge_core::ask::{Answer, Ask, ClientRow, Wanted};
use bridge_core::owners::{Owner, Owners};
use bridge_core::peer::{GatewayId, ShardId};
use bridge_core::topic::TopicFilter;
use bridge_core::uplink::{Refusal, Token};
use codec_mqttsn::Qos as SnQos;
use mqttsn::MqttsnConfig;
use support::broker::Options;

const DISCONNECT: &str = "0218";

/// One slice: client ids, and where the next begins.
fn slice(
    world: &mut World,
    after: Option<Token>,
    rows: usize,
    scan: usize,
    wanted: &Wanted,
) -> (String, Option<Token>) {
    let Answer::Page { rows, next } = world.query(&Ask::List { after, rows, scan, wanted }) else { panic!("no page") };
    let ids: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
    (ids.join(" "), next)
}

/// All slices, each in brackets.
fn walk(world: &mut World, rows: usize, scan: usize, wanted: &Wanted) -> String {
    let (mut after, mut slices) = (None, Vec::new());
    for _ in 0..100 {
        let (ids, next) = slice(world, after, rows, scan, wanted);
        slices.push(format!("[{ids}]"));
        after = next;
        if after.is_none() {
            return slices.concat();
        }
    }
    panic!("it does not end: {slices:?}");
}

fn show(world: &mut World, id: &str) -> ClientRow {
    match world.query(&Ask::Show { id }) {
        Answer::Client(row) => *row,
        other => panic!("{other:?}"),
    }
}

fn subscriptions(world: &mut World, id: &str) -> Vec<String> {
    match world.query(&Ask::Subscriptions { id }) {
        Answer::Subscriptions(rows) => rows.iter().map(|row| format!("{} {}", row.filter, row.qos.bits())).collect(),
        other => panic!("{other:?}"),
    }
}

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::try_from(text).unwrap()
}

fn subscribe(world: &mut World, id: &str, text: &str, qos: Qos) -> Answer {
    world.query(&Ask::Subscribe { id, filter: filter(text), qos })
}

fn unsubscribe(world: &mut World, id: &str, text: &str) -> Answer {
    world.query(&Ask::Unsubscribe { id, filter: filter(text) })
}

#[test]
#[rustfmt::skip]
fn a_list_is_told_in_slices_that_end_at_rows_and_at_slots_looked_at() {
    let mut world = World::default();
    let all = Wanted::default();
    assert_eq!(slice(&mut world, None, 10, 10, &all), (String::new(), None));
    for (port, id) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")] {
        world.connect(port, id, true);
    }
    for (rows, scan, expected) in [
        (100, 100, "[a b c d e]"),
        (2,   100, "[a b][c d][e]"),
        (5,   100, "[a b c d e]"),
        (100, 2,   "[a b][c d][e]"),
        (2,   3,   "[a b][c d][e]"),
        (1,   1,   "[a][b][c][d][e]"),
        (100, 5,   "[a b c d e]"),
    ] {
        assert_eq!(walk(&mut world, rows, scan, &all), expected, "{rows} rows, {scan} looked at");
    }
    // b and c leave free slots behind, which count as looked at.
    assert_eq!(world.query(&Ask::Kick { id: "b" }), Answer::Done);
    assert_eq!(world.query(&Ask::Kick { id: "c" }), Answer::Done);
    for (rows, scan, expected) in [
        (100, 100, "[a d e]"),
        (100, 1,   "[a][][][d][e]"),
        (100, 3,   "[a][d e]"),
        (1,   100, "[a][d][e]"),
    ] {
        assert_eq!(walk(&mut world, rows, scan, &all), expected, "{rows} rows, {scan} looked at");
    }
}

#[test]
fn a_slice_goes_on_where_the_last_ended_though_its_client_has_left() {
    let mut world = World::default();
    for (port, id) in [(1, "a"), (2, "b"), (3, "c")] {
        world.connect(port, id, true);
    }
    let all = Wanted::default();
    let (ids, next) = slice(&mut world, None, 2, 100, &all);
    assert_eq!(ids, "a b");
    assert_eq!(world.query(&Ask::Kick { id: "b" }), Answer::Done);
    assert_eq!(slice(&mut world, next, 2, 100, &all), ("c".to_owned(), None));
    let beyond = Some(Token(u64::MAX));
    assert_eq!(slice(&mut world, beyond, 2, 100, &all), (String::new(), None), "no token of ours");
}

#[test]
#[rustfmt::skip]
fn a_list_shows_those_that_fit_all_that_is_wanted() {
    let mut world = World::default();
    world.connect(1, "lamp-1", true);
    world.connect(2, "lamp-2", false);
    world.connect(3, "door", false);
    assert_eq!(world.ask(3, "0218"), [DISCONNECT]);
    let (some, none) = (|text: &str| Some(text.to_owned()), Wanted::default());
    let table = [
        (Wanted { id_like: some("lamp"), ..none.clone() },                      "[lamp-1 lamp-2]"),
        (Wanted { id_like: some("oo"), ..none.clone() },                        "[door]"),
        (Wanted { state: some("connected"), ..none.clone() },                   "[lamp-1 lamp-2]"),
        (Wanted { state: some("disconnected"), ..none.clone() },                "[door]"),
        (Wanted { clean: Some(false), ..none.clone() },                         "[lamp-2 door]"),
        (Wanted { clean: Some(false), id_like: some("lamp"), ..none.clone() },  "[lamp-2]"),
        (Wanted { ip: "127.0.0.1".parse().ok(), ..none.clone() },               "[lamp-1 lamp-2 door]"),
        (Wanted { ip: "127.0.0.2".parse().ok(), ..none.clone() },               "[]"),
        (Wanted { username: some("ops"), ..none.clone() },                      "[]"),
        (Wanted { username_like: some("o"), ..none.clone() },                   "[]"),
    ];
    for (wanted, expected) in table {
        assert_eq!(walk(&mut world, 100, 100, &wanted), expected, "{wanted:?}");
    }
    let lamps = Wanted { id_like: some("lamp"), ..none };
    assert_eq!(walk(&mut world, 100, 1, &lamps), "[lamp-1][lamp-2][]", "what does not fit is looked at, too");
}

#[test]
fn a_client_is_shown_as_it_is() {
    let config = MqttsnConfig { session_expiry: "2h".parse().unwrap(), ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(7, "lamp", false);
    world.subscribe(7, "a/#", SnQos::AtLeastOnce);
    let row = show(&mut world, "lamp");
    assert_eq!((&*row.id, row.address.port(), row.state, row.version), ("lamp", 7, "connected", "1.2"));
    assert_eq!((row.clean, row.keepalive_s, row.expiry_s), (false, 60, 7200));
    assert_eq!((row.subscriptions, row.held, row.in_flight), (1, 0, 0));
    // One waits for its REGISTER; then it is in flight, and the next waits for it.
    world.publish("a/b", "1", Qos::AtLeastOnce);
    world.publish("a/b", "2", Qos::AtLeastOnce);
    let row = show(&mut world, "lamp");
    assert_eq!((row.held, row.in_flight), (2, 0));
    world.ask(7, "070b 0401 0001 00".replace(' ', "").as_str());
    let row = show(&mut world, "lamp");
    assert_eq!((row.held, row.in_flight), (1, 1));
    world.connect(8, "clean", true);
    assert_eq!(show(&mut world, "clean").expiry_s, 0, "nothing is kept of it");
    assert_eq!(world.query(&Ask::Show { id: "nobody" }), Answer::NoSuchClient);
}

#[test]
fn who_is_kicked_is_told_and_its_will_is_published_and_nothing_is_kept() {
    let mut world = World::default();
    world.connect_with_will(1, "lamp", false);
    world.subscribe(1, "a/#", SnQos::AtLeastOnce);
    assert_eq!(world.filters(), ["a/#"]);
    world.hear(1);
    assert_eq!(world.query(&Ask::Kick { id: "lamp" }), Answer::Done);
    assert_eq!(world.hear(1), [DISCONNECT]);
    assert_eq!(world.given(), ["w/lamp gone 1"]);
    assert_eq!((world.filters(), world.sessions()), (vec![], [0, 0, 0]));
    assert_eq!(world.query(&Ask::Kick { id: "lamp" }), Answer::NoSuchClient);
    let owners = Owners::new(world.directory.clone(), ShardId(0));
    assert_eq!(owners.locate(GatewayId(0), "lamp"), Owner::Nobody, "any shard may have it next");
    assert_eq!(world.gates.get(bridge_core::peer::ListenerId(0)).unwrap().sessions(), 0);
    assert_eq!(world.ask(1, "0216"), [DISCONNECT], "it has no session any more");
}

#[test]
fn a_kept_session_that_is_kicked_ends_without_a_word() {
    let mut world = World::default();
    world.connect_with_will(1, "lamp", false);
    world.subscribe(1, "a/#", SnQos::AtLeastOnce);
    world.ask(1, "0218");
    assert_eq!(world.sessions(), [0, 0, 1]);
    assert_eq!(world.query(&Ask::Kick { id: "lamp" }), Answer::Done);
    let nothing: [&str; 0] = [];
    assert_eq!((world.hear(1), world.given()), (vec![], vec![]), "it was not connected: there is nothing to be lost");
    assert_eq!((world.filters(), world.sessions()), (nothing.map(str::to_owned).to_vec(), [0, 0, 0]));
}

#[test]
fn who_is_kicked_in_its_will_dialogue_leaves_nothing() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "0a 04 0c 01 003c 6c616d70".replace(' ', "").as_str()), ["0206"]);
    assert_eq!(show(&mut world, "lamp").state, "connecting");
    assert_eq!(subscribe(&mut world, "lamp", "a", Qos::AtMostOnce), Answer::Refused(Refusal::Busy));
    assert_eq!(world.query(&Ask::Kick { id: "lamp" }), Answer::Done);
    assert_eq!((world.hear(1), world.sessions()), (vec![DISCONNECT.to_owned()], [0, 0, 0]));
    assert_eq!(world.given(), [""; 0]);
}

#[test]
fn subscriptions_are_told_by_name_with_the_granted_qos() {
    let options = Options { maximum_qos: Qos::AtLeastOnce, ..Options::default() };
    let mut world = World::new(Setup { options, mountpoint: "site/", ..Setup::default() });
    world.connect(1, "lamp", true);
    assert_eq!(subscriptions(&mut world, "lamp"), [""; 0]);
    world.subscribe(1, "t/a", SnQos::ExactlyOnce);
    world.subscribe(1, "pre/one", SnQos::AtMostOnce);
    world.subscribe(1, "a/#", SnQos::AtLeastOnce);
    assert_eq!(subscriptions(&mut world, "lamp"), ["t/a 1", "pre/one 0", "a/# 1"], "as the device knows them");
    world.subscribe(1, "a/#", SnQos::AtMostOnce);
    assert_eq!(subscriptions(&mut world, "lamp"), ["t/a 1", "pre/one 0", "a/# 0"]);
    assert_eq!(world.query(&Ask::Subscriptions { id: "nobody" }), Answer::NoSuchClient);
}

#[test]
fn a_subscription_in_the_clients_stead_is_silent_until_a_message_comes() {
    let mut world = World::default();
    world.connect(1, "lamp", true);
    assert_eq!(subscribe(&mut world, "lamp", "t/a", Qos::AtLeastOnce), Answer::Done);
    assert_eq!(world.hear(1), [""; 0], "nobody owes it a SUBACK");
    assert_eq!(
        (world.filters(), subscriptions(&mut world, "lamp")),
        (vec!["t/a".to_owned()], vec!["t/a 1".to_owned()])
    );
    world.publish("t/a", "hi", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["090a04010001742f61"], "REGISTER");
    assert_eq!(world.ask(1, "07 0b 0401 0001 00".replace(' ', "").as_str()), ["090c2004010002 6869".replace(' ', "")]);
    // The device's own SUBSCRIBE finds it there, and is answered.
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtMostOnce), ["0813000401020200"]);
    assert_eq!(subscriptions(&mut world, "lamp"), ["t/a 0"]);
}

#[test]
fn a_subscription_in_the_clients_stead_does_not_swallow_the_suback_that_is_owed() {
    let mut world = World::default();
    world.connect(1, "lamp", true);
    world.paused = true;
    assert_eq!(world.subscribe(1, "t/a", SnQos::AtMostOnce), [""; 0]);
    assert_eq!(subscribe(&mut world, "lamp", "t/a", Qos::AtLeastOnce), Answer::Done);
    world.resume();
    assert_eq!(world.hear(1).len(), 1, "one SUBACK");
    assert_eq!(subscriptions(&mut world, "lamp"), ["t/a 1"]);
}

#[test]
fn a_subscription_in_the_clients_stead_ends() {
    let mut world = World::default();
    world.connect(1, "lamp", true);
    world.subscribe(1, "a/#", SnQos::AtMostOnce);
    assert_eq!(subscribe(&mut world, "lamp", "pre/one", Qos::AtMostOnce), Answer::Done);
    assert_eq!(unsubscribe(&mut world, "lamp", "b/#"), Answer::NoSuchSubscription);
    assert_eq!(unsubscribe(&mut world, "lamp", "a/#"), Answer::Done);
    assert_eq!(
        (world.filters(), subscriptions(&mut world, "lamp")),
        (vec!["pre/one".to_owned()], vec!["pre/one 0".to_owned()])
    );
    assert_eq!(unsubscribe(&mut world, "lamp", "a/#"), Answer::NoSuchSubscription);
    assert_eq!(unsubscribe(&mut world, "nobody", "a/#"), Answer::NoSuchClient);
    assert_eq!(subscribe(&mut world, "nobody", "a/#", Qos::AtMostOnce), Answer::NoSuchClient);
}

#[test]
fn subscriptions_in_a_clients_stead_keep_its_limits() {
    let config = MqttsnConfig { max_topics: 1, ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, ..Setup::default() });
    world.connect(1, "lamp", true);
    assert_eq!(subscribe(&mut world, "lamp", "t/a", Qos::AtMostOnce), Answer::Done);
    assert_eq!(subscribe(&mut world, "lamp", "t/a", Qos::AtLeastOnce), Answer::Done, "a known one");
    assert_eq!(subscribe(&mut world, "lamp", "t/b", Qos::AtMostOnce), Answer::Refused(Refusal::Limit));
    assert_eq!(subscribe(&mut world, "lamp", "a/#", Qos::AtMostOnce), Answer::Refused(Refusal::Limit));
    world.broker_down();
    assert_eq!(subscribe(&mut world, "lamp", "t/a", Qos::AtMostOnce), Answer::Refused(Refusal::BrokerAway));
    assert_eq!(subscriptions(&mut world, "lamp"), ["t/a 1"]);
}

#[test]
fn a_subscription_in_a_clients_stead_outlives_the_process_until_it_is_ended() {
    let durable = || Setup { durable: true, ..Setup::default() };
    let mut world = World::new(durable());
    world.connect(1, "lamp", false);
    assert_eq!(subscribe(&mut world, "lamp", "t/a", Qos::AtLeastOnce), Answer::Done);
    assert_eq!(subscribe(&mut world, "lamp", "a/#", Qos::AtMostOnce), Answer::Done);
    let (mut world, thawed) = world.restart(durable(), 0);
    assert!(thawed.iter().all(Result::is_ok), "{thawed:?}");
    assert_eq!(subscriptions(&mut world, "lamp"), ["t/a 1", "a/# 0"]);
    assert_eq!(unsubscribe(&mut world, "lamp", "t/a"), Answer::Done);
    let (mut world, _) = world.restart(durable(), 0);
    assert_eq!(
        (subscriptions(&mut world, "lamp"), world.filters()),
        (vec!["a/# 0".to_owned()], vec!["a/#".to_owned()])
    );
    assert_eq!(world.query(&Ask::Kick { id: "lamp" }), Answer::Done);
    assert!(world.kept.as_ref().unwrap().is_empty(), "nothing is kept of who was kicked");
}

#[test]
fn who_sleeps_is_shown_asleep_and_its_will_is_published_when_it_is_kicked() {
    let mut world = World::default();
    world.connect_with_will(1, "lamp", false);
    assert_eq!(world.ask(1, "0418003c"), ["0218"], "DISCONNECT with a duration");
    let row = show(&mut world, "lamp");
    assert_eq!((row.state, row.disconnected_at_ms), ("asleep", None));
    assert_eq!(subscribe(&mut world, "lamp", "t/a", Qos::AtLeastOnce), Answer::Done);
    world.publish("t/a", "1", Qos::AtLeastOnce);
    assert_eq!(show(&mut world, "lamp").held, 1);
    assert_eq!(world.query(&Ask::Kick { id: "lamp" }), Answer::Done);
    assert_eq!((world.given(), world.filters()), (vec!["w/lamp gone 1".to_owned()], vec![]));
    world.hear(1);
    assert_eq!(world.ask(1, "06 16 6c616d70".replace(' ', "").as_str()), [DISCONNECT], "it finds out when it wakes up");
}
