//! "Over a limit": what a device is told that publishes more than its session may, or comes to a listener that does not
//! hear it.

use crate::world::{Setup, World};
use bridge_core::access::AccessList;
use bridge_core::bridge::Policy;
use bridge_core::limit::SessionLimits;
use bridge_core::listeners::{ListenerPolicy, Listeners};
use std::sync::Arc;

const NOTHING: [&str; 0] = [];
/// PUBLISH of "1" to predefined topic 7 at QoS 0, 1, 2 and −1, less the message id.
const PUBLISH: [&str; 4] = ["080c010007", "080c210007", "080c410007", "080c610007"];

fn limits(rate: Option<&str>, publish: Option<&str>) -> ListenerPolicy {
    let limits = SessionLimits::new(rate.map(|rate| rate.parse().unwrap()), publish.map(|most| most.parse().unwrap()));
    ListenerPolicy { limits, ..ListenerPolicy::default() }
}

fn hears(rules: &[&str]) -> ListenerPolicy {
    let rules: Vec<_> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    ListenerPolicy { access: AccessList::from(&*rules), ..ListenerPolicy::default() }
}

/// With one policy for each listener, and a client "dev" that has come through listener 0.
fn world(policies: Vec<ListenerPolicy>) -> World {
    let policy = Policy { listeners: Arc::new(Listeners::new(policies)), ..Policy::default() };
    let mut world = World::new(Setup { policy, ..Setup::default() });
    world.connect_with_will(1, "dev", true);
    world
}

/// Datagrams dropped unread.
fn unheard(world: &World) -> u64 {
    let meters = world.shard.meters();
    let mut series = meters.iter().flat_map(|meter| meter.read());
    let denied = series.find(|(series, _)| series.labels == [("type", "datagram"), ("reason", "access")]);
    denied.unwrap().1
}

fn publish(world: &mut World, qos: usize, msg_id: u16) -> Vec<String> {
    world.ask(1, &format!("{}{msg_id:04x}31", PUBLISH[qos]))
}

#[test]
fn over_its_publish_limit_a_device_gets_puback_1_for_qos_1_and_2_and_qos_0_is_dropped() {
    let mut world = world(vec![limits(None, Some("2/10s"))]);
    assert_eq!((publish(&mut world, 0, 0), publish(&mut world, 1, 1)), (vec![], vec!["070d0007000100".to_owned()]));
    assert_eq!((world.given().len(), world.fault("over_limit")), (2, 0));
    assert_eq!(publish(&mut world, 0, 0), NOTHING);
    assert_eq!(publish(&mut world, 1, 2), ["070d0007000201"]);
    assert_eq!(publish(&mut world, 2, 3), ["070d0007000301"]);
    assert_eq!((world.given(), world.fault("over_limit"), world.fault("congested")), (vec![], 3, 0));
    // 5 s later there is room for one more: the same publication again is taken, whose first try left no trace.
    world.wait(5000);
    assert_eq!(publish(&mut world, 2, 3), ["040f0003"]);
    assert_eq!(publish(&mut world, 1, 2), ["070d0007000201"]);
    assert_eq!(world.given().len(), 1);
}

#[test]
fn over_its_rate_limit_likewise() {
    // "pre/seven" and one octet are ten.
    let mut world = world(vec![limits(Some("10B/s,burst=20B"), None)]);
    let answers = [1, 2, 3].map(|msg_id| publish(&mut world, 1, msg_id).concat());
    assert_eq!(answers, ["070d0007000100", "070d0007000200", "070d0007000301"]);
    world.wait(1000);
    assert_eq!(publish(&mut world, 1, 3), ["070d0007000300"]);
}

#[test]
fn a_repetition_of_what_was_taken_is_no_publication() {
    let mut world = world(vec![limits(None, Some("1/d"))]);
    assert_eq!(publish(&mut world, 1, 1), ["070d0007000100"]);
    assert_eq!(world.ask(1, "080ca10007000131"), ["070d0007000100"], "DUP");
    assert_eq!((world.given().len(), world.fault("over_limit")), (1, 0));
}

#[test]
fn a_session_has_its_own_limit_and_its_listeners() {
    let mut world = world(vec![limits(None, Some("1/d")), ListenerPolicy::default()]);
    assert_eq!(world.ask_elsewhere(2, "09040401003c6f7468"), ["030500"]);
    for msg_id in 1..5 {
        let code = u8::from(msg_id > 1);
        assert_eq!(publish(&mut world, 1, msg_id), [format!("070d0007{msg_id:04x}{code:02x}")]);
        let elsewhere = world.ask_elsewhere(2, &format!("{}{msg_id:04x}31", PUBLISH[1]));
        assert_eq!(elsewhere, [format!("070d0007{msg_id:04x}00")]);
    }
}

#[test]
fn publications_of_qos_minus_one_count_as_one_session_of_their_listener() {
    let mut world = world(vec![limits(None, Some("2/10s"))]);
    for port in 10..14 {
        assert_eq!(world.ask(port, &format!("{}000031", PUBLISH[3])), NOTHING);
    }
    assert_eq!((world.given().len(), world.fault("over_limit")), (2, 2));
    assert_eq!(publish(&mut world, 1, 1), ["070d0007000100"], "and not against any other");
}

#[test]
fn the_will_of_a_device_over_its_limit_is_published() {
    let mut world = world(vec![limits(None, Some("1/d"))]);
    assert_eq!((publish(&mut world, 0, 0), publish(&mut world, 0, 0)), (vec![], vec![]));
    assert_eq!((world.given().len(), world.fault("over_limit")), (1, 1));
    world.wait(200_000);
    assert_eq!(world.given(), ["w/dev gone 1"]);
}

#[test]
fn what_comes_from_an_address_that_the_listener_does_not_hear_is_dropped_unread() {
    let mut world = world(vec![hears(&["deny 10.0.0.0/8", "allow all"]), hears(&["deny 127.0.0.1", "allow all"])]);
    for unheard in ["09040401003c6f7468", "03010a", "ff", "080c610007000031"] {
        assert_eq!(world.ask_elsewhere(2, unheard), NOTHING);
    }
    assert_eq!((world.given(), world.sessions(), world.fault("too_short")), (vec![], [0, 1, 0], 0));
    assert_eq!(unheard(&world), 4);
    assert_eq!(publish(&mut world, 1, 1), ["070d0007000100"], "the other listener hears it");
}

#[test]
fn a_new_list_holds_for_sessions_that_are_there() {
    let mut world = world(Vec::new());
    assert_eq!(publish(&mut world, 1, 1), ["070d0007000100"]);
    let listeners = Listeners::new(vec![hears(&["allow 10.0.0.0/8"])]);
    world.shard.replace_rules(Arc::default(), Arc::default(), Arc::new(listeners));
    assert_eq!(publish(&mut world, 1, 2), NOTHING);
    world.shard.replace_rules(Arc::default(), Arc::default(), Arc::default());
    assert_eq!(publish(&mut world, 1, 2), ["070d0007000200"]);
}
