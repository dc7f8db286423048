//! Every row of `tests/vectors/mqttsn.tsv`.

use codec_mqttsn::{
    Ack, Connect, Fault, Filter, Frame, Message, Publish, Qos, Suback, Subscribe, Topic, Unsubscribe, WillTopic, decode,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use support::vectors::{Row, Use, rows};
use wire::WireFault;

#[test]
fn every_row_of_the_table_holds() {
    let rows = rows("mqttsn.tsv");
    for row in &rows {
        match row.use_ {
            Use::Both => {
                let frame = reads_as_its_meaning(row);
                assert_eq!(encoded(&frame), row.bytes, "{}", row.id);
            }
            Use::Decode | Use::Roundtrip => {
                let frame = reads_as_its_meaning(row);
                assert_eq!(decode(&encoded(&frame)), Ok(frame), "{}", row.id);
            }
            Use::Reject => {
                let fault = decode(&row.bytes).expect_err(&row.id);
                assert_eq!(json!({ "fault": kind(fault) }), row.meaning, "{}", row.id);
            }
            Use::Either => codec_mqttsn::fuzzing::codec(&row.bytes),
        }
    }
    let count = |use_| rows.iter().filter(|row| row.use_ == use_).count();
    assert_eq!([count(Use::Both), count(Use::Decode), count(Use::Reject)], [123, 14, 63]);
    assert_eq!(rows.len(), 200);
}

#[test]
fn the_table_has_every_message_type() {
    let rows = rows("mqttsn.tsv");
    let names: BTreeSet<_> =
        rows.iter().filter_map(|row| decode(&row.bytes).ok()).map(|frame| frame.message.type_name()).collect();
    assert_eq!(names.len(), 27, "{names:?}");
}

fn reads_as_its_meaning(row: &Row) -> Frame<'_> {
    let frame = decode(&row.bytes).unwrap_or_else(|fault| panic!("{}: {fault}", row.id));
    assert_eq!(frame_meaning(&frame), row.meaning, "{}", row.id);
    frame
}

fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out).unwrap();
    out
}

/// The table's name for a fault.
fn kind(fault: Fault) -> &'static str {
    match fault {
        Fault::TooShort => "too-short",
        Fault::LengthMismatch { .. } => "length-mismatch",
        Fault::UnknownType(_) => "unknown-type",
        Fault::Wire(WireFault::Truncated(_)) => "body-too-short",
        Fault::Wire(WireFault::Trailing(_)) => "trailing-bytes",
        Fault::Wire(WireFault::NotUtf8(_)) => "bad-utf8",
        Fault::EmptyTopic => "empty-topic",
        Fault::InlineNameOverrun => "inline-name-overrun",
        Fault::WillQos => "bad-qos",
        Fault::ForwarderEmpty => "forwarder-empty",
        Fault::NestedForwarder => "nested-forwarder",
        Fault::NodeIdTooLong(_) => "not in the table",
    }
}

fn frame_meaning(frame: &Frame<'_>) -> Value {
    let mut inner = message_meaning(&frame.message);
    inner["type"] = json!(frame.message.type_name().to_uppercase());
    match frame.via {
        None => inner,
        Some(via) => json!({
            "type": "FORWARD", "radius": via.radius.hops(), "node_hex": hex(via.node_id), "inner": inner,
        }),
    }
}

