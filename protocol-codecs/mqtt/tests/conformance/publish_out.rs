//! The hot path: what [`PublishOut`] writes is what [`Publish`] reads, in the octets it announced and without growing
//! a buffer that has room.

use crate::any::{any_id, any_name, any_octets, any_qos, any_text};
use crate::meaning::keep;
use codec_mqtt::{Delivery, EncodeFault, Packet, PacketId, PublishOut, PublishProperties, Qos, Version, decode};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::num::NonZeroU16;

fn any_properties() -> impl Strategy<Value = PublishProperties<'static>> {
    let users = vec((any_text(), any_text()), 0..3).prop_map(|users| keep(users.into_boxed_slice()));
    (
        any::<bool>(),
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(any_text()),
        option::of(any_name()),
        option::of(any_octets()),
        users,
    )
        .prop_map(|(utf8, expiry, alias, content_type, response_topic, correlation_data, users)| {
            PublishProperties {
                payload_is_utf8: utf8,
                message_expiry_interval: expiry,
                topic_alias: alias,
                content_type,
                response_topic,
                correlation_data,
                user_properties: users,
            }
        })
}

pub(crate) fn any_publish_out() -> impl Strategy<Value = PublishOut<'static>> {
    let delivery = (any_qos(), any_id(), any::<bool>()).prop_map(|(qos, packet_id, dup)| match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce { packet_id, dup },
        Qos::ExactlyOnce => Delivery::ExactlyOnce { packet_id, dup },
    });
    let topic = prop_oneof![(Just(""), any_name()), (any_name(), any_name())];
    (topic, delivery, any::<bool>(), any_properties(), any_octets()).prop_map(
        |((prefix, name), delivery, retain, properties, payload)| PublishOut {
            prefix,
            name,
            delivery,
            retain,
            properties,
            payload,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(out in any_publish_out(), v5 in any::<bool>()) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        let mut octets = Vec::with_capacity(out.encoded_len(version).unwrap() + 5);
        let room = octets.capacity();
        prop_assert_eq!(out.encode(version, &mut octets), Ok(()));
        prop_assert_eq!(octets.len(), out.encoded_len(version).unwrap());
        prop_assert_eq!(octets.capacity(), room);
        let Ok(Packet::Publish(read)) = decode(&octets, version) else { panic!("{octets:?}") };
        prop_assert_eq!(read.topic, format!("{}{}", out.prefix, out.name));
        prop_assert_eq!((read.delivery, read.retain, read.payload), (out.delivery, out.retain, out.payload));
        let (seen, meant) = (&read.properties, out.properties);
        if version == Version::V311 {
            prop_assert!(seen.is_empty());
        } else {
            prop_assert_eq!(seen.payload_format_indicator(), meant.payload_is_utf8.then_some(true));
            prop_assert_eq!(seen.message_expiry_interval(), meant.message_expiry_interval);
            prop_assert_eq!(seen.topic_alias(), meant.topic_alias.map(NonZeroU16::get));
            prop_assert_eq!(seen.content_type(), meant.content_type);
            prop_assert_eq!(seen.response_topic(), meant.response_topic);
            prop_assert_eq!(seen.correlation_data(), meant.correlation_data);
            prop_assert!(seen.user_properties().eq(meant.user_properties.iter().copied()));
        }
    }
}

#[test]
fn what_cannot_be_written_appends_nothing() {
    let (long, longest) = ("x".repeat(65_536), "x".repeat(65_535));
    let alias = PublishProperties { topic_alias: NonZeroU16::new(3), ..PublishProperties::default() };
    let typed = PublishProperties { content_type: Some(&long), ..PublishProperties::default() };
    let named = PublishOut { name: "a", ..PublishOut::default() };
    let large = vec![0; 268_435_455];
    let cases = [
        (PublishOut::default(), Version::V5, EncodeFault::Empty("topic name")),
        (PublishOut { properties: alias, ..PublishOut::default() }, Version::V311, EncodeFault::Empty("topic name")),
        (PublishOut { prefix: "a", name: &longest, ..named }, Version::V5, EncodeFault::TooLong("topic name")),
        (PublishOut { properties: typed, ..named }, Version::V5, EncodeFault::TooLong("content type")),
        (PublishOut { payload: &large, ..named }, Version::V311, EncodeFault::TooLarge),
    ];
    for (publication, version, fault) in cases {
        let mut out = vec![7];
        assert_eq!(publication.encoded_len(version), Err(fault));
        assert_eq!(publication.encode(version, &mut out), Err(fault));
        assert_eq!(out, [7]);
    }
}

#[test]
fn an_alias_stands_for_the_topic_name() {
    let properties = PublishProperties { topic_alias: NonZeroU16::new(3), ..PublishProperties::default() };
    let delivery = Delivery::AtLeastOnce { packet_id: PacketId::FIRST, dup: true };
    let mut out = Vec::new();
    let publication = PublishOut { delivery, properties, payload: b"!", ..PublishOut::default() };
    assert_eq!(publication.encode(Version::V5, &mut out), Ok(()));
    assert_eq!(out, [0x3A, 9, 0, 0, 0, 1, 3, 0x23, 0, 3, b'!']);
}
