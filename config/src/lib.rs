//! The root of the configuration tree, and how it is loaded.
//!
//! Each struct lives beside the code that reads it; what is here is what no other crate reads. `reference.toml` is the
//! commented reference, held against the structs by a test.
#![forbid(unsafe_code)]

mod check;
mod gateways;
mod node;
mod reload;
mod sessions;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io;
use std::path::Path;

use auth::config::AuthConfig;
use bridge_core::config::{AclConfig, BrokerConfig, BrokerUrl, EventsConfig};
use settings::{Document, Section, Settings};

pub use gateways::{Gateway, Gateways, Listener, MqttsnGateway, StreamKeys, TcpGateway};
pub use node::{AdminConfig, EmbeddedConfig, LogConfig, LogFormat, NodeConfig};
pub use sessions::{SessionStore, SessionsConfig};
pub use settings::{KeyPath, Place, Problem};
pub use transport::config::ListenerKind;

/// The commented reference: every key with its default, in a build with the embedded broker.
pub const REFERENCE: &str = include_str!("../reference.toml");

/// Environment variables that begin with this and `__` override keys.
pub const ENVIRONMENT_PREFIX: &str = "TIDEGATE";

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[node]`.
    pub node: NodeConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[broker]`.
    pub broker: Broker,
    /// `[admin]`.
    pub admin: AdminConfig,
    /// `[events]`.
    pub events: EventsConfig,
    /// `[auth]`.
    pub auth: AuthConfig,
    /// `[acl]`.
    pub acl: AclConfig,
    /// `[sessions]`.
    pub sessions: SessionsConfig,
    /// `[gateways]`.
    pub gateways: Gateways,
}

/// `[broker]` with `[broker.embedded]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broker {
    /// The link to the broker.
    pub link: BrokerConfig,
    /// `[broker.embedded]`.
    pub embedded: EmbeddedConfig,
}

/// What this binary was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// Whether it has the embedded broker.
    pub embedded: bool,
}

impl Settings for Config {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.table("node", &mut self.node);
        s.table("log", &mut self.log);
        s.table("broker", &mut self.broker);
        s.table("admin", &mut self.admin);
        s.table("events", &mut self.events);
        s.table("auth", &mut self.auth);
        s.table("acl", &mut self.acl);
        s.table("sessions", &mut self.sessions);
        s.table("gateways", &mut self.gateways);
        s.not_in_this_version(&["bans"]);
        s.renamed(&[("authentication", "auth"), ("authorization", "acl"), ("gateway", "gateways")]);
        s.renamed(&[("authn", "auth"), ("authz", "acl"), ("psk_authentication", "auth.psk")]);
        s.misplaced(&[("tcp", "gateways.tcp"), ("mqttsn", "gateways.mqttsn")]);
    }
}

impl Settings for Broker {
    fn visit(&mut self, s: &mut Section<'_>) {
        self.link.visit(s);
        s.table("embedded", &mut self.embedded);
    }
}

impl Config {
    /// The defaults of a build.
    #[must_use]
    pub fn of(build: Build) -> Self {
        let mut config = Self::default();
        if !build.embedded {
            config.broker.link.url = BrokerUrl::local();
        }
        config
    }

    /// The effective configuration as TOML: every key, secrets masked.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        settings::to_toml(&mut self.clone())
    }
}

/// The commented reference as it holds for a build.
#[must_use]
pub fn reference(build: Build) -> Cow<'static, str> {
    if build.embedded {
        REFERENCE.into()
    } else {
        REFERENCE.replacen("\nurl = \"embedded\"", &format!("\nurl = \"{}\"", BrokerUrl::local()), 1).into()
    }
}

/// Reads the configuration: the defaults of the build, over them the file (its name and text), over them `environment`.
///
/// Without a file every gateway runs; with one, those whose table is present. Paths of secret files are given to
/// `read_file` as the configuration names them. What other files hold is for `check_files` to judge: it is given what
/// was read, and returns keys with what is wrong.
///
/// # Errors
/// All problems at once, in the order of their places.
pub fn load(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (String, String)>,
    read_file: &mut dyn FnMut(&Path) -> io::Result<String>,
    check_files: &dyn Fn(&Config) -> Vec<(KeyPath, String)>,
    build: Build,
) -> Result<Config, Vec<Problem>> {
    let mut document = file.map_or_else(Document::default, |(name, text)| Document::parse(name, text));
    document.override_from(ENVIRONMENT_PREFIX, environment);
    let mut config = Config::of(build);
    if file.is_some() {
        let gateways = KeyPath::from("gateways");
        for (name, enable) in config.gateways.switches() {
            *enable = document.contains(&gateways.child(name));
        }
    }
    document.read(&mut config, read_file);
    check::across(&config, build, &mut document);
    document.refuse_all(check_files(&config).into_iter().map(|(key, message)| (vec![key], message)));
    document.finish().map(|()| config)
}
