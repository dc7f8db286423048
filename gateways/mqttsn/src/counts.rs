//! What the machine counts.

use bridge_core::count;
use bridge_core::metrics::{FAULTS, PACKETS, QUEUE_DROPPED, SESSIONS, WILLS};
use bridge_core::uplink::Refusal;
use codec_mqttsn::{Fault, Message};
use wire::WireFault;

count! {
    /// One series each.
    pub(crate) enum Count {
        UpSearchGw = PACKETS { protocol: "mqttsn", direction: "uplink", type: "searchgw" };
        UpConnect = PACKETS { protocol: "mqttsn", direction: "uplink", type: "connect" };
        UpWillTopic = PACKETS { protocol: "mqttsn", direction: "uplink", type: "willtopic" };
        UpWillMsg = PACKETS { protocol: "mqttsn", direction: "uplink", type: "willmsg" };
        UpRegister = PACKETS { protocol: "mqttsn", direction: "uplink", type: "register" };
        UpRegack = PACKETS { protocol: "mqttsn", direction: "uplink", type: "regack" };
        UpPublish = PACKETS { protocol: "mqttsn", direction: "uplink", type: "publish" };
        UpPuback = PACKETS { protocol: "mqttsn", direction: "uplink", type: "puback" };
        UpPubrec = PACKETS { protocol: "mqttsn", direction: "uplink", type: "pubrec" };
        UpPubrel = PACKETS { protocol: "mqttsn", direction: "uplink", type: "pubrel" };
        UpPubcomp = PACKETS { protocol: "mqttsn", direction: "uplink", type: "pubcomp" };
        UpSubscribe = PACKETS { protocol: "mqttsn", direction: "uplink", type: "subscribe" };
        UpUnsubscribe = PACKETS { protocol: "mqttsn", direction: "uplink", type: "unsubscribe" };
        UpPingreq = PACKETS { protocol: "mqttsn", direction: "uplink", type: "pingreq" };
        UpDisconnect = PACKETS { protocol: "mqttsn", direction: "uplink", type: "disconnect" };
        UpWillTopicUpd = PACKETS { protocol: "mqttsn", direction: "uplink", type: "willtopicupd" };
        UpWillMsgUpd = PACKETS { protocol: "mqttsn", direction: "uplink", type: "willmsgupd" };
        /// A type that only gateways send.
        UpGateways = PACKETS { protocol: "mqttsn", direction: "uplink", type: "gateways" };
        DownAdvertise = PACKETS { protocol: "mqttsn", direction: "downlink", type: "advertise" };
        DownGwInfo = PACKETS { protocol: "mqttsn", direction: "downlink", type: "gwinfo" };
        DownConnack = PACKETS { protocol: "mqttsn", direction: "downlink", type: "connack" };
        DownWillTopicReq = PACKETS { protocol: "mqttsn", direction: "downlink", type: "willtopicreq" };
        DownWillMsgReq = PACKETS { protocol: "mqttsn", direction: "downlink", type: "willmsgreq" };
        DownRegister = PACKETS { protocol: "mqttsn", direction: "downlink", type: "register" };
        DownRegack = PACKETS { protocol: "mqttsn", direction: "downlink", type: "regack" };
        DownPublish = PACKETS { protocol: "mqttsn", direction: "downlink", type: "publish" };
        DownPuback = PACKETS { protocol: "mqttsn", direction: "downlink", type: "puback" };
        DownPubrec = PACKETS { protocol: "mqttsn", direction: "downlink", type: "pubrec" };
        DownPubrel = PACKETS { protocol: "mqttsn", direction: "downlink", type: "pubrel" };
        DownPubcomp = PACKETS { protocol: "mqttsn", direction: "downlink", type: "pubcomp" };
        DownSuback = PACKETS { protocol: "mqttsn", direction: "downlink", type: "suback" };
        DownUnsuback = PACKETS { protocol: "mqttsn", direction: "downlink", type: "unsuback" };
        DownPingresp = PACKETS { protocol: "mqttsn", direction: "downlink", type: "pingresp" };
        DownDisconnect = PACKETS { protocol: "mqttsn", direction: "downlink", type: "disconnect" };
        DownWillTopicResp = PACKETS { protocol: "mqttsn", direction: "downlink", type: "willtopicresp" };
        DownWillMsgResp = PACKETS { protocol: "mqttsn", direction: "downlink", type: "willmsgresp" };
        TooShort = FAULTS { protocol: "mqttsn", blame: "peer", reason: "too_short" };
        LengthMismatch = FAULTS { protocol: "mqttsn", blame: "peer", reason: "length_mismatch" };
        UnknownType = FAULTS { protocol: "mqttsn", blame: "peer", reason: "unknown_type" };
        Truncated = FAULTS { protocol: "mqttsn", blame: "peer", reason: "truncated" };
        Trailing = FAULTS { protocol: "mqttsn", blame: "peer", reason: "trailing_bytes" };
        NotUtf8 = FAULTS { protocol: "mqttsn", blame: "peer", reason: "not_utf8" };
        EmptyTopic = FAULTS { protocol: "mqttsn", blame: "peer", reason: "empty_topic" };
        InlineNameOverrun = FAULTS { protocol: "mqttsn", blame: "peer", reason: "inline_name_overrun" };
        WillQos = FAULTS { protocol: "mqttsn", blame: "peer", reason: "will_qos" };
        ForwarderMalformed = FAULTS { protocol: "mqttsn", blame: "peer", reason: "forwarder_malformed" };
        /// A frame from an address without a session.
        Stranger = FAULTS { protocol: "mqttsn", blame: "peer", reason: "stranger" };
        /// Right in form, but not in this state.
        OutOfPlace = FAULTS { protocol: "mqttsn", blame: "peer", reason: "out_of_place" };
        /// CONNECT with another protocol, or a client id that cannot be.
        ConnectRefused = FAULTS { protocol: "mqttsn", blame: "peer", reason: "connect_refused" };
        /// PUBLISH or SUBSCRIBE with a topic id that nothing stands behind.
        UnknownTopicId = FAULTS { protocol: "mqttsn", blame: "peer", reason: "unknown_topic_id" };
        /// A topic that MQTT cannot carry, or a wildcard where none may be.
        BadTopic = FAULTS { protocol: "mqttsn", blame: "peer", reason: "bad_topic" };
        /// The session has as many topics or subscriptions as it may.
        RegistryFull = FAULTS { protocol: "mqttsn", blame: "peer", reason: "registry_full" };
        /// Too many publications of one device are unanswered.
        TooManyOwed = FAULTS { protocol: "mqttsn", blame: "peer", reason: "too_many_owed" };
        /// A publication over a limit of its session.
        OverLimit = FAULTS { protocol: "mqttsn", blame: "peer", reason: "over_limit" };
        /// The bridge had no room.
        Congested = FAULTS { protocol: "mqttsn", blame: "gateway", reason: "congested" };
        /// PUBLISH with QoS −1 while that is switched off.
        MinusOneOff = FAULTS { protocol: "mqttsn", blame: "peer", reason: "qos_minus_one_off" };
        /// PUBLISH with QoS −1 before it is known that those may come in, or though they may not.
        MinusOneRefused = FAULTS { protocol: "mqttsn", blame: "peer", reason: "qos_minus_one_refused" };
        /// A repetition that was not published again.
        Repeated = FAULTS { protocol: "mqttsn", blame: "peer", reason: "repeated" };
        /// A client that did not answer, or gave no sign of life.
        Unanswered = FAULTS { protocol: "mqttsn", blame: "peer", reason: "unanswered" };
        /// A publication of QoS 2 that is forgotten, because its PUBREL never came and others need its place.
        PubrelMissing = FAULTS { protocol: "mqttsn", blame: "peer", reason: "pubrel_missing" };
        /// A message dropped: the client would not have its topic id.
        RegisterRefused = FAULTS { protocol: "mqttsn", blame: "peer", reason: "register_refused" };
        /// A message dropped: the client would not have it.
        PublishRefused = FAULTS { protocol: "mqttsn", blame: "peer", reason: "publish_refused" };
        /// A session that has moved to another address.
        Moved = FAULTS { protocol: "mqttsn", blame: "peer", reason: "moved" };
        /// A frame of a client that is still being judged.
        TooEarly = FAULTS { protocol: "mqttsn", blame: "peer", reason: "too_early" };
        /// CONNECT or PINGREQ for a session whose client has proved to be somebody else.
        Impostor = FAULTS { protocol: "mqttsn", blame: "peer", reason: "impostor" };
        /// A session that another client, or a new session, has taken the place of.
        TakenOver = FAULTS { protocol: "mqttsn", blame: "peer", reason: "taken_over" };
        /// The access rules forbid it.
        NotAuthorised = FAULTS { protocol: "mqttsn", blame: "peer", reason: "not_authorised" };
        /// The broker, or the bridge on its behalf, would not have it.
        BrokerRefused = FAULTS { protocol: "mqttsn", blame: "broker", reason: "refused" };
        /// A listener's gate is shut, or too many will dialogues are open, or we are stopping.
        NotAdmitted = FAULTS { protocol: "mqttsn", blame: "gateway", reason: "not_admitted" };
        /// A message that no datagram can hold.
        TooLarge = FAULTS { protocol: "mqttsn", blame: "gateway", reason: "too_large" };
        /// A message whose topic found no room in the session's registry.
        NoTopicId = FAULTS { protocol: "mqttsn", blame: "gateway", reason: "no_topic_id" };
        /// A message whose lifetime ended while it waited.
        Expired = QUEUE_DROPPED { queue: "mqttsn", policy: "expired" };
        HoldDroppedQos0 = QUEUE_DROPPED { queue: "mqttsn", policy: "drop-oldest-qos0" };
        HoldDroppedOldest = QUEUE_DROPPED { queue: "mqttsn", policy: "drop-oldest" };
        /// A message that was held for a session, or on its way to it, when that ended.
        HoldDroppedEnded = QUEUE_DROPPED { queue: "mqttsn", policy: "session-ended" };
        /// Let in when those that are asked say so.
        Waiting = SESSIONS { protocol: "mqttsn", state: "waiting" };
        Connecting = SESSIONS { protocol: "mqttsn", state: "connecting" };
        Active = SESSIONS { protocol: "mqttsn", state: "active" };
        Asleep = SESSIONS { protocol: "mqttsn", state: "asleep" };
        Awake = SESSIONS { protocol: "mqttsn", state: "awake" };
        Away = SESSIONS { protocol: "mqttsn", state: "away" };
        Wills = WILLS { result: "published" };
        WillsLost = WILLS { result: "refused" };
    }
}

