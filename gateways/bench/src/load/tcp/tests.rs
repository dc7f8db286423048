//! The scenarios against a gateway and broker in a few lines, which can lose, repeat and close.

mod fake;

use crate::failure::Failure;
use crate::load::tcp::args::Args;
use clap::Parser;
use fake::{Fake, Faults};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use serde_json::Value;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn run(fake: &Fake, line: &str) -> Result<Value, Failure> {
    let (gateway, broker) = (fake.gateway, fake.broker);
    let gateway = if line.contains("--gateway") { String::new() } else { format!("--gateway {gateway}") };
    let line = format!("bench {line} {gateway} --broker {broker} --quiet 300ms --duration 30s");
    let args = Cli::try_parse_from(line.split_whitespace()).unwrap().args;
    super::measure(&args).map(|report| report.to_json())
}

/// The counts by these names.
fn counts<const N: usize>(report: &Value, keys: [&str; N]) -> [u64; N] {
    keys.map(|key| report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report}")))
}

#[test]
fn every_client_connects_with_its_user_name_and_leaves() {
    let fake = Fake::start(Faults::default());
    let report = run(&fake, &format!("connect --clients 300 --username u-%c --pid {}", std::process::id())).unwrap();
    let keys = ["clients", "accepted", "refused", "unanswered", "closed"];
    assert_eq!(counts(&report, keys), [300, 300, 0, 0, 0]);
    assert_eq!(fake.left(), 300);
    let mut users: Vec<_> = fake.users().into_iter().flatten().collect();
    users.sort_unstable();
    users.dedup();
    assert_eq!(users.len(), 300);
    assert!(users.iter().all(|user| user.starts_with(&format!("u-bench-{:x}-", std::process::id()))), "{users:?}");
    assert!(report["gateway_rss_per_client_b"].is_number() && report["connack_p99_us"].is_number(), "{report}");
    assert!(report.get("gateway_socket_drops").is_none(), "streams drop nothing");
}

#[test]
fn who_is_refused_or_closed_upon_is_counted_and_no_load_is_made_without_them() {
    let fake = Fake::start(Faults { refuse_connect: 5, ..Faults::default() });
    let report = run(&fake, "connect --clients 20").unwrap();
    assert_eq!(counts(&report, ["accepted", "refused", "last_return_code"]), [16, 4, 1]);
    let failure = run(&fake, "up --clients 20 --messages 10").unwrap_err().to_string();
    let told = "gateway: CONNECT of 20 clients: 16 accepted, 4 refused (last return code 1, not let in), 0 unanswered";
    assert_eq!(failure, told);

    let fake = Fake::start(Faults { close_connect: 10, ..Faults::default() });
    let report = run(&fake, "connect --clients 20").unwrap();
    assert_eq!(counts(&report, ["accepted", "refused", "last_return_code"]), [18, 2, 255]);
}

#[test]
fn messages_up_are_counted_once_in_either_framing_one_or_many_a_write() {
    for (framing, lines) in [("emqx", false), ("line", true)] {
        let fake = Fake::start(Faults { lines, ..Faults::default() });
        for line in ["--rate 5000", "--rate 0", "--rate 0 --window 3 --pipeline 10", "--rate 5000 --pipeline 20"] {
            let before = fake.reads();
            let report = run(&fake, &format!("up --framing {framing} --clients 7 --messages 500 {line}")).unwrap();
            let keys = ["sent", "arrived", "lost", "duplicates", "reordered", "foreign", "closed"];
            assert_eq!(counts(&report, keys), [500, 500, 0, 0, 0, 0, 0], "{framing} {line}");
            let reads = fake.reads() - before;
            assert!(!line.contains("pipeline") || reads <= 100, "{reads} reads of {framing} {line}");
        }
    }
}

#[test]
fn a_topic_on_which_nothing_arrives_ends_the_run_with_what_to_look_at() {
    let fake = Fake::start(Faults { drop_data: 1, ..Faults::default() });
    let report = run(&fake, "up --clients 2 --messages 10 --rate 2000").unwrap();
    assert_eq!(counts(&report, ["sent", "arrived", "lost"]), [10, 0, 10]);
    let problem = report["problem"].as_str().unwrap();
    assert!(problem.contains("nothing arrived at tcp/+/up: is --topic where the gateway"), "{problem}");
}

#[test]
fn a_rate_at_which_no_write_fills_up_is_refused() {
    let fake = Fake::start(Faults::default());
    let failure = run(&fake, "up --rate 100 --pipeline 64").unwrap_err();
    assert_eq!(failure.to_string(), "--rate 100: 64 messages a write come about at 3151 a second or more");
    assert!(failure.is_usage());
}

#[test]
fn loss_and_repetition_on_the_way_show() {
    let fake = Fake::start(Faults { drop_data: 10, double_data: 4, ..Faults::default() });
    for line in ["up --rate 0", "up --rate 2000", "down --rate 2000"] {
        let report = run(&fake, &format!("{line} --clients 5 --messages 200")).unwrap();
        // Every 20th is dropped and not doubled.
        assert_eq!(counts(&report, ["arrived", "lost", "duplicates"]), [180, 20, 40], "{line}");
        assert_eq!((&report["loss"], &report["ended_by"]), (&10.0.into(), &"completion".into()), "{line}");
    }
}

