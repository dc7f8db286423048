//! `[gateways.<name>.listeners.<kind>.<name>]`.

use std::collections::BTreeMap;

use bridge_core::config::check_template;
use settings::{BindAddress, Section, Settings};

/// The listeners of one gateway, by kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenersConfig {
    /// UDP listeners.
    pub udp: BTreeMap<String, ListenerConfig>,
    /// The protocol's own UDP port: that of a listener which names none.
    standard_udp: u16,
}

impl ListenersConfig {
    /// What a gateway without a `listeners` table gets: one UDP listener, named `default`, on the protocol's port.
    #[must_use]
    pub fn standard_udp(port: u16) -> Self {
        Self { udp: [("default".to_owned(), ListenerConfig::on(port))].into(), standard_udp: port }
    }
}

impl Settings for ListenersConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.named("udp", &mut self.udp, || ListenerConfig::on(self.standard_udp));
        s.not_in_this_version(&["dtls", "tcp", "tls", "ws", "wss"]);
    }
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it listens.
    pub bind: BindAddress,
    /// Sessions that it may have at a time, on UDP too; more are refused. 0 = no limit.
    pub max_connections: u32,
    /// New sessions per second; more are refused. 0 = no limit.
    pub max_conn_rate: u32,
    /// Prefix of every topic of this listener's clients, instead of the gateway's; empty = the gateway's.
    pub mountpoint: String,
    /// Whether `[auth]` decides who comes in; else everybody does.
    pub enable_authn: bool,
}

impl ListenerConfig {
    /// On this port of the node's own address, with standard limits.
    #[must_use]
    pub const fn on(port: u16) -> Self {
        Self {
            bind: BindAddress::Port(port),
            max_connections: 1_024_000,
            max_conn_rate: 1000,
            mountpoint: String::new(),
            enable_authn: true,
        }
    }
}

impl Settings for ListenerConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("bind", &mut self.bind);
        s.leaf("max_connections", &mut self.max_connections);
        s.leaf("max_conn_rate", &mut self.max_conn_rate);
        s.checked("mountpoint", &mut self.mountpoint, |mountpoint| check_template(mountpoint));
        s.leaf("enable_authn", &mut self.enable_authn);
        s.not_in_this_version(&[
            "rate_limit",
            "publish_limit",
            "proxy_protocol",
            "proxy_protocol_timeout",
            "access",
            "tls",
        ]);
        s.renamed(&[("max_clients", "max_connections")]);
        s.renamed_and_not_in_this_version(&[("access_rules", "access"), ("ssl", "tls"), ("ssl_options", "tls")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Document;

    fn read(text: &str) -> (ListenersConfig, Vec<String>) {
        let mut config = ListenersConfig::standard_udp(1884);
        let mut document = Document::parse("f", text);
        document.read(&mut config, &mut |_| Ok(String::new()));
        let problems = document.finish().err().unwrap_or_default();
        (config, problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect())
    }

    #[test]
    fn only_the_listeners_that_are_named_exist_and_what_they_leave_out_is_standard() {
        let (config, problems) = read("[udp.north]\nbind = \"[::]:1\"\n[udp.south]\nmax_connections = 5");
        assert_eq!(problems, [""; 0]);
        assert_eq!(config.udp.keys().collect::<Vec<_>>(), ["north", "south"]);
        assert_eq!(config.udp["north"].bind, "[::]:1".parse().unwrap());
        assert_eq!(config.udp["south"], ListenerConfig { max_connections: 5, ..ListenerConfig::on(1884) });
        assert_eq!(read("").0, ListenersConfig::standard_udp(1884));
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_not_there_is_refused() {
        for (text, expected) in [
            ("dtls.default.bind = 1885",   "dtls: not in this version"),
            ("udp.a.rate_limit = \"\"",    "udp.a.rate_limit: not in this version"),
            ("udp.a.access_rules = []",    "udp.a.access_rules: is EMQX's name: here it is `access`, not in this version"),
            ("udp.a.ssl = {}",             "udp.a.ssl: is EMQX's name: here it is `tls`, not in this version"),
            ("udp.a.max_clients = 1",      "udp.a.max_clients: is EMQX's name: here it is `max_connections`"),
            ("udp.a.max_connections = -1", "udp.a.max_connections: expected a whole number from 0 to 4294967295, found the number -1"),
            ("udp.a.mountpoint = \"a/+/\"", "udp.a.mountpoint: \"a/+/\" is no topic prefix: character '+' is not allowed here"),
            ("upd.a.bind = 1",             "upd: unknown key"),
        ] {
            assert_eq!(read(text).1, [expected]);
        }
    }
}
