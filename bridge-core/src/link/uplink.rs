//! What goes to the broker: publications directly, through the queue or again, and requests.

use super::requests::Ask;
use super::window::Step;
use super::{Broker, HIGH_WATER, LOW_WATER, Link, LinkCount, LinkEvent, Origin};
use crate::downlink::Outcome;
use crate::meter::Counts;
use crate::publication::{Publication, Stored};
use crate::queue::NoRoom;
use crate::time::{Deadline, Now};
use crate::uplink::{Refusal, Taken};
use codec_mqtt::{
    Ack, Delivery, EncodeFault, Names, Packet, PacketId, Properties, Property, PublishOut, PublishProperties, Qos,
    ReasonCode, Subscribe, Subscription, Unsubscribe,
};

impl Link {
    /// Sends a publication, with `prefix` (a mountpoint) in front of its topic, or keeps it until it can be sent.
    ///
    /// `Owed` is followed by one [`LinkEvent::Settled`]; QoS 0, and whatever has no `origin`, is `Done`. `Full` means that
    /// nothing was taken, and [`LinkEvent::Room`] follows.
    pub fn publish(&mut self, now: Now, origin: Option<Origin>, prefix: &str, what: &Publication<'_>) -> Taken {
        let now = self.tick(now);
        if prefix.len().saturating_add(what.topic.as_str().len()) > usize::from(u16::MAX) {
            return Taken::Denied(Refusal::BadTopic);
        }
        if self.phase.is_over() {
            return Taken::Denied(Refusal::BrokerAway);
        }
        self.stir();
        let may_pass = self.phase.is_online() && self.batch.len() < HIGH_WATER && !self.queue.has_line(what.qos);
        let sent = match what.qos {
            Qos::AtMostOnce if may_pass => self.write(prefix, what, Delivery::AtMostOnce),
            Qos::AtLeastOnce | Qos::ExactlyOnce if may_pass && self.window.has_room() => {
                match Stored::copy_under(prefix, what, now) {
                    Some(message) => self.launch(message, origin),
                    None => Err(Refusal::BadTopic),
                }
            }
            Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce => return self.put_off(origin, prefix, what),
        };
        match sent {
            Ok(()) => taken(origin, what.qos),
            Err(refusal) => Taken::Denied(refusal),
        }
    }

    /// Puts a publication into the queue.
    fn put_off(&mut self, origin: Option<Origin>, prefix: &str, what: &Publication<'_>) -> Taken {
        let Some(message) = Stored::copy_under(prefix, what, self.now) else { return Taken::Denied(Refusal::BadTopic) };
        let answer = match self.queue.push(message, origin) {
            Ok(thrown_away) => {
                self.counts.add(LinkCount::DroppedOldest, thrown_away as u64);
                taken(origin, what.qos)
            }
            Err(NoRoom::TooLarge(..)) => Taken::Denied(Refusal::TooLarge),
            Err(NoRoom::Full(message, _)) => {
                let fleeting = message.qos == Qos::AtMostOnce;
                self.counts.up(if fleeting { LinkCount::DroppedNewest } else { LinkCount::TurnedAway });
                self.turned_away = true;
                Taken::Full
            }
        };
        self.gauge();
        answer
    }

    /// Moves what waits, as far as batch and window allow. Called whenever one of them may have got room.
    pub(super) fn pump(&mut self) {
        if self.phase.is_online() && !self.pump_due && self.batch.len() <= LOW_WATER {
            self.replay();
            while self.batch.len() < HIGH_WATER
                && let Some((message, origin)) = self.queue.pop(self.window.has_room())
            {
                self.send_queued(message, origin);
            }
            if self.turned_away && self.queue.is_roomy() {
                self.turned_away = false;
                self.events.push_back(LinkEvent::Room);
            }
        }
        self.gauge();
        self.leave_when_done();
        self.let_go();
    }

    fn send_queued(&mut self, message: Stored, origin: Option<Origin>) {
        let lasting = origin.filter(|_| message.qos != Qos::AtMostOnce);
        if let Err(refusal) = self.launch(message, lasting) {
            self.settle(lasting, Outcome::Refused(refusal));
        }
    }

