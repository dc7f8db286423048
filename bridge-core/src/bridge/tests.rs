//! The bridge over real links to a model broker.

mod limits;
mod lives;
mod policy;
mod world;

use super::subscriptions::MAX_LEVELS;
use super::*;
use crate::link::{Closed, LinkSettings};
use crate::peer::ListenerId;
use crate::topic::{ClientId, TopicFilter, TopicName};
use codec_mqtt::ReasonCode;
use support::broker::{Crash, Message, Options, RefuseV5};
use world::{SN, World, granted, message};

#[test]
fn a_publication_of_qos_1_settles_when_the_broker_has_it() {
    let mut world = World::new(1, "", Options { hold_acks: true, ..Options::new() });
    world.broker.release_acks();
    world.settle();
    let lamp = world.connect(7, "lamp").unwrap();
    let what = message("a/b", "on", Qos::AtLeastOnce);
    assert_eq!(world.up(lamp, Uplink::Publish { token: Some(Token(5)), what }), Taken::Owed);
    assert!(!world.notices.iter().any(|n| matches!(n, Notice::Settled { .. })), "not before the broker's word");
    world.broker.release_acks();
    world.settle();
    let settled = Notice::Settled { gateway: SN, client: Token(7), token: Token(5), outcome: Outcome::Acknowledged };
    assert_eq!(world.notices.last(), Some(&settled));
}

#[test]
fn the_mountpoint_stands_in_front_upstream_and_is_taken_off_again() {
    let mut world = World::new(1, "site/%c/", Options::new());
    let lamp = world.connect(7, "lamp").unwrap();
    let what = message("a", "on", Qos::AtMostOnce);
    assert_eq!(world.up(lamp, Uplink::Publish { token: None, what }), Taken::Done);
    assert_eq!(world.broker.accepted().last().unwrap().topic, "site/lamp/a");
    world.subscribe(lamp, "set/+", Qos::AtLeastOnce);
    assert_eq!(granted(&world.notices, 7), [Ok(Qos::AtLeastOnce)]);
    assert_eq!(world.broker.filters("tidegate-n-0").collect::<Vec<_>>(), ["site/lamp/set/+"]);
    let handed = world.broadcast("site/lamp/set/x", "1", Qos::ExactlyOnce, false);
    assert_eq!(handed, [(7, "set/x".to_owned(), b"1".to_vec(), Qos::AtLeastOnce)]);
    world.subscribe(lamp, "$share/g/t", Qos::AtMostOnce);
    assert!(world.broker.filters("tidegate-n-0").any(|f| f == "$share/g/site/lamp/t"));
}

#[test]
fn a_client_id_that_would_break_out_of_its_level_is_refused_only_where_it_matters() {
    let mut world = World::new(1, "site/%c/", Options::new());
    assert_eq!(world.connect(1, "a/b"), Err(Refusal::BadIdentity));
    assert!(World::new(1, "", Options::new()).connect(1, "a/b").is_ok());
}

#[test]
fn a_user_name_that_mqtt_cannot_carry_is_refused_only_where_it_matters() {
    for (mountpoint, expected) in [("site/%u/", Some(Refusal::BadIdentity)), ("site/", None)] {
        let mut world = World::new(1, mountpoint, Options::new());
        let id = ClientId::try_from("lamp").unwrap();
        let (listener, username) = (ListenerId(0), "a\u{FFFE}");
        let identity = Identity { username: username.into(), superuser: false };
        let who = Connect {
            gateway: SN,
            listener,
            id,
            identity: &identity,
            address: None,
            connectionless: false,
            link: None,
        };
        assert_eq!(world.bridge.connect(Token(1), &who).err(), expected, "{mountpoint}");
    }
}

