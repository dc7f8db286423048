//! SUBSCRIBE and UNSUBSCRIBE.

use super::SimBroker;
use super::session::{Outgoing, Subscribed};
use codec_mqtt::{
    Packet, PacketId, Properties, ReasonCode, ReasonCodes, RetainHandling, Suback, Subscribe, Subscription, Unsuback,
    Unsubscribe, Version, topic,
};

impl SimBroker {
    pub(super) fn on_subscribe(&mut self, conn: u64, client: &str, subscribe: &Subscribe<'_>) {
        let Some(version) = self.check_request(conn, subscribe.packet_id) else { return };
        let identifier = subscribe.properties.subscription_identifiers().next();
        if let Some(connection) = self.connections.get(&conn)
            && identifier.is_some()
            && !connection.identifiers_available
        {
            connection.violation(conn, "a subscription identifier, which is not available");
        }
        let mut codes = Vec::new();
        let mut owed = Vec::new();
        for wanted in subscribe.filters.iter() {
            let refused = self.options.refuse_subscribe.get(wanted.filter).copied();
            codes.push(refused.unwrap_or_else(|| ReasonCode(wanted.qos.min(self.options.maximum_qos).bits())).0);
            if refused.is_none() {
                owed.extend(self.subscribe(client, &wanted, version, identifier));
            }
        }
        let suback =
            Suback { packet_id: subscribe.packet_id, properties: Properties::EMPTY, codes: ReasonCodes::new(&codes) };
        self.send(conn, &Packet::Suback(suback));
        owed.into_iter().for_each(|copy| self.enqueue(client, copy));
    }

    /// The retained messages that the subscription brings.
    fn subscribe(
        &mut self,
        client: &str,
        wanted: &Subscription<'_>,
        version: Version,
        id: Option<u32>,
    ) -> Vec<Outgoing> {
        let share = match version {
            Version::V5 => topic::shared(wanted.filter).ok().flatten(),
            Version::V311 => None,
        };
        let subscribed = Subscribed {
            group: share.map(|(group, _)| group.to_owned()),
            filter: share.map_or(wanted.filter, |(_, filter)| filter).to_owned(),
            qos: wanted.qos.min(self.options.maximum_qos),
            no_local: wanted.no_local,
            retain_as_published: wanted.retain_as_published,
            identifier: id,
        };
        let Some(session) = self.sessions.get_mut(client) else { return Vec::new() };
        let new = session.subscribe(wanted.filter, subscribed.clone());
        let wants_retained = match wanted.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => new,
            RetainHandling::DoNotSend => false,
        };
        // A shared subscription brings none (5.0, 4.8.2).
        if !wants_retained || share.is_some() {
            return Vec::new();
        }
        let all = self.retained.values().filter(|message| super::matches(&subscribed.filter, &message.topic));
        all.map(|message| Outgoing::retained(message, &subscribed)).collect()
    }

    pub(super) fn on_unsubscribe(&mut self, conn: u64, client: &str, unsubscribe: &Unsubscribe<'_>) {
        if self.check_request(conn, unsubscribe.packet_id).is_none() {
            return;
        }
        let Some(session) = self.sessions.get_mut(client) else { return };
        let one = |filter| {
            let was_there = session.unsubscribe(filter);
            if was_there { ReasonCode::SUCCESS.0 } else { ReasonCode::NO_SUBSCRIPTION_EXISTED.0 }
        };
        let codes: Vec<u8> = unsubscribe.filters.iter().map(one).collect();
        let unsuback = Unsuback {
            packet_id: unsubscribe.packet_id,
            properties: Properties::EMPTY,
            codes: ReasonCodes::new(&codes),
        };
        self.send(conn, &Packet::Unsuback(unsuback));
    }

    /// Packet ids of requests come from the same pool as those of publications.
    fn check_request(&mut self, conn: u64, packet_id: PacketId) -> Option<Version> {
        let connection = self.connections.get_mut(&conn)?;
        if connection.uses(packet_id.get()) {
            connection.violation(conn, &format!("packet id {packet_id} of a request is in use"));
        }
        connection.requests.insert(packet_id.get());
        Some(connection.version)
    }
}
