//! Who comes in, who may do what, and what is told of it.

use super::world::{SN, World, message};
use super::*;
use crate::acl::{Acl, AclRule, Actions, RuleTopic, Verdict, Who};
use crate::auth::{Answer, AuthRules, ChainEntry, EntryKind, Opinion, StoreId};
use crate::events::{EventSettings, GatewayNames};
use crate::listeners::Listeners;
use crate::peer::Proven;
use crate::uplink::{Admission, Applicant, Ending, Identity, Online, Password};

const DENIED: Taken = Taken::Denied(Refusal::NotAuthorised { disconnect: false });

fn rule(permit: Verdict, who: Who, actions: Actions, topic: &str) -> AclRule {
    AclRule { permit, who, actions, topics: vec![RuleTopic::parse(topic).unwrap()] }
}

fn deny(topic: &str) -> AclRule {
    rule(Verdict::Deny, Who::All, Actions::All, topic)
}

fn ruled(rules: Vec<AclRule>) -> Policy {
    Policy { acl: Arc::new(Acl { rules, ..Acl::default() }), ..Policy::default() }
}

fn told() -> Policy {
    let gateways = vec![GatewayNames { key: "mqttsn", protocol: "MQTT-SN" }];
    let events = EventSettings { prefix: "t/n".into(), qos: Qos::AtLeastOnce, gateways };
    Policy { events: Some(events), ..Policy::default() }
}

fn connect_as(world: &mut World, id: &str, identity: &Identity, address: Option<&str>) -> ClientRef {
    let (listener, id) = (ListenerId(0), ClientId::try_from(id).unwrap());
    let address = address.map(|text| text.parse().unwrap());
    let who = Connect { gateway: SN, listener, id, identity, address, connectionless: false, link: None };
    world.bridge.connect(Token(7), &who).unwrap()
}

fn publish(world: &mut World, client: ClientRef, topic: &str) -> Taken {
    let what = message(topic, "x", Qos::AtMostOnce);
    world.up(client, Uplink::Publish { token: None, what })
}

/// Topics and payloads of the events so far.
fn events(world: &World) -> Vec<(String, String)> {
    let of = |m: &support::broker::Accepted| {
        let event = m.topic.strip_prefix("t/n/clients/")?;
        Some((event.to_owned(), String::from_utf8(m.payload.clone()).unwrap()))
    };
    world.broker.accepted().iter().filter_map(of).collect()
}

/// The broker forgets all but what is retained, and cannot be reached.
fn go_away(world: &mut World) {
    world.broker.crash(Crash { keep_sessions: false, keep_retained: true });
    world.conns[0] = None;
    world.bridge.link_mut(LinkId::shared(0)).unwrap().closed(world.now, Closed::Broken, "reset");
    world.settle();
}

fn online(address: &str) -> Uplink<'static> {
    let address = address.parse().unwrap();
    Uplink::Online(Online { address, version: "1.2", clean: true, keepalive_s: 60 })
}

#[test]
fn what_the_rules_deny_does_not_reach_the_broker() {
    let rules = vec![deny("secret/#"), rule(Verdict::Deny, Who::All, Actions::Subscribe, "only/up")];
    let mut world = World::with_policy(1, "site/%c/", Options::new(), ruled(rules));
    let lamp = world.connect(7, "lamp").unwrap();
    let before = world.broker.accepted().len();
    assert_eq!(publish(&mut world, lamp, "secret/x"), DENIED, "topics are seen without their mountpoint");
    assert_eq!(world.broker.accepted().len(), before);
    assert_eq!(publish(&mut world, lamp, "only/up"), Taken::Done);
    assert_eq!(world.broker.accepted().last().unwrap().topic, "site/lamp/only/up");
    for filter in ["secret/x", "#", "+/x", "only/up", "$share/g/secret/x"] {
        assert_eq!(world.try_subscribe(lamp, filter, Qos::AtMostOnce), DENIED, "{filter}");
    }
    world.subscribe(lamp, "only/down", Qos::AtMostOnce);
    assert_eq!(world.broker.filters("tidegate-n-0").collect::<Vec<_>>(), ["site/lamp/only/down"]);
}