#[test]
fn many_devices_are_one_subscription_and_what_is_kept_goes_to_the_newcomer() {
    for refuse_v5 in [None, Some(RefuseV5::ReasonCode)] {
        let mut world = World::new(1, "", Options { refuse_v5, ..Options::new() });
        world.wait(1_000);
        world.broadcast("a/b", "kept", Qos::AtLeastOnce, true);
        for handle in 1..=3 {
            let client = world.connect(handle, &format!("d{handle}")).unwrap();
            world.subscribe(client, "a/#", Qos::AtLeastOnce);
            let handed: Vec<u64> = std::mem::take(&mut world.handed).iter().map(|h| h.0).collect();
            assert_eq!(handed, [handle], "MQTT 5 refused: {refuse_v5:?}");
        }
        assert_eq!(world.broker.filters("tidegate-n-0").count(), 1);
        let live: Vec<u64> = world.broadcast("a/c", "x", Qos::AtMostOnce, false).iter().map(|h| h.0).collect();
        assert_eq!(live, [1, 2, 3]);
    }
}

#[test]
fn overlapping_filters_bring_each_subscription_one_copy_however_the_broker_sends_them() {
    for merge_overlaps in [false, true] {
        let mut world = World::new(1, "", Options { merge_overlaps, ..Options::new() });
        for (handle, filter) in [(1, "a/#"), (2, "a/b"), (3, "+/b")] {
            let client = world.connect(handle, &format!("d{handle}")).unwrap();
            world.subscribe(client, filter, Qos::AtMostOnce);
        }
        let mut live: Vec<u64> = world.broadcast("a/b", "x", Qos::AtMostOnce, false).iter().map(|h| h.0).collect();
        live.sort_unstable();
        assert_eq!(live, [1, 2, 3], "merged: {merge_overlaps}");
    }
}

#[test]
fn a_refused_subscription_is_told_so_and_is_none() {
    let refuse_subscribe = [("a".to_owned(), ReasonCode::NOT_AUTHORIZED)].into();
    let mut world = World::new(1, "", Options { refuse_subscribe, ..Options::new() });
    let lamp = world.connect(7, "lamp").unwrap();
    world.subscribe(lamp, "a", Qos::AtMostOnce);
    assert_eq!(granted(&world.notices, 7), [Err(Refusal::Broker(0x87))]);
    assert_eq!(world.bridge.lines.get(FIRST).unwrap().trunk.as_ref().unwrap().upstream.len(), 0);
    assert_eq!(world.bridge.clients.get(lamp.0).unwrap().places.len(), 0);
}

#[test]
fn a_subscription_that_is_not_restored_is_told_and_counted() {
    let mut world = World::new(1, "", Options::new());
    let lamp = world.connect(7, "lamp").unwrap();
    world.subscribe(lamp, "a", Qos::AtMostOnce);
    world.subscribe(lamp, "b", Qos::AtMostOnce);
    world.notices.clear();
    world.crash();
    world.broker.crash(Crash { keep_sessions: false, keep_retained: true });
    world.broker.options().refuse_subscribe = [("a".to_owned(), ReasonCode::NOT_AUTHORIZED)].into();
    world.broker.set_up();
    world.wait(1_000);
    assert_eq!(granted(&world.notices, 7), [Err(Refusal::Broker(0x87))]);
    assert_eq!(world.notices.last(), Some(&Notice::Broker { reachable: true }));
    assert_eq!(world.broker.filters("tidegate-n-0").collect::<Vec<_>>(), ["b"]);
    assert_eq!(world.bridge.clients.get(lamp.0).unwrap().places.len(), 1);
    let lost = world.bridge.meters()[0].read().find(|(s, _)| s.family.name == "tidegate_subscriptions_lost_total");
    assert_eq!(lost.map(|(_, count)| count), Some(1));
}

#[test]
fn who_leaves_takes_the_last_subscription_along() {
    let mut world = World::new(1, "", Options::new());
    let (a, b) = (world.connect(1, "a").unwrap(), world.connect(2, "b").unwrap());
    world.subscribe(a, "t", Qos::AtMostOnce);
    world.subscribe(b, "t", Qos::AtMostOnce);
    let filter = TopicFilter::try_from("t").unwrap();
    assert_eq!(world.up(a, Uplink::Unsubscribe { token: Token(9), filter }), Taken::Done);
    assert_eq!(world.broker.filters("tidegate-n-0").count(), 1);
    assert_eq!(world.up(b, Uplink::Disconnect), Taken::Done);
    assert_eq!(world.broker.filters("tidegate-n-0").count(), 0);
}

