//! What the messages hold (MQTT-SN 1.2 §5.4).

use super::fields::{Filter, GatewayId, MsgId, Qos, ReturnCode, Topic, TopicId};

/// One message, borrowing its texts and payload from the datagram. Durations are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A gateway makes itself known.
    Advertise {
        /// Who it is.
        gateway: GatewayId,
        /// Until the next ADVERTISE.
        duration: u16,
    },
    /// A device looks for a gateway.
    SearchGw {
        /// Hops the search may go; 0 for the whole network.
        radius: u8,
    },
    /// Where a gateway is.
    GwInfo {
        /// Which one.
        gateway: GatewayId,
        /// Its address when a device answers for it; empty from the gateway itself.
        address: &'a [u8],
    },
    /// A device opens its session.
    Connect(Connect<'a>),
    /// Answers CONNECT.
    Connack {
        /// The verdict.
        code: ReturnCode,
    },
    /// Asks for WILLTOPIC.
    WillTopicReq,
    /// Sets the will's topic. `None`, the message without a body, deletes the will.
    WillTopic(Option<WillTopic<'a>>),
    /// Asks for WILLMSG.
    WillMsgReq,
    /// Sets the will's payload, which may be empty.
    WillMsg {
        /// The payload.
        payload: &'a [u8],
    },
    /// Asks for, or gives, a topic id for a name.
    Register(Register<'a>),
    /// Answers REGISTER.
    Regack(Ack),
    /// A publication.
    Publish(Publish<'a>),
    /// Answers PUBLISH at QoS 1, and refuses one at QoS 0, 1 and 2.
    Puback(Ack),
    /// QoS 2: has the publication.
    Pubrec {
        /// Of the PUBLISH.
        msg_id: MsgId,
    },
    /// QoS 2: will not send it again.
    Pubrel {
        /// Of the PUBLISH.
        msg_id: MsgId,
    },
    /// QoS 2: has forgotten its id.
    Pubcomp {
        /// Of the PUBLISH.
        msg_id: MsgId,
    },
    /// Asks for publications.
    Subscribe(Subscribe<'a>),
    /// Answers SUBSCRIBE.
    Suback(Suback),
    /// Ends a subscription.
    Unsubscribe(Unsubscribe<'a>),
    /// Answers UNSUBSCRIBE.
    Unsuback {
        /// Of the UNSUBSCRIBE.
        msg_id: MsgId,
    },
    /// A sign of life.
    Pingreq {
        /// A sleeping device names itself, to be sent what is held for it. Never empty.
        client_id: Option<&'a str>,
    },
    /// Answers PINGREQ.
    Pingresp,
    /// Ends the session, or lets the device sleep.
    Disconnect {
        /// How long it sleeps.
        duration: Option<u16>,
    },
    /// Changes the will's topic within a session. `None`, the message without a body, deletes the will.
    WillTopicUpd(Option<WillTopic<'a>>),
    /// Answers WILLTOPICUPD.
    WillTopicResp {
        /// The verdict.
        code: ReturnCode,
    },
    /// Changes the will's payload within a session.
    WillMsgUpd {
        /// The payload.
        payload: &'a [u8],
    },
    /// Answers WILLMSGUPD.
    WillMsgResp {
        /// The verdict.
        code: ReturnCode,
    },
}

/// CONNECT (§5.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The will dialogue follows.
    pub will: bool,
    /// Starts from nothing.
    pub clean_session: bool,
    /// 1 for MQTT-SN 1.2; others are readable, to be refused.
    pub protocol_id: u8,
    /// The keep alive interval, in seconds.
    pub duration: u16,
    /// Any length, empty too: §5.3.1 allows 1 to 23 octets, but whom to refuse is the gateway's policy.
    pub client_id: &'a str,
}

/// The body of WILLTOPIC (§5.4.7) and WILLTOPICUPD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WillTopic<'a> {
    /// Of the will's publication; never [`Qos::MinusOne`].
    pub qos: Qos,
    /// Of the will's publication.
    pub retain: bool,
    /// Empty (the specification is silent) means the same as no body at all: the will is deleted.
    pub topic_name: &'a str,
}

/// REGISTER (§5.4.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register<'a> {
    /// 0 from a device; from a gateway the id it gives.
    pub topic_id: TopicId,
    /// REGACK carries it back.
    pub msg_id: MsgId,
    /// At least one octet. A name with wildcards is readable, to be refused.
    pub topic_name: &'a str,
}

/// The body of REGACK and PUBACK (§5.4.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which topic.
    pub topic_id: TopicId,
    /// Of the REGISTER or PUBLISH.
    pub msg_id: MsgId,
    /// The verdict.
    pub code: ReturnCode,
}

/// PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Sent before.
    pub dup: bool,
    /// Decides who answers what.
    pub qos: Qos,
    /// The broker keeps it for later subscribers.
    pub retain: bool,
    /// [`Topic::Inline`] only, and instead of [`Topic::Normal`], at [`Qos::MinusOne`].
    pub topic: Topic<'a>,
    /// Meaningless below QoS 1; kept as it came.
    pub msg_id: MsgId,
    /// May be empty.
    pub payload: &'a [u8],
}

/// SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Sent before.
    pub dup: bool,
    /// The level asked for. −1 has no meaning here, but is readable, to be answered.
    pub qos: Qos,
    /// SUBACK carries it back.
    pub msg_id: MsgId,
    /// To what.
    pub filter: Filter<'a>,
}

/// SUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suback {
    /// The level granted.
    pub qos: Qos,
    /// The id to publish under; 0 where there is none, as with wildcards.
    pub topic_id: TopicId,
    /// Of the SUBSCRIBE.
    pub msg_id: MsgId,
    /// The verdict.
    pub code: ReturnCode,
}

/// UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// UNSUBACK carries it back.
    pub msg_id: MsgId,
    /// From what.
    pub filter: Filter<'a>,
}

impl Message<'_> {
    /// A constant label for metrics and log lines: the type's name in lower case.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Advertise { .. } => "advertise",
            Self::SearchGw { .. } => "searchgw",
            Self::GwInfo { .. } => "gwinfo",
            Self::Connect(_) => "connect",
            Self::Connack { .. } => "connack",
            Self::WillTopicReq => "willtopicreq",
            Self::WillTopic(_) => "willtopic",
            Self::WillMsgReq => "willmsgreq",
            Self::WillMsg { .. } => "willmsg",
            Self::Register(_) => "register",
            Self::Regack(_) => "regack",
            Self::Publish(_) => "publish",
            Self::Puback(_) => "puback",
            Self::Pubrec { .. } => "pubrec",
            Self::Pubrel { .. } => "pubrel",
            Self::Pubcomp { .. } => "pubcomp",
            Self::Subscribe(_) => "subscribe",
            Self::Suback(_) => "suback",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Unsuback { .. } => "unsuback",
            Self::Pingreq { .. } => "pingreq",
            Self::Pingresp => "pingresp",
            Self::Disconnect { .. } => "disconnect",
            Self::WillTopicUpd(_) => "willtopicupd",
            Self::WillTopicResp { .. } => "willtopicresp",
            Self::WillMsgUpd { .. } => "willmsgupd",
            Self::WillMsgResp { .. } => "willmsgresp",
        }
    }
}

/// The MsgType octets (§5.2.2); the others are reserved.
pub(super) mod msg_type {
    pub(in crate::v1) const ADVERTISE: u8 = 0x00;
    pub(in crate::v1) const SEARCHGW: u8 = 0x01;
    pub(in crate::v1) const GWINFO: u8 = 0x02;
    pub(in crate::v1) const CONNECT: u8 = 0x04;
    pub(in crate::v1) const CONNACK: u8 = 0x05;
    pub(in crate::v1) const WILLTOPICREQ: u8 = 0x06;
    pub(in crate::v1) const WILLTOPIC: u8 = 0x07;
    pub(in crate::v1) const WILLMSGREQ: u8 = 0x08;
    pub(in crate::v1) const WILLMSG: u8 = 0x09;
    pub(in crate::v1) const REGISTER: u8 = 0x0A;
    pub(in crate::v1) const REGACK: u8 = 0x0B;
    pub(in crate::v1) const PUBLISH: u8 = 0x0C;
    pub(in crate::v1) const PUBACK: u8 = 0x0D;
    pub(in crate::v1) const PUBCOMP: u8 = 0x0E;
    pub(in crate::v1) const PUBREC: u8 = 0x0F;
    pub(in crate::v1) const PUBREL: u8 = 0x10;
    pub(in crate::v1) const SUBSCRIBE: u8 = 0x12;
    pub(in crate::v1) const SUBACK: u8 = 0x13;
    pub(in crate::v1) const UNSUBSCRIBE: u8 = 0x14;
    pub(in crate::v1) const UNSUBACK: u8 = 0x15;
    pub(in crate::v1) const PINGREQ: u8 = 0x16;
    pub(in crate::v1) const PINGRESP: u8 = 0x17;
    pub(in crate::v1) const DISCONNECT: u8 = 0x18;
    pub(in crate::v1) const WILLTOPICUPD: u8 = 0x1A;
    pub(in crate::v1) const WILLTOPICRESP: u8 = 0x1B;
    pub(in crate::v1) const WILLMSGUPD: u8 = 0x1C;
    pub(in crate::v1) const WILLMSGRESP: u8 = 0x1D;
    pub(in crate::v1) const FORWARD: u8 = 0xFE;
}
