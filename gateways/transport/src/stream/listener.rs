//! TCP listeners: sockets that share a port, one for each worker.

use crate::bind::BindFault;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A listening socket that no runtime polls yet: sockets are bound before the workers start, in their order, so that a
/// port in use ends the start of the process and not one worker of it.
#[derive(Debug)]
pub struct BoundTcp {
    socket: Socket,
    local_addr: SocketAddr,
}

/// Binds `workers` sockets (at least one) to `address` and has them listen; the kernel spreads the connections over them.
///
/// `[::]` takes IPv4 too. Port 0 lets the kernel choose one port, the same for all. A port on which another process
/// listens is refused even if that process would share it, as a second tidegate would; connections of an earlier process
/// that still linger in the kernel do no harm.
///
/// # Errors
/// [`BindFault`] with the address and the step that failed.
pub fn bind(address: SocketAddr, workers: usize) -> Result<Vec<BoundTcp>, BindFault> {
    if address.port() != 0 {
        // Sockets share a port only among those that all ask to; this one does not, so it meets whoever is there.
        drop(open(address, false)?);
    }
    let first = BoundTcp::bind(address)?;
    let address = first.local_addr;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(BoundTcp::bind(address)?);
    }
    Ok(sockets)
}

impl BoundTcp {
    fn bind(address: SocketAddr) -> Result<Self, BindFault> {
        let socket = open(address, true)?;
        let fault = |step| move |source: io::Error| BindFault::new("TCP", address, step, &source);
        // Connections inherit these (Linux). What leaves in a turn leaves in one piece: there is nothing that waiting for
        // more could join.
        socket.set_tcp_nodelay(true).map_err(fault("switch off delays"))?;
        let keepalive = TcpKeepalive::new().with_time(QUIET).with_interval(PROBE).with_retries(PROBES);
        socket.set_tcp_keepalive(&keepalive).map_err(fault("have dead connections noticed"))?;
        socket.listen(BACKLOG).map_err(fault("listen"))?;
        let local_addr = socket.local_addr().map_err(fault("read the address"))?;
        let local_addr = local_addr.as_socket().unwrap_or(address);
        Ok(Self { socket, local_addr })
    }

    /// The address it is bound to, with the port that the kernel chose if 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Hands the socket to the runtime that will poll it: the one in whose context this is called, with its I/O enabled.
    pub(crate) fn listen(self) -> io::Result<TcpAcceptor> {
        Ok(TcpAcceptor { listener: TcpListener::from_std(self.socket.into())? })
    }
}

/// A socket bound to `address`, non-blocking.
fn open(address: SocketAddr, share_port: bool) -> Result<Socket, BindFault> {
    let fault = |step| move |source: io::Error| BindFault::new("TCP", address, step, &source);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(fault("open a socket"))?;
    if address.is_ipv6() {
        // Only the wildcard can take IPv4 as well.
        socket.set_only_v6(!address.ip().is_unspecified()).map_err(fault("choose IPv6"))?;
    }
    // Else connections that have ended hold the port for a while.
    socket.set_reuse_address(true).map_err(fault("use the address again"))?;
    if share_port {
        socket.set_reuse_port(true).map_err(fault("share the port among workers"))?;
    }
    socket.bind(&address.into()).map_err(fault("bind"))?;
    Ok(socket)
}

/// A listening socket of one worker. Polled by one task.
#[derive(Debug)]
pub(crate) struct TcpAcceptor {
    listener: TcpListener,
}

/// What an attempt to accept came to.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// Somebody has come.
    Connection(TcpStream, SocketAddr),
    /// Somebody had come, and was gone by now.
    Gone,
    /// The process, or the system, has no room for another one.
    NoRoom(io::Error),
}

impl TcpAcceptor {
    /// The next connection.
    ///
    /// # Errors
    /// Only what makes the socket useless.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        Poll::Ready(match ready!(self.listener.poll_accept(cx)) {
            Ok((connection, peer)) => Ok(Accepted::Connection(connection, canonical(peer))),
            Err(fault) => judge(fault),
        })
    }
}

/// An IPv4 peer of an IPv6 socket as what it is.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// What accept(2) says about one connection, about the system, and about the socket.
fn judge(fault: io::Error) -> io::Result<Accepted> {
    match fault.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Ok(Accepted::NoRoom(fault)),
        Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) => Err(fault),
        // Linux passes on what the network says about a connection: it is to be tried again.
        _ => Ok(Accepted::Gone),
    }
}

/// A connection over which nothing has come for so long is probed, whatever its protocol says: a device that has lost its
/// power does not say goodbye.
const QUIET: Duration = Duration::from_secs(300);
/// Between two probes.
const PROBE: Duration = Duration::from_secs(60);
/// So many probes without an answer end it.
const PROBES: u32 = 5;
/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::future::poll_fn;

    #[test]
    fn workers_share_a_port_and_nobody_else_does() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: BTreeSet<u16> = sockets.iter().map(|socket| socket.local_addr().port()).collect();
        assert_eq!(ports.len(), 1);
        let address = sockets[0].local_addr();
        let fault = bind(address, 1).unwrap_err();
        assert_eq!(fault.to_string(), format!("TCP {address}: cannot bind: the port is in use"));
        drop(sockets);
        assert!(bind(address, 1).is_ok(), "and it is free again");
    }

    #[test]
    fn a_port_whose_connections_have_just_ended_is_free() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
        let address = listener.local_addr();
        let device = std::net::TcpStream::connect(address).unwrap();
        listener.socket.set_nonblocking(false).unwrap();
        // Who closes first lingers.
        drop(listener.socket.accept().unwrap());
        drop((device, listener));
        assert!(bind(address, 2).is_ok());
    }

    #[tokio::test]
    async fn an_ipv4_peer_of_both_families_is_shown_as_what_it_is() {
        let Ok(mut sockets) = bind("[::]:0".parse().unwrap(), 1) else { return };
        let bound = sockets.pop().unwrap();
        let port = bound.local_addr().port();
        let mut acceptor = bound.listen().unwrap();
        let device = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let accepted = poll_fn(|cx| acceptor.poll_accept(cx)).await.unwrap();
        let Accepted::Connection(_, peer) = accepted else { panic!("{accepted:?}") };
        assert_eq!(peer, device.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_connection_is_not_delayed_and_is_probed_when_it_is_silent() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
        let device = std::net::TcpStream::connect(bound.local_addr()).unwrap();
        let mut acceptor = bound.listen().unwrap();
        let accepted = poll_fn(|cx| acceptor.poll_accept(cx)).await.unwrap();
        let Accepted::Connection(connection, _) = accepted else { panic!("{accepted:?}") };
        let socket = socket2::SockRef::from(&connection);
        assert!(connection.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!((socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap()), (QUIET, PROBE));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
        drop(device);
    }

    #[test]
    #[rustfmt::skip]
    fn a_fault_is_the_connections_the_systems_or_the_sockets() {
        for (errno, expected) in [
            (libc::EMFILE,       "no room"),
            (libc::ENFILE,       "no room"),
            (libc::ENOMEM,       "no room"),
            (libc::ECONNABORTED, "gone"),
            (libc::EPROTO,       "gone"),
            (libc::ENETUNREACH,  "gone"),
            (libc::EPERM,        "gone"),
            (libc::EBADF,        "useless"),
            (libc::EINVAL,       "useless"),
        ] {
            let found = match judge(io::Error::from_raw_os_error(errno)) {
                Ok(Accepted::NoRoom(_)) => "no room",
                Ok(_) => "gone",
                Err(_) => "useless",
            };
            assert_eq!(found, expected, "{errno}");
        }
    }
}
