//! Where a gateway or a broker is: `HOST:PORT`.

use crate::failure::Failure;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

/// A name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// An IPv6 address without its brackets.
    host: String,
    port: u16,
}

impl Endpoint {
    /// The name or address, an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its first IPv4 address, or, if it has none, its first.
    ///
    /// # Errors
    /// [`Failure::Io`] if nobody knows the name.
    pub(crate) fn resolve(&self) -> Result<SocketAddr, Failure> {
        let unknown = |why: String| Failure::Io("address", std::io::Error::other(format!("{}: {why}", self.host)));
        let found = (self.host.as_str(), self.port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
        let addresses: Vec<_> = found.collect();
        let first = addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first());
        first.copied().ok_or_else(|| unknown("has none".to_owned()))
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "want HOST:PORT, as 127.0.0.1:1884 or [::1]:1884";
        let (host, port) = text.rsplit_once(':').ok_or(WANTED)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(WANTED)?,
            // Else it is an IPv6 address whose last group would pass for a port.
            None if host.contains(':') => return Err(WANTED),
            None => host,
        };
        match port.parse() {
            Ok(port @ 1..) if !host.is_empty() => Ok(Self { host: host.to_owned(), port }),
            _ => Err(WANTED),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_both_there() {
        for good in ["127.0.0.1:1884", "gateway.example:1", "[::1]:65535"] {
            assert_eq!(good.parse::<Endpoint>().map(|endpoint| endpoint.to_string()), Ok(good.to_owned()));
        }
        for bad in ["127.0.0.1", ":1884", "h:", "h:0", "h:65536", "::1:1884", "[::1:1884", "[]:1884", ""] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_needs_no_one_to_ask() {
        let resolved = |text: &str| text.parse::<Endpoint>().unwrap().resolve().unwrap().to_string();
        assert_eq!((resolved("127.3.2.1:9"), resolved("[::1]:9")), ("127.3.2.1:9".into(), "[::1]:9".into()));
    }
}
