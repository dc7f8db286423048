//! Many devices on one UDP socket: client `i` sends from 127.1.0.0 + `i`.

use crate::failure::Failure;
use codec_mqttsn::Message;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmsg, setsockopt, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};

/// Address of client 0. All of 127.0.0.0/8 is local, so none needs to be configured.
const FIRST: u32 = u32::from_be_bytes([127, 1, 0, 0]);
/// Datagrams a receive call takes at most.
const BATCH: usize = 64;
/// Octets of a datagram that are kept: more than any MQTT-SN message of a run.
const SLOT: usize = 2048;
/// Octets of receive buffer asked for.
const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;

/// The socket of all clients.
#[derive(Debug)]
pub(crate) struct Fleet {
    socket: UdpSocket,
    gateway: SockaddrIn,
    clients: u32,
    scratch: Vec<u8>,
}

impl Fleet {
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses the socket or its options.
    pub(crate) fn open(gateway: SocketAddrV4, clients: u32) -> Result<Self, Failure> {
        // Bound to every address, or the source of a datagram could not be chosen; heard on the loopback device only.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|error| Failure::Io("UDP socket", error))?;
        socket.set_nonblocking(true).map_err(|error| Failure::Io("UDP socket", error))?;
        option("SO_BINDTODEVICE", setsockopt(&socket, sockopt::BindToDevice, &"lo".into()))?;
        option("IP_PKTINFO", setsockopt(&socket, sockopt::Ipv4PacketInfo, &true))?;
        // Beyond net.core.rmem_max only a privileged process may go.
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER))
            .or_else(|errno| option("SO_RCVBUF", Err(errno)))?;
        Ok(Self { socket, gateway: gateway.into(), clients, scratch: Vec::with_capacity(SLOT) })
    }

    /// The port that all clients have.
    ///
    /// # Errors
    /// [`Failure::Io`] if the socket has none.
    pub(crate) fn port(&self) -> Result<u16, Failure> {
        self.socket.local_addr().map(|address| address.port()).map_err(|error| Failure::Io("UDP socket", error))
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
        let source = in_addr { s_addr: FIRST.wrapping_add(client).to_be() };
        let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: in_addr { s_addr: 0 } };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let parts = [IoSlice::new(&self.scratch)];
        match sendmsg(self.socket.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&self.gateway)) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Ok(()),
            Err(errno) => option("sendmsg", Err(errno)),
        }
    }

    /// Replaces what `inbox` holds by what has come from the gateway, up to 64 datagrams. True if there may be more.
    ///
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses.
    pub(crate) fn receive(&self, inbox: &mut Inbox) -> Result<bool, Failure> {
        inbox.arrivals.clear();
        let mut slots: Vec<[IoSliceMut<'_>; 1]> =
            inbox.slots.chunks_exact_mut(SLOT).map(|slot| [IoSliceMut::new(slot)]).collect();
        let fd = self.socket.as_raw_fd();
        let datagrams = match recvmmsg(fd, &mut inbox.headers, &mut slots, MsgFlags::MSG_DONTWAIT, None) {
            Ok(datagrams) => datagrams,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(errno) => return option("recvmmsg", Err(errno)).map(|()| false),
        };
        let mut received = 0;
        for (slot, datagram) in datagrams.enumerate() {
            received += 1;
            let to = datagram.cmsgs().ok().and_then(|mut messages| messages.find_map(|message| destination(&message)));
            let client = to.and_then(|address| address.checked_sub(FIRST)).filter(|client| *client < self.clients);
            if let (Some(client), true) = (client, datagram.address == Some(self.gateway)) {
                inbox.arrivals.push(Arrival { client, slot, len: datagram.bytes });
            }
        }
        Ok(received == BATCH)
    }

    /// Waits until a datagram is there, at most `milliseconds`; a signal may end it early.
    ///
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses.
    pub(crate) fn wait(&self, milliseconds: u16) -> Result<(), Failure> {
        let mut descriptors = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => option("poll", Err(errno)),
        }
    }
}

/// Buffers that datagrams are received into.
#[derive(Debug)]
pub(crate) struct Inbox {
    slots: Vec<u8>,
    headers: MultiHeaders<SockaddrIn>,
    arrivals: Vec<Arrival>,
}

#[derive(Debug)]
struct Arrival {
    client: u32,
    slot: usize,
    len: usize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        // Every datagram brings exactly this control message, so the headers may be used again as they are.
        let control = nix::cmsg_space!(in_pktinfo);
        Self {
            slots: vec![0; BATCH * SLOT],
            headers: MultiHeaders::preallocate(BATCH, Some(control)),
            arrivals: Vec::with_capacity(BATCH),
        }
    }

    /// The clients and what each received, in the order of arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.arrivals.iter().filter_map(|arrival| {
            let start = arrival.slot.checked_mul(SLOT)?;
            Some((arrival.client, self.slots.get(start..start.checked_add(arrival.len)?)?))
        })
    }
}

fn destination(message: &ControlMessageOwned) -> Option<u32> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(u32::from_be(info.ipi_addr.s_addr)),
        _ => None,
    }
}

/// A kernel's refusal as a failure.
fn option(what: &'static str, outcome: nix::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|errno| Failure::Io(what, errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn each_client_has_an_address_of_its_own_and_hears_what_is_sent_to_it() {
        let gateway = UdpSocket::bind("127.0.0.1:0").unwrap();
        gateway.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let SocketAddr::V4(address) = gateway.local_addr().unwrap() else { panic!("IPv4") };
        let mut fleet = Fleet::open(address, 70_000).unwrap();
        let mut inbox = Inbox::new();
        // More rounds than one: the headers are used again.
        for client in [0, 1, 255, 256, 69_999] {
            fleet.send(client, &Message::Pingreq { client_id: None }).unwrap();
            let mut datagram = [0; 16];
            let (len, from) = gateway.recv_from(&mut datagram).unwrap();
            assert_eq!((&datagram[..len], from.port()), (&[2, 0x16][..], fleet.port().unwrap()));
            assert_eq!(from.ip(), Ipv4Addr::from(FIRST + client));
            gateway.send_to(&[2, 0x17], from).unwrap();
            fleet.wait(5000).unwrap();
            fleet.receive(&mut inbox).unwrap();
            assert_eq!(inbox.iter().collect::<Vec<_>>(), [(client, &[2, 0x17][..])]);
        }
    }

    #[test]
    fn strangers_and_unknown_destinations_are_not_heard() {
        let gateway = UdpSocket::bind("127.0.0.1:0").unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = gateway.local_addr().unwrap() else { panic!("IPv4") };
        let fleet = Fleet::open(address, 10).unwrap();
        let to = |client: u32| SocketAddrV4::new(Ipv4Addr::from(FIRST + client), fleet.port().unwrap());
        stranger.send_to(b"no", to(3)).unwrap();
        gateway.send_to(b"no", to(10)).unwrap();
        gateway.send_to(b"yes", to(3)).unwrap();
        fleet.wait(5000).unwrap();
        let mut inbox = Inbox::new();
        fleet.receive(&mut inbox).unwrap();
        assert_eq!(inbox.iter().collect::<Vec<_>>(), [(3, &b"yes"[..])]);
    }
}
