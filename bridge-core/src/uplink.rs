//! What a machine says to the broker side, and what it is told there and then.

use crate::peer::{GatewayId, ListenerId, Proven};
use crate::publication::Publication;
use crate::slab::Key;
use crate::time::Deadline;
use crate::topic::{ClientId, TopicFilter};
use codec_mqtt::Qos;
use std::net::SocketAddr;

/// A client as the bridge knows it. Stale once the client has been detached: a late word from it finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientRef(pub Key);

/// A machine's own number for something it is owed an answer to; echoed, never interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    /// No subscription that is known here: a session that the broker has kept delivers what an earlier life asked for.
    pub const NONE: Self = Self(u64::MAX);
}

/// A client that wants to come in.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// The gateway it came to.
    pub gateway: GatewayId,
    /// The listener it came through.
    pub listener: ListenerId,
    /// Its client id.
    pub id: ClientId<'a>,
    /// The user name it gave; empty = none.
    pub username: &'a str,
    /// The password it gave; empty = none.
    pub password: Password<'a>,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// What the transport has proved about it.
    pub proven: Proven<'a>,
    /// What it asks of an MQTT connection of its own, where clients have one; `None` = it needs none.
    pub wants: Option<SessionWish>,
}

/// What a client asks of its session at the broker, where it has an MQTT connection of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionWish {
    /// It wants a new session, which ends with the connection.
    pub clean: bool,
    /// Keep Alive in seconds; 0 = that of `[broker]`.
    pub keepalive_s: u16,
    /// Seconds that the broker is to keep the session after the connection; without meaning for a clean one.
    pub expiry_s: u32,
}

/// An MQTT connection of a client's own, from the answer to [`Bridge::admit`](crate::bridge::Bridge::admit) on. Stale once
/// it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnLink(pub Key);

/// The broker's own copy of a message, which it keeps until [`Uplink::Delivered`] has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// The connection that it came over.
    pub link: OwnLink,
    /// Counts what comes over it.
    pub number: u32,
    /// The broker has sent the message before, over an earlier connection: DUP.
    pub again: bool,
}

/// A password on its way to whoever judges it: never printed.
#[derive(Clone, Copy, Default)]
pub struct Password<'a>(pub &'a [u8]);

impl std::fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What became of an [`Applicant`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It may come in, as this.
    Granted(Identity),
    /// It may not.
    Refused(Refusal),
    /// Somebody is being asked: [`Input::Decided`](crate::machine::Input::Decided) follows. Always so where clients have
    /// MQTT connections of their own.
    Parked,
}

/// A client that has been let in, and wants to speak through the bridge.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// The gateway it belongs to: downlinks go to that machine.
    pub gateway: GatewayId,
    /// The listener it came through: decides the mountpoint.
    pub listener: ListenerId,
    /// Its client id, unique within the gateway (the machine sees to that).
    pub id: ClientId<'a>,
    /// Who it is, as [`Bridge::admit`](crate::bridge::Bridge::admit) found.
    pub identity: &'a Identity,
    /// Its address, for `%a` and the rules.
    pub address: Option<SocketAddr>,
    /// A client that never connects (MQTT-SN QoS −1): it uses the first link of the shard, since there is no
    /// session whose order could matter.
    pub connectionless: bool,
    /// Its own MQTT connection, as [`Input::Decided`](crate::machine::Input::Decided) named it.
    pub link: Option<OwnLink>,
}

/// Who a client is once it has been let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its user name; empty when it has none.
    pub username: Box<str>,
    /// The access rules do not hold for it.
    pub superuser: bool,
}

/// A client is connected: told to whoever follows the events.
#[derive(Clone, Copy, Debug)]
pub struct Online {
    /// Its address.
    pub address: SocketAddr,
    /// Its protocol's version.
    pub version: &'static str,
    /// CleanSession, clean start.
    pub clean: bool,
    /// Seconds; 0 = none.
    pub keepalive_s: u32,
}

/// Why a client is not connected any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// It said goodbye.
    Normal,
    /// It gave no sign of life in time.
    KeepAlive,
    /// It did not wake up in time.
    Asleep,
    /// It did not acknowledge what it was sent.
    Unanswered,
    /// The same client id, or another client at its address, took its place.
    TakenOver,
    /// The admin API told it to go.
    Kicked,
    /// The access rules told it to go.
    NotAuthorised,
    /// Its connection or association has ended.
    Closed,
    /// What it said is no protocol of ours.
    Protocol,
    /// What it began to say did not come to its end in time.
    PartialFrame,
    /// It took nothing of what it was sent for too long.
    Stalled,
    /// The process ends.
    Drained,
}

impl Ending {
    /// The `reason` of the event.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::KeepAlive => "keepalive_timeout",
            Self::Asleep => "asleep_timeout",
            Self::Unanswered => "retries_exhausted",
            Self::TakenOver => "takenover",
            Self::Kicked => "kicked",
            Self::NotAuthorised => "not_authorized",
            Self::Closed => "closed",
            Self::Protocol => "protocol_error",
            Self::PartialFrame => "partial_frame",
            Self::Stalled => "stalled",
            Self::Drained => "drained",
        }
    }
}

