//! The scenarios against a gateway and broker in a few lines, which can lose and repeat.

mod fake;

use crate::failure::Failure;
use crate::load::mqttsn::args::Args;
use clap::Parser;
use fake::{Fake, Faults};
use serde_json::Value;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn run(fake: &Fake, line: &str) -> Result<Value, Failure> {
    let options = [
        format!("--gateway {}", fake.gateway),
        format!("--broker {}", fake.broker),
        "--retry 60ms".to_owned(),
        "--quiet 300ms".to_owned(),
        "--duration 30s".to_owned(),
    ];
    // An option given twice is an error: the line's own stand for the common ones.
    let given = |option: &str| option.split(' ').next().is_some_and(|name| line.contains(name));
    let common = options.iter().filter(|option| !given(option)).cloned().collect::<Vec<_>>().join(" ");
    let line = format!("bench {common} {line}");
    let args = Cli::try_parse_from(line.split_whitespace()).unwrap().args;
    super::measure(&args).map(|report| report.to_json())
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
    let failure = run(&fake, "up --clients 20 --messages 10").unwrap_err().to_string();
    let told = "gateway: CONNECT of 20 clients: 16 accepted, 4 refused (last return code 1, congestion: see --connect-rate), 0 unanswered";
    assert_eq!(failure, told);
}

#[test]
fn connects_keep_to_a_rate_where_one_is_given() {
    let fake = Fake::start(Faults::default());
    let report = run(&fake, "connect --clients 100 --connect-rate 200").unwrap();
    assert_eq!(counts(&report, ["accepted"]), [100]);
    assert!(report["rate"].as_f64() < Some(205.0) && report["seconds"].as_f64() > Some(0.48), "{report}");
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
    let report = run(&fake, "idle --clients 300 --hold 1s --ping 1s").unwrap();
    let [sent, answered, disconnected] = counts(&report, ["pingreq", "pingresp", "disconnected"]);
    assert!((100..=320).contains(&sent), "{sent}");
    assert_eq!((answered, disconnected), (sent, 0));
}

#[test]
fn a_gateway_that_never_answers_ends_every_run() {
    let fake = Fake::start(Faults { mute_after_connects: Some(0), ..Faults::default() });
    for scenario in ["connect --clients 3", "up --clients 3", "down --clients 3", "idle --clients 3"] {
        let failure = run(&fake, &format!("{scenario} --silence 150ms")).unwrap_err().to_string();
        let expected = format!("gateway: nothing answers at {} (waited 150ms)", fake.gateway);
        assert_eq!(failure, expected, "{scenario}");
    }
    // Silence of one client is not the gateway's.
    let fake = Fake::start(Faults { drop_connect: 1, ..Faults::default() });
    assert!(matches!(run(&fake, "connect --clients 3 --tries 2"), Ok(report) if report["ended_by"] == "failure"));
}

#[test]
fn a_port_where_nothing_listens_is_told_at_once() {
    let fake = Fake::start(Faults::default());
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = run(&fake, &format!("connect --gateway {gone} --silence 60s")).unwrap_err().to_string();
    assert_eq!(failure, format!("gateway: nothing listens at {gone}"));
}

#[test]
fn a_gateway_that_dies_while_clients_connect_is_reported_with_what_it_did() {
    let fake = Fake::start(Faults { mute_after_connects: Some(5), ..Faults::default() });
    let report = run(&fake, "connect --clients 20 --handshakes 2 --silence 150ms").unwrap();
    assert_eq!(counts(&report, ["accepted", "refused", "unanswered"]), [5, 0, 15]);
    assert_eq!(report["ended_by"], "failure");
    assert_eq!(report["problem"], format!("gateway: {} has been silent for 150ms", fake.gateway));
}

#[test]
fn a_gateway_that_dies_under_load_leaves_a_right_account() {
    for line in [
        "up --qos 0 --rate 4000",
        "up --qos 0 --rate 0",
        "up --qos 1 --rate 4000",
        "up --qos 2 --rate 0",
        "down --qos 0 --rate 4000",
        "down --qos 1 --rate 0",
    ] {
        let fake = Fake::start(Faults { mute_after_publishes: Some(100), ..Faults::default() });
        let report = run(&fake, &format!("{line} --clients 5 --messages 100000 --silence 300ms")).unwrap();
        assert_eq!(report["ended_by"], "failure", "{line}: {report}");
        let sent = if line.starts_with("up") { "sent" } else { "published" };
        let [sent, arrived, lost, duplicates] = counts(&report, [sent, "arrived", "lost", "duplicates"]);
        assert_eq!((arrived, duplicates), (100, 0), "{line}");
        assert!(lost > 0 && sent == arrived + lost && sent < 100_000, "{line}: {report}");
        if line.starts_with("up --qos 1") || line.starts_with("up --qos 2") {
            let keys = ["acknowledged", "acknowledged_lost", "unanswered"];
            let [acknowledged, acknowledged_lost, unanswered] = counts(&report, keys);
            assert_eq!((acknowledged + unanswered, acknowledged_lost), (sent, 0), "{line}: {report}");
        }
    }
}

