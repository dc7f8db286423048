use crate::{ReasonCode, TopicFault};
use wire::WireFault;

/// Why octets from the peer are not a packet. The `&'static str` names the field, as the specification does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A field is cut short, left over or not UTF-8.
    Wire(WireFault),
    /// A field holds what its layout does not allow.
    Malformed(&'static str),
    /// A field is well formed, but not allowed here or not with this value.
    Protocol(&'static str),
    /// The protocol name or level of CONNECT is unknown.
    UnsupportedProtocol,
    /// 3.1.1: an empty client id asks for a kept session (3.1.3.1).
    ClientId,
    /// A topic filter that no subscription may have.
    TopicFilter(TopicFault),
    /// A topic name that no publication may have.
    TopicName(TopicFault),
    /// Topic Alias 0.
    TopicAlias,
    /// The packet, with its fixed header, is longer than the receive limit; both in octets.
    TooLarge {
        /// What the fixed header announces.
        bytes: usize,
        /// What we accept.
        limit: u32,
    },
}

impl Fault {
    /// What a DISCONNECT or CONNACK about it says.
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Wire(_) | Self::Malformed(_) => ReasonCode::MALFORMED_PACKET,
            Self::Protocol(_) => ReasonCode::PROTOCOL_ERROR,
            Self::UnsupportedProtocol => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            Self::ClientId => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            Self::TopicFilter(_) => ReasonCode::TOPIC_FILTER_INVALID,
            Self::TopicName(_) => ReasonCode::TOPIC_NAME_INVALID,
            Self::TopicAlias => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::TooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
        }
    }

    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Wire(fault) => fault.reason(),
            Self::Malformed(_) => "malformed_packet",
            Self::Protocol(_) => "protocol_error",
            Self::UnsupportedProtocol => "unsupported_protocol_version",
            Self::ClientId => "client_id_invalid",
            Self::TopicFilter(_) => "topic_filter_invalid",
            Self::TopicName(_) => "topic_name_invalid",
            Self::TopicAlias => "topic_alias_invalid",
            Self::TooLarge { .. } => "packet_too_large",
        }
    }
}

impl From<WireFault> for Fault {
    #[inline]
    fn from(fault: WireFault) -> Self {
        Self::Wire(fault)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wire(fault) => fault.fmt(f),
            Self::Malformed(field) => write!(f, "{field} is malformed"),
            Self::Protocol(field) => write!(f, "{field} breaks the protocol"),
            Self::UnsupportedProtocol => f.write_str("the protocol name or level is unknown"),
            Self::ClientId => f.write_str("an empty client id cannot keep a session"),
            Self::TopicFilter(fault) => write!(f, "topic filter {fault}"),
            Self::TopicName(fault) => write!(f, "topic name {fault}"),
            Self::TopicAlias => f.write_str("topic alias is 0"),
            Self::TooLarge { bytes, limit } => write!(f, "a packet of {bytes} bytes is above the limit of {limit}"),
        }
    }
}

impl std::error::Error for Fault {}

/// Why a packet of ours cannot be written. Nothing has been appended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeFault {
    /// The field is longer than the 65,535 octets that its length can say.
    TooLong(&'static str),
    /// The packet is longer than the 268,435,455 octets that a remaining length can say.
    TooLarge,
    /// The field must hold something.
    Empty(&'static str),
    /// A property that this packet cannot carry, or not twice, or not with this value.
    Property(Fault),
    /// What this version of MQTT cannot express.
    NotInVersion(&'static str),
}

impl EncodeFault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "field_too_long",
            Self::TooLarge => "packet_too_large",
            Self::Empty(_) => "field_empty",
            Self::Property(_) => "property_not_allowed",
            Self::NotInVersion(_) => "not_in_version",
        }
    }
}

impl std::fmt::Display for EncodeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(field) => write!(f, "{field} is longer than 65535 bytes"),
            Self::TooLarge => f.write_str("the packet is longer than MQTT can say"),
            Self::Empty(field) => write!(f, "{field} is empty"),
            Self::Property(fault) => write!(f, "property not allowed: {fault}"),
            Self::NotInVersion(what) => write!(f, "this version of MQTT has no {what}"),
        }
    }
}

impl std::error::Error for EncodeFault {}
