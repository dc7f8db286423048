//! Who listens where: ports are taken before anything else begins.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bridge_core::gate::Gate;
use bridge_core::peer::GatewayId;
use bridge_core::streams::Marks;
use config::{Config, ListenerKind};
use settings::ByteSize;
use transport::stream::{self, BoundTcp};
use transport::udp::{self, BoundUdp};

use crate::failure::Failure;
use crate::gateways;

/// Octets of receive and send buffer that each socket asks for.
pub(crate) const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// A listener whose port is taken, before any worker polls it.
#[derive(Debug)]
pub(crate) struct Listener {
    /// As the configuration names it: `gateways.mqttsn.listeners.udp.default`.
    pub(crate) key: String,
    /// Whose it is.
    pub(crate) gateway: GatewayId,
    /// What it listens for.
    pub(crate) kind: ListenerKind,
    /// As the operator has named it.
    pub(crate) name: String,
    /// With the port that was chosen if 0 was asked for.
    pub(crate) address: SocketAddr,
    /// How many sessions it has, and may have.
    pub(crate) gate: Arc<Gate>,
    /// As configured; empty = the gateway's.
    pub(crate) mountpoint: String,
    /// How full the buffers of its connections may get.
    pub(super) marks: Marks,
    /// One for each worker.
    pub(super) sockets: Sockets,
}

/// One for each worker.
#[derive(Debug)]
pub(super) enum Sockets {
    /// Of datagrams.
    Udp(Vec<BoundUdp>),
    /// Of connections.
    Stream {
        /// They listen already, so whoever comes waits until somebody accepts.
        sockets: Vec<BoundTcp>,
        /// If each connection begins with a PROXY header: the time for that.
        proxy: Option<Duration>,
        /// How long a device may take nothing of what waits for it.
        send_timeout: Duration,
    },
}

impl Listener {
    /// Octets of receive buffer that the kernel granted; `None` where that is nothing to worry about.
    pub(crate) fn receive_buffer(&self) -> Option<usize> {
        match &self.sockets {
            Sockets::Udp(sockets) => sockets.first().map(BoundUdp::receive_buffer),
            Sockets::Stream { .. } => None,
        }
    }

    /// Lets shard 0 broadcast.
    ///
    /// # Errors
    /// If the system refuses it.
    pub(crate) fn allow_broadcast(&self) -> Result<(), Failure> {
        let cannot = |fault| Failure::Running(format!("listener {}: cannot broadcast: {fault}", self.key));
        match &self.sockets {
            // Shard 0 has the first of each.
            Sockets::Udp(sockets) => sockets.first().map_or(Ok(()), BoundUdp::allow_broadcast).map_err(cannot),
            Sockets::Stream { .. } => Ok(()),
        }
    }
}

/// Binds all listeners of all gateways that run, in the order of their numbers.
///
/// # Errors
/// Which listener has no address.
pub(crate) fn bind(config: &Config, workers: u16) -> Result<Vec<Listener>, Failure> {
    config.listeners().iter().map(|listener| bind_one(config, listener, workers)).collect()
}

fn bind_one(config: &Config, listener: &config::Listener<'_>, workers: u16) -> Result<Listener, Failure> {
    let key = listener.key().to_string();
    let cannot = |fault: &dyn fmt::Display| Failure::Running(format!("listener {key}: {fault}"));
    let gateway = gateways::number(listener.gateway).ok_or_else(|| cannot(&"no such gateway"))?;
    let wanted = listener.config.bind.resolve(config.node.bind);
    let (address, marks, sockets) = match &listener.stream {
        None => {
            let mut sockets = udp::bind(wanted, workers.into(), SOCKET_BUFFER).map_err(|fault| cannot(&fault))?;
            if listener.config.proxy_protocol {
                udp::put_behind_proxy(&mut sockets);
            }
            let address = sockets.first().map_or(wanted, BoundUdp::local_addr);
            (address, Marks::default(), Sockets::Udp(sockets))
        }
        Some(stream) => {
            let sockets = stream::bind(wanted, workers.into()).map_err(|fault| cannot(&fault))?;
            let address = sockets.first().map_or(wanted, BoundTcp::local_addr);
            let octets = |size: ByteSize| u32::try_from(size.bytes()).unwrap_or(u32::MAX);
            let marks = Marks { high: octets(stream.high_watermark), low: octets(stream.low_watermark) };
            let proxy = stream.proxy_protocol.then(|| stream.proxy_protocol_timeout.get());
            (address, marks, Sockets::Stream { sockets, proxy, send_timeout: stream.send_timeout.get() })
        }
    };
    let gate = Arc::new(Gate::new(listener.config.max_connections, listener.config.max_conn_rate));
    let (kind, name, mountpoint) = (listener.kind, listener.name.to_owned(), listener.config.mountpoint.clone());
    Ok(Listener { key, gateway, kind, name, address, gate, mountpoint, marks, sockets })
}