    /// Sends a publication of ours for the first time, with the QoS that the broker takes.
    fn launch(&mut self, message: Stored, origin: Option<Origin>) -> Result<(), Refusal> {
        let Some(view) = message.view(self.now) else {
            self.counts.up(LinkCount::Expired);
            self.settle(origin, Outcome::Expired);
            return Ok(());
        };
        let qos = view.qos.min(self.broker.max_qos);
        if qos < view.qos {
            self.counts.up(LinkCount::QosLowered);
        }
        match self.window.next_id().and_then(|id| delivery(qos, id, false)) {
            Some(delivery) => {
                self.write("", &view, delivery)?;
                self.window.enter(message, origin, qos);
            }
            None => {
                self.write("", &view, Delivery::AtMostOnce)?;
                if message.qos != Qos::AtMostOnce {
                    // As much as this broker can say about it.
                    self.settle(origin, Outcome::Acknowledged);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, prefix: &str, what: &Publication<'_>, delivery: Delivery) -> Result<(), Refusal> {
        write(&self.broker, &self.counts, self.batch.end(), prefix, what, delivery)?;
        self.counts.up(LinkCount::written(delivery.qos()));
        self.phase.wrote(self.now);
        Ok(())
    }

    /// Sends again, in its first order, what an earlier connection left unfinished.
    fn replay(&mut self) {
        let now = self.now;
        while self.batch.len() < HIGH_WATER
            && let Some((id, flight)) = self.window.replay()
        {
            let Step::Published { dup } = flight.step else {
                self.counts.up(LinkCount::Replayed);
                self.send(&Packet::Pubrel(Ack::new(id)));
                continue;
            };
            // What the broker may have must be said again, or the packet id would mean two things there.
            let last_moment = || Now { mono_ms: flight.message.expires.map_or(0, before), ..now };
            let view = flight.message.view(now).or_else(|| flight.message.view(last_moment()).filter(|_| dup));
            let failed = match view {
                None => Some(Outcome::Expired),
                Some(view) => {
                    flight.qos = view.qos.min(self.broker.max_qos);
                    let delivery = delivery(flight.qos, id, dup);
                    let out = self.batch.end();
                    match write(&self.broker, &self.counts, out, "", &view, delivery.unwrap_or_default()) {
                        Ok(()) if delivery.is_some() => None,
                        Ok(()) => Some(Outcome::Acknowledged),
                        Err(refusal) => Some(Outcome::Refused(refusal)),
                    }
                }
            };
            self.phase.wrote(now);
            self.counts.up(LinkCount::Replayed);
            if let Some(outcome) = failed
                && let Some(flight) = self.window.finish(id)
            {
                self.settle(flight.origin, outcome);
            }
        }
    }

    /// PUBACK ends QoS 1.
    pub(super) fn on_puback(&mut self, ack: &Ack<'_>) {
        match self.window.get(ack.packet_id) {
            Some(flight) if flight.qos == Qos::AtLeastOnce => self.conclude(ack),
            _ => self.counts.up(LinkCount::UnexpectedAck),
        }
    }

    /// PUBREC: the broker has it, or refuses it, which ends the exchange (5.0 §4.3.3).
    pub(super) fn on_pubrec(&mut self, ack: &Ack<'_>) {
        if self.window.is_leftover(ack.packet_id) {
            // Of an earlier life: PUBREL has been sent.
            return;
        }
        let mut reason = ReasonCode::SUCCESS;
        match self.window.get(ack.packet_id).filter(|flight| flight.qos == Qos::ExactlyOnce) {
            Some(flight) if ack.reason.is_error() && flight.step != Step::Released => return self.conclude(ack),
            Some(flight) => flight.step = Step::Released,
            None => {
                self.counts.up(LinkCount::UnexpectedAck);
                if ack.reason.is_error() {
                    return;
                }
                reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
            }
        }
        self.send(&Packet::Pubrel(Ack::with_reason(ack.packet_id, reason)));
    }

    /// PUBCOMP ends QoS 2. Whatever it says, PUBREC has said that the broker has it.
    pub(super) fn on_pubcomp(&mut self, ack: &Ack<'_>) {
        if self.window.release(ack.packet_id) {
            self.release_by = self.release_by.filter(|_| self.window.has_leftovers());
            return;
        }
        match self.window.get(ack.packet_id) {
            Some(flight) if flight.step == Step::Released => self.conclude(&Ack::new(ack.packet_id)),
            _ => self.counts.up(LinkCount::UnexpectedAck),
        }
    }

    fn conclude(&mut self, ack: &Ack<'_>) {
        let Some(flight) = self.window.finish(ack.packet_id) else { return };
        let outcome = if ack.reason.is_error() {
            self.counts.up(LinkCount::RefusedByBroker);
            let (connection, topic) = (&*self.persona.client_id, flight.message.topic().as_str());
            tracing::debug!(connection, topic, reason = ack.reason.text(), "publication refused by the broker");
            Outcome::Refused(Refusal::Broker(ack.reason.0))
        } else {
            self.counts.up(LinkCount::Acknowledged);
            Outcome::Acknowledged
        };
        self.settle(flight.origin, outcome);
    }

    /// Sends the requests that wait, as many as may be outstanding.
    pub(super) fn send_requests(&mut self) {
        while self.phase.is_online()
            && let Some((packet_id, request)) = self.requests.next()
        {
            let filters = [request.filter.as_ref()];
            let filters = Names::list(&filters);
            let sent = match request.ask {
                Ask::Unsubscribe => self.send_within(&Packet::Unsubscribe(Unsubscribe {
                    packet_id,
                    properties: Properties::EMPTY,
                    filters,
                })),
                Ask::Subscribe { id, qos, retain_handling } => {
                    let subscription = [Subscription { retain_handling, ..Subscription::new(&request.filter, qos) }];
                    let identifier = [Property::SubscriptionIdentifier(id)];
                    let properties =
                        if self.broker.identifiers { Properties::list(&identifier) } else { Properties::EMPTY };
                    let filters = codec_mqtt::Filters::list(&subscription);
                    self.send_within(&Packet::Subscribe(Subscribe { packet_id, properties, filters }))
                }
            };
            match request.ask {
                _ if sent => self.requests.sent(packet_id, request),
                Ask::Subscribe { id, .. } => {
                    self.events.push_back(LinkEvent::Subscribed { id, granted: Err(Refusal::TooLarge) });
                }
                Ask::Unsubscribe => self.counts.up(LinkCount::RequestsDropped),
            }
        }
    }

    /// [`Link::send`], unless the broker takes no packet of that size.
    fn send_within(&mut self, packet: &Packet<'_>) -> bool {
        let fits = packet.encoded_len(self.broker.version).is_ok_and(|octets| octets <= self.broker.max_packet_size);
        fits && self.send(packet)
    }

    fn gauge(&self) {
        if self.is_own() {
            // Many links count into one place: their gauges are added up for whoever asks.
            return;
        }
        self.counts.set(LinkCount::InFlight, self.window.len() as u64);
        self.counts.set(LinkCount::QueueMessages, self.queue.len() as u64);
        self.counts.set(LinkCount::QueueBytes, self.queue.bytes() as u64);
    }
}

/// Appends a publication, without what the broker cannot take.
fn write(
    broker: &Broker,
    counts: &Counts<LinkCount>,
    out: &mut Vec<u8>,
    prefix: &str,
    what: &Publication<'_>,
    delivery: Delivery,
) -> Result<(), Refusal> {
    let properties = PublishProperties { message_expiry_interval: what.expiry_s, ..PublishProperties::default() };
    let name = what.topic.as_str();
    let retain = what.retain && broker.retains;
    let publish = PublishOut { prefix, name, delivery, retain, properties, payload: what.payload };
    // Measured exactly only near the limit.
    let about = prefix.len().saturating_add(name.len()).saturating_add(what.payload.len()).saturating_add(AROUND);
    if about > broker.max_packet_size && publish.encoded_len(broker.version).is_ok_and(|n| n > broker.max_packet_size) {
        counts.up(LinkCount::RefusedTooLarge);
        return Err(Refusal::TooLarge);
    }
    match publish.encode(broker.version, out) {
        Ok(()) => {}
        Err(EncodeFault::TooLarge) => return Err(Refusal::TooLarge),
        Err(_unwritable) => return Err(Refusal::BadTopic),
    }
    if retain != what.retain {
        counts.up(LinkCount::RetainDropped);
    }
    Ok(())
}

/// `None` for QoS 0.
const fn delivery(qos: Qos, packet_id: PacketId, dup: bool) -> Option<Delivery> {
    match qos {
        Qos::AtMostOnce => None,
        Qos::AtLeastOnce => Some(Delivery::AtLeastOnce { packet_id, dup }),
        Qos::ExactlyOnce => Some(Delivery::ExactlyOnce { packet_id, dup }),
    }
}

const fn taken(origin: Option<Origin>, qos: Qos) -> Taken {
    match (origin, qos) {
        (Some(_), Qos::AtLeastOnce | Qos::ExactlyOnce) => Taken::Owed,
        _ => Taken::Done,
    }
}

/// The millisecond before `deadline`.
const fn before(deadline: Deadline) -> u64 {
    deadline.0.saturating_sub(1)
}

/// More octets than stand around topic and payload in a PUBLISH of ours.
const AROUND: usize = 32;
