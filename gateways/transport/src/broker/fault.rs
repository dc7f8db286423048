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
        /// OpenSSL's words, or ours where those say too little.
        reason: String,
    },
    /// There is a web server, which has something else to say than WebSocket.
    #[error("{url} answered HTTP {status} {words}{hint}", hint = hint(*.status))]
    HttpRefused {
        /// What it was asked for.
        url: String,
        /// Its status code.
        status: u16,
        /// The status in its words, and the first line of its text.
        words: String,
    },
    /// There is no WebSocket that carries MQTT.
    #[error("{url} takes no MQTT over WebSocket: {reason}")]
    NoWebSocket {
        /// What it was asked for.
        url: String,
        /// What it did instead.
        reason: String,
    },
}

/// What the operator may have got wrong.
const fn hint(status: u16) -> &'static str {
    match status {
        404 => " (the URL's path may be another)",
        200..=299 => " (a web page, no broker)",
        _ => "",
    }
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
            Self::HttpRefused { .. } => "http_refused",
            Self::NoWebSocket { .. } => "no_web_socket",
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
            _ => Self::Tls { reason: in_our_words(&reason) },
        }
    }
}

fn is_name_mismatch(verdict: X509VerifyResult) -> bool {
    matches!(verdict.as_raw(), X509_V_ERR_HOSTNAME_MISMATCH | X509_V_ERR_IP_ADDRESS_MISMATCH)
}

/// The first reason in `stack`, without error codes and source lines of OpenSSL.
pub(crate) fn first_reason(stack: &ErrorStack) -> String {
    let reason = stack.errors().iter().find_map(openssl::error::Error::reason);
    reason.unwrap_or("the connection broke").to_owned()
}

/// A broken connection: what TLS says becomes one sentence, the rest stays as it is.
pub(super) fn in_plain_words(fault: io::Error) -> io::Error {
    match tls_reason(&fault) {
        Some(reason) => io::Error::new(io::ErrorKind::ConnectionAborted, format!("TLS: {reason}")),
        None => fault,
    }
}

/// What TLS says of a broken connection, if it was TLS that broke.
pub(super) fn tls_reason(fault: &io::Error) -> Option<String> {
    let inner = fault.get_ref()?.downcast_ref::<ssl::Error>()?;
    inner.ssl_error().map(|stack| in_our_words(&first_reason(stack)))
}

/// What a broker's alerts (RFC 8446 §6.2) mean to whoever configures us, in front of OpenSSL's words for them.
fn in_our_words(reason: &str) -> String {
    let Some((_, alert)) = reason.split_once("alert ") else { return reason.to_owned() };
    let meaning = match alert {
        "certificate required" => "the broker wants a client certificate (`cert_file`, `key_file`)",
        "handshake failure" => "the broker refused; it may want a client certificate, or other ciphers",
        "unknown ca"
        | "bad certificate"
        | "certificate unknown"
        | "certificate expired"
        | "certificate revoked"
        | "unsupported certificate"
        | "access denied" => "the broker does not take our certificate",
        "no application protocol" => "the broker speaks none of the protocols in `alpn`",
        "unrecognized name" => "the broker has no such name (`server_name` sets the name to ask for)",
        "protocol version" => "the broker speaks neither TLS 1.2 nor 1.3",
        _ => return reason.to_owned(),
    };
    format!("{meaning}: {reason}")
}

const CLOSED: &str = "the broker closed the connection";
/// x509_vfy.h; the `openssl` crate does not name them.
const X509_V_ERR_HOSTNAME_MISMATCH: i32 = 62;
const X509_V_ERR_IP_ADDRESS_MISMATCH: i32 = 64;
