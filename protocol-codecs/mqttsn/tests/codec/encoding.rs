//! What is written, and what is refused before a single octet is.

use codec_mqttsn::{
    Ack, EncodeFault, Filter, GatewayId, Message, MsgId, Publish, Qos, Register, ReturnCode, Suback, Subscribe, Topic,
    TopicId, Unsubscribe, WillTopic,
};

#[test]
#[rustfmt::skip]
fn a_gateways_answers_are_these_octets() {
    let (topic_id, msg_id, code) = (TopicId(0x0401), MsgId(0x1234), ReturnCode::NotSupported);
    let ack = Ack { topic_id, msg_id, code };
    let table: [(Message<'_>, &[u8]); 15] = [
        (Message::Advertise { gateway: GatewayId(1), duration: 900 },    &[0x05, 0x00, 0x01, 0x03, 0x84]),
        (Message::GwInfo { gateway: GatewayId(1), address: &[] },        &[0x03, 0x02, 0x01]),
        (Message::Connack { code },                                      &[0x03, 0x05, 0x03]),
        (Message::WillTopicReq,                                          &[0x02, 0x06]),
        (Message::WillMsgReq,                                            &[0x02, 0x08]),
        (Message::Regack(ack),                                           &[0x07, 0x0B, 0x04, 0x01, 0x12, 0x34, 0x03]),
        (Message::Puback(ack),                                           &[0x07, 0x0D, 0x04, 0x01, 0x12, 0x34, 0x03]),
        (Message::Pubrec { msg_id },                                     &[0x04, 0x0F, 0x12, 0x34]),
        (Message::Pubrel { msg_id },                                     &[0x04, 0x10, 0x12, 0x34]),
        (Message::Pubcomp { msg_id },                                    &[0x04, 0x0E, 0x12, 0x34]),
        (Message::Suback(Suback { qos: Qos::ExactlyOnce, topic_id, msg_id, code }), &[0x08, 0x13, 0x40, 0x04, 0x01, 0x12, 0x34, 0x03]),
        (Message::Unsuback { msg_id },                                   &[0x04, 0x15, 0x12, 0x34]),
        (Message::Pingresp,                                              &[0x02, 0x17]),
        (Message::Disconnect { duration: None },                         &[0x02, 0x18]),
        (Message::WillTopicResp { code: ReturnCode::Other(0x80) },       &[0x03, 0x1B, 0x80]),
    ];
    for (message, expected) in table {
        let mut out = Vec::new();
        assert_eq!(message.encode(&mut out), Ok(()), "{message:?}");
        assert_eq!(out, expected, "{message:?}");
    }
}

#[test]
fn what_would_read_as_something_else_is_not_written() {
    let (longest, long) = ("n".repeat(65_535), "n".repeat(65_536));
    let publish = |qos, topic, payload| {
        Message::Publish(Publish { dup: false, qos, retain: false, topic, msg_id: MsgId(0), payload })
    };
    let register = |topic_name| Message::Register(Register { topic_id: TopicId(0), msg_id: MsgId(1), topic_name });
    let will = |qos, topic_name| Some(WillTopic { qos, retain: false, topic_name });
    let (normal, inline, named) = (Topic::Normal(TopicId(3)), Topic::Inline("a/b"), Filter::Name(""));
    let table = [
        (publish(Qos::MinusOne, normal, b"a/b"), EncodeFault::TopicForm),
        (publish(Qos::AtMostOnce, inline, b"1"), EncodeFault::TopicForm),
        (publish(Qos::MinusOne, Topic::Inline(""), b"1"), EncodeFault::Empty("TopicName")),
        (publish(Qos::MinusOne, Topic::Inline(&long), b""), EncodeFault::FieldTooLong("TopicName")),
        (publish(Qos::MinusOne, Topic::Inline(&longest), b""), EncodeFault::TooLong(65_544)),
        (publish(Qos::MinusOne, inline, &long.as_bytes()[..65_524]), EncodeFault::TooLong(65_536)),
        (publish(Qos::AtMostOnce, normal, &long.as_bytes()[..65_527]), EncodeFault::TooLong(65_536)),
        (register(""), EncodeFault::Empty("TopicName")),
        (register(&long), EncodeFault::TooLong(65_544)),
        (Message::WillTopic(will(Qos::MinusOne, "w")), EncodeFault::WillQos),
        (Message::WillTopicUpd(will(Qos::MinusOne, "w")), EncodeFault::WillQos),
        (Message::WillTopicUpd(will(Qos::AtMostOnce, &long)), EncodeFault::TooLong(65_541)),
        (Message::Unsubscribe(Unsubscribe { msg_id: MsgId(1), filter: named }), EncodeFault::Empty("TopicName")),
        (
            Message::Subscribe(Subscribe { dup: false, qos: Qos::AtMostOnce, msg_id: MsgId(1), filter: named }),
            EncodeFault::Empty("TopicName"),
        ),
        (Message::Pingreq { client_id: Some("") }, EncodeFault::Empty("ClientId")),
    ];
    for (message, expected) in table {
        let mut out = b"kept".to_vec();
        assert_eq!(message.encode(&mut out), Err(expected), "{}", message.type_name());
        assert_eq!(out, b"kept", "{}", message.type_name());
    }
}

#[test]
fn labels_are_constant_and_tell_the_faults_apart() {
    let faults = [
        EncodeFault::TooLong(65_536),
        EncodeFault::Empty("TopicName"),
        EncodeFault::WillQos,
        EncodeFault::TopicForm,
        EncodeFault::FieldTooLong("TopicName"),
    ];
    let labels: std::collections::BTreeSet<_> = faults.iter().map(EncodeFault::reason).collect();
    assert_eq!(labels.len(), faults.len());
    assert_eq!(codec_mqttsn::Fault::from(wire::WireFault::Trailing(1)).reason(), "trailing_bytes");
}
