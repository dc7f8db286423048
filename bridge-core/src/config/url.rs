//! Where the broker is.

use std::fmt;

use settings::{Item, Leaf, Misfit, quoted};

/// A broker: `embedded`, `mqtt://host:1883`, `mqtts://host:8883`, `ws://host:80/mqtt`, `wss://host:443/mqtt`. Port and path
/// may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerUrl {
    /// The broker inside this process, reached over loopback.
    Embedded,
    /// MQTT over TCP.
    Tcp(Server),
    /// MQTT over TLS.
    Tls(Server),
    /// MQTT over WebSocket over TCP.
    Ws(WebPlace),
    /// MQTT over WebSocket over TLS.
    Wss(WebPlace),
}

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: Box<str>,
    /// The TCP port; never 0.
    pub port: u16,
}

/// Where on which web server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebPlace {
    /// The server.
    pub server: Server,
    /// Begins with `/`; printable ASCII without `?` and `#`.
    pub path: Box<str>,
}

impl BrokerUrl {
    /// A broker on this machine at MQTT's port: the default of a build without an embedded one.
    #[must_use]
    pub fn local() -> Self {
        Self::Tcp(Server { host: "127.0.0.1".into(), port: 1883 })
    }

    /// Where to connect; `None` for the embedded broker.
    #[must_use]
    pub const fn server(&self) -> Option<&Server> {
        match self {
            Self::Embedded => None,
            Self::Tcp(server) | Self::Tls(server) => Some(server),
            Self::Ws(place) | Self::Wss(place) => Some(&place.server),
        }
    }

    /// Whether TLS is spoken to it.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Wss(_))
    }

    fn parse(text: &str) -> Result<Self, Misfit> {
        if text.contains('@') {
            let why = "a broker URL holds no credentials: `username` and `password` are keys of their own";
            return Err(Misfit::RefusedUnseen(why.into()));
        }
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Misfit::near(text, &["embedded"]));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "mqtt" => Server::parse(rest, 1883).map(Self::Tcp),
            "mqtts" => Server::parse(rest, 8883).map(Self::Tls),
            "ws" => WebPlace::parse(rest, 80).map(Self::Ws),
            "wss" => WebPlace::parse(rest, 443).map(Self::Wss),
            "tcp" => Err(Misfit::UnexpectedBut { hint: "TCP is written \"mqtt://\"".into() }),
            "ssl" | "tls" => Err(Misfit::UnexpectedBut { hint: "TLS is written \"mqtts://\"".into() }),
            "http" => Err(Misfit::UnexpectedBut { hint: "MQTT over WebSocket is written \"ws://\"".into() }),
            "https" => Err(Misfit::UnexpectedBut { hint: "MQTT over WebSocket and TLS is written \"wss://\"".into() }),
            _ => Err(Misfit::near(scheme, &["mqtt", "mqtts", "ws", "wss"])),
        }
    }
}

impl Server {
    fn parse(text: &str, standard_port: u16) -> Result<Self, Misfit> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, after)) => {
                let address: std::net::Ipv6Addr = host.parse().ok().ok_or(Misfit::Unexpected)?;
                (
                    address.to_string(),
                    if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(Misfit::Unexpected)?) },
                )
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (text.to_owned(), None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or(Misfit::Unexpected)?,
            None => standard_port,
        };
        // A host name has letters, digits, `-` and `.`; `_` is met in container networks.
        let name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || !host.chars().all(name) {
            return Err(Misfit::Unexpected);
        }
        Ok(Self { host: host.into(), port })
    }
}

impl WebPlace {
    fn parse(text: &str, standard_port: u16) -> Result<Self, Misfit> {
        let (server, path) = match text.find('/').and_then(|at| text.split_at_checked(at)) {
            Some((server, path)) => (server, path),
            None => (text, STANDARD_PATH),
        };
        if path.contains('?') {
            // It may hold a token.
            return Err(Misfit::RefusedUnseen("a broker URL ends with its path: nothing after a `?` is sent".into()));
        }
        if !path.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'#') {
            let hint = "a path has printable ASCII characters without `#`; others are written like %20";
            return Err(Misfit::UnexpectedBut { hint: hint.into() });
        }
        Ok(Self { server: Server::parse(server, standard_port)?, path: path.into() })
    }
}

