//! `[gateways.<name>.listeners.tls.<name>.tls]`.

use std::path::PathBuf;

use settings::{HumanDuration, Section, Settings};

settings::choice! {
    /// Whether devices show certificates.
    #[derive(Default)]
    pub enum Verify {
        /// They are not asked to.
        #[default]
        None = "none",
        /// They are asked to; one that is shown must be good.
        Optional = "optional",
        /// Without a good one nobody comes in. (A pre-shared key does as well.)
        Required = "required",
    }
    theirs "verify_none" = "none", "verify_peer" = "required";
}

settings::choice! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// RFC 5246.
        Tls12 = "1.2",
        /// RFC 8446.
        Tls13 = "1.3",
    }
}

/// What a TLS listener shows and wants. All of it may change while the node runs, for connections to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file of our certificate, followed by those that lead to its root; goes with `key_file`. `None`: clients with
    /// pre-shared keys only.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its private key, not encrypted.
    pub key_file: Option<PathBuf>,
    /// PEM file of the authorities whose certificates devices may show.
    pub ca_file: Option<PathBuf>,
    /// Whether devices show certificates.
    pub verify: Verify,
    /// The versions that are spoken.
    pub versions: Vec<TlsVersion>,
    /// Names of ciphers, as OpenSSL has them; those that begin with `TLS_` are of version 1.3. Empty = ours.
    pub ciphers: Vec<String>,
    /// Time for the handshake: 1 s to 5 min.
    pub handshake_timeout: HumanDuration,
    /// Certificates for clients that ask for a name.
    pub sni: Vec<SniConfig>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            ca_file: None,
            verify: Verify::None,
            versions: vec![TlsVersion::Tls12, TlsVersion::Tls13],
            ciphers: Vec::new(),
            handshake_timeout: HumanDuration::from_secs(15),
            sni: Vec::new(),
        }
    }
}

impl Settings for TlsConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("cert_file", &mut self.cert_file);
        s.leaf("key_file", &mut self.key_file);
        s.leaf("ca_file", &mut self.ca_file);
        s.leaf("verify", &mut self.verify);
        s.list("versions", &mut self.versions);
        s.list("ciphers", &mut self.ciphers);
        let times = HumanDuration::from_secs(1)..=HumanDuration::from_secs(300);
        s.ranged("handshake_timeout", &mut self.handshake_timeout, times);
        s.tables("sni", &mut self.sni);
        s.renamed(&[
            ("certfile", "cert_file"),
            ("keyfile", "key_file"),
            ("cacertfile", "ca_file"),
            ("fail_if_no_peer_cert", "verify"),
        ]);
        s.misplaced(&[("cert", "cert_file"), ("key", "key_file"), ("ca", "ca_file")]);
        if let Some(misfit) = self.misfit() {
            s.refuse(misfit);
        }
    }
}

impl TlsConfig {
    /// What does not fit together.
    fn misfit(&self) -> Option<&'static str> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => Some("`cert_file` needs `key_file` beside it"),
            (None, Some(_)) => Some("`key_file` needs `cert_file` beside it"),
            (None, None) if !self.sni.is_empty() => {
                Some("`sni` needs `cert_file` for clients that ask for another name")
            }
            _ if self.verify != Verify::None && self.ca_file.is_none() => {
                Some("`verify` needs `ca_file`: whose certificates are good?")
            }
            _ if self.versions.is_empty() => Some("`versions` names none"),
            _ => None,
        }
    }
}

/// A certificate for clients that ask for a name (RFC 6066 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SniConfig {
    /// The name, in lower case; `*.example.com` stands for any one label in front of the rest.
    pub server_name: String,
    /// As in [`TlsConfig`].
    pub cert_file: PathBuf,
    /// As in [`TlsConfig`].
    pub key_file: PathBuf,
}

impl Settings for SniConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.required_checked("server_name", &mut self.server_name, |name| check_name(name));
        s.required_checked("cert_file", &mut self.cert_file, |path| check_path(path));
        s.required_checked("key_file", &mut self.key_file, |path| check_path(path));
    }
}

fn check_path(path: &std::path::Path) -> Result<(), String> {
    if path.as_os_str().is_empty() { Err("names no file".to_owned()) } else { Ok(()) }
}

/// Letters, digits, hyphens and dots, in lower case: names that a client may ask for come so, or are made so.
fn check_name(name: &str) -> Result<(), String> {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        let octet = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"-_".contains(&octet);
        !label.is_empty() && label.bytes().all(octet)
    };
    if plain.split('.').all(label) {
        Ok(())
    } else {
        Err("is no name of a server, like \"gw.example.com\" or \"*.example.com\", in lower case".to_owned())
    }
}
