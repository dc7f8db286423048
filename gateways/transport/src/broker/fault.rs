//! Why a broker could not be reached, in words for whoever runs it.

use super::Target;
use openssl::error::ErrorStack;
use openssl::ssl;
use openssl::x509::X509VerifyResult;
use std::io;
use std::net::SocketAddr;
use thiserror::Error;

/// Why there is no connection. No variant holds anything secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectFault {
    /// The resolver gave no address.
    #[error("name not found: {host}: {reason}")]
    NameNotFound {
        /// The name.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// Nothing listens there.
    #[error("connection refused by {address}")]
    Refused {
        /// The address that was tried last.
        address: SocketAddr,
    },
    /// Time ran out: for one address, for the name, or for TLS.
    #[error("no answer from {broker} in time")]
    TimedOut {
        /// `host:port`.
        broker: String,
    },
    /// TCP did not connect for another reason.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable {
        /// The address that was tried last.
        address: SocketAddr,
        /// The kernel's words.
        reason: String,
    },
    /// The broker's certificate does not lead to a trusted one, or is out of date.
    #[error("certificate not trusted: {reason}")]
    Untrusted {
        /// OpenSSL's words.
        reason: String,
    },
    /// The certificate is another host's.
    #[error("certificate is not for {name} (`server_name` sets the name to expect)")]
    WrongName {
        /// The name or address that was expected in it.
        name: String,
    },
    /// TLS was asked for where there is none.
    #[error("{broker} does not speak TLS")]
    NotTls {
        /// `host:port`.
        broker: String,
    },
    /// TLS failed for another reason.
    #[error("TLS handshake failed: {reason}")]
    Tls {
        /// OpenSSL's words.
        reason: String,
    },
}

impl ConnectFault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NameNotFound { .. } => "name_not_found",
            Self::Refused { .. } => "refused",
            Self::TimedOut { .. } => "timed_out",
            Self::Unreachable { .. } => "unreachable",
            Self::Untrusted { .. } => "untrusted",
            Self::WrongName { .. } => "wrong_name",
            Self::NotTls { .. } => "not_tls",
            Self::Tls { .. } => "tls",
        }
    }

    pub(super) fn of_tcp(address: SocketAddr, source: &io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { address },
            io::ErrorKind::TimedOut => Self::TimedOut { broker: address.to_string() },
            _ => Self::Unreachable { address, reason: source.to_string() },
        }
    }

    /// `verdict` is what OpenSSL thought of the certificate: only the handshake's own failure makes it the cause.
    pub(super) fn of_tls(target: &Target, name: &str, source: &ssl::Error, verdict: X509VerifyResult) -> Self {
        let Some(stack) = source.ssl_error() else {
            let reason = source.io_error().map_or_else(|| CLOSED.to_owned(), io::Error::to_string);
            return Self::Tls { reason };
        };
        let reason = first_reason(stack);
        match reason.as_str() {
            "certificate verify failed" if is_name_mismatch(verdict) => Self::WrongName { name: name.to_owned() },
            "certificate verify failed" => Self::Untrusted { reason: verdict.error_string().to_owned() },
            "wrong version number" | "packet length too long" | "http request" => {
                Self::NotTls { broker: target.to_string() }
            }
            "unexpected eof while reading" => Self::Tls { reason: CLOSED.to_owned() },
            _ => Self::Tls { reason },
        }
    }
}

fn is_name_mismatch(verdict: X509VerifyResult) -> bool {
    matches!(verdict.as_raw(), X509_V_ERR_HOSTNAME_MISMATCH | X509_V_ERR_IP_ADDRESS_MISMATCH)
}

/// The first reason in `stack`, without error codes and source lines of OpenSSL.
pub(super) fn first_reason(stack: &ErrorStack) -> String {
    let reason = stack.errors().iter().find_map(openssl::error::Error::reason);
    reason.unwrap_or("no reason given").to_owned()
}

/// A broken connection: what TLS says becomes one sentence, the rest stays as it is.
pub(super) fn in_plain_words(fault: io::Error) -> io::Error {
    let inner = fault.get_ref().and_then(|inner| inner.downcast_ref::<ssl::Error>());
    match inner.and_then(ssl::Error::ssl_error) {
        Some(stack) => io::Error::new(io::ErrorKind::ConnectionAborted, format!("TLS: {}", first_reason(stack))),
        None => fault,
    }
}

const CLOSED: &str = "the broker closed the connection";
/// x509_vfy.h; the `openssl` crate does not name them.
const X509_V_ERR_HOSTNAME_MISMATCH: i32 = 62;
const X509_V_ERR_IP_ADDRESS_MISMATCH: i32 = 64;
