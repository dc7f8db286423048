//! Both properties that every codec holds, and that nothing breaks it.

use crate::any::any_packet;
use codec_mqtt::{EncodeFault, Packet, Properties, Property, Version, decode, fuzzing};
use proptest::collection::vec;
use proptest::prelude::*;

fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

proptest! {
    #[test]
    fn a_packet_survives_the_wire(
        (version, packet) in any_version().prop_flat_map(|version| (Just(version), any_packet(version)))
    ) {
        let mut out = Vec::new();
        prop_assert_eq!(packet.encode(version, &mut out), Ok(()));
        prop_assert_eq!(packet.encoded_len(version), Ok(out.len()));
        prop_assert_eq!(decode(&out, version), Ok(packet));
    }

    #[test]
    fn accepted_bytes_reencode_to_the_same_packet(bytes in vec(any::<u8>(), 0..300)) {
        fuzzing::codec(&bytes);
    }

    /// Random octets seldom get past the fixed header: these begin as a real packet.
    #[test]
    fn a_damaged_packet_is_refused_or_reencodes(
        (version, packet) in any_version().prop_flat_map(|version| (Just(version), any_packet(version))),
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let mut data = vec![u8::from(version == Version::V5)];
        packet.encode(version, &mut data).unwrap();
        let at = at.index(data.len() - 1) + 1;
        data[at] = octet;
        fuzzing::codec(&data);
    }
}

#[test]
fn a_packet_that_cannot_be_written_appends_nothing() {
    let long = "x".repeat(65_536);
    let cases = [
        ([Property::ReasonString(&long)], EncodeFault::TooLong("reason string")),
        (
            [Property::TopicAlias(1)],
            EncodeFault::Property(codec_mqtt::Fault::Malformed("property of another packet type")),
        ),
    ];
    for (list, fault) in cases {
        let disconnect = codec_mqtt::Disconnect { properties: Properties::list(&list), ..Default::default() };
        let mut out = vec![7];
        assert_eq!(Packet::Disconnect(disconnect).encode(Version::V5, &mut out), Err(fault));
        assert_eq!(out, [7]);
    }
    assert_eq!(
        Packet::Auth(codec_mqtt::Auth::default()).encode(Version::V311, &mut Vec::new()),
        Err(EncodeFault::NotInVersion("AUTH"))
    );
}

#[test]
fn properties_of_one_packet_are_checked_again_for_another() {
    let published = decode(&[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 1], Version::V5);
    let Ok(Packet::Publish(publish)) = published else { panic!("{published:?}") };
    let disconnect = codec_mqtt::Disconnect { properties: publish.properties, ..Default::default() };
    assert!(matches!(
        Packet::Disconnect(disconnect).encode(Version::V5, &mut Vec::new()),
        Err(EncodeFault::Property(_))
    ));
}
