//! Devices behind a proxy which says in front of each datagram who has sent it (PROXY protocol, version 2).

use super::Datagram;
use crate::stream::proxy::{Parsed, parse_datagram};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The way back to each device of one listener: what the proxy has sent its last datagram from. All workers share it,
/// since a device may be heard by one and answered by another.
#[derive(Debug)]
pub(crate) struct ProxiedPeers {
    stripes: [Mutex<Stripe>; STRIPES],
    hasher: RandomState,
    /// Devices remembered in a stripe, at most.
    limit: usize,
}

#[derive(Debug, Default)]
struct Stripe {
    ways: HashMap<SocketAddr, SocketAddr>,
    /// In the order in which they came first.
    order: VecDeque<SocketAddr>,
}

impl ProxiedPeers {
    pub(crate) fn new() -> Self {
        Self::with_limit(MOST / STRIPES)
    }

    fn with_limit(limit: usize) -> Self {
        Self { stripes: Default::default(), hasher: RandomState::new(), limit }
    }

    /// Who has sent a datagram, and what; the way back is remembered. `None` if it has no header that can be read.
    pub(crate) fn unwrap<'a>(&self, datagram: &Datagram<'a>) -> Option<(SocketAddr, &'a [u8])> {
        let (consumed, device) = match parse_datagram(datagram.bytes).ok()? {
            Parsed::NeedMore => return None,
            Parsed::Local { consumed } => (consumed, datagram.peer),
            Parsed::Proxied { consumed, source } => {
                (consumed, SocketAddr::new(source.ip().to_canonical(), source.port()))
            }
        };
        let bytes = datagram.bytes.get(consumed..)?;
        self.learn(device, datagram.peer);
        Some((device, bytes))
    }

    /// Where what is for `device` must go. `None` if the device has been forgotten: it is known again by its next word.
    pub(crate) fn way_to(&self, device: SocketAddr) -> Option<SocketAddr> {
        self.stripe(device).ways.get(&device).copied()
    }

    fn learn(&self, device: SocketAddr, way: SocketAddr) {
        let mut guard = self.stripe(device);
        let Stripe { ways, order } = &mut *guard;
        match ways.entry(device) {
            Entry::Occupied(mut known) => {
                known.insert(way);
            }
            Entry::Vacant(free) => {
                free.insert(way);
                order.push_back(device);
                if order.len() > self.limit
                    && let Some(oldest) = order.pop_front()
                {
                    ways.remove(&oldest);
                }
            }
        }
    }

    fn stripe(&self, device: SocketAddr) -> MutexGuard<'_, Stripe> {
        let [first, others @ ..] = &self.stripes;
        let number = self.hasher.hash_one(device) % STRIPES as u64;
        let stripe = usize::try_from(number).ok().and_then(|number| others.get(number.checked_sub(1)?));
        // Nothing that is done under the lock can panic half-way.
        stripe.unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks, so that workers seldom wait for each other.
const STRIPES: usize = 16;
/// Devices of a listener that the way back is known to.
const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.5:40001";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A header of version 2 for UDP over IPv4, and what is behind it.
    fn proxied(device: &str, bytes: &[u8]) -> Vec<u8> {
        let SocketAddr::V4(device) = address(device) else { panic!("IPv4") };
        let mut datagram = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0C".to_vec();
        datagram.extend_from_slice(&device.ip().octets());
        datagram.extend_from_slice(&[192, 0, 2, 1]);
        datagram.extend_from_slice(&device.port().to_be_bytes());
        datagram.extend_from_slice(&1884u16.to_be_bytes());
        [datagram, bytes.to_vec()].concat()
    }

    fn heard(peers: &ProxiedPeers, from: &str, bytes: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        let datagram = Datagram { peer: address(from), local: None, broadcast: false, bytes };
        peers.unwrap(&datagram).map(|(device, bytes)| (device, bytes.to_vec()))
    }

    #[test]
    fn a_datagram_is_of_whom_its_header_names_and_the_answer_goes_to_the_proxy() {
        let peers = ProxiedPeers::new();
        let device = "203.0.113.9:5000";
        assert_eq!(peers.way_to(address(device)), None);
        assert_eq!(heard(&peers, PROXY, &proxied(device, b"hello")), Some((address(device), b"hello".to_vec())));
        assert_eq!(peers.way_to(address(device)), Some(address(PROXY)));
        assert_eq!(heard(&peers, "10.0.0.5:40002", &proxied(device, b"")), Some((address(device), Vec::new())));
        assert_eq!(peers.way_to(address(device)), Some(address("10.0.0.5:40002")), "the way may change");
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_is_answered_itself() {
        let peers = ProxiedPeers::new();
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0ping";
        assert_eq!(heard(&peers, PROXY, local), Some((address(PROXY), b"ping".to_vec())));
        assert_eq!(peers.way_to(address(PROXY)), Some(address(PROXY)));
    }

    #[test]
    fn a_datagram_without_a_header_is_nobodys() {
        let peers = ProxiedPeers::new();
        let whole = proxied("203.0.113.9:5000", b"");
        for bytes in [&b"hello"[..], b"", &whole[..whole.len() - 1], b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n"] {
            assert_eq!(heard(&peers, PROXY, bytes), None, "{bytes:?}");
        }
        assert_eq!(peers.way_to(address(PROXY)), None);
    }

    #[test]
    fn beyond_the_limit_the_oldest_is_forgotten() {
        let peers = ProxiedPeers::with_limit(2);
        let known = || (0..1000u16).filter(|port| peers.way_to(SocketAddr::from(([203, 0, 113, 9], *port))).is_some());
        for port in 0..1000u16 {
            heard(&peers, PROXY, &proxied(&format!("203.0.113.9:{port}"), b"x")).unwrap();
        }
        assert_eq!(known().count(), 2 * STRIPES);
        assert_eq!(known().last(), Some(999));
        assert!(known().all(|port| port > 500), "the youngest are known");
    }
}
