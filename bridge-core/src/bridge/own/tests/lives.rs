//! In, up, down, asleep, lost, out.

use super::world::{CLEAN, Handed, KEPT, SN, World, message};
use crate::auth::{AuthRules, ChainEntry, EntryKind};
use crate::bridge::Notice;
use crate::downlink::Outcome;
use crate::uplink::{Admission, Ending, Refusal, Taken, Token, Uplink};
use codec_mqtt::{Qos, ReasonCode};
use support::broker::{Crash, Message, Options, RefuseV5};

fn settled(token: u64, outcome: Outcome) -> Notice {
    Notice::Settled { gateway: SN, client: Token(7), token: Token(token), outcome }
}

#[test]
fn a_client_speaks_to_the_broker_under_its_own_name() {
    let mut world = World::new(Options::new());
    let (lamp, _) = world.enter(7, "lamp", CLEAN);
    assert_eq!(world.publish(lamp, 5, "on"), Taken::Owed);
    let accepted = world.broker.accepted().last().unwrap();
    assert_eq!((accepted.topic.as_str(), accepted.client.as_str()), ("site/up", "lamp"));
    assert_eq!(world.notices, [settled(5, Outcome::Acknowledged)]);
    world.notices.clear();
    world.subscribe(lamp, 9, "set/+");
    let (client, token, granted) = (Token(7), Token(9), Ok(Qos::ExactlyOnce));
    assert_eq!(world.notices, [Notice::Subscribed { gateway: SN, client, token, granted }]);
    assert_eq!(world.broker.filters("lamp").collect::<Vec<_>>(), ["site/set/+"]);
    world.broker.publish(Message::new("site/set/x", "1", Qos::AtMostOnce));
    world.settle();
    let (text, subscription) = ("set/x 1".to_owned(), Token(9));
    assert_eq!(world.handed, [Handed { client: 7, text, subscription, receipt: None }]);
}

#[test]
fn the_refusal_of_the_broker_is_the_verdict() {
    for v311 in [false, true] {
        for (code, counted) in [
            (ReasonCode::BAD_USER_NAME_OR_PASSWORD, "credentials"),
            (ReasonCode::NOT_AUTHORIZED, "credentials"),
            (ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "credentials"),
            (ReasonCode::SERVER_UNAVAILABLE, "unavailable"),
        ] {
            let refuse_v5 = v311.then_some(RefuseV5::ReasonCode);
            let refuse_clients = [("lamp".to_owned(), code)].into();
            let mut world = World::new(Options { refuse_clients, refuse_v5, ..Options::new() });
            assert_eq!(world.ask(7, "lamp", CLEAN), Admission::Parked);
            world.wait(1000);
            assert_eq!(world.verdict(7), Some(Err(Refusal::Broker(code.0))), "3.1.1: {v311}");
            assert_eq!(world.counted("tidegate_client_links_refused_total", counted), 1, "{code}");
            assert_eq!(world.counted("tidegate_client_links_ended_total", "not_authorized"), 0, "it was never in");
            world.wait(60_000);
            let attempts = 1;
            assert_eq!(
                (world.begun.len(), world.bridge.lines.iter().count()),
                (attempts, 1),
                "it goes, and stays away"
            );
        }
    }
}

#[test]
fn the_chain_comes_before_the_broker_and_static_entries_show_it_other_credentials() {
    let entry = |kind| ChainEntry { gateways: Vec::new(), kind };
    let shared = EntryKind::Static { username: "all".into(), password: b"x".as_slice().into() };
    let deny = AuthRules { entries: vec![entry(shared.clone())], ..AuthRules::default() };
    let mut world = World::with(Options::new(), 0, deny);
    assert_eq!(world.ask(7, "lamp", CLEAN), Admission::Refused(Refusal::BadCredentials), "nobody decides");
    let ask = AuthRules { entries: vec![entry(shared), entry(EntryKind::Broker)], ..AuthRules::default() };
    let mut world = World::with(Options::new(), 0, ask);
    let link = world.admit(7, "lamp", CLEAN);
    let line = format!("{:?}", world.bridge.lines.get(crate::bridge::LinkId(link.0)));
    assert!(!line.contains("secret"), "{line}");
}

