//! What comes from the broker.

use super::{Link, LinkCount, LinkEvent};
use crate::publication::Publication;
use crate::time::Now;
use crate::topic::TopicName;
use crate::uplink::Refusal;
use codec_mqtt::{
    Ack, Delivery, Fault, Packet, PacketId, Properties, Publish, Qos, ReasonCode, Suback, Unsuback, Version,
    decode_from_server, split,
};
use wire::WireFault;

/// What became of octets that were handed in.
#[derive(Debug)]
#[must_use]
pub struct Received<'b> {
    /// How many were used up; the rest is to be handed in again, with more behind it or after the message.
    pub consumed: usize,
    /// A message to be fanned out now.
    pub message: Option<Inbound<'b>>,
}

/// A message from the broker, as it lies in the receive buffer.
#[derive(Debug)]
pub struct Inbound<'b> {
    /// With the topic as the broker knows it.
    pub publication: Publication<'b>,
    /// To be handed to [`Link::acknowledge`] after the fan-out.
    pub due: AckDue,
    /// The broker has sent it before: DUP.
    pub again: bool,
    properties: Properties<'b>,
}

impl<'b> Inbound<'b> {
    /// The subscriptions that it matches, as far as the broker names them.
    pub fn subscription_ids(&self) -> impl Iterator<Item = u32> + Clone + use<'b> {
        self.properties.subscription_identifiers()
    }
}

/// The acknowledgement that the broker is owed for a message.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct AckDue(Option<(u32, PacketId, Qos)>);

/// How far a QoS 2 message has come that the broker has not released yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Somebody still needs the broker's copy.
    Due {
        /// The connection over which it came first.
        since: u32,
        /// The connection over which it came last.
        asked: u32,
    },
    /// The broker was told that it is delivered, or is to be told as soon as it asks.
    Safe,
}

impl AckDue {
    /// Nothing is owed.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// False for QoS 0, which nobody acknowledges.
    #[must_use]
    pub const fn is_owed(&self) -> bool {
        self.0.is_some()
    }
}

/// What a web server answers with (RFC 9112 §4). As MQTT it would be a PUBACK with wrong flags.
const HTTP: &[u8] = b"HTTP/1.";

