//! Keys of `[broker]` and `[events]`, line by line.

use settings::{Document, Settings};

use super::*;

/// The problems of a text, without place.
fn problems(settings: &mut dyn Settings, text: &str) -> Vec<String> {
    let mut document = Document::parse("f", text);
    document.read(settings, &mut |_| Ok("from the file\n".into()));
    let problems = document.finish().err().unwrap_or_default();
    problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
}

#[test]
fn what_is_written_reads_back() {
    let mut again = BrokerConfig { max_inflight: 7, client_id_prefix: "x".into(), ..BrokerConfig::default() };
    assert_eq!(problems(&mut again, &settings::to_toml(&mut BrokerConfig::default())), [""; 0]);
    assert_eq!(again, BrokerConfig::default());
}

#[test]
#[rustfmt::skip]
fn values_out_of_range_are_refused() {
    for (text, expected) in [
        ("mode = \"per_device\"",         "mode: expected \"shared\" or \"per-device\", found \"per_device\""),
        ("connect_rate = -1",             "connect_rate: expected a whole number from 0 to 4294967295, found the number -1"),
        ("bind = [\"127.0.0.2:1\"]",      "bind[0]: expected an address without a port, like \"127.0.0.1\", \"0.0.0.0\" or \"[::]\", found \"127.0.0.2:1\""),
        ("tls.alpn = \"mqtt\"",           "tls.alpn: expected an array, like [\"…\", \"…\"], found \"mqtt\""),
        ("tls.alpn = [\"mqtt\", \"\"]",   "tls.alpn[1]: \"\" is empty: a protocol's name has 1 to 255 octets"),
        ("queue.dir = \"\"",              "queue.dir: not in this version"),
        ("queue.segment_bytes = \"10MB\"", "queue.segment_bytes: not in this version"),
        ("max_inflight = 0",              "max_inflight: expected 1 to 65535, found the number 0"),
        ("keepalive = \"19h\"",           "keepalive: expected \"0s\" to \"65535s\", found \"19h\""),
        ("max_packet_size = \"256MB\"",   "max_packet_size: expected \"1KB\" to \"255MB\", found \"256MB\""),
        ("client_id_prefix = \"\"",       "client_id_prefix: \"\" is empty: client ids begin with it"),
        ("client_id_prefix = \"a/b\"",    "client_id_prefix: \"a/b\" holds '/', which would break out of its topic level"),
        ("protocol = \"4\"",              "protocol: expected \"5\" or \"3.1.1\", found \"4\""),
        ("queue.overflow = \"block\"",    "queue.overflow: expected \"drop-oldest-qos0\", found \"block\""),
        ("ssl.ca_file = \"x\"",           "ssl: is EMQX's name: here it is `tls`"),
    ] {
        assert_eq!(problems(&mut BrokerConfig::default(), text), [expected]);
    }
    for (text, expected) in [
        ("qos = 3",               "qos: expected 0 to 2, found the number 3"),
        ("prefix = \"a/#\"",      "prefix: \"a/#\" is no topic prefix: character '#' is not allowed here"),
        ("prefix = \"a/%c\"",     "prefix: \"a/%c\" asks for the client id of a client, but only %n is known here"),
    ] {
        assert_eq!(problems(&mut EventsConfig::default(), text), [expected]);
    }
}

#[test]
fn the_name_of_a_protocol_has_1_to_255_octets() {
    assert_eq!(ProtocolName::try_from("x-amzn-mqtt-ca").unwrap().as_str(), "x-amzn-mqtt-ca");
    assert_eq!(ProtocolName::try_from("x".repeat(255).as_str()).unwrap().as_str().len(), 255);
    let too_long = ProtocolName::try_from("x".repeat(256).as_str());
    assert_eq!(too_long, Err("has 256 octets: a protocol's name has 1 to 255".into()));
}

#[test]
fn connections_of_devices_have_a_rate_and_may_be_spread_over_addresses() {
    let mut broker = BrokerConfig::default();
    let text = "mode = \"per-device\"\nconnect_rate = 0\nbind = [\"127.0.0.2\", \"[::1]\"]\ntls.alpn = [\"mqtt\"]";
    assert_eq!(problems(&mut broker, text), [""; 0]);
    assert_eq!((broker.mode, broker.connect_rate), (LinkMode::PerDevice, 0));
    assert_eq!(broker.bind, ["127.0.0.2", "::1"].map(|address| address.parse::<IpAddr>().unwrap()));
    assert_eq!(broker.tls.alpn, [ProtocolName::try_from("mqtt").unwrap()]);
}

#[test]
fn urls_take_the_place_of_url() {
    let mut broker = BrokerConfig::default();
    assert_eq!(broker.servers(), [BrokerUrl::Embedded]);
    assert_eq!(problems(&mut broker, "urls = [\"mqtt://a\", \"mqtts://b\"]\npassword_file = \"p\""), [""; 0]);
    assert_eq!(
        broker.servers().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["mqtt://a:1883", "mqtts://b:8883"]
    );
    assert_eq!(broker.password.expose(), "from the file");
}
