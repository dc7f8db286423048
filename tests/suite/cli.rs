//! Commands, exit codes, and what `check` and `config` print.

use crate::process::{Dir, tidegate};

const REFERENCE: &str = include_str!("../../config/reference.toml");

#[test]
fn three_mistakes_are_three_lines_and_exit_code_2() {
    let dir = Dir::new();
    let file = dir.write("t.toml", "[broker]\nulr = \"x\"\n[node]\nworkers = 1000\n[events]\nqos = \"high\"\n");
    let file = file.to_str().unwrap();
    let outcome = tidegate(&["check", file], &[]);
    assert_eq!((outcome.code, outcome.output.as_str()), (Some(2), ""));
    let expected = [
        format!("{file}:2:1: broker.ulr: unknown key (did you mean `url`?)"),
        format!("{file}:4:11: node.workers: expected 0 to 256, found the number 1000"),
    ];
    let lines: Vec<_> = outcome.errors.lines().collect();
    assert_eq!(lines[..2], expected);
    assert!(lines.len() == 3 && lines[2].starts_with(&format!("{file}:6:7: events.qos: ")), "{lines:?}");
}

#[test]
fn run_refuses_what_check_refuses() {
    let dir = Dir::new();
    let file = dir.write("t.toml", "[brokr]\n");
    let [checked, ran] = ["check", "run"].map(|command| {
        let option: &[&str] = if command == "run" { &["run", "-c"] } else { &["check"] };
        tidegate(&[option, &[file.to_str().unwrap()]].concat(), &[])
    });
    assert_eq!((checked.code, ran.code), (Some(2), Some(2)));
    assert_eq!(checked.errors, ran.errors);
}

#[test]
fn a_good_file_gets_a_line_and_exit_code_0() {
    let dir = Dir::new();
    let file = dir.write("t.toml", REFERENCE);
    let outcome = tidegate(&["check", file.to_str().unwrap()], &[]);
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    assert_eq!(outcome.output, format!("{}: ok", file.display()));
}

#[test]
fn what_is_hardly_meant_is_a_warning_and_no_failure() {
    let dir = Dir::new();
    let text = "[gateways.tcp.listeners.tcp.a]\naccess = []\n[[auth.chain]]\ntype = \"static\"\nusername = \"x\"\n";
    let file = dir.write("t.toml", text);
    for option in [["check"].as_slice(), &["check", "-c"]] {
        let outcome = tidegate(&[option, &[file.to_str().unwrap()]].concat(), &[]);
        assert_eq!((outcome.code, outcome.output), (Some(0), format!("{}: ok", file.display())));
        let lines: Vec<_> = outcome.errors.lines().collect();
        let expected =
            ["warning: auth.chain: no entry decides", "warning: gateways.tcp.listeners.tcp.a.access: nobody is heard"];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, beginning) in lines.iter().zip(expected) {
            assert!(line.starts_with(beginning), "{line}");
        }
    }
}

#[test]
fn a_missing_file_is_told_by_its_name() {
    for command in [["check"].as_slice(), &["run", "-c"], &["config", "-c"]] {
        let outcome = tidegate(&[command, &["nowhere.toml"]].concat(), &[]);
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.errors.starts_with("nowhere.toml: cannot read: "), "{}", outcome.errors);
    }
}

#[test]
fn files_of_tls_are_judged_together_with_everything_else() {
    let dir = Dir::new();
    let tls = "[broker.tls]\nca_file = \"no-ca.pem\"\ncert_file = \"no-cert.pem\"\nkey_file = \"no-key.pem\"\n";
    let file = dir.write("t.toml", &format!("[broker]\nulr = 1\nurl = \"mqtts://h\"\n{tls}[node]\nworkers = 1000\n"));
    let file = file.to_str().unwrap();
    let expected = [
        format!("{file}:2:1: broker.ulr: unknown key (did you mean `url`?)"),
        format!("{file}:5:11: broker.tls.ca_file: no-ca.pem: "),
        format!("{file}:6:13: broker.tls.cert_file: no-cert.pem: "),
        format!("{file}:7:12: broker.tls.key_file: no-key.pem: "),
        format!("{file}:9:11: node.workers: expected 0 to 256, found the number 1000"),
    ];
    for command in [["check"].as_slice(), &["run", "-c"]] {
        let outcome = tidegate(&[command, &[file]].concat(), &[]);
        assert_eq!((outcome.code, outcome.output.as_str()), (Some(2), ""));
        let lines: Vec<_> = outcome.errors.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, beginning) in lines.iter().zip(&expected) {
            assert!(line.starts_with(beginning), "{line}");
            assert_eq!(line.contains(" (looked for in /"), line.contains(".pem"), "{line}");
        }
    }
}

#[test]
fn the_default_configuration_is_the_reference_file() {
    let outcome = tidegate(&["config", "--default"], &[]);
    assert_eq!((outcome.code, outcome.output.as_str()), (Some(0), REFERENCE.trim_end()));
}

#[test]
fn the_environment_overrides_the_file_and_secrets_are_masked() {
    let dir = Dir::new();
    let file = dir.write("t.toml", "[broker]\nurl = \"mqtt://from-file\"\npassword = \"hunter2\"\n");
    let outcome = tidegate(&["config", "-c", file.to_str().unwrap()], &[("TIDEGATE__BROKER__URL", "mqtts://from-env")]);
    assert_eq!(outcome.code, Some(0));
    for line in ["url = \"mqtts://from-env:8883\"", "password = \"***\""] {
        assert!(outcome.output.lines().any(|printed| printed == line), "{line} in\n{}", outcome.output);
    }
    assert!(!outcome.output.contains("hunter2"));
    let wrong = tidegate(&["config"], &[("TIDEGATE__BROKER__URK", "x")]);
    assert_eq!(wrong.code, Some(2));
    assert_eq!(wrong.errors, "TIDEGATE__BROKER__URK: broker.urk: unknown key (did you mean `url`?)");
}

#[test]
fn what_is_printed_reads_back() {
    let printed = tidegate(&["config"], &[]).output;
    let dir = Dir::new();
    let file = dir.write("t.toml", &printed);
    assert_eq!(tidegate(&["config", "-c", file.to_str().unwrap()], &[]).output, printed);
}

#[test]
fn unknown_commands_and_options_are_bad_usage() {
    for arguments in [["fly"].as_slice(), &["run", "--fast"], &["check"], &["config", "--default", "-c", "x"]] {
        let outcome = tidegate(arguments, &[]);
        assert_eq!((outcome.code, outcome.output.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(outcome.errors.contains("Usage: tidegate"), "{}", outcome.errors);
    }
    let version = tidegate(&["--version"], &[]);
    assert_eq!(version.output, format!("tidegate {}", env!("CARGO_PKG_VERSION")));
}
