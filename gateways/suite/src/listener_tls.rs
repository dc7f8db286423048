//! TLS of the gateways' listeners: loaded at the start, and again at a reload.

use std::sync::Arc;

use bridge_core::auth::PskKeys;
use bridge_core::live::Live;
use config::{Config, KeyPath};
use transport::config::TlsConfig;
use transport::stream::{ServerTls, TlsFault, TlsRenewal};

use crate::failure::Failure;

/// By listener number; `None` where there is no TLS.
#[derive(Debug, Default)]
pub(crate) struct ListenerTls(Vec<Option<Arc<ServerTls>>>);

impl ListenerTls {
    /// Reads the files of all listeners that run. `keys` are asked at each handshake with a pre-shared key.
    ///
    /// # Errors
    /// All that is wrong, with the dotted keys.
    pub(crate) fn load(config: &Config, keys: &Live<PskKeys>) -> Result<Self, Failure> {
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        for (key, tls) in tables(config) {
            match tls.map(|tls| ServerTls::load(tls, keys)).transpose() {
                Ok(loaded) => {
                    loaded.iter().for_each(|loaded| warn(&key, loaded));
                    all.push(loaded.map(Arc::new));
                }
                Err(fault) => problems.push(told(&key, &fault)),
            }
        }
        if problems.is_empty() { Ok(Self(all)) } else { Err(Failure::Configuration(lines(&problems))) }
    }

    /// That of the listener with this number.
    pub(crate) fn get(&self, number: usize) -> Option<&Arc<ServerTls>> {
        self.0.get(number)?.as_ref()
    }

    /// Reads the files again, while nothing changes. `with_keys`: whether there will be pre-shared keys.
    ///
    /// # Errors
    /// All that is wrong, a line each.
    pub(crate) fn renewal(&self, next: &Config, with_keys: bool) -> Result<Renewal, Vec<String>> {
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        for (loaded, (key, table)) in self.0.iter().zip(tables(next)) {
            let (Some(loaded), Some(table)) = (loaded, table) else { continue };
            match loaded.renewal(table, with_keys) {
                Ok(renewal) => all.push((key, Arc::clone(loaded), renewal)),
                Err(fault) => problems.push(told(&key, &fault)),
            }
        }
        if problems.is_empty() { Ok(Renewal(all)) } else { Err(lines(&problems)) }
    }
}

/// What the listeners are to show and want from now on.
#[derive(Debug)]
pub(crate) struct Renewal(Vec<(KeyPath, Arc<ServerTls>, TlsRenewal)>);

impl Renewal {
    /// Puts it in force, for connections to come.
    pub(crate) fn apply(self) {
        for (key, tls, renewal) in self.0 {
            tls.renew(renewal);
            warn(&key, &tls);
        }
    }
}

/// All that is wrong with the files of TLS listeners, by the keys that name them.
pub(crate) fn problems(config: &Config, keys: &Live<PskKeys>) -> Vec<(KeyPath, String)> {
    let tables = tables(config).into_iter();
    let fault = |(key, table): (KeyPath, Option<&TlsConfig>)| {
        let fault = ServerTls::load(table?, keys).err()?;
        Some(told(&key, &fault))
    };
    tables.filter_map(fault).collect()
}

/// What can be run, and is hardly meant, by the key of the table.
pub(crate) fn warnings(config: &Config, keys: &Live<PskKeys>) -> Vec<(KeyPath, String)> {
    let loaded = tables(config).into_iter().filter_map(|(key, table)| Some((key, ServerTls::load(table?, keys).ok()?)));
    let told = |(key, tls): (KeyPath, ServerTls)| tls.warnings().into_iter().map(move |message| (key.clone(), message));
    loaded.flat_map(told).collect()
}

/// The `tls` table of each listener, and its key.
fn tables(config: &Config) -> Vec<(KeyPath, Option<&TlsConfig>)> {
    let listeners = config.listeners().into_iter();
    listeners.map(|listener| (listener.key().child("tls"), listener.stream.and_then(|stream| stream.tls))).collect()
}

fn told(table: &KeyPath, fault: &TlsFault) -> (KeyPath, String) {
    (fault.key().map_or_else(|| table.clone(), |key| below(table, key)), fault.message())
}

/// `cert_file` or `sni[0].key_file` below `table`.
fn below(table: &KeyPath, key: &str) -> KeyPath {
    key.split('.').fold(table.clone(), |path, step| {
        match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
            Some((name, index)) => match index.parse() {
                Ok(index) => path.child(name).element(index),
                Err(_no_number) => path.child(step),
            },
            None => path.child(step),
        }
    })
}

fn lines(problems: &[(KeyPath, String)]) -> Vec<String> {
    problems.iter().map(|(key, message)| format!("{key}: {message}")).collect()
}

fn warn(key: &KeyPath, loaded: &ServerTls) {
    for warning in loaded.warnings() {
        tracing::warn!(%key, "{warning}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_the_key_that_names_the_file() {
        let table = KeyPath::from("gateways.tcp.listeners.tls.a.tls");
        for (key, expected) in [
            ("cert_file", "gateways.tcp.listeners.tls.a.tls.cert_file"),
            ("sni[1].key_file", "gateways.tcp.listeners.tls.a.tls.sni[1].key_file"),
        ] {
            assert_eq!(below(&table, key).to_string(), expected);
        }
    }

    #[test]
    fn a_listener_that_can_prove_nothing_is_refused() {
        let mut config = Config::default();
        assert!(problems(&config, &Live::from(PskKeys::default())).is_empty());
        let tls = transport::config::StreamListenerConfig::tls(0);
        config.gateways.tcp.listeners.tls.insert("a".to_owned(), tls);
        let keys = [(Box::from("pump"), Box::from([1, 2, 3, 4]))];
        for (keys, expected) in [(PskKeys::default(), 1), (keys.into_iter().collect(), 0)] {
            let found = problems(&config, &Live::from(keys));
            assert_eq!(found.len(), expected, "{found:?}");
            assert!(found.iter().all(|(key, _)| key.to_string() == "gateways.tcp.listeners.tls.a.tls"));
        }
    }
}
