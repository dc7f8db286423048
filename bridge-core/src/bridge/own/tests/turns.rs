//! Many at once: who connects when, and what it costs.

use super::world::{CLEAN, KEPT, World};
use crate::auth::AuthRules;
use crate::bridge::LinkId;
use crate::bridge::own::OwnLinks;
use crate::uplink::{Admission, Refusal, Taken};
use support::broker::Options;

fn paced(rate: u32) -> World {
    World::with(Options::new(), rate, AuthRules::default())
}

#[test]
fn the_rate_is_shared_by_the_shards() {
    let parts = |rate, shards| (0..shards).map(|n| OwnLinks::part_of(rate, n, shards)).collect::<Vec<_>>();
    assert_eq!(parts(500, 1), [500]);
    assert_eq!(parts(500, 3), [167, 167, 166]);
    assert_eq!((parts(0, 2), parts(1, 3)), (vec![0, 0], vec![1, 1, 1]));
}

#[test]
fn connections_begin_no_faster_than_the_rate_and_who_waits_too_long_hears_so() {
    let mut world = paced(10);
    for n in 0..100 {
        assert_eq!(world.ask(n, &format!("d{n}"), CLEAN), Admission::Parked);
    }
    assert_eq!(world.ask(100, "d100", CLEAN), Admission::Parked);
    world.settle();
    assert_eq!(world.verdict(100), Some(Err(Refusal::Busy)), "10 s of waiting are enough");
    assert_eq!(world.counted("tidegate_client_links_refused_total", "busy"), 1);
    world.bridge.gauge();
    assert_eq!(world.counted("tidegate_client_links", "waiting"), 99);
    world.wait(9_900);
    assert_eq!(world.begun.len(), 100);
    assert!(world.begun.windows(2).all(|pair| pair[1] - pair[0] == 100), "{:?}", world.begun);
    assert!((0..100).all(|n| world.verdict(n).is_some_and(|verdict| verdict.is_ok())));
}

#[test]
fn after_the_brokers_restart_all_come_back_at_the_rate_and_who_knocks_is_heard_meanwhile() {
    let mut world = paced(50);
    let clients: Vec<_> = (0..40)
        .map(|n| {
            let (client, link) = world.enter(n, &format!("d{n}"), KEPT);
            world.wait(20);
            (client, link)
        })
        .collect();
    world.go_down();
    world.wait(20_000);
    let tried = world.begun.len();
    world.wait(20_000);
    assert!(world.begun.len() - tried < 10, "they leave it to the shard's link to look for the broker");
    world.broker.set_up();
    world.begun.clear();
    while !world.bridge.is_reachable() {
        world.wait(10);
    }
    let since = world.now.mono_ms;
    assert_eq!(world.ask(99, "new", CLEAN), Admission::Parked);
    world.wait(100);
    assert!(world.verdict(99).is_some_and(|verdict| verdict.is_ok()), "before those who come back");
    world.wait(30_000);
    let online = |link: LinkId| world.bridge.lines.get(link).is_some_and(|line| line.link.is_online());
    assert!(clients.iter().all(|(_, link)| online(*link)));
    let last = *world.begun.last().unwrap();
    assert!(last - since <= 2000, "41 connections at 50 a second: {} ms", last - since);
    for (client, _) in clients {
        assert_eq!(world.publish(client, 1, "x"), Taken::Owed);
    }
}
