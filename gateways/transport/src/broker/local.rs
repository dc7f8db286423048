//! The addresses of this machine that connections to the broker come from.

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};

/// Addresses to connect from, in turn; with none, the system chooses. Shared by all connections.
///
/// From one address to one broker there are as many connections as `net.ipv4.ip_local_port_range` has ports, some 28,000;
/// where an address has run out of them, the next is tried.
#[derive(Debug, Default)]
pub struct LocalAddresses {
    addresses: Box<[IpAddr]>,
    next: AtomicUsize,
}

/// An address that nothing can be bound to here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{address}: {reason}")]
pub struct BindFault {
    /// Its place in the list, from 0.
    pub index: usize,
    /// The address.
    pub address: IpAddr,
    /// The kernel's words.
    pub reason: String,
}

impl LocalAddresses {
    /// Tries each address by binding a port of it.
    ///
    /// # Errors
    /// The first that is none of this machine's.
    pub fn new(addresses: &[IpAddr]) -> Result<Self, BindFault> {
        for (index, &address) in addresses.iter().enumerate() {
            std::net::TcpListener::bind((address, 0)).map_err(|fault| BindFault {
                index,
                address,
                reason: fault.to_string(),
            })?;
        }
        Ok(Self { addresses: addresses.into(), next: AtomicUsize::new(0) })
    }

    /// A connection to `broker`, from the next address of its kind.
    pub(super) async fn connect(&self, broker: SocketAddr) -> io::Result<TcpStream> {
        if self.addresses.is_empty() {
            return TcpStream::connect(broker).await;
        }
        let mut fault = io::Error::new(ErrorKind::AddrNotAvailable, NO_SUCH_KIND);
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
        let (before, from_first) = self.addresses.split_at(first);
        for &local in from_first.iter().chain(before).filter(|local| local.is_ipv4() == broker.is_ipv4()) {
            match connect_from(local, broker).await {
                // Its ports have run out.
                Err(ran_out) if matches!(ran_out.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse) => {
                    fault = ran_out;
                }
                outcome => return outcome,
            }
        }
        Err(fault)
    }
}

async fn connect_from(local: IpAddr, broker: SocketAddr) -> io::Result<TcpStream> {
    let socket = if broker.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The port is chosen with the broker in view, so that connections to two brokers may have the same. Where the kernel
    // cannot, there are fewer.
    let _fewer = setsockopt(&socket, IpBindAddressNoPort, &true).is_err();
    socket.bind(SocketAddr::new(local, 0))?;
    socket.connect(broker).await
}

const NO_SUCH_KIND: &str = "`broker.bind` has no address of its kind (IPv4, IPv6)";
