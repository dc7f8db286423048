//! UDP listeners: sockets that share a port, one for each worker, and datagrams in batches.

mod batch;
mod proxied;
mod queue;
#[cfg(test)]
mod tests;

pub use crate::bind::BindFault;
pub use batch::{Batch, Datagram};
pub use queue::{SendCounts, SendQueue};

use crate::abi::Family;
use crate::sys::{self, BATCH};
use proxied::ProxiedPeers;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A bound socket that no runtime polls yet: sockets are bound before the workers start, in their order, so that a
/// port in use ends the start of the process and not one worker of it.
#[derive(Debug)]
pub struct BoundUdp {
    socket: Socket,
    local_addr: SocketAddr,
    receive_buffer: usize,
    proxied: Option<Arc<ProxiedPeers>>,
}

/// Binds `workers` sockets (at least one) to `address`; the kernel spreads the peers over them. `buffer_bytes` is
/// asked for as receive and as send buffer of each; see [`BoundUdp::receive_buffer`] for what was granted.
///
/// `[::]` takes IPv4 too. Port 0 lets the kernel choose one port, the same for all. A port that another process
/// holds is refused even if that process would share it, as a second tidegate would.
///
/// # Errors
/// [`BindFault`] with the address and the step that failed.
pub fn bind(address: SocketAddr, workers: usize, buffer_bytes: usize) -> Result<Vec<BoundUdp>, BindFault> {
    if address.port() != 0 {
        // Sockets share a port only among those that all ask to; this one does not, so it meets whoever is there.
        drop(open(address, false)?);
    }
    let first = BoundUdp::bind(address, buffer_bytes)?;
    let address = first.local_addr;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(BoundUdp::bind(address, buffer_bytes)?);
    }
    Ok(sockets)
}

/// The sockets of one listener hear devices through a proxy, which says in front of each datagram who has sent it (PROXY
/// protocol, version 2); answers go back through it.
pub fn put_behind_proxy(sockets: &mut [BoundUdp]) {
    let peers = Arc::new(ProxiedPeers::new());
    sockets.iter_mut().for_each(|socket| socket.proxied = Some(Arc::clone(&peers)));
}

impl BoundUdp {
    fn bind(address: SocketAddr, buffer_bytes: usize) -> Result<Self, BindFault> {
        let socket = open(address, true)?;
        let fault = |step| move |source: io::Error| BindFault::new("UDP", address, step, &source);
        // The kernel cuts what is too much for it and says nothing, so the size is read back. It says twice what
        // it was asked for: its own bookkeeping comes out of the same purse (socket(7)).
        socket.set_recv_buffer_size(buffer_bytes).map_err(fault("set the receive buffer"))?;
        socket.set_send_buffer_size(buffer_bytes).map_err(fault("set the send buffer"))?;
        let receive_buffer = socket.recv_buffer_size().map_err(fault("read the receive buffer"))? / 2;
        let local_addr = socket.local_addr().map_err(fault("read the address"))?;
        let local_addr = local_addr.as_socket().unwrap_or(address);
        Ok(Self { socket, local_addr, receive_buffer, proxied: None })
    }

    /// The address it is bound to, with the port that the kernel chose if 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Bytes of receive buffer that the kernel granted. Less than was asked for means that `net.core.rmem_max` is
    /// lower, and that bursts may be lost.
    #[must_use]
    pub const fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Lets it send to broadcast addresses; without that the kernel refuses them.
    ///
    /// # Errors
    /// If the kernel refuses the option.
    pub fn allow_broadcast(&self) -> io::Result<()> {
        self.socket.set_broadcast(true)
    }

    /// Hands the socket to the runtime that will poll it.
    ///
    /// # Errors
    /// If the runtime's poller refuses it.
    ///
    /// # Panics
    /// Outside a tokio runtime whose I/O is enabled.
    pub fn listen(self) -> io::Result<UdpListener> {
        Ok(UdpListener {
            family: Family::of(&self.local_addr),
            wildcard: self.local_addr.ip().is_unspecified(),
            local_addr: self.local_addr,
            proxied: self.proxied,
            socket: UdpSocket::from_std(self.socket.into())?,
            passing_faults: 0,
        })
    }
}

