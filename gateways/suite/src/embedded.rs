//! The broker inside the process: to try things out, with a thread and a runtime of its own, and reached over its socket
//! like any other.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;

/// A running embedded broker.
pub(crate) struct Embedded {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stop: Box<dyn FnOnce() + Send>,
    /// Closed when its thread has ended.
    gone: oneshot::Receiver<()>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Lets it say goodbye to its clients for as long as `within`.
    pub(crate) async fn stop(self, within: Duration) {
        (self.stop)();
        // Whether it took too long is of no matter: what it held ends with the process.
        drop(tokio::time::timeout(within, self.gone).await);
    }
}

#[cfg(not(feature = "embedded-broker"))]
pub(crate) fn start(
    _bind: SocketAddr,
    _max_packet_size: u64,
    _ended: tokio::sync::mpsc::UnboundedSender<crate::worker::Ended>,
) -> Result<Embedded, crate::failure::Failure> {
    Err(crate::failure::Failure::Configuration(vec!["broker.url: this build has no embedded broker".to_owned()]))
}

#[cfg(feature = "embedded-broker")]
pub(crate) use with_broker::start;

#[cfg(feature = "embedded-broker")]
mod with_broker {
    use super::Embedded;
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpListener};
    use std::sync::mpsc as handshake;
    use std::thread;
    use std::time::Duration;

    use mqtt5::broker::{BrokerConfig, BrokerShutdownHandle, MqttBroker, StorageBackendType, StorageConfig};
    use tokio::sync::{mpsc, oneshot};

    use crate::failure::Failure;
    use crate::worker::{Ended, Part, guarded, runtime};

    type Standing = Result<(SocketAddr, BrokerShutdownHandle), String>;

    /// Starts the broker and waits until it listens.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn start(
        bind: SocketAddr,
        max_packet_size: u64,
        ended: mpsc::UnboundedSender<Ended>,
    ) -> Result<Embedded, Failure> {
        look(bind)?;
        let config = settings(bind, max_packet_size);
        let (stands, standing) = handshake::channel();
        let (here, gone) = oneshot::channel();
        let body = move || {
            let how = guarded(|| serve(config, &stands));
            drop(here);
            // The receiver is gone only when the process is about to be.
            drop(ended.send(Ended { who: Part::EmbeddedBroker, how }));
        };
        let cannot = |why: String| Failure::Running(format!("cannot start the embedded broker on {bind}: {why}"));
        let thread = thread::Builder::new().name("embedded-broker".to_owned());
        thread.spawn(body).map_err(|fault| cannot(fault.to_string()))?;
        match standing.recv() {
            Ok(Ok((address, handle))) => Ok(Embedded { address, stop: Box::new(move || handle.shutdown()), gone }),
            Ok(Err(why)) => Err(cannot(why)),
            Err(_gone) => Err(cannot("its thread has ended".to_owned())),
        }
    }

    /// Binds the address and lets it go: the broker's own fault says neither which port nor why.
    fn look(bind: SocketAddr) -> Result<(), Failure> {
        let Err(fault) = TcpListener::bind(bind) else { return Ok(()) };
        let why = match fault.kind() {
            ErrorKind::AddrInUse => format!(
                "port {port} is in use. If a broker listens there, use it: \
                 TIDEGATE__BROKER__URL=mqtt://127.0.0.1:{port}. Else set broker.embedded.bind",
                port = bind.port()
            ),
            _ => fault.to_string(),
        };
        Err(Failure::Running(format!("cannot start the embedded broker on {bind}: {why}")))
    }

    /// In memory: retained messages and sessions live as long as the process.
    fn settings(bind: SocketAddr, max_packet_size: u64) -> BrokerConfig {
        let storage =
            StorageConfig { backend: StorageBackendType::Memory, enable_persistence: true, ..StorageConfig::default() };
        BrokerConfig {
            bind_addresses: vec![bind],
            max_packet_size: usize::try_from(max_packet_size).unwrap_or(LARGEST_PACKET).min(LARGEST_PACKET),
            session_expiry_interval: SESSION_EXPIRY,
            sys_topics_enabled: false,
            storage_config: storage,
            ..BrokerConfig::default()
        }
    }

    fn serve(config: BrokerConfig, stands: &handshake::Sender<Standing>) -> Result<(), String> {
        let tell = |standing: Standing| drop(stands.send(standing));
        let runtime = runtime().inspect_err(|why| tell(Err(why.clone())))?;
        runtime.block_on(async {
            let mut broker = MqttBroker::with_config(config)
                .await
                .map_err(|fault| fault.to_string())
                .inspect_err(|why| tell(Err(why.clone())))?;
            let Some(address) = broker.local_addr() else {
                let why = "it has no address".to_owned();
                tell(Err(why.clone()));
                return Err(why);
            };
            tell(Ok((address, broker.shutdown_handle())));
            broker.run().await.map_err(|fault| fault.to_string())
        })
    }

    /// The largest packet of MQTT (MQTT 5.0 §1.5.5), in octets.
    const LARGEST_PACKET: usize = 268_435_455;
    /// Of clients that ask for a session without end.
    const SESSION_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);
}
