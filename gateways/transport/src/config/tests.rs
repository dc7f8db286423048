use super::*;
use settings::{Document, HumanDuration, to_toml};

/// Protocol keys, as a gateway of streams has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Framing {
    framing: String,
}

impl Settings for Framing {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("framing", &mut self.framing);
    }
}

fn read_into<K: Settings + Default>(mut config: ListenersConfig<K>, text: &str) -> (ListenersConfig<K>, Vec<String>) {
    let mut document = Document::parse("f", text);
    document.read(&mut config, &mut |_| Ok(String::new()));
    let problems = document.finish().err().unwrap_or_default();
    (config, problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect())
}

fn read(text: &str) -> (ListenersConfig, Vec<String>) {
    read_into(ListenersConfig::standard_udp(1884), text)
}

fn streams() -> ListenersConfig<Framing> {
    ListenersConfig::standard_streams(8090, 8091)
}

#[test]
fn only_the_listeners_that_are_named_exist_and_what_they_leave_out_is_standard() {
    let (config, problems) = read("[udp.north]\nbind = \"[::]:1\"\n[udp.south]\nmax_connections = 5");
    assert_eq!(problems, [""; 0]);
    assert_eq!(config.udp.keys().collect::<Vec<_>>(), ["north", "south"]);
    assert_eq!(config.udp["north"].bind, "[::]:1".parse().unwrap());
    assert_eq!(config.udp["south"], ListenerConfig { max_connections: 5, ..ListenerConfig::on(1884) });
    assert_eq!(read("").0, ListenersConfig::standard_udp(1884));
    assert_eq!(ListenerConfig::on(1884).policy(), ListenerPolicy::default());
}

#[test]
fn a_gateway_of_streams_has_a_plain_listener_unless_listeners_of_any_kind_are_named() {
    let names = |text| -> Vec<String> {
        let (config, problems) = read_into(streams(), text);
        assert_eq!(problems, [""; 0], "{text}");
        config.all().map(|(kind, name, listener)| format!("{kind} {name} {}", listener.bind)).collect()
    };
    assert_eq!(names(""), ["tcp default 8090"]);
    assert_eq!(names("[tls.a]"), ["tls a 8091"]);
    assert_eq!(names("[tls.a]\n[tcp.c]\n[tcp.b]\nbind = 7"), ["tcp b 7", "tcp c 8090", "tls a 8091"]);
}

#[test]
fn the_keys_of_the_protocol_stand_among_those_of_the_listener() {
    let (config, problems) = read_into(streams(), "[tcp.a]\nframing = \"line\"\nhigh_watermark = \"1MB\"");
    assert_eq!(problems, [""; 0]);
    assert_eq!((config.tcp["a"].protocol.framing.as_str(), config.tcp["a"].high_watermark.bytes()), ("line", 1 << 20));
}

#[test]
fn a_listener_of_streams_reads_back_as_it_is_written() {
    let text = "[tls.a]\nproxy_protocol = true\nsend_timeout = \"3s\"\nframing = \"x\"\n[tls.a.tls]\n\
                cert_file = \"c\"\nkey_file = \"k\"\nca_file = \"a\"\nverify = \"optional\"\n\
                versions = [\"1.3\"]\nciphers = [\"X\"]\nhandshake_timeout = \"9s\"\n\
                [[tls.a.tls.sni]]\nserver_name = \"*.x.org\"\ncert_file = \"c2\"\nkey_file = \"k2\"";
    let (config, problems) = read_into(streams(), text);
    assert_eq!(problems, [""; 0]);
    let tls = config.tls["a"].tls.clone().unwrap();
    let sni = SniConfig { server_name: "*.x.org".into(), cert_file: "c2".into(), key_file: "k2".into() };
    let expected = TlsConfig {
        cert_file: Some("c".into()),
        key_file: Some("k".into()),
        ca_file: Some("a".into()),
        verify: Verify::Optional,
        versions: vec![TlsVersion::Tls13],
        ciphers: vec!["X".into()],
        handshake_timeout: HumanDuration::from_secs(9),
        sni: vec![sni],
    };
    assert_eq!(tls, expected);
    assert_eq!(read_into(streams(), &to_toml(&mut config.clone())), (config, Vec::new()));
}

#[test]
fn what_may_change_while_the_node_runs_is_taken_and_no_more() {
    let (mut old, _) = read_into(streams(), "[tcp.a]\n[tls.b]\n[tls.c]");
    let text = "[tcp.a]\nbind = 1\nmax_connections = 3\nframing = \"x\"\nrate_limit = \"1KB/s\"\n\
                publish_limit = \"5/s\"\naccess = [\"deny 10.0.0.0/8\", \"allow all\"]\n[tls.b]\nmax_conn_rate = 4\n\
                [tls.b.tls]\ncert_file = \"c\"\nkey_file = \"k\"";
    let (newer, _) = read_into(streams(), text);
    old.reload(&newer);
    let StreamListenerConfig { common, protocol, .. } = &old.tcp["a"];
    assert_eq!((common.bind, common.max_connections, protocol.framing.as_str()), (BindAddress::Port(8090), 3, ""));
    assert_eq!(common.policy(), newer.tcp["a"].common.policy());
    assert!(!common.policy().limits.is_none() && !common.policy().access.is_open());
    assert_eq!((old.tls["b"].common.max_conn_rate, &old.tls["b"].tls), (4, &newer.tls["b"].tls));
    assert!(old.tls.contains_key("c"));
}