impl fmt::Display for WebPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.server, self.path)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Tcp(server) => write!(f, "mqtt://{server}"),
            Self::Tls(server) => write!(f, "mqtts://{server}"),
            Self::Ws(place) => write!(f, "ws://{place}"),
            Self::Wss(place) => write!(f, "wss://{place}"),
        }
    }
}

impl Leaf for BrokerUrl {
    const EXPECTED: &'static str = "\"embedded\" or a URL like \"mqtt://broker.example:1883\", \"mqtts://broker.example\" or \"wss://broker.example/mqtt\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        Self::parse(item.text().ok_or(Misfit::Unexpected)?)
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// What brokers listen on for MQTT over WebSocket, unless told otherwise.
const STANDARD_PATH: &str = "/mqtt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_scheme_host_and_port() {
        for (text, expected) in [
            ("embedded", "embedded"),
            ("mqtt://h", "mqtt://h:1883"),
            ("MQTTS://broker.example/", "mqtts://broker.example:8883"),
            ("mqtt://10.0.0.1:1", "mqtt://10.0.0.1:1"),
            ("mqtt://[2001:db8::1]", "mqtt://[2001:db8::1]:1883"),
            ("mqtts://[::1]:9", "mqtts://[::1]:9"),
            ("mqtt://my_broker:1883", "mqtt://my_broker:1883"),
            ("ws://h", "ws://h:80/mqtt"),
            ("WSS://h:8084", "wss://h:8084/mqtt"),
            ("ws://h/", "ws://h:80/"),
            ("wss://[::1]:9/a/b%20c", "wss://[::1]:9/a/b%20c"),
        ] {
            let read = BrokerUrl::parse(text).unwrap();
            assert_eq!(read.to_string(), expected);
            assert_eq!(BrokerUrl::parse(expected), Ok(read));
        }
    }

    #[test]
    fn other_urls_are_refused_with_what_would_do() {
        let hint = |hint: &str| Misfit::UnexpectedBut { hint: hint.into() };
        for (text, expected) in [
            ("http://h", hint("MQTT over WebSocket is written \"ws://\"")),
            ("https://h/mqtt", hint("MQTT over WebSocket and TLS is written \"wss://\"")),
            ("wsss://h", hint("did you mean \"wss\"?")),
            ("ws://h/a b", hint("a path has printable ASCII characters without `#`; others are written like %20")),
            ("ws://h/a#b", hint("a path has printable ASCII characters without `#`; others are written like %20")),
            ("ws:///mqtt", Misfit::Unexpected),
            ("ws://h:/mqtt", Misfit::Unexpected),
            ("ws://h:x/mqtt", Misfit::Unexpected),
            ("tcp://h", hint("TCP is written \"mqtt://\"")),
            ("ssl://h", hint("TLS is written \"mqtts://\"")),
            ("mqqt://h", hint("did you mean \"mqtt\"?")),
            ("embeded", hint("did you mean \"embedded\"?")),
            ("", Misfit::Unexpected),
            ("h:1883", Misfit::Unexpected),
            ("coap://h", Misfit::Unexpected),
            ("mqtt://", Misfit::Unexpected),
            ("mqtt://h:", Misfit::Unexpected),
            ("mqtt://h:0", Misfit::Unexpected),
            ("mqtt://h:65536", Misfit::Unexpected),
            ("mqtt://h/path", Misfit::Unexpected),
            ("mqtt://[::1", Misfit::Unexpected),
            ("mqtt://[::1]9", Misfit::Unexpected),
            ("mqtt://a b", Misfit::Unexpected),
        ] {
            assert_eq!(BrokerUrl::parse(text), Err(expected), "{text}");
        }
        let why = "a broker URL holds no credentials: `username` and `password` are keys of their own";
        assert_eq!(BrokerUrl::parse("mqtt://u:hunter2@h"), Err(Misfit::RefusedUnseen(why.into())));
        let why = "a broker URL ends with its path: nothing after a `?` is sent";
        assert_eq!(BrokerUrl::parse("wss://h/mqtt?token=hunter2"), Err(Misfit::RefusedUnseen(why.into())));
    }
}
