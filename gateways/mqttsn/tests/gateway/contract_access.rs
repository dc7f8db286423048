//! What the access rules refuse: the row "PUBLISH refused by ACL", and SUBSCRIBE likewise.

use crate::world::{Qos, Setup, World, hex};
use bridge_core::acl::{Acl, AclRule, Actions, RuleTopic, Verdict, Who};
use bridge_core::bridge::Policy;
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
