use wire::WireFault;

/// Why a datagram was refused. It is dropped and counted; it ends nobody's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The datagram ends inside Length, MsgType or a forwarder's Ctrl.
    TooShort,
    /// Length is not the datagram's (MQTT-SN 1.2 §5.2.1): one datagram holds one message.
    LengthMismatch {
        /// What Length says, in octets.
        claimed: usize,
        /// What came, in octets.
        received: usize,
    },
    /// A reserved MsgType (§5.2.2).
    UnknownType(u8),
    /// The body does not have its type's layout.
    Wire(WireFault),
    /// REGISTER, SUBSCRIBE, UNSUBSCRIBE or a publication with its name inline, and no name.
    EmptyTopic,
    /// A name inline in PUBLISH is longer than what follows the header.
    InlineNameOverrun,
    /// QoS −1 for a will.
    WillQos,
    /// A forwarder's envelope with no message behind it.
    ForwarderEmpty,
    /// A forwarder's envelope in another. The specification is silent; refused, so that no input sets a depth.
    NestedForwarder,
    /// A wireless node id, of this many octets, beyond the 252 that an envelope's Length of one octet can cover.
    NodeIdTooLong(usize),
}

impl Fault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::LengthMismatch { .. } => "length_mismatch",
            Self::UnknownType(_) => "unknown_type",
            Self::Wire(fault) => fault.reason(),
            Self::EmptyTopic => "empty_topic",
            Self::InlineNameOverrun => "inline_name_overrun",
            Self::WillQos => "will_qos",
            Self::ForwarderEmpty => "forwarder_empty",
            Self::NestedForwarder => "nested_forwarder",
            Self::NodeIdTooLong(_) => "node_id_too_long",
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
            Self::TooShort => f.write_str("the datagram ends inside its header"),
            Self::LengthMismatch { claimed, received } => {
                write!(f, "Length says {claimed} bytes, the datagram has {received}")
            }
            Self::UnknownType(msg_type) => write!(f, "MsgType {msg_type:#04x} is reserved"),
            Self::Wire(fault) => fault.fmt(f),
            Self::EmptyTopic => f.write_str("the topic name is empty"),
            Self::InlineNameOverrun => f.write_str("the inline topic name is cut short"),
            Self::WillQos => f.write_str("a will cannot have QoS -1"),
            Self::ForwarderEmpty => f.write_str("the forwarder's envelope holds no message"),
            Self::NestedForwarder => f.write_str("the forwarder's envelope holds another"),
            Self::NodeIdTooLong(bytes) => write!(f, "the wireless node id has {bytes} bytes"),
        }
    }
}

impl std::error::Error for Fault {}

/// Why a message could not be written: the caller composed what the wire cannot say. Nothing is appended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeFault {
    /// The message would have this many octets, or `usize::MAX` if even that is not enough; Length ends at 65,535.
    TooLong(usize),
    /// The named field needs at least one octet: without one it would read as something else.
    Empty(&'static str),
    /// QoS −1 for a will.
    WillQos,
    /// At QoS −1 a normal topic travels as its name, at the other levels as its id; this was the other way round.
    TopicForm,
    /// A name inline in PUBLISH, or a wireless node id, is longer than its own length field can say.
    FieldTooLong(&'static str),
}

impl EncodeFault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "message_too_long",
            Self::Empty(_) => "empty_field",
            Self::WillQos => "will_qos",
            Self::TopicForm => "topic_form",
            Self::FieldTooLong(_) => "field_too_long",
        }
    }
}

impl std::fmt::Display for EncodeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(f, "{bytes} bytes do not fit a message of 65535"),
            Self::Empty(field) => write!(f, "{field} is empty"),
            Self::WillQos => f.write_str("a will cannot have QoS -1"),
            Self::TopicForm => f.write_str("this form of topic does not go with this QoS"),
            Self::FieldTooLong(field) => write!(f, "{field} is too long"),
        }
    }
}

impl std::error::Error for EncodeFault {}
