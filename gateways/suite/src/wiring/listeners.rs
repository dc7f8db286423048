//! Who listens where: ports are taken before anything else begins.

use std::net::SocketAddr;
use std::sync::Arc;

use bridge_core::gate::Gate;
use bridge_core::peer::GatewayId;
use config::{Config, ListenerKind};
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
    pub(super) mountpoint: String,
    /// One for each worker.
    pub(super) sockets: Vec<BoundUdp>,
}

impl Listener {
    /// Octets of receive buffer that the kernel granted; `None` where that is nothing to worry about.
    pub(crate) fn receive_buffer(&self) -> Option<usize> {
        self.sockets.first().map(BoundUdp::receive_buffer)
    }

    /// Lets shard 0 broadcast.
    ///
    /// # Errors
    /// If the system refuses it.
    pub(crate) fn allow_broadcast(&self) -> Result<(), Failure> {
        let cannot = |fault| Failure::Running(format!("listener {}: cannot broadcast: {fault}", self.key));
        // Shard 0 has the first of each.
        self.sockets.first().map_or(Ok(()), BoundUdp::allow_broadcast).map_err(cannot)
    }
}

/// Binds all listeners of all gateways that run, in the order of their numbers.
///
/// # Errors
/// Which listener has no address.
pub(crate) fn bind(config: &Config, workers: u16) -> Result<Vec<Listener>, Failure> {
    config
        .listeners()
        .iter()
        .filter_map(|listener| Some((gateways::number(listener.gateway)?, listener)))
        .map(|(gateway, listener)| {
            let key = listener.key().to_string();
            let address = listener.config.bind.resolve(config.node.bind);
            let sockets = udp::bind(address, workers.into(), SOCKET_BUFFER)
                .map_err(|fault| Failure::Running(format!("listener {key}: {fault}")))?;
            Ok(Listener {
                key,
                gateway,
                kind: listener.kind,
                name: listener.name.to_owned(),
                address: sockets.first().map_or(address, BoundUdp::local_addr),
                gate: Arc::new(Gate::new(listener.config.max_connections, listener.config.max_conn_rate)),
                mountpoint: listener.config.mountpoint.clone(),
                sockets,
            })
        })
        .collect()
}
