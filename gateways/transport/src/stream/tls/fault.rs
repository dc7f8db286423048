//! What is wrong with a listener's files, and with a handshake, in words for whoever runs it.

use std::io;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::ssl::{self, SslRef};
use thiserror::Error;

use crate::broker;
use crate::broker::fault::first_reason;

/// Why a listener cannot have the TLS that its table asks for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsFault {
    /// A file is missing or holds something else.
    #[error("{key}: {path}: {reason}", path = .path.display())]
    File {
        /// The key that names it, within the listener's `tls` table: `cert_file`, `sni[0].key_file`.
        key: String,
        /// The file.
        path: PathBuf,
        /// What is wrong; never a part of the file.
        reason: String,
    },
    /// OpenSSL knows none of these.
    #[error("ciphers: {0}")]
    Ciphers(String),
    /// There is nothing to prove who we are by.
    #[error("neither a certificate (`cert_file`, `key_file`) nor pre-shared keys (`[auth.psk]`)")]
    Nothing,
    /// OpenSSL refused for another reason.
    #[error("TLS: {0}")]
    OpenSsl(String),
}

impl TlsFault {
    /// The key to blame, within the listener's `tls` table; `None` = the table.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::File { key, .. } => Some(key),
            Self::Ciphers(_) => Some("ciphers"),
            Self::Nothing | Self::OpenSsl(_) => None,
        }
    }

    /// What is wrong, without the key.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::File { path, reason, .. } => format!("{}: {reason}", path.display()),
            Self::Ciphers(reason) => reason.clone(),
            Self::Nothing | Self::OpenSsl(_) => self.to_string(),
        }
    }

    pub(super) fn file(key: &str, path: &Path, reason: String) -> Self {
        Self::File { key: key.to_owned(), path: path.to_owned(), reason }
    }

    pub(super) fn in_table(self, table: &str) -> Self {
        match self {
            Self::File { key, path, reason } => Self::File { key: format!("{table}{key}"), path, reason },
            Self::Ciphers(_) | Self::Nothing | Self::OpenSsl(_) => self,
        }
    }
}

/// Files are read as those of the broker's TLS are.
impl From<broker::TlsFault> for TlsFault {
    fn from(fault: broker::TlsFault) -> Self {
        match fault {
            broker::TlsFault::File { key, path, reason } => Self::File { key: key.to_owned(), path, reason },
            other => Self::OpenSsl(other.to_string()),
        }
    }
}

impl From<ErrorStack> for TlsFault {
    fn from(stack: ErrorStack) -> Self {
        Self::OpenSsl(first_reason(&stack))
    }
}

/// Why a handshake with a device came to nothing. The device's doing, or that of who set it up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HandshakeFault {
    /// What came is no TLS.
    #[error("the client does not speak TLS: this port is for TLS")]
    NotTls,
    /// The connection ended in the middle.
    #[error("the client closed the connection in the middle of the handshake")]
    Closed,
    /// It took longer than `handshake_timeout`.
    #[error("the handshake took too long")]
    TimedOut,
    /// A certificate is required.
    #[error("the client showed no certificate")]
    NoCertificate,
    /// Its certificate does not lead to an authority of `ca_file`, or is out of date.
    #[error("the client's certificate is not trusted: {0}")]
    Untrusted(String),
    /// Nobody in `[auth.psk]` has its identity.
    #[error("the client's pre-shared key identity is not known")]
    UnknownIdentity,
    /// Its key is not the one of its identity.
    #[error("the client's pre-shared key is wrong")]
    WrongKey,
    /// No version and no cipher that both speak; or it has a pre-shared key where none is known, or the reverse.
    #[error("no version, cipher or kind of key in common with the client: {0}")]
    NothingInCommon(String),
    /// It would not have us: mostly because it does not trust our certificate.
    #[error("the client refused: {0}")]
    Refused(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Something else.
    #[error("the handshake failed: {0}")]
    Other(String),
}

impl HandshakeFault {
    /// Puts OpenSSL's words for what happened on `ssl` into ours.
    #[must_use]
    pub fn of(ssl: &SslRef, fault: &ssl::Error) -> Self {
        let Some(stack) = fault.ssl_error() else {
            return fault.io_error().map_or(Self::Closed, Self::of_io);
        };
        let reason = first_reason(stack);
        match reason.as_str() {
            "http request"
            | "https proxy request"
            | "wrong version number"
            | "packet length too long"
            | "unexpected message"
            | "unsolicited extension" => Self::NotTls,
            "unexpected eof while reading" => Self::Closed,
            "peer did not return a certificate" => Self::NoCertificate,
            "certificate verify failed" => Self::Untrusted(ssl.verify_result().error_string().to_owned()),
            "psk identity not found" => Self::UnknownIdentity,
            "binder does not verify" => Self::WrongKey,
            "decryption failed or bad record mac" | "digest check failed" if is_psk(ssl) => Self::WrongKey,
            "no shared cipher"
            | "unsupported protocol"
            | "version too low"
            | "no suitable signature algorithm"
            | "no suitable groups"
            | "no suitable key share" => Self::NothingInCommon(reason),
            alert if alert.contains("alert") => Self::Refused(reason),
            _ => Self::Other(reason),
        }
    }

    fn of_io(fault: &io::Error) -> Self {
        match fault.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Broken(fault.to_string()),
        }
    }

    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Closed => "closed",
            Self::TimedOut => "timed_out",
            Self::NoCertificate => "no_certificate",
            Self::Untrusted(_) => "untrusted",
            Self::UnknownIdentity => "unknown_identity",
            Self::WrongKey => "wrong_key",
            Self::NothingInCommon(_) => "nothing_in_common",
            Self::Refused(_) => "refused",
            Self::Broken(_) => "broken",
            Self::Other(_) => "other",
        }
    }
}

/// Whether the cipher at hand is one of version 1.2 for pre-shared keys.
fn is_psk(ssl: &SslRef) -> bool {
    ssl.current_cipher().is_some_and(|cipher| cipher.name().contains("PSK"))
}