/// The series of what the bridge would not have.
pub(crate) const fn refused(why: Refusal) -> Count {
    match why {
        Refusal::NotAuthorised { .. } => Count::NotAuthorised,
        _ => Count::BrokerRefused,
    }
}

/// The series of a message that came.
pub(crate) const fn uplink(message: &Message<'_>) -> Count {
    match message {
        Message::SearchGw { .. } => Count::UpSearchGw,
        Message::Connect(_) => Count::UpConnect,
        Message::WillTopic(_) => Count::UpWillTopic,
        Message::WillMsg { .. } => Count::UpWillMsg,
        Message::Register(_) => Count::UpRegister,
        Message::Regack(_) => Count::UpRegack,
        Message::Publish(_) => Count::UpPublish,
        Message::Puback(_) => Count::UpPuback,
        Message::Pubrec { .. } => Count::UpPubrec,
        Message::Pubrel { .. } => Count::UpPubrel,
        Message::Pubcomp { .. } => Count::UpPubcomp,
        Message::Subscribe(_) => Count::UpSubscribe,
        Message::Unsubscribe(_) => Count::UpUnsubscribe,
        Message::Pingreq { .. } => Count::UpPingreq,
        Message::Disconnect { .. } => Count::UpDisconnect,
        Message::WillTopicUpd(_) => Count::UpWillTopicUpd,
        Message::WillMsgUpd { .. } => Count::UpWillMsgUpd,
        Message::Advertise { .. }
        | Message::GwInfo { .. }
        | Message::Connack { .. }
        | Message::WillTopicReq
        | Message::WillMsgReq
        | Message::Suback(_)
        | Message::Unsuback { .. }
        | Message::Pingresp
        | Message::WillTopicResp { .. }
        | Message::WillMsgResp { .. } => Count::UpGateways,
    }
}

