//! What a machine hears from the broker side about one of its clients.

use crate::publication::Shared;
use crate::uplink::{Ending, Receipt, Refusal, Token};
use codec_mqtt::Qos;

/// Something for one client.
#[derive(Clone, Copy, Debug)]
pub enum Downlink<'a> {
    /// A message for one of its subscriptions: once for each that it matches.
    Message(Delivery<'a>),
    /// The answer to `Subscribe`: the QoS it may count on, or why not (it is not subscribed then). A refusal may come
    /// unasked: a broker that lost the session did not take a subscription again, and it has ended.
    Subscribed {
        /// The subscription's.
        token: Token,
        /// At most what it asked for.
        granted: Result<Qos, Refusal>,
    },
    /// What became of a message that was owed a completion.
    Settled {
        /// The message's.
        token: Token,
        /// Its fate.
        outcome: Outcome,
    },
    /// The client's own MQTT connection is over for good, since the broker wants it so: the device is to be told, and to
    /// go. (One that is merely lost comes back by itself.)
    Ended(Ending),
    /// The answer to [`Uplink::Wake`](crate::uplink::Uplink::Wake).
    Awake(Result<(), Refusal>),
}

/// A message as one subscription gets it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The message; `keep` it to queue it.
    pub message: &'a Shared<'a>,
    /// The lesser of the message's QoS and the subscription's.
    pub qos: Qos,
    /// The subscription it matched; [`Token::NONE`] where none is known.
    pub subscription: Token,
    /// The broker keeps its copy until [`Uplink::Delivered`](crate::uplink::Uplink::Delivered) names this.
    pub receipt: Option<Receipt>,
}

/// The fate of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has it.
    Acknowledged,
    /// The broker, or we on its behalf, would not have it.
    Refused(Refusal),
    /// Its lifetime ended while it waited.
    Expired,
}
