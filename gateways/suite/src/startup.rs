//! What a person reads at the start: what listens where, what it talks to, and how to try it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bridge_core::config::{BrokerConfig, BrokerUrl, LinkMode};
use bridge_core::template::{Literals, Template, Values};
use config::{Config, Listener, ListenerKind};

use crate::gateways::GATEWAYS;

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// `MQTT-SN`, `MQTT`, `HTTP`.
    pub(crate) protocol: &'static str,
    /// `udp` or `tcp`.
    pub(crate) transport: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The key that says so, or what it is for.
    pub(crate) note: String,
}

/// What is told.
#[derive(Debug)]
pub(crate) struct Overview<'a> {
    /// The effective configuration.
    pub(crate) config: &'a Config,
    /// The node's name.
    pub(crate) node: &'a str,
    /// Shards.
    pub(crate) workers: u16,
    /// Links to the broker, of all shards.
    pub(crate) links: usize,
    /// Everything that listens.
    pub(crate) rows: Vec<Row>,
    /// Where the embedded broker listens, if it runs.
    pub(crate) embedded: Option<SocketAddr>,
}

impl Overview<'_> {
    /// The whole text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("tidegate {}: node {}, {}\n\n", env!("CARGO_PKG_VERSION"), self.node, self.workers());
        self.table(&mut text);
        line(&mut text, &format!("\n{}", self.broker()));
        line(&mut text, &self.reach());
        if !self.rows.iter().any(|row| row.note.starts_with("gateways.")) {
            line(&mut text, "No gateway runs, so no device gets in: a table like [gateways.mqttsn] starts one.");
        }
        self.try_it(&mut text);
        text
    }

    fn workers(&self) -> String {
        if self.workers == 1 { "1 worker".to_owned() } else { format!("{} workers", self.workers) }
    }

    fn table(&self, text: &mut String) {
        let head = ["PROTOCOL".to_owned(), "TRANSPORT".to_owned(), "ADDRESS".to_owned(), "WHAT".to_owned()];
        let cells: Vec<[String; 4]> = std::iter::once(head)
            .chain(self.rows.iter().map(|row| {
                [row.protocol.to_owned(), row.transport.to_owned(), row.address.to_string(), row.note.clone()]
            }))
            .collect();
        let width = |column: usize| cells.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        for [protocol, transport, address, note] in &cells {
            let [a, b, c] = widths;
            line(text, &format!("  {protocol:a$}  {transport:b$}  {address:c$}  {note}"));
        }
    }

    fn broker(&self) -> String {
        let broker = &self.config.broker.link;
        let urls: Vec<_> = broker.servers().iter().map(ToString::to_string).collect();
        let who = match (broker.username.as_str(), broker.password.is_empty()) {
            ("", true) => String::new(),
            (name, true) => format!(" as {name}"),
            (name, false) => format!(" as {name}:***"),
        };
        let links = if self.links == 1 { "1 connection".to_owned() } else { format!("{} connections", self.links) };
        let own = if broker.mode == LinkMode::PerDevice { " and one for each device" } else { "" };
        format!("Broker: {}{who}, {links}{own}.", urls.join(", then "))
    }

    /// Whether devices can get in, and what to do if not.
    fn reach(&self) -> String {
        let open: Vec<_> = self.rows.iter().filter(|row| !row.address.ip().to_canonical().is_loopback()).collect();
        if open.is_empty() {
            return "All of it listens on loopback: no other machine gets in. `node.bind = \"0.0.0.0\"` opens the gateways."
                .to_owned();
        }
        let named: Vec<_> = open.iter().map(|row| format!("{} {}", row.protocol, row.address)).collect();
        format!("Other machines can reach {}.", named.join(", "))
    }

    /// Commands for two terminals, for each gateway that can be tried so.
    fn try_it(&self, text: &mut String) {
        let trials: Vec<_> = GATEWAYS.iter().filter_map(|row| Some((row.protocol, (row.trial)(self)?))).collect();
        let Some(listen) = self.mosquitto_sub() else {
            if !trials.is_empty() && self.trusts_anybody() {
                line(text, UNTRIED);
            }
            return;
        };
        for (protocol, Trial { topic, send }) in trials {
            let Some(topic) = quotable(&topic) else { continue };
            line(text, &format!("\nTry {protocol}. In one terminal:\n  {listen} -t '{topic}'\nIn another:\n  {send}"));
        }
    }

    /// The first listener of this gateway and kind, and where it is.
    pub(crate) fn listener(&self, gateway: &str, kind: ListenerKind) -> Option<(Listener<'_>, SocketAddr)> {
        let mut listeners = self.config.listeners().into_iter();
        let listener = listeners.find(|listener| listener.gateway == gateway && listener.kind == kind)?;
        let key = listener.key().to_string();
        self.rows.iter().find(|row| row.note == key).map(|row| (listener, row.address))
    }

    /// A template of topics with these values in it; `None` where they do not fit.
    pub(crate) fn rendered(&self, template: &str, values: &Values<'_>) -> Option<String> {
        Template::parse(template, Literals::TopicName).ok()?.render(values).ok()
    }

    /// The broker's certificate is not checked, and there is no file to check it with either.
    fn trusts_anybody(&self) -> bool {
        let broker = &self.config.broker.link;
        let tls = broker.servers().first().is_some_and(BrokerUrl::is_tls);
        tls && broker.tls.insecure_skip_verify && broker.tls.ca_file.is_none()
    }

    /// The command that listens at the broker, but for the topic.
    fn mosquitto_sub(&self) -> Option<String> {
        let broker: &BrokerConfig = &self.config.broker.link;
        let (host, port, tls) = match (broker.servers().first()?, self.embedded) {
            (BrokerUrl::Embedded, Some(address)) => {
                let address = reached_from_here(address);
                (address.ip().to_string(), address.port(), false)
            }
            (BrokerUrl::Embedded, None) => return None,
            (BrokerUrl::Tcp(server), _) => (server.host.to_string(), server.port, false),
            (BrokerUrl::Tls(server), _) => (server.host.to_string(), server.port, true),
            // mosquitto_sub speaks no WebSocket before 2.1.
            (BrokerUrl::Ws(_) | BrokerUrl::Wss(_), _) => return None,
        };
        if self.trusts_anybody() {
            return None;
        }
        let mut command = format!("mosquitto_sub -h {host} -p {port}");
        if tls {
            match &broker.tls.ca_file {
                Some(file) => command.push_str(&format!(" --cafile '{}'", quotable(&file.to_string_lossy())?)),
                None => command.push_str(" --tls-use-os-certs"),
            }
            if broker.tls.insecure_skip_verify {
                command.push_str(" --insecure");
            }
        }
        if !broker.username.is_empty() {
            command.push_str(&format!(" -u '{}' -P PASSWORD", quotable(&broker.username)?));
        }
        Some(command)
    }
}

/// Instead of commands: mosquitto_sub's `--insecure` waives the name in a certificate, not who vouches for it.
const UNTRIED: &str = "
No command to try it with: mosquitto_sub has to trust somebody, and [broker.tls] says insecure_skip_verify \
without ca_file.";

/// How to see a message of one gateway's go through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    /// Where it arrives at the broker.
    pub(crate) topic: String,
    /// A command that is a device for a moment.
    pub(crate) send: String,
}

/// What may stand between single quotes of a shell.
fn quotable(text: &str) -> Option<&str> {
    (!text.contains('\'')).then_some(text)
}

/// Where something that listens on `address` is reached from this machine.
pub(crate) fn reached_from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests;
