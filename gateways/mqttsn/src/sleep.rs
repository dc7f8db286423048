//! Sleeping clients (MQTT-SN 1.2 §6.14).
//!
//! What comes for a client that is asleep waits in its queue, of whatever QoS. PINGREQ with its id wakes it: first what
//! was in flight when it fell asleep, then the queue, strictly in order, with one unanswered PUBLISH of QoS 1 or 2 or one
//! unanswered REGISTER at a time. After the last answer PINGRESP goes, and it is asleep again. What comes while it is
//! awake waits for the next time, so that it gets to sleep whatever the broker sends.
//!
//! Where clients have MQTT connections of their own, that of a sleeping client may go meanwhile. Then PINGREQ brings it
//! back, and PINGRESP waits until the broker has sent what it has kept.

use crate::base::Base;
use crate::counts::Count;
use crate::hold::{Held, Way};
use crate::machine::Mqttsn;
use crate::session::{NapLink, Session, Sleep, State};
use bridge_core::Qos;
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::uplink::{Refusal, Taken, Uplink};
use codec_mqttsn::Message;

impl Mqttsn {
    /// DISCONNECT with a duration: the client is connected, and sleeps. From a client that sleeps it is a new duration.
    pub(crate) fn fall_asleep(&mut self, cx: &mut Cx<'_>, key: Key, duration_s: u16) {
        self.say_goodbye(cx, key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        tracing::debug!(protocol = "mqttsn", client_id = %session.id, duration_s, "asleep");
        session.down.rest(&mut self.base);
        let link = session.let_link_go(&self.base, cx);
        session.enter(&self.base, State::Asleep(Sleep { heard_ms: cx.now.mono_ms, duration_s, link }));
        let lost_at = session.lost_at_ms();
        self.set_life(key, lost_at);
        self.changed(cx, key);
    }
}

impl Session {
    /// PINGREQ; `named`: with the client's own id.
    pub(crate) fn on_ping(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, named: bool) {
        match self.state {
            State::Asleep(sleep) if named => {
                let link = self.call_link_back(base, cx, sleep);
                self.down.queue.catch_up();
                self.enter(base, State::Awake(Sleep { link, ..sleep }));
                self.resume(base, cx, key);
            }
            // PINGRESP follows the last of what is under way.
            State::Awake(_) if named => base.counts.up(Count::Repeated),
            _ => {
                base.say(cx, self.address.at(), &Message::Pingresp);
            }
        }
    }

    /// It has woken: its MQTT connection comes back, if it went, with all that the broker has kept.
    fn call_link_back(&self, base: &Base, cx: &mut Cx<'_>, sleep: Sleep) -> NapLink {
        // The broker holds more back if it may have no more on its way than is here.
        let more = sleep.link == NapLink::Dropped || self.down.receipts() > 0;
        let Some(client) = self.client.filter(|_| more) else { return NapLink::Kept };
        match cx.bridge.up(cx.now, client, Uplink::Wake) {
            Taken::Done => NapLink::Kept,
            Taken::Owed => NapLink::Returning,
            Taken::Full | Taken::Later(_) | Taken::Denied(_) => {
                base.counts.up(Count::BrokerRefused);
                NapLink::Kept
            }
        }
    }

    /// The broker has sent what it had kept, or cannot: then the client has at least what waited here.
    pub(crate) fn on_link_back(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, outcome: Result<(), Refusal>) {
        base.counts.add(Count::BrokerRefused, u64::from(outcome.is_err()));
        if let State::Awake(sleep @ Sleep { link: NapLink::Returning, .. }) = self.state {
            self.enter(base, State::Awake(Sleep { link: NapLink::Kept, ..sleep }));
            self.pump(base, cx, key);
        }
    }

    /// It is about to sleep: its own MQTT connection may go, if the operator wants that, and the broker keeps what comes.
    fn let_link_go(&self, base: &Base, cx: &mut Cx<'_>) -> NapLink {
        if matches!(self.state, State::Asleep(Sleep { link: NapLink::Dropped, .. })) {
            return NapLink::Dropped;
        }
        if !base.rules.drops_links || self.clean || self.generated {
            return NapLink::Kept;
        }
        self.tell(base, cx, Uplink::Doze);
        NapLink::Dropped
    }

    /// Sends a client that is awake all that may go before it has to answer; PINGRESP when nothing is left.
    pub(crate) fn pump_awake(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) {
        loop {
            let flight_waits = self.down.waiting_flight().is_some();
            if self.down.registering.is_some() || (self.down.in_flight.is_some() && !flight_waits) {
                return;
            }
            // What waits for the answer to a SUBSCRIBE waits for the next time: that may be long in coming.
            let subscriptions = &self.subscriptions;
            let due = |held: &Held| !held.late && !matches!(held.way, Way::Normal(id) if subscriptions.will_tell(id));
            let next = self.down.queue.iter().find(|held| due(held)).map(|held| held.way);
            let owed = self.registry.owed().any(|id| !subscriptions.will_tell(id));
            if owed || flight_waits || next.is_some_and(|way| !self.is_told(way)) {
                self.register_next(base, cx, key);
                if self.down.registering.is_some() || self.down.waiting_flight().is_some() {
                    break;
                }
                continue;
            }
            let Some(held) = self.down.queue.take_first(due) else { break };
            if held.qos == Qos::AtMostOnce {
                self.say_held(base, cx, &held);
            } else {
                self.send_held(base, cx, key, held);
            }
        }
        if self.down.registering.is_none() && !self.waits_for_link() {
            base.say(cx, self.address.at(), &Message::Pingresp);
            self.doze(base, cx);
        }
    }

    /// Asleep again, until the time that it has named itself. What is in flight stays so, and comes first next time.
    pub(crate) fn doze(&mut self, base: &mut Base, cx: &mut Cx<'_>) {
        if let State::Awake(sleep) = self.state {
            let link = self.let_link_go(base, cx);
            self.down.rest(base);
            self.enter(base, State::Asleep(Sleep { link, ..sleep }));
        }
    }
}