#[test]
fn who_never_gets_an_answer_hears_so_in_time() {
    let mut world = World::new(Options::new());
    world.mute = true;
    assert_eq!(world.ask(7, "lamp", CLEAN), Admission::Parked);
    world.wait(9000);
    assert_eq!(world.verdict(7), None);
    world.wait(6001);
    assert_eq!(world.verdict(7), Some(Err(Refusal::BrokerAway)));
}

#[test]
fn while_the_broker_is_away_nobody_waits_for_it() {
    let mut world = World::new(Options::new());
    world.go_down();
    world.wait(1000);
    assert_eq!(world.ask(7, "lamp", CLEAN), Admission::Parked);
    world.settle();
    assert_eq!(world.verdict(7), Some(Err(Refusal::BrokerAway)));
}

#[test]
fn a_link_that_nobody_takes_goes() {
    let mut world = World::new(Options::new());
    let link = world.admit(7, "lamp", CLEAN);
    world.wait(59_000);
    assert_eq!(world.bridge.lines.iter().count(), 2);
    world.wait(1_001);
    assert_eq!(world.bridge.lines.iter().count(), 1);
    assert_eq!(world.connect(7, "lamp", link), Err(Refusal::BrokerAway));
    let link = world.admit(8, "lamp", CLEAN);
    world.bridge.dismiss(link);
    world.settle();
    assert_eq!((world.bridge.lines.iter().count(), world.conns.len()), (1, 1), "dismissed");
}

#[test]
fn a_lost_link_comes_back_with_its_subscriptions_and_what_waited() {
    for (wish, keep_sessions) in [(CLEAN, true), (KEPT, true), (KEPT, false)] {
        let mut world = World::new(Options::new());
        let (lamp, link) = world.enter(7, "lamp", wish);
        world.subscribe(lamp, 9, "a");
        world.notices.clear();
        world.broker.crash(Crash { keep_sessions, keep_retained: true });
        world.go_down();
        assert_eq!(world.publish(lamp, 5, "meanwhile"), Taken::Owed);
        assert_eq!(world.ended(7), [], "a loss is not told");
        world.broker.set_up();
        world.wait(40_000);
        assert!(world.bridge.lines.get(link).unwrap().link.is_online());
        assert!(world.notices.contains(&settled(5, Outcome::Acknowledged)), "{:?}", world.notices);
        let again = world.notices.iter().any(|notice| matches!(notice, Notice::Subscribed { .. }));
        assert!(!again, "that is not told twice");
        world.broker.publish(Message::new("site/a", "x", Qos::AtLeastOnce));
        world.settle();
        assert_eq!(world.texts(7), ["a x"], "{wish:?}, sessions kept: {keep_sessions}");
    }
}

