//! Clients that come through an association which has proved who they are.

use crate::world::{Qos, World};
use bridge_core::peer::{ListenerId, Peer, Proven, SecureRef};
use bridge_core::slab::Key;

const NOTHING: [&str; 0] = [];
/// CONNECT of "dev" with CleanSession 0.
const CONNECT: &str = "09040001003c646576";
/// PINGREQ of "dev".
const PING: &str = "0516646576";

fn secure(port: u16, association: u32) -> Peer {
    let plain = Peer::plain(ListenerId(0), ([127, 0, 0, 1], port).into(), None);
    Peer { secure: Some(SecureRef(Key { slot: association, generation: 0 })), ..plain }
}

fn proven(identity: &str) -> Proven<'_> {
    Proven::Psk(identity)
}

#[test]
fn an_association_is_the_address_whatever_the_address_is() {
    let mut world = World::default();
    assert_eq!(world.ask_as(secure(1, 7), proven("lamp"), CONNECT), ["030500"]);
    assert_eq!(world.ask_as(secure(1, 7), proven("lamp"), "0912200002612f6263")[0], "0813200401000200");
    assert_eq!(world.ask(1, "0216"), ["0218"], "plain, the same address is a stranger's");
    world.moved(secure(1, 7), secure(2, 7));
    world.publish("a/bc", "1", Qos::AtMostOnce);
    assert_eq!((world.hear(1), world.hear(2)), (vec![], vec!["080c000401000031".to_owned()]));
    assert_eq!(world.ask_as(secure(3, 7), proven("lamp"), "0216"), ["0217"], "heard is as good as moved");
}

#[test]
fn nobody_else_takes_the_place_of_who_has_proved_who_it_is() {
    let mut world = World::default();
    assert_eq!(world.ask_as(secure(1, 7), proven("lamp"), CONNECT), ["030500"]);
    assert_eq!(world.ask_as(secure(2, 8), proven("door"), CONNECT), ["030503"], "another identity");
    assert_eq!(world.ask(3, CONNECT), ["030503"], "none at all");
    assert_eq!(world.ask_as(secure(2, 8), proven("door"), PING), ["0218"]);
    assert_eq!(world.ask(3, PING), ["0218"]);
    let certificate = Proven::Certificate("lamp");
    assert_eq!(world.ask_as(secure(6, 11), certificate, CONNECT), ["030503"], "the same name by a certificate");
    assert_eq!(world.ask_as(secure(6, 11), certificate, PING), ["0218"]);
    assert_eq!(world.fault("impostor"), 6);
    assert_eq!(world.ask_as(secure(1, 7), proven("lamp"), "0216"), ["0217"], "it has lost nothing");
    assert_eq!(world.ask_as(secure(4, 9), proven("lamp"), PING), ["0217"], "itself, through a new association");
    assert_eq!(world.ask_as(secure(5, 10), proven("lamp"), CONNECT), ["030500"]);
}

#[test]
fn who_was_plain_may_come_back_proved() {
    let mut world = World::default();
    assert_eq!(world.ask(1, CONNECT), ["030500"]);
    assert_eq!(world.ask_as(secure(2, 8), proven("lamp"), CONNECT), ["030500"]);
    assert_eq!(world.ask(1, CONNECT), ["030503"], "from then on it is proved");
}

#[test]
fn the_end_of_an_association_is_the_end_of_the_connection() {
    let mut world = World::default();
    assert_eq!(world.ask_as(secure(1, 7), proven("lamp"), CONNECT), ["030500"]);
    world.closed(secure(1, 7));
    assert_eq!((world.hear(1), world.sessions()), (NOTHING.map(String::from).to_vec(), [0, 0, 1]));
    assert_eq!(world.ask_as(secure(1, 8), proven("lamp"), CONNECT), ["030500"], "the session is kept");
}