fn message_meaning(message: &Message<'_>) -> Value {
    match *message {
        Message::Advertise { gateway, duration } => json!({ "gw_id": gateway.0, "duration": duration }),
        Message::SearchGw { radius } => json!({ "radius": radius }),
        Message::GwInfo { gateway, address } => json!({ "gw_id": gateway.0, "gw_addr_hex": hex(address) }),
        Message::Connect(Connect { will, clean_session, protocol_id, duration, client_id }) => json!({
            "will": will, "clean": clean_session, "protocol_id": protocol_id, "duration": duration,
            "client_id": client_id,
        }),
        Message::WillTopic(topic) | Message::WillTopicUpd(topic) => will_topic_meaning(topic),
        Message::WillMsg { payload } | Message::WillMsgUpd { payload } => json!({ "message_hex": hex(payload) }),
        Message::Register(r) => {
            json!({ "topic_id": r.topic_id.0, "msg_id": r.msg_id.0, "topic_name": r.topic_name })
        }
        Message::Regack(Ack { topic_id, msg_id, code }) | Message::Puback(Ack { topic_id, msg_id, code }) => {
            json!({ "topic_id": topic_id.0, "msg_id": msg_id.0, "return_code": u8::from(code) })
        }
        Message::Publish(publish) => publish_meaning(&publish),
        Message::Subscribe(Subscribe { dup, qos, msg_id, filter }) => {
            with_filter(json!({ "dup": dup, "qos": level(qos), "msg_id": msg_id.0 }), filter)
        }
        Message::Suback(Suback { qos, topic_id, msg_id, code }) => json!({
            "qos": level(qos), "topic_id": topic_id.0, "msg_id": msg_id.0, "return_code": u8::from(code),
        }),
        Message::Unsubscribe(Unsubscribe { msg_id, filter }) => with_filter(json!({ "msg_id": msg_id.0 }), filter),
        Message::Pubrec { msg_id }
        | Message::Pubrel { msg_id }
        | Message::Pubcomp { msg_id }
        | Message::Unsuback { msg_id } => json!({ "msg_id": msg_id.0 }),
        Message::Pingreq { client_id } => json!({ "client_id": client_id }),
        Message::Disconnect { duration } => json!({ "duration": duration }),
        Message::Connack { code } | Message::WillTopicResp { code } | Message::WillMsgResp { code } => {
            json!({ "return_code": u8::from(code) })
        }
        Message::WillTopicReq | Message::WillMsgReq | Message::Pingresp => Value::Object(Map::new()),
    }
}

fn will_topic_meaning(topic: Option<WillTopic<'_>>) -> Value {
    json!({
        "qos": topic.map(|t| level(t.qos)), "retain": topic.map(|t| t.retain), "topic": topic.map(|t| t.topic_name),
    })
}

fn publish_meaning(publish: &Publish<'_>) -> Value {
    let mut meaning = json!({
        "dup": publish.dup, "qos": level(publish.qos), "retain": publish.retain, "msg_id": publish.msg_id.0,
        "payload_hex": hex(publish.payload),
    });
    let (kind, key, value) = match publish.topic {
        Topic::Normal(id) => ("normal", "topic_id", json!(id.0)),
        Topic::Inline(name) => ("normal", "topic_name", json!(name)),
        Topic::Predefined(id) => ("predefined", "topic_id", json!(id.0)),
        Topic::Short(octets) => ("short", "topic_name", json!(std::str::from_utf8(&octets).unwrap())),
        Topic::Reserved(octets) => ("reserved", "topic_id", json!(u16::from_be_bytes(octets))),
    };
    meaning["topic_id_type"] = json!(kind);
    meaning[key] = value;
    meaning
}

fn with_filter(mut meaning: Value, filter: Filter<'_>) -> Value {
    let (kind, key, value) = match filter {
        Filter::Name(name) => ("normal", "topic_name", json!(name)),
        Filter::Predefined(id) => ("predefined", "topic_id", json!(id.0)),
        Filter::Short(octets) => ("short", "topic_name", json!(std::str::from_utf8(&octets).unwrap())),
        Filter::Reserved(octets) => {
            ("reserved", "topic_id", json!(u16::from_be_bytes(octets.try_into().expect("two octets"))))
        }
    };
    meaning["topic_id_type"] = json!(kind);
    meaning[key] = value;
    meaning
}

fn level(qos: Qos) -> i8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
        Qos::MinusOne => -1,
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
