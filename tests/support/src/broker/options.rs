//! What the broker offers and how it misbehaves.

use codec_mqtt::{Qos, ReasonCode};
use std::collections::BTreeMap;

/// What the broker offers and how it misbehaves. The default is a broker without limits that does what it should.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of what happens by chance.
    pub seed: u64,
    /// How a CONNECT of 5.0 is refused, if it is.
    pub refuse_v5: Option<RefuseV5>,
    /// Every CONNECT is refused with this code; in 3.1.1 with the return code that comes nearest.
    pub refuse_connect: Option<ReasonCode>,
    /// Client ids whose CONNECT is refused, with these codes.
    pub refuse_clients: BTreeMap<String, ReasonCode>,
    /// Reason String of those refusals, 5.0 only.
    pub refusal_text: Option<String>,
    /// Whether a take-over closes the older connection without the DISCONNECT 0x8E.
    pub silent_take_over: bool,
    /// Publications of QoS 1 and 2 that a client may have in flight; announced below 65,535.
    pub receive_maximum: u16,
    /// Publications of QoS 1 and 2 in flight to one client, at most; its own Receive Maximum bounds them too.
    pub send_window: u16,
    /// Longest packet from a client, announced in 5.0.
    pub maximum_packet_size: Option<u32>,
    /// Highest QoS of a client's publication, announced in 5.0; SUBSCRIBE is granted no more.
    pub maximum_qos: Qos,
    /// Whether clients may retain; false is announced in 5.0.
    pub retain_available: bool,
    /// Whether SUBSCRIBE may carry an identifier; false is announced in 5.0.
    pub subscription_identifiers: bool,
    /// Server Keep Alive in seconds, 5.0 only.
    pub server_keep_alive: Option<u16>,
    /// Overlapping subscriptions of one client bring one copy with all identifiers; else one copy each.
    pub merge_overlaps: bool,
    /// A QoS 2 message is taken when its PUBREL arrives; else when its PUBLISH does. Both are allowed (5.0, 4.3.3).
    pub take_at_pubrel: bool,
    /// PUBACK and PUBREC say 0x10 when nobody is subscribed, 5.0 only.
    pub tell_no_subscribers: bool,
    /// A crash that keeps sessions does not keep those that began with Clean Start 1, whatever their expiry (mosquitto).
    pub forget_clean_starts: bool,
    /// Filters that no client may subscribe to, as they stand in SUBSCRIBE.
    pub refuse_subscribe: BTreeMap<String, ReasonCode>,
    /// Topics that no client may publish to: PUBACK and PUBREC carry the code, 5.0 only.
    pub refuse_publish: BTreeMap<String, ReasonCode>,
    /// PUBACK, PUBREC and PUBCOMP wait for [`release_acks`](super::SimBroker::release_acks).
    pub hold_acks: bool,
    /// PUBACK, PUBREC and PUBCOMP that get lost, per thousand. Only a new connection helps the client then.
    pub drop_acks_per_mille: u16,
}

/// How a broker that knows only 3.1.1 refuses a CONNECT of 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseV5 {
    /// CONNACK of 5.0 with 0x84.
    ReasonCode,
    /// CONNACK of 3.1.1 with return code 1.
    ReturnCode,
    /// Closes without a word.
    Close,
}

/// What a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Subscriptions, what is in flight and what waits.
    pub keep_sessions: bool,
    /// Retained messages.
    pub keep_retained: bool,
}

impl Options {
    /// The default, in a form that a constant may take.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seed: 1,
            refuse_v5: None,
            refuse_connect: None,
            refuse_clients: BTreeMap::new(),
            refusal_text: None,
            silent_take_over: false,
            receive_maximum: u16::MAX,
            send_window: u16::MAX,
            maximum_packet_size: None,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            subscription_identifiers: true,
            server_keep_alive: None,
            merge_overlaps: false,
            take_at_pubrel: true,
            tell_no_subscribers: false,
            forget_clean_starts: false,
            refuse_subscribe: BTreeMap::new(),
            refuse_publish: BTreeMap::new(),
            hold_acks: false,
            drop_acks_per_mille: 0,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
