use super::fields::{Filter, Flags, MsgId, Qos, Topic, TopicIdType};
use super::message::{Ack, Connect, Message, Publish, Register, Suback, Subscribe, Unsubscribe, WillTopic, msg_type};
use crate::EncodeFault;
use crate::framing::put_message;

impl Message<'_> {
    /// Appends the message: the short form below 256 octets, the long form from there on.
    ///
    /// # Errors
    /// [`EncodeFault`] when the wire has no such message; nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        match *self {
            Self::Publish(ref publish) => put_publish(out, publish),
            Self::Advertise { gateway, duration } => {
                put_message(out, msg_type::ADVERTISE, [&[gateway.0], &duration.to_be_bytes()])
            }
            Self::SearchGw { radius } => put_message(out, msg_type::SEARCHGW, [&[radius]]),
            Self::GwInfo { gateway, address } => put_message(out, msg_type::GWINFO, [&[gateway.0], address]),
            Self::Connect(ref connect) => put_connect(out, connect),
            Self::Connack { code } => put_message(out, msg_type::CONNACK, [&[code.into()]]),
            Self::WillTopicReq => put_message(out, msg_type::WILLTOPICREQ, []),
            Self::WillTopic(ref topic) => put_will_topic(out, msg_type::WILLTOPIC, topic.as_ref()),
            Self::WillMsgReq => put_message(out, msg_type::WILLMSGREQ, []),
            Self::WillMsg { payload } => put_message(out, msg_type::WILLMSG, [payload]),
            Self::Register(ref register) => put_register(out, register),
            Self::Regack(ref ack) => put_ack(out, msg_type::REGACK, ack),
            Self::Puback(ref ack) => put_ack(out, msg_type::PUBACK, ack),
            Self::Pubrec { msg_id } => put_msg_id(out, msg_type::PUBREC, msg_id),
            Self::Pubrel { msg_id } => put_msg_id(out, msg_type::PUBREL, msg_id),
            Self::Pubcomp { msg_id } => put_msg_id(out, msg_type::PUBCOMP, msg_id),
            Self::Subscribe(ref subscribe) => put_subscribe(out, subscribe),
            Self::Suback(ref suback) => put_suback(out, suback),
            Self::Unsubscribe(ref unsubscribe) => put_unsubscribe(out, unsubscribe),
            Self::Unsuback { msg_id } => put_msg_id(out, msg_type::UNSUBACK, msg_id),
            Self::Pingreq { client_id: None } => put_message(out, msg_type::PINGREQ, []),
            Self::Pingreq { client_id: Some("") } => Err(EncodeFault::Empty("ClientId")),
            Self::Pingreq { client_id: Some(id) } => put_message(out, msg_type::PINGREQ, [id.as_bytes()]),
            Self::Pingresp => put_message(out, msg_type::PINGRESP, []),
            Self::Disconnect { duration: None } => put_message(out, msg_type::DISCONNECT, []),
            Self::Disconnect { duration: Some(duration) } => {
                put_message(out, msg_type::DISCONNECT, [&duration.to_be_bytes()])
            }
            Self::WillTopicUpd(ref topic) => put_will_topic(out, msg_type::WILLTOPICUPD, topic.as_ref()),
            Self::WillTopicResp { code } => put_message(out, msg_type::WILLTOPICRESP, [&[code.into()]]),
            Self::WillMsgUpd { payload } => put_message(out, msg_type::WILLMSGUPD, [payload]),
            Self::WillMsgResp { code } => put_message(out, msg_type::WILLMSGRESP, [&[code.into()]]),
        }
    }
}

#[inline]
fn put_publish(out: &mut Vec<u8>, publish: &Publish<'_>) -> Result<(), EncodeFault> {
    let connectionless = publish.qos == Qos::MinusOne;
    let (topic_id_type, topic_id, name) = match publish.topic {
        // At QoS −1 the TopicId would read as the length of a name; at the other levels the name would read as payload.
        Topic::Normal(_) if connectionless => return Err(EncodeFault::TopicForm),
        Topic::Inline(_) if !connectionless => return Err(EncodeFault::TopicForm),
        Topic::Normal(id) => (TopicIdType::Normal, id.0.to_be_bytes(), ""),
        Topic::Inline("") => return Err(EncodeFault::Empty("TopicName")),
        Topic::Inline(name) => {
            let Ok(length) = u16::try_from(name.len()) else { return Err(EncodeFault::FieldTooLong("TopicName")) };
            (TopicIdType::Normal, length.to_be_bytes(), name)
        }
        Topic::Predefined(id) => (TopicIdType::Predefined, id.0.to_be_bytes(), ""),
        Topic::Short(octets) => (TopicIdType::Short, octets, ""),
        Topic::Reserved(octets) => (TopicIdType::Reserved, octets, ""),
    };
    let flags =
        Flags::NONE.with_dup(publish.dup).with_qos(publish.qos).with_retain(publish.retain).with_type(topic_id_type);
    let [t0, t1] = topic_id;
    let [m0, m1] = publish.msg_id.0.to_be_bytes();
    put_message(out, msg_type::PUBLISH, [&[flags.0, t0, t1, m0, m1], name.as_bytes(), publish.payload])
}

