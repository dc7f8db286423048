//! What a link counts.

use crate::metrics::{
    LINK_ACKNOWLEDGED, LINK_BYTES, LINK_CONNECTS, LINK_DUPLICATES, LINK_FAILURES, LINK_IN_FLIGHT, LINK_LOWERED,
    LINK_PUBLICATIONS, LINK_RECEIVED, LINK_REFUSED, LINK_REPLAYED, LINK_SESSIONS_ENDED, LINK_UNEXPECTED, LINK_UNUSABLE,
    LINK_UP, QUEUE_BYTES, QUEUE_DROPPED, QUEUE_MESSAGES,
};
use codec_mqtt::Qos;

crate::count! {
    /// What a link counts.
    pub enum LinkCount {
        /// Written with QoS 0.
        Qos0 = LINK_PUBLICATIONS { qos: "0" };
        /// Written with QoS 1.
        Qos1 = LINK_PUBLICATIONS { qos: "1" };
        /// Written with QoS 2.
        Qos2 = LINK_PUBLICATIONS { qos: "2" };
        /// PUBACK or PUBCOMP came.
        Acknowledged = LINK_ACKNOWLEDGED {};
        /// The broker's reason code was one of refusal.
        RefusedByBroker = LINK_REFUSED { reason: "broker" };
        /// Above the broker's Maximum Packet Size.
        RefusedTooLarge = LINK_REFUSED { reason: "too_large" };
        /// Sent again.
        Replayed = LINK_REPLAYED {};
        /// Messages from the broker.
        Received = LINK_RECEIVED {};
        /// QoS 2 repetitions.
        Duplicates = LINK_DUPLICATES {};
        /// Messages from the broker that break the protocol in a value.
        Unusable = LINK_UNUSABLE {};
        /// QoS above what the broker takes.
        QosLowered = LINK_LOWERED { type: "qos" };
        /// Retain flag for a broker that does not retain.
        RetainDropped = LINK_LOWERED { type: "retain" };
        /// PUBACK, PUBREC or PUBCOMP for nothing in flight.
        UnexpectedAck = LINK_UNEXPECTED { type: "ack" };
        /// PUBREL for nothing received.
        UnexpectedRelease = LINK_UNEXPECTED { type: "pubrel" };
        /// SUBACK or UNSUBACK for nothing asked.
        UnexpectedAnswer = LINK_UNEXPECTED { type: "suback" };
        /// UNSUBSCRIBE that the broker refused.
        UnsubscribeRefused = LINK_REFUSED { reason: "unsubscribe" };
        /// Connections that failed or ended.
        Failures = LINK_FAILURES {};
        /// CONNACKs with success.
        Connects = LINK_CONNECTS {};
        /// Sessions at the broker that were not ours, ended.
        SessionsEnded = LINK_SESSIONS_ENDED {};
        /// Gauge: 1 while online.
        Up = LINK_UP {};
        /// Gauge: the in-flight window.
        InFlight = LINK_IN_FLIGHT {};
        /// Octets written.
        BytesOut = LINK_BYTES { direction: "uplink" };
        /// Octets read.
        BytesIn = LINK_BYTES { direction: "downlink" };
        /// Gauge: messages in the queue.
        QueueMessages = QUEUE_MESSAGES { queue: "link" };
        /// Gauge: octets in the queue.
        QueueBytes = QUEUE_BYTES { queue: "link" };
        /// QoS 0, thrown away for a newer message.
        DroppedOldest = QUEUE_DROPPED { queue: "link", policy: "drop-oldest-qos0" };
        /// QoS 0, for which there was no room.
        DroppedNewest = QUEUE_DROPPED { queue: "link", policy: "drop-newest-qos0" };
        /// QoS 1 and 2, for which there was no room: the device is told.
        TurnedAway = QUEUE_DROPPED { queue: "link", policy: "refuse" };
        /// Waited until it was of no use.
        Expired = QUEUE_DROPPED { queue: "link", policy: "expired" };
        /// SUBSCRIBE or UNSUBSCRIBE beyond the bound on those that wait.
        RequestsDropped = QUEUE_DROPPED { queue: "requests", policy: "refuse" };
    }
}

impl LinkCount {
    pub(super) const fn written(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::Qos0,
            Qos::AtLeastOnce => Self::Qos1,
            Qos::ExactlyOnce => Self::Qos2,
        }
    }
}
