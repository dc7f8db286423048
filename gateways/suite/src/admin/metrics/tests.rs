//! The text, and `docs/metrics.md` against everything that is counted.

use super::*;
use std::collections::BTreeSet;

use bridge_core::config::LinkMode;
use bridge_core::meter::Counts;
use config::Config;
use transport::broker::Target;
use transport::{Clock, Driver};

use crate::access::Access;
use crate::wiring::{self, Node};

const THINGS: Family = Family { name: "tidegate_things_total", help: "Things", kind: Kind::Counter };
const ROOM: Family = Family { name: "tidegate_room", help: "Room", kind: Kind::Gauge };

bridge_core::count! {
    enum Thing {
        Good = THINGS { kind: "good" };
        Bad = THINGS { kind: "bad", reason: "odd" };
        Room = ROOM {};
    }
}

#[test]
fn one_series_of_several_shards_is_one() {
    let shards = [Counts::<Thing>::default(), Counts::<Thing>::default()];
    shards[0].add(Thing::Good, 2);
    shards[1].add(Thing::Good, 3);
    shards[1].set(Thing::Room, 7);
    let meters: Vec<_> = shards.iter().map(Counts::meter).collect();
    let text = text(meters.iter(), 1_700_000_000).unwrap();
    for line in [
        "# TYPE tidegate_things counter",
        "# HELP tidegate_things Things.",
        "tidegate_things_total{kind=\"good\"} 5",
        "tidegate_things_total{kind=\"bad\",reason=\"odd\"} 0",
        "# TYPE tidegate_room gauge",
        "tidegate_room 7",
        "tidegate_start_time_seconds 1700000000",
    ] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line} in\n{text}");
    }
    assert!(text.contains(&format!("tidegate_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

/// The meters of all parts of a shard that runs every gateway.
fn all_meters() -> Vec<Arc<Meter>> {
    let mut config = Config::default();
    // It counts all that the other mode does, and more.
    config.broker.link.mode = LinkMode::PerDevice;
    let any = "127.0.0.1:0".parse().unwrap();
    config.gateways.mqttsn.listeners.udp.values_mut().for_each(|listener| listener.bind = any);
    config.gateways.tcp.listeners.tcp.values_mut().for_each(|listener| listener.common.bind = any);
    let listeners = wiring::bind(&config, 1).unwrap();
    let target = Target::tcp("127.0.0.1", 1);
    let node = Node { config: &config, name: "north", workers: 1, targets: [target].into() };
    let access = Access::start(&config, "north").unwrap();
    let one = wiring::shards(&node, listeners, None, &access, || Ok(1)).unwrap().shards.pop().unwrap();
    let mut meters = one.shard.meters();
    meters.push(access.meter());
    meters.extend(one.machine_meters);
    meters.push(crate::admin::guard::Guard::new(None, "north").meter());
    meters.push(store::Writer::new(Box::new(store::MemoryStore::default()), 1).0.meter());
    let runtime = crate::worker::runtime().unwrap();
    let _inside = runtime.enter();
    meters.extend(Driver::new(Clock::start(), one.shard, one.driver).unwrap().meters());
    meters
}

/// A row of the table in `docs/metrics.md`.
fn row(family: &Family, labels: &[String]) -> String {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    format!("| `{}` | {kind} | {} | {} |", family.name, labels.join(" · "), family.help)
}

/// `name`: values, for each label that any series of the family has.
fn labels_of(series: &BTreeMap<Labels, u64>) -> Vec<String> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in series.keys().copied().flatten() {
        values.entry(name).or_default().insert(value);
    }
    let label = |(name, values): (&&str, &BTreeSet<&str>)| {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        format!("`{name}`: {}", values.join(" "))
    };
    values.iter().map(label).collect()
}

#[test]
fn the_document_names_every_family_with_its_labels_and_no_other() {
    let meters = all_meters();
    let mut expected: Vec<_> =
        add_up(meters.iter()).values().map(|(family, series)| row(family, &labels_of(series))).collect();
    expected.push(row(&BUILD_INFO, &["`version`".to_owned()]));
    expected.push(row(&START_TIME, &[]));
    expected.sort();
    let document = include_str!("../../../../../docs/metrics.md");
    let found: Vec<_> = document.lines().filter(|line| line.starts_with("| `tidegate_")).collect();
    let missing: Vec<_> = expected.iter().filter(|row| !found.contains(&row.as_str())).cloned().collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks\n{}", missing.join("\n"));
    assert_eq!(found, expected, "docs/metrics.md has rows of nothing that is counted, or in another order");
}
