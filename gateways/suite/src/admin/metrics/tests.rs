//! The text, and `docs/metrics.md` against everything that is counted.

use super::*;
use std::collections::BTreeSet;

use bridge_core::meter::{Count, Counts};

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
