//! Hundreds of devices, on datagrams and on connections, several shards and a broker, in virtual time, with loss, doubling,
//! reordering, broken connections, and a broker that crashes, forgets, and is slow. Devices move and sleep, wait to be let in, and the process
//! ends and comes back. Whatever goes wrong:
//!
//! * no acknowledged message is lost: the broker has it before the device is told;
//! * none is published twice at QoS 2 while the broker keeps its session; if it does not: duplicates, never loss;
//! * per topic, client and QoS the order is kept;
//! * of a raw TCP connection the broker gets what was written first, without gaps, and all that the gateway took; what
//!   comes for its device comes in order, and is not lost while the connection lives but for want of room; no connection
//!   leaks;
//! * a will is published when its client is lost, and not when it moves or says goodbye;
//! * who sleeps is sent nothing, and what came meanwhile is not lost but for want of room;
//! * where each device has an MQTT connection of its own, the same holds but for what no broker promises then (see
//!   [`World::per_device`]); each device has one in the end, and they are begun no faster than they may;
//! * no bound is exceeded, and no packet breaks the protocol: the broker of these tests panics if one does;
//! * once all is well again, everything finishes.
//!
//! A seed decides everything. `TIDEGATE_SIM_SEEDS=n` runs n of them per test instead of the default; a failing one says
//! how to replay it: `TIDEGATE_SIM_SEED=s`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops where something is wrong"
)]

mod checks;
mod device;
mod event;
mod finale;
mod judge;
mod lines;
mod network;
mod plan;
mod restarts;
mod shards;
mod spots;
mod streams;
mod troubles;
mod world;

use checks::Tally;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// Seeds per test.
const SEEDS: u64 = 18;

#[test]
fn while_the_broker_keeps_its_sessions_nothing_is_lost_or_doubled() {
    run_seeds(true);
}

#[test]
fn when_the_broker_forgets_its_sessions_nothing_acknowledged_is_lost() {
    run_seeds(false);
}

#[test]
fn a_seed_is_one_run() {
    let trace = |seed| {
        let mut world = World::new(seed, true);
        world.run();
        world.trace()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn with_a_connection_for_each_device_the_same_holds() {
    let mut sum = Tally::default();
    // They take their time: a third of the seeds.
    for seed in seeds().step_by(3) {
        let run = catch_unwind(AssertUnwindSafe(|| World::per_device(seed, true).run()));
        sum += run.unwrap_or_else(|_| {
            panic!("to replay: TIDEGATE_SIM_SEED={seed} cargo test -p tidegate-shard --test sim each_device")
        });
    }
    println!("{sum:?}");
    assert!(sum.own_links > 0 && sum.evicted > 0, "{sum:?}");
}

fn seeds() -> std::ops::RangeInclusive<u64> {
    let number =
        |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|e| panic!("{name}: {e}")));
    match number("TIDEGATE_SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("TIDEGATE_SIM_SEEDS").unwrap_or(SEEDS),
    }
}

fn run_seeds(keeps_sessions: bool) {
    let seeds = seeds();
    let mut sum = Tally::default();
    for seed in seeds.clone() {
        let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, keeps_sessions).run()));
        let tally = run.unwrap_or_else(|_| {
            let name = if keeps_sessions { "keeps" } else { "forgets" };
            panic!("to replay: TIDEGATE_SIM_SEED={seed} cargo test -p tidegate-shard --test sim {name}")
        });
        sum += tally;
    }
    println!("{} seeds: {sum:?}", seeds.end() - seeds.start() + 1);
    assert!(sum.acknowledged > 0 && sum.heard > 0, "{sum:?}");
    if seeds.end() - seeds.start() + 1 >= SEEDS {
        let streams = [sum.streamed, sum.commanded, sum.commands_dropped, sum.cuts, sum.handed_over, sum.shut_out];
        assert!(streams.iter().all(|count| *count > 0), "{sum:?}");
        let all = [sum.followed, sum.forwarded, sum.enveloped, sum.naps, sum.asked, sum.restarts, sum.held_too_many];
        assert!(all.iter().all(|count| *count > 0), "{sum:?}");
    }
}
