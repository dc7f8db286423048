//! `tidegate bench` against gateways of ours with the embedded broker.

use serde_json::Value;

use crate::mqtt::MqttClient;
use crate::process::{Outcome, Setup, Tidegate, Tool, tidegate};

/// The words of a load on this gateway and the broker inside it.
fn words(gateway: &Tidegate, line: &str) -> Vec<String> {
    let (address, broker) = (gateway.mqttsn(), gateway.broker_port());
    let line = format!("bench mqttsn {line} --json --gateway {address} --broker 127.0.0.1:{broker}");
    line.split_whitespace().map(str::to_owned).collect()
}

fn bench(gateway: &Tidegate, line: &str) -> Outcome {
    let words = words(gateway, line);
    tidegate(&words.iter().map(String::as_str).collect::<Vec<_>>(), &[])
}

fn bench_tcp(gateway: &Tidegate, line: &str) -> Value {
    let (address, broker) = (gateway.tcp(), gateway.broker_port());
    let line = format!("bench tcp {line} --json --gateway {address} --broker 127.0.0.1:{broker}");
    let outcome = tidegate(&line.split_whitespace().collect::<Vec<_>>(), &[]);
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""), "{line}");
    report(&outcome)
}

/// Standard output must be one JSON object and nothing else.
fn report(outcome: &Outcome) -> Value {
    assert_eq!(outcome.output.lines().count(), 1, "{outcome:?}");
    serde_json::from_str(&outcome.output).unwrap()
}

fn counts<const N: usize>(report: &Value, keys: [&str; N]) -> [u64; N] {
    keys.map(|key| report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report}")))
}

#[test]
fn publications_of_every_qos_arrive_whole_and_cost_what_the_process_used() {
    let gateway = Setup::new().start().ready();
    for qos in ["0", "1", "2"] {
        let pid = gateway.id();
        let line = format!("up --qos {qos} --clients 20 --messages 400 --rate 2000 --pid {pid} --broker-pid {pid}");
        let outcome = bench(&gateway, &line);
        assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
        let report = report(&outcome);
        assert_eq!((&report["scenario"], &report["qos"]), (&"up".into(), &qos.into()));
        assert_eq!(report["ended_by"], "completion");
        assert_eq!(counts(&report, ["sent", "arrived", "lost", "duplicates", "foreign"]), [400, 400, 0, 0, 0]);
        for figure in ["latency_p50_us", "latency_p999_us", "latency_max_us", "gateway_rss_per_client_b"] {
            assert!(report[figure].is_f64(), "{figure} in {report}");
        }
        for figure in ["gateway_cpu_s_per_100k", "gateway_user_s_per_100k", "broker_cpu_s", "generator_cpu_s"] {
            assert!(report[figure].is_f64(), "{figure} in {report}");
        }
    }
    assert_eq!(gateway.metric("tidegate_sessions{protocol=\"mqttsn\",state=\"active\"}"), 0, "they said good-bye");
}

#[test]
fn publications_of_qos_minus_one_and_messages_down_are_counted() {
    let gateway = Setup::new().start().ready();
    let minus_one = report(&bench(&gateway, "up --qos=-1 --short ab --clients 5 --messages 200 --rate 2000"));
    assert_eq!(counts(&minus_one, ["sent", "arrived", "lost"]), [200, 200, 0]);
    // The embedded broker loses messages of QoS 1 when it has more to do than it can.
    for line in ["down --qos 1 --clients 10 --messages 200 --rate 200", "down --clients 10 --messages 20 --fan-out"] {
        let report = report(&bench(&gateway, line));
        assert_eq!(counts(&report, ["lost", "duplicates", "foreign"]), [0, 0, 0], "{line}");
        assert_eq!(report["arrived"], 200, "{line}");
    }
}

#[test]
fn sessions_are_opened_and_kept() {
    let gateway = Setup::new().set("GATEWAYS__MQTTSN__LISTENERS__UDP__DEFAULT__MAX_CONN_RATE", "0").start().ready();
    let connect = report(&bench(&gateway, &format!("connect --clients 2000 --pid {}", gateway.id())));
    assert_eq!(counts(&connect, ["accepted", "refused", "unanswered"]), [2000, 0, 0]);
    let idle = report(&bench(&gateway, "idle --clients 200 --hold 1s --ping 1s"));
    let [sent, answered, disconnected] = counts(&idle, ["pingreq", "pingresp", "disconnected"]);
    assert!(sent > 0 && (answered, disconnected) == (sent, 0), "{idle}");
}

#[test]
fn a_gateway_that_is_killed_under_load_leaves_a_report_and_exit_code_1() {
    let gateway = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", gateway.broker_port());
    listener.subscribe("bench/up/#", 0);
    let words = words(&gateway, "up --qos 1 --clients 10 --messages 1000000 --rate 1000 --silence 1s --quiet 500ms");
    let tool = Tool::start(&words.iter().map(String::as_str).collect::<Vec<_>>());
    // The load has begun.
    listener.message();
    gateway.signal("KILL");
    let outcome = tool.outcome();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let report = report(&outcome);
    assert_eq!(report["ended_by"], "failure");
    let problem = report["problem"].as_str().unwrap();
    assert_eq!(outcome.errors.trim(), format!("tidegate: {problem}"));
    let [sent, arrived, lost, acknowledged] = counts(&report, ["sent", "arrived", "lost", "acknowledged"]);
    assert!(arrived > 0 && sent == arrived + lost && acknowledged <= sent && sent < 1_000_000, "{report}");
}

