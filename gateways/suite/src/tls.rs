//! `[broker.tls]` as transport wants it.

use std::sync::Arc;

use bridge_core::config::{BrokerConfig, BrokerUrl};
use transport::broker::{TlsFault, TlsOptions, TlsSettings};

/// Loads the files that the configuration names, if a broker is reached by TLS.
///
/// # Errors
/// What is wrong, with the dotted key.
pub(crate) fn load(broker: &BrokerConfig) -> Result<Option<Arc<TlsSettings>>, String> {
    if !broker.servers().iter().any(|url| matches!(url, BrokerUrl::Tls(_))) {
        return Ok(None);
    }
    let tls = &broker.tls;
    let options = TlsOptions {
        ca_file: tls.ca_file.clone(),
        cert_file: tls.cert_file.clone(),
        key_file: tls.key_file.clone(),
        server_name: tls.server_name.clone(),
        insecure_skip_verify: tls.insecure_skip_verify,
    };
    TlsSettings::load(&options).map(|settings| Some(Arc::new(settings))).map_err(|fault| match fault {
        TlsFault::File { key, path, reason } => format!("broker.tls.{key}: {}: {reason}", path.display()),
        other => format!("broker.tls: {other}"),
    })
}
