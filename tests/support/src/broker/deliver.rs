//! Messages to subscribers.

use super::SimBroker;
use super::message::Message;
use super::session::{InFlight, Outgoing, Subscribed};
use codec_mqtt::{Ack, Delivery, Packet, PacketId, Properties, Publish, Qos};
use std::sync::Arc;

impl SimBroker {
    /// Keeps a retained message and hands copies to all who are subscribed. `from` is the publisher's client id.
    pub(super) fn route(&mut self, from: &str, message: &Arc<Message>) {
        if message.retain {
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else {
                self.retained.insert(message.topic.clone(), Arc::clone(message));
            }
        }
        for (client, copy) in self.copies(from, message) {
            self.enqueue(&client, copy);
        }
    }

    pub(super) fn has_subscriber(&self, from: &str, topic: &str) -> bool {
        let reaches = |client: &str, subscribed: &Subscribed| client != from || !subscribed.no_local;
        self.sessions.iter().any(|(client, session)| session.matching(topic).any(|s| reaches(client, s)))
    }

    /// Who gets which copy.
    fn copies(&mut self, from: &str, message: &Arc<Message>) -> Vec<(String, Outgoing)> {
        let mut copies = Vec::new();
        let mut groups: Vec<(String, String)> = Vec::new();
        for (client, session) in &self.sessions {
            let mut own: Vec<Outgoing> = Vec::new();
            for subscribed in session.matching(&message.topic) {
                if let Some(group) = &subscribed.group {
                    groups.push((group.clone(), subscribed.filter.clone()));
                } else if client != from || !subscribed.no_local {
                    own.push(Outgoing::for_subscription(message, subscribed));
                }
            }
            if self.options.merge_overlaps {
                own = Outgoing::merged(own).into_iter().collect();
            }
            copies.extend(own.into_iter().map(|copy| (client.clone(), copy)));
        }
        groups.sort();
        groups.dedup();
        copies.extend(groups.into_iter().filter_map(|key| self.shared_copy(key, message)));
        copies
    }

    /// One member of a shared subscription, in turn; those who are connected before those who are not.
    fn shared_copy(&mut self, key: (String, String), message: &Arc<Message>) -> Option<(String, Outgoing)> {
        let name = format!("$share/{}/{}", key.0, key.1);
        let members = self.sessions.iter().filter(|(_, session)| session.subscriptions.contains_key(&name));
        let (here, away): (Vec<_>, Vec<_>) = members.partition(|(_, session)| session.conn.is_some());
        let members = if here.is_empty() { away } else { here };
        let turn = self.turns.entry(key).or_default();
        let (client, session) = members.get(turn.checked_rem(members.len())?)?;
        *turn += 1;
        let copy = Outgoing::for_subscription(message, session.subscriptions.get(&name)?);
        Some(((*client).clone(), copy))
    }

    /// Sends a copy or lets it wait. QoS 0 does not wait for a client that is away.
    pub(super) fn enqueue(&mut self, client: &str, copy: Outgoing) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if copy.qos != Qos::AtMostOnce {
            session.waiting.push_back(copy);
            return self.pump(client);
        }
        if let Some(conn) = session.conn {
            self.send_copy(conn, &copy, None);
        }
    }

    /// Sends what waits, as far as the client's Receive Maximum and our window allow.
    pub(super) fn pump(&mut self, client: &str) {
        while let Some(session) = self.sessions.get_mut(client) {
            let Some((conn, connection)) = session.conn.and_then(|conn| Some((conn, self.connections.get(&conn)?)))
            else {
                return;
            };
            let window = usize::from(connection.their_receive_maximum.min(self.options.send_window));
            if session.in_flight.len() >= window {
                return;
            }
            let Some(copy) = session.waiting.pop_front() else { return };
            let id = session.next_id();
            if self.send_copy(conn, &copy, Some((id, false)))
                && let Some(session) = self.sessions.get_mut(client)
            {
                session.in_flight.push(InFlight { id, copy, conn, released: false });
            }
        }
    }

    /// After CONNACK: what was in flight again, in its order (5.0, 4.4), then what waits.
    pub(super) fn redeliver(&mut self, client: &str) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(conn) = session.conn else { return };
        let before = std::mem::take(&mut session.in_flight);
        let mut still = Vec::new();
        for mut sent in before {
            sent.conn = conn;
            if sent.released {
                if let Some(packet_id) = PacketId::new(sent.id) {
                    self.send(conn, &Packet::Pubrel(Ack::new(packet_id)));
                }
            } else if !self.send_copy(conn, &sent.copy, Some((sent.id, true))) {
                continue;
            }
            still.push(sent);
        }
        if let Some(session) = self.sessions.get_mut(client) {
            session.in_flight = still;
        }
        self.pump(client);
    }

    /// False when the client cannot take a packet of that size: the message counts as delivered (5.0, 3.1.2.11.4).
    fn send_copy(&mut self, conn: u64, copy: &Outgoing, id: Option<(u16, bool)>) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else { return false };
        let list = copy.message.properties.list(&copy.identifiers);
        let publish = Packet::Publish(Publish {
            topic: &copy.message.topic,
            delivery: copy.delivery(id),
            retain: copy.retain,
            properties: if connection.is_v5() { Properties::list(&list) } else { Properties::EMPTY },
            payload: &copy.message.payload,
        });
        let octets = publish.encoded_len(connection.version).unwrap_or_else(|fault| panic!("{fault:?}: {publish:?}"));
        let fits = octets <= usize::try_from(connection.their_packet_limit).unwrap_or(usize::MAX);
        if fits {
            connection.send(&publish);
        }
        fits
    }
}

impl Outgoing {
    fn for_subscription(message: &Arc<Message>, subscribed: &Subscribed) -> Self {
        Self {
            message: Arc::clone(message),
            qos: message.qos.min(subscribed.qos),
            retain: message.retain && subscribed.retain_as_published,
            identifiers: subscribed.identifier.into_iter().collect(),
        }
    }

    /// A retained message for a new subscription keeps its flag.
    pub(super) fn retained(message: &Arc<Message>, subscribed: &Subscribed) -> Self {
        Self { retain: true, ..Self::for_subscription(message, subscribed) }
    }

    /// One copy with the highest QoS and all identifiers.
    fn merged(copies: Vec<Self>) -> Option<Self> {
        copies.into_iter().reduce(|mut all, copy| {
            all.qos = all.qos.max(copy.qos);
            all.retain |= copy.retain;
            all.identifiers.extend(copy.identifiers);
            all
        })
    }

    fn delivery(&self, id: Option<(u16, bool)>) -> Delivery {
        match (self.qos, id.and_then(|(id, dup)| Some((PacketId::new(id)?, dup)))) {
            (Qos::AtLeastOnce, Some((packet_id, dup))) => Delivery::AtLeastOnce { packet_id, dup },
            (Qos::ExactlyOnce, Some((packet_id, dup))) => Delivery::ExactlyOnce { packet_id, dup },
            _ => Delivery::AtMostOnce,
        }
    }
}
