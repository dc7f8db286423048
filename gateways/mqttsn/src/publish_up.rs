//! PUBLISH from devices, and REGISTER, which names its topics (MQTT-SN 1.2 §5.4.10).

use crate::base::Base;
use crate::counts::{Count, refused};
use crate::receipts::{Receipts, Stage, digest};
use crate::session::{Next, Session};
use crate::subscribe::{after, code};
use crate::will::qos_up;
use bridge_core::Qos;
use bridge_core::downlink::Outcome;
use bridge_core::machine::Cx;
use bridge_core::publication::Publication;
use bridge_core::topic::TopicName;
use bridge_core::uplink::{ClientRef, Refusal, Taken, Token, Uplink};
use codec_mqttsn as sn;
use codec_mqttsn::{Message, MsgId, ReturnCode, Topic, TopicId};

/// A PUBLISH that is refused there and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    code: ReturnCode,
    pub(crate) why: Count,
    /// What becomes of the client.
    next: Next,
}

impl Unfit {
    pub(crate) const UNKNOWN: Self =
        Self { code: ReturnCode::InvalidTopicId, why: Count::UnknownTopicId, next: Next::Stay };
    pub(crate) const BAD: Self = Self { code: ReturnCode::NotSupported, why: Count::BadTopic, next: Next::Stay };

    /// By the bridge, for good.
    const fn denied(why: Refusal) -> Self {
        Self { code: code(why), why: refused(why), next: after(why) }
    }
}

impl Session {
    /// PUBLISH at QoS 0, 1 or 2.
    #[inline]
    pub(crate) fn on_publish(&mut self, base: &Base, cx: &mut Cx<'_>, publish: &sn::Publish<'_>) -> Next {
        let (Some(client), Some(qos)) = (self.client, qos_up(publish.qos)) else { return Next::Stay };
        let topic = match &publish.topic {
            // Predefined first, then dynamic, for both types: Paho's clients publish to either under either type.
            &Topic::Normal(id) | &Topic::Predefined(id) => {
                let predefined = base.rules.predefined.known(self.predefined.as_deref());
                predefined.name(id).or_else(|| self.registry.name(id)).ok_or(Unfit::UNKNOWN)
            }
            Topic::Short(octets) => short_name(octets),
            // A name inline stands at QoS −1 only.
            Topic::Inline(_) | Topic::Reserved(_) => Err(Unfit::BAD),
        };
        let topic = match topic {
            Ok(topic) => topic,
            Err(unfit) => return self.refuse(base, cx, publish, unfit),
        };
        let what = Publication { topic, payload: publish.payload, qos, retain: publish.retain, expiry_s: None };
        if qos != Qos::AtMostOnce {
            let reply = publish_owed(&mut self.receipts, base, cx, client, publish, what);
            return self.reply(base, cx, publish, reply);
        }
        match cx.bridge.up(cx.now, client, Uplink::Publish { token: None, what }) {
            Taken::Done | Taken::Owed => {}
            Taken::Full => base.counts.up(Count::Congested),
            // Who publishes faster than it may gets no more answers out of it.
            Taken::Later(_) => base.counts.up(Count::OverLimit),
            Taken::Denied(why) => match code(why) {
                ReturnCode::Congestion => base.counts.up(Count::Congested),
                _ => return self.refuse(base, cx, publish, Unfit::denied(why)),
            },
        }
        Next::Stay
    }

    /// The broker has a publication of QoS 1 or 2, or would not have it.
    pub(crate) fn on_settled(&mut self, base: &Base, cx: &mut Cx<'_>, token: Token, outcome: Outcome) -> Next {
        let Some(receipt) = self.receipts.settle(token, outcome == Outcome::Acknowledged) else { return Next::Stay };
        if outcome != Outcome::Acknowledged {
            base.counts.up(Count::BrokerRefused);
        }
        if !self.is_connected() {
            return Next::Stay;
        }
        let (topic_id, msg_id) = (receipt.topic_id, receipt.msg_id);
        match outcome {
            Outcome::Acknowledged if receipt.exactly_once => {
                base.say(cx, self.address.at(), &Message::Pubrec { msg_id });
            }
            Outcome::Acknowledged => self.puback(base, cx, TopicId(topic_id), msg_id, ReturnCode::Accepted),
            Outcome::Refused(why) => {
                self.puback(base, cx, TopicId(topic_id), msg_id, code(why));
                return after(why);
            }
            Outcome::Expired => self.puback(base, cx, TopicId(topic_id), msg_id, ReturnCode::Congestion),
        }
        Next::Stay
    }

    /// PUBREL: the device will not send it again.
    pub(crate) fn on_pubrel(&mut self, base: &Base, cx: &mut Cx<'_>, msg_id: MsgId) {
        if self.receipts.release(msg_id) {
            base.say(cx, self.address.at(), &Message::Pubcomp { msg_id });
        } else {
            base.counts.up(Count::OutOfPlace);
        }
    }