#[test]
#[rustfmt::skip]
fn what_is_not_there_is_refused() {
    for (text, expected) in [
        ("dtls.default.bind = 1885",   "dtls: not in this version"),
        ("tcp.default.bind = 1885",    "tcp: not in this version"),
        ("udp.a.rate_limit = 5",       "udp.a.rate_limit: expected bytes per interval, like \"1KB/s\", \"64KB/10s\" or \"1KB/s,burst=4KB\", found the number 5"),
        ("udp.a.rate_limit = \"0KB/s\"", "udp.a.rate_limit: \"0KB/s\" lets nothing through; \"\" is no limit"),
        ("udp.a.publish_limit = \"10\"", "udp.a.publish_limit: expected publications per interval, like \"10/60s\" or \"100/m,burst=10\", found \"10\""),
        ("udp.a.access = \"allow all\"", "udp.a.access: expected an array, like [\"…\", \"…\"], found \"allow all\""),
        ("udp.a.access = [\"allow all\", \"deny\"]", "udp.a.access[1]: expected a rule like \"allow all\", \"deny 10.0.0.0/8\" or \"allow 192.168.1.5\", found \"deny\""),
        ("udp.a.access = [\"deny 10.0.0.0/33\"]", "udp.a.access[0]: \"deny 10.0.0.0/33\" is no rule: 10.0.0.0/33 has a prefix that is no number from 0 to 32"),
        ("udp.a.access_rules = []",    "udp.a.access_rules: is EMQX's name: here it is `access`"),
        ("udp.a.ssl = {}",             "udp.a.ssl: is EMQX's name: here it is `tls`, not in this version"),
        ("udp.a.proxy_protocol = 1", "udp.a.proxy_protocol: expected `true` or `false`, found the number 1"),
        ("udp.a.proxy_protocol_timeout = \"1s\"", "udp.a.proxy_protocol_timeout: unknown key"),
        ("udp.a.max_clients = 1",      "udp.a.max_clients: is EMQX's name: here it is `max_connections`"),
        ("udp.a.max_connections = -1", "udp.a.max_connections: expected a whole number from 0 to 4294967295, found the number -1"),
        ("udp.a.mountpoint = \"a/+/\"", "udp.a.mountpoint: \"a/+/\" is no topic prefix: character '+' is not allowed here"),
        ("upd.a.bind = 1",             "upd: unknown key"),
    ] {
        assert_eq!(read(text).1, [expected]);
    }
}

#[test]
#[rustfmt::skip]
fn what_does_not_fit_in_a_listener_of_streams_is_refused() {
    for (text, expected) in [
        ("udp.a.bind = 1",                "udp: unknown key"),
        ("tcp.a.tls = {}",                "tcp.a.tls: unknown key"),
        ("tcp.a.ssl_options = {}",        "tcp.a.ssl_options: is EMQX's name: here it is `tls`"),
        ("tcp.a.proxy_protocol = \"v1\"", "tcp.a.proxy_protocol: expected `true` or `false`, found \"v1\""),
        ("tcp.a.proxy_protocol_timeout = \"0s\"", "tcp.a.proxy_protocol_timeout: expected \"100ms\" to \"1m\", found \"0s\""),
        ("tcp.a.send_timeout = \"2h\"",   "tcp.a.send_timeout: expected \"1s\" to \"1h\", found \"2h\""),
        ("tcp.a.high_watermark = \"16KB\"", "tcp.a: `low_watermark` must be less than `high_watermark`"),
        ("tcp.a.high_watermark = \"1GB\"", "tcp.a.high_watermark: expected \"1KB\" to \"16MB\", found \"1GB\""),
        ("tls.a.tls.cert_file = \"c\"",   "tls.a.tls: `cert_file` needs `key_file` beside it"),
        ("tls.a.tls.key_file = \"k\"",    "tls.a.tls: `key_file` needs `cert_file` beside it"),
        ("tls.a.tls.verify = \"required\"", "tls.a.tls: `verify` needs `ca_file`: whose certificates are good?"),
        ("tls.a.tls.versions = []",       "tls.a.tls: `versions` names none"),
        ("tls.a.tls.versions = [\"1.1\"]", "tls.a.tls.versions[0]: expected \"1.2\" or \"1.3\", found \"1.1\""),
        ("tls.a.tls.certfile = \"c\"",    "tls.a.tls.certfile: is EMQX's name: here it is `cert_file`"),
        ("tls.a.tls.handshake_timeout = \"1ms\"", "tls.a.tls.handshake_timeout: expected \"1s\" to \"5m\", found \"1ms\""),
        ("tls.a.tls.sni = [{ server_name = \"x\", cert_file = \"c\", key_file = \"k\" }]", "tls.a.tls: `sni` needs `cert_file` for clients that ask for another name"),
        ("tls.a.tls.sni = [{ server_name = \"X.org\", cert_file = \"c\", key_file = \"k\" }]", "tls.a.tls.sni[0].server_name: \"X.org\" is no name of a server, like \"gw.example.com\" or \"*.example.com\", in lower case"),
        ("tls.a.tls.sni = [{ server_name = \"x\", cert_file = \"\", key_file = \"k\" }]", "tls.a.tls.sni[0].cert_file: \"\" names no file"),
        ("tls.a.tls.sni = [{ cert_file = \"c\", key_file = \"k\" }]", "tls.a.tls.sni[0].server_name: is missing: expected a text in quotes"),
    ] {
        assert_eq!(read_into(streams(), text).1, [expected]);
    }
}
