//! The PROXY protocol, versions 1 and 2: a proxy in front of us says who is there.
//!
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>. A listener with `proxy_protocol` takes no connection
//! without a header: to guess whether there is one would let every client claim to be another.

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};
use thiserror::Error;

/// What the beginning of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The header is not complete.
    NeedMore,
    /// The proxy speaks for itself (LOCAL), or knows no address (UNKNOWN, or one that is not of IP): the address of the
    /// connection stays what it is.
    Local {
        /// Octets of the header.
        consumed: usize,
    },
    /// Somebody is there.
    Proxied {
        /// Octets of the header.
        consumed: usize,
        /// Who; never an IPv4 address mapped into IPv6.
        source: SocketAddr,
    },
}

/// Why there is no header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProxyFault {
    /// Something else: mostly a client that came past the proxy.
    #[error("no PROXY header: did somebody come past the proxy?")]
    Missing,
    /// More than any proxy says.
    #[error("the PROXY header is too long")]
    TooLong,
    /// Not within `proxy_protocol_timeout`.
    #[error("the PROXY header took too long")]
    TimedOut,
    /// It begins as a header and goes on as none.
    #[error("the PROXY header is malformed: {0}")]
    Malformed(String),
}

impl ProxyFault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooLong => "too_long",
            Self::TimedOut => "timed_out",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// Reads the header at the beginning of a connection, of which `bytes` are all octets so far.
///
/// # Errors
/// [`ProxyFault`], as soon as it is sure that no more octets will help.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyFault> {
    match bytes.first() {
        None => Ok(Parsed::NeedMore),
        Some(b'P') => parse_text(bytes),
        Some(_) => parse_binary(bytes, v2::Protocol::Stream),
    }
}

/// True for what begins as a header and as nothing else: the first word of version 1 with a transport of it, or the
/// signature of version 2.
#[must_use]
pub fn begins(bytes: &[u8]) -> bool {
    let texts: [&[u8]; 3] = [b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];
    bytes.starts_with(v2::PROTOCOL_PREFIX) || texts.iter().any(|text| bytes.starts_with(text))
}

/// Reads the header at the beginning of a datagram: version 2 only, and all of it must be there.
///
/// # Errors
/// [`ProxyFault`].
pub fn parse_datagram(datagram: &[u8]) -> Result<Parsed, ProxyFault> {
    match parse_binary(datagram, v2::Protocol::Datagram)? {
        Parsed::NeedMore if datagram.len() < V2_SIGNATURE => Err(ProxyFault::Missing),
        Parsed::NeedMore => Err(ProxyFault::Malformed("it is cut off".to_owned())),
        whole => Ok(whole),
    }
}

/// Version 1: a line of text.
fn parse_text(bytes: &[u8]) -> Result<Parsed, ProxyFault> {
    let start = bytes.get(..V1_START.len()).unwrap_or(bytes);
    if !V1_START.starts_with(start) {
        return Err(ProxyFault::Missing);
    }
    let window = bytes.get(..V1_LONGEST).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        if window.contains(&b'\n') {
            return Err(ProxyFault::Malformed("its line ends in LF without CR".to_owned()));
        }
        return if bytes.len() < V1_LONGEST { Ok(Parsed::NeedMore) } else { Err(ProxyFault::TooLong) };
    };
    let consumed = end + 2;
    let line = window.get(..consumed).unwrap_or_default();
    let header = v1::Header::try_from(line).map_err(|fault| ProxyFault::Malformed(fault.to_string()))?;
    let proxied = |ip: IpAddr, port| Parsed::Proxied { consumed, source: shown(ip, port) };
    Ok(match header.addresses {
        v1::Addresses::Unknown => Parsed::Local { consumed },
        v1::Addresses::Tcp4(both) => proxied(both.source_address.into(), both.source_port),
        v1::Addresses::Tcp6(both) => proxied(both.source_address.into(), both.source_port),
    })
}

/// Version 2: octets.
fn parse_binary(bytes: &[u8], wanted: v2::Protocol) -> Result<Parsed, ProxyFault> {
    if let Some([high, low]) = bytes.get(V2_LENGTH) {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if bytes.starts_with(v2::PROTOCOL_PREFIX) && length > V2_LONGEST {
            return Err(ProxyFault::TooLong);
        }
    }
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => header,
        Err(v2::ParseError::Incomplete(_) | v2::ParseError::Partial(..)) => return Ok(Parsed::NeedMore),
        Err(v2::ParseError::Prefix) => return Err(ProxyFault::Missing),
        Err(v2::ParseError::Version(high)) => {
            return Err(ProxyFault::Malformed(format!("its version is {} and not 2", high >> 4)));
        }
        Err(fault) => return Err(ProxyFault::Malformed(fault.to_string())),
    };
    let consumed = header.len();
    if header.command == v2::Command::Local {
        return Ok(Parsed::Local { consumed });
    }
    let proxied = |ip: IpAddr, port| {
        if header.protocol == wanted {
            Ok(Parsed::Proxied { consumed, source: shown(ip, port) })
        } else {
            Err(ProxyFault::Malformed("it is about another transport".to_owned()))
        }
    };
    match &header.addresses {
        v2::Addresses::IPv4(both) => proxied(both.source_address.into(), both.source_port),
        v2::Addresses::IPv6(both) => proxied(both.source_address.into(), both.source_port),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => Ok(Parsed::Local { consumed }),
    }
}

/// An IPv4 client of a proxy that listens for IPv6 too as what it is: it has one name, whichever way it came.
fn shown(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), port)
}

/// What version 1 begins with.
const V1_START: &[u8] = b"PROXY ";
/// Octets of the longest line of version 1, with CR LF (§2.1).
const V1_LONGEST: usize = 107;
/// Octets of the signature of version 2 (§2.2).
const V2_SIGNATURE: usize = 12;
/// Where version 2 says how many octets follow.
const V2_LENGTH: std::ops::Range<usize> = 14..16;
/// Octets that may follow. Addresses take 216 at most; the rest is for what proxies add, such as a client certificate's
/// name. None is kept, but all must be there before the connection goes on.
const V2_LONGEST: usize = 4096;

#[cfg(test)]
mod tests;
