//! The scenarios against a gateway and broker in a few lines, which can lose and repeat.

mod fake;

use crate::args::{Args, Scenario};
use crate::failure::Failure;
use crate::{connect, down, idle, up};
use clap::Parser as _;
use fake::{Fake, Faults};
use serde_json::Value;

fn run(fake: &Fake, line: &str) -> Result<Value, Failure> {
    let addresses =
        format!("--gateway {} --broker {} --retry-ms 60 --quiet-ms 300 --deadline 30", fake.gateway, fake.broker);
    let args = Args::try_parse_from(format!("load {line} {addresses}").split_whitespace()).unwrap();
    let report = match &args.scenario {
        Scenario::Connect(scenario) => connect::run(&args.common, scenario),
        Scenario::Up(scenario) => up::run(&args.common, scenario),
        Scenario::Down(scenario) => down::run(&args.common, scenario),
        Scenario::Idle(scenario) => idle::run(&args.common, scenario),
    };
    report.map(|report| report.to_json())
}

/// The counts by these names.
fn counts<const N: usize>(report: &Value, keys: [&str; N]) -> [u64; N] {
    keys.map(|key| report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report}")))
}

#[test]
fn every_client_connects_and_memory_is_shared_among_them() {
    let fake = Fake::start(Faults::default());
    let own = std::process::id();
    let report = run(&fake, &format!("connect --clients 700 --pid {own}")).unwrap();
    assert_eq!(counts(&report, ["clients", "accepted", "refused", "unanswered"]), [700, 700, 0, 0]);
    assert_eq!(fake.connected(), 700);
    assert!(report["gateway_rss_per_client_b"].is_number() && report["connack_p99_us"].is_number(), "{report}");
}

#[test]
fn a_lost_connect_is_sent_again_and_a_refused_one_is_reported() {
    let fake = Fake::start(Faults { drop_connect: 3, ..Faults::default() });
    let report = run(&fake, "connect --clients 20 --handshakes 4").unwrap();
    assert_eq!(counts(&report, ["accepted", "refused", "unanswered"]), [20, 0, 0]);
    assert!(report["retransmitted"].as_u64() >= Some(6), "{report}");

    let fake = Fake::start(Faults { refuse_connect: 5, ..Faults::default() });
    let report = run(&fake, "connect --clients 20").unwrap();
    assert_eq!(counts(&report, ["accepted", "refused", "last_return_code"]), [16, 4, 1]);
    assert!(matches!(run(&fake, "up --clients 20 --messages 10"), Err(Failure::Gateway(_))));
}

#[test]
fn uplink_messages_are_counted_once_at_every_qos_and_in_every_topic_form() {
    let fake = Fake::start(Faults::default());
    for (line, qos) in [
        ("--qos 0", "0"),
        ("--qos 0 --rate 0", "0"),
        ("--qos 1", "1"),
        ("--qos 1 --rate 0 --window 3", "1"),
        ("--qos 2 --rate 0", "2"),
        ("--qos=-1", "-1"),
        ("--qos=-1 --predefined 7=fixed", "-1"),
        ("--qos 1 --short ab", "1"),
    ] {
        let report = run(&fake, &format!("up --clients 7 --messages 500 {line}")).unwrap();
        assert_eq!(report["qos"], qos);
        let expected = [500, 500, 0, 0, 0, 0];
        assert_eq!(
            counts(&report, ["sent", "arrived", "lost", "duplicates", "reordered", "foreign"]),
            expected,
            "{line}"
        );
        if ["1", "2"].contains(&qos) {
            assert_eq!(counts(&report, ["acknowledged", "unanswered"]), [500, 0], "{line}");
        }
    }
}

#[test]
fn loss_on_the_way_up_shows_at_qos_0_and_is_made_good_at_qos_1_and_2() {
    let fake = Fake::start(Faults { drop_publish: 10, ..Faults::default() });
    let report = run(&fake, "up --clients 5 --messages 200 --qos 0").unwrap();
    assert_eq!(counts(&report, ["arrived", "lost"]), [180, 20]);
    assert_eq!(report["loss"], 10.0);
    let report = run(&fake, "up --clients 5 --messages 200 --qos 0 --rate 0").unwrap();
    assert_eq!(counts(&report, ["sent", "arrived", "lost"]), [200, 180, 20]);
    for qos in [1, 2] {
        let report = run(&fake, &format!("up --clients 5 --messages 200 --rate 0 --qos {qos}")).unwrap();
        assert_eq!(counts(&report, ["arrived", "lost", "duplicates", "acknowledged"]), [200, 0, 0, 200]);
        assert!(report["retransmitted"].as_u64() >= Some(20), "{report}");
    }
}

#[test]
fn a_gateway_that_publishes_twice_is_found_out() {
    let fake = Fake::start(Faults { double_publish: 4, ..Faults::default() });
    let report = run(&fake, "up --clients 5 --messages 200 --qos 1").unwrap();
    assert_eq!(counts(&report, ["arrived", "lost", "duplicates"]), [200, 0, 50]);
    let report = run(&fake, "down --clients 5 --messages 200 --qos 1").unwrap();
    assert_eq!(counts(&report, ["arrived", "lost", "duplicates"]), [200, 0, 50]);
}

#[test]
fn downlink_messages_are_counted_at_the_client_they_are_meant_for() {
    let fake = Fake::start(Faults::default());
    for line in ["--qos 0", "--qos 1", "--qos 0 --rate 0", "--qos 1 --rate 0 --window 10"] {
        let report = run(&fake, &format!("down --clients 7 --messages 500 {line}")).unwrap();
        let expected = [500, 500, 0, 0, 0, 0];
        assert_eq!(
            counts(&report, ["published", "arrived", "lost", "duplicates", "reordered", "foreign"]),
            expected,
            "{line}"
        );
    }
    let report = run(&fake, "down --clients 7 --messages 100 --fan-out").unwrap();
    assert_eq!(counts(&report, ["published", "arrived", "lost", "duplicates"]), [100, 700, 0, 0]);
}

#[test]
fn a_run_without_a_rate_ends_when_nothing_arrives_any_more() {
    let fake = Fake::start(Faults { drop_publish: 1, ..Faults::default() });
    let report = run(&fake, "up --clients 5 --messages 100000 --qos 0 --rate 0").unwrap();
    assert_eq!(counts(&report, ["arrived"]), [0]);
    assert!(report["sent"].as_u64() < Some(100), "{report}");
    let report = run(&fake, "down --clients 5 --messages 100000 --rate 0 --window 8").unwrap();
    assert_eq!(counts(&report, ["arrived"]), [0]);
    assert!(report["published"].as_u64() < Some(100), "{report}");
}

#[test]
fn idle_clients_are_all_answered() {
    let fake = Fake::start(Faults::default());
    let report = run(&fake, "idle --clients 300 --seconds 1 --ping 1").unwrap();
    let [sent, answered, disconnected] = counts(&report, ["pingreq", "pingresp", "disconnected"]);
    assert!((250..=320).contains(&sent), "{sent}");
    assert_eq!((answered, disconnected), (sent, 0));
}

#[test]
fn a_gateway_that_is_not_there_ends_the_run() {
    let fake = Fake::start(Faults { drop_connect: 1, ..Faults::default() });
    let report = run(&fake, "connect --clients 3 --tries 2").unwrap();
    assert_eq!(counts(&report, ["accepted", "unanswered", "retransmitted"]), [0, 3, 3]);
    assert!(matches!(run(&fake, "up --clients 3 --tries 2"), Err(Failure::Gateway(_))));
}
