//! Any packet that a version can express. What it borrows is leaked: it lives as long as the test process.

use crate::meaning::keep;
use codec_mqtt::{
    Ack, Auth, Connack, Connect, Delivery, Disconnect, Filters, Level, Names, Packet, PacketId, Properties, Property,
    Publish, Qos, ReasonCode, ReasonCodes, RetainHandling, Secret, Suback, Subscribe, Subscription, Unsuback,
    Unsubscribe, Version, Will,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn any_packet(version: Version) -> BoxedStrategy<Packet<'static>> {
    let acks = (any_ack(version, RECEIPT), any_ack(version, RELEASE));
    let common = prop_oneof![
        any_connect(version).prop_map(Packet::Connect),
        any_connack(version).prop_map(Packet::Connack),
        any_publish(version, true).prop_map(Packet::Publish),
        acks.prop_flat_map(|(receipt, release)| {
            select(vec![
                Packet::Puback(receipt),
                Packet::Pubrec(receipt),
                Packet::Pubrel(release),
                Packet::Pubcomp(release),
            ])
        }),
        any_subscribe(version).prop_map(Packet::Subscribe),
        any_suback(version).prop_map(Packet::Suback),
        any_unsubscribe(version).prop_map(Packet::Unsubscribe),
        any_unsuback(version).prop_map(Packet::Unsuback),
        Just(Packet::Pingreq),
        Just(Packet::Pingresp),
        any_disconnect(version).prop_map(Packet::Disconnect),
    ];
    match version {
        Version::V311 => common.boxed(),
        Version::V5 => prop_oneof![11 => common, 1 => any_auth().prop_map(Packet::Auth)].boxed(),
    }
}

const RECEIPT: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASE: &[u8] = &[0x00, 0x92];
const CONNACK: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B,
    0x9C, 0x9D, 0x9F,
];
const DISCONNECT: &[u8] = &[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x93, 0x98, 0x9C, 0xA2];
const SUBACK: &[u8] = &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];

pub(crate) fn any_id() -> impl Strategy<Value = PacketId> {
    any::<std::num::NonZeroU16>().prop_map(PacketId::from)
}

pub(crate) fn any_text() -> impl Strategy<Value = &'static str> {
    "[^\0]{0,12}".prop_map(|text| keep(text.into_boxed_str()))
}

pub(crate) fn any_octets() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..200).prop_map(|octets| keep(octets.into_boxed_slice()))
}

pub(crate) fn any_name() -> impl Strategy<Value = &'static str> {
    "[^\0+#]{1,12}".prop_map(|text| keep(text.into_boxed_str()))
}

fn any_filter() -> impl Strategy<Value = &'static str> {
    let filter = "([a-zé]{0,3}/|\\+/){0,3}([a-zé]{1,3}|\\+|#)";
    prop_oneof![filter, "\\$share/[a-z]{1,3}/[a-z]{1,3}(/#)?"].prop_map(|text| keep(text.into_boxed_str()))
}

pub(crate) fn any_qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

/// Properties of `singles`, each once at most and in any order, and user properties. None in 3.1.1.
fn any_properties<S>(version: Version, singles: Vec<S>) -> BoxedStrategy<Properties<'static>>
where
    S: Strategy<Value = Property<'static>> + 'static,
{
    if version == Version::V311 {
        return Just(Properties::EMPTY).boxed();
    }
    let count = singles.len();
    let users = vec((any_text(), any_text()).prop_map(|(name, value)| Property::UserProperty(name, value)), 0..3);
    (singles, vec(any::<bool>(), count), users)
        .prop_map(|(values, wanted, users)| {
            let kept = values.into_iter().zip(wanted).filter_map(|(value, wanted)| wanted.then_some(value));
            kept.chain(users).collect::<Vec<_>>()
        })
        .prop_shuffle()
        .prop_map(|all| Properties::list(keep(all.into_boxed_slice())))
        .boxed()
}

type AnyProperty = BoxedStrategy<Property<'static>>;

