//! Devices behind a proxy which says in front of each datagram who has sent it (PROXY protocol, version 2).

use super::Datagram;
use crate::stream::proxy::{Parsed, parse_datagram};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
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

    /// Who has sent a datagram, and what. The way back is remembered if the listener `hears` that address: whoever it does
    /// not hear must not push out others. `None` if it has no header that can be read.
    pub(crate) fn unwrap<'a>(
        &self,
        datagram: &Datagram<'a>,
        hears: impl FnOnce(IpAddr) -> bool,
    ) -> Option<(SocketAddr, &'a [u8])> {
        let (consumed, device) = match parse_datagram(datagram.bytes).ok()? {
            Parsed::NeedMore => return None,
            Parsed::Local { consumed } => (consumed, datagram.peer),
            Parsed::Proxied { consumed, source } => (consumed, source),
        };
        let bytes = datagram.bytes.get(consumed..)?;
        if hears(device.ip()) {
            self.learn(device, datagram.peer);
        }
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const PROXY: &str = "10.0.0.5:40001";
    const NOT_HEARD: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));

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
        peers.unwrap(&datagram, |ip| ip != NOT_HEARD).map(|(device, bytes)| (device, bytes.to_vec()))
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
    fn whoever_is_not_heard_pushes_out_nobody() {
        let peers = ProxiedPeers::with_limit(1);
        let device = "203.0.113.9:5000";
        heard(&peers, PROXY, &proxied(device, b"x")).unwrap();
        for port in 1..1000u16 {
            let stranger = SocketAddr::new(NOT_HEARD, port);
            assert_eq!(heard(&peers, PROXY, &proxied(&stranger.to_string(), b"x")), Some((stranger, b"x".to_vec())));
            assert_eq!(peers.way_to(stranger), None);
        }
        assert_eq!(peers.way_to(address(device)), Some(address(PROXY)));
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

    proptest! {
        #[test]
        fn answers_go_the_way_that_was_heard_last_or_nowhere(
            heard in proptest::collection::vec((0..60u16, 0..4u16), 0..200),
            limit in 1..5usize,
        ) {
            let peers = ProxiedPeers::with_limit(limit);
            let [device, way] = [9, 5].map(|last| move |port| SocketAddr::from(([203, 0, 113, last], port)));
            let mut last = BTreeMap::new();
            for (number, port) in heard {
                peers.learn(device(number), way(port));
                last.insert(number, way(port));
                prop_assert_eq!(peers.way_to(device(number)), Some(way(port)), "who has just been heard is known");
            }
            let known: Vec<_> = (0..60).filter_map(|number| Some((number, peers.way_to(device(number))?))).collect();
            prop_assert!(known.len() <= limit * STRIPES);
            for (number, way) in known {
                prop_assert_eq!(Some(&way), last.get(&number));
            }
        }

        #[test]
        fn whom_a_header_names_is_told_whatever_the_datagram_carries(source: SocketAddrV4, bytes: Vec<u8>) {
            let whole = proxied(&source.to_string(), &bytes);
            let told = heard(&ProxiedPeers::new(), PROXY, &whole);
            prop_assert_eq!(told, Some((source.into(), bytes)));
        }
    }
}
