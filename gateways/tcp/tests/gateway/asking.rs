//! What the admin API asks.

use crate::frames::connect;
use crate::world::{Qos, Setup, World};
use bridge_core::ask::{Answer, Ask, ClientRow, SubscriptionRow, Wanted};
use bridge_core::topic::TopicFilter;
use bridge_core::uplink::Refusal;

fn list(world: &mut World, rows: usize, scan: usize, wanted: &Wanted) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let Answer::Page { rows, next } = world.query(&Ask::List { after, rows, scan, wanted }) else { panic!() };
        ids.extend(rows.iter().map(|row| row.id.to_string()));
        if next.is_none() {
            return ids;
        }
        after = next;
    }
}

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::try_from(text).unwrap()
}

#[test]
fn a_client_is_shown_as_it_is() {
    let mut world = World::default();
    world.open(1);
    world.ask(1, "1000083c00026431000175");
    let Answer::Client(row) = world.query(&Ask::Show { id: "d1" }) else { panic!() };
    let expected = ClientRow {
        id: "d1".into(),
        username: "u".into(),
        address: "127.0.0.1:1".parse().unwrap(),
        node: None,
        state: "connected",
        version: "0",
        clean: true,
        keepalive_s: 60,
        expiry_s: 0,
        connected_at_ms: 0,
        disconnected_at_ms: None,
        subscriptions: 1,
        held: 0,
        in_flight: 0,
    };
    assert_eq!(*row, expected);
    assert_eq!(world.query(&Ask::Show { id: "d2" }), Answer::NoSuchClient);
}

#[test]
fn a_list_comes_in_slices_and_shows_who_is_in() {
    let mut world = World::default();
    for port in 1..10 {
        world.connect(port, &format!("d{port}"));
    }
    world.open(20);
    world.ask(3, "60");
    let all: Vec<String> = [1, 2, 4, 5, 6, 7, 8, 9].iter().map(|port| format!("d{port}")).collect();
    for (rows, scan) in [(100, 100), (1, 100), (100, 1), (2, 3)] {
        assert_eq!(list(&mut world, rows, scan, &Wanted::default()), all, "{rows} {scan}");
    }
    let wanted = Wanted { id_like: Some("7".to_owned()), ..Wanted::default() };
    assert_eq!(list(&mut world, 10, 10, &wanted), ["d7"]);
}

#[test]
fn who_is_kicked_is_closed() {
    let mut world = World::default();
    world.connect(1, "dev");
    assert_eq!(world.query(&Ask::Kick { id: "dev" }), Answer::Done);
    assert!(world.is_closed(1));
    assert_eq!((world.states(), world.query(&Ask::Kick { id: "dev" })), ([0; 4], Answer::NoSuchClient));
}

#[test]
fn subscriptions_are_the_dn_topic_and_those_that_others_make() {
    let mut world = World::default();
    world.connect(1, "dev");
    let own = SubscriptionRow { filter: "tcp/dev/dn".into(), qos: Qos::AtMostOnce };
    assert_eq!(world.query(&Ask::Subscriptions { id: "dev" }), Answer::Subscriptions(vec![own.clone()]));
    let all = filter("all/#");
    assert_eq!(world.query(&Ask::Subscribe { id: "dev", filter: all, qos: Qos::AtLeastOnce }), Answer::Done);
    let other = SubscriptionRow { filter: "all/#".into(), qos: Qos::AtLeastOnce };
    assert_eq!(world.query(&Ask::Subscriptions { id: "dev" }), Answer::Subscriptions(vec![own, other]));
    world.publish("all/x", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), "3000026f6e");
    assert_eq!(world.query(&Ask::Unsubscribe { id: "dev", filter: all }), Answer::Done);
    assert_eq!(world.query(&Ask::Unsubscribe { id: "dev", filter: all }), Answer::NoSuchSubscription);
    let own = filter("tcp/dev/dn");
    assert_eq!(world.query(&Ask::Unsubscribe { id: "dev", filter: own }), Answer::OwnSubscription);
    world.publish("tcp/dev/dn", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), "3000026f6e", "it stays");
    world.publish("all/x", "on", Qos::AtMostOnce);
    assert_eq!(world.hear(1), "");
}

#[test]
fn others_make_16_subscriptions_at_most_and_none_while_the_broker_is_away() {
    let mut world = World::default();
    world.connect(1, "dev");
    for number in 0..16 {
        let text = format!("a/{number}");
        let ask = Ask::Subscribe { id: "dev", filter: filter(&text), qos: Qos::AtMostOnce };
        assert_eq!(world.query(&ask), Answer::Done);
        assert_eq!(world.query(&ask), Answer::Done, "the same again");
    }
    let one_more = Ask::Subscribe { id: "dev", filter: filter("b"), qos: Qos::AtMostOnce };
    assert_eq!(world.query(&one_more), Answer::Refused(Refusal::Limit));
    world.broker_down();
    assert_eq!(world.query(&Ask::Unsubscribe { id: "dev", filter: filter("a/3") }), Answer::Done);
    assert_eq!(world.query(&one_more), Answer::Refused(Refusal::BrokerAway));
}

#[test]
fn what_the_broker_refuses_is_no_subscription() {
    let mut setup = Setup::default();
    setup.options.refuse_subscribe.insert("no".to_owned(), codec_mqtt::ReasonCode::NOT_AUTHORIZED);
    let mut world = World::new(&setup);
    world.open(1);
    world.send(1, &connect("dev", 0));
    let ask = Ask::Subscribe { id: "dev", filter: filter("no"), qos: Qos::AtMostOnce };
    assert_eq!(world.query(&ask), Answer::Done, "under way");
    let Answer::Subscriptions(rows) = world.query(&Ask::Subscriptions { id: "dev" }) else { panic!() };
    assert_eq!(rows.len(), 1);
}
