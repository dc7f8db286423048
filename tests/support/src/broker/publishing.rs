//! Publications of clients: QoS 0, 1 and 2, and their acknowledgements.

use super::SimBroker;
use super::connection::{AckKind, HeldAck};
use super::message::{HeldWill, Message};
use super::session::Received;
use codec_mqtt::{Delivery, PacketId, Publish, ReasonCode};
use std::sync::Arc;

impl SimBroker {
    pub(super) fn on_publish(&mut self, conn: u64, client: &str, publish: &Publish<'_>) {
        self.check_publish(conn, publish);
        let message = Message::of(publish);
        match publish.delivery {
            Delivery::AtMostOnce => self.accept(client, message, false),
            Delivery::AtLeastOnce { packet_id, dup } => {
                let reason = self.verdict(client, &message);
                if !reason.is_error() {
                    self.accept(client, message, dup);
                }
                self.acknowledge(conn, HeldAck { kind: AckKind::Puback, id: packet_id.get(), reason });
            }
            Delivery::ExactlyOnce { packet_id, dup } => self.on_publish_2(conn, client, packet_id, dup, message),
        }
    }

    /// A publication that the session already has is acknowledged and not taken again (5.0, 4.3.3).
    fn on_publish_2(&mut self, conn: u64, client: &str, packet_id: PacketId, dup: bool, message: Message) {
        let id = packet_id.get();
        let reason = self.verdict(client, &message);
        let take_now = !self.options.take_at_pubrel;
        let Some(session) = self.sessions.get_mut(client) else { return };
        let known = session.received.contains_key(&id);
        if !known && !reason.is_error() {
            let pending = (!take_now).then(|| (message.clone(), dup));
            session.received.insert(id, Received { pending });
            if take_now {
                self.accept(client, message, dup);
            }
        }
        let reason = if known { ReasonCode::SUCCESS } else { reason };
        self.acknowledge(conn, HeldAck { kind: AckKind::Pubrec, id, reason });
    }

    pub(super) fn on_pubrel(&mut self, conn: u64, client: &str, id: u16) {
        let (Some(session), Some(connection)) = (self.sessions.get_mut(client), self.connections.get(&conn)) else {
            return;
        };
        let received = session.received.remove(&id);
        if received.is_none() && connection.fresh {
            connection.violation(conn, &format!("PUBREL {id} of no publication in this session"));
        }
        // In a session that goes on, its PUBCOMP may have been lost with the connection before.
        let reason = if received.is_some() { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
        if let Some((message, dup)) = received.and_then(|received| received.pending) {
            self.accept(client, message, dup);
        }
        self.acknowledge(conn, HeldAck { kind: AckKind::Pubcomp, id, reason });
    }

    /// What a client may not do, whatever the QoS.
    fn check_publish(&mut self, conn: u64, publish: &Publish<'_>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let refuse = |what: &str| connection.violation(conn, &format!("{what}: {publish:?}"));
        let (qos, dup) = (publish.delivery.qos(), publish.delivery.dup());
        if publish.properties.topic_alias().is_some() {
            refuse("a topic alias, and none was offered");
        }
        if publish.properties.subscription_identifiers().next().is_some() {
            refuse("a subscription identifier from a client");
        }
        if qos > connection.our_maximum_qos {
            refuse("above the maximum QoS");
        }
        if publish.retain && !connection.retain_available {
            refuse("retain, which is not available");
        }
        let Some(packet_id) = publish.delivery.packet_id() else { return };
        if dup && connection.fresh {
            refuse("DUP in a session that has never seen it");
        }
        if connection.uses(packet_id.get()) {
            refuse("packet id in use");
        }
        let client = connection.client.as_deref().unwrap_or_default();
        if !dup && self.sessions.get(client).is_some_and(|session| session.received.contains_key(&packet_id.get())) {
            refuse("packet id of an unfinished QoS 2 exchange, without DUP");
        }
        if connection.in_flight.len() >= usize::from(connection.our_receive_maximum) {
            refuse("more in flight than the receive maximum");
        }
        connection.in_flight.insert(packet_id.get());
    }

    /// What the acknowledgement says.
    fn verdict(&self, client: &str, message: &Message) -> ReasonCode {
        if let Some(reason) = self.options.refuse_publish.get(&message.topic) {
            return *reason;
        }
        let nobody = self.options.tell_no_subscribers && !self.has_subscriber(client, &message.topic);
        if nobody { ReasonCode::NO_MATCHING_SUBSCRIBERS } else { ReasonCode::SUCCESS }
    }

    /// Takes responsibility for a client's message.
    fn accept(&mut self, client: &str, message: Message, dup: bool) {
        if self.options.refuse_publish.contains_key(&message.topic) {
            return;
        }
        self.accepted.push(message.accepted(client, dup, false));
        self.route(client, &Arc::new(message));
    }

    pub(super) fn accept_will(&mut self, client: &str, will: HeldWill) {
        self.accepted.push(will.message.accepted(client, false, true));
        self.route(client, &Arc::new(will.message));
    }
}
