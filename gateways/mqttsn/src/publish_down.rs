//! PUBLISH to devices. The REGISTER that may have to go before it is in `register_down`.
//!
//! Each session has at most one publication of QoS 1 or 2 and one REGISTER unanswered; the rest waits in one queue.
//! While the client is active, nothing in the queue could go at once: each message there waits for its topic id, or for
//! the exchange in flight to end. What a client gets that sleeps is in `sleep`.

use crate::address::At;
use crate::base::{Base, Due};
use crate::copies::release;
use crate::counts::Count;
use crate::down::{InFlight, Stage};
use crate::hold::{Held, Way};
use crate::session::{Next, Session};
use crate::will::qos_down;
use bridge_core::Qos;
use bridge_core::downlink::Delivery;
use bridge_core::machine::Cx;
use bridge_core::publication::Publication;
use bridge_core::slab::Key;
use bridge_core::topic::TopicName;
use bridge_core::uplink::Ending;
use codec_mqttsn as sn;
use codec_mqttsn::{Message, MsgId, ReturnCode, Topic};

impl Session {
    /// A message from the broker: sent, or held.
    pub(crate) fn on_message(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, delivery: &Delivery<'_>) {
        if self.has_already(base, cx, delivery) {
            return;
        }
        let view = delivery.message.view();
        base.holds(delivery.receipt);
        let Some(way) = self.way(base, view.topic) else {
            base.counts.up(Count::NoTopicId);
            return self.release(base, cx, delivery.receipt);
        };
        let goes = self.is_active() && self.is_told(way);
        if goes && delivery.qos == Qos::AtMostOnce {
            let message = publish(view, way, Qos::AtMostOnce, MsgId(0), false);
            say_publish(base, cx, self.address.at(), &message);
            return self.release(base, cx, delivery.receipt);
        }
        let (message, late) = (delivery.message.keep(cx.now), self.is_awake() && !self.waits_for_link());
        let held = Held { message, way, qos: delivery.qos, untold: 0, late, receipt: delivery.receipt };
        if goes && self.down.in_flight.is_none() {
            self.send_held(base, cx, key, held);
            return;
        }
        let dropped = self.down.queue.push(held, base.rules.hold);
        base.dropped(&dropped);
        self.release(base, cx, dropped.receipts);
        if self.is_active() {
            self.register_next(base, cx, key);
        } else if self.waits_for_link() {
            self.pump(base, cx, key);
        }
    }

    /// How a topic is named to this client. `None`: it would need an id, and there is none left.
    fn way(&mut self, base: &Base, topic: TopicName<'_>) -> Option<Way> {
        // First, even if it is yet to be told: what waits for the id must not be overtaken under another name.
        if let Some(id) = self.registry.find(topic) {
            return Some(Way::Normal(id));
        }
        if let Some(id) = base.rules.predefined.known(self.predefined.as_deref()).find(topic.as_str()) {
            return Some(Way::Predefined(id));
        }
        if let &[a, b] = topic.as_str().as_bytes() {
            return Some(Way::Short([a, b]));
        }
        self.registry.give(topic, base.rules.max_topics).map(Way::Normal)
    }

    /// True when the client knows what the way means.
    pub(crate) fn is_told(&self, way: Way) -> bool {
        match way {
            Way::Normal(id) => self.registry.is_known(id),
            Way::Predefined(_) | Way::Short(_) => true,
        }
    }

    /// True when something is held that could go: never while the client is active.
    pub(crate) fn has_sendable(&self) -> bool {
        let free = self.down.in_flight.is_none();
        let waits = self.down.registering.is_none() && self.first_untold().is_some();
        waits || self.down.queue.iter().any(|held| self.is_told(held.way) && (free || held.qos == Qos::AtMostOnce))
    }

    /// Sends all that may go, in order, and the REGISTER that the next of the rest waits for.
    pub(crate) fn pump(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) {
        if !self.listens() {
            return;
        }
        if self.down.waiting_flight().is_some_and(|way| self.is_told(way)) {
            self.repeat_flight(base, cx, key);
        }
        if self.is_awake() {
            return self.pump_awake(base, cx, key);
        }
        if !self.down.queue.is_empty() {
            self.send_all_of_qos_0(base, cx);
            self.send_next(base, cx, key);
        }
        self.register_next(base, cx, key);
    }

    fn send_all_of_qos_0(&mut self, base: &Base, cx: &mut Cx<'_>) {
        let (registry, at, client) = (&self.registry, self.address.at(), self.client);
        self.down.queue.retain(|held| {
            let told = match held.way {
                Way::Normal(id) => registry.is_known(id),
                Way::Predefined(_) | Way::Short(_) => true,
            };
            let goes = held.qos == Qos::AtMostOnce && told;
            if goes {
                say_held(base, cx, at, held);
                release(base, cx, client, held.receipt);
            }
            !goes
        });
    }

