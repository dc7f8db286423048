//! How it stops.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use codec_mqttsn::{Qos, Topic};

use crate::mosquitto::Mosquitto;
use crate::mqtt::MqttClient;
use crate::process::{Setup, Tidegate, pause};
use crate::sn::{Device, Stream};

#[test]
fn either_signal_ends_it_with_exit_code_0_well_within_its_time() {
    for signal in ["TERM", "INT"] {
        let tidegate = Setup::new().start().ready();
        let _device = Device::connect(tidegate.mqttsn(), "lamp");
        let asked = Instant::now();
        tidegate.signal(signal);
        let (code, log) = tidegate.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(asked.elapsed() < Duration::from_secs(10), "SIG{signal}: {:?}", asked.elapsed());
        assert!(log.contains("stopped"), "{log}");
    }
}

#[test]
fn a_device_whose_session_ends_with_the_process_is_told() {
    let tidegate = Setup::new().start().ready();
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    tidegate.signal("TERM");
    device.await_disconnect();
    assert_eq!(tidegate.end().0, Some(0));
}

#[test]
fn what_devices_published_before_the_signal_gets_through() {
    let Some(broker) = Mosquitto::start("") else { return };
    let mut listener = MqttClient::connect("listener", broker.port);
    listener.subscribe("last/#", 1);
    listener.subscribe("tidegate/north/status", 1);
    let tidegate = Setup::new().broker(broker.port).set("NODE__NAME", "north").start().ready();
    assert_eq!(listener.message().payload, "online");
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    let topic = device.register("last/words");
    let mut stream = Stream::default();
    stream.run(&mut device, topic, 100);
    // It is answered, so that what went before has been taken; the last ones may not be acknowledged yet.
    device.publish(Topic::Normal(topic), "end", Qos::AtMostOnce, false);
    device.register("any/thing");
    tidegate.signal("TERM");
    assert_eq!(tidegate.end().0, Some(0));
    let mut heard: Vec<_> = std::iter::repeat_with(|| listener.message().payload).take(102).collect();
    assert_eq!(heard.pop().as_deref(), Some("offline"), "the node says goodbye after everything else");
    let end = heard.iter().position(|payload| payload == "end").expect("QoS 0 too");
    heard.remove(end);
    let numbers: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(heard, numbers, "each once and in order");
}

#[test]
fn a_broker_that_never_answers_does_not_hold_it_up() {
    // It takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let tidegate = Setup::new().broker(port).set("NODE__SHUTDOWN_TIMEOUT", "1s").set("EVENTS__PREFIX", "").start();
    owe(&tidegate);
    let asked = Instant::now();
    tidegate.signal("TERM");
    let (code, log) = tidegate.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(log.contains("stopped before the broker had taken everything messages=1"), "{log}");
}

/// Makes the gateway owe its broker a message, and no event besides.
fn owe(tidegate: &Tidegate) {
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    device.send_publish(Topic::Short(*b"hi"), "x", Qos::AtLeastOnce, false);
    while tidegate.metric("tidegate_queue_messages") == 0 {
        pause();
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let mut tidegate = Setup::new().broker(port).set("NODE__SHUTDOWN_TIMEOUT", "5m").set("EVENTS__PREFIX", "").start();
    // So that the first signal does not end it.
    owe(&tidegate);
    tidegate.signal("TERM");
    tidegate.logged("stopping");
    tidegate.signal("TERM");
    let (code, log) = tidegate.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
}

#[test]
fn sighup_ends_nothing() {
    let mut tidegate = Setup::new().start().ready();
    tidegate.signal("HUP");
    tidegate.logged("the configuration is reloaded");
    assert_eq!(tidegate.get("/healthz").0, 200);
}