#[test]
fn a_session_that_the_broker_has_kept_goes_on_and_what_nobody_here_asked_for_has_no_subscription() {
    let mut world = World::new(Options::new());
    let (lamp, _) = world.enter(7, "lamp", KEPT);
    world.subscribe(lamp, 9, "a/+");
    assert_eq!(world.up(lamp, Uplink::Offline(Ending::Normal)), Taken::Done);
    assert_eq!(world.up(lamp, Uplink::Disconnect), Taken::Done);
    assert_eq!(world.bridge.lines.iter().count(), 1);
    assert!(world.broker.has_session("lamp"));
    world.broker.publish(Message::new("site/a/b", "1", Qos::AtLeastOnce));
    let link = world.admit(8, "lamp", KEPT);
    let early = |notice: &Notice| matches!(notice, Notice::Message { .. });
    assert!(!world.notices.iter().any(early), "nobody is there to have it");
    world.connect(8, "lamp", link).unwrap();
    let came = world.notices.iter().find(|notice| early(notice)).cloned().unwrap();
    let Notice::Message { message, subscription, receipt, client, .. } = came else { panic!("{came:?}") };
    assert_eq!((client, subscription), (Token(8), Token::NONE));
    assert_eq!(message.view(world.now).unwrap().topic.as_str(), "a/b");
    assert_eq!(world.broker.undelivered("lamp"), 1, "until the device has it");
    world.bridge.undeliverable(world.now, receipt);
    world.settle();
    assert_eq!(world.broker.undelivered("lamp"), 0);
    let (clean, _) = world.enter(9, "lamp", CLEAN);
    assert_eq!(world.broker.filters("lamp").count(), 0, "a clean one begins anew");
    world.say(clean, Uplink::Disconnect);
    assert!(!world.broker.has_session("lamp"), "and leaves nothing");
}

#[test]
fn the_broker_hears_that_a_message_has_arrived_when_the_device_has_it() {
    let mut world = World::new(Options::new());
    let (lamp, link) = world.enter(7, "lamp", KEPT);
    world.subscribe(lamp, 9, "a");
    for (text, qos) in [("1", Qos::AtLeastOnce), ("2", Qos::AtLeastOnce), ("3", Qos::ExactlyOnce)] {
        world.broker.publish(Message::new("site/a", text, qos));
    }
    world.settle();
    let receipts: Vec<_> = world.handed.iter().map(|handed| handed.receipt.unwrap()).collect();
    assert_eq!((receipts.len(), world.broker.undelivered("lamp")), (3, 3));
    world.say(lamp, Uplink::Delivered(receipts[1]));
    assert_eq!(world.broker.undelivered("lamp"), 3, "the first goes first");
    world.say(lamp, Uplink::Delivered(receipts[2]));
    assert_eq!(world.broker.undelivered("lamp"), 2, "those of QoS 2 have an order of their own");
    world.say(lamp, Uplink::Delivered(receipts[0]));
    assert_eq!(world.broker.undelivered("lamp"), 0);
    // Over a new connection the broker sends again what it was not told of: an old receipt has no effect.
    world.broker.publish(Message::new("site/a", "4", Qos::AtLeastOnce));
    world.settle();
    let old = world.handed.last().unwrap().receipt.unwrap();
    world.cut(link);
    world.wait(1000);
    let new = world.handed.last().unwrap().receipt.unwrap();
    assert!(new != old && world.broker.undelivered("lamp") == 1);
    world.say(lamp, Uplink::Delivered(old));
    assert_eq!(world.broker.undelivered("lamp"), 1);
    world.say(lamp, Uplink::Delivered(new));
    assert_eq!(world.broker.undelivered("lamp"), 0);
}

#[test]
fn a_will_is_the_brokers_to_publish() {
    for v311 in [false, true] {
        let options = Options { refuse_v5: v311.then_some(RefuseV5::ReasonCode), ..Options::new() };
        let wills = |world: &World| world.broker.accepted().iter().filter(|m| m.topic == "site/will").count();
        let will = message("will", "gone", Qos::AtLeastOnce);
        let mut world = World::new(options.clone());
        let (lamp, link) = world.enter(7, "lamp", KEPT);
        assert_eq!(world.up(lamp, Uplink::SetWill(Some(will))), Taken::Done);
        world.settle();
        assert!(world.bridge.lines.get(link).unwrap().link.is_online(), "it has connected again");
        world.say(lamp, Uplink::Disconnect);
        assert_eq!(wills(&world), 0, "a goodbye takes it back");
        let (lamp, _) = world.enter(7, "lamp", KEPT);
        world.say(lamp, Uplink::SetWill(Some(will)));
        world.say(lamp, Uplink::PublishWill(will));
        world.say(lamp, Uplink::Offline(Ending::KeepAlive));
        assert_eq!(wills(&world), 1, "3.1.1: {v311}");
        assert_eq!(world.bridge.lines.iter().count(), 1);
        let (lamp, _) = world.enter(7, "lamp", CLEAN);
        world.say(lamp, Uplink::PublishWill(will));
        world.say(lamp, Uplink::Disconnect);
        assert_eq!(wills(&world), 2, "one that the broker does not know we publish");
    }
}

