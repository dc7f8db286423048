//! A socket for each client.

use super::inbox::BATCH;
use super::{Inbox, socket_to};
use crate::failure::Failure;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};

/// Clients of one address at most: it has not many more ports, and others need some.
const MOST: u32 = 50_000;
/// Descriptors for everything else.
const OTHERS: u64 = 64;

/// The sockets, by client, and what tells which of them has something.
#[derive(Debug)]
pub(super) struct Sockets {
    sockets: Vec<UdpSocket>,
    ready: Epoll,
}

impl Sockets {
    /// # Errors
    /// [`Failure::Usage`] if this process may not have so many, [`Failure::Io`] if the kernel refuses one.
    pub(super) fn open(gateway: SocketAddr, clients: u32) -> Result<Self, Failure> {
        let failed = |what| move |errno: nix::errno::Errno| Failure::Io(what, errno.into());
        if clients > MOST {
            let why = format!("{clients} clients: towards another machine {MOST} at most, since each needs a port");
            return Err(Failure::Usage(why));
        }
        make_room(u64::from(clients) + OTHERS)?;
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll"))?;
        let mut sockets = Vec::new();
        for client in 0..clients {
            let socket = socket_to(gateway)?;
            ready.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, client.into())).map_err(failed("epoll"))?;
            sockets.push(socket);
        }
        Ok(Self { sockets, ready })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.ready.0.as_fd()
    }

    pub(super) fn send(&self, client: u32, datagram: &[u8]) -> Result<(), Failure> {
        let Some(socket) = usize::try_from(client).ok().and_then(|client| self.sockets.get(client)) else {
            return Ok(());
        };
        match socket.send(datagram) {
            Ok(_) => Ok(()),
            Err(error) if is_loss(error.kind()) => Ok(()),
            Err(error) => Err(Failure::Io("send", error)),
        }
    }

    pub(super) fn receive(&self, inbox: &mut Inbox) -> Result<bool, Failure> {
        inbox.clear();
        let mut events = [EpollEvent::empty(); BATCH];
        let ready = match self.ready.wait(&mut events, EpollTimeout::ZERO) {
            Ok(ready) => ready,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(Failure::Io("epoll", errno.into())),
        };
        for (slot, event) in events.iter().take(ready).enumerate() {
            let Ok(client) = u32::try_from(event.data()) else { continue };
            let socket = usize::try_from(client).ok().and_then(|client| self.sockets.get(client));
            let buffer = inbox.slots.chunks_exact_mut(inbox.slot_len).nth(slot);
            let (Some(socket), Some(buffer)) = (socket, buffer) else { continue };
            match socket.recv(buffer) {
                Ok(len) => inbox.note(client, slot, len),
                Err(error) if is_loss(error.kind()) => {}
                Err(error) => return Err(Failure::Io("recv", error)),
            }
        }
        Ok(ready == BATCH)
    }
}

/// What happens to one datagram and says nothing of the next: no room, or nobody there (ICMP), for now.
fn is_loss(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock
            | ErrorKind::Interrupted
            | ErrorKind::OutOfMemory
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

/// Raises this process's own bound on open descriptors to `wanted`, as far as it may.
pub(super) fn make_room(wanted: u64) -> Result<(), Failure> {
    let refused = |errno: nix::errno::Errno| Failure::Io("RLIMIT_NOFILE", errno.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(refused)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        let why =
            format!("{wanted} sockets are needed and {hard} may be opened: fewer clients, or a higher `ulimit -n`");
        return Err(Failure::Usage(why));
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_err(refused)
}
