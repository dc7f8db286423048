//! REGISTER to devices: what they are told, in which order, and what waits for it (MQTT-SN 1.2 §5.4.10).

use crate::base::{Base, Due};
use crate::copies::release;
use crate::counts::Count;
use crate::down::Registering;
use crate::hold::Way;
use crate::session::{Next, Session};
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use codec_mqttsn as sn;
use codec_mqttsn::{Message, MsgId, ReturnCode, TopicId};

impl Session {
    /// Sends REGISTER for the first topic that the client is to be told, if none is under way.
    pub(crate) fn register_next(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) {
        if self.down.registering.is_some() {
            return;
        }
        while let Some(topic_id) = self.first_untold() {
            let msg_id = self.down.next_msg_id();
            if self.say_register(base, cx, topic_id, msg_id) {
                let timer = Some(base.retry(cx.now, key, Due::Register));
                self.down.registering = Some(Registering { topic_id, msg_id, tries: 0, timer });
                return;
            }
            // A name that no REGISTER can hold.
            let gone = self.give_up(base, cx, topic_id);
            base.counts.add(Count::TooLarge, gone);
        }
    }

    /// The topic id that the client is to be told next: of its own subscriptions, then of what waits for one.
    pub(crate) fn first_untold(&self) -> Option<TopicId> {
        let untold = |way: Way| match way {
            Way::Normal(id) if !self.registry.is_known(id) && !self.subscriptions.will_tell(id) => Some(id),
            Way::Normal(_) | Way::Predefined(_) | Way::Short(_) => None,
        };
        let owed = self.registry.owed().find(|id| !self.subscriptions.will_tell(*id));
        let flight = || self.down.waiting_flight().and_then(untold);
        let awake = self.is_awake();
        let queue = || self.down.queue.iter().filter(|held| !(awake && held.late)).find_map(|held| untold(held.way));
        owed.or_else(flight).or_else(queue)
    }

    /// The client cannot be told this topic: what waits for that is gone. Returns how many messages went.
    fn give_up(&mut self, base: &Base, cx: &mut Cx<'_>, topic_id: TopicId) -> u64 {
        let way = Way::Normal(topic_id);
        self.registry.set_known(topic_id, false);
        let client = self.client;
        let mut gone = self.down.queue.retain(|held| {
            let stays = held.way != way;
            release(base, cx, client, held.receipt.filter(|_| !stays));
            stays
        }) as u64;
        if self.down.waiting_flight() == Some(way) {
            let flight = self.down.in_flight.take();
            self.release(base, cx, flight.and_then(|flight| flight.held.receipt));
            gone += 1;
        }
        gone
    }

    fn say_register(&self, base: &Base, cx: &mut Cx<'_>, topic_id: TopicId, msg_id: MsgId) -> bool {
        let Some(name) = self.registry.name(topic_id) else { return false };
        let register = sn::Register { topic_id, msg_id, topic_name: name.as_str() };
        base.say(cx, self.address.at(), &Message::Register(register))
    }

    /// REGACK.
    pub(crate) fn on_regack(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key, ack: sn::Ack) {
        let Some(mut registering) = self.down.registering.take_if(|r| r.msg_id == ack.msg_id) else {
            base.counts.up(Count::OutOfPlace);
            return;
        };
        let topic_id = registering.topic_id;
        if ack.code == ReturnCode::Congestion {
            // The timer sends it again. An active client may say so as often as it likes: it does answer.
            registering.tries = if self.is_active() { 0 } else { registering.tries };
            self.down.registering = Some(registering);
            return;
        }
        if let Some(timer) = registering.timer {
            base.wheel.cancel(timer);
        }
        if ack.code == ReturnCode::Accepted {
            self.registry.set_known(topic_id, true);
        } else {
            let gone = self.give_up(base, cx, topic_id);
            base.counts.add(Count::RegisterRefused, gone);
        }
        self.pump(base, cx, key);
    }

    /// REGISTER was not acknowledged in time.
    pub(crate) fn register_again(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) -> Next {
        let Some(registering) = self.down.registering.as_mut() else { return Next::Stay };
        if registering.timer.is_none_or(|timer| base.wheel.is_armed(timer)) {
            return Next::Stay;
        }
        if registering.tries >= base.rules.max_retries {
            return self.unanswered(base, cx);
        }
        registering.tries = registering.tries.saturating_add(1);
        registering.timer = Some(base.retry(cx.now, key, Due::Register));
        let (topic_id, msg_id) = (registering.topic_id, registering.msg_id);
        self.say_register(base, cx, topic_id, msg_id);
        Next::Stay
    }
}