#[test]
fn a_client_that_comes_back_to_its_session_has_not_been_lost() {
    let wills = |world: &World| world.broker.accepted().iter().filter(|m| m.topic == "site/will").count();
    let will = message("will", "gone", Qos::AtLeastOnce);
    let mut world = World::new(Options::new());
    let (lamp, _) = world.enter(7, "lamp", KEPT);
    world.say(lamp, Uplink::SetWill(Some(will)));
    let own = world.admit(8, "lamp", KEPT);
    world.say(lamp, Uplink::Relink(own));
    world.settle();
    assert_eq!(wills(&world), 0, "the broker has thrown out the old connection, and no client");
    world.say(lamp, Uplink::SetWill(Some(will)));
    world.say(lamp, Uplink::PublishWill(will));
    world.say(lamp, Uplink::Offline(Ending::KeepAlive));
    assert_eq!(wills(&world), 1, "who is lost is, at once and once");
}

#[test]
fn a_will_does_not_cost_a_session_or_a_subscription() {
    for wish in [CLEAN, KEPT] {
        let mut world = World::new(Options::new());
        let (lamp, _) = world.enter(7, "lamp", wish);
        world.subscribe(lamp, 9, "a");
        world.say(lamp, Uplink::SetWill(Some(message("will", "gone", Qos::AtMostOnce))));
        world.broker.publish(Message::new("site/a", "x", Qos::AtMostOnce));
        world.settle();
        assert_eq!(world.texts(7), ["a x"]);
        let before = world.begun.len();
        world.say(lamp, Uplink::SetWill(Some(message("will", "gone", Qos::AtMostOnce))));
        assert_eq!(world.begun.len(), before, "the same again is nothing new");
        assert!(world.broker.accepted().iter().all(|m| m.topic != "site/will"));
    }
}

#[test]
fn who_sleeps_may_do_without_its_connection_and_is_awake_when_all_has_come() {
    let mut world = World::new(Options { send_window: 1, ..Options::new() });
    let (lamp, link) = world.enter(7, "lamp", KEPT);
    world.subscribe(lamp, 9, "a");
    assert_eq!(world.publish(lamp, 5, "good night"), Taken::Owed);
    assert_eq!(world.up(lamp, Uplink::Doze), Taken::Done);
    assert!(!world.conns.contains_key(&link), "it goes");
    assert!(world.notices.contains(&settled(5, Outcome::Acknowledged)));
    for text in ["1", "2"] {
        world.broker.publish(Message::new("site/a", text, Qos::AtLeastOnce));
    }
    world.wait(300_000);
    assert!(!world.conns.contains_key(&link) && world.ended(7).is_empty(), "and stays away");
    world.bridge.gauge();
    assert_eq!(world.counted("tidegate_client_links", "resting"), 1);
    assert_eq!(world.up(lamp, Uplink::Wake), Taken::Owed);
    let awake = |world: &World| world.notices.iter().filter(|notice| matches!(notice, Notice::Awake { .. })).count();
    for text in ["a 1", "a 2"] {
        assert_eq!(awake(&world), 0, "before {text}");
        let handed = world.handed.pop().unwrap();
        assert_eq!(handed.text, text);
        world.say(lamp, Uplink::Delivered(handed.receipt.unwrap()));
    }
    assert_eq!(world.notices.last(), Some(&Notice::Awake { gateway: SN, client: Token(7), outcome: Ok(()) }));
    assert_eq!(awake(&world), 1);
    assert_eq!(world.up(lamp, Uplink::Wake), Taken::Done, "there is nothing to wait for");
}

