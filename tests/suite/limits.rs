//! What a session may publish, and whom a listener hears, with datagrams.

use std::net::IpAddr;
use std::time::Instant;

use codec_mqttsn::{Message, Qos, ReturnCode, Topic};

use crate::process::{PATIENCE, Setup};
use crate::sn::Device;

const BEFORE: &str = "
[gateways.mqttsn.listeners.udp.default]
bind = 0
publish_limit = \"2/h\"
access = [\"deny 127.0.0.9\", \"allow all\"]
";

const AFTER: &str = "
[gateways.mqttsn.listeners.udp.default]
bind = 0
access = [\"deny 127.0.0.1\", \"allow 127.0.0.0/8\"]
";

fn publish(device: &mut Device) -> ReturnCode {
    device.send_publish(Topic::Short(*b"ab"), "1", Qos::AtLeastOnce, false);
    device.puback().1
}

#[test]
fn limits_and_access_hold_and_sighup_changes_them() {
    let mut tidegate = Setup::new().file(BEFORE).start().ready();
    let [one, nine] = [1, 9].map(|last| IpAddr::from([127, 0, 0, last]));
    let mut device = Device::connect_from(one, tidegate.mqttsn(), "lamp");
    let codes = [(); 3].map(|()| publish(&mut device));
    assert_eq!(codes, [ReturnCode::Accepted, ReturnCode::Accepted, ReturnCode::Congestion]);
    assert_eq!(tidegate.metric("tidegate_limited_total{reason=\"publish_limit\"}"), 1);
    let unheard = "tidegate_listener_refused_total{type=\"datagram\",reason=\"access\"}";
    let stranger = Device::at(nine, tidegate.mqttsn());
    stranger.send(&Message::SearchGw { radius: 0 });
    tidegate.metric_until(unheard, |dropped| dropped == 1);
    tidegate.rewrite(AFTER);
    tidegate.signal("HUP");
    tidegate.logged("the configuration is reloaded");
    // Each shard hears of it by itself.
    let until = Instant::now() + PATIENCE;
    loop {
        device.send(&Message::Pingreq { client_id: None });
        if tidegate.metric(unheard) > 1 {
            break;
        }
        assert!(Instant::now() < until, "the shard does not hear of it");
    }
    let mut device = Device::at(nine, tidegate.mqttsn());
    assert_eq!(device.try_connect("lamp", true), ReturnCode::Accepted);
    assert!((0..10).all(|_| publish(&mut device) == ReturnCode::Accepted));
}
