//! Why a listener has no address.

use std::io;
use std::net::SocketAddr;

/// Why a listener could not be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindFault {
    /// `UDP` or `TCP`.
    pub protocol: &'static str,
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What was tried, as in "cannot bind".
    pub step: &'static str,
    /// The kernel's answer.
    pub kind: io::ErrorKind,
    /// The same in words.
    pub reason: String,
}

impl BindFault {
    pub(crate) fn new(protocol: &'static str, address: SocketAddr, step: &'static str, source: &io::Error) -> Self {
        let reason = match source.kind() {
            io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
            io::ErrorKind::AddrNotAvailable => "no interface has this address".to_owned(),
            io::ErrorKind::PermissionDenied => "not permitted (ports below 1024 need a privilege)".to_owned(),
            _ => source.to_string(),
        };
        Self { protocol, address, step, kind: source.kind(), reason }
    }
}

impl std::fmt::Display for BindFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: cannot {}: {}", self.protocol, self.address, self.step, self.reason)
    }
}

impl std::error::Error for BindFault {}
