//! What goes wrong, or happens, by lot.

use crate::event::Event;
use crate::plan::{Trouble, any_qos, down_topic, pick};
use crate::shards::Side;
use crate::world::World;
use codec_mqtt::{Qos, ReasonCode};
use support::broker::{Crash, Message};

impl World {
    pub(crate) fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Cut { .. } if self.shards.is_empty() => {}
            Trouble::Cut { broker_notices_ms } => {
                let shard = pick(&mut self.rng, self.shards.len());
                let nth = pick(&mut self.rng, self.shards[shard].lines.len());
                if let Some(&link) = self.shards[shard].lines.keys().nth(nth) {
                    self.cut(shard, link, broker_notices_ms);
                }
            }
            Trouble::Crash { down_ms, forget } => {
                self.broker.crash(Crash { keep_sessions: !forget, keep_retained: true });
                self.after_broker();
                self.timeline.plan(self.now + down_ms, Event::BrokerUp);
            }
            Trouble::Slow { ms } => {
                self.broker.options().hold_acks = true;
                self.slow_until = self.slow_until.max(self.now + ms);
                self.timeline.plan(self.now + ms, Event::BrokerSwift);
            }
            Trouble::Stream(trouble) => self.stream_trouble(trouble),
            Trouble::Evict => self.evict(),
            Trouble::Restart { crash } => self.restart(crash),
            Trouble::Move(how) => self.move_one(how),
            Trouble::Publish { messages } => {
                let ready = |side: &Side| side.shard.is_reachable();
                self.checks.unsettled &= self.shards.is_empty() || !self.shards.iter().all(ready);
                for _ in 0..messages {
                    let (topic, qos) = (down_topic(&mut self.rng), any_qos(&mut self.rng));
                    let payload = self.checks.publishes(&topic, qos, &self.devices);
                    self.broker.publish(Message::new(&topic, payload, mqtt(qos)));
                }
                self.after_broker();
            }
        }
    }
}

impl World {
    fn evict(&mut self) {
        let nth = pick(&mut self.rng, self.devices.len() + self.streams.devices.len());
        let id = match self.devices.get(nth) {
            Some(device) => &device.id,
            None => &self.streams.devices[nth - self.devices.len()].id,
        };
        let reasons = [ReasonCode::SESSION_TAKEN_OVER, ReasonCode::ADMINISTRATIVE_ACTION, ReasonCode::NOT_AUTHORIZED];
        self.broker.kick(id, reasons[pick(&mut self.rng, reasons.len())]);
        self.checks.tally.evicted += 1;
        self.after_broker();
    }
}

const fn mqtt(qos: codec_mqttsn::Qos) -> Qos {
    match qos {
        codec_mqttsn::Qos::AtMostOnce | codec_mqttsn::Qos::MinusOne => Qos::AtMostOnce,
        codec_mqttsn::Qos::AtLeastOnce => Qos::AtLeastOnce,
        codec_mqttsn::Qos::ExactlyOnce => Qos::ExactlyOnce,
    }
}
