//! What the broker keeps of a client beyond its connection.

use super::message::{HeldWill, Message};
use codec_mqtt::Qos;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Session {
    /// The connection it is connected on.
    pub(super) conn: Option<u64>,
    /// Seconds; 0 ends it with the connection.
    pub(super) expiry: u32,
    /// Seconds, of its last CONNECT.
    pub(super) keep_alive: u16,
    /// Its last CONNECT had Clean Start 1.
    pub(super) began_clean: bool,
    pub(super) delayed_will: Option<HeldWill>,
    pub(super) subscriptions: BTreeMap<String, Subscribed>,
    /// Those of `subscriptions` that a look-up by topic name does not find.
    patterns: BTreeSet<String>,
    /// QoS 2 publications of the client, by packet id, until PUBREL.
    pub(super) received: BTreeMap<u16, Received>,
    /// Sent and not yet acknowledged, in the order they were first sent.
    pub(super) in_flight: Vec<InFlight>,
    /// QoS 1 and 2 still to be sent, in order.
    pub(super) waiting: VecDeque<Outgoing>,
    last_id: u16,
}

/// A subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscribed {
    /// Group of `$share/group/…`.
    pub(super) group: Option<String>,
    /// Without `$share/group/`.
    pub(super) filter: String,
    pub(super) qos: Qos,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) identifier: Option<u32>,
}

/// A QoS 2 publication of the client.
#[derive(Debug)]
pub(super) struct Received {
    /// Still to be taken at PUBREL, with its DUP flag.
    pub(super) pending: Option<(Message, bool)>,
}

/// A message on its way to one client.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) identifiers: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) id: u16,
    pub(super) copy: Outgoing,
    /// The connection it was last sent on; an acknowledgement must come there.
    pub(super) conn: u64,
    /// PUBREC has come, PUBREL is sent.
    pub(super) released: bool,
}

impl Session {
    pub(super) fn filters(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.keys().map(String::as_str)
    }

    pub(super) fn undelivered(&self) -> usize {
        self.in_flight.len() + self.waiting.len()
    }

    /// True when it is new.
    pub(super) fn subscribe(&mut self, name: &str, subscribed: Subscribed) -> bool {
        if subscribed.group.is_some() || subscribed.filter.contains(['+', '#']) {
            self.patterns.insert(name.to_owned());
        }
        self.subscriptions.insert(name.to_owned(), subscribed).is_none()
    }

    /// True when it was there.
    pub(super) fn unsubscribe(&mut self, name: &str) -> bool {
        self.patterns.remove(name);
        self.subscriptions.remove(name).is_some()
    }

    /// Subscriptions, shared ones too, that match a topic name: the plain one first.
    pub(super) fn matching<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Subscribed> {
        let plain = self.subscriptions.get(topic).filter(|subscribed| subscribed.group.is_none());
        let patterns = self.patterns.iter().filter_map(|name| self.subscriptions.get(name));
        plain.into_iter().chain(patterns.filter(move |subscribed| super::matches(&subscribed.filter, topic)))
    }

    /// A packet id that nothing in flight has.
    pub(super) fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.iter().any(|sent| sent.id == self.last_id) {
                return self.last_id;
            }
        }
    }
}