#[test]
fn after_a_broker_without_memory_subscriptions_are_restored_before_anybody_is_told() {
    for keep_sessions in [true, false] {
        let mut world = World::new(1, "", Options::new());
        let lamp = world.connect(7, "lamp").unwrap();
        world.broadcast("t", "kept", Qos::AtMostOnce, true);
        world.subscribe(lamp, "t", Qos::AtLeastOnce);
        world.handed.clear();
        world.notices.clear();
        world.broker.crash(Crash { keep_sessions, keep_retained: true });
        world.conns[0] = None;
        let now = world.now;
        world.bridge.link_mut(LinkId::shared(0)).unwrap().closed(now, Closed::Broken, "reset");
        world.settle();
        assert_eq!(world.notices, [Notice::Broker { reachable: false }]);
        assert_eq!(world.try_subscribe(lamp, "u", Qos::AtMostOnce), Taken::Denied(Refusal::BrokerAway));
        world.broker.set_up();
        world.wait(40_000);
        assert_eq!(world.notices.last(), Some(&Notice::Broker { reachable: true }));
        assert_eq!(world.handed, [], "what was kept is not sent again");
        assert_eq!(world.broadcast("t", "x", Qos::AtMostOnce, false).len(), 1, "session kept: {keep_sessions}");
    }
}

#[test]
fn what_is_published_between_the_brokers_return_and_the_links_arrives() {
    for refuse_v5 in [None, Some(RefuseV5::ReasonCode)] {
        let options = Options { forget_clean_starts: true, refuse_v5, ..Options::new() };
        let mut world = World::new(1, "", options);
        let lamp = world.connect(7, "lamp").unwrap();
        world.wait(1_000);
        world.subscribe(lamp, "t", Qos::AtLeastOnce);
        world.crash();
        world.broker.set_up();
        world.broker.publish(Message::new("t", "meanwhile", Qos::AtLeastOnce));
        world.wait(1_000);
        let handed: Vec<_> = world.handed.iter().map(|handed| handed.2.as_slice()).collect();
        assert_eq!(handed, [b"meanwhile"], "MQTT 5 refused: {refuse_v5:?}");
    }
}

#[test]
fn the_node_says_that_it_is_there_and_that_it_leaves() {
    let mut world = World::new(2, "", Options::new());
    assert_eq!(world.broker.retained("tidegate/n/status").unwrap().payload, b"online");
    assert_eq!(world.notices, [Notice::Broker { reachable: true }]);
    let now = world.now;
    world.bridge.drain(now);
    world.settle();
    assert!(world.bridge.is_drained());
    assert_eq!(world.broker.retained("tidegate/n/status").unwrap().payload, b"offline");
}

#[test]
fn the_node_says_that_it_leaves_while_another_link_is_down() {
    let mut world = World::new(2, "", Options::new());
    let now = world.now;
    world.broker.disconnect(world.conns[1].take().unwrap());
    world.bridge.link_mut(LinkId::shared(1)).unwrap().closed(now, Closed::Broken, "reset");
    world.bridge.settle(now);
    world.bridge.drain(now);
    world.settle();
    assert_eq!(world.broker.retained("tidegate/n/status").unwrap().payload, b"offline");
}

#[test]
fn a_node_that_leaves_does_not_say_that_it_is_back() {
    let mut world = World::new(1, "", Options::new());
    let lamp = world.connect(7, "lamp").unwrap();
    world.broker.crash(Crash { keep_sessions: true, keep_retained: true });
    world.conns[0] = None;
    let now = world.now;
    world.bridge.link_mut(LinkId::shared(0)).unwrap().closed(now, Closed::Broken, "reset");
    world.settle();
    let topic = TopicName::try_from("t").unwrap();
    let what = Publication { topic, payload: b"x", qos: Qos::AtLeastOnce, retain: false, expiry_s: None };
    assert_eq!(world.up(lamp, Uplink::Publish { token: Some(Token(1)), what }), Taken::Owed);
    world.bridge.drain(now);
    world.broker.set_up();
    world.settle();
    world.wait(1_000);
    assert!(world.bridge.is_drained());
    assert_eq!(world.broker.retained("tidegate/n/status").unwrap().payload, b"offline");
}