    /// Puts the next publication of QoS 1 or 2 in flight, if none is.
    fn send_next(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) {
        while self.down.in_flight.is_none() {
            let registry = &self.registry;
            let next = self.down.queue.take_first(|held| {
                held.qos != Qos::AtMostOnce
                    && match held.way {
                        Way::Normal(id) => registry.is_known(id),
                        Way::Predefined(_) | Way::Short(_) => true,
                    }
            });
            let Some(held) = next else { return };
            self.send_held(base, cx, key, held);
        }
    }

    /// Sends a message of QoS 0 that was held, unless it has expired.
    pub(crate) fn say_held(&self, base: &Base, cx: &mut Cx<'_>, held: &Held) {
        say_held(base, cx, self.address.at(), held);
        self.release(base, cx, held.receipt);
    }

    /// Puts one publication in flight, unless it has expired or is too large.
    pub(crate) fn send_held(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, held: Held) {
        let msg_id = self.down.next_msg_id();
        let Some(view) = held.message.view(cx.now) else {
            base.counts.up(Count::Expired);
            return self.release(base, cx, held.receipt);
        };
        if !base.say(cx, self.address.at(), &publish(&view, held.way, held.qos, msg_id, false)) {
            base.counts.up(Count::TooLarge);
            return self.release(base, cx, held.receipt);
        }
        let timer = Some(base.retry(cx.now, key, Due::Publish));
        let flight = InFlight { held, msg_id, stage: Stage::Published, tries: 0, timer };
        self.down.in_flight = Some(Box::new(flight));
    }

    /// PUBACK: the end of a QoS 1 exchange, or a refusal at any QoS.
    pub(crate) fn on_puback(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, ack: sn::Ack) {
        let mine = |f: &mut InFlight| f.msg_id == ack.msg_id && f.stage == Stage::Published;
        let done = |f: &InFlight| ack.code != ReturnCode::Accepted || f.held.qos == Qos::AtLeastOnce;
        let Some(mut flight) = self.down.in_flight.take_if(|f| mine(f) && done(f)) else {
            // A refused publication of QoS 0 has left nothing behind to send again; its topic can be told anew.
            if ack.code == ReturnCode::InvalidTopicId {
                self.registry.set_known(ack.topic_id, false);
                self.pump(base, cx, key);
            } else {
                base.counts.up(Count::OutOfPlace);
            }
            return;
        };
        if ack.code == ReturnCode::Congestion {
            // The timer sends it again. An active client may say so as often as it likes: it does answer.
            flight.tries = if self.is_active() { 0 } else { flight.tries };
            self.down.in_flight = Some(flight);
            return;
        }
        if let Some(timer) = flight.timer {
            base.wheel.cancel(timer);
        }
        match ack.code {
            ReturnCode::Accepted => self.release(base, cx, flight.held.receipt),
            ReturnCode::InvalidTopicId if flight.held.untold < base.rules.max_retries.max(1) => {
                self.tell_again(base, cx, flight.held);
            }
            ReturnCode::InvalidTopicId | ReturnCode::NotSupported | ReturnCode::Congestion | ReturnCode::Other(_) => {
                base.counts.up(Count::PublishRefused);
                self.release(base, cx, flight.held.receipt);
            }
        }
        self.pump(base, cx, key);
    }

    /// The client does not know the id: the message waits, before all others, until it was told.
    fn tell_again(&mut self, base: &Base, cx: &mut Cx<'_>, held: Held) {
        let id = match held.way {
            Way::Normal(id) => Some(id),
            // What it should have known beforehand it does not: it gets an id of its own for the name.
            Way::Predefined(_) | Way::Short(_) => {
                let view = held.message.view(cx.now);
                view.and_then(|view| self.registry.give(view.topic, base.rules.max_topics))
            }
        };
        let Some(id) = id else {
            base.counts.up(Count::NoTopicId);
            return self.release(base, cx, held.receipt);
        };
        self.registry.set_known(id, false);
        self.down.queue.rename(held.way, Way::Normal(id));
        let untold = held.untold.saturating_add(1);
        self.down.queue.push_front(Held { way: Way::Normal(id), untold, ..held });
    }

