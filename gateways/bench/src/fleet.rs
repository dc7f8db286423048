//! The sockets of many devices.
//!
//! On loopback client `i` sends from 127.1.0.0 + `i` and the one port of one socket, so that a gateway sees that many
//! devices and the generator spends one descriptor. Towards any other gateway each client has a socket, and so a port,
//! of its own. Of streams each client has a connection anyway.

mod inbox;
mod sockets;
mod spread;
mod streams;

pub(crate) use inbox::Inbox;
pub(crate) use streams::{Happening, Sessions, Streams};

use crate::failure::Failure;
use codec_mqttsn::Message;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockets::Sockets;
use spread::Spread;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

/// The clients' side of the network.
#[derive(Debug)]
pub(crate) struct Fleet {
    ways: Ways,
    scratch: Vec<u8>,
}

#[derive(Debug)]
enum Ways {
    Spread(Spread),
    Sockets(Sockets),
}

/// How the gateway's address took a SEARCHGW, which opens no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    Answered,
    /// Within the time; not every gateway answers it.
    Silent,
}

impl Fleet {
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses the sockets or their options, [`Failure::Usage`] if `clients` are more than
    /// this process may have sockets for.
    pub(crate) fn open(gateway: SocketAddr, clients: u32) -> Result<Self, Failure> {
        let ways = match gateway {
            SocketAddr::V4(address) if address.ip().is_loopback() => Ways::Spread(Spread::open(address, clients)?),
            SocketAddr::V4(_) | SocketAddr::V6(_) => Ways::Sockets(Sockets::open(gateway, clients)?),
        };
        Ok(Self { ways, scratch: Vec::new() })
    }

    /// The port of the one socket of all clients, if it is one.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.ways {
            Ways::Spread(spread) => spread.port(),
            Ways::Sockets(_) => None,
        }
    }

    /// Sends `message` from `client`. A datagram that the kernel has no room for is lost like any other.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a message that the wire does not have, [`Failure::Io`] if the kernel refuses it.
    pub(crate) fn send(&mut self, client: u32, message: &Message<'_>) -> Result<(), Failure> {
        self.scratch.clear();
        message
            .encode(&mut self.scratch)
            .map_err(|fault| Failure::Usage(format!("{}: {fault}", message.type_name())))?;
        self.ways.send(client, &self.scratch)
    }

    /// Sends octets from `client`, as [`Self::send`] does.
    ///
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses them.
    pub(crate) fn send_datagram(&self, client: u32, datagram: &[u8]) -> Result<(), Failure> {
        self.ways.send(client, datagram)
    }

    /// Replaces what `inbox` holds by what has come from the gateway, up to 64 datagrams. True if there may be more.
    ///
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses.
    pub(crate) fn receive(&self, inbox: &mut Inbox) -> Result<bool, Failure> {
        match &self.ways {
            Ways::Spread(spread) => spread.receive(inbox),
            Ways::Sockets(sockets) => sockets.receive(inbox),
        }
    }

    /// Waits until a datagram is there, at most `milliseconds`; a signal may end it early.
    ///
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses.
    pub(crate) fn wait(&self, milliseconds: u16) -> Result<(), Failure> {
        let descriptor = match &self.ways {
            Ways::Spread(spread) => spread.descriptor(),
            Ways::Sockets(sockets) => sockets.descriptor(),
        };
        await_readable(descriptor, milliseconds).map(drop)
    }
}

impl Ways {
    fn send(&self, client: u32, datagram: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Spread(spread) => spread.send(client, datagram),
            Self::Sockets(sockets) => sockets.send(client, datagram),
        }
    }
}

/// Asks who is at `gateway` with one SEARCHGW, and waits at most `patience` for an answer.
///
/// # Errors
/// [`Failure::Gateway`] if the machine there says that nothing listens, [`Failure::Io`] if there is no way to it.
pub(crate) fn probe(gateway: SocketAddr, patience: Duration) -> Result<Echo, Failure> {
    let socket = socket_to(gateway)?;
    let mut search = Vec::new();
    let message = Message::SearchGw { radius: 0 };
    message.encode(&mut search).map_err(|fault| Failure::Usage(format!("{}: {fault}", message.type_name())))?;
    let milliseconds = u16::try_from(patience.as_millis()).unwrap_or(u16::MAX);
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Failure::Gateway(format!("nothing listens at {gateway}")),
        _ => Failure::Io("no way to the gateway", error),
    };
    socket.send(&search).map_err(refused)?;
    if !await_readable(socket.as_fd(), milliseconds)? {
        return Ok(Echo::Silent);
    }
    match socket.recv(&mut [0; 64]) {
        Ok(_) => Ok(Echo::Answered),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(Echo::Silent),
        Err(error) => Err(refused(error)),
    }
}

/// A non-blocking socket that hears `gateway` alone.
fn socket_to(gateway: SocketAddr) -> Result<UdpSocket, Failure> {
    let failed = |error| Failure::Io("UDP socket", error);
    let any = match gateway.ip() {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).map_err(failed)?;
    socket.connect(gateway).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    Ok(socket)
}

/// True if something is there to be read, an error too.
fn await_readable(descriptor: BorrowedFd<'_>, milliseconds: u16) -> Result<bool, Failure> {
    let mut descriptors = [PollFd::new(descriptor, PollFlags::POLLIN)];
    match poll(&mut descriptors, PollTimeout::from(milliseconds)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(Failure::Io("poll", errno.into())),
    }
}

/// A kernel's refusal as a failure.
fn option(what: &'static str, outcome: nix::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|errno| Failure::Io(what, errno.into()))
}

#[cfg(test)]
mod tests;
