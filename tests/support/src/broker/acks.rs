//! Acknowledgements: ours of clients' publications, and theirs of ours.

use super::SimBroker;
use super::connection::{AckKind, HeldAck};
use codec_mqtt::{Ack, Packet, PacketId, Qos};

impl SimBroker {
    /// Sends what [`Options::hold_acks`](super::Options::hold_acks) held back, in order.
    pub fn release_acks(&mut self) {
        for connection in self.connections.keys().copied().collect::<Vec<_>>() {
            self.release_acks_of(connection, usize::MAX);
        }
    }

    /// Sends the `count` oldest acknowledgements that are held back on one connection.
    pub fn release_acks_of(&mut self, conn: u64, count: usize) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let count = count.min(connection.held.len());
        let due: Vec<_> = connection.held.drain(..count).collect();
        due.into_iter().for_each(|ack| self.send_ack(conn, ack));
    }

    /// Acknowledgements held back on a connection.
    #[must_use]
    pub fn held_acks(&self, conn: u64) -> usize {
        self.connections.get(&conn).map_or(0, |connection| connection.held.len())
    }

    /// Acknowledges a client's publication, now or later or never, as the options want.
    pub(super) fn acknowledge(&mut self, conn: u64, ack: HeldAck) {
        if self.chance(u64::from(self.options.drop_acks_per_mille)) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if self.options.hold_acks || !connection.held.is_empty() {
            connection.held.push(ack);
        } else {
            self.send_ack(conn, ack);
        }
    }

    fn send_ack(&mut self, conn: u64, HeldAck { kind, id, reason }: HeldAck) {
        let (Some(connection), Some(packet_id)) = (self.connections.get_mut(&conn), PacketId::new(id)) else { return };
        let reason = if connection.is_v5() { reason } else { codec_mqtt::ReasonCode::SUCCESS };
        let ack = Ack::with_reason(packet_id, reason);
        connection.send(&match kind {
            AckKind::Puback => Packet::Puback(ack),
            AckKind::Pubrec => Packet::Pubrec(ack),
            AckKind::Pubcomp => Packet::Pubcomp(ack),
        });
        if kind != AckKind::Pubrec || reason.is_error() {
            connection.acknowledged.push(id);
        }
    }

    pub(super) fn on_puback(&mut self, conn: u64, client: &str, id: u16) {
        self.finish(conn, client, id, "PUBACK", Qos::AtLeastOnce, false);
    }

    pub(super) fn on_pubrec(&mut self, conn: u64, client: &str, ack: &Ack<'_>) {
        let id = ack.packet_id.get();
        if ack.reason.is_error() {
            return self.finish(conn, client, id, "PUBREC", Qos::ExactlyOnce, false);
        }
        let at = self.expected(conn, client, id, "PUBREC", Qos::ExactlyOnce, false);
        if let Some(sent) = self.sessions.get_mut(client).and_then(|session| session.in_flight.get_mut(at)) {
            sent.released = true;
        }
        self.send(conn, &Packet::Pubrel(Ack::new(ack.packet_id)));
    }

    pub(super) fn on_pubcomp(&mut self, conn: u64, client: &str, ack: &Ack<'_>) {
        self.finish(conn, client, ack.packet_id.get(), "PUBCOMP", Qos::ExactlyOnce, true);
    }

    fn finish(&mut self, conn: u64, client: &str, id: u16, what: &str, qos: Qos, released: bool) {
        let at = self.expected(conn, client, id, what, qos, released);
        if let Some(session) = self.sessions.get_mut(client) {
            session.in_flight.remove(at);
        }
        self.pump(client);
    }

    /// Where the acknowledged publication stands: it was sent on this connection, and is the oldest of its kind, since
    /// acknowledgements come in the order of what they acknowledge (5.0, 4.6).
    fn expected(&self, conn: u64, client: &str, id: u16, what: &str, qos: Qos, released: bool) -> usize {
        let (Some(session), Some(connection)) = (self.sessions.get(client), self.connections.get(&conn)) else {
            return usize::MAX;
        };
        let same_kind =
            |sent: &&super::session::InFlight| sent.conn == conn && sent.copy.qos == qos && sent.released == released;
        if session.in_flight.iter().find(same_kind).is_some_and(|sent| sent.id == id)
            && let Some(at) = session.in_flight.iter().position(|sent| sent.id == id)
        {
            return at;
        }
        let sent: Vec<_> = session.in_flight.iter().map(|s| (s.id, s.copy.qos.bits(), s.released, s.conn)).collect();
        connection.violation(conn, &format!("{what} {id} is not due; in flight (id, QoS, released, conn): {sent:?}"))
    }
}