    /// PUBREC: the first half of a QoS 2 exchange is over.
    pub(crate) fn on_pubrec(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, msg_id: MsgId) {
        let listens = self.listens();
        if let Some(flight) = self.down.in_flight.as_mut().filter(|f| f.msg_id == msg_id) {
            if flight.held.qos != Qos::ExactlyOnce {
                base.counts.up(Count::OutOfPlace);
                return;
            }
            if let Some(timer) = flight.timer.take() {
                base.wheel.cancel(timer);
            }
            let published = flight.stage == Stage::Published;
            (flight.stage, flight.tries) = (Stage::Released, 0);
            flight.timer = listens.then(|| base.retry(cx.now, key, Due::Publish));
            // It has the message: what is left is between the two of us.
            let receipt = flight.held.receipt.filter(|_| published);
            self.release(base, cx, receipt);
        } else {
            base.counts.up(Count::OutOfPlace);
        }
        // Answered in any case: a device that repeats PUBREC of an old exchange must be able to end it.
        base.say(cx, self.address.at(), &Message::Pubrel { msg_id });
    }

    /// PUBCOMP: the end of a QoS 2 exchange.
    pub(crate) fn on_pubcomp(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, msg_id: MsgId) {
        let ended = self.down.in_flight.take_if(|f| f.msg_id == msg_id && f.stage == Stage::Released);
        let Some(flight) = ended else {
            base.counts.up(Count::OutOfPlace);
            return;
        };
        if let Some(timer) = flight.timer {
            base.wheel.cancel(timer);
        }
        self.pump(base, cx, key);
    }

    /// What is in flight was not acknowledged in time.
    pub(crate) fn publish_again(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) -> Next {
        let Some(flight) = self.down.in_flight.as_mut() else { return Next::Stay };
        // No timer: the client was lost to another alarm of this very moment. An armed one: another exchange's.
        if flight.timer.is_none_or(|timer| base.wheel.is_armed(timer)) {
            return Next::Stay;
        }
        if flight.tries >= base.rules.max_retries {
            return self.unanswered(base, cx);
        }
        flight.tries = flight.tries.saturating_add(1);
        self.repeat_flight(base, cx, key);
        if self.down.in_flight.is_none() {
            self.pump(base, cx, key);
        }
        Next::Stay
    }

    /// The client has left something unanswered for too long: it is lost, unless it has just gone back to sleep.
    pub(crate) fn unanswered(&mut self, base: &mut Base, cx: &mut Cx<'_>) -> Next {
        if !self.is_awake() {
            return Next::Lose(Ending::Unanswered);
        }
        base.counts.up(Count::Unanswered);
        self.doze(base, cx);
        Next::Stay
    }

    /// Goes on after CONNACK, or awake: what was in flight first, then the queue.
    pub(crate) fn resume(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) {
        if let Some(flight) = self.down.in_flight.as_mut() {
            flight.tries = 0;
            if flight.stage == Stage::Released {
                self.repeat_flight(base, cx, key);
            }
        }
        self.pump(base, cx, key);
    }

    /// Sends what is in flight once more. An expired PUBLISH is given up instead, and nothing is in flight then.
    fn repeat_flight(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) {
        let Some(flight) = self.down.in_flight.as_mut() else { return };
        if let Some(timer) = flight.timer.take() {
            base.wheel.cancel(timer);
        }
        let msg_id = flight.msg_id;
        match flight.stage {
            Stage::Released => {
                base.say(cx, self.address.at(), &Message::Pubrel { msg_id });
            }
            Stage::Published => {
                let Some(view) = flight.held.message.view(cx.now) else {
                    base.counts.up(Count::Expired);
                    let given_up = self.down.in_flight.take();
                    return self.release(base, cx, given_up.and_then(|flight| flight.held.receipt));
                };
                let message = publish(&view, flight.held.way, flight.held.qos, msg_id, true);
                say_publish(base, cx, self.address.at(), &message);
            }
        }
        flight.timer = Some(base.retry(cx.now, key, Due::Publish));
    }
}

fn publish<'a>(view: &Publication<'a>, way: Way, qos: Qos, msg_id: MsgId, dup: bool) -> Message<'a> {
    let topic = match way {
        Way::Normal(id) => Topic::Normal(id),
        Way::Predefined(id) => Topic::Predefined(id),
        Way::Short(octets) => Topic::Short(octets),
    };
    let (retain, payload) = (view.retain, view.payload);
    Message::Publish(sn::Publish { dup, qos: qos_down(qos), retain, topic, msg_id, payload })
}

fn say_held(base: &Base, cx: &mut Cx<'_>, to: At<'_>, held: &Held) {
    match held.message.view(cx.now) {
        Some(view) => say_publish(base, cx, to, &publish(&view, held.way, held.qos, MsgId(0), false)),
        None => base.counts.up(Count::Expired),
    }
}

fn say_publish(base: &Base, cx: &mut Cx<'_>, to: At<'_>, message: &Message<'_>) {
    if !base.say(cx, to, message) {
        base.counts.up(Count::TooLarge);
    }
}