#[test]
fn who_is_denied_may_be_told_to_go() {
    let acl = Acl { rules: vec![deny("a")], disconnect: true, ..Acl::default() };
    let policy = Policy { acl: Arc::new(acl), ..Policy::default() };
    let mut world = World::with_policy(1, "", Options::new(), policy);
    let lamp = world.connect(7, "lamp").unwrap();
    assert_eq!(publish(&mut world, lamp, "a"), Taken::Denied(Refusal::NotAuthorised { disconnect: true }));
}

#[test]
fn rules_are_about_the_identity_that_was_granted_and_not_about_superusers() {
    let mut world = World::with_policy(1, "", Options::new(), ruled(vec![deny("%u/x"), deny("all")]));
    let named = |superuser| Identity { username: "ann".into(), superuser };
    let plain = connect_as(&mut world, "plain", &named(false), None);
    let mighty = connect_as(&mut world, "mighty", &named(true), None);
    assert_eq!((publish(&mut world, plain, "ann/x"), publish(&mut world, plain, "all")), (DENIED, DENIED));
    assert_eq!((publish(&mut world, mighty, "ann/x"), publish(&mut world, mighty, "all")), (Taken::Done, Taken::Done));
    world.subscribe(mighty, "all", Qos::AtMostOnce);
}

#[test]
fn a_client_that_moves_is_judged_by_its_new_address() {
    let inside = Who::Address("10.0.0.0/8".parse().unwrap());
    let rules = ruled(vec![rule(Verdict::Deny, inside, Actions::All, "a")]);
    let mut world = World::with_policy(1, "", Options::new(), rules);
    let lamp = connect_as(&mut world, "lamp", &Identity::default(), Some("10.0.0.7:5"));
    assert_eq!(publish(&mut world, lamp, "a"), DENIED);
    assert_eq!(world.up(lamp, online("192.0.2.7:5")), Taken::Done);
    assert_eq!(publish(&mut world, lamp, "a"), Taken::Done, "what was decided before is forgotten");
    assert_eq!(world.up(lamp, Uplink::Moved("10.0.0.8:5".parse().unwrap())), Taken::Done);
    assert_eq!(publish(&mut world, lamp, "a"), DENIED, "while it is connected, too");
}

#[test]
fn new_rules_hold_at_once_for_what_comes_and_not_for_what_is_there() {
    let mut world = World::new(1, "", Options::new());
    let lamp = world.connect(7, "lamp").unwrap();
    world.subscribe(lamp, "a", Qos::AtMostOnce);
    assert_eq!(publish(&mut world, lamp, "a"), Taken::Done);
    let Policy { auth, acl, .. } = ruled(vec![deny("a")]);
    world.bridge.replace_rules(auth, acl, &Listeners::default());
    assert_eq!(publish(&mut world, lamp, "a"), DENIED);
    assert_eq!(world.try_subscribe(lamp, "a", Qos::AtMostOnce), DENIED);
    world.handed.clear();
    assert_eq!(world.broadcast("a", "1", Qos::AtMostOnce, false).len(), 1);
}

#[test]
fn a_subscription_of_an_earlier_run_is_judged_again() {
    for away in [false, true] {
        let mut world = World::with_policy(1, "", Options::new(), ruled(vec![deny("a")]));
        if away {
            go_away(&mut world);
        }
        let lamp = world.connect(7, "lamp").unwrap();
        let filter = TopicFilter::try_from("a").unwrap();
        let again = Uplink::Resubscribe { token: Token(1), filter, qos: Qos::AtMostOnce };
        assert_eq!(world.bridge.up(world.now, lamp, again), DENIED, "{away}");
    }
}

