//! Devices that have nothing but a socket.

mod basics;
mod documented;
mod faults;
mod framings;
mod limits;
mod proxy;
mod quality;
mod tls;

use crate::process::{Setup, Tidegate};

impl Tidegate {
    /// The port of the gateway of sockets.
    pub(crate) fn tcp(&self) -> std::net::SocketAddr {
        self.row("TCP", "tcp")
    }
}

/// A node whose TCP gateway has these keys.
fn with(keys: &[(&str, &str)]) -> Setup {
    keys.iter().fold(Setup::new(), |setup, (key, value)| setup.set(&format!("GATEWAYS__TCP__{key}"), value))
}

/// The same keys for its standard listener.
fn listening(keys: &[(&str, &str)]) -> Setup {
    let prefixed: Vec<_> =
        keys.iter().map(|(key, value)| (format!("LISTENERS__TCP__DEFAULT__{key}"), *value)).collect();
    with(&prefixed.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>())
}