impl Link {
    /// Works through `bytes` until a message is to be delivered, or no whole packet is left. A fault of the broker's
    /// ends the connection: nothing is read any more, and the driver will find the wish to close it.
    pub fn receive<'b>(&mut self, now: Now, bytes: &'b [u8]) -> Received<'b> {
        let now = self.tick(now);
        let mut rest = bytes;
        let mut message = None;
        if !bytes.is_empty() {
            self.phase.heard(now);
        }
        while message.is_none() {
            if !self.phase.reads() {
                rest = &[];
                break;
            }
            if rest.starts_with(HTTP) && !self.phase.is_online() {
                self.close("it answers HTTP: if this is its port for WebSocket, the url begins with ws://");
                continue;
            }
            match split(rest, self.settings.max_packet_size) {
                Ok(Some((packet, after))) => {
                    rest = after;
                    message = self.on_packet(packet);
                }
                Ok(None) => break,
                Err(fault) => self.fault(fault.reason_code(), &format!("the broker sent what is no packet: {fault}")),
            }
        }
        let consumed = bytes.len().saturating_sub(rest.len());
        self.counts.add(LinkCount::BytesIn, consumed as u64);
        self.pump();
        Received { consumed, message }
    }

    /// The message that `due` came with has been handed to everybody: the broker may forget it.
    #[expect(clippy::needless_pass_by_value, reason = "an acknowledgement is due once")]
    pub fn acknowledge(&mut self, due: AckDue) {
        let AckDue(Some((epoch, id, qos))) = due else { return };
        let asked = match qos {
            Qos::AtMostOnce | Qos::AtLeastOnce => epoch,
            Qos::ExactlyOnce => self.is_safe(id, epoch),
        };
        if asked != self.epoch || !self.phase.is_online() {
            // It will come again over the next connection.
            return;
        }
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => drop(self.send(&Packet::Puback(Ack::new(id)))),
            Qos::ExactlyOnce => drop(self.send(&Packet::Pubrec(Ack::new(id)))),
        }
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        self.leave_when_done();
    }

    fn on_packet<'b>(&mut self, packet: &'b [u8]) -> Option<Inbound<'b>> {
        let version = self.broker.version;
        if self.phase.is_online() {
            match decode_from_server(packet, version) {
                Ok(Packet::Publish(publish)) => return self.on_publish(&publish),
                Ok(packet) => self.on_control(&packet),
                Err(fault) => self.on_faulty(packet, fault),
            }
            return None;
        }
        // 5.0 and 3.1.1 lay CONNACK out differently, and a broker without MQTT 5 answers as it knows.
        if version == Version::V5 && matches!(packet, [0x20, 2, _, 1]) {
            self.refused(true, "the broker does not speak MQTT 5");
            return None;
        }
        match decode_from_server(packet, version) {
            Ok(Packet::Connack(connack)) => self.on_connack(&connack),
            Ok(Packet::Disconnect(disconnect)) => self.on_disconnect(&disconnect),
            Ok(_) => self.fault(ReasonCode::PROTOCOL_ERROR, "the broker sent something before CONNACK"),
            Err(fault) => self.fault(fault.reason_code(), &format!("the broker answered CONNECT wrongly: {fault}")),
        }
        None
    }

    /// Some brokers pass on what their clients should not have sent (mosquitto: a Response Topic with wildcards). Such a
    /// message is dropped: ending the connection would bring it again, for ever.
    fn on_faulty(&mut self, packet: &[u8], fault: Fault) {
        let passed_on = matches!(fault, Fault::Protocol(_) | Fault::TopicName(_) | Fault::Wire(WireFault::NotUtf8(_)));
        let delivery = Publish::delivery_of_refused(packet, self.broker.version).filter(|_| passed_on);
        let Some(delivery) = delivery else {
            return self.fault(fault.reason_code(), &format!("the broker sent a faulty packet: {fault}"));
        };
        self.counts.up(LinkCount::Unusable);
        tracing::debug!(client_id = %self.persona.client_id, reason = %fault, "message of the broker dropped");
        // An error ends QoS 2 with PUBREC (5.0 §4.3.3).
        let ack = |id| Ack::with_reason(id, ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
        match delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce { packet_id, .. } => drop(self.send(&Packet::Puback(ack(packet_id)))),
            Delivery::ExactlyOnce { packet_id, .. } => drop(self.send(&Packet::Pubrec(ack(packet_id)))),
        }
    }

    fn on_control(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Puback(ack) => self.on_puback(ack),
            Packet::Pubrec(ack) => self.on_pubrec(ack),
            Packet::Pubcomp(ack) => self.on_pubcomp(ack),
            Packet::Pubrel(ack) => self.on_pubrel(ack.packet_id),
            Packet::Suback(suback) => self.on_suback(suback),
            Packet::Unsuback(unsuback) => self.on_unsuback(unsuback),
            Packet::Pingresp => self.on_pingresp(),
            Packet::Disconnect(disconnect) => self.on_disconnect(disconnect),
            Packet::Connack(connack) => self.on_connack(connack),
            Packet::Auth(_) => self.fault(ReasonCode::PROTOCOL_ERROR, "the broker wants an authentication not offered"),
            Packet::Connect(_)
            | Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq => self.fault(ReasonCode::PROTOCOL_ERROR, "the broker sent what only a client sends"),
        }
    }

    fn on_publish<'b>(&mut self, publish: &Publish<'b>) -> Option<Inbound<'b>> {
        if publish.properties.topic_alias().is_some() {
            // We announced none (5.0 §3.3.2.3.4).
            self.fault(ReasonCode::TOPIC_ALIAS_INVALID, "the broker used a topic alias");
            return None;
        }
        if let Delivery::ExactlyOnce { packet_id, .. } = publish.delivery
            && self.is_repetition(packet_id)
        {
            return None;
        }
        if self.draining && (self.is_durable() || self.is_own()) && publish.delivery.packet_id().is_some() {
            // The broker keeps it for the next process. Else there might be something to wait for at any time.
            return None;
        }
        if let Delivery::ExactlyOnce { packet_id, .. } = publish.delivery
            && !self.has_place_for(packet_id)
        {
            return None;
        }
        self.counts.up(LinkCount::Received);
        self.unacknowledged += usize::from(publish.delivery.packet_id().is_some());
        let due = publish.delivery.packet_id().map(|id| (self.epoch, id, publish.delivery.qos()));
        let publication = Publication {
            topic: TopicName::from_broker(publish.topic),
            payload: publish.payload,
            qos: publish.delivery.qos(),
            retain: publish.retain,
            expiry_s: publish.properties.message_expiry_interval(),
        };
        let again = publish.delivery.dup();
        Some(Inbound { publication, due: AckDue(due), again, properties: publish.properties })
    }

    /// True if a QoS 2 message with this packet id has been delivered since the broker last released it.
    fn is_repetition(&mut self, id: PacketId) -> bool {
        let Some(delivered) = self.unreleased.get_mut(&id) else { return false };
        self.counts.up(LinkCount::Duplicates);
        match delivered {
            Delivered::Safe => drop(self.send(&Packet::Pubrec(Ack::new(id)))),
            // Whoever has the first copy acknowledges both.
            Delivered::Due { asked, .. } if *asked == self.epoch => {}
            Delivered::Due { asked, .. } => {
                *asked = self.epoch;
                self.unacknowledged += 1;
            }
        }
        true
    }

    /// Notes a new QoS 2 message; false if the broker must not send another.
    fn has_place_for(&mut self, id: PacketId) -> bool {
        let most = usize::from(self.receive_maximum());
        if self.broker.version == Version::V5 && self.unreleased.len() >= most {
            // What was to come again came first (5.0 §4.6): the rest the broker has forgotten, since it had expired, say.
            let now = self.epoch;
            self.unreleased.retain(|_, had| !matches!(had, Delivered::Due { asked, .. } if *asked != now));
        }
        if self.broker.version == Version::V5 && self.unreleased.len() >= most {
            self.fault(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED, "the broker exceeded our receive maximum");
            return false;
        }
        self.unreleased.insert(id, Delivered::Due { since: self.epoch, asked: self.epoch });
        true
    }

    /// Nobody needs the broker's copy of the QoS 2 message any more that came with `id` over connection `since`. Over which
    /// connection the broker has asked for that last.
    fn is_safe(&mut self, id: PacketId, since: u32) -> u32 {
        match self.unreleased.get_mut(&id) {
            Some(delivered) => match *delivered {
                Delivered::Due { since: first, asked } if first == since => {
                    *delivered = Delivered::Safe;
                    asked
                }
                // Another message has this id by now.
                Delivered::Due { .. } | Delivered::Safe => since,
            },
            None => since,
        }
    }

    fn on_pubrel(&mut self, id: PacketId) {
        let reason = if self.unreleased.remove(&id).is_some() {
            ReasonCode::SUCCESS
        } else {
            self.counts.up(LinkCount::UnexpectedRelease);
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        };
        self.send(&Packet::Pubcomp(Ack::with_reason(id, reason)));
    }

    fn on_suback(&mut self, suback: &Suback<'_>) {
        let (Some(id), Some(code)) = (self.requests.subscribed(suback.packet_id), suback.codes.iter().next()) else {
            return self.counts.up(LinkCount::UnexpectedAnswer);
        };
        let granted = Qos::from_bits(code.0).ok_or(Refusal::Broker(code.0));
        self.events.push_back(LinkEvent::Subscribed { id, granted });
        self.send_requests();
    }

    fn on_unsuback(&mut self, unsuback: &Unsuback<'_>) {
        let Some(filter) = self.requests.unsubscribed(unsuback.packet_id) else {
            return self.counts.up(LinkCount::UnexpectedAnswer);
        };
        if let Some(code) = unsuback.codes.iter().next().filter(|code| code.is_error()) {
            self.counts.up(LinkCount::UnsubscribeRefused);
            tracing::debug!(client_id = %self.persona.client_id, reason = code.text(), "UNSUBSCRIBE refused");
        }
        if self.is_durable() {
            self.events.push_back(LinkEvent::Unsubscribed { filter });
        }
        self.send_requests();
    }
}