#[test]
fn a_gateway_that_dies_after_the_last_message_was_sent_is_told_from_one_that_lost_it() {
    for line in ["up --qos 0 --rate 2000", "down --qos 0 --rate 2000"] {
        let faults = Faults { mute_after_publishes: Some(90), ..Faults::default() };
        let report = run(&Fake::start(faults), &format!("{line} --clients 5 --messages 100 --silence 900ms")).unwrap();
        assert_eq!((&report["ended_by"], &report["lost"]), (&"failure".into(), &10.into()), "{line}: {report}");
        let faults = Faults { drop_publish: 10, ..Faults::default() };
        let report = run(&Fake::start(faults), &format!("{line} --clients 5 --messages 100 --silence 900ms")).unwrap();
        assert_eq!((&report["ended_by"], &report["lost"]), (&"completion".into(), &10.into()), "{line}: {report}");
    }
}

#[test]
fn a_gateway_that_ends_all_sessions_ends_the_run() {
    let fake = Fake::start(Faults { disconnect_after_publishes: Some(50), ..Faults::default() });
    let report = run(&fake, "up --qos 1 --rate 0 --clients 5 --messages 10000").unwrap();
    assert_eq!(report["problem"], "gateway: it has ended the sessions of all clients");
    assert_eq!(counts(&report, ["sent", "arrived", "lost", "acknowledged", "disconnected"]), [55, 50, 5, 50, 5]);
}

#[test]
fn a_broker_that_closes_ends_the_run_with_what_had_arrived() {
    let fake = Fake::start(Faults { cut_after_publishes: Some(50), ..Faults::default() });
    let report = run(&fake, "up --qos 0 --rate 2000 --clients 5 --messages 100000").unwrap();
    assert_eq!((&report["ended_by"], &report["problem"]), (&"failure".into(), &"broker: closed the connection".into()));
    let [sent, arrived, lost] = counts(&report, ["sent", "arrived", "lost"]);
    assert!(arrived <= 50 && sent == arrived + lost, "{report}");

    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = run(&fake, &format!("up --broker {nowhere}")).unwrap_err().to_string();
    assert!(failure.starts_with(&format!("broker: no connection to {nowhere}: ")), "{failure}");
}

#[test]
fn a_message_that_was_acknowledged_and_never_came_is_told_apart() {
    let fake = Fake::start(Faults { embezzle: 10, ..Faults::default() });
    for qos in [1, 2] {
        let report = run(&fake, &format!("up --clients 5 --messages 200 --rate 0 --qos {qos}")).unwrap();
        assert_eq!(counts(&report, ["acknowledged", "lost", "acknowledged_lost"]), [200, 20, 20]);
    }
}

#[test]
fn the_duration_bounds_a_run_and_its_report_says_so() {
    let fake = Fake::start(Faults::default());
    let report = run(&fake, "up --clients 2 --messages 1000000 --rate 1000 --duration 1s").unwrap();
    assert_eq!(report["ended_by"], "duration");
    let [sent, arrived, lost] = counts(&report, ["sent", "arrived", "lost"]);
    assert!(sent > 0 && sent < 1000 && (arrived, lost) == (sent, 0), "{report}");
}

#[test]
fn a_report_has_the_shape_that_scripts_read() {
    let fake = Fake::start(Faults::default());
    let report = run(&fake, "up --clients 2 --messages 100 --qos 1").unwrap();
    assert_eq!((&report["scenario"], &report["ended_by"]), (&"up".into(), &"completion".into()));
    let latencies = ["p50", "p90", "p99", "p999", "max"].map(|at| format!("latency_{at}_us"));
    let figures = ["sent_rate", "arrival_rate", "loss", "generator_cpu_s", "generator_rss_per_client_b"];
    for key in figures.into_iter().chain(latencies.iter().map(String::as_str)) {
        assert!(report[key].is_f64(), "{key} in {report}");
    }
    let values = latencies.map(|key| report[key].as_f64().unwrap());
    assert!(values.is_sorted(), "{values:?}");
}
