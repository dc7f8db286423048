//! What the access rules refuse: the row "PUBLISH refused by ACL", and SUBSCRIBE likewise.

use crate::world::{Qos, Setup, World, hex};
use bridge_core::acl::{Acl, AclRule, Actions, RuleTopic, Verdict, Who};
use bridge_core::auth::{Answer, AuthRules, ChainEntry, EntryKind, Opinion, Question, StoreId};
use bridge_core::bridge::Policy;
use bridge_core::owners::{Owner, Owners};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, SecureRef, ShardId};
use bridge_core::slab::Key;
use codec_mqttsn::Qos as SnQos;
use std::sync::Arc;

const NOTHING: [&str; 0] = [];

/// secret/# is forbidden; `disconnect`: who tries is told to go.
fn world(disconnect: bool) -> World {
    let topics = vec![RuleTopic::parse("secret/#").unwrap()];
    let rule = AclRule { permit: Verdict::Deny, who: Who::All, actions: Actions::All, topics };
    let acl = Acl { rules: vec![rule], disconnect, ..Acl::default() };
    let policy = Policy { acl: Arc::new(acl), ..Policy::default() };
    let mut world = World::new(Setup { policy, ..Setup::default() });
    world.connect_with_will(1, "dev", true);
    world
}

#[test]
fn a_publication_that_the_rules_forbid_is_puback_3_at_every_qos_but_minus_one() {
    let mut world = world(false);
    let id = world.register(1, "secret/a");
    for flags in ["00", "20", "40"] {
        assert_eq!(world.ask(1, &format!("080c{flags}{id:04x}000731")), [format!("070d{id:04x}000703")]);
    }
    let inline = format!("100c6000080000{}31", hex("secret/a"));
    assert_eq!(world.ask(1, &inline), NOTHING, "QoS -1");
    assert_eq!((world.given(), world.sessions()), (vec![], [0, 1, 0]));
}

#[test]
fn a_subscription_that_the_rules_forbid_is_suback_3_without_an_id() {
    let mut world = world(false);
    assert_eq!(world.subscribe(1, "secret/a", SnQos::AtLeastOnce), ["0813000000020203"]);
    assert_eq!((world.filters(), world.sessions()), (vec![], [0, 1, 0]));
    world.publish("secret/a", "1", Qos::AtMostOnce);
    assert_eq!(world.hear(1), NOTHING);
}

#[test]
fn deny_action_disconnect_tells_the_client_to_go_and_its_will_is_published() {
    let mut publishing = world(true);
    let id = publishing.register(1, "secret/a");
    assert_eq!(publishing.ask(1, &format!("080c20{id:04x}000731")), [format!("070d{id:04x}000703"), "0218".to_owned()]);
    let mut subscribing = world(true);
    assert_eq!(subscribing.subscribe(1, "secret/#", SnQos::AtMostOnce), ["0813000000020203", "0218"]);
    for mut world in [publishing, subscribing] {
        assert_eq!((world.sessions(), world.given()), ([0, 0, 0], vec!["w/dev gone 1".to_owned()]));
        assert_eq!(world.fault("unanswered"), 0);
    }
}

/// CONNECT of "dev" with CleanSession 0.
const CONNECT: &str = "09040001003c646576";

/// Somebody has to be asked about each CONNECT.
fn asking() -> World {
    let entries = vec![ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) }];
    let policy = Policy { auth: Arc::new(AuthRules { entries, ..AuthRules::default() }), ..Policy::default() };
    World::new(Setup { policy, ..Setup::default() })
}

fn answer(world: &mut World, question: &Question, opinion: Opinion) {
    world.shard.answer(world.now, Answer { id: question.id, opinion });
    world.settle();
}

/// "dev" has asked from ports 1 and 2, and was sent away at port 1.
fn one_of_two_sent_away(world: &mut World) -> Question {
    assert_eq!((world.ask(1, CONNECT), world.ask(2, CONNECT)), (vec![], vec![]));
    let [first, second] = [(); 2].map(|()| world.shard.take_question().unwrap());
    answer(world, &first, Opinion::Deny);
    assert_eq!((world.hear(1), world.hear(2)), (vec!["030503".to_owned()], vec![]));
    second
}

#[test]
fn who_comes_in_lives_here_though_another_of_its_id_was_sent_away_meanwhile() {
    let mut world = asking();
    let other = Owners::new(Arc::clone(&world.directory), ShardId(1));
    let second = one_of_two_sent_away(&mut world);
    answer(&mut world, &second, Opinion::Allow { superuser: false });
    assert_eq!(world.hear(2), ["030500"]);
    assert_eq!(other.locate(GatewayId(0), "dev"), Owner::Elsewhere(ShardId(0)));

    let mut world = asking();
    let other = Owners::new(Arc::clone(&world.directory), ShardId(1));
    let second = one_of_two_sent_away(&mut world);
    assert_eq!(other.claim(GatewayId(0), "dev"), Owner::Elsewhere(ShardId(0)), "it is still being judged");
    answer(&mut world, &second, Opinion::Deny);
    assert_eq!(world.hear(2), ["030503"]);
    assert_eq!(other.claim(GatewayId(0), "dev"), Owner::Here, "the last of them frees it");
}

#[test]
fn who_has_proved_who_it_is_meanwhile_is_not_taken_over() {
    let mut world = asking();
    let plain = Peer::plain(ListenerId(0), ([127, 0, 0, 1], 2).into(), None);
    let secure = Peer { secure: Some(SecureRef(Key { slot: 7, generation: 0 })), ..plain };
    assert_eq!(world.ask_as(secure, Proven::Psk("dev"), CONNECT), NOTHING);
    assert_eq!(world.ask(1, CONNECT), NOTHING);
    for (port, expected) in [(2, "030500"), (1, "030503")] {
        let question = world.shard.take_question().unwrap();
        answer(&mut world, &question, Opinion::Allow { superuser: false });
        assert_eq!(world.hear(port), [expected]);
    }
    assert_eq!(world.fault("impostor"), 1);
}
