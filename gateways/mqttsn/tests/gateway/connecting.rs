//! SEARCHGW, CONNECT, strangers and what is malformed.

use crate::world::{Setup, World, hex};
use bridge_core::gate::Gate;
use bridge_core::owners::{Owner, Owners};
use bridge_core::peer::{GatewayId, ShardId};
use codec_mqttsn::{Connect, Message};
use mqttsn::MqttsnConfig;
use std::sync::Arc;

const NOTHING: [&str; 0] = [];

#[test]
fn searchgw_is_answered_in_every_state() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "030100"), ["030201"], "stranger");
    assert_eq!(world.ask(1, "0b040c01003c6465762d31"), ["0206"]);
    assert_eq!(world.ask(1, "030101"), ["030201"], "in the will dialogue");
    assert_eq!(world.ask(1, "0207"), ["030500"]);
    assert_eq!(world.ask(1, "030101"), ["030201"], "connected");
    assert_eq!(world.ask(1, "0418003c"), ["0218"]);
    assert_eq!((world.ask(1, "030101"), world.sleepers()), (vec!["030201".to_owned()], [1, 0]), "asleep");
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    assert_eq!(world.ask(1, "030101"), ["030201"], "disconnected");
}

#[test]
fn gwinfo_carries_the_configured_id() {
    let config = MqttsnConfig { gateway_id: 0xAB, ..MqttsnConfig::default() };
    let mut world = World::new(Setup { config, ..Setup::default() });
    assert_eq!(world.ask(1, "030100"), ["0302ab"]);
}

#[test]
fn connect_without_a_will_is_accepted_at_once() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "0b040401003c6465762d31"), ["030500"]);
    assert_eq!(world.sessions(), [0, 1, 0]);
}

#[test]
fn another_protocol_or_a_client_id_that_mqtt_cannot_carry_is_connack_3() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "08040402000a7632"), ["030503"], "protocol id 2");
    assert_eq!(world.ask(1, "08040401000a6100"), ["030503"], "NUL");
    assert_eq!(world.ask(1, "09040401000aefbfbe"), ["030503"], "U+FFFE");
    assert_eq!(world.ask(1, "08040401000a611f"), ["030503"], "a control character");
    assert_eq!(world.sessions(), [0, 0, 0]);
    assert_eq!(world.fault("connect_refused"), 4);
    assert_eq!(world.ask(1, "07040401000aff"), NOTHING, "no UTF-8 at all is malformed");
}

#[test]
fn a_client_id_that_breaks_out_of_the_mountpoint_is_connack_3() {
    let mut world = World::new(Setup { mountpoint: "site/%c/", ..Setup::default() });
    assert_eq!(world.try_connect(1, "a/b", true), ["030503"]);
    assert_eq!(world.sessions(), [0, 0, 0]);
    assert_eq!(world.gates.get(bridge_core::peer::ListenerId(0)).unwrap().sessions(), 0);
    assert_eq!(world.try_connect(1, "ab", true), ["030500"]);
}

#[test]
fn an_empty_client_id_is_generated_and_stays_with_a_repeated_connect() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "06040401003c"), ["030500"]);
    assert_eq!(world.ask(2, "06040401003c"), ["030500"]);
    assert_eq!(world.ask(1, "06040401003c"), ["030500"]);
    assert_eq!(world.sessions(), [0, 2, 0], "two devices, two ids");
}

#[test]
fn connect_again_from_the_same_address_is_always_answered_connack() {
    let mut world = World::default();
    for clean in [true, false, false, true] {
        assert_eq!(world.try_connect(1, "dev", clean), ["030500"]);
    }
    assert_eq!(world.sessions(), [0, 1, 0]);
}

#[test]
fn connect_again_with_clean_session_resets_the_session_and_without_keeps_it() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "0a0a00000001612f6263")[0], "070b0401000100");
    assert_eq!(world.ask(1, "0912200002612f6263")[0], "0813200401000200");
    assert_eq!(world.filters(), ["a/bc"]);
    world.connect(1, "dev", false);
    assert_eq!(world.filters(), ["a/bc"]);
    assert_eq!(world.ask(1, "080c000401000031"), ["080c000401000031"], "id and subscription still stand");
    world.connect(1, "dev", true);
    assert_eq!(world.filters(), NOTHING);
    assert_eq!(world.ask(1, "080c0004010000aa"), ["070d0401000002"], "the id is gone");
}

#[test]
fn another_client_id_from_the_same_address_ends_the_client_that_was_there() {
    let mut world = World::default();
    world.connect_with_will(1, "old", true);
    assert_eq!(world.try_connect(1, "new", true), ["030500"]);
    assert_eq!(world.given(), ["w/old gone 1"]);
    assert_eq!(world.sessions(), [0, 1, 0]);
}

