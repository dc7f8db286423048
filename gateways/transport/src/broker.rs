//! The connection to a broker: a name is looked up, TCP connects, TLS and WebSocket shake hands, and then bytes flow.
//! What the bytes mean is the link's business.

pub(crate) mod fault;
mod local;
mod names;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod web;
mod wire;

pub use fault::ConnectFault;
pub use local::{BindFault, LocalAddresses};
pub use names::Names;
pub use tls::{TlsFault, TlsOptions, TlsSettings};

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use web::{Origin, WebSocket, shake_hands};
use wire::Wire;

/// Where a broker is, and how to reach it.
#[derive(Clone, Debug)]
pub struct Target {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// TLS, if it is wanted; loaded once and shared by all connections.
    pub tls: Option<Arc<TlsSettings>>,
    /// The path on its web server, beginning with `/`, if MQTT goes over WebSocket.
    pub web_path: Option<Arc<str>>,
    /// Where connections come from.
    pub local: Arc<LocalAddresses>,
    /// What the name stands for.
    pub names: Arc<Names>,
}

impl Target {
    /// MQTT over TCP alone, from an address that the system chooses.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, tls: None, web_path: None, local: Arc::default(), names: Arc::default() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A connection in the making. It makes progress only while it is polled, and it never blocks: names are looked up
/// on the runtime's blocking threads. Dropped, it is given up.
pub struct Connector {
    attempt: Option<Attempt>,
}

type Attempt = Pin<Box<dyn Future<Output = Result<BrokerStream, ConnectFault>> + Send>>;

impl Connector {
    /// Begins to connect to `target`; after `timeout`, for all of it, it has failed. If the name has several
    /// addresses, each gets an equal share of that time, in the resolver's order, until TCP connects to one.
    ///
    /// # Panics
    /// When polled outside a tokio runtime whose I/O and time are enabled.
    #[must_use]
    pub fn start(target: Target, timeout: Duration) -> Self {
        let attempt = async move {
            match tokio::time::timeout(timeout, connect(&target, timeout)).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => Err(ConnectFault::TimedOut { broker: target.to_string() }),
            }
        };
        Self { attempt: Some(Box::pin(attempt)) }
    }

    /// The connection, once it is there. After that, or after a fault, it is `Pending` for good: start another.
    ///
    /// # Errors
    /// [`ConnectFault`], which says in plain words what the operator should look at.
    pub fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Result<BrokerStream, ConnectFault>> {
        let Some(attempt) = &mut self.attempt else { return Poll::Pending };
        let outcome = ready!(attempt.as_mut().poll(cx));
        self.attempt = None;
        Poll::Ready(outcome)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("done", &self.attempt.is_none()).finish()
    }
}

async fn connect(target: &Target, timeout: Duration) -> Result<BrokerStream, ConnectFault> {
    let name_fault = |reason| ConnectFault::NameNotFound { host: target.host.clone(), reason };
    let found = target.names.addresses(&target.host, target.port).await;
    let addresses = found.map_err(|source| name_fault(source.to_string()))?;
    match reach(&addresses, &target.local, timeout).await {
        Ok((tcp, address)) => upgrade(secure(tcp, address, target).await?, target).await,
        Err(fault) => {
            target.names.forget().await;
            Err(fault.unwrap_or_else(|| name_fault("it has no address".to_owned())))
        }
    }
}

/// The first of `addresses` that TCP connects to, else the last one's fault; no fault if there is none.
async fn reach(
    addresses: &[SocketAddr],
    local: &LocalAddresses,
    timeout: Duration,
) -> Result<(TcpStream, SocketAddr), Option<ConnectFault>> {
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut fault = None;
    for &address in addresses {
        match tokio::time::timeout(share, local.connect(address)).await {
            Ok(Ok(tcp)) => return Ok((tcp, address)),
            Ok(Err(source)) => fault = Some(ConnectFault::of_tcp(address, &source)),
            Err(_elapsed) => fault = Some(ConnectFault::TimedOut { broker: address.to_string() }),
        }
    }
    Err(fault)
}

async fn secure(tcp: TcpStream, address: SocketAddr, target: &Target) -> Result<Wire, ConnectFault> {
    // The link writes whole batches: there is nothing that waiting for more could join.
    tcp.set_nodelay(true).map_err(|source| ConnectFault::of_tcp(address, &source))?;
    let Some(tls) = &target.tls else { return Ok(Wire::Plain(tcp)) };
    let name = tls.name_for(&target.host);
    let of_stack = |source: openssl::error::ErrorStack| ConnectFault::Tls { reason: fault::first_reason(&source) };
    let session = tls.session(name).map_err(of_stack)?;
    let mut stream = SslStream::new(session, tcp).map_err(of_stack)?;
    match Pin::new(&mut stream).connect().await {
        Ok(()) => Ok(Wire::Tls(stream)),
        Err(source) => Err(ConnectFault::of_tls(target, name, &source, stream.ssl().verify_result())),
    }
}

async fn upgrade(mut wire: Wire, target: &Target) -> Result<BrokerStream, ConnectFault> {
    let Some(path) = &target.web_path else { return Ok(BrokerStream { wire, web: None }) };
    let origin = Origin { tls: target.tls.is_some(), authority: &target.to_string(), path };
    let web = shake_hands(&mut wire, origin).await?;
    Ok(BrokerStream { wire, web: Some(Box::new(web)) })
}

/// A connection to a broker. Its methods are polled by one task.
#[derive(Debug)]
pub struct BrokerStream {
    wire: Wire,
    web: Option<Box<WebSocket>>,
}

impl BrokerStream {
    /// Appends what came to `buffer`, at most its spare capacity (of which 4 kB are made if there is none); returns
    /// how many bytes. 0 means that the broker has closed the connection.
    ///
    /// # Errors
    /// If the connection broke.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        if buffer.len() == buffer.capacity() {
            buffer.reserve(LEAST_READ);
        }
        let read = match &mut self.web {
            // `read_buf` keeps nothing between polls, so that its future may be made anew each time.
            None => pin!(self.wire.read_buf(buffer)).poll(cx),
            Some(web) => web.poll_read(&mut self.wire, cx, buffer),
        };
        read.map_err(fault::in_plain_words)
    }

    /// Writes from the front of `bytes`; returns how many were taken. After `Pending`, the next call must begin with
    /// the same bytes, and may have more after them: TLS has encrypted, or a frame has, the first of them already.
    ///
    /// # Errors
    /// If the connection broke.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.web {
            None => Pin::new(&mut self.wire).poll_write(cx, bytes),
            Some(web) => web.poll_write(&mut self.wire, cx, bytes),
        };
        written.map_err(fault::in_plain_words)
    }

    /// Tells the broker that no more will be written.
    ///
    /// # Errors
    /// If the connection broke before.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = match &mut self.web {
            None => Pin::new(&mut self.wire).poll_shutdown(cx),
            Some(web) => web.poll_shutdown(&mut self.wire, cx),
        };
        shut.map_err(fault::in_plain_words)
    }
}

const LEAST_READ: usize = 4096;
