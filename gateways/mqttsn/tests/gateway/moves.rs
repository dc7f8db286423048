//! Clients that come from another address, or from behind a forwarder.

use crate::world::{Qos, Setup, World};
use bridge_core::gate::Gate;

const NOTHING: [&str; 0] = [];

#[test]
fn a_known_client_id_from_a_new_address_takes_its_session_along() {
    let mut world = World::default();
    world.connect_with_will(1, "dev", false);
    assert_eq!(world.ask(1, "0912200002612f6263")[0], "0813200401000200");
    world.publish("a/bc", "1", Qos::AtLeastOnce);
    assert_eq!(world.hear(1), ["080c200401000131"], "in flight");
    world.publish("a/bc", "2", Qos::AtLeastOnce);
    assert_eq!(world.try_connect(2, "dev", false), ["030500", "080ca00401000131"], "again, where it is now");
    assert_eq!(world.hear(1), ["0218"], "the older is told");
    assert_eq!(world.given(), NOTHING, "a client that moves is not lost: its will stays where it is");
    assert_eq!((world.filters(), world.sessions()), (vec!["a/bc".to_owned()], [0, 1, 0]));
    assert_eq!(world.ask(2, "070d0401000100"), ["080c200401000232"], "the queue follows what was in flight");
    assert_eq!(world.ask(1, "0216"), ["0218"], "the old address is a stranger's");
    assert_eq!(world.fault("moved"), 1);
}

#[test]
fn with_clean_session_a_new_session_takes_the_place_of_the_old() {
    let mut world = World::default();
    world.connect_with_will(1, "dev", false);
    assert_eq!(world.ask(1, "0912200002612f6263")[0], "0813200401000200");
    assert_eq!(world.try_connect(2, "dev", true), ["030500"]);
    assert_eq!(world.hear(1), ["0218"]);
    assert_eq!(world.given(), ["w/dev gone 1"], "as MQTT has it: its connection ended without DISCONNECT");
    assert_eq!((world.filters(), world.sessions()), (vec![], [0, 1, 0]));
    assert_eq!(world.fault("taken_over"), 1);
}

#[test]
fn a_kept_session_is_found_from_any_address() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "0912200002612f6263")[0], "0813200401000200");
    assert_eq!(world.ask(1, "0218"), ["0218"]);
    world.publish("a/bc", "1", Qos::AtMostOnce);
    assert_eq!(world.try_connect(2, "dev", false), ["030500", "080c000401000031"]);
    assert_eq!(world.hear(1), NOTHING, "who has said goodbye is told nothing");
}

#[test]
fn a_delayed_connect_moves_the_session_there_and_the_client_takes_it_back() {
    let mut world = World::default();
    for port in [1, 2, 1, 2] {
        assert_eq!(world.try_connect(port, "dev", false)[0], "030500");
    }
    assert_eq!(world.sessions(), [0, 1, 0]);
    assert_eq!((world.ask(2, "0216"), world.ask(1, "0216")), (vec!["0217".to_owned()], vec!["0218".to_owned()]));
}

#[test]
fn a_ping_with_the_client_id_moves_a_connected_session_and_nothing_else() {
    let mut world = World::default();
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "0516646576"), ["0217"], "its own address");
    assert_eq!(world.ask(2, "0516646576"), ["0217"]);
    assert_eq!(world.hear(1), NOTHING, "where it was is not told: it may be its own old address");
    assert_eq!(world.ask(1, "0216"), ["0218"]);
    assert_eq!(world.ask(2, "0516787878"), ["0218"], "a client that is not known");
    assert_eq!(world.ask(2, "0216"), ["0217"], "which ends nobody's session");
    assert_eq!(world.ask(2, "0218"), ["0218"]);
    assert_eq!(world.ask(3, "0516646576"), ["0218"], "who is gone comes back with CONNECT");
    assert_eq!(world.ask_elsewhere(3, "0516646576"), ["0218"]);
}

#[test]
fn a_session_that_moves_to_another_listener_is_under_its_mountpoint_and_gate() {
    let gates = vec![Gate::new(1, 0), Gate::new(1, 0)];
    let mut world = World::new(Setup { gates, ..Setup::default() });
    world.connect(1, "dev", false);
    assert_eq!(world.ask(1, "0912200002612f6263")[0], "0813200401000200");
    assert_eq!(world.ask_elsewhere(2, "09040001003c646576")[0], "030500");
    let inside = [0, 1].map(|id| world.gates.get(bridge_core::peer::ListenerId(id)).unwrap().sessions());
    assert_eq!(inside, [0, 1]);
    world.publish("a/bc", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(2), ["080c000401000031"], "its subscription came along");
}

#[test]
fn a_device_behind_a_forwarder_has_a_session_of_its_own_and_is_answered_in_the_envelope() {
    let mut world = World::default();
    world.connect(1, "fwd", true);
    for (node, name) in [("aa", "61"), ("bb", "62")] {
        let connect = format!("04fe00{node}07040401003c{name}");
        assert_eq!(world.ask(1, &connect), [format!("04fe00{node}030500")]);
    }
    assert_eq!(world.sessions(), [0, 3, 0], "the forwarder may be a client, too");
    assert_eq!(world.ask(1, "04fe00aa0812200002612f62"), ["04fe00aa0813200401000200"]);
    world.publish("a/b", "x", Qos::AtMostOnce);
    assert_eq!(world.hear(1), ["04fe00aa080c000401000078"], "to the one that subscribed");
    assert_eq!(world.ask(1, "04fe03bb0216"), ["04fe00bb0217"], "the radius of a device's envelope means nothing");
    assert_eq!(world.ask(1, "04fe00cc0216"), ["04fe00cc0218"], "a stranger behind the same forwarder");
    assert_eq!(world.ask(1, "04fe00cc030100"), ["04fe00cc030201"], "SEARCHGW");
}

#[test]
fn a_device_moves_from_forwarder_to_forwarder() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "04fe00aa07040001003c61"), ["04fe00aa030500"]);
    assert_eq!(world.ask(2, "04fe00aa031661"), ["04fe00aa0217"]);
    assert_eq!(world.ask(1, "04fe00aa0216"), ["04fe00aa0218"]);
    assert_eq!(world.ask(2, "04fe00aa0216"), ["04fe00aa0217"]);
}
