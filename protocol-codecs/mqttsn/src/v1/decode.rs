use super::fields::{Filter, Flags, GatewayId, MsgId, Qos, ReturnCode, Topic, TopicId, TopicIdType};
use super::forwarder::{Frame, decode_forwarded};
use super::message::{Ack, Connect, Message, Publish, Register, Suback, Subscribe, Unsubscribe, WillTopic, msg_type};
use crate::Fault;
use crate::framing::read_header;
use wire::{Reader, WireFault};

/// Reads one datagram: one message, in a forwarder's envelope or not. The frame borrows from it.
///
/// Both length forms are read at any size. What a text may hold beyond UTF-8, and how long it may be, is not decided
/// here.
///
/// # Errors
/// [`Fault`]; the datagram is then to be dropped.
#[inline]
pub fn decode(datagram: &[u8]) -> Result<Frame<'_>, Fault> {
    let (header, body) = read_header(datagram)?;
    if header.msg_type == msg_type::FORWARD {
        return decode_forwarded(&header, body);
    }
    header.covers(datagram.len())?;
    // The message that is nearly all of the traffic need not go through the table.
    let message = if header.msg_type == msg_type::PUBLISH {
        Message::Publish(publish(body)?)
    } else {
        decode_body(header.msg_type, Reader::new(body))?
    };
    Ok(Frame { via: None, message })
}

/// Reads a body of this type, all of it.
pub(super) fn decode_body<'a>(msg_type: u8, mut body: Reader<'a>) -> Result<Message<'a>, Fault> {
    let message = match msg_type {
        msg_type::ADVERTISE => {
            Message::Advertise { gateway: GatewayId(body.u8("GwId")?), duration: body.u16("Duration")? }
        }
        msg_type::SEARCHGW => Message::SearchGw { radius: body.u8("Radius")? },
        msg_type::GWINFO => Message::GwInfo { gateway: GatewayId(body.u8("GwId")?), address: body.rest() },
        msg_type::CONNECT => Message::Connect(connect(&mut body)?),
        msg_type::CONNACK => Message::Connack { code: code(&mut body)? },
        msg_type::WILLTOPICREQ => Message::WillTopicReq,
        msg_type::WILLTOPIC => Message::WillTopic(will_topic(&mut body)?),
        msg_type::WILLMSGREQ => Message::WillMsgReq,
        msg_type::WILLMSG => Message::WillMsg { payload: body.rest() },
        msg_type::REGISTER => Message::Register(register(&mut body)?),
        msg_type::REGACK => Message::Regack(ack(&mut body)?),
        msg_type::PUBLISH => Message::Publish(publish(body.rest())?),
        msg_type::PUBACK => Message::Puback(ack(&mut body)?),
        msg_type::PUBCOMP => Message::Pubcomp { msg_id: msg_id(&mut body)? },
        msg_type::PUBREC => Message::Pubrec { msg_id: msg_id(&mut body)? },
        msg_type::PUBREL => Message::Pubrel { msg_id: msg_id(&mut body)? },
        msg_type::SUBSCRIBE => Message::Subscribe(subscribe(&mut body)?),
        msg_type::SUBACK => Message::Suback(suback(&mut body)?),
        msg_type::UNSUBSCRIBE => Message::Unsubscribe(unsubscribe(&mut body)?),
        msg_type::UNSUBACK => Message::Unsuback { msg_id: msg_id(&mut body)? },
        msg_type::PINGREQ => Message::Pingreq { client_id: pingreq(&mut body)? },
        msg_type::PINGRESP => Message::Pingresp,
        msg_type::DISCONNECT => Message::Disconnect { duration: disconnect(&mut body)? },
        msg_type::WILLTOPICUPD => Message::WillTopicUpd(will_topic(&mut body)?),
        msg_type::WILLTOPICRESP => Message::WillTopicResp { code: code(&mut body)? },
        msg_type::WILLMSGUPD => Message::WillMsgUpd { payload: body.rest() },
        msg_type::WILLMSGRESP => Message::WillMsgResp { code: code(&mut body)? },
        reserved => return Err(Fault::UnknownType(reserved)),
    };
    body.finish()?;
    Ok(message)
}

/// PUBLISH in one bounds check: its header is five octets, the payload all the rest.
#[inline]
fn publish(body: &[u8]) -> Result<Publish<'_>, Fault> {
    let Some((&[flags, t0, t1, m0, m1], rest)) = body.split_first_chunk() else {
        return Err(WireFault::Truncated("MsgId").into());
    };
    let flags = Flags(flags);
    let id = u16::from_be_bytes([t0, t1]);
    let (topic, payload) = match flags.topic_id_type() {
        TopicIdType::Normal if flags.qos() == Qos::MinusOne => inline_name(id, rest)?,
        TopicIdType::Normal => (Topic::Normal(TopicId(id)), rest),
        TopicIdType::Predefined => (Topic::Predefined(TopicId(id)), rest),
        TopicIdType::Short => (Topic::Short([t0, t1]), rest),
        TopicIdType::Reserved => (Topic::Reserved([t0, t1]), rest),
    };
    Ok(Publish {
        dup: flags.dup(),
        qos: flags.qos(),
        retain: flags.retain(),
        topic,
        msg_id: MsgId(u16::from_be_bytes([m0, m1])),
        payload,
    })
}