#[test]
#[rustfmt::skip]
fn a_stranger_is_told_disconnect_but_for_what_is_never_answered() {
    let disconnect: &[&str] = &["0218"];
    let nothing: &[&str] = &[];
    let table: [(&str, &str, &[&str]); 26] = [
        ("REGISTER",            "090a00000001612f62", disconnect),
        ("PUBLISH QoS 0",       "080c0004010000aa",   disconnect),
        ("PUBLISH QoS 1",       "080c2004010001aa",   disconnect),
        ("PUBLISH QoS 2",       "080c4004010001aa",   disconnect),
        ("REGACK",              "070b0401000100",     disconnect),
        ("PUBACK",              "070d0401000100",     disconnect),
        ("PUBREC",              "040f0001",           disconnect),
        ("PUBREL",              "04100001",           disconnect),
        ("PUBCOMP",             "040e0001",           disconnect),
        ("SUBSCRIBE",           "0812000001612f62",   disconnect),
        ("UNSUBSCRIBE",         "0814000001612f62",   disconnect),
        ("WILLTOPIC",           "04070077",           disconnect),
        ("WILLMSG",             "0309aa",             disconnect),
        ("WILLTOPICUPD",        "041a0077",           disconnect),
        ("WILLMSGUPD",          "031caa",             disconnect),
        ("PINGREQ",             "0216",               disconnect),
        ("DISCONNECT",          "0218",               nothing),
        ("ADVERTISE",           "0500010384",         nothing),
        ("GWINFO",              "030201",             nothing),
        ("CONNACK",             "030500",             nothing),
        ("WILLTOPICREQ",        "0206",               nothing),
        ("WILLMSGREQ",          "0208",               nothing),
        ("SUBACK",              "0813000000000100",   nothing),
        ("UNSUBACK",            "04150001",           nothing),
        ("PINGRESP",            "0217",               nothing),
        ("WILLTOPICRESP",       "031b00",             nothing),
    ];
    let mut world = World::default();
    for (name, hex, expected) in table {
        assert_eq!(world.ask(1, hex), expected, "{name}");
    }
    assert_eq!(world.ask(1, "031d00"), nothing, "WILLMSGRESP");
    world.connect(2, "dev", true);
    for hex in ["0500010384", "030201", "030500", "0206", "0208", "0813000000000100", "04150001", "0217", "031b00"] {
        assert_eq!(world.ask(2, hex), nothing, "not from a client either");
    }
}

#[test]
fn malformed_datagrams_and_reserved_types_are_dropped_and_counted() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    let table = [
        ("", "too_short"),
        ("05", "too_short"),
        ("0316", "length_mismatch"),
        ("0203", "unknown_type"),
        ("0219", "unknown_type"),
        ("060d00000000", "truncated"),
        ("0515000000", "trailing_bytes"),
        ("07040401000aff", "not_utf8"),
        ("060a00000001", "empty_topic"),
        ("080c600009000061", "inline_name_overrun"),
        ("04076077", "will_qos"),
        ("05fe010102", "forwarder_malformed"),
    ];
    for (hex, reason) in table {
        let before = world.fault(reason);
        assert_eq!((world.ask(1, hex), world.ask(2, hex)), (vec![], vec![]), "{hex}");
        assert_eq!(world.fault(reason), before + 2, "{hex}");
    }
    assert_eq!(world.ask(1, "0216"), ["0217"], "it ended nobody's session");
}

#[test]
fn a_full_listener_answers_congestion() {
    let gates = vec![Gate::new(2, 0), Gate::new(0, 0)];
    let mut world = World::new(Setup { gates, ..Setup::default() });
    world.connect(1, "a", true);
    world.connect(2, "b", true);
    assert_eq!(world.try_connect(3, "c", true), ["030501"]);
    let other = Owners::new(Arc::clone(&world.directory), ShardId(1));
    assert_eq!(other.locate(GatewayId(0), "c"), Owner::Nobody, "who is not let in may try at another shard");
    assert_eq!(world.try_connect(4, "a", true), ["030500"], "who takes over takes the place over");
    assert_eq!(world.ask(4, "0218"), ["0218"]);
    assert_eq!(world.try_connect(3, "c", true), ["030500"]);
    assert_eq!(world.fault("not_admitted"), 1);
    assert_eq!(world.ask_elsewhere(5, "08040401003c6363"), ["030500"], "another listener has room");
}

#[test]
fn a_take_over_at_another_listener_moves_the_place_at_the_gate() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    assert_eq!(world.ask_elsewhere(1, &format!("09040401003c{}", hex("dev"))), ["0218", "030500"]);
    let sessions = |n| world.gates.get(bridge_core::peer::ListenerId(n)).unwrap().sessions();
    assert_eq!((sessions(0), sessions(1)), (0, 1));
}

#[test]
fn too_many_new_sessions_a_second_answer_congestion() {
    let gates = vec![Gate::new(0, 1)];
    let mut world = World::new(Setup { gates, ..Setup::default() });
    world.connect(1, "a", true);
    assert_eq!(world.try_connect(2, "b", true), ["030501"]);
    world.wait_s(1);
    world.connect(2, "b", true);
}