#[test]
fn an_interrupted_load_is_reported_and_its_sessions_are_closed() {
    let gateway = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", gateway.broker_port());
    listener.subscribe("bench/up/#", 0);
    let words = words(&gateway, "up --clients 10 --messages 1000000 --rate 500");
    let tool = Tool::start(&words.iter().map(String::as_str).collect::<Vec<_>>());
    listener.message();
    tool.signal("INT");
    let outcome = tool.outcome();
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    let report = report(&outcome);
    assert_eq!(report["ended_by"], "interrupt");
    let [sent, arrived, lost] = counts(&report, ["sent", "arrived", "lost"]);
    assert!(sent > 0 && (arrived, lost) == (sent, 0), "{report}");
    assert_eq!(gateway.metric("tidegate_sessions{protocol=\"mqttsn\",state=\"active\"}"), 0);
}

#[test]
fn where_nothing_listens_a_load_fails_at_once_and_says_so() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let outcome = tidegate(&["bench", "mqttsn", "connect", "--gateway", &free], &[]);
    let expected = format!("tidegate: gateway: nothing listens at {free}");
    assert_eq!((outcome.code, outcome.output.as_str(), outcome.errors.as_str()), (Some(1), "", expected.as_str()));
    // For a script the same as JSON.
    let outcome = tidegate(&["bench", "mqttsn", "connect", "--json", "--gateway", &free], &[]);
    assert_eq!((outcome.code, &report(&outcome)["ended_by"]), (Some(1), &"failure".into()));
    // A socket that nobody reads.
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let outcome = tidegate(&["bench", "mqttsn", "connect", "--gateway", &address, "--silence", "200ms"], &[]);
    let expected = format!("tidegate: gateway: nothing answers at {address} (waited 200ms)");
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(1), expected.as_str()));
}

#[test]
fn a_command_line_that_asks_for_nonsense_is_exit_code_2() {
    for line in ["bench", "bench mqttsn", "bench mqttsn storm", "bench mqttsn up --qos 7", "bench coap up"] {
        let outcome = tidegate(&line.split(' ').collect::<Vec<_>>(), &[]);
        assert_eq!((outcome.code, outcome.output.as_str()), (Some(2), ""), "{line}");
        assert!(outcome.errors.contains("--help"), "{line}: {}", outcome.errors);
    }
    let outcome =
        tidegate(&["bench", "mqttsn", "down", "--fan-out", "--clients", "1000000", "--messages", "1000000"], &[]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.errors.starts_with("tidegate: 1000000000000 arrivals"), "{}", outcome.errors);
}

#[test]
fn messages_of_sockets_arrive_whole_one_a_write_or_many_and_reach_the_devices() {
    let gateway = Setup::new().start().ready();
    for pipeline in [1, 20] {
        let (pid, load) = (gateway.id(), "up --clients 20 --messages 400 --rate 4000");
        let report = bench_tcp(&gateway, &format!("{load} --pipeline {pipeline} --pid {pid} --broker-pid {pid}"));
        assert_eq!((&report["scenario"], &report["framing"]), (&"up".into(), &"emqx".into()));
        assert_eq!(
            counts(&report, ["sent", "arrived", "lost", "duplicates", "foreign", "closed"]),
            [400, 400, 0, 0, 0, 0]
        );
        for figure in ["gateway_cpu_s_per_100k", "broker_cpu_s", "latency_p99_us", "gateway_rss_per_client_b"] {
            assert!(report[figure].is_f64(), "{figure} in {report}");
        }
    }
    let report = bench_tcp(&gateway, "down --qos 1 --clients 10 --messages 200 --rate 200");
    assert_eq!(counts(&report, ["published", "arrived", "lost", "duplicates", "foreign"]), [200, 200, 0, 0, 0]);
    assert_eq!(gateway.metric("tidegate_sessions{protocol=\"tcp\",state=\"active\"}"), 0, "they said good-bye");
}

#[test]
fn sockets_are_connected_and_kept_alive() {
    let gateway = Setup::new().set("GATEWAYS__TCP__LISTENERS__TCP__DEFAULT__MAX_CONN_RATE", "0").start().ready();
    let connect = bench_tcp(&gateway, &format!("connect --clients 500 --pid {}", gateway.id()));
    assert_eq!(counts(&connect, ["accepted", "refused", "unanswered", "closed"]), [500, 0, 0, 0]);
    let idle = bench_tcp(&gateway, "idle --clients 100 --hold 1s --ping 1s");
    let [sent, answered, closed] = counts(&idle, ["ping", "pong", "closed"]);
    assert!(sent > 0 && (answered, closed) == (sent, 0), "{idle}");
}

#[test]
fn devices_that_speak_lines_are_a_load_too() {
    let gateway = Setup::new()
        .set("GATEWAYS__TCP__LISTENERS__TCP__DEFAULT__FRAMING", "line")
        .set("GATEWAYS__TCP__LISTENERS__TCP__DEFAULT__CLIENT_ID", "first-frame")
        .start()
        .ready();
    for line in ["up --clients 5 --messages 200 --rate 2000", "down --clients 5 --messages 100 --rate 200"] {
        let report = bench_tcp(&gateway, &format!("{line} --framing line"));
        assert_eq!(counts(&report, ["lost", "duplicates", "foreign"]), [0, 0, 0], "{report}");
        assert!(report["arrived"].as_u64() >= Some(100), "{report}");
    }
}
