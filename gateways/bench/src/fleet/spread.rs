//! Many clients on one UDP socket: client `i` sends from 127.1.0.0 + `i`.

use super::inbox::{BATCH, Inbox};
use super::option;
use crate::failure::Failure;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmmsg, sendmsg, setsockopt, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

/// Address of client 0. All of 127.0.0.0/8 is local, so none needs to be configured.
pub(super) const FIRST: u32 = u32::from_be_bytes([127, 1, 0, 0]);
/// Octets of receive buffer asked for.
const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;

/// The socket of all clients.
#[derive(Debug)]
pub(super) struct Spread {
    socket: UdpSocket,
    gateway: SockaddrIn,
    clients: u32,
}

impl Spread {
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses the socket or its options.
    pub(super) fn open(gateway: SocketAddrV4, clients: u32) -> Result<Self, Failure> {
        // Bound to every address, or the source of a datagram could not be chosen; heard on the loopback device only.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|error| Failure::Io("UDP socket", error))?;
        socket.set_nonblocking(true).map_err(|error| Failure::Io("UDP socket", error))?;
        option("SO_BINDTODEVICE", setsockopt(&socket, sockopt::BindToDevice, &"lo".into()))?;
        option("IP_PKTINFO", setsockopt(&socket, sockopt::Ipv4PacketInfo, &true))?;
        // Beyond net.core.rmem_max only a privileged process may go.
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER))
            .or_else(|errno| option("SO_RCVBUF", Err(errno)))?;
        Ok(Self { socket, gateway: gateway.into(), clients })
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.socket.local_addr().ok().map(|address| address.port())
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn send(&self, client: u32, datagram: &[u8]) -> Result<(), Failure> {
        let source = in_addr { s_addr: FIRST.wrapping_add(client).to_be() };
        let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: in_addr { s_addr: 0 } };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let parts = [IoSlice::new(datagram)];
        match sendmsg(self.socket.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&self.gateway)) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Ok(()),
            Err(errno) => option("sendmsg", Err(errno)),
        }
    }

    pub(super) fn receive(&self, inbox: &mut Inbox) -> Result<bool, Failure> {
        inbox.clear();
        let mut slots: Vec<[IoSliceMut<'_>; 1]> =
            inbox.slots.chunks_exact_mut(inbox.slot_len).map(|slot| [IoSliceMut::new(slot)]).collect();
        let fd = self.socket.as_raw_fd();
        let datagrams = match recvmmsg(fd, &mut inbox.headers, &mut slots, MsgFlags::MSG_DONTWAIT, None) {
            Ok(datagrams) => datagrams,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(errno) => return option("recvmmsg", Err(errno)).map(|()| false),
        };
        let heard = datagrams.map(|datagram| {
            let to = datagram.cmsgs().ok().and_then(|mut messages| messages.find_map(|message| destination(&message)));
            let client = to.and_then(|address| address.checked_sub(FIRST)).filter(|client| *client < self.clients);
            (client.filter(|_| datagram.address == Some(self.gateway)), datagram.bytes)
        });
        let heard: Vec<_> = heard.collect();
        for (slot, (client, len)) in heard.iter().enumerate() {
            if let Some(client) = client {
                inbox.note(*client, slot, *len);
            }
        }
        Ok(heard.len() == BATCH)
    }
}

fn destination(message: &ControlMessageOwned) -> Option<u32> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(u32::from_be(info.ipi_addr.s_addr)),
        _ => None,
    }
}
