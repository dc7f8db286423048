//! TLS towards the broker: whom to trust and how to prove who we are, loaded once.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslConnector, SslConnectorBuilder, SslMethod, SslOptions, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What an operator says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the certificates to trust, and no others; `None` trusts those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate, followed by those that lead to its root; goes with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its private key, not encrypted.
    pub key_file: Option<PathBuf>,
    /// The name to ask for and to expect in the broker's certificate; `None` is the host that is connected to.
    pub server_name: Option<String>,
    /// Protocols to offer, in order of preference, each of 1 to 255 octets (ALPN, RFC 7301); empty offers nothing.
    pub alpn: Vec<String>,
    /// Take any certificate from anybody.
    pub insecure_skip_verify: bool,
}

/// Loaded options: files have been read, keys fit. TLS 1.2 is the least that is spoken.
pub struct TlsSettings {
    connector: SslConnector,
    server_name: Option<String>,
    verify: bool,
}

impl TlsSettings {
    /// Reads the files that `options` names.
    ///
    /// # Errors
    /// [`TlsFault`], with the file that is to blame.
    pub fn load(options: &TlsOptions) -> Result<Self, TlsFault> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        // Many brokers just close. MQTT packets have lengths of their own, so that nothing can be cut unnoticed.
        builder.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
        if !options.alpn.is_empty() {
            builder.set_alpn_protos(&protocol_list(&options.alpn)?)?;
        }
        let verify = !options.insecure_skip_verify;
        if verify {
            trust(&mut builder, options.ca_file.as_deref())?;
        } else {
            builder.set_verify(SslVerifyMode::NONE);
        }
        match (&options.cert_file, &options.key_file) {
            (Some(cert_file), Some(key_file)) => identify(&mut builder, cert_file, key_file)?,
            (None, None) => {}
            (Some(_), None) => return Err(TlsFault::Incomplete { given: "cert_file", missing: "key_file" }),
            (None, Some(_)) => return Err(TlsFault::Incomplete { given: "key_file", missing: "cert_file" }),
        }
        Ok(Self { connector: builder.build(), server_name: options.server_name.clone(), verify })
    }

    /// All that is wrong with the files that `options` names, where [`Self::load`] ends at the first; empty if it would
    /// succeed.
    #[must_use]
    pub fn faults(options: &TlsOptions) -> Vec<TlsFault> {
        let trusted = options.ca_file.as_deref().filter(|_| !options.insecure_skip_verify);
        let files = [
            trusted.and_then(|path| certificates(path, "ca_file").err()),
            options.cert_file.as_deref().and_then(|path| certificates(path, "cert_file").err()),
            options.key_file.as_deref().and_then(|path| private_key(path).err()),
        ];
        let faults: Vec<_> = files.into_iter().flatten().collect();
        if faults.is_empty() { Self::load(options).err().into_iter().collect() } else { faults }
    }

    /// The name to expect of a broker at `host`.
    pub(super) fn name_for<'a>(&'a self, host: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(host)
    }

    /// A session that asks for `name`, and expects it unless anybody will do.
    pub(super) fn session(&self, name: &str) -> Result<Ssl, ErrorStack> {
        self.connector.configure()?.verify_hostname(self.verify).into_ssl(name)
    }

    /// How many certificates are trusted.
    #[cfg(test)]
    pub(super) fn trusted(&self) -> usize {
        self.connector.context().cert_store().all_certificates().len()
    }
}

impl fmt::Debug for TlsSettings {
    /// Without the context, which has the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings").field("server_name", &self.server_name).field("verify", &self.verify).finish()
    }
}

/// Trusts the certificates of `ca_file`, else those of the system.
fn trust(builder: &mut SslConnectorBuilder, ca_file: Option<&Path>) -> Result<(), TlsFault> {
    // A store of its own: the default one also has what the environment names.
    let mut store = X509StoreBuilder::new()?;
    if let Some(path) = ca_file {
        for certificate in certificates(path, "ca_file")? {
            store.add_cert(certificate)?;
        }
        builder.set_cert_store(store.build());
        return Ok(());
    }
    builder.set_cert_store(store.build());
    // OpenSSL that was built with the program knows no path of this system.
    let system = openssl_probe::probe();
    let directory = system.cert_dir.first().filter(|_| system.cert_file.is_none());
    if system.cert_file.is_none() && directory.is_none() {
        return Err(TlsFault::NoSystemStore);
    }
    builder.load_verify_locations(system.cert_file.as_deref(), directory.map(PathBuf::as_path))?;
    Ok(())
}

fn identify(builder: &mut SslConnectorBuilder, cert_file: &Path, key_file: &Path) -> Result<(), TlsFault> {
    let mut chain = certificates(cert_file, "cert_file")?.into_iter();
    if let Some(own) = chain.next() {
        builder.set_certificate(&own)?;
    }
    for issuer in chain {
        builder.add_extra_chain_cert(issuer)?;
    }
    let key = private_key(key_file)?;
    builder
        .set_private_key(&key)
        .and_then(|()| builder.check_private_key())
        .map_err(|_stack| TlsFault::file("key_file", key_file, &format!("is not the key of {}", cert_file.display())))
}

/// As RFC 7301 §3.1 has it: each name after its length.
fn protocol_list(names: &[String]) -> Result<Vec<u8>, TlsFault> {
    let mut list = Vec::new();
    for name in names {
        let length = u8::try_from(name.len()).ok().filter(|&length| length > 0);
        list.push(length.ok_or_else(|| TlsFault::ProtocolName(name.clone()))?);
        list.extend_from_slice(name.as_bytes());
    }
    Ok(list)
}

pub(crate) fn private_key(path: &Path) -> Result<PKey<Private>, TlsFault> {
    // Any pass phrase, given beforehand, keeps OpenSSL from asking for one on the terminal.
    PKey::private_key_from_pem_passphrase(&read(path, "key_file")?, b"-")
        .map_err(|_stack| TlsFault::file("key_file", path, "no private key in it that is not encrypted"))
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path, key: &'static str) -> Result<Vec<X509>, TlsFault> {
    let certificates = X509::stack_from_pem(&read(path, key)?).unwrap_or_default();
    if certificates.is_empty() { Err(TlsFault::file(key, path, "no certificate in it")) } else { Ok(certificates) }
}

fn read(path: &Path, key: &'static str) -> Result<Vec<u8>, TlsFault> {
    std::fs::read(path).map_err(|source| TlsFault::file(key, path, &source.to_string()))
}

/// Why the options cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsFault {
    /// A file is missing or holds something else.
    #[error("{key} {path}: {reason}", path = .path.display())]
    File {
        /// The configuration key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong; never a part of the file.
        reason: String,
    },
    /// A certificate and its key come together.
    #[error("{given} needs {missing}")]
    Incomplete {
        /// The key that is set.
        given: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// No trusted certificates where systems have them.
    #[error("this system has no certificate store: set ca_file")]
    NoSystemStore,
    /// No name of a protocol.
    #[error("alpn: {0:?} has not 1 to 255 octets")]
    ProtocolName(String),
    /// OpenSSL refused for another reason.
    #[error("TLS: {0}")]
    OpenSsl(String),
}

impl TlsFault {
    fn file(key: &'static str, path: &Path, reason: &str) -> Self {
        Self::File { key, path: path.to_owned(), reason: reason.to_owned() }
    }
}

impl From<ErrorStack> for TlsFault {
    fn from(stack: ErrorStack) -> Self {
        Self::OpenSsl(super::fault::first_reason(&stack))
    }
}
