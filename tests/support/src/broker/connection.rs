//! One network connection, and its CONNECT.

use super::message::HeldWill;
use super::{RefuseV5, SimBroker};
use codec_mqtt::{Connack, Connect, Fault, Packet, Properties, Property, Qos, ReasonCode, Version, decode};
use std::collections::BTreeSet;

/// A network connection. `client` is set while it is connected in MQTT's sense.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) open: bool,
    pub(super) client: Option<String>,
    pub(super) version: Version,
    /// Whether its CONNACK said that there was no session.
    pub(super) fresh: bool,
    pub(super) will: Option<HeldWill>,
    /// Publications of QoS 1 and 2 that the client has in flight as far as it can know.
    pub(super) in_flight: BTreeSet<u16>,
    /// Of those, the ones whose last acknowledgement is in `output`.
    pub(super) acknowledged: Vec<u16>,
    /// Packet ids of SUBSCRIBE and UNSUBSCRIBE whose answer is in `output`.
    pub(super) requests: BTreeSet<u16>,
    /// Acknowledgements held back.
    pub(super) held: Vec<HeldAck>,
    pub(super) our_receive_maximum: u16,
    pub(super) our_packet_limit: u32,
    pub(super) our_maximum_qos: Qos,
    pub(super) retain_available: bool,
    pub(super) identifiers_available: bool,
    pub(super) their_receive_maximum: u16,
    pub(super) their_packet_limit: u32,
}

/// An acknowledgement of a client's publication.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldAck {
    pub(super) kind: AckKind,
    pub(super) id: u16,
    pub(super) reason: ReasonCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckKind {
    Puback,
    Pubrec,
    Pubcomp,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            output: Vec::new(),
            open: true,
            client: None,
            version: Version::V5,
            fresh: true,
            will: None,
            in_flight: BTreeSet::new(),
            acknowledged: Vec::new(),
            requests: BTreeSet::new(),
            held: Vec::new(),
            our_receive_maximum: u16::MAX,
            our_packet_limit: u32::MAX,
            our_maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            identifiers_available: true,
            their_receive_maximum: u16::MAX,
            their_packet_limit: u32::MAX,
        }
    }
}

impl Connection {
    /// The client broke the protocol.
    pub(super) fn violation(&self, conn: u64, what: &str) -> ! {
        let client = self.client.as_deref().unwrap_or("?");
        panic!("client {client:?} on connection {conn} breaks the protocol: {what}")
    }

    /// Whether a packet id belongs to something that the client cannot know to be over.
    pub(super) fn uses(&self, id: u16) -> bool {
        self.in_flight.contains(&id) || self.requests.contains(&id)
    }

    pub(super) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    pub(super) fn send(&mut self, packet: &Packet<'_>) {
        packet.encode(self.version, &mut self.output).unwrap_or_else(|fault| panic!("{fault:?}: {packet:?}"));
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        for id in self.acknowledged.drain(..) {
            self.in_flight.remove(&id);
        }
        self.requests.clear();
        std::mem::take(&mut self.output)
    }
}

