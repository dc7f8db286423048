//! What a machine says to the broker side, and what it is told there and then.

use crate::peer::{GatewayId, ListenerId};
use crate::publication::Publication;
use crate::slab::Key;
use crate::topic::{ClientId, TopicFilter};
use codec_mqtt::Qos;
use std::net::IpAddr;

/// A client as the bridge knows it. Stale once the client has been detached: a late word from it finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientRef(pub Key);

/// A machine's own number for something it is owed an answer to; echoed, never interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A client that wants to speak through the bridge.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// The gateway it belongs to: downlinks go to that machine.
    pub gateway: GatewayId,
    /// The listener it came through: decides the mountpoint.
    pub listener: ListenerId,
    /// Its client id, unique within the gateway (the machine sees to that).
    pub id: ClientId<'a>,
    /// Its user name, empty when the protocol has none.
    pub username: &'a str,
    /// Its address, for `%a`.
    pub host: Option<IpAddr>,
    /// A client that never connects (MQTT-SN QoS −1): it uses the first link of the shard, since there is no
    /// session whose order could matter.
    pub connectionless: bool,
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
        /// It wants what the broker retained, too. (Never for a subscription that is only being restored.)
        retained: bool,
    },
    /// Ends the subscription with this token. Takes effect at once.
    Unsubscribe {
        /// The number given in `Subscribe`.
        token: Token,
        /// The filter given in `Subscribe`.
        filter: TopicFilter<'a>,
    },
    /// The client is gone, and its subscriptions end with it. (Its will, if it is lost, its machine publishes before.)
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
        }
    }
}
