//! `[broker.tls]` as transport wants it.

use std::sync::Arc;

use bridge_core::config::{BrokerConfig, BrokerUrl};
use config::KeyPath;
use transport::broker::{TlsFault, TlsOptions, TlsSettings};

/// Loads the files that the configuration names, if a broker is reached by TLS.
///
/// # Errors
/// What is wrong, with the dotted key.
pub(crate) fn load(broker: &BrokerConfig) -> Result<Option<Arc<TlsSettings>>, String> {
    let Some(options) = options(broker) else { return Ok(None) };
    TlsSettings::load(&options).map(|settings| Some(Arc::new(settings))).map_err(|fault| {
        let (key, message) = blame(fault);
        format!("{key}: {message}")
    })
}

/// All that is wrong with those files, with their keys.
pub(crate) fn problems(broker: &BrokerConfig) -> Vec<(KeyPath, String)> {
    options(broker).map_or_else(Vec::new, |options| TlsSettings::faults(&options).into_iter().map(blame).collect())
}

/// `None` while no broker is reached by TLS.
fn options(broker: &BrokerConfig) -> Option<TlsOptions> {
    if !broker.servers().iter().any(BrokerUrl::is_tls) {
        return None;
    }
    let tls = &broker.tls;
    Some(TlsOptions {
        ca_file: tls.ca_file.clone(),
        cert_file: tls.cert_file.clone(),
        key_file: tls.key_file.clone(),
        server_name: tls.server_name.clone(),
        alpn: tls.alpn.iter().map(ToString::to_string).collect(),
        insecure_skip_verify: tls.insecure_skip_verify,
    })
}

fn blame(fault: TlsFault) -> (KeyPath, String) {
    let table = KeyPath::from("broker.tls");
    match fault {
        TlsFault::File { key, path, reason } => (table.child(key), format!("{}: {reason}", path.display())),
        TlsFault::Incomplete { given, missing } => (table.child(given), format!("needs `{missing}` beside it")),
        other => (table, other.to_string()),
    }
}