impl SimBroker {
    /// One packet of an open connection.
    pub(super) fn handle(&mut self, conn: u64, bytes: &[u8]) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let packet = match decode(bytes, connection.version) {
            Ok(packet) => packet,
            // No breach: a client without a name may not keep a session, which only the broker can tell it.
            Err(Fault::ClientId) => return self.refuse(conn, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
            Err(fault) => connection.violation(conn, &format!("{fault:?} in {bytes:02X?}")),
        };
        let Some(client) = connection.client.clone() else {
            return match packet {
                Packet::Connect(connect) => self.on_connect(conn, &connect),
                other => connection.violation(conn, &format!("{other:?} before CONNECT")),
            };
        };
        match packet {
            Packet::Publish(publish) => self.on_publish(conn, &client, &publish),
            Packet::Pubrel(ack) => self.on_pubrel(conn, &client, ack.packet_id.get()),
            Packet::Puback(ack) => self.on_puback(conn, &client, ack.packet_id.get()),
            Packet::Pubrec(ack) => self.on_pubrec(conn, &client, &ack),
            Packet::Pubcomp(ack) => self.on_pubcomp(conn, &client, &ack),
            Packet::Subscribe(subscribe) => self.on_subscribe(conn, &client, &subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(conn, &client, &unsubscribe),
            Packet::Pingreq => self.send(conn, &Packet::Pingresp),
            Packet::Disconnect(disconnect) => {
                self.on_disconnect(conn, &client, disconnect.reason, disconnect.properties.session_expiry_interval());
            }
            other @ (Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Suback(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp
            | Packet::Auth(_)) => connection.violation(conn, &format!("{other:?} from a connected client")),
        }
    }

    pub(super) fn send(&mut self, conn: u64, packet: &Packet<'_>) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.send(packet);
        }
    }

    /// CONNACK with a failure, then closed.
    fn refuse(&mut self, conn: u64, reason: ReasonCode) {
        let text = self.options.refusal_text.clone();
        let properties: Vec<_> = text.iter().map(|text| Property::ReasonString(text)).collect();
        let connack = Connack { session_present: false, reason, properties: Properties::list(&properties) };
        self.send(conn, &Packet::Connack(connack));
        self.end(conn, false);
    }

    fn on_connect(&mut self, conn: u64, connect: &Connect<'_>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.version = connect.level.version();
        match self.options.refuse_v5.filter(|_| connection.is_v5()) {
            Some(RefuseV5::ReasonCode) => return self.refuse(conn, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION),
            Some(RefuseV5::ReturnCode) => {
                connection.version = Version::V311;
                return self.refuse(conn, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
            }
            Some(RefuseV5::Close) => return self.end(conn, false),
            None => {}
        }
        let named = self.options.refuse_clients.get(connect.client_id).copied();
        if let Some(reason) = self.options.refuse_connect.or(named) {
            return self.refuse(conn, reason);
        }
        self.adopt_limits(conn, connect);
        let client = self.name(connect);
        self.take_over(&client);
        let kept = self.resume_or_begin(conn, &client, connect);
        self.greet(conn, &client, kept, connect.client_id.is_empty());
        self.redeliver(&client);
    }

    /// A client without an id gets one.
    fn name(&mut self, connect: &Connect<'_>) -> String {
        if !connect.client_id.is_empty() {
            return connect.client_id.to_owned();
        }
        self.named += 1;
        format!("auto-{}", self.named)
    }

    /// An older connection of the same client id is told so and closed.
    fn take_over(&mut self, client: &str) {
        if let Some(older) = self.sessions.get(client).and_then(|session| session.conn) {
            let reason = (!self.options.silent_take_over).then_some(ReasonCode::SESSION_TAKEN_OVER);
            self.close(older, reason);
        }
    }

    /// Both sides' limits hold for the whole connection.
    fn adopt_limits(&mut self, conn: u64, connect: &Connect<'_>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.their_receive_maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX);
        connection.their_packet_limit = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
        // 3.1.1 has no way to tell these limits, so none of them can be broken.
        if connection.is_v5() {
            connection.our_receive_maximum = self.options.receive_maximum;
            connection.our_packet_limit = self.options.maximum_packet_size.unwrap_or(u32::MAX);
            connection.our_maximum_qos = self.options.maximum_qos;
            connection.retain_available = self.options.retain_available;
            connection.identifiers_available = self.options.subscription_identifiers;
        }
    }

    /// Whether there was a session to go on with.
    fn resume_or_begin(&mut self, conn: u64, client: &str, connect: &Connect<'_>) -> bool {
        if connect.clean_start {
            self.sessions.remove(client);
        }
        let kept = self.sessions.contains_key(client);
        let session = self.sessions.entry(client.to_owned()).or_default();
        session.conn = Some(conn);
        session.keep_alive = connect.keep_alive;
        session.began_clean = connect.clean_start;
        session.delayed_will = None;
        session.expiry = match connect.level.version() {
            Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
            Version::V311 if connect.clean_start => 0,
            Version::V311 => u32::MAX,
        };
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.client = Some(client.to_owned());
            connection.fresh = !kept;
            connection.will = connect.will.as_ref().map(HeldWill::of);
        }
        kept
    }

    /// CONNACK with what we offer.
    fn greet(&mut self, conn: u64, client: &str, kept: bool, named: bool) {
        let options = &self.options;
        let mut list = Vec::new();
        if named {
            list.push(Property::AssignedClientIdentifier(client));
        }
        if options.receive_maximum != u16::MAX {
            list.push(Property::ReceiveMaximum(options.receive_maximum));
        }
        list.extend(options.maximum_packet_size.map(Property::MaximumPacketSize));
        list.extend(options.server_keep_alive.map(Property::ServerKeepAlive));
        if options.maximum_qos != Qos::ExactlyOnce {
            list.push(Property::MaximumQos(options.maximum_qos));
        }
        if !options.retain_available {
            list.push(Property::RetainAvailable(false));
        }
        if !options.subscription_identifiers {
            list.push(Property::SubscriptionIdentifierAvailable(false));
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let properties = if connection.is_v5() { Properties::list(&list) } else { Properties::EMPTY };
        let connack = Connack { session_present: kept, reason: ReasonCode::SUCCESS, properties };
        connection.send(&Packet::Connack(connack));
    }

    fn on_disconnect(&mut self, conn: u64, client: &str, reason: ReasonCode, expiry: Option<u32>) {
        if let (Some(expiry), Some(session)) = (expiry, self.sessions.get_mut(client)) {
            if session.expiry == 0
                && expiry > 0
                && let Some(connection) = self.connections.get(&conn)
            {
                connection.violation(conn, "DISCONNECT gives a session expiry that CONNECT did not");
            }
            session.expiry = expiry;
        }
        self.end(conn, reason != ReasonCode::SUCCESS);
    }
}
