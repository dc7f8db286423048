//! What no key can be blamed for alone.

use std::net::{IpAddr, SocketAddr};

use auth::config::Source;
use bridge_core::config::{BrokerUrl, LinkMode};
use settings::{Document, KeyPath};

use crate::{Build, Config, ListenerKind, SessionStore};

/// Notes in `document` what does not fit together.
pub(crate) fn across(config: &Config, build: Build, document: &mut Document) {
    broker(config, build, document);
    per_device(config, document);
    chain(config, document);
    credentials(config, document);
    addresses(config, document);
    tcp(config, document);
}

fn key(dotted: &str) -> KeyPath {
    KeyPath::from(dotted)
}

fn broker(config: &Config, build: Build, document: &mut Document) {
    let link = &config.broker.link;
    if !build.embedded && link.servers() == [BrokerUrl::Embedded] {
        let message = "this build has no embedded broker: name one, like \"mqtt://127.0.0.1:1883\"";
        document.refuse(&[key("broker.url")], message);
    }
    for (at, _) in link.urls.iter().enumerate().filter(|(_, url)| **url == BrokerUrl::Embedded) {
        let message = "\"embedded\" cannot be one of several: it belongs in `url`";
        document.refuse(&[key("broker.urls").element(at)], message);
    }
    // `url` as the default spells it stands in every copy of the reference file: it is nobody's choice.
    if !link.urls.is_empty() && document.contains(&key("broker.url")) && link.url != Config::of(build).broker.link.url {
        document.refuse(&[key("broker.urls"), key("broker.url")], "`url` is given too: one of them goes");
    }
    for (given, missing, needed) in [
        (&link.tls.cert_file, &link.tls.key_file, ["cert_file", "key_file"]),
        (&link.tls.key_file, &link.tls.cert_file, ["key_file", "cert_file"]),
    ] {
        if given.is_some() && missing.is_none() {
            let [has, wants] = needed.map(|name| key("broker.tls").child(name));
            document.refuse(&[has, wants], format!("needs `{}` beside it", needed.last().unwrap_or(&"")));
        }
    }
}

/// What only one of the modes has.
fn per_device(config: &Config, document: &mut Document) {
    let mode = key("broker.mode");
    match config.broker.link.mode {
        LinkMode::PerDevice if config.sessions.store == SessionStore::File => {
            let message =
                "\"file\" is for `broker.mode = \"shared\"`: in per-device mode the broker keeps the sessions";
            document.refuse(&[key("sessions.store"), mode], message);
        }
        LinkMode::PerDevice | LinkMode::Shared => {}
    }
}

/// The broker can decide about a client only where that has a connection of its own.
fn chain(config: &Config, document: &mut Document) {
    let shared = config.broker.link.mode == LinkMode::Shared;
    for (at, entry) in config.auth.chain.iter().enumerate().filter(|_| shared) {
        if entry.source == Source::Broker {
            let keys = [key("auth.chain").element(at).child("type"), key("broker.mode")];
            document.refuse(&keys, "\"broker\" decides only where `broker.mode` is \"per-device\"");
        }
    }
}

/// Nobody on the network may command a node that asks for no password.
fn credentials(config: &Config, document: &mut Document) {
    let Some(bind) = config.admin.bind else { return };
    let open = config.admin.username.is_empty() || config.admin.password.is_empty();
    let address = bind.resolve(config.node.bind);
    if open && !address.ip().to_canonical().is_loopback() {
        let keys = ["admin.bind", "admin.username", "admin.password", "admin.password_file", "node.bind"].map(key);
        let message = format!("{address} can be reached from other machines: set `username` and `password` first");
        document.refuse(&keys, message);
    }
}

/// Two sockets of one kind cannot have one address.
fn addresses(config: &Config, document: &mut Document) {
    let (mut udp, mut tcp) = (Vec::new(), Vec::new());
    if config.broker.link.servers().contains(&BrokerUrl::Embedded) {
        tcp.push((key("broker.embedded.bind"), config.broker.embedded.bind.resolve(config.node.bind)));
    }
    if let Some(bind) = config.admin.bind {
        tcp.push((key("admin.bind"), bind.resolve(config.node.bind)));
    }
    for listener in config.listeners() {
        let sockets = match listener.kind {
            ListenerKind::Udp => &mut udp,
            ListenerKind::Tcp | ListenerKind::Tls => &mut tcp,
        };
        sockets.push((listener.key().child("bind"), listener.config.bind.resolve(config.node.bind)));
    }
    for sockets in [udp, tcp] {
        for (at, (later, address)) in sockets.iter().enumerate() {
            let clash = sockets.iter().take(at).find(|(_, other)| overlap(*address, *other));
            if let Some((earlier, taken)) = clash {
                let message = format!("{address} is taken: `{earlier}` is {taken}");
                document.refuse(&[later.clone(), earlier.clone(), key("node.bind")], message);
            }
        }
    }
}

/// What the framing of a listener leaves unread, and devices that would hear themselves.
fn tcp(config: &Config, document: &mut Document) {
    let gateway = key("gateways.tcp");
    if config.gateways.tcp.machine.echoes() {
        let message = "is `up_topic` too: each device would be sent what it has said";
        document.refuse(&[gateway.child("dn_topic"), gateway.child("up_topic")], message);
    }
    for (kind, name, stream) in config.gateways.tcp.listeners.streams() {
        let listener = gateway.child("listeners").child(kind.as_str()).child(name);
        let framing = stream.protocol.framing;
        // A copy of the reference file has each key as by default, and names the framing: that is nobody's choice.
        let chosen = document.contains(&listener.child("framing"));
        for (unread, default, reader) in stream.protocol.unread() {
            let at = listener.child(unread);
            if document.contains(&at) && !(default && chosen) {
                let message = format!("is not read with framing = \"{framing}\": did you mean framing = \"{reader}\"?");
                document.refuse(&[at, listener.child("framing")], message);
            }
        }
    }
}

/// Port 0 is any free port, so it meets nothing. The unspecified address holds every other of its family, and that of
/// IPv6 those of IPv4 too.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let holds = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || holds(a.ip(), b.ip()) || holds(b.ip(), a.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_when_one_socket_would_take_the_others_packets() {
        for (a, b, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
            ("0.0.0.0:0", "0.0.0.0:0", false),
        ] {
            let (one, other) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected), "{a} {b}");
        }
    }
}