#[test]
fn a_client_of_another_shard_is_sent_there() {
    let mut world = World::default();
    let other = Owners::new(Arc::clone(&world.directory), ShardId(1));
    assert_eq!(other.claim(GatewayId(0), "dev"), Owner::Here);
    assert_eq!(world.try_connect(1, "dev", true), [""; 0]);
    let forwards: Vec<ShardId> = world.shard.parcels().drain(..).map(|parcel| parcel.to()).collect();
    assert_eq!((forwards, world.sessions()), (vec![ShardId(1)], [0, 0, 0]));
}

#[test]
fn a_session_is_claimed_until_it_ends() {
    let mut world = World::default();
    let other = Owners::new(Arc::clone(&world.directory), ShardId(1));
    world.connect(1, "dev", false);
    assert_eq!(other.locate(GatewayId(0), "dev"), Owner::Elsewhere(ShardId(0)));
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    assert_eq!(other.locate(GatewayId(0), "dev"), Owner::Elsewhere(ShardId(0)), "it is kept");
    world.wait_s(7201);
    assert_eq!(other.locate(GatewayId(0), "dev"), Owner::Nobody);
}

#[test]
fn nobody_new_is_let_in_while_the_process_stops() {
    for durable in [false, true] {
        let mut world = World::new(Setup { durable, ..Setup::default() });
        world.connect(1, "a", false);
        world.connect(4, "c", true);
        world.drain();
        assert_eq!(world.try_connect(2, "b", true), ["030501"]);
        let known = if durable { "030500" } else { "030501" };
        assert_eq!(
            world.try_connect(1, "a", false),
            [known],
            "only a session that outlives the process is gone on with"
        );
        assert_eq!(world.try_connect(3, "a", false), [known], "nor is a client that moves anybody new");
        assert_eq!(world.try_connect(4, "c", true), ["030501"]);
    }
}

#[test]
fn who_has_nothing_to_come_back_to_is_told_when_the_process_stops() {
    for (durable, kept) in [(false, vec!["0218"]), (true, vec![])] {
        let mut world = World::new(Setup { durable, ..Setup::default() });
        world.connect(1, "kept", false);
        world.connect_with_will(2, "clean", true);
        world.connect(3, "asleep", false);
        assert_eq!(world.ask(3, "0418003c"), ["0218"]);
        world.connect(4, "gone", false);
        assert_eq!(world.ask(4, "0218"), ["0218"]);
        world.drain();
        assert_eq!(
            (world.hear(1), world.hear(2)),
            (kept.into_iter().map(String::from).collect(), vec!["0218".to_owned()])
        );
        assert_eq!((world.hear(3), world.hear(4), world.given()), (vec![], vec![], vec![]), "and no will is published");
    }
}

#[test]
fn who_is_owed_an_answer_is_told_after_it_when_the_process_stops() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    let id = world.register(1, "t/a");
    world.paused = true;
    for msg_id in ["0007", "0008"] {
        assert_eq!(world.ask(1, &format!("080c20{id:04x}{msg_id}31")), [""; 0]);
    }
    world.drain();
    assert_eq!(world.hear(1), [""; 0]);
    world.resume();
    assert_eq!(world.hear(1), ["070d0401000700", "070d0401000800", "0218"]);
}

#[test]
fn will_dialogues_have_their_bound_for_new_clients_and_for_those_that_come_again() {
    let mut world = World::default();
    world.connect(60_000, "dev", true);
    let ask_will = |world: &mut World, port: u16, id: &str| {
        let connect = Connect { will: true, clean_session: true, protocol_id: 1, duration: 60, client_id: id };
        world.say(port, &Message::Connect(connect))
    };
    for port in 1..=16_384 {
        assert_eq!(ask_will(&mut world, port, &port.to_string()), ["0206"]);
    }
    assert_eq!(ask_will(&mut world, 50_000, "new"), ["030501"]);
    assert_eq!(ask_will(&mut world, 60_000, "dev"), ["030501"]);
    assert_eq!((world.sessions(), world.fault("not_admitted")), ([16_384, 1, 0], 2), "its session is as it was");
    assert_eq!(ask_will(&mut world, 1, "1"), ["0206"], "a dialogue that is open goes on");
    assert_eq!(world.try_connect(60_000, "dev", true), ["030500"], "without a will nothing is in the way");
}

#[test]
fn a_client_that_was_at_the_address_is_lost_when_one_of_another_shard_comes_from_there() {
    let mut world = World::default();
    let other = Owners::new(Arc::clone(&world.directory), ShardId(1));
    assert_eq!(other.claim(GatewayId(0), "dev"), Owner::Here);
    world.connect_with_will(1, "old", true);
    assert_eq!(world.try_connect(1, "dev", true), [""; 0]);
    assert_eq!((world.given(), world.sessions()), (vec!["w/old gone 1".to_owned()], [0, 0, 0]));
    assert_eq!(world.gates.get(bridge_core::peer::ListenerId(0)).unwrap().sessions(), 0);
    assert_eq!(other.locate(GatewayId(0), "old"), Owner::Nobody);
}
