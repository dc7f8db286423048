//! What is said while a link is between two connections of our own making.

use super::world::{CLEAN, KEPT, World, message};
use crate::auth::AuthRules;
use crate::bridge::Notice;
use crate::link::Wish;
use crate::publication::Publication;
use crate::topic::TopicFilter;
use crate::uplink::{Taken, Token, Uplink};
use codec_mqtt::Qos;
use support::broker::{Crash, Message, Options};

#[test]
fn another_will_while_the_broker_has_yet_to_answer_does_not_hide_that_it_has_lost_the_session() {
    let mut world = World::new(Options::new());
    let (lamp, link) = world.enter(7, "lamp", KEPT);
    world.subscribe(lamp, 9, "a");
    world.broker.crash(Crash { keep_sessions: false, keep_retained: true });
    world.go_down();
    world.broker.set_up();
    while !matches!(world.bridge.link(link).unwrap().wish(), Wish::Open { .. }) {
        world.settle();
        world.now.mono_ms = world.bridge.next_deadline().unwrap().0.max(world.now.mono_ms + 1);
        world.bridge.timer(world.now);
        world.bridge.settle(world.now);
    }
    world.open(link);
    world.say(lamp, Uplink::SetWill(Some(message("will", "gone", Qos::AtMostOnce))));
    world.wait(1000);
    assert!(world.bridge.link(link).unwrap().has_will_in_force());
    assert_eq!(world.broker.filters("lamp").collect::<Vec<_>>(), ["site/a"]);
    world.broker.publish(Message::new("site/a", "x", Qos::AtLeastOnce));
    world.settle();
    assert_eq!(world.texts(7), ["a x"]);
}

#[test]
fn who_wakes_before_its_connection_has_gone_waits_for_the_next() {
    let mut world = World::new(Options::new());
    let (lamp, link) = world.enter(7, "lamp", KEPT);
    assert_eq!(world.bridge.up(world.now, lamp, Uplink::Doze), Taken::Done);
    assert_eq!(world.bridge.up(world.now, lamp, Uplink::Wake), Taken::Owed);
    world.wait(1000);
    assert!(matches!(world.notices[..], [Notice::Awake { outcome: Ok(()), .. }]), "{:?}", world.notices);
    assert!(world.bridge.link(link).unwrap().is_online());
}

#[test]
fn what_a_client_wants_to_be_rid_of_is_bounded_while_the_broker_is_away() {
    let mut world = World::new(Options::new());
    let (lamp, _) = world.enter(7, "lamp", KEPT);
    world.go_down();
    for number in 0..1030 {
        let text = format!("f/{number}");
        let filter = TopicFilter::try_from(text.as_str()).unwrap();
        let unsubscribe = Uplink::Unsubscribe { token: Token::NONE, filter };
        assert_eq!(world.bridge.up(world.now, lamp, unsubscribe), Taken::Done);
    }
    assert_eq!(world.counted("tidegate_queue_dropped_total", "requests"), 6);
}

#[test]
fn a_will_asks_for_no_more_than_the_broker_takes() {
    let mut world = World::new(Options { maximum_qos: Qos::AtLeastOnce, retain_available: false, ..Options::new() });
    let (lamp, link) = world.enter(7, "lamp", CLEAN);
    let will = Publication { retain: true, ..message("will", "gone", Qos::ExactlyOnce) };
    world.say(lamp, Uplink::SetWill(Some(will)));
    let begun = world.begun.len();
    world.say(lamp, Uplink::SetWill(Some(will)));
    assert_eq!(world.begun.len(), begun, "the same again is nothing new");
    world.cut(link);
    let told: Vec<_> = world.broker.accepted().iter().filter(|m| m.will).map(|m| (m.qos, m.retain)).collect();
    assert_eq!(told, [(Qos::AtLeastOnce, false)]);
}

#[test]
fn a_subscription_waits_while_the_broker_is_told_of_a_will() {
    let mut world = World::with(Options::new(), 1, AuthRules::default());
    let (lamp, _) = world.enter(7, "lamp", KEPT);
    world.say(lamp, Uplink::SetWill(Some(message("will", "gone", Qos::AtMostOnce))));
    assert_eq!(world.begun.len(), 1, "its turn is in a second");
    let (token, filter, qos) = (Token(9), TopicFilter::try_from("a").unwrap(), Qos::AtLeastOnce);
    assert_eq!(world.up(lamp, Uplink::Subscribe { token, filter, qos, retained: true }), Taken::Owed);
    world.notices.clear();
    world.wait(1001);
    let granted = Ok(Qos::AtLeastOnce);
    assert!(matches!(world.notices[..], [Notice::Subscribed { token: Token(9), granted: g, .. }] if g == granted));
}
