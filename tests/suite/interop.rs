//! MQTT-SN clients of other people, driven by the scripts in `tests/interop/mqttsn`.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::mqtt::MqttClient;
use crate::process::{Lines, Setup, Tidegate, skip};

/// The Python that has the clients; `None` when it lacks this module.
fn python(module: &str) -> Option<OsString> {
    let python = std::env::var_os("TIDEGATE_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    skip(&format!("no Python module {module} (TIDEGATE_PYTHON names the Python that has it)"))
}

/// A script against a gateway. It is killed when it goes out of scope.
struct Script {
    child: Child,
    lines: Lines,
}

impl Script {
    fn run(python: &OsString, script: &str, gateway: &Tidegate, more: &[&str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/mqttsn").join(script);
        let address = gateway.mqttsn();
        let mut command = Command::new(python);
        command.arg(path).args([address.ip().to_string(), address.port().to_string()]).args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("python starts");
        let lines = Lines::of(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    fn says(&mut self, line: &str) {
        assert!(self.lines.find(|said| said == line).is_some(), "no {line:?} among {:?}", self.lines.seen);
    }

    fn ends_well(mut self) {
        while self.lines.next().is_some() {}
        assert!(self.child.wait().expect("it is our child").success(), "{:?}", self.lines.seen);
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn mqtt_sn_12_publishes_with_every_qos() {
    let Some(python) = python("mqttsn12") else { return };
    let tidegate = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    for filter in ["interop/#", "ab", "cd"] {
        listener.subscribe(filter, 2);
    }
    Script::run(&python, "mqtt_sn_12_publish.py", &tidegate, &[]).ends_well();
    let mut heard: Vec<_> = (0..6)
        .map(|_| listener.message())
        .map(|message| format!("{} {} {} {}", message.topic, message.payload, message.qos, message.retain))
        .collect();
    heard.sort();
    let expected = [
        "ab short 1 false",
        "cd qos -1 0 false",
        "interop/kept retained 1 true",
        "interop/up qos 0 0 false",
        "interop/up qos 1 1 false",
        "interop/up qos 2 2 false",
    ];
    assert_eq!(heard, expected);
    assert_eq!(tidegate.metric("tidegate_faults_total"), 0);
}

#[test]
fn mqtt_sn_12_hears_names_wildcards_and_short_topics() {
    let Some(python) = python("mqttsn12") else { return };
    let tidegate = Setup::new().start().ready();
    let mut script = Script::run(&python, "mqtt_sn_12_listen.py", &tidegate, &["3"]);
    script.says("subscribed");
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    for (topic, payload) in [("interop/down", "one"), ("interop/any/thing", "two"), ("ef", "three")] {
        ops.publish(topic, payload, false);
        script.says(&format!("{topic} {payload}"));
    }
    script.ends_well();
    assert_eq!(tidegate.metric("tidegate_faults_total"), 0);
}

#[test]
fn the_rsmb_client_hears_itself_and_publishes_without_a_connection() {
    let Some(python) = python("mqttsn") else { return };
    let tidegate = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", tidegate.broker_port());
    listener.subscribe("interop/inline", 0);
    let mut script = Script::run(&python, "rsmb_client.py", &tidegate, &[]);
    script.says("heard to myself");
    script.ends_well();
    assert_eq!(listener.message().payload, "from a stranger");
    assert_eq!(tidegate.metric("tidegate_faults_total"), 0);
}
