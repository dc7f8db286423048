//! What the links of single clients count.

use crate::metrics::{CLIENT_LINKS, CLIENT_LINKS_ENDED, CLIENT_LINKS_RECONNECTED, CLIENT_LINKS_REFUSED};
use crate::uplink::Ending;
use codec_mqtt::ReasonCode;

crate::count! {
    /// What the links of single clients count.
    pub(in crate::bridge) enum OwnCount {
        /// Gauge: they wait for their turn to connect.
        Waiting = CLIENT_LINKS { state: "waiting" };
        /// Gauge: on their way, or between two attempts.
        Connecting = CLIENT_LINKS { state: "connecting" };
        /// Gauge: accepted.
        Up = CLIENT_LINKS { state: "up" };
        /// Gauge: without a connection, since the client sleeps.
        Resting = CLIENT_LINKS { state: "resting" };
        /// The broker does not know who that is, or does not want it.
        RefusedClient = CLIENT_LINKS_REFUSED { reason: "credentials" };
        /// The broker cannot just now.
        RefusedBusy = CLIENT_LINKS_REFUSED { reason: "unavailable" };
        /// Any other code of the broker.
        RefusedOther = CLIENT_LINKS_REFUSED { reason: "other" };
        /// No answer in time.
        Unanswered = CLIENT_LINKS_REFUSED { reason: "broker_away" };
        /// Too many waited.
        Busy = CLIENT_LINKS_REFUSED { reason: "busy" };
        /// Another connection used the client id.
        TakenOver = CLIENT_LINKS_ENDED { reason: "takenover" };
        /// An administrator of the broker.
        Kicked = CLIENT_LINKS_ENDED { reason: "kicked" };
        /// Let in no more.
        NotAuthorised = CLIENT_LINKS_ENDED { reason: "not_authorized" };
        /// They were lost, and came back.
        Reconnected = CLIENT_LINKS_RECONNECTED {};
    }
}

impl OwnCount {
    pub(super) const fn refused(reason: u8) -> Self {
        match ReasonCode(reason) {
            ReasonCode::CLIENT_IDENTIFIER_NOT_VALID
            | ReasonCode::BAD_USER_NAME_OR_PASSWORD
            | ReasonCode::NOT_AUTHORIZED
            | ReasonCode::BANNED
            | ReasonCode::BAD_AUTHENTICATION_METHOD => Self::RefusedClient,
            ReasonCode::SERVER_UNAVAILABLE
            | ReasonCode::SERVER_BUSY
            | ReasonCode::SERVER_SHUTTING_DOWN
            | ReasonCode::QUOTA_EXCEEDED
            | ReasonCode::CONNECTION_RATE_EXCEEDED => Self::RefusedBusy,
            _ => Self::RefusedOther,
        }
    }

    pub(super) const fn ended(why: Ending) -> Self {
        match why {
            Ending::TakenOver => Self::TakenOver,
            Ending::Kicked => Self::Kicked,
            _ => Self::NotAuthorised,
        }
    }
}