fn applicant(username: &str) -> Applicant<'_> {
    let (listener, id) = (ListenerId(0), ClientId::try_from("lamp").unwrap());
    let password = Password(b"pw");
    Applicant { gateway: SN, listener, id, username, password, address: None, proven: Proven::default(), wants: None }
}

fn asking() -> Policy {
    let users = ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) };
    let rules = AuthRules { entries: vec![users], timeout_ms: 5000, ..AuthRules::default() };
    Policy { auth: Arc::new(rules), ..Policy::default() }
}

#[test]
fn a_store_is_asked_and_its_word_becomes_a_notice() {
    let mut world = World::with_policy(1, "", Options::new(), asking());
    assert_eq!(world.bridge.admit(world.now, Token(3), &applicant("ann")), Admission::Parked);
    let question = world.bridge.take_question().unwrap();
    assert_eq!((&*question.credentials.client_id, &*question.credentials.username), ("lamp", "ann"));
    world.notices.clear();
    world.bridge.answer(world.now, Answer { id: question.id, opinion: Opinion::Allow { superuser: true } });
    world.settle();
    let verdict = Ok(Identity { username: "ann".into(), superuser: true });
    assert_eq!(world.notices, [Notice::Decided { gateway: SN, applicant: Token(3), verdict, link: None }]);
}

#[test]
fn a_store_that_says_nothing_keeps_the_client_out_in_time() {
    let mut world = World::with_policy(1, "", Options::new(), asking());
    world.wait(1);
    assert_eq!(world.bridge.admit(world.now, Token(3), &applicant("ann")), Admission::Parked);
    assert_eq!(world.bridge.next_deadline(), Some(Deadline(world.now.mono_ms + 5000)));
    world.notices.clear();
    world.wait(4999);
    assert_eq!(world.notices, []);
    world.wait(1);
    let verdict = Err(Refusal::AuthUnavailable);
    assert_eq!(world.notices, [Notice::Decided { gateway: SN, applicant: Token(3), verdict, link: None }]);
}

#[test]
fn new_rules_tell_those_who_wait_to_come_again() {
    let mut world = World::with_policy(1, "", Options::new(), asking());
    assert_eq!(world.bridge.admit(world.now, Token(3), &applicant("ann")), Admission::Parked);
    world.notices.clear();
    world.bridge.replace_rules(Arc::default(), Arc::default(), &Listeners::default());
    world.settle();
    let verdict = Err(Refusal::Busy);
    assert_eq!(world.notices, [Notice::Decided { gateway: SN, applicant: Token(3), verdict, link: None }]);
    let welcome = Admission::Granted(Identity { username: "ann".into(), superuser: false });
    assert_eq!(world.bridge.admit(world.now, Token(4), &applicant("ann")), welcome);
}