/// A topic name of `length` octets and the payload behind it.
#[inline(never)]
fn inline_name(length: u16, rest: &[u8]) -> Result<(Topic<'_>, &[u8]), Fault> {
    let Some((name, payload)) = rest.split_at_checked(usize::from(length)) else {
        return Err(Fault::InlineNameOverrun);
    };
    Ok((Topic::Inline(topic_name(&mut Reader::new(name))?), payload))
}

fn connect<'a>(body: &mut Reader<'a>) -> Result<Connect<'a>, Fault> {
    let flags = Flags(body.u8("Flags")?);
    Ok(Connect {
        will: flags.will(),
        clean_session: flags.clean_session(),
        protocol_id: body.u8("ProtocolId")?,
        duration: body.u16("Duration")?,
        client_id: body.rest_str("ClientId")?,
    })
}

fn will_topic<'a>(body: &mut Reader<'a>) -> Result<Option<WillTopic<'a>>, Fault> {
    if body.is_empty() {
        return Ok(None);
    }
    let flags = Flags(body.u8("Flags")?);
    if flags.qos() == Qos::MinusOne {
        return Err(Fault::WillQos);
    }
    Ok(Some(WillTopic { qos: flags.qos(), retain: flags.retain(), topic_name: body.rest_str("WillTopic")? }))
}

fn register<'a>(body: &mut Reader<'a>) -> Result<Register<'a>, Fault> {
    Ok(Register { topic_id: topic_id(body)?, msg_id: msg_id(body)?, topic_name: topic_name(body)? })
}

fn ack(body: &mut Reader<'_>) -> Result<Ack, Fault> {
    Ok(Ack { topic_id: topic_id(body)?, msg_id: msg_id(body)?, code: code(body)? })
}

fn subscribe<'a>(body: &mut Reader<'a>) -> Result<Subscribe<'a>, Fault> {
    let flags = Flags(body.u8("Flags")?);
    Ok(Subscribe { dup: flags.dup(), qos: flags.qos(), msg_id: msg_id(body)?, filter: filter(flags, body)? })
}

fn suback(body: &mut Reader<'_>) -> Result<Suback, Fault> {
    let flags = Flags(body.u8("Flags")?);
    Ok(Suback { qos: flags.qos(), topic_id: topic_id(body)?, msg_id: msg_id(body)?, code: code(body)? })
}

fn unsubscribe<'a>(body: &mut Reader<'a>) -> Result<Unsubscribe<'a>, Fault> {
    let flags = Flags(body.u8("Flags")?);
    Ok(Unsubscribe { msg_id: msg_id(body)?, filter: filter(flags, body)? })
}

fn pingreq<'a>(body: &mut Reader<'a>) -> Result<Option<&'a str>, Fault> {
    if body.is_empty() { Ok(None) } else { Ok(Some(body.rest_str("ClientId")?)) }
}

fn disconnect(body: &mut Reader<'_>) -> Result<Option<u16>, Fault> {
    if body.is_empty() { Ok(None) } else { Ok(Some(body.u16("Duration")?)) }
}

fn filter<'a>(flags: Flags, body: &mut Reader<'a>) -> Result<Filter<'a>, Fault> {
    Ok(match flags.topic_id_type() {
        TopicIdType::Normal => Filter::Name(topic_name(body)?),
        TopicIdType::Predefined => Filter::Predefined(topic_id(body)?),
        TopicIdType::Short => Filter::Short(body.u16("TopicName")?.to_be_bytes()),
        TopicIdType::Reserved => Filter::Reserved(body.rest()),
    })
}

fn topic_name<'a>(body: &mut Reader<'a>) -> Result<&'a str, Fault> {
    match body.rest_str("TopicName")? {
        "" => Err(Fault::EmptyTopic),
        name => Ok(name),
    }
}

fn topic_id(body: &mut Reader<'_>) -> Result<TopicId, WireFault> {
    body.u16("TopicId").map(TopicId)
}

fn msg_id(body: &mut Reader<'_>) -> Result<MsgId, WireFault> {
    body.u16("MsgId").map(MsgId)
}

fn code(body: &mut Reader<'_>) -> Result<ReturnCode, WireFault> {
    body.u8("ReturnCode").map(ReturnCode::from)
}
