//! What the command line takes and refuses.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn parsed(line: &str) -> Result<Args, String> {
    let words = std::iter::once("bench").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.args).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_loopback_and_the_standard_ports() {
    let args = parsed("connect").unwrap();
    assert_eq!(args.gateway.to_string(), "127.0.0.1:1884");
    assert_eq!(args.common.broker.to_string(), "127.0.0.1:1883");
    assert_eq!((args.common.duration, args.common.silence), (Duration::from_secs(120), Duration::from_secs(5)));
    assert_eq!((args.scenario.name(), args.common.json), ("connect", false));
}

#[test]
fn what_all_scenarios_have_stands_before_or_after_the_scenario() {
    for line in ["--json --gateway h:7 --pid 3 up", "up --json --gateway h:7 --pid 3"] {
        let args = parsed(line).unwrap();
        assert_eq!((args.gateway.to_string(), args.common.json, args.common.pid), ("h:7".into(), true, Some(3)));
    }
}

#[test]
fn qos_minus_one_is_taken_with_and_without_an_equals_sign() {
    for line in ["up --qos=-1", "up --qos -1"] {
        match parsed(line).unwrap().scenario {
            Scenario::Up(up) => assert_eq!(up.qos, Qos::MinusOne),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_load_is_bounded() {
    for refused in [
        "connect --clients 0",
        "connect --clients 1000001",
        "up --messages 0",
        "up --messages 1000000001",
        "up --payload 23",
        "up --payload 1401",
        "up --rate 10000001",
        "up --qos 3",
        "down --qos 2",
        "idle --hold 2h",
        "idle --ping 500ms",
        "connect --duration 61m",
        "connect --duration 30",
        "connect --tick 2s",
        "connect --gateway 127.0.0.1",
        "connect --broker-password-file x",
        "storm",
        "",
    ] {
        assert!(parsed(refused).is_err(), "{refused}");
    }
    for taken in ["connect --clients 1000000", "up --rate 0", "idle --ping 600s --hold 1h", "connect --duration 1h"] {
        assert!(parsed(taken).is_ok(), "{taken}: {:?}", parsed(taken));
    }
}

#[test]
fn topic_arguments_are_parsed_at_the_edge() {
    assert_eq!(predefined("7=a/b=c"), Ok(Predefined { id: 7, name: "a/b=c".into() }));
    for refused in ["0=a", "65535=a", "7=", "7", "x=a"] {
        assert!(predefined(refused).is_err(), "{refused}");
    }
    assert_eq!(short("lt"), Ok(*b"lt"));
    for refused in ["l", "ltt", "a+", "ä", "a "] {
        assert!(short(refused).is_err(), "{refused}");
    }
}
