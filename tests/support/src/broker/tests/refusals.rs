//! What the broker does not offer.

use super::*;
use crate::broker::RefuseV5;
use codec_mqtt::ReasonCode;

#[test]
fn a_refused_connect_is_told_the_code_of_its_version() {
    for (level, expected) in [(Level::V5, "CONNACK 87"), (Level::V311, "CONNACK 87")] {
        let mut broker = SimBroker::new(Options { refuse_connect: Some(ReasonCode::NOT_AUTHORIZED), ..Options::new() });
        let (_client, heard) = Client::say_hello(&mut broker, 1, Connect::new(level, "c", true, 0));
        assert_eq!(heard, [expected]);
        assert!(!broker.is_open(1) && !broker.has_session("c"));
    }
}

#[test]
fn a_broker_of_3_1_1_refuses_5_0_in_its_way() {
    for (how, expected) in [
        (RefuseV5::ReasonCode, &[0x20, 3, 0, 0x84, 0][..]),
        (RefuseV5::ReturnCode, &[0x20, 2, 0, 1][..]),
        (RefuseV5::Close, &[][..]),
    ] {
        let mut broker = SimBroker::new(Options { refuse_v5: Some(how), ..Options::new() });
        let mut bytes = Vec::new();
        Packet::Connect(Connect::new(Level::V5, "c", true, 0)).encode(Version::V5, &mut bytes).unwrap();
        broker.connect(1);
        broker.receive(1, &bytes);
        assert_eq!(broker.take_output(1), expected);
        assert!(!broker.is_open(1));
        let (_client, heard) = Client::say_hello(&mut broker, 2, Connect::new(Level::V311, "c", true, 0));
        assert_eq!(heard, ["CONNACK 00"]);
    }
}

#[test]
fn connack_announces_every_limit() {
    let mut broker = SimBroker::new(Options {
        receive_maximum: 7,
        maximum_packet_size: Some(99),
        maximum_qos: Q1,
        retain_available: false,
        subscription_identifiers: false,
        server_keep_alive: Some(11),
        ..Options::new()
    });
    let mut bytes = Vec::new();
    Packet::Connect(Connect::new(Level::V5, "c", true, 0)).encode(Version::V5, &mut bytes).unwrap();
    broker.connect(1);
    broker.receive(1, &bytes);
    let heard = broker.take_output(1);
    let Ok(Packet::Connack(connack)) = decode_from_server(&heard, Version::V5) else { panic!("{heard:02X?}") };
    let expected = [
        Property::ReceiveMaximum(7),
        Property::MaximumPacketSize(99),
        Property::ServerKeepAlive(11),
        Property::MaximumQos(Q1),
        Property::RetainAvailable(false),
        Property::SubscriptionIdentifierAvailable(false),
    ];
    assert_eq!(connack.properties, Properties::list(&expected));
}

#[test]
fn a_subscription_is_refused_or_lowered() {
    let mut broker = SimBroker::new(Options { maximum_qos: Q1, ..Options::new() });
    broker.options().refuse_subscribe.insert("no/#".into(), ReasonCode::NOT_AUTHORIZED);
    let client = Client::resuming(&mut broker, 1, "c");
    let filters = [Subscription::new("no/#", Q2), Subscription::new("yes", Q2)];
    let subscribe = Subscribe { packet_id: id(5), properties: Properties::EMPTY, filters: Filters::list(&filters) };
    assert_eq!(client.send(&mut broker, &Packet::Subscribe(subscribe)), ["SUBACK #5 [87, 01]"]);
    assert_eq!(broker.filters("c").collect::<Vec<_>>(), ["yes"]);
    assert_eq!(client.unsubscribe(&mut broker, 5, "no/#"), ["UNSUBACK #5 [11]"]);
}

#[test]
fn a_ping_is_answered() {
    let mut broker = SimBroker::default();
    let client = Client::resuming(&mut broker, 1, "c");
    assert_eq!(client.send(&mut broker, &Packet::Pingreq), ["Pingresp"]);
}
