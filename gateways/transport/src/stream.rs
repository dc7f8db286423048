//! Connections of devices: listeners that share a port, one for each worker, and what a connection is wrapped in before a
//! machine hears of it.

mod listener;
pub mod proxy;
mod socket;
pub mod tls;
mod wire;

pub use crate::bind::BindFault;
pub use listener::{BoundTcp, bind};
pub use tls::{HandshakeFault, ServerTls, TlsFault, TlsRenewal, looks_like_tls, proven};

pub(crate) use listener::{Accepted, TcpAcceptor};
pub(crate) use socket::Socket;
pub(crate) use wire::Wire;