/// A socket bound to `address`, non-blocking, which tells the address each datagram came to if it is a wildcard.
fn open(address: SocketAddr, share_port: bool) -> Result<Socket, BindFault> {
    let fault = |step| move |source: io::Error| BindFault::new("UDP", address, step, &source);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))
        .map_err(fault("open a socket"))?;
    if address.is_ipv6() {
        // Only the wildcard can take IPv4 as well.
        socket.set_only_v6(!address.ip().is_unspecified()).map_err(fault("choose IPv6"))?;
    }
    if address.ip().is_unspecified() {
        // An IPv6 socket wants both: only the IPv4 option tells where a broadcast is answered from.
        let step = "ask for destination addresses";
        sys::switch_on(socket.as_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO).map_err(fault(step))?;
        if address.is_ipv6() {
            sys::switch_on(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO).map_err(fault(step))?;
        }
    }
    if share_port {
        socket.set_reuse_port(true).map_err(fault("share the port among workers"))?;
    }
    socket.bind(&address.into()).map_err(fault("bind"))?;
    Ok(socket)
}

/// A socket of one worker. Its methods are polled by one task.
#[derive(Debug)]
pub struct UdpListener {
    socket: UdpSocket,
    local_addr: SocketAddr,
    family: Family,
    wildcard: bool,
    proxied: Option<Arc<ProxiedPeers>>,
    passing_faults: u64,
}

impl UdpListener {
    /// The address it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many faults a receive met that say something about an earlier answer and not about this socket, such as
    /// a host that is gone. They are passed over.
    #[must_use]
    pub const fn passing_faults(&self) -> u64 {
        self.passing_faults
    }

    /// The devices behind a proxy, if there is one.
    pub(crate) const fn proxied(&self) -> Option<&Arc<ProxiedPeers>> {
        self.proxied.as_ref()
    }

    /// Receives what waits, at most 64 datagrams, into `batch`; returns how many, those included that were cut
    /// ([`Batch::oversized`]). `Pending`, with the batch empty, if nothing waits: the task is then woken.
    ///
    /// # Errors
    /// Only what makes the socket useless; anything about a single datagram is passed over.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<usize>> {
        batch.clear();
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            let mut received = 0;
            let answer = self.socket.try_io(Interest::READABLE, || {
                received = batch.fill(self.socket.as_fd())?;
                // Fewer than asked for means that the kernel had no more. Saying so now saves the call that would
                // find out; a datagram that came since makes a new edge, which sets readiness again.
                if received < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match answer {
                _ if received > 0 => return Poll::Ready(Ok(received)),
                Ok(()) => {}
                Err(fault) if matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                // Reading the fault has taken it off the socket: the loop goes on, and comes to an end.
                Err(fault) if is_passing(&fault) => self.passing_faults += 1,
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
    }

    /// Sends what waits in `queue`, 64 datagrams with each call. `Pending` if the kernel's buffer is full: the rest
    /// stays, and the task is woken when there is room. No fault of one datagram stops the others: it is counted
    /// in the queue's [`SendCounts`].
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, queue: &mut SendQueue) -> Poll<io::Result<()>> {
        while !queue.is_empty() {
            ready!(self.socket.poll_send_ready(cx))?;
            let answer = self.socket.try_io(Interest::WRITABLE, || match queue.drain(|queue| self.send(queue)) {
                Poll::Ready(()) => Ok(()),
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            });
            match answer {
                Err(fault) if fault.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(fault)),
                // After `WouldBlock` the next poll for readiness leaves the waker and is `Pending`.
                _ => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One call for the first datagrams of `queue`.
    fn send(&self, queue: &SendQueue) -> io::Result<usize> {
        // A socket with one address has no other to send from.
        let outgoing = queue.outgoing().map(|mut datagram| {
            datagram.local = datagram.local.filter(|_| self.wildcard);
            datagram
        });
        sys::send(self.socket.as_fd(), self.family, outgoing)
    }
}

/// Faults that an ICMP message, or a moment without memory, leaves on a socket.
fn is_passing(fault: &io::Error) -> bool {
    matches!(
        fault.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENETDOWN
                | libc::EMSGSIZE
                | libc::EPROTO
                | libc::ENOPROTOOPT
        )
    )
}
