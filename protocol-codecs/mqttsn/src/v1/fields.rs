//! The fields that messages share (MQTT-SN 1.2 §5.3).

/// A topic in two octets, a device's own or predefined. 0x0000 and 0xFFFF are never given to a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u16);

/// Ties an answer to its request; 0 in a publication that gets none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgId(pub u16);

/// A gateway in its wireless network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub u8);

impl std::fmt::Display for TopicId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for MsgId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for GatewayId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How hard a publication is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qos {
    /// 0.
    AtMostOnce,
    /// 1.
    AtLeastOnce,
    /// 2.
    ExactlyOnce,
    /// −1, on the wire 3: a publication without a connection, never answered.
    MinusOne,
}

/// A gateway's or a device's verdict (§5.3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReturnCode {
    /// 0x00.
    Accepted,
    /// 0x01: rejected, try again later.
    Congestion,
    /// 0x02: rejected, the topic id is not known (any more).
    InvalidTopicId,
    /// 0x03: rejected, not supported.
    NotSupported,
    /// 0x04 to 0xFF, reserved: a refusal.
    Other(u8),
}

impl From<u8> for ReturnCode {
    #[inline]
    fn from(octet: u8) -> Self {
        match octet {
            0 => Self::Accepted,
            1 => Self::Congestion,
            2 => Self::InvalidTopicId,
            3 => Self::NotSupported,
            other => Self::Other(other),
        }
    }
}

impl From<ReturnCode> for u8 {
    #[inline]
    fn from(code: ReturnCode) -> Self {
        match code {
            ReturnCode::Accepted => 0,
            ReturnCode::Congestion => 1,
            ReturnCode::InvalidTopicId => 2,
            ReturnCode::NotSupported => 3,
            ReturnCode::Other(octet) => octet,
        }
    }
}

/// What a PUBLISH is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic<'a> {
    /// Type 0: the id that REGISTER or SUBSCRIBE gave. Not at QoS −1.
    Normal(TopicId),
    /// Type 0 at QoS −1, as Paho's clients write it: the name, 1 to 65,535 octets; TopicId holds its length and the
    /// name precedes the payload. The specification does not define it.
    Inline(&'a str),
    /// Type 1: an id known to both sides beforehand.
    Predefined(TopicId),
    /// Type 2: a name of two octets, as they came.
    Short([u8; 2]),
    /// Type 3, reserved; the octets of TopicId as they came. Readable because it is answered.
    Reserved([u8; 2]),
}

/// What a SUBSCRIBE or an UNSUBSCRIBE is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter<'a> {
    /// Type 0: a topic name or filter, at least one octet.
    Name(&'a str),
    /// Type 1: an id known to both sides beforehand.
    Predefined(TopicId),
    /// Type 2: a name of two octets, as they came.
    Short([u8; 2]),
    /// Type 3, reserved; all that stood there. Readable because it is answered.
    Reserved(&'a [u8]),
}

/// The Flags octet (§5.3.4). A message ignores the bits that mean nothing in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags(pub(super) u8);

impl Flags {
    const DUP: u8 = 0x80;
    const QOS: u8 = 0x60;
    const RETAIN: u8 = 0x10;
    const WILL: u8 = 0x08;
    const CLEAN_SESSION: u8 = 0x04;
    const TOPIC_ID_TYPE: u8 = 0x03;

    pub(super) const NONE: Self = Self(0);

    #[inline]
    pub(super) const fn dup(self) -> bool {
        self.0 & Self::DUP != 0
    }

    #[inline]
    pub(super) const fn retain(self) -> bool {
        self.0 & Self::RETAIN != 0
    }

    #[inline]
    pub(super) const fn will(self) -> bool {
        self.0 & Self::WILL != 0
    }

    #[inline]
    pub(super) const fn clean_session(self) -> bool {
        self.0 & Self::CLEAN_SESSION != 0
    }

    #[inline]
    pub(super) const fn qos(self) -> Qos {
        match self.0 & Self::QOS {
            0x00 => Qos::AtMostOnce,
            0x20 => Qos::AtLeastOnce,
            0x40 => Qos::ExactlyOnce,
            _ => Qos::MinusOne,
        }
    }

    #[inline]
    pub(super) const fn topic_id_type(self) -> TopicIdType {
        match self.0 & Self::TOPIC_ID_TYPE {
            0 => TopicIdType::Normal,
            1 => TopicIdType::Predefined,
            2 => TopicIdType::Short,
            _ => TopicIdType::Reserved,
        }
    }

    #[inline]
    pub(super) const fn with_dup(self, dup: bool) -> Self {
        if dup { Self(self.0 | Self::DUP) } else { self }
    }

    #[inline]
    pub(super) const fn with_retain(self, retain: bool) -> Self {
        if retain { Self(self.0 | Self::RETAIN) } else { self }
    }

    #[inline]
    pub(super) const fn with_will(self, will: bool) -> Self {
        if will { Self(self.0 | Self::WILL) } else { self }
    }

    #[inline]
    pub(super) const fn with_clean_session(self, clean: bool) -> Self {
        if clean { Self(self.0 | Self::CLEAN_SESSION) } else { self }
    }

    #[inline]
    pub(super) const fn with_qos(self, qos: Qos) -> Self {
        let bits = match qos {
            Qos::AtMostOnce => 0x00,
            Qos::AtLeastOnce => 0x20,
            Qos::ExactlyOnce => 0x40,
            Qos::MinusOne => 0x60,
        };
        Self(self.0 | bits)
    }

    #[inline]
    pub(super) const fn with_type(self, topic_id_type: TopicIdType) -> Self {
        let bits = match topic_id_type {
            TopicIdType::Normal => 0,
            TopicIdType::Predefined => 1,
            TopicIdType::Short => 2,
            TopicIdType::Reserved => 3,
        };
        Self(self.0 | bits)
    }
}

/// The lowest two bits of Flags.
#[derive(Clone, Copy, Debug)]
pub(super) enum TopicIdType {
    Normal,
    Predefined,
    Short,
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_is_a_return_code_and_back() {
        for octet in 0..=u8::MAX {
            let code = ReturnCode::from(octet);
            assert_eq!(u8::from(code), octet);
            assert_eq!(matches!(code, ReturnCode::Other(_)), octet > 3);
        }
    }

    #[test]
    fn every_flags_octet_is_its_bits_and_back() {
        for octet in 0..=u8::MAX {
            let flags = Flags(octet);
            let again = Flags::NONE
                .with_dup(flags.dup())
                .with_qos(flags.qos())
                .with_retain(flags.retain())
                .with_will(flags.will())
                .with_clean_session(flags.clean_session())
                .with_type(flags.topic_id_type());
            assert_eq!(again.0, octet);
        }
    }
}