    /// REGISTER: an id for a name, the same one each time.
    pub(crate) fn on_register(&mut self, base: &Base, cx: &mut Cx<'_>, register: &sn::Register<'_>) {
        let refused = |why| {
            base.counts.up(why);
            (TopicId(0), ReturnCode::NotSupported)
        };
        let (topic_id, code) = match TopicName::try_from(register.topic_name) {
            Err(_) => refused(Count::BadTopic),
            Ok(name) => match base.rules.predefined.known(self.predefined.as_deref()).find(name.as_str()) {
                Some(id) => (id, ReturnCode::Accepted),
                None => match self.registry.give(name, base.rules.max_topics) {
                    Some(id) => (id, ReturnCode::Accepted),
                    None => refused(Count::RegistryFull),
                },
            },
        };
        self.registry.set_known(topic_id, true);
        base.say(cx, self.address.at(), &Message::Regack(sn::Ack { topic_id, msg_id: register.msg_id, code }));
    }

    fn reply(&self, base: &Base, cx: &mut Cx<'_>, publish: &sn::Publish<'_>, reply: Reply) -> Next {
        match reply {
            Reply::Later => {}
            Reply::Accepted if publish.qos == sn::Qos::ExactlyOnce => {
                base.say(cx, self.address.at(), &Message::Pubrec { msg_id: publish.msg_id });
            }
            Reply::Accepted => {
                self.puback(base, cx, topic_id(&publish.topic), publish.msg_id, ReturnCode::Accepted);
            }
            Reply::Refused(unfit) => return self.refuse(base, cx, publish, unfit),
        }
        Next::Stay
    }

    pub(crate) fn puback(&self, base: &Base, cx: &mut Cx<'_>, topic_id: TopicId, msg_id: MsgId, code: ReturnCode) {
        base.say(cx, self.address.at(), &Message::Puback(sn::Ack { topic_id, msg_id, code }));
    }

    fn refuse(&self, base: &Base, cx: &mut Cx<'_>, publish: &sn::Publish<'_>, unfit: Unfit) -> Next {
        base.counts.up(unfit.why);
        self.puback(base, cx, topic_id(&publish.topic), publish.msg_id, unfit.code);
        unfit.next
    }
}

/// What a PUBLISH of QoS 1 or 2 is answered at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// Nothing: the broker's answer is waited for.
    Later,
    Accepted,
    Refused(Unfit),
}

/// Publishes at QoS 1 or 2, unless that was done before.
fn publish_owed(
    receipts: &mut Receipts,
    base: &Base,
    cx: &mut Cx<'_>,
    client: ClientRef,
    publish: &sn::Publish<'_>,
    what: Publication<'_>,
) -> Reply {
    let exactly_once = what.qos == Qos::ExactlyOnce;
    let digest = digest(what.topic.as_str(), what.payload);
    if let Some(stage) = receipts.seen(publish.msg_id, exactly_once, publish.dup, digest) {
        base.counts.up(Count::Repeated);
        return if stage == Stage::Owed { Reply::Later } else { Reply::Accepted };
    }
    let congested = |why| Reply::Refused(Unfit { code: ReturnCode::Congestion, why, next: Next::Stay });
    if receipts.would_forget() {
        base.counts.up(Count::PubrelMissing);
    }
    let Some(token) = receipts.open(topic_id(&publish.topic).0, publish.msg_id, exactly_once, digest) else {
        return congested(Count::TooManyOwed);
    };
    match cx.bridge.up(cx.now, client, Uplink::Publish { token: Some(token), what }) {
        Taken::Owed => Reply::Later,
        Taken::Done => {
            receipts.settle(token, true);
            Reply::Accepted
        }
        Taken::Full => {
            receipts.cancel(token);
            congested(Count::Congested)
        }
        Taken::Later(_) => {
            receipts.cancel(token);
            congested(Count::OverLimit)
        }
        Taken::Denied(why) => {
            receipts.cancel(token);
            Reply::Refused(Unfit::denied(why))
        }
    }
}

/// The name behind two octets.
pub(crate) fn short_name(octets: &[u8; 2]) -> Result<TopicName<'_>, Unfit> {
    std::str::from_utf8(octets).ok().and_then(|text| TopicName::try_from(text).ok()).ok_or(Unfit::BAD)
}

/// TopicId as it came: PUBACK carries it back.
const fn topic_id(topic: &Topic<'_>) -> TopicId {
    match topic {
        Topic::Normal(id) | Topic::Predefined(id) => *id,
        Topic::Short(octets) | Topic::Reserved(octets) => TopicId(u16::from_be_bytes(*octets)),
        Topic::Inline(_) => TopicId(0),
    }
}