#[test]
fn what_happens_to_a_client_is_told_in_its_order() {
    let mut world = World::with_policy(2, "site/", Options::new(), told());
    world.now.wall_ms = 1_700_000_000_000;
    let ann = Identity { username: "ann".into(), superuser: false };
    let lamp = connect_as(&mut world, "a/b", &ann, None);
    assert_eq!(world.up(lamp, online("10.0.0.7:5")), Taken::Done);
    world.subscribe(lamp, "set/+", Qos::AtLeastOnce);
    world.subscribe(lamp, "$share/g/t", Qos::AtMostOnce);
    let filter = TopicFilter::try_from("set/+").unwrap();
    for _ in 0..2 {
        assert_eq!(world.up(lamp, Uplink::Unsubscribe { token: Token(9), filter }), Taken::Done);
    }
    assert_eq!(world.up(lamp, Uplink::Offline(Ending::KeepAlive)), Taken::Done);
    assert_eq!(world.up(lamp, Uplink::Disconnect), Taken::Done);
    let topic = |level: &str| format!("mqttsn/a%2Fb/{level}");
    let who = r#""clientid":"a/b","username":"ann""#;
    let ts = r#""ts":1700000000000"#;
    let expected = [
        (topic("connected"), None),
        (topic("subscribed"), Some(format!(r#"{{{who},"topic":"set/+","qos":1,{ts}}}"#))),
        (topic("subscribed"), Some(format!(r#"{{{who},"topic":"$share/g/t","qos":0,{ts}}}"#))),
        (topic("unsubscribed"), Some(format!(r#"{{{who},"topic":"set/+",{ts}}}"#))),
        (topic("disconnected"), Some(format!(r#"{{{who},"reason":"keepalive_timeout",{ts}}}"#))),
    ];
    let found = events(&world);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((topic, payload), (expected_topic, expected)) in found.iter().zip(&expected) {
        assert_eq!(topic, expected_topic);
        assert!(expected.as_ref().is_none_or(|expected| expected == payload), "{payload}");
    }
}

#[test]
fn a_subscription_is_told_once_it_is_granted() {
    let mut world = World::with_policy(1, "", Options::new(), told());
    let (lamp, door) = (world.connect(7, "lamp").unwrap(), world.connect(8, "door").unwrap());
    let filter = TopicFilter::try_from("a").unwrap();
    let ask = Uplink::Subscribe { token: Token(1), filter, qos: Qos::AtMostOnce, retained: false };
    let topics = |world: &World| events(world).into_iter().map(|(topic, _)| topic).collect::<Vec<_>>();
    assert_eq!(world.bridge.up(world.now, lamp, ask), Taken::Owed);
    world.bridge.settle(world.now);
    let waiting = String::from_utf8_lossy(world.bridge.link(LinkId::shared(0)).unwrap().pending()).into_owned();
    assert!(!waiting.contains("subscribed"), "the broker has not answered: {waiting}");
    world.settle();
    assert_eq!(topics(&world), ["mqttsn/lamp/subscribed"]);
    assert_eq!(world.up(door, ask), Taken::Owed);
    assert_eq!(topics(&world), ["mqttsn/lamp/subscribed", "mqttsn/door/subscribed"], "granted without asking");
}

#[test]
fn a_subscription_that_the_broker_restores_or_refuses_is_not_told() {
    let refuse_subscribe = [("no".to_owned(), ReasonCode::NOT_AUTHORIZED)].into();
    let mut world = World::with_policy(1, "", Options { refuse_subscribe, ..Options::new() }, told());
    let lamp = world.connect(7, "lamp").unwrap();
    world.subscribe(lamp, "no", Qos::AtMostOnce);
    assert_eq!(events(&world), []);
    world.subscribe(lamp, "yes", Qos::AtMostOnce);
    assert_eq!(events(&world).len(), 1);
    go_away(&mut world);
    world.broker.set_up();
    world.wait(60_000);
    assert!(world.bridge.is_reachable());
    assert_eq!(world.broker.filters("tidegate-n-0").count(), 1, "it is restored");
    assert_eq!(events(&world).len(), 1);
}

#[test]
fn an_event_that_finds_no_room_is_dropped_and_counted() {
    let mut world = World::with_policy(1, "", Options::new(), told());
    go_away(&mut world);
    let lamp = world.connect(7, "lamp").unwrap();
    // The link's queue holds 100 messages.
    for _ in 0..130 {
        assert_eq!(world.bridge.up(world.now, lamp, online("10.0.0.7:5")), Taken::Done);
    }
    assert_eq!(world.bridge.counts.get(BridgeCount::EventsDropped), 80);
    let what = message("a", "x", Qos::AtLeastOnce);
    for token in 0..50 {
        let taken = world.bridge.up(world.now, lamp, Uplink::Publish { token: Some(Token(token)), what });
        assert_eq!(taken, Taken::Owed, "half of it is for what devices say");
    }
}
