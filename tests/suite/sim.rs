//! `tidegate sim` on gateways of ours with the embedded broker.

use serde_json::Value;

use crate::mqtt::MqttClient;
use crate::process::{Setup, Tool, tidegate};

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"))
}

#[test]
fn readings_reach_the_broker_until_the_duration_is_over() {
    let gateway = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", gateway.broker_port());
    listener.subscribe("field/+/t", 1);
    let address = gateway.mqttsn().to_string();
    let line =
        "sim mqttsn --devices 3 --prefix lab- --topic field/%c/t --interval 200ms --duration 1s --json --gateway";
    let words: Vec<_> = line.split(' ').chain([address.as_str()]).collect();
    let outcome = tidegate(&words, &[]);
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    let lines: Vec<_> = outcome.output.lines().map(json).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!((of("connected"), of("subscribed"), of("left"), of("unanswered")), (3, 3, 3, 0));
    let published = of("published");
    assert!(published >= 3, "{published}");
    assert_eq!(
        (&lines.last().unwrap()["event"], &lines.last().unwrap()["published"]),
        (&"summary".into(), &published.into())
    );
    // All that was told to be published was, in the order of each device.
    let mut last = [0; 3];
    for _ in 0..published {
        let message = listener.message();
        let device: usize =
            message.topic.strip_prefix("field/lab-").unwrap().strip_suffix("/t").unwrap().parse().unwrap();
        let reading = json(&message.payload);
        assert!((0.0..45.0).contains(&reading["temperature"].as_f64().unwrap()), "{reading}");
        last[device - 1] += 1;
        assert_eq!(reading["n"], last[device - 1], "{message:?}");
    }
    assert_eq!(gateway.metric("tidegate_sessions{protocol=\"mqttsn\",state=\"active\"}"), 0, "they said good-bye");
}

#[test]
fn a_command_reaches_the_device_it_is_for_and_ctrl_c_is_a_polite_end() {
    let gateway = Setup::new().start().ready();
    let address = gateway.mqttsn().to_string();
    let mut sim = Tool::start(&["sim", "mqttsn", "--devices", "2", "--interval", "1h", "--gateway", &address]);
    sim.output.find(|line| line.ends_with("sim-2     subscribed to sim/sim-2/command")).expect("a subscription");
    let mut ops = MqttClient::connect("ops", gateway.broker_port());
    ops.publish("sim/sim-2/command", "{\"fan\":\"on\"}", false);
    let told = sim.output.find(|line| line.contains("received")).expect("the command");
    assert!(told.ends_with("sim-2     received sim/sim-2/command {\"fan\":\"on\"}"), "{told}");
    sim.signal("INT");
    let outcome = sim.outcome();
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    assert_eq!(outcome.output.lines().filter(|line| line.ends_with("  left")).count(), 2, "{}", outcome.output);
    assert_eq!(gateway.metric("tidegate_sessions{protocol=\"mqttsn\",state=\"active\"}"), 0);
}

#[test]
fn a_sleeping_device_gets_its_command_when_it_wakes() {
    let gateway = Setup::new().start().ready();
    let address = gateway.mqttsn().to_string();
    let line = "sim mqttsn --devices 1 --interval 1h --sleep 2s --gateway";
    let mut sim = Tool::start(&line.split(' ').chain([address.as_str()]).collect::<Vec<_>>());
    sim.output.find(|line| line.ends_with("asleep for 2 s")).expect("sleep");
    let mut ops = MqttClient::connect("ops", gateway.broker_port());
    ops.publish("sim/sim-1/command", "on", false);
    sim.output.find(|line| line.ends_with("received sim/sim-1/command on")).expect("the command");
    sim.output.find(|line| line.ends_with("asleep for 2 s")).expect("sleep again");
    let seen = sim.output.seen.join("\n");
    assert!(seen.contains("  awake\n") && !seen.contains("disconnected"), "{seen}");
    assert_eq!(seen.matches("  connected\n").count(), 1, "PINGREQ alone fetches it: {seen}");
    sim.signal("INT");
    assert_eq!(sim.outcome().code, Some(0));
}

