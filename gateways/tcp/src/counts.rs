//! What the machine counts.

use bridge_core::count;
use bridge_core::metrics::{FAULTS, PACKETS, QUEUE_DROPPED, SESSIONS};
use bridge_core::uplink::Refusal;
use codec_rawtcp::{EncodeFault, Fault};

count! {
    /// One series each.
    pub(crate) enum Count {
        UpConnect = PACKETS { protocol: "tcp", direction: "uplink", type: "connect" };
        /// A message, in whatever framing.
        UpData = PACKETS { protocol: "tcp", direction: "uplink", type: "datatrans" };
        UpPing = PACKETS { protocol: "tcp", direction: "uplink", type: "ping" };
        UpDisconnect = PACKETS { protocol: "tcp", direction: "uplink", type: "disconnect" };
        DownConnack = PACKETS { protocol: "tcp", direction: "downlink", type: "connack" };
        /// A message, in whatever framing.
        DownData = PACKETS { protocol: "tcp", direction: "downlink", type: "datatrans" };
        DownPong = PACKETS { protocol: "tcp", direction: "downlink", type: "pong" };
        UnknownType = FAULTS { protocol: "tcp", blame: "peer", reason: "unknown_type" };
        WrongDirection = FAULTS { protocol: "tcp", blame: "peer", reason: "wrong_direction" };
        FirstNotConnect = FAULTS { protocol: "tcp", blame: "peer", reason: "first_not_connect" };
        SecondConnect = FAULTS { protocol: "tcp", blame: "peer", reason: "second_connect" };
        BadConnect = FAULTS { protocol: "tcp", blame: "peer", reason: "bad_connect" };
        FrameTooLarge = FAULTS { protocol: "tcp", blame: "peer", reason: "frame_too_large" };
        /// CONNECT of a version that there is not.
        IllegalVersion = FAULTS { protocol: "tcp", blame: "peer", reason: "illegal_version" };
        /// A client id or user name that MQTT cannot carry, or that would break out of its topic level.
        BadIdentity = FAULTS { protocol: "tcp", blame: "peer", reason: "bad_identity" };
        /// The first frame does not name the device.
        Unnamed = FAULTS { protocol: "tcp", blame: "peer", reason: "unnamed" };
        /// Not let in by credential stores, or by the broker.
        ConnectRefused = FAULTS { protocol: "tcp", blame: "peer", reason: "connect_refused" };
        /// Nothing that says who it is came in time.
        IdleTimeout = FAULTS { protocol: "tcp", blame: "peer", reason: "idle_timeout" };
        /// A frame did not come to its end in time.
        PartialFrame = FAULTS { protocol: "tcp", blame: "peer", reason: "partial_frame" };
        KeepAlive = FAULTS { protocol: "tcp", blame: "peer", reason: "unanswered" };
        /// The device took nothing of what it was sent for too long.
        Stalled = FAULTS { protocol: "tcp", blame: "peer", reason: "stalled" };
        /// Another connection of the same client id has come.
        TakenOver = FAULTS { protocol: "tcp", blame: "peer", reason: "taken_over" };
        /// The access rules forbid it.
        NotAuthorised = FAULTS { protocol: "tcp", blame: "peer", reason: "not_authorised" };
        /// A message that MQTT, or the broker, cannot take.
        Refused = FAULTS { protocol: "tcp", blame: "broker", reason: "refused" };
        /// No room for a message of QoS 0.
        Congested = FAULTS { protocol: "tcp", blame: "gateway", reason: "congested" };
        /// Too many wait, the broker is away, or we are stopping.
        NotAdmitted = FAULTS { protocol: "tcp", blame: "gateway", reason: "not_admitted" };
        /// A message for a device that its framing cannot say.
        TooLarge = FAULTS { protocol: "tcp", blame: "gateway", reason: "too_large" };
        /// A message for a device whose frames all have another size.
        WrongSize = FAULTS { protocol: "tcp", blame: "gateway", reason: "wrong_size" };
        /// A message of a device that was too old when the broker could have had it, or for one that could have had it.
        Expired = QUEUE_DROPPED { queue: "tcp", policy: "expired" };
        HoldDroppedQos0 = QUEUE_DROPPED { queue: "tcp", policy: "drop-oldest-qos0" };
        HoldDroppedOldest = QUEUE_DROPPED { queue: "tcp", policy: "drop-oldest" };
        /// A message that waited for a device when it left.
        HoldDroppedEnded = QUEUE_DROPPED { queue: "tcp", policy: "session-ended" };
        /// A message for a device that is not connected.
        NotConnected = QUEUE_DROPPED { queue: "tcp", policy: "not-connected" };
        /// Has not said who it is.
        Connecting = SESSIONS { protocol: "tcp", state: "connecting" };
        /// Let in when those that are asked say so.
        Waiting = SESSIONS { protocol: "tcp", state: "waiting" };
        Active = SESSIONS { protocol: "tcp", state: "active" };
        /// Of the active ones, those that are not read just now.
        Held = SESSIONS { protocol: "tcp", state: "held" };
    }
}

/// The series of a stream that is none of ours.
pub(crate) const fn malformed(fault: Fault) -> Count {
    match fault {
        Fault::UnknownType(_) | Fault::UnknownCode(_) => Count::UnknownType,
        Fault::WrongDirection => Count::WrongDirection,
        Fault::FirstNotConnect => Count::FirstNotConnect,
        Fault::SecondConnect => Count::SecondConnect,
        Fault::BadConnect(_) => Count::BadConnect,
        Fault::NotUtf8(_) => Count::BadIdentity,
        Fault::TooLarge { .. } => Count::FrameTooLarge,
    }
}

/// The series of a message that its device's framing cannot say.
pub(crate) const fn unsayable(fault: EncodeFault) -> Count {
    match fault {
        EncodeFault::TooLong { .. } | EncodeFault::PasswordAlone => Count::TooLarge,
        EncodeFault::WrongSize { .. } => Count::WrongSize,
    }
}

/// The series of what the bridge would not have.
pub(crate) const fn refused(why: Refusal) -> Count {
    match why {
        Refusal::NotAuthorised { .. } => Count::NotAuthorised,
        _ => Count::Refused,
    }
}

/// The series of a client that is not let in.
pub(crate) const fn turned_away(why: Refusal) -> Count {
    match why {
        Refusal::BadIdentity | Refusal::BadTopic => Count::BadIdentity,
        Refusal::BadCredentials | Refusal::NotAuthorised { .. } | Refusal::Broker(_) => Count::ConnectRefused,
        Refusal::TooLarge
        | Refusal::BrokerAway
        | Refusal::NoSuchClient
        | Refusal::Limit
        | Refusal::AuthUnavailable
        | Refusal::Busy => Count::NotAdmitted,
    }
}
