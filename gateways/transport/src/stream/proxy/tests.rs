use super::*;
use proptest::prelude::*;

/// Version 2: command and version, family and transport, what follows.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
}

/// 10.1.2.3:4660 to 10.9.8.7:8090.
const IPV4: [u8; 12] = [10, 1, 2, 3, 10, 9, 8, 7, 0x12, 0x34, 0x1F, 0x9A];

fn proxied(consumed: usize, source: &str) -> Result<Parsed, ProxyFault> {
    Ok(Parsed::Proxied { consumed, source: source.parse().unwrap() })
}

#[test]
fn version_1_is_a_line() {
    for (line, expected) in [
        ("PROXY TCP4 10.1.2.3 10.9.8.7 4660 8090\r\nrest", proxied(40, "10.1.2.3:4660")),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", proxied(32, "[2001:db8::1]:1")),
        // A proxy that listens for both families: its client is an IPv4 one all the same.
        ("PROXY TCP6 ::ffff:10.1.2.3 ::1 1 2\r\n", proxied(36, "10.1.2.3:1")),
        ("PROXY UNKNOWN\r\n\x10", Ok(Parsed::Local { consumed: 15 })),
        ("PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", Ok(Parsed::Local { consumed: 41 })),
        ("", Ok(Parsed::NeedMore)),
        ("P", Ok(Parsed::NeedMore)),
        ("PROXY TCP4 10.1.2.3 10.9.8.7 4660 8090\r", Ok(Parsed::NeedMore)),
        ("PUBLISH", Err(ProxyFault::Missing)),
        ("PROXYTCP4", Err(ProxyFault::Missing)),
    ] {
        assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
    }
}

#[test]
fn a_line_of_version_1_that_says_no_address_is_malformed() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY UDP4 10.1.2.3 10.9.8.7 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP4 10.1.2.3 10.9.8.7 65536 2\r\n",
        "PROXY TCP4 10.1.2.3 10.9.8.7 1 2 3\r\n",
        "PROXY TCP4 10.1.2.300 10.9.8.7 1 2\r\n",
    ] {
        assert!(
            matches!(parse(line.as_bytes()), Err(ProxyFault::Malformed(_))),
            "{line:?}: {:?}",
            parse(line.as_bytes())
        );
    }
    assert!(matches!(parse(b"PROXY TCP4 \xff\r\n"), Err(ProxyFault::Malformed(_))));
}

#[test]
fn a_line_of_version_1_has_107_octets_at_most() {
    let line = |octets: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(octets - 16)).into_bytes();
    assert_eq!(parse(&line(107)), Ok(Parsed::Local { consumed: 107 }));
    assert_eq!(parse(&line(108)), Err(ProxyFault::TooLong));
    assert_eq!(parse(&line(108)[..106]), Ok(Parsed::NeedMore));
    assert_eq!(parse(&line(108)[..107]), Err(ProxyFault::TooLong));
}

#[test]
fn a_line_that_ends_in_lf_alone_is_malformed_at_once() {
    let line = b"PROXY TCP4 10.1.2.3 10.9.8.7 4660 8090\nrest";
    assert_eq!(parse(line), Err(ProxyFault::Malformed("its line ends in LF without CR".to_owned())));
}

#[test]
fn a_version_that_there_is_not_is_named() {
    let header = binary(0x31, 0x11, &IPV4);
    assert_eq!(parse(&header), Err(ProxyFault::Malformed("its version is 3 and not 2".to_owned())));
}