#[test]
fn the_will_of_simulated_devices_that_are_killed_is_published() {
    let gateway = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", gateway.broker_port());
    listener.subscribe("gone/#", 1);
    let address = gateway.mqttsn().to_string();
    let line = "sim mqttsn --devices 1 --keep-alive 1s --will=gone/%c=lost --gateway";
    let mut sim = Tool::start(&line.split(' ').chain([address.as_str()]).collect::<Vec<_>>());
    sim.output.find(|line| line.contains("published")).expect("a reading");
    sim.signal("KILL");
    let message = listener.message();
    assert_eq!((message.topic.as_str(), message.payload.as_str()), ("gone/sim-1", "lost"));
}

#[test]
fn quiet_devices_say_nothing_and_no_gateway_is_a_failure() {
    let gateway = Setup::new().start().ready();
    let address = gateway.mqttsn().to_string();
    let outcome =
        tidegate(&["sim", "mqttsn", "-q", "--devices", "2", "--duration", "500ms", "--gateway", &address], &[]);
    assert_eq!((outcome.code, outcome.output.as_str(), outcome.errors.as_str()), (Some(0), "", ""));

    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = mute.local_addr().unwrap().to_string();
    let line = ["sim", "mqttsn", "-q", "--devices", "2", "--duration", "200ms", "--tries", "1", "--retry", "100ms"];
    let outcome = tidegate(&[&line[..], &["--gateway", &nobody]].concat(), &[]);
    let expected = format!("tidegate: gateway: {nobody} took none of the devices");
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(1), expected.as_str()));
    drop(mute);
    let outcome = tidegate(&["sim", "mqttsn", "--gateway", &nobody], &[]);
    let expected = format!("tidegate: gateway: nothing listens at {nobody}");
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(1), expected.as_str()));
    assert_eq!(tidegate(&["sim", "mqttsn", "--qos", "3"], &[]).code, Some(2));
}

#[test]
fn sockets_send_readings_hear_commands_and_leave_politely() {
    let gateway = Setup::new().start().ready();
    let mut listener = MqttClient::connect("listener", gateway.broker_port());
    listener.subscribe("tcp/+/up", 1);
    let address = gateway.tcp().to_string();
    let line = "sim tcp --devices 2 --prefix lab- --interval 1h --gateway";
    let mut sim = Tool::start(&line.split(' ').chain([address.as_str()]).collect::<Vec<_>>());
    let mut topics = [listener.message(), listener.message()].map(|message| {
        assert!(json(&message.payload)["temperature"].is_f64(), "{message:?}");
        message.topic
    });
    topics.sort_unstable();
    assert_eq!(topics, ["tcp/lab-1/up", "tcp/lab-2/up"]);
    let mut ops = MqttClient::connect("ops", gateway.broker_port());
    ops.publish("tcp/lab-2/dn", "{\"fan\":\"on\"}", false);
    let told = sim.output.find(|line| line.contains("received")).expect("the command");
    assert!(told.ends_with("lab-2     received {\"fan\":\"on\"}"), "{told}");
    sim.signal("INT");
    let outcome = sim.outcome();
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    assert_eq!(outcome.output.lines().filter(|line| line.ends_with("  left")).count(), 2, "{}", outcome.output);
    assert_eq!(gateway.metric("tidegate_sessions{protocol=\"tcp\",state=\"active\"}"), 0);
}

#[test]
fn sockets_that_nobody_lets_in_are_a_failure() {
    let gateway = Setup::new().set("AUTH__ALLOW_ANONYMOUS", "false").start().ready();
    let address = gateway.tcp().to_string();
    let outcome = tidegate(&["sim", "tcp", "--devices", "2", "--duration", "500ms", "--gateway", &address], &[]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.output.contains("not let in: "), "{}", outcome.output);
    assert_eq!(outcome.errors, format!("tidegate: gateway: {address} took none of the devices"));
}