fn of<T: std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
    property: impl Fn(T) -> Property<'static> + 'static,
) -> AnyProperty {
    value.prop_map(property).boxed()
}

fn message_properties() -> Vec<AnyProperty> {
    vec![
        of(any::<bool>(), Property::PayloadFormatIndicator),
        of(any::<u32>(), Property::MessageExpiryInterval),
        of(any_text(), Property::ContentType),
        of(any_name(), Property::ResponseTopic),
        of(any_octets(), Property::CorrelationData),
    ]
}

fn session_properties() -> Vec<AnyProperty> {
    vec![
        of(any::<u32>(), Property::SessionExpiryInterval),
        of(1..=u16::MAX, Property::ReceiveMaximum),
        of(any::<u16>(), Property::TopicAliasMaximum),
        of(1..=u32::MAX, Property::MaximumPacketSize),
        of(any_text(), Property::AuthenticationMethod),
    ]
}

pub(crate) fn any_connect(version: Version) -> BoxedStrategy<Connect<'static>> {
    let mut mine = session_properties();
    mine.push(of(any::<bool>(), Property::RequestProblemInformation));
    mine.push(of(any::<bool>(), Property::RequestResponseInformation));
    let mut of_will = message_properties();
    of_will.push(of(any::<u32>(), Property::WillDelayInterval));
    let will = (any_name(), any_octets(), any_qos(), any::<bool>(), any_properties(version, of_will))
        .prop_map(|(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties });
    let id = "[^\0]{1,12}".prop_map(|id| keep(id.into_boxed_str()));
    let credentials = (option::of(any_text()), option::of(any_octets()));
    (any::<bool>(), any::<u16>(), id, option::of(will), credentials, any_properties(version, mine))
        .prop_map(move |(clean_start, keep_alive, client_id, will, (user_name, password), properties)| {
            let password = password.filter(|_| version == Version::V5 || user_name.is_some()).map(Secret);
            let level = Level::from(version);
            Connect { level, clean_start, keep_alive, client_id, will, user_name, password, properties }
        })
        .boxed()
}

fn any_connack(version: Version) -> BoxedStrategy<Connack<'static>> {
    let mut mine = session_properties();
    mine.push(of(select(vec![Qos::AtMostOnce, Qos::AtLeastOnce]), Property::MaximumQos));
    mine.push(of(any::<bool>(), Property::RetainAvailable));
    mine.push(of(any_text(), Property::AssignedClientIdentifier));
    mine.push(of(any_text(), Property::ReasonString));
    mine.push(of(any::<bool>(), Property::WildcardSubscriptionAvailable));
    mine.push(of(any::<bool>(), Property::SubscriptionIdentifierAvailable));
    mine.push(of(any::<bool>(), Property::SharedSubscriptionAvailable));
    mine.push(of(any::<u16>(), Property::ServerKeepAlive));
    mine.push(of(any_text(), Property::ResponseInformation));
    mine.push(of(any_text(), Property::ServerReference));
    let codes = if version == Version::V5 { CONNACK } else { &[0x00, 0x84, 0x85, 0x86, 0x87, 0x88] };
    (any::<bool>(), select(codes), any_properties(version, mine))
        .prop_map(|(present, code, properties)| {
            let reason = ReasonCode(code);
            Connack { session_present: present && !reason.is_error(), reason, properties }
        })
        .boxed()
}

/// `from_server`: with what only a server writes.
pub(crate) fn any_publish(version: Version, from_server: bool) -> BoxedStrategy<Publish<'static>> {
    let mut mine = message_properties();
    mine.push(of(1..=u16::MAX, Property::TopicAlias));
    if from_server {
        mine.push(of(1..=268_435_455_u32, Property::SubscriptionIdentifier));
    }
    let delivery = (any_qos(), any_id(), any::<bool>()).prop_map(|(qos, packet_id, dup)| match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce { packet_id, dup },
        Qos::ExactlyOnce => Delivery::ExactlyOnce { packet_id, dup },
    });
    (any_name(), delivery, any::<bool>(), any_properties(version, mine), any_octets())
        .prop_map(|(topic, delivery, retain, properties, payload)| Publish {
            topic,
            delivery,
            retain,
            properties,
            payload,
        })
        .boxed()
}

