//! What the broker is shown of a client.

use super::world::{CLEAN, KEPT, World};
use crate::auth::{AuthRules, ChainEntry, EntryKind};
use crate::uplink::SessionWish;
use codec_mqtt::{Connect, Packet, Version};
use support::broker::{Options, RefuseV5};

/// The last CONNECT.
fn introduced(world: &World) -> Connect<'_> {
    let octets = world.introduced.last().unwrap();
    let Ok(Packet::Connect(connect)) = codec_mqtt::decode(octets, Version::V5) else { panic!("{octets:?}") };
    connect
}

fn refusing_v5(v311: bool) -> Options {
    Options { refuse_v5: v311.then_some(RefuseV5::ReasonCode), ..Options::new() }
}

#[test]
fn client_id_user_name_and_password_are_those_of_the_client() {
    for v311 in [false, true] {
        let mut world = World::new(refusing_v5(v311));
        world.enter(7, "lamp", CLEAN);
        let connect = introduced(&world);
        let version = if v311 { Version::V311 } else { Version::V5 };
        assert_eq!((connect.level.version(), connect.client_id), (version, "lamp"));
        assert_eq!((connect.user_name, connect.password.map(|secret| secret.0)), (Some("ann"), Some(&b"secret"[..])));
        assert_eq!(connect.will, None);
    }
}

#[test]
fn a_static_entry_shows_its_own_credentials_in_their_place() {
    let shared = EntryKind::Static { username: "all".into(), password: b"x".as_slice().into() };
    let entries = [shared, EntryKind::Broker].map(|kind| ChainEntry { gateways: Vec::new(), kind });
    let rules = AuthRules { entries: entries.into(), ..AuthRules::default() };
    let mut world = World::with(Options::new(), 0, rules);
    world.enter(7, "lamp", CLEAN);
    let connect = introduced(&world);
    assert_eq!((connect.client_id, connect.user_name), ("lamp", Some("all")));
    assert_eq!(connect.password.map(|secret| secret.0), Some(&b"x"[..]));
}

#[test]
fn its_session_is_clean_or_lives_as_long_as_that_of_the_client() {
    let kept_for = |expiry_s| SessionWish { expiry_s, ..KEPT };
    for (v311, wish, clean, expiry_s) in [
        (false, CLEAN, true, 0),
        (false, KEPT, false, 900),
        (false, kept_for(u32::MAX), false, u32::MAX),
        (false, kept_for(0), false, 1),
        (true, CLEAN, true, 0),
        (true, KEPT, false, 0),
    ] {
        let mut world = World::new(refusing_v5(v311));
        world.enter(7, "lamp", wish);
        let connect = introduced(&world);
        let told_s = connect.properties.session_expiry_interval().unwrap_or(0);
        assert_eq!((connect.clean_start, told_s), (clean, expiry_s), "3.1.1: {v311}, {wish:?}");
    }
}

#[test]
fn its_keep_alive_is_that_of_the_client_but_neither_none_nor_less_than_10_s() {
    for (keepalive_s, expected) in [(30, 30), (u16::MAX, u16::MAX), (10, 10), (9, 10), (1, 10), (0, 60)] {
        let mut world = World::new(Options::new());
        world.enter(7, "lamp", SessionWish { keepalive_s, ..CLEAN });
        assert_eq!(introduced(&world).keep_alive, expected, "{keepalive_s}");
    }
}
