//! Local addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::{Item, Leaf, Misfit, Value, quoted};

/// Where a listener listens: `"host:port"`, `"[v6]:port"`, or a port alone, which means the node's own address.
///
/// The host is an address of this machine or `localhost`: other names are refused, because what a listener binds must
/// not change with a name server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindAddress {
    /// A port on `node.bind`.
    Port(u16),
    /// Address and port.
    Address(SocketAddr),
}

impl BindAddress {
    /// What to bind when `node_bind` is the node's own address.
    #[must_use]
    pub const fn resolve(self, node_bind: IpAddr) -> SocketAddr {
        match self {
            Self::Port(port) => SocketAddr::new(node_bind, port),
            Self::Address(address) => address,
        }
    }
}

impl FromStr for BindAddress {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let Some((host, port)) = text.rsplit_once(':') else {
            return text.parse().map(Self::Port).ok().ok_or(Misfit::Unexpected);
        };
        if host.contains(':') && !host.starts_with('[') {
            return Err(Misfit::UnexpectedBut { hint: "an IPv6 address stands in brackets".into() });
        }
        let port = port.parse().ok().ok_or(Misfit::Unexpected)?;
        Ok(Self::Address(SocketAddr::new(address(host)?, port)))
    }
}

/// As it is written in a file: a bare port has no quotes around it in TOML.
impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl Leaf for BindAddress {
    const EXPECTED: &'static str = "an address like \"127.0.0.1:1884\" or \"[::1]:1884\", or a port alone like 1884";

    fn read(item: &Item) -> Result<Self, Misfit> {
        match (item.value(), item.text()) {
            (Value::Integer(port), _) => u16::try_from(*port).map(Self::Port).ok().ok_or(Misfit::Unexpected),
            (_, Some(text)) => text.parse(),
            (_, None) => Err(Misfit::Unexpected),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Port(port) => port.to_string(),
            Self::Address(address) => quoted(&address.to_string()),
        }
    }
}

/// The node's own address: `"127.0.0.1"`, `"0.0.0.0"`, `"[::]"`, `"localhost"`.
impl Leaf for IpAddr {
    const EXPECTED: &'static str = "an address without a port, like \"127.0.0.1\", \"0.0.0.0\" or \"[::]\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        let text = item.text().ok_or(Misfit::Unexpected)?;
        if text.parse::<SocketAddr>().is_ok() {
            return Err(Misfit::UnexpectedBut { hint: "each listener names its own port".into() });
        }
        text.parse().map_or_else(|_| address(text), Ok)
    }

    fn to_toml(&self) -> String {
        match self {
            Self::V4(address) => quoted(&address.to_string()),
            Self::V6(address) => quoted(&format!("[{address}]")),
        }
    }
}

fn address(host: &str) -> Result<IpAddr, Misfit> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse().map(IpAddr::V6).ok().ok_or(Misfit::Unexpected);
    }
    let fault = match host.contains(|c: char| c.is_ascii_alphabetic()) {
        true => Misfit::UnexpectedBut { hint: "a host name cannot be bound: write the address itself".into() },
        false => Misfit::Unexpected,
    };
    host.parse().map(IpAddr::V4).ok().ok_or(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::read_toml;

    #[test]
    fn a_bind_is_an_address_with_a_port_or_a_port_alone() {
        for (toml, bound, printed) in [
            ("1884", "[::1]:1884", "1884"),
            ("\"1884\"", "[::1]:1884", "1884"),
            ("\"0.0.0.0:5\"", "0.0.0.0:5", "\"0.0.0.0:5\""),
            ("\"localhost:0\"", "127.0.0.1:0", "\"127.0.0.1:0\""),
            ("\"[::]:7\"", "[::]:7", "\"[::]:7\""),
        ] {
            let read: BindAddress = read_toml(toml).unwrap();
            assert_eq!(read.resolve("::1".parse().unwrap()).to_string(), bound, "{toml}");
            assert_eq!(read.to_toml(), printed);
        }
    }

    #[test]
    fn what_cannot_be_bound_is_refused() {
        for toml in ["65536", "-1", "\"\"", "\"127.0.0.1\"", "\"1.2.3:4\"", "\"1.2.3.4:\"", "\"[1.2.3.4]:5\"", "true"] {
            assert_eq!(read_toml::<BindAddress>(toml), Err(Misfit::Unexpected), "{toml}");
        }
        for (toml, expected) in [
            ("\"::1:1884\"", "an IPv6 address stands in brackets"),
            ("\"lamp.example:1884\"", "a host name cannot be bound: write the address itself"),
        ] {
            assert_eq!(read_toml::<BindAddress>(toml), Err(Misfit::UnexpectedBut { hint: expected.into() }));
        }
    }

    #[test]
    fn the_nodes_address_has_no_port() {
        for (toml, expected) in [("\"[::]\"", "\"[::]\""), ("\"::\"", "\"[::]\""), ("\"10.0.0.1\"", "\"10.0.0.1\"")] {
            assert_eq!(read_toml::<IpAddr>(toml).unwrap().to_toml(), expected);
        }
        let hint = "each listener names its own port".into();
        assert_eq!(read_toml::<IpAddr>("\"0.0.0.0:80\""), Err(Misfit::UnexpectedBut { hint }));
        assert_eq!(read_toml::<IpAddr>("0"), Err(Misfit::Unexpected));
    }
}
