//! How many, how fast, and from where.

use super::{listening, with};
use crate::mqtt::MqttClient;
use crate::process::{Dir, Setup, fed};
use crate::tcp_device::TcpDevice;

#[test]
fn a_full_listener_accepts_and_closes() {
    let mut tidegate = listening(&[("MAX_CONNECTIONS", "2")]).start().ready();
    let first = TcpDevice::connect(tidegate.tcp(), "a");
    let mut second = TcpDevice::connect(tidegate.tcp(), "b");
    assert!(TcpDevice::new(tidegate.tcp()).is_closed());
    let line = tidegate.logged("reason=\"max_connections\"");
    assert!(line.contains("WARN") && line.contains("gateways.tcp.listeners.tcp.default"), "{line}");
    drop(first);
    tidegate.metric_until("tidegate_sessions{protocol=\"tcp\"", |sessions| sessions == 1);
    let _third = TcpDevice::connect(tidegate.tcp(), "c");
    second.ping();
}

#[test]
fn connections_beyond_the_rate_are_closed() {
    let tidegate = listening(&[("MAX_CONN_RATE", "5")]).start().ready();
    let mut devices: Vec<_> = (0..30).map(|_| TcpDevice::new(tidegate.tcp())).collect();
    let entered = devices.iter_mut().enumerate().filter_map(|(n, device)| {
        device.write(&crate::tcp_device::connect_frame(60, &[&format!("d{n}")]));
        device.frame()
    });
    let entered = entered.count();
    // The test may take several seconds on a busy machine, and each has its allowance.
    assert!((5..30).contains(&entered), "{entered}");
}

#[test]
fn who_may_not_connect_from_there_is_closed_and_a_reload_opens_to_it() {
    let file = |rules: &str| format!("[gateways.tcp.listeners.tcp.default]\naccess = {rules}\n");
    let mut tidegate = Setup::new().file(&file("[\"allow 10.0.0.0/8\", \"deny all\"]")).start().ready();
    assert!(TcpDevice::new(tidegate.tcp()).is_closed());
    tidegate.logged("reason=\"access\"");
    tidegate.rewrite(&file("[\"deny 10.0.0.0/8\", \"allow all\"]"));
    tidegate.signal("HUP");
    tidegate.logged("the configuration is reloaded");
    // Each shard hears of it by itself, and the kernel chooses the shard.
    let until = std::time::Instant::now() + crate::process::PATIENCE;
    let mut entered = 0;
    while entered < 8 {
        let mut device = TcpDevice::new(tidegate.tcp());
        device.write(&crate::tcp_device::connect_frame(60, &["pump"]));
        entered = if device.frame().is_some() { entered + 1 } else { 0 };
        assert!(std::time::Instant::now() < until, "the shards do not hear of it");
    }
}

#[test]
fn messages_beyond_the_limit_wait_in_the_devices_own_buffers() {
    let tidegate = listening(&[("PUBLISH_LIMIT", "5/1s")]).start().ready();
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    ops.subscribe("tcp/pump/up", 0);
    let mut device = TcpDevice::connect(tidegate.tcp(), "pump");
    let began = std::time::Instant::now();
    for n in 0..15 {
        device.publish(&n.to_string());
    }
    let heard: Vec<_> = (0..15).map(|_| ops.message().payload).collect();
    assert_eq!(heard, (0..15).map(|n: u8| n.to_string()).collect::<Vec<_>>(), "all of them, in order");
    assert!(began.elapsed() >= std::time::Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[test]
fn credentials_are_judged_and_rules_hold() {
    let dir = Dir::new();
    let users = dir.path("users.txt").to_str().unwrap().to_owned();
    assert_eq!(fed(&["passwd", &users, "ann"], "right\n").code, Some(0));
    let rules = "[{ permit = 'deny', who = { client = 'mute' }, action = 'publish', topics = ['tcp/#'] }]";
    let setup = with(&[]).set("AUTH__CHAIN", &format!("[{{ type = 'file', path = '{users}' }}]"));
    let mut tidegate = setup.set("AUTH__TIMEOUT", "60s").set("ACL__RULES", rules).start().ready();
    for fields in [&["pump"][..], &["pump", "ann"], &["pump", "ann", "wrong"], &["pump", "bob", "right"]] {
        let (head, text) = TcpDevice::new(tidegate.tcp()).refused(fields);
        assert!(head == 0x21 && !text.is_empty(), "{fields:?}: {head:x} {text}");
    }
    let line = tidegate.logged("not let in");
    for part in ["WARN", "client_id=\"pump\"", "username=\"", "peer=127.0.0.1:", "reason=\""] {
        assert!(line.contains(part), "{line}");
    }
    let mut ops = MqttClient::connect("ops", tidegate.broker_port());
    ops.subscribe("tcp/+/up", 0);
    let [mut pump, mut mute] = [(); 2].map(|()| TcpDevice::new(tidegate.tcp()));
    mute.enter(&["mute", "ann", "right"]);
    pump.enter(&["pump", "ann", "right"]);
    mute.publish("unheard");
    mute.ping();
    pump.publish("heard");
    assert_eq!(ops.message().payload, "heard");
    assert_eq!(tidegate.metric("tidegate_acl_denied_total{action=\"publish\"}"), 1);
}
