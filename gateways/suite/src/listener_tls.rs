//! TLS of the gateways' listeners: loaded at the start, and again at a reload.

use std::sync::Arc;

use bridge_core::auth::PskKeys;
use bridge_core::live::Live;
use config::{Config, KeyPath};
use transport::config::TlsConfig;
use transport::stream::{ServerTls, TlsFault};

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
        let lines = problems.iter().map(|(key, message)| format!("{key}: {message}")).collect::<Vec<_>>();
        if lines.is_empty() { Ok(Self(all)) } else { Err(Failure::Configuration(lines)) }
    }

    /// That of the listener with this number.
    pub(crate) fn get(&self, number: usize) -> Option<&Arc<ServerTls>> {
        self.0.get(number)?.as_ref()
    }

    /// Reads the files again. They were found sound a moment ago; a listener whose files have become unsound since keeps
    /// what it has.
    pub(crate) fn reload(&self, next: &Config) {
        for (loaded, (key, table)) in self.0.iter().zip(tables(next)) {
            let (Some(loaded), Some(table)) = (loaded, table) else { continue };
            match loaded.reload(table) {
                Ok(()) => warn(&key, loaded),
                Err(fault) => {
                    let (key, reason) = told(&key, &fault);
                    tracing::error!(%key, reason, "the certificates stay as they are");
                }
            }
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
