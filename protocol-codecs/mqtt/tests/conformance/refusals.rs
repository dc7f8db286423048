//! What must be refused and has no row in the tables.

use codec_mqtt::{Fault, TopicFault, Version, decode, decode_from_server, peek};
use wire::WireFault;

#[test]
#[rustfmt::skip]
fn packets_that_no_version_allows() {
    let table: [(Version, &[u8], &str, Fault); 8] = [
        (Version::V5,   &[0x40, 2, 0, 1, 0xC0, 0],              "two packets as one",            Fault::Wire(WireFault::Trailing(2))),
        (Version::V5,   &[0xC0, 0, 0],                          "an octet behind PINGREQ",       Fault::Wire(WireFault::Trailing(1))),
        (Version::V5,   &[0xA2, 7, 0, 7, 0, 0, 2, b'a', b'#'],  "UNSUBSCRIBE, # in a level",     Fault::TopicFilter(TopicFault::WildcardPlace)),
        (Version::V311, &[0xA2, 4, 0, 7, 0, 0],                 "UNSUBSCRIBE, empty filter",     Fault::TopicFilter(TopicFault::Empty)),
        (Version::V5,   &[0xB0, 3, 0, 7, 0],                    "UNSUBACK without reason codes", Fault::Protocol("reason code")),
        (Version::V5,   &[0xB0, 4, 0, 7, 0, 0x01],              "UNSUBACK grants a QoS",         Fault::Protocol("reason code")),
        (Version::V311, &[0x20, 2, 0, 6],                       "return code 6",                 Fault::Malformed("return code")),
        (Version::V311, &[0xF0, 0],                             "AUTH in 3.1.1",                 Fault::Malformed("packet type or flags")),
    ];
    for (version, octets, rule, fault) in table { assert_eq!(decode(octets, version), Err(fault), "{rule}"); }
}

#[test]
fn a_server_sends_nothing_that_only_a_client_may() {
    let client = Fault::Protocol("packet that only a client sends");
    let connect = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0];
    let only_client: [(Version, &[u8]); 5] = [
        (Version::V311, &connect),
        (Version::V311, &[0x82, 6, 0, 6, 0, 1, b'a', 0]),
        (Version::V311, &[0xA2, 5, 0, 7, 0, 1, b'a']),
        (Version::V5, &[0xC0, 0]),
        (Version::V311, &[0xE0, 0]),
    ];
    for (version, octets) in only_client {
        assert!(decode(octets, version).is_ok(), "{octets:02x?}");
        assert_eq!(decode_from_server(octets, version), Err(client), "{octets:02x?}");
    }
    let both: [&[u8]; 4] = [&[0x20, 3, 0, 0, 0], &[0x30, 4, 0, 1, b'a', 0], &[0xD0, 0], &[0xE0, 2, 0x8B, 0]];
    for octets in both {
        assert_eq!(decode_from_server(octets, Version::V5), decode(octets, Version::V5), "{octets:02x?}");
        assert!(decode(octets, Version::V5).is_ok(), "{octets:02x?}");
    }
}

/// `$share` means nothing in 3.1.1, where the filter is one like any other.
#[test]
fn a_shared_filter_without_a_group_is_refused_in_5_0_only() {
    let filter = [0, 9, b'$', b's', b'h', b'a', b'r', b'e', b'/', b'/', b'a'];
    let v311 = [&[0x82, 14, 0, 6][..], &filter, &[0]].concat();
    assert!(decode(&v311, Version::V311).is_ok());
    let v5 = [&[0x82, 15, 0, 6, 0][..], &filter, &[0]].concat();
    assert_eq!(decode(&v5, Version::V5), Err(Fault::TopicFilter(TopicFault::Share)));
}

#[test]
fn the_receive_limit_counts_the_fixed_header() {
    let fault = Fault::TooLarge { bytes: 4, limit: 3 };
    assert_eq!(peek(&[0x40, 2, 0, 1], 4), Ok(Some(4)));
    assert_eq!(peek(&[0x40, 2], 3), Err(fault));
    assert_eq!((fault.reason_code().0, fault.reason()), (0x95, "packet_too_large"));
}