#[test]
fn the_node_says_that_it_is_back_however_much_waits_in_the_queue() {
    let mut world = World::new(1, "", Options::new());
    let lamp = world.connect(7, "lamp").unwrap();
    world.broker.crash(Crash { keep_sessions: true, keep_retained: false });
    world.conns[0] = None;
    let now = world.now;
    world.bridge.link_mut(LinkId::shared(0)).unwrap().closed(now, Closed::Broken, "reset");
    world.settle();
    let topic = TopicName::try_from("t").unwrap();
    let what = Publication { topic, payload: b"x", qos: Qos::AtLeastOnce, retain: false, expiry_s: None };
    while world.up(lamp, Uplink::Publish { token: Some(Token(1)), what }) == Taken::Owed {}
    world.broker.set_up();
    world.wait(40_000);
    assert_eq!(world.broker.retained("tidegate/n/status").unwrap().payload, b"online");
}

#[test]
fn a_device_keeps_to_its_link_and_the_connectionless_to_the_first() {
    let world = World::new(4, "", Options::new());
    let links: Vec<LinkId> = (0..200).map(|n| world.bridge.link_of(&format!("device-{n}"))).collect();
    assert!((0..4).all(|link| links.iter().filter(|&&l| l == LinkId::shared(link)).count() > 20), "{links:?}");
    assert_eq!(links, (0..200).map(|n| world.bridge.link_of(&format!("device-{n}"))).collect::<Vec<_>>());
}

#[test]
fn a_filter_of_too_many_levels_is_refused() {
    let mut world = World::new(1, "site/", Options::new());
    let lamp = world.connect(7, "lamp").unwrap();
    assert_eq!(world.try_subscribe(lamp, &"/".repeat(MAX_LEVELS - 2), Qos::AtMostOnce), Taken::Owed);
    assert_eq!(
        world.try_subscribe(lamp, &"/".repeat(MAX_LEVELS - 1), Qos::AtMostOnce),
        Taken::Denied(Refusal::BadTopic)
    );
}

#[test]
fn a_message_is_delivered_with_no_more_than_its_own_qos() {
    let mut world = World::new(1, "", Options::new());
    let lamp = world.connect(7, "lamp").unwrap();
    world.subscribe(lamp, "t", Qos::ExactlyOnce);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let handed: Vec<Qos> = world.broadcast("t", "x", qos, false).iter().map(|h| h.3).collect();
        assert_eq!(handed, [qos]);
    }
}

#[test]
fn one_link_that_is_away_is_enough_for_the_broker_to_count_as_away() {
    let mut world = World::new(2, "", Options::new());
    assert!(world.bridge.is_reachable());
    world.notices.clear();
    let conn = world.conns[1].take().unwrap();
    world.broker.disconnect(conn);
    let now = world.now;
    world.bridge.link_mut(LinkId::shared(1)).unwrap().closed(now, Closed::Broken, "reset");
    world.settle();
    assert_eq!(world.notices, [Notice::Broker { reachable: false }]);
    assert!(!world.bridge.is_reachable());
}

#[test]
fn who_never_connects_speaks_through_the_first_link() {
    let mut world = World::new(4, "", Options::new());
    for number in 0..8 {
        let id = format!("device-{number}");
        let id = ClientId::try_from(id.as_str()).unwrap();
        let identity = Identity::default();
        let (listener, identity) = (ListenerId(0), &identity);
        let who = Connect { gateway: SN, listener, id, identity, address: None, connectionless: true, link: None };
        let client = world.bridge.connect(Token(number), &who).unwrap();
        let what = message("a", "x", Qos::AtMostOnce);
        assert_eq!(world.up(client, Uplink::Publish { token: None, what }), Taken::Done);
        assert_eq!(world.broker.accepted().last().unwrap().client, "tidegate-n-0");
    }
}