#[test]
fn messages_down_are_counted_at_the_client_they_are_meant_for() {
    for (framing, lines) in [("emqx", false), ("line", true)] {
        let fake = Fake::start(Faults { lines, ..Faults::default() });
        for line in ["--qos 0", "--qos 1", "--qos 0 --rate 0", "--qos 1 --rate 0 --window 10"] {
            let report = run(&fake, &format!("down --framing {framing} --clients 7 --messages 500 {line}")).unwrap();
            let keys = ["published", "arrived", "lost", "duplicates", "reordered", "foreign"];
            assert_eq!(counts(&report, keys), [500, 500, 0, 0, 0, 0], "{framing} {line}");
        }
    }
}

#[test]
fn clients_that_hear_nothing_from_the_broker_make_no_load() {
    let fake = Fake::start(Faults { deaf: 4, ..Faults::default() });
    let failure = run(&fake, "down --clients 8 --messages 10 --silence 300ms").unwrap_err().to_string();
    assert_eq!(failure, "gateway: 2 of 8 clients hear nothing that is published to tcp/%c/dn");
}

#[test]
fn idle_clients_are_all_answered_and_lines_have_no_ping() {
    let fake = Fake::start(Faults::default());
    let report = run(&fake, "idle --clients 100 --hold 1s --ping 1s").unwrap();
    let [sent, answered, closed] = counts(&report, ["ping", "pong", "closed"]);
    assert!((50..=110).contains(&sent), "{sent}");
    assert_eq!((answered, closed), (sent, 0));
    assert!(run(&fake, "idle --framing line").unwrap_err().is_usage());
}

#[test]
fn a_gateway_that_never_answers_or_falls_silent_ends_the_run() {
    let fake = Fake::start(Faults { mute_after_connects: Some(0), ..Faults::default() });
    for scenario in ["connect --clients 3", "up --clients 3", "down --clients 3", "idle --clients 3"] {
        let failure = run(&fake, &format!("{scenario} --silence 150ms")).unwrap_err().to_string();
        assert!(failure.starts_with("gateway: "), "{scenario}: {failure}");
    }
    let fake = Fake::start(Faults { mute_after_connects: Some(5), ..Faults::default() });
    let report = run(&fake, "connect --clients 20 --handshakes 2 --silence 150ms").unwrap();
    assert_eq!(counts(&report, ["accepted", "refused", "unanswered"]), [5, 0, 15]);
    assert_eq!(report["ended_by"], "failure");
    assert_eq!(report["problem"], format!("gateway: {} has been silent for 150ms", fake.gateway));
}

#[test]
fn a_port_where_nothing_listens_is_told_at_once() {
    let fake = Fake::start(Faults::default());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = run(&fake, &format!("connect --gateway {gone} --silence 60s")).unwrap_err().to_string();
    assert_eq!(failure, format!("gateway: nothing listens at {gone}"));
}

#[test]
fn a_gateway_that_closes_all_connections_ends_the_run_with_what_had_arrived() {
    let fake = Fake::start(Faults { close_after_data: Some(50), ..Faults::default() });
    let report = run(&fake, "up --rate 0 --clients 5 --messages 10000").unwrap();
    assert_eq!(report["problem"], "gateway: it has closed all connections");
    let [sent, arrived, lost, closed] = counts(&report, ["sent", "arrived", "lost", "closed"]);
    assert_eq!((arrived, closed), (50, 5), "{report}");
    assert!(sent == arrived + lost && (55..100).contains(&sent), "{report}");
}

/// A certificate for 127.0.0.1 that vouches for itself, as an acceptor and as a file.
fn certificate() -> (SslAcceptor, std::path::PathBuf) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut cert = X509::builder().unwrap();
    cert.set_version(2).unwrap();
    cert.set_pubkey(&key).unwrap();
    cert.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    cert.set_not_after(&Asn1Time::from_unix(4_102_444_800).unwrap()).unwrap();
    cert.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&cert.x509v3_context(None, None)).unwrap();
    cert.append_extension(names).unwrap();
    cert.sign(&key, MessageDigest::sha256()).unwrap();
    let cert = cert.build();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate(&cert).unwrap();
    acceptor.set_private_key(&key).unwrap();
    let path = std::env::temp_dir().join(format!("tidegate-bench-tls-{}.pem", std::process::id()));
    std::fs::write(&path, cert.to_pem().unwrap()).unwrap();
    (acceptor.build(), path)
}

#[test]
fn clients_speak_tls_to_a_gateway_that_they_trust() {
    let (acceptor, path) = certificate();
    let fake = Fake::start_with(Faults::default(), Some(acceptor));
    let ca = path.display().to_string();
    for trust in [format!("--ca {ca}"), "--insecure".to_owned()] {
        let report = run(&fake, &format!("up --tls {trust} --clients 5 --messages 200 --rate 0 --payload 1000"));
        let report = report.unwrap();
        assert_eq!(counts(&report, ["sent", "arrived", "lost"]), [200, 200, 0]);
        assert_eq!(report["tls"], true);
    }
    let nobody = std::env::temp_dir().join(format!("tidegate-bench-nobody-{}.pem", std::process::id()));
    std::fs::write(&nobody, "").unwrap();
    assert!(run(&fake, &format!("connect --clients 3 --tls --ca {}", nobody.display())).unwrap_err().is_usage());
    let untrusted = run(&fake, "connect --clients 3 --tls").unwrap_err().to_string();
    assert!(untrusted.starts_with("gateway: the gateway's certificate is not trusted: "), "{untrusted}");
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(nobody).unwrap();
}