#[test]
fn who_wakes_in_vain_hears_why() {
    let mut world = World::new(Options::new());
    let (lamp, _) = world.enter(7, "lamp", KEPT);
    let awake = |outcome| Notice::Awake { gateway: SN, client: Token(7), outcome };
    world.say(lamp, Uplink::Doze);
    world.mute = true;
    assert_eq!(world.up(lamp, Uplink::Wake), Taken::Owed);
    world.wait(10_001);
    assert!(world.notices.contains(&awake(Err(Refusal::BrokerAway))), "{:?}", world.notices);
    world.mute = false;
    world.wait(60_000);
    world.say(lamp, Uplink::Doze);
    world.broker.options().refuse_clients = [("lamp".to_owned(), ReasonCode::NOT_AUTHORIZED)].into();
    world.notices.clear();
    assert_eq!(world.up(lamp, Uplink::Wake), Taken::Owed);
    assert_eq!(world.notices.first(), Some(&awake(Err(Refusal::Broker(0x87)))));
    assert_eq!(world.ended(7), [Ending::NotAuthorised]);
}

#[test]
fn what_a_client_leaves_behind_still_goes_its_way() {
    let mut world = World::new(Options { hold_acks: true, ..Options::new() });
    let (lamp, link) = world.enter(7, "lamp", CLEAN);
    assert_eq!(world.publish(lamp, 5, "last words"), Taken::Owed);
    world.say(lamp, Uplink::Disconnect);
    assert!(world.conns.contains_key(&link), "until they have arrived");
    world.broker.options().hold_acks = false;
    world.broker.release_acks();
    world.settle();
    assert_eq!(world.notices, [settled(5, Outcome::Acknowledged)]);
    assert_eq!(world.bridge.lines.iter().count(), 1);
    assert_eq!(world.publish(lamp, 6, "x"), Taken::Denied(Refusal::NoSuchClient));
}

#[test]
fn what_waits_is_bounded_for_all_of_them_together_and_who_was_turned_away_is_called() {
    let mut world = World::new(Options::new());
    let clients: Vec<_> = (0..4).map(|n| world.enter(n, &format!("d{n}"), KEPT).0).collect();
    world.go_down();
    let taken: Vec<_> = (0..12).map(|n| world.publish(clients[n % 4], n as u64, "x")).collect();
    assert_eq!(taken.iter().filter(|taken| **taken == Taken::Owed).count(), 10);
    assert_eq!(taken[10..], [Taken::Full, Taken::Full]);
    world.bridge.gauge();
    assert_eq!(world.counted("tidegate_queue_messages", "link"), 10);
    world.notices.clear();
    world.broker.set_up();
    world.wait(40_000);
    assert!(world.notices.contains(&Notice::Room));
    let settled = world.notices.iter().filter(|notice| matches!(notice, Notice::Settled { .. })).count();
    assert_eq!(settled, 10);
    world.bridge.gauge();
    assert_eq!(world.counted("tidegate_queue_messages", "link"), 0);
}

#[test]
fn a_node_that_stops_flushes_says_goodbye_and_leaves_the_sessions() {
    let mut world = World::new(Options::new());
    let (lamp, _) = world.enter(7, "lamp", KEPT);
    world.subscribe(lamp, 9, "a");
    world.say(lamp, Uplink::SetWill(Some(message("will", "gone", Qos::AtMostOnce))));
    assert_eq!(world.ask(8, "late", CLEAN), Admission::Parked);
    world.bridge.drain(world.now);
    world.settle();
    assert_eq!(world.verdict(8), Some(Err(Refusal::Busy)));
    assert!(world.bridge.is_drained());
    assert!(world.broker.has_session("lamp") && world.broker.filters("lamp").count() == 1);
    assert!(world.broker.accepted().iter().all(|m| m.topic != "site/will"));
}
