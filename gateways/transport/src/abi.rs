//! Socket addresses and control messages as Linux lays them out, read and written as bytes: no `unsafe`, no casts
//! between C structures. Layouts: ip(7), ipv6(7), cmsg(3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Which addresses a socket speaks. A V6 socket bound to `[::]` speaks both: IPv4 peers are mapped on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }
}

/// `struct sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Name {
    pub(crate) bytes: [u8; NAME_BYTES],
}

impl Name {
    pub(crate) const EMPTY: Self = Self { bytes: [0; NAME_BYTES] };

    /// `peer` as a socket of `family` wants it, and how many bytes of it count.
    pub(crate) fn encode(peer: SocketAddr, family: Family) -> (Self, usize) {
        let mut name = Self::EMPTY;
        match (peer, family) {
            (SocketAddr::V4(v4), Family::V4) => {
                name.put(0, &INET.to_ne_bytes());
                name.put(2, &v4.port().to_be_bytes());
                name.put(4, &v4.ip().octets());
                (name, SOCKADDR_IN_BYTES)
            }
            (SocketAddr::V4(v4), Family::V6) => {
                let mapped = SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0);
                (name.encode_v6(&mapped), NAME_BYTES)
            }
            // A V4 socket refuses it (EAFNOSUPPORT), which is counted like every fault of one datagram.
            (SocketAddr::V6(v6), _) => (name.encode_v6(&v6), NAME_BYTES),
        }
    }

    fn encode_v6(mut self, v6: &SocketAddrV6) -> Self {
        self.put(0, &INET6.to_ne_bytes());
        self.put(2, &v6.port().to_be_bytes());
        self.put(4, &v6.flowinfo().to_be_bytes());
        self.put(8, &v6.ip().octets());
        self.put(24, &v6.scope_id().to_ne_bytes());
        self
    }

    /// The address in the first `filled` bytes; IPv4 when it is an IPv4 address mapped into IPv6. The flow label is
    /// left out: it belongs to a packet, and a peer must compare equal from one packet to the next.
    pub(crate) fn decode(&self, filled: usize) -> Option<SocketAddr> {
        let bytes = self.bytes.get(..filled)?;
        let port = u16::from_be_bytes(field(bytes, 2)?);
        match u16::from_ne_bytes(field(bytes, 0)?) {
            INET => Some(SocketAddrV4::new(Ipv4Addr::from(field::<4>(bytes, 4)?), port).into()),
            INET6 => {
                let ip = Ipv6Addr::from(field::<16>(bytes, 8)?);
                let scope = u32::from_ne_bytes(field(bytes, 24)?);
                Some(match ip.to_ipv4_mapped() {
                    Some(v4) => SocketAddrV4::new(v4, port).into(),
                    None => SocketAddrV6::new(ip, port, 0, scope).into(),
                })
            }
            _ => None,
        }
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        put(&mut self.bytes, at, value);
    }
}

/// Room for the control messages that come and go with one datagram: an `in_pktinfo`, an `in6_pktinfo`, or both.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Control {
    pub(crate) bytes: [u8; CONTROL_BYTES],
}

impl Control {
    pub(crate) const EMPTY: Self = Self { bytes: [0; CONTROL_BYTES] };

    /// One message that makes `local` the source address, and how many bytes of it count; 0 when `local` cannot be
    /// one: a link-local address means nothing without the interface, which the peer's scope names.
    pub(crate) fn encode(local: IpAddr, peer: SocketAddr) -> (Self, usize) {
        let mut control = Self::EMPTY;
        let scope = match peer {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let (level, kind, data) = match local {
            // `ipi_ifindex`, then `ipi_spec_dst`, which is the source address on the way out, then `ipi_addr`.
            IpAddr::V4(v4) => {
                control.put(CMSG_HEADER + 4, &v4.octets());
                (libc::IPPROTO_IP, libc::IP_PKTINFO, IN_PKTINFO_BYTES)
            }
            IpAddr::V6(v6) if v6.is_unicast_link_local() && scope == 0 => return (control, 0),
            IpAddr::V6(v6) => {
                control.put(CMSG_HEADER, &v6.octets());
                control.put(CMSG_HEADER + 16, &scope.to_ne_bytes());
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, IN6_PKTINFO_BYTES)
            }
        };
        control.put(0, &(CMSG_HEADER + data).to_ne_bytes());
        control.put(CMSG_WORD, &level.to_ne_bytes());
        control.put(CMSG_WORD + 4, &kind.to_ne_bytes());
        (control, CMSG_HEADER + data.next_multiple_of(CMSG_WORD))
    }

    /// The address to answer from, told by the first `filled` bytes. `None` if there is none, or only a multicast
    /// group, which nothing can be sent from.
    pub(crate) fn decode(&self, filled: usize) -> Option<IpAddr> {
        let mut rest = self.bytes.get(..filled)?;
        let mut local = None;
        while let Some((level, kind, data, after)) = next_message(rest) {
            rest = after;
            match (level, kind) {
                // The address the kernel would answer from: for a broadcast that is not where it was sent to. So
                // it goes before what the IPv6 side of a dual-stack socket says about the same datagram.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => return field::<4>(data, 4).map(IpAddr::from),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    local = field::<16>(data, 0).map(|octets| Ipv6Addr::from(octets).to_canonical());
                }
                _ => {}
            }
        }
        local.filter(|ip| !ip.is_multicast())
    }

    /// Whether the first `filled` bytes tell that the datagram was sent to everybody in an IPv4 network: then the address
    /// in its header is not the one that the kernel would answer from.
    pub(crate) fn is_broadcast(&self, filled: usize) -> bool {
        let mut rest = self.bytes.get(..filled).unwrap_or_default();
        while let Some((level, kind, data, after)) = next_message(rest) {
            rest = after;
            if (level, kind) == (libc::IPPROTO_IP, libc::IP_PKTINFO) {
                return field::<4>(data, 8).is_some_and(|header| Some(header) != field::<4>(data, 4));
            }
        }
        false
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        put(&mut self.bytes, at, value);
    }
}

