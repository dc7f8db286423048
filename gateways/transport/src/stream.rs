//! Connections of devices: what they are wrapped in before a machine hears of them.

pub mod proxy;
pub mod tls;

pub use tls::{HandshakeFault, ServerTls, TlsFault, looks_like_tls, proven};
