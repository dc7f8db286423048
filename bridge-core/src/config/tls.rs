//! `[broker.tls]`.

use std::fmt;
use std::path::PathBuf;

use settings::{Item, Leaf, Misfit, Section, Settings, quoted};

/// `[broker.tls]`: for `mqtts://` and `wss://`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerTlsConfig {
    /// PEM file with the authorities to trust; none means those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate and its chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file with its key.
    pub key_file: Option<PathBuf>,
    /// The name that the broker's certificate must have; none means the host of the URL.
    pub server_name: Option<String>,
    /// Protocols offered in the handshake, in order of preference (RFC 7301); none offers nothing.
    pub alpn: Vec<ProtocolName>,
    /// Takes any certificate: for trials only.
    pub insecure_skip_verify: bool,
}

impl Settings for BrokerTlsConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("ca_file", &mut self.ca_file);
        s.leaf("cert_file", &mut self.cert_file);
        s.leaf("key_file", &mut self.key_file);
        s.leaf("server_name", &mut self.server_name);
        s.list("alpn", &mut self.alpn);
        s.leaf("insecure_skip_verify", &mut self.insecure_skip_verify);
    }
}

/// The name of a protocol in TLS: 1 to 255 octets (RFC 7301 §3.1), here of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolName(Box<str>);

impl ProtocolName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ProtocolName {
    type Error = String;

    /// # Errors
    /// What is wrong, to follow the text: "has 256 octets, of 255 at most".
    fn try_from(text: &str) -> Result<Self, String> {
        match text.len() {
            0 => Err("is empty: a protocol's name has 1 to 255 octets".into()),
            1..=255 => Ok(Self(text.into())),
            octets => Err(format!("has {octets} octets: a protocol's name has 1 to 255")),
        }
    }
}

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Leaf for ProtocolName {
    const EXPECTED: &'static str = "a protocol's name, like \"mqtt\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        Self::try_from(item.text().ok_or(Misfit::Unexpected)?).map_err(Misfit::Refused)
    }

    fn to_toml(&self) -> String {
        quoted(&self.0)
    }
}