/// What a connected client says.
#[derive(Clone, Copy, Debug)]
pub enum Uplink<'a> {
    /// A message. `token`: `None` = nothing is owed; else QoS 1 and 2 are answered by
    /// [`Downlink::Settled`](crate::downlink::Downlink::Settled) once the broker has it.
    Publish {
        /// What the completion will carry.
        token: Option<Token>,
        /// The message.
        what: Publication<'a>,
    },
    /// A subscription, answered by [`Downlink::Subscribed`](crate::downlink::Downlink::Subscribed). The same token and
    /// filter again replace it; each delivery names the token it matched.
    Subscribe {
        /// The machine's number for the subscription.
        token: Token,
        /// As the device knows it: without the mountpoint.
        filter: TopicFilter<'a>,
        /// The most it wants.
        qos: Qos,
        /// It wants what the broker retained, too.
        retained: bool,
    },
    /// A subscription that the client had before this process began, with the QoS that was granted. In force at once as
    /// far as we are concerned, and asked for when the broker is there; nothing retained comes of it, and no answer.
    Resubscribe {
        /// As in `Subscribe`.
        token: Token,
        /// As in `Subscribe`.
        filter: TopicFilter<'a>,
        /// As it was granted.
        qos: Qos,
    },
    /// Ends the subscription with this token. Takes effect at once.
    Unsubscribe {
        /// The number given in `Subscribe`.
        token: Token,
        /// The filter given in `Subscribe`.
        filter: TopicFilter<'a>,
    },
    /// The client came again, and was let in with this MQTT connection of its own: it is used from now on. What went over
    /// the one before is settled, and its subscriptions go on.
    Relink(OwnLink),
    /// The device has the message, or never will: the broker may forget its copy. Once for each receipt, in any order.
    Delivered(Receipt),
    /// What is to be published when the client is lost; `None` = nothing. Told to the broker where the client has an MQTT
    /// connection of its own.
    SetWill(Option<Publication<'a>>),
    /// The client is lost: its will is published, by the broker where that knows it.
    PublishWill(Publication<'a>),
    /// It sleeps, and may do without its own MQTT connection: the broker keeps what comes for it.
    Doze,
    /// It is awake after [`Uplink::Doze`]. `Owed`: [`Downlink::Awake`](crate::downlink::Downlink::Awake) follows once the
    /// broker has sent what it has kept; `Done`: there is nothing to wait for.
    Wake,
    /// It is connected, for the first time or again.
    Online(Online),
    /// It is at another address now, still connected.
    Moved(SocketAddr),
    /// It is not connected any more; it may come back to its subscriptions.
    Offline(Ending),
    /// The client is gone, and its subscriptions end with it. (If it is lost, [`Uplink::PublishWill`] goes before.)
    /// The reference is stale from here on; messages that it has published still go their way.
    Disconnect,
}

/// The bridge's answer, there and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// Nothing more will be said.
    Done,
    /// The completion follows, under the token.
    Owed,
    /// No room: tell the device, or stop reading it. [`Input::Room`](crate::machine::Input::Room) follows.
    Full,
    /// Over a limit of its session (`rate_limit`, `publish_limit`): nothing was taken. It may be offered again then.
    Later(Deadline),
    /// Refused, for good.
    Denied(Refusal),
}

/// Why the bridge or the broker would not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client id or the user name would break out of its level in a topic template.
    BadIdentity,
    /// The topic, with its mountpoint, is none that MQTT can carry.
    BadTopic,
    /// Larger than the broker takes.
    TooLarge,
    /// The broker is away, and this cannot wait for it.
    BrokerAway,
    /// The broker's reason code (MQTT 5.0 §2.4; the codes of 3.1.1 are translated).
    Broker(u8),
    /// The client is not known (any more).
    NoSuchClient,
    /// A limit of ours on what one client or the whole shard may hold.
    Limit,
    /// Nobody by that name with that password.
    BadCredentials,
    /// The access rules forbid it.
    NotAuthorised {
        /// The client is to be told to go, too (`acl.deny_action`).
        disconnect: bool,
    },
    /// Who could say whether it may come in cannot, or not in time.
    AuthUnavailable,
    /// Too many wait for a decision.
    Busy,
}

impl Refusal {
    /// A constant label for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadIdentity => "bad_identity",
            Self::BadTopic => "bad_topic",
            Self::TooLarge => "too_large",
            Self::BrokerAway => "broker_away",
            Self::Broker(_) => "broker",
            Self::NoSuchClient => "no_such_client",
            Self::Limit => "limit",
            Self::BadCredentials => "bad_credentials",
            Self::NotAuthorised { .. } => "not_authorised",
            Self::AuthUnavailable => "auth_unavailable",
            Self::Busy => "busy",
        }
    }
}
