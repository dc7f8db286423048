//! One property of 5.0 (2.2.2.2): its identifier, its type and its octets.

mod block;
mod rules;

pub use block::Properties;
pub(crate) use rules::{Allowed, Checker};

use crate::connect::Secret;
use crate::frame::{text, varint};
use crate::sink::{Sink, put_bytes16, put_u8, put_u16, put_u32, put_varint};
use crate::{EncodeFault, Fault, Qos};
use wire::Reader;

/// A property with its value. Intervals and keep alives are in seconds, sizes in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// True: the payload is UTF-8.
    PayloadFormatIndicator(bool),
    /// Seconds until the message is worthless.
    MessageExpiryInterval(u32),
    /// What the payload is, usually a MIME type.
    ContentType(&'a str),
    /// Topic name for the answer.
    ResponseTopic(&'a str),
    /// What the answer carries back.
    CorrelationData(&'a [u8]),
    /// 1 to 268,435,455.
    SubscriptionIdentifier(u32),
    /// Seconds the session outlives the connection; `u32::MAX` is for ever.
    SessionExpiryInterval(u32),
    /// The id that the server gave to a client without one.
    AssignedClientIdentifier(&'a str),
    /// Seconds, instead of what the client asked for.
    ServerKeepAlive(u16),
    /// Name of the authentication method.
    AuthenticationMethod(&'a str),
    /// Octets of that method.
    AuthenticationData(Secret<'a>),
    /// Whether reason strings and user properties are wanted on failures.
    RequestProblemInformation(bool),
    /// Seconds from the loss of the connection to the will.
    WillDelayInterval(u32),
    /// Whether CONNACK may carry response information.
    RequestResponseInformation(bool),
    /// Basis for response topics.
    ResponseInformation(&'a str),
    /// Another server to use.
    ServerReference(&'a str),
    /// A reason in words.
    ReasonString(&'a str),
    /// Unacknowledged publications of QoS 1 and 2 that the sender of this can hold, 1 to 65,535.
    ReceiveMaximum(u16),
    /// Highest topic alias that the sender of this accepts.
    TopicAliasMaximum(u16),
    /// 1 to 65,535.
    TopicAlias(u16),
    /// QoS 0 or 1.
    MaximumQos(Qos),
    /// Whether the server keeps retained messages.
    RetainAvailable(bool),
    /// Name and value, both free.
    UserProperty(&'a str, &'a str),
    /// Longest packet that the sender of this accepts, in octets, at least 1.
    MaximumPacketSize(u32),
    /// Whether the server takes wildcards in filters.
    WildcardSubscriptionAvailable(bool),
    /// Whether the server takes subscription identifiers.
    SubscriptionIdentifierAvailable(bool),
    /// Whether the server takes shared subscriptions.
    SharedSubscriptionAvailable(bool),
}

impl<'a> Property<'a> {
    /// Its identifier, 0x01 to 0x2A.
    #[must_use]
    pub const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormatIndicator(_) => 0x01,
            Self::MessageExpiryInterval(_) => 0x02,
            Self::ContentType(_) => 0x03,
            Self::ResponseTopic(_) => 0x08,
            Self::CorrelationData(_) => 0x09,
            Self::SubscriptionIdentifier(_) => 0x0B,
            Self::SessionExpiryInterval(_) => 0x11,
            Self::AssignedClientIdentifier(_) => 0x12,
            Self::ServerKeepAlive(_) => 0x13,
            Self::AuthenticationMethod(_) => 0x15,
            Self::AuthenticationData(_) => 0x16,
            Self::RequestProblemInformation(_) => 0x17,
            Self::WillDelayInterval(_) => 0x18,
            Self::RequestResponseInformation(_) => 0x19,
            Self::ResponseInformation(_) => 0x1A,
            Self::ServerReference(_) => 0x1C,
            Self::ReasonString(_) => 0x1F,
            Self::ReceiveMaximum(_) => 0x21,
            Self::TopicAliasMaximum(_) => 0x22,
            Self::TopicAlias(_) => 0x23,
            Self::MaximumQos(_) => 0x24,
            Self::RetainAvailable(_) => 0x25,
            Self::UserProperty(..) => 0x26,
            Self::MaximumPacketSize(_) => 0x27,
            Self::WildcardSubscriptionAvailable(_) => 0x28,
            Self::SubscriptionIdentifierAvailable(_) => 0x29,
            Self::SharedSubscriptionAvailable(_) => 0x2A,
        }
    }

    /// Reads identifier and value. All identifiers are one octet; one of more is unknown.
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(match r.u8("property identifier")? {
            0x01 => Self::PayloadFormatIndicator(flag(r, "payload format indicator")?),
            0x02 => Self::MessageExpiryInterval(r.u32("message expiry interval")?),
            0x03 => Self::ContentType(text(r, "content type")?),
            0x08 => Self::ResponseTopic(text(r, "response topic")?),
            0x09 => Self::CorrelationData(r.bytes16("correlation data")?),
            0x0B => Self::SubscriptionIdentifier(varint(r, "subscription identifier")?),
            0x11 => Self::SessionExpiryInterval(r.u32("session expiry interval")?),
            0x12 => Self::AssignedClientIdentifier(text(r, "assigned client identifier")?),
            0x13 => Self::ServerKeepAlive(r.u16("server keep alive")?),
            0x15 => Self::AuthenticationMethod(text(r, "authentication method")?),
            0x16 => Self::AuthenticationData(Secret(r.bytes16("authentication data")?)),
            0x17 => Self::RequestProblemInformation(flag(r, "request problem information")?),
            0x18 => Self::WillDelayInterval(r.u32("will delay interval")?),
            0x19 => Self::RequestResponseInformation(flag(r, "request response information")?),
            0x1A => Self::ResponseInformation(text(r, "response information")?),
            0x1C => Self::ServerReference(text(r, "server reference")?),
            0x1F => Self::ReasonString(text(r, "reason string")?),
            0x21 => Self::ReceiveMaximum(r.u16("receive maximum")?),
            0x22 => Self::TopicAliasMaximum(r.u16("topic alias maximum")?),
            0x23 => Self::TopicAlias(r.u16("topic alias")?),
            0x24 => Self::MaximumQos(Qos::from_bits(r.u8("maximum qos")?).ok_or(Fault::Protocol("maximum qos"))?),
            0x25 => Self::RetainAvailable(flag(r, "retain available")?),
            0x26 => Self::UserProperty(text(r, "user property name")?, text(r, "user property value")?),
            0x27 => Self::MaximumPacketSize(r.u32("maximum packet size")?),
            0x28 => Self::WildcardSubscriptionAvailable(flag(r, "wildcard subscription available")?),
            0x29 => Self::SubscriptionIdentifierAvailable(flag(r, "subscription identifier available")?),
            0x2A => Self::SharedSubscriptionAvailable(flag(r, "shared subscription available")?),
            _ => return Err(Fault::Malformed("property identifier")),
        })
    }

    /// Writes identifier and value.
    #[inline]
    pub(crate) fn write(&self, sink: &mut impl Sink) -> Result<(), EncodeFault> {
        put_u8(sink, self.id());
        match *self {
            Self::PayloadFormatIndicator(value)
            | Self::RequestProblemInformation(value)
            | Self::RequestResponseInformation(value)
            | Self::RetainAvailable(value)
            | Self::WildcardSubscriptionAvailable(value)
            | Self::SubscriptionIdentifierAvailable(value)
            | Self::SharedSubscriptionAvailable(value) => put_u8(sink, u8::from(value)),
            Self::MaximumQos(value) => put_u8(sink, value.bits()),
            Self::ServerKeepAlive(value)
            | Self::ReceiveMaximum(value)
            | Self::TopicAliasMaximum(value)
            | Self::TopicAlias(value) => put_u16(sink, value),
            Self::MessageExpiryInterval(value)
            | Self::SessionExpiryInterval(value)
            | Self::WillDelayInterval(value)
            | Self::MaximumPacketSize(value) => put_u32(sink, value),
            Self::SubscriptionIdentifier(value) => put_varint(sink, crate::frame::size(value))?,
            Self::ContentType(value) => put_bytes16(sink, value.as_bytes(), "content type")?,
            Self::ResponseTopic(value) => put_bytes16(sink, value.as_bytes(), "response topic")?,
            Self::CorrelationData(value) => put_bytes16(sink, value, "correlation data")?,
            Self::AssignedClientIdentifier(value) => put_bytes16(sink, value.as_bytes(), "assigned client identifier")?,
            Self::AuthenticationMethod(value) => put_bytes16(sink, value.as_bytes(), "authentication method")?,
            Self::AuthenticationData(Secret(value)) => put_bytes16(sink, value, "authentication data")?,
            Self::ResponseInformation(value) => put_bytes16(sink, value.as_bytes(), "response information")?,
            Self::ServerReference(value) => put_bytes16(sink, value.as_bytes(), "server reference")?,
            Self::ReasonString(value) => put_bytes16(sink, value.as_bytes(), "reason string")?,
            Self::UserProperty(name, value) => {
                put_bytes16(sink, name.as_bytes(), "user property name")?;
                put_bytes16(sink, value.as_bytes(), "user property value")?;
            }
        }
        Ok(())
    }
}

/// Steps over the value of property `id` without looking into it.
#[inline]
pub(crate) fn skip(id: u8, r: &mut Reader<'_>) -> Result<(), Fault> {
    match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2A => drop(r.take(1, "property")?),
        0x13 | 0x21..=0x23 => drop(r.take(2, "property")?),
        0x02 | 0x11 | 0x18 | 0x27 => drop(r.take(4, "property")?),
        0x0B => drop(varint(r, "property")?),
        0x26 => {
            r.bytes16("property")?;
            r.bytes16("property")?;
        }
        _ => drop(r.bytes16("property")?),
    }
    Ok(())
}

/// An octet that is 0 or 1; anything else is a protocol error (5.0, 3.1.2.11.6 and its like).
#[inline]
fn flag(r: &mut Reader<'_>, field: &'static str) -> Result<bool, Fault> {
    match r.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::Protocol(field)),
    }
}