/// Level, type and data of the first control message, and what follows it.
fn next_message(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let length = usize::from_ne_bytes(field(bytes, 0)?);
    let level = i32::from_ne_bytes(field(bytes, CMSG_WORD)?);
    let kind = i32::from_ne_bytes(field(bytes, CMSG_WORD + 4)?);
    let data = bytes.get(CMSG_HEADER..length)?;
    let after = bytes.get(length.checked_next_multiple_of(CMSG_WORD)?..).unwrap_or_default();
    Some((level, kind, data, after))
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|tail| tail.get_mut(..value.len())) {
        place.copy_from_slice(value);
    }
}

/// `sizeof(struct sockaddr_in6)`, the longer of the two.
const NAME_BYTES: usize = size_of::<libc::sockaddr_in6>();
const SOCKADDR_IN_BYTES: usize = size_of::<libc::sockaddr_in>();
const IN_PKTINFO_BYTES: usize = size_of::<libc::in_pktinfo>();
const IN6_PKTINFO_BYTES: usize = size_of::<libc::in6_pktinfo>();
/// The kernel's `size_t`, which begins and aligns a control message.
const CMSG_WORD: usize = size_of::<usize>();
const CMSG_HEADER: usize = CMSG_WORD + 8;
const CONTROL_BYTES: usize = 80;
#[expect(clippy::cast_possible_truncation, reason = "`sa_family_t` has 16 bits")]
const INET: u16 = libc::AF_INET as u16;
#[expect(clippy::cast_possible_truncation, reason = "`sa_family_t` has 16 bits")]
const INET6: u16 = libc::AF_INET6 as u16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_survives_its_socket_address() {
        let table: [(&str, Family, usize); 4] = [
            ("192.0.2.7:1884", Family::V4, 16),
            ("192.0.2.7:1884", Family::V6, 28),
            ("[2001:db8::7]:65535", Family::V6, 28),
            ("[fe80::1%3]:1", Family::V6, 28),
        ];
        for (text, family, length) in table {
            let peer: SocketAddr = text.parse().unwrap();
            let (name, filled) = Name::encode(peer, family);
            assert_eq!(filled, length, "{text}");
            assert_eq!(name.decode(filled), Some(peer), "{text}");
        }
    }

    #[test]
    fn a_socket_address_has_the_kernels_layout() {
        let (v4, _) = Name::encode("192.0.2.7:1884".parse().unwrap(), Family::V4);
        assert_eq!(v4.bytes[2..8], [0x07, 0x5C, 192, 0, 2, 7]);
        let (mapped, _) = Name::encode("192.0.2.7:1884".parse().unwrap(), Family::V6);
        assert_eq!(mapped.bytes[2..4], [0x07, 0x5C]);
        assert_eq!(mapped.bytes[18..24], [0xFF, 0xFF, 192, 0, 2, 7]);
    }

    #[test]
    fn a_socket_address_that_is_cut_short_or_unknown_is_none() {
        let (name, filled) = Name::encode("[2001:db8::7]:1".parse().unwrap(), Family::V6);
        assert_eq!(name.decode(filled - 1), None);
        assert_eq!(name.decode(NAME_BYTES + 1), None);
        assert_eq!(Name::EMPTY.decode(NAME_BYTES), None, "AF_UNSPEC");
    }

    #[test]
    fn a_local_address_survives_its_control_message() {
        let peer = "[fe80::9%4]:1".parse().unwrap();
        for (text, space) in [("192.0.2.1", 32), ("2001:db8::1", 40), ("fe80::1", 40)] {
            let local: IpAddr = text.parse().unwrap();
            let (control, filled) = Control::encode(local, peer);
            assert_eq!(filled, space, "{text}");
            assert_eq!(control.decode(filled), Some(local), "{text}");
        }
    }

    #[test]
    fn a_link_local_source_without_an_interface_is_left_to_the_kernel() {
        let (_, filled) = Control::encode("fe80::1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap());
        assert_eq!(filled, 0);
    }

    #[test]
    fn a_multicast_group_is_nothing_to_answer_from() {
        let (control, filled) = Control::encode("ff02::1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap());
        assert_eq!(control.decode(filled), None);
    }

    #[test]
    fn of_two_control_messages_the_ipv4_one_decides() {
        let peer = "192.0.2.9:1".parse().unwrap();
        let (mut both, first) = Control::encode("::ffff:255.255.255.255".parse().unwrap(), peer);
        let (v4, second) = Control::encode("192.0.2.1".parse().unwrap(), peer);
        both.put(first, &v4.bytes[..second]);
        assert_eq!(both.decode(first + second), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(both.decode(first), Some("255.255.255.255".parse().unwrap()));
    }

    #[test]
    fn lengths_that_lie_end_the_walk() {
        let peer = "192.0.2.9:1".parse().unwrap();
        for length in [0usize, 1, CMSG_HEADER - 1, 1000, usize::MAX] {
            let (mut control, filled) = Control::encode("192.0.2.1".parse().unwrap(), peer);
            control.put(0, &length.to_ne_bytes());
            assert_eq!(control.decode(filled), None, "{length}");
        }
    }
}
