//! What holds for every message and for any octets.

use codec_mqttsn::{
    Ack, Connect, Filter, Forwarder, Frame, GatewayId, Message, MsgId, Publish, Qos, Radius, Register, ReturnCode,
    Suback, Subscribe, Topic, TopicId, Unsubscribe, WillTopic, decode, fuzzing,
};
use proptest::collection::vec;
use proptest::prelude::*;

const TYPES: u8 = 27;

/// What a message of any type is composed of.
#[derive(Clone, Debug)]
struct Parts {
    octet: u8,
    bits: (bool, bool),
    qos: Qos,
    topic_form: u8,
    ids: (u16, u16),
    text: Option<String>,
    payload: Vec<u8>,
    via: Option<(u8, Vec<u8>)>,
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let qos = prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce), Just(Qos::MinusOne)];
    // Both sides of 256 octets.
    let payload = prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 235..265)];
    let text = proptest::option::of(prop_oneof!["\\PC{1,12}", "[a-zé/]{120,260}"]);
    let via = proptest::option::of((0..4_u8, vec(any::<u8>(), 0..=252)));
    (any::<u8>(), any::<(bool, bool)>(), qos, 0..4_u8, any::<(u16, u16)>(), text, payload, via).prop_map(
        |(octet, bits, qos, topic_form, ids, text, payload, via)| Parts {
            octet,
            bits,
            qos,
            topic_form,
            ids,
            text,
            payload,
            via,
        },
    )
}

impl Parts {
    fn frame(&self, kind: u8) -> Frame<'_> {
        let via =
            self.via.as_ref().map(|(radius, node_id)| Forwarder { radius: Radius::new(*radius).unwrap(), node_id });
        Frame { via, message: self.message(kind) }
    }

    fn message(&self, kind: u8) -> Message<'_> {
        let (topic_id, msg_id, code) = (TopicId(self.ids.0), MsgId(self.ids.1), ReturnCode::from(self.octet));
        let ack = Ack { topic_id, msg_id, code };
        let client_id = self.text.as_deref();
        let name = client_id.unwrap_or("a/b");
        let gateway = GatewayId(self.octet);
        let payload = self.payload.as_slice();
        let duration = self.ids.0;
        match kind {
            0 => Message::Advertise { gateway, duration },
            1 => Message::SearchGw { radius: self.octet },
            2 => Message::GwInfo { gateway, address: payload },
            3 => Message::Connect(Connect {
                will: self.bits.0,
                clean_session: self.bits.1,
                protocol_id: self.octet,
                duration,
                client_id: client_id.unwrap_or_default(),
            }),
            4 => Message::Connack { code },
            5 => Message::WillTopicReq,
            6 => Message::WillTopic(self.will_topic()),
            7 => Message::WillMsgReq,
            8 => Message::WillMsg { payload },
            9 => Message::Register(Register { topic_id, msg_id, topic_name: name }),
            10 => Message::Regack(ack),
            11 => Message::Publish(self.publish()),
            12 => Message::Puback(ack),
            13 => Message::Pubrec { msg_id },
            14 => Message::Pubrel { msg_id },
            15 => Message::Pubcomp { msg_id },
            16 => Message::Subscribe(Subscribe { dup: self.bits.0, qos: self.qos, msg_id, filter: self.filter() }),
            17 => Message::Suback(Suback { qos: self.qos, topic_id, msg_id, code }),
            18 => Message::Unsubscribe(Unsubscribe { msg_id, filter: self.filter() }),
            19 => Message::Unsuback { msg_id },
            20 => Message::Pingreq { client_id },
            21 => Message::Pingresp,
            22 => Message::Disconnect { duration: self.bits.0.then_some(duration) },
            23 => Message::WillTopicUpd(self.will_topic()),
            24 => Message::WillTopicResp { code },
            25 => Message::WillMsgUpd { payload },
            _ => Message::WillMsgResp { code },
        }
    }

    fn will_topic(&self) -> Option<WillTopic<'_>> {
        let qos = if self.qos == Qos::MinusOne { Qos::AtMostOnce } else { self.qos };
        let retain = self.bits.1;
        self.bits.0.then(|| WillTopic { qos, retain, topic_name: self.text.as_deref().unwrap_or_default() })
    }

    fn publish(&self) -> Publish<'_> {
        let (dup, retain) = self.bits;
        let octets = self.ids.0.to_be_bytes();
        let topic = match self.topic_form {
            0 if self.qos == Qos::MinusOne => Topic::Inline(self.text.as_deref().unwrap_or("a/b")),
            0 => Topic::Normal(TopicId(self.ids.0)),
            1 => Topic::Predefined(TopicId(self.ids.0)),
            2 => Topic::Short(octets),
            _ => Topic::Reserved(octets),
        };
        Publish { dup, qos: self.qos, retain, topic, msg_id: MsgId(self.ids.1), payload: &self.payload }
    }

    fn filter(&self) -> Filter<'_> {
        match self.topic_form {
            0 => Filter::Name(self.text.as_deref().unwrap_or("a/+")),
            1 => Filter::Predefined(TopicId(self.ids.0)),
            2 => Filter::Short(self.ids.0.to_be_bytes()),
            _ => Filter::Reserved(&self.payload),
        }
    }
}

/// A datagram whose header is right and whose body is anything.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let forwarder = proptest::option::of((any::<u8>(), vec(any::<u8>(), 0..4)));
    (forwarder, 0..0x20_u8, vec(any::<u8>(), 0..300), any::<bool>()).prop_map(|(forwarder, msg_type, body, long)| {
        let mut datagram = Vec::new();
        if let Some((ctrl, node_id)) = forwarder {
            datagram.extend([u8::try_from(node_id.len() + 3).unwrap(), 0xFE, ctrl]);
            datagram.extend(node_id);
        }
        match u8::try_from(body.len() + 2) {
            Ok(length) if !long => datagram.push(length),
            _ => {
                datagram.push(1);
                datagram.extend(u16::try_from(body.len() + 4).unwrap().to_be_bytes());
            }
        }
        datagram.push(msg_type);
        datagram.extend(body);
        datagram
    })
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(parts in any_parts()) {
        for kind in 0..TYPES {
            let frame = parts.frame(kind);
            let mut out = Vec::new();
            prop_assert_eq!(frame.encode(&mut out), Ok(()));
            prop_assert_eq!(decode(&out), Ok(frame));
        }
    }

    #[test]
    fn no_part_of_a_message_reads_as_that_message(parts in any_parts(), kind in 0..TYPES, cut in 0..600_usize) {
        let mut out = Vec::new();
        parts.frame(kind).encode(&mut out).unwrap();
        out.truncate(cut.min(out.len() - 1));
        prop_assert!(decode(&out).is_err());
    }

    #[test]
    fn accepted_octets_reencode_to_the_same_frame(datagram in any_body()) {
        fuzzing::codec(&datagram);
    }

    #[test]
    fn random_octets_never_panic(datagram in vec(any::<u8>(), 0..300)) {
        fuzzing::codec(&datagram);
    }
}
