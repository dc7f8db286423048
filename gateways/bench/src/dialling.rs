//! How devices reach a gateway over TCP: its address, and TLS if it is wanted.

use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::fleet::Sessions;
use clap::{Args as ClapArgs, ValueEnum};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use std::path::PathBuf;

/// Options of everything that dials.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Dialling {
    /// The gateway, TCP
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:8090")]
    pub(crate) gateway: Endpoint,
    /// How a stream is cut into frames; with `line`, the first is the client id
    #[arg(long, global = true, value_enum, default_value = "emqx")]
    pub(crate) framing: Framing,
    /// User name in CONNECT; %c is the client id
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) username: Option<String>,
    /// File whose first line is the password in CONNECT, the same for all
    #[arg(long, global = true, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
    /// Speak TLS; its certificate must name the host
    #[arg(long, global = true)]
    pub(crate) tls: bool,
    /// PEM file of the authorities to trust; without it those of the system
    #[arg(long, global = true, value_name = "FILE", requires = "tls")]
    pub(crate) ca: Option<PathBuf>,
    /// Take any certificate
    #[arg(long, global = true, requires = "tls")]
    pub(crate) insecure: bool,
}

/// A way to cut streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// EMQ X's frames
    Emqx,
    /// Lines
    Line,
}

impl Framing {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Emqx => "emqx",
            Self::Line => "line",
        }
    }
}

/// What CONNECT says beside the client id. `Debug` shows no password.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    username: Option<String>,
    password: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The user name of this client.
    pub(crate) fn username(&self, client_id: &str) -> Option<String> {
        self.username.as_ref().map(|name| name.replace("%c", client_id))
    }

    pub(crate) fn password(&self) -> Option<&[u8]> {
        self.password.as_deref().map(str::as_bytes)
    }
}

impl Dialling {
    /// # Errors
    /// [`Failure::Usage`] if the password's file cannot be read.
    pub(crate) fn credentials(&self) -> Result<Credentials, Failure> {
        let read = |path: &PathBuf| match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.lines().next().unwrap_or_default().to_owned()),
            Err(error) => Err(Failure::Usage(format!("{}: {error}", path.display()))),
        };
        let password = self.password_file.as_ref().map(read).transpose()?;
        Ok(Credentials { username: self.username.clone(), password })
    }

    /// What makes TLS sessions, if TLS is wanted.
    ///
    /// # Errors
    /// [`Failure::Usage`] if the authorities cannot be read, [`Failure::Io`] if OpenSSL refuses.
    pub(crate) fn sessions(&self) -> Result<Option<Sessions>, Failure> {
        if !self.tls {
            return Ok(None);
        }
        let refused = |stack: openssl::error::ErrorStack| Failure::Io("TLS", stack.into());
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(refused)?;
        if let Some(path) = &self.ca {
            let told = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", path.display()));
            std::fs::File::open(path).map_err(|error| told(&error))?;
            builder.set_ca_file(path).map_err(|_stack| told(&"holds no certificate in PEM"))?;
        }
        if self.insecure {
            builder.set_verify(SslVerifyMode::NONE);
        }
        let (connector, host, insecure) = (builder.build(), self.gateway.host().to_owned(), self.insecure);
        Ok(Some(Box::new(move || {
            let session = connector.configure().map(|session| session.verify_hostname(!insecure));
            session.and_then(|session| session.into_ssl(&host)).map_err(refused)
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_authorities_that_is_none_is_told_in_words() {
        let sessions = |ca: &str| {
            let gateway = "127.0.0.1:8091".parse().unwrap();
            let (framing, ca) = (Framing::Emqx, Some(ca.into()));
            let dialling =
                Dialling { gateway, framing, username: None, password_file: None, tls: true, ca, insecure: false };
            dialling.sessions().err().map(|failure| failure.to_string())
        };
        assert_eq!(sessions("nowhere.pem").unwrap(), "nowhere.pem: No such file or directory (os error 2)");
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(sessions(here), Some(format!("{here}: holds no certificate in PEM")));
    }
}