fn any_reason_properties(version: Version) -> BoxedStrategy<Properties<'static>> {
    any_properties(version, vec![of(any_text(), Property::ReasonString)])
}

fn any_ack(version: Version, codes: &'static [u8]) -> BoxedStrategy<Ack<'static>> {
    let codes = if version == Version::V5 { codes } else { &[0] };
    (any_id(), select(codes), any_reason_properties(version))
        .prop_map(|(packet_id, code, properties)| Ack { packet_id, reason: ReasonCode(code), properties })
        .boxed()
}

fn any_subscribe(version: Version) -> BoxedStrategy<Subscribe<'static>> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let one = (any_filter(), any_qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(filter, qos, no_local, retain_as_published, retain_handling)| match version {
            Version::V311 => Subscription::new(filter, qos),
            Version::V5 => {
                let no_local = no_local && !filter.starts_with("$share/");
                Subscription { filter, qos, no_local, retain_as_published, retain_handling }
            }
        },
    );
    let id = of(1..=268_435_455_u32, Property::SubscriptionIdentifier);
    (any_id(), any_properties(version, vec![id]), vec(one, 1..4))
        .prop_map(|(packet_id, properties, all)| Subscribe {
            packet_id,
            properties,
            filters: Filters::list(keep(all.into_boxed_slice())),
        })
        .boxed()
}

fn any_suback(version: Version) -> BoxedStrategy<Suback<'static>> {
    let codes = if version == Version::V5 { SUBACK } else { &SUBACK[..4] };
    (any_id(), any_reason_properties(version), vec(select(codes), 1..5))
        .prop_map(|(packet_id, properties, codes)| Suback {
            packet_id,
            properties,
            codes: ReasonCodes::new(keep(codes.into_boxed_slice())),
        })
        .boxed()
}

fn any_unsubscribe(version: Version) -> BoxedStrategy<Unsubscribe<'static>> {
    (any_id(), any_properties(version, Vec::<AnyProperty>::new()), vec(any_filter(), 1..4))
        .prop_map(|(packet_id, properties, all)| Unsubscribe {
            packet_id,
            properties,
            filters: Names::list(keep(all.into_boxed_slice())),
        })
        .boxed()
}

fn any_unsuback(version: Version) -> BoxedStrategy<Unsuback<'static>> {
    let count = if version == Version::V5 { 1..5 } else { 0..1 };
    (any_id(), any_reason_properties(version), vec(select(&[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91][..]), count))
        .prop_map(|(packet_id, properties, codes)| Unsuback {
            packet_id,
            properties,
            codes: ReasonCodes::new(keep(codes.into_boxed_slice())),
        })
        .boxed()
}

fn any_disconnect(version: Version) -> BoxedStrategy<Disconnect<'static>> {
    let mine = vec![
        of(any::<u32>(), Property::SessionExpiryInterval),
        of(any_text(), Property::ReasonString),
        of(any_text(), Property::ServerReference),
    ];
    let codes = if version == Version::V5 { DISCONNECT } else { &[0] };
    (select(codes), any_properties(version, mine))
        .prop_map(|(code, properties)| Disconnect { reason: ReasonCode(code), properties })
        .boxed()
}

fn any_auth() -> impl Strategy<Value = Auth<'static>> {
    (select(&[0x00, 0x18, 0x19][..]), any_text(), option::of(any_octets())).prop_map(|(code, method, data)| {
        let mut all = vec![Property::AuthenticationMethod(method)];
        all.extend(data.map(|data| Property::AuthenticationData(Secret(data))));
        Auth { reason: ReasonCode(code), properties: Properties::list(keep(all.into_boxed_slice())) }
    })
}