#[test]
fn a_header_is_known_by_its_beginning() {
    for (bytes, expected) in [
        (&b"PROXY TCP4 10.1.2.3 10.9.8.7 4660 8090\r\n"[..], true),
        (b"PROXY TCP6 ::1 ::1 1 2\r\n", true),
        (b"PROXY UNKNOWN\r\n", true),
        (&binary(0x20, 0, &[]), true),
        (b"PROXY is on\n", false),
        (b"\r\n\r\n", false),
        (b"\x10\x00\x07\x3c\x00\x04abcd", false),
        (b"", false),
    ] {
        assert_eq!(begins(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn version_2_is_octets() {
    let ipv6 = [[0; 15].as_slice(), &[1], &[0; 16], &[0, 7, 0, 8]].concat();
    let with_more = [IPV4.as_slice(), &[1, 0, 3, b'h', b'2', b'!']].concat();
    for (header, expected) in [
        (binary(0x21, 0x11, &IPV4), proxied(28, "10.1.2.3:4660")),
        (binary(0x21, 0x11, &with_more), proxied(34, "10.1.2.3:4660")),
        (binary(0x21, 0x21, &ipv6), proxied(52, "[::1]:7")),
        (binary(0x20, 0x00, &[]), Ok(Parsed::Local { consumed: 16 })),
        (binary(0x20, 0x11, &IPV4), Ok(Parsed::Local { consumed: 28 })),
        (binary(0x21, 0x00, &[1, 2, 3]), Ok(Parsed::Local { consumed: 19 })),
        (binary(0x21, 0x31, &[0; 216]), Ok(Parsed::Local { consumed: 232 })),
    ] {
        let whole = [header.as_slice(), b"\x10\x00"].concat();
        assert_eq!(parse(&whole), expected, "{header:02x?}");
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Ok(Parsed::NeedMore), "{cut} of {header:02x?}");
        }
    }
}

#[test]
fn what_version_2_does_not_know_is_malformed() {
    for header in [
        binary(0x11, 0x11, &IPV4),
        binary(0x22, 0x11, &IPV4),
        binary(0x21, 0x41, &IPV4),
        binary(0x21, 0x13, &IPV4),
        binary(0x21, 0x11, &IPV4[..11]),
        binary(0x21, 0x12, &IPV4),
    ] {
        assert!(matches!(parse(&header), Err(ProxyFault::Malformed(_))), "{header:02x?}: {:?}", parse(&header));
    }
    assert_eq!(parse(b"\r\n\r\n\0\r\nQUID"), Err(ProxyFault::Missing));
    assert_eq!(parse(b"\x16\x03\x01"), Err(ProxyFault::Missing));
}

#[test]
fn version_2_may_add_4096_octets() {
    let header = binary(0x21, 0x11, &[IPV4.as_slice(), &vec![0; V2_LONGEST - 12]].concat());
    assert_eq!(parse(&header), proxied(16 + V2_LONGEST, "10.1.2.3:4660"));
    // One more is refused as soon as it is announced.
    assert_eq!(parse(&[v2::PROTOCOL_PREFIX, &[0x21, 0x11, 0x10, 0x01]].concat()), Err(ProxyFault::TooLong));
}

#[test]
fn a_datagram_has_all_of_its_header_and_version_2_only() {
    let header = binary(0x21, 0x12, &IPV4);
    let datagram = [header.as_slice(), b"\x02\x16"].concat();
    assert_eq!(parse_datagram(&datagram), proxied(28, "10.1.2.3:4660"));
    assert!(matches!(parse_datagram(&header[..27]), Err(ProxyFault::Malformed(_))));
    assert!(matches!(parse_datagram(&binary(0x21, 0x11, &IPV4)), Err(ProxyFault::Malformed(_))));
    for no_header in [b"".as_slice(), b"\x02\x16", b"\r\n\r\n", b"PROXY UNKNOWN\r\n"] {
        assert_eq!(parse_datagram(no_header), Err(ProxyFault::Missing), "{no_header:?}");
    }
}

fn near_headers() -> impl Strategy<Value = Vec<u8>> {
    let anything = proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        anything.clone(),
        "PROXY (TCP4|TCP6|UNKNOWN|X)?[ 0-9a-f:.]{0,100}(\r\n|\r|)".prop_map(String::into_bytes),
        (0u8..=0x22, any::<u8>(), anything).prop_map(|(command, family, rest)| binary(command, family, &rest)),
    ]
}

proptest! {
    #[test]
    fn no_input_panics_and_nothing_is_consumed_that_is_not_there(bytes in near_headers()) {
        for parsed in [parse(&bytes), parse_datagram(&bytes)] {
            if let Ok(Parsed::Local { consumed } | Parsed::Proxied { consumed, .. }) = parsed {
                prop_assert!(consumed > 0 && consumed <= bytes.len());
            }
        }
    }

    #[test]
    fn more_octets_change_no_verdict(bytes in near_headers(), at in any::<prop::sample::Index>()) {
        let early = parse(&bytes[..at.index(bytes.len() + 1)]);
        if early != Ok(Parsed::NeedMore) {
            prop_assert_eq!(parse(&bytes), early);
        }
    }

    #[test]
    fn every_address_comes_through(source: SocketAddr, destination: SocketAddr) {
        let family = match (source, destination) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => "TCP4",
            (SocketAddr::V6(_), SocketAddr::V6(_)) => "TCP6",
            _ => return Ok(()),
        };
        let (from, to) = (source.ip(), destination.ip());
        let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
        let consumed = line.len();
        let whole = |consumed| Ok(Parsed::Proxied { consumed, source: SocketAddr::new(from.to_canonical(), source.port()) });
        prop_assert_eq!(parse(line.as_bytes()), whole(consumed));
        let header = v2::Builder::with_addresses(v2::Version::Two | v2::Command::Proxy, v2::Protocol::Stream, (source, destination));
        let header = header.build().unwrap();
        prop_assert_eq!(parse(&header), whole(header.len()));
    }
}

#[test]
fn an_ipv4_address_mapped_into_ipv6_is_shown_as_what_it_is() {
    let source = "::ffff:10.1.2.3".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let rest = [&source[..], &[0; 16], &[0x12, 0x34, 0x1F, 0x9A]].concat();
    assert_eq!(parse(&binary(0x21, 0x21, &rest)), proxied(52, "10.1.2.3:4660"));
    assert_eq!(parse_datagram(&binary(0x21, 0x22, &rest)), proxied(52, "10.1.2.3:4660"));
}