/// The series of a message that goes; `None` for what only devices send, or a later version.
pub(crate) const fn downlink(message: &Message<'_>) -> Option<Count> {
    match message {
        Message::Advertise { .. } => Some(Count::DownAdvertise),
        Message::GwInfo { .. } => Some(Count::DownGwInfo),
        Message::Connack { .. } => Some(Count::DownConnack),
        Message::WillTopicReq => Some(Count::DownWillTopicReq),
        Message::WillMsgReq => Some(Count::DownWillMsgReq),
        Message::Register(_) => Some(Count::DownRegister),
        Message::Regack(_) => Some(Count::DownRegack),
        Message::Publish(_) => Some(Count::DownPublish),
        Message::Puback(_) => Some(Count::DownPuback),
        Message::Pubrec { .. } => Some(Count::DownPubrec),
        Message::Pubrel { .. } => Some(Count::DownPubrel),
        Message::Pubcomp { .. } => Some(Count::DownPubcomp),
        Message::Suback(_) => Some(Count::DownSuback),
        Message::Unsuback { .. } => Some(Count::DownUnsuback),
        Message::Pingresp => Some(Count::DownPingresp),
        Message::Disconnect { .. } => Some(Count::DownDisconnect),
        Message::WillTopicResp { .. } => Some(Count::DownWillTopicResp),
        Message::WillMsgResp { .. } => Some(Count::DownWillMsgResp),
        Message::SearchGw { .. }
        | Message::Connect(_)
        | Message::WillTopic(_)
        | Message::WillMsg { .. }
        | Message::Subscribe(_)
        | Message::Unsubscribe(_)
        | Message::Pingreq { .. }
        | Message::WillTopicUpd(_)
        | Message::WillMsgUpd { .. } => None,
    }
}

/// The series of a datagram that is no message.
pub(crate) const fn malformed(fault: &Fault) -> Count {
    match fault {
        Fault::TooShort => Count::TooShort,
        Fault::LengthMismatch { .. } => Count::LengthMismatch,
        Fault::UnknownType(_) => Count::UnknownType,
        Fault::Wire(WireFault::Truncated(_)) => Count::Truncated,
        Fault::Wire(WireFault::Trailing(_)) => Count::Trailing,
        Fault::Wire(WireFault::NotUtf8(_)) => Count::NotUtf8,
        Fault::EmptyTopic => Count::EmptyTopic,
        Fault::InlineNameOverrun => Count::InlineNameOverrun,
        Fault::WillQos => Count::WillQos,
        Fault::ForwarderEmpty | Fault::NestedForwarder | Fault::NodeIdTooLong(_) => Count::ForwarderMalformed,
    }
}
