//! Tables that the binary itself reads: `[node]`, `[log]`, `[admin]`, `[broker.embedded]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use bridge_core::config::check_name;
use settings::{BindAddress, HumanDuration, Secret, Section, Settings};

/// `[node]`: this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its name in client ids, events and metrics; empty is one made up once and kept in `data_dir`.
    pub name: String,
    /// The address of listeners that name only a port.
    pub bind: IpAddr,
    /// Where the node keeps what must survive it.
    pub data_dir: PathBuf,
    /// Shards; 0 is one per core. Connection ids give a shard one byte.
    pub workers: u16,
    /// Time from a signal to the exit.
    pub shutdown_timeout: HumanDuration,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            data_dir: "data".into(),
            workers: 0,
            shutdown_timeout: HumanDuration::from_secs(10),
        }
    }
}

impl Settings for NodeConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.checked("name", &mut self.name, |name| check_name(name));
        s.leaf("bind", &mut self.bind);
        s.checked("data_dir", &mut self.data_dir, |dir| match dir.as_os_str().is_empty() {
            true => Err("is empty: the node keeps its name there".into()),
            false => Ok(()),
        });
        s.ranged("workers", &mut self.workers, 0..=256);
        s.leaf("shutdown_timeout", &mut self.shutdown_timeout);
    }
}

settings::choice! {
    /// How log lines look.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or a filter such as `info,mqttsn=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

impl Settings for LogConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.checked("level", &mut self.level, |filter| check_filter(filter));
        s.leaf("format", &mut self.format);
        s.not_in_this_version(&["file", "rotation"]);
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A word alone must be a level: the filter would take a misspelt one for a module, and log nothing else.
fn check_filter(filter: &str) -> Result<(), String> {
    let level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let directives: Vec<_> = filter.split(',').map(str::trim).collect();
    for directive in &directives {
        let word = match directive.rsplit_once('=') {
            Some((_, word)) => word,
            None if directives.len() == 1 => directive,
            None => continue,
        };
        if !level(word) && !word.contains([']', '"']) {
            return Err(format!("has {word:?} where one of {} belongs", LEVELS.join(", ")));
        }
    }
    Ok(())
}

/// `[admin]`: the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens; `None` is off.
    pub bind: Option<BindAddress>,
    /// User name that requests must give; empty is none.
    pub username: String,
    /// Password that requests must give; empty is none.
    pub password: Secret,
}

impl Default for AdminConfig {
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 18083));
        Self { bind: Some(BindAddress::Address(address)), username: String::new(), password: Secret::default() }
    }
}

impl Settings for AdminConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("bind", &mut self.bind);
        s.leaf("username", &mut self.username);
        s.secret("password", &mut self.password);
    }
}

/// `[broker.embedded]`: the broker inside the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// Where it listens.
    pub bind: BindAddress,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { bind: BindAddress::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))) }
    }
}

impl Settings for EmbeddedConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("bind", &mut self.bind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_filter_is_a_level_or_names_levels() {
        for filter in
            ["info", "WARN", "info,mqttsn=debug", "warn, bridge_core", "mqttsn[session{id=\"x\"}]=trace", "off"]
        {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
        for (filter, word) in [("inof", "inof"), ("", ""), ("info,mqttsn=verbose", "verbose"), ("mqttsn=", "")] {
            let expected = format!("has {word:?} where one of off, error, warn, info, debug, trace belongs");
            assert_eq!(check_filter(filter), Err(expected), "{filter}");
        }
    }
}
