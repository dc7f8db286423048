//! What the admin API asks a machine, and what it is answered there and then.

use crate::time::Now;
use crate::topic::TopicFilter;
use crate::uplink::{Refusal, Token};
use codec_mqtt::Qos;
use std::net::{IpAddr, SocketAddr};

/// A question about the clients of one machine. A million of them are listed in slices, so that none stalls the packets.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// Clients behind `after` in the machine's own order that `wanted` lets through: at most `rows` of them, after looking
    /// at `scan` at most.
    List {
        /// Where the slice before ended; `None` = from the beginning.
        after: Option<Token>,
        /// Rows at most.
        rows: usize,
        /// Clients looked at, at most.
        scan: usize,
        /// Which ones.
        wanted: &'a Wanted,
    },
    /// One client.
    Show {
        /// Its client id.
        id: &'a str,
    },
    /// The client is told to go; its session ends, and its will is published.
    Kick {
        /// Its client id.
        id: &'a str,
    },
    /// Its subscriptions.
    Subscriptions {
        /// Its client id.
        id: &'a str,
    },
    /// A subscription on its behalf.
    Subscribe {
        /// Its client id.
        id: &'a str,
        /// As the device would name it: without the mountpoint.
        filter: TopicFilter<'a>,
        /// The most it gets.
        qos: Qos,
    },
    /// Ends a subscription of its.
    Unsubscribe {
        /// Its client id.
        id: &'a str,
        /// As the device knows it.
        filter: TopicFilter<'a>,
    },
}

/// Which clients a list shows: those that fit all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Part of the client id.
    pub id_like: Option<String>,
    /// The user name.
    pub username: Option<String>,
    /// Part of the user name.
    pub username_like: Option<String>,
    /// The address, without its port.
    pub ip: Option<IpAddr>,
    /// What it is in, by its name in [`ClientRow::state`].
    pub state: Option<String>,
    /// CleanSession, clean start.
    pub clean: Option<bool>,
}

impl Wanted {
    /// True for a client that the list shows.
    #[must_use]
    pub fn fits(&self, id: &str, username: &str, ip: IpAddr, state: &str, clean: bool) -> bool {
        self.id_like.as_ref().is_none_or(|part| id.contains(part.as_str()))
            && self.username.as_ref().is_none_or(|name| name == username)
            && self.username_like.as_ref().is_none_or(|part| username.contains(part.as_str()))
            && self.ip.is_none_or(|wanted| wanted == ip)
            && self.state.as_ref().is_none_or(|wanted| wanted == state)
            && self.clean.is_none_or(|wanted| wanted == clean)
    }
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Rows, and where the next slice begins; `None` = that was all.
    Page {
        /// In the machine's own order.
        rows: Vec<ClientRow>,
        /// To be given as `after`.
        next: Option<Token>,
    },
    /// The client.
    Client(Box<ClientRow>),
    /// Its subscriptions.
    Subscriptions(Vec<SubscriptionRow>),
    /// It is done, or under way.
    Done,
    /// There is no such client here.
    NoSuchClient,
    /// There is no such subscription.
    NoSuchSubscription,
    /// The gateway's own subscription, by which the client's messages come: it stays.
    OwnSubscription,
    /// The bridge would not.
    Refused(Refusal),
}

/// A client as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    /// Its client id.
    pub id: Box<str>,
    /// Empty when it has none.
    pub username: Box<str>,
    /// Where it is, or was last.
    pub address: SocketAddr,
    /// Behind a forwarder: the wireless node, in hexadecimal digits.
    pub node: Option<Box<str>>,
    /// `connecting`, `connected`, `asleep`, `awake`, `disconnected`.
    pub state: &'static str,
    /// As events name it: `1.2`.
    pub version: &'static str,
    /// CleanSession, clean start.
    pub clean: bool,
    /// Seconds; 0 = none.
    pub keepalive_s: u32,
    /// Seconds that the session is kept after its client has gone.
    pub expiry_s: u32,
    /// When it connected last, in milliseconds since the Unix epoch.
    pub connected_at_ms: u64,
    /// When it was gone, in milliseconds since the Unix epoch; `None` while it is connected.
    pub disconnected_at_ms: Option<u64>,
    /// How many subscriptions it has.
    pub subscriptions: u32,
    /// Messages held for it.
    pub held: u32,
    /// Messages sent to it that it has not acknowledged.
    pub in_flight: u32,
}

/// A subscription as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// The filter as the device knows it.
    pub filter: Box<str>,
    /// The most it gets.
    pub qos: Qos,
}

/// Milliseconds since the Unix epoch of a moment of the monotone clock.
#[must_use]
pub const fn wall_ms(now: Now, mono_ms: u64) -> u64 {
    now.wall_ms.saturating_sub(now.mono_ms.saturating_sub(mono_ms))
}