fn put_connect(out: &mut Vec<u8>, connect: &Connect<'_>) -> Result<(), EncodeFault> {
    let flags = Flags::NONE.with_will(connect.will).with_clean_session(connect.clean_session);
    let [d0, d1] = connect.duration.to_be_bytes();
    put_message(out, msg_type::CONNECT, [&[flags.0, connect.protocol_id, d0, d1], connect.client_id.as_bytes()])
}

fn put_will_topic(out: &mut Vec<u8>, msg_type: u8, topic: Option<&WillTopic<'_>>) -> Result<(), EncodeFault> {
    match topic {
        None => put_message(out, msg_type, []),
        Some(WillTopic { qos: Qos::MinusOne, .. }) => Err(EncodeFault::WillQos),
        Some(topic) => {
            let flags = Flags::NONE.with_qos(topic.qos).with_retain(topic.retain);
            put_message(out, msg_type, [&[flags.0], topic.topic_name.as_bytes()])
        }
    }
}

fn put_register(out: &mut Vec<u8>, register: &Register<'_>) -> Result<(), EncodeFault> {
    if register.topic_name.is_empty() {
        return Err(EncodeFault::Empty("TopicName"));
    }
    let [t0, t1] = register.topic_id.0.to_be_bytes();
    let [m0, m1] = register.msg_id.0.to_be_bytes();
    put_message(out, msg_type::REGISTER, [&[t0, t1, m0, m1], register.topic_name.as_bytes()])
}

fn put_ack(out: &mut Vec<u8>, msg_type: u8, ack: &Ack) -> Result<(), EncodeFault> {
    let [t0, t1] = ack.topic_id.0.to_be_bytes();
    let [m0, m1] = ack.msg_id.0.to_be_bytes();
    put_message(out, msg_type, [&[t0, t1, m0, m1, ack.code.into()]])
}

fn put_msg_id(out: &mut Vec<u8>, msg_type: u8, msg_id: MsgId) -> Result<(), EncodeFault> {
    put_message(out, msg_type, [&msg_id.0.to_be_bytes()])
}

fn put_subscribe(out: &mut Vec<u8>, subscribe: &Subscribe<'_>) -> Result<(), EncodeFault> {
    let flags = Flags::NONE.with_dup(subscribe.dup).with_qos(subscribe.qos);
    put_filter(out, msg_type::SUBSCRIBE, flags, subscribe.msg_id, subscribe.filter)
}

fn put_suback(out: &mut Vec<u8>, suback: &Suback) -> Result<(), EncodeFault> {
    let flags = Flags::NONE.with_qos(suback.qos);
    let [t0, t1] = suback.topic_id.0.to_be_bytes();
    let [m0, m1] = suback.msg_id.0.to_be_bytes();
    put_message(out, msg_type::SUBACK, [&[flags.0, t0, t1, m0, m1, suback.code.into()]])
}

fn put_unsubscribe(out: &mut Vec<u8>, unsubscribe: &Unsubscribe<'_>) -> Result<(), EncodeFault> {
    put_filter(out, msg_type::UNSUBSCRIBE, Flags::NONE, unsubscribe.msg_id, unsubscribe.filter)
}

/// SUBSCRIBE and UNSUBSCRIBE: Flags, MsgId, and the filter in the form that the flags name.
fn put_filter(
    out: &mut Vec<u8>,
    msg_type: u8,
    flags: Flags,
    msg_id: MsgId,
    filter: Filter<'_>,
) -> Result<(), EncodeFault> {
    let id_octets;
    let (topic_id_type, octets): (TopicIdType, &[u8]) = match filter {
        Filter::Name("") => return Err(EncodeFault::Empty("TopicName")),
        Filter::Name(name) => (TopicIdType::Normal, name.as_bytes()),
        Filter::Predefined(id) => {
            id_octets = id.0.to_be_bytes();
            (TopicIdType::Predefined, &id_octets)
        }
        Filter::Short(ref octets) => (TopicIdType::Short, octets),
        Filter::Reserved(octets) => (TopicIdType::Reserved, octets),
    };
    let [m0, m1] = msg_id.0.to_be_bytes();
    put_message(out, msg_type, [&[flags.with_type(topic_id_type).0, m0, m1], octets])
}
