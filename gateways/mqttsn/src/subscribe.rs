//! SUBSCRIBE and UNSUBSCRIBE.

use crate::base::Base;
use crate::counts::{Count, refused as count_of};
use crate::predefined::Known;
use crate::session::{Next, Session};
use crate::subscriptions::{MOST_ASKED_AGAIN, NO_ID, Pending, Place, place};
use crate::will::{qos_down, qos_up};
use bridge_core::Qos;
use bridge_core::machine::Cx;
use bridge_core::topic::TopicFilter;
use bridge_core::uplink::{Ending, Refusal, Taken, Token, Uplink};
use codec_mqttsn as sn;
use codec_mqttsn::{Filter, Message, ReturnCode, TopicId};

/// Answers of SUBACK that need no broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    topic_id: TopicId,
    code: ReturnCode,
    why: Count,
    /// What becomes of the client.
    next: Next,
}

impl Session {
    /// SUBSCRIBE: the broker is asked; SUBACK follows, or goes at once when there is nothing to ask.
    pub(crate) fn on_subscribe(&mut self, base: &Base, cx: &mut Cx<'_>, subscribe: &sn::Subscribe<'_>) -> Next {
        let Err(refused) = self.try_subscribe(base, cx, subscribe) else { return Next::Stay };
        base.counts.up(refused.why);
        let Refused { topic_id, code, next, .. } = refused;
        self.suback(base, cx, Qos::AtMostOnce, Pending { msg_id: subscribe.msg_id, topic_id }, code);
        next
    }

    fn try_subscribe(&mut self, base: &Base, cx: &mut Cx<'_>, subscribe: &sn::Subscribe<'_>) -> Result<(), Refused> {
        let refused = |code, why| Refused { topic_id: NO_ID, code, why, next: Next::Stay };
        let Some(qos) = qos_up(subscribe.qos) else {
            return Err(refused(ReturnCode::NotSupported, Count::OutOfPlace));
        };
        let Some(client) = self.client else {
            return Err(refused(ReturnCode::Congestion, Count::OutOfPlace));
        };
        let predefined = base.rules.predefined.known(self.predefined.as_deref());
        let filter = read_filter(&subscribe.filter, predefined)?;
        let known = self.subscriptions.position(filter.as_str(), &self.registry, predefined);
        let full = refused(ReturnCode::InvalidTopicId, Count::RegistryFull);
        let (topic_id, place) =
            place(filter, &subscribe.filter, &mut self.registry, predefined, base.rules.max_topics).ok_or(full)?;
        let pending = Pending { msg_id: subscribe.msg_id, topic_id };
        let entry = known.and_then(|place| self.subscriptions.list.get(place));
        if entry.is_some_and(|entry| self.subscriptions.is_owed(entry, subscribe.msg_id)) {
            // A repetition while the broker is being asked: its answer will do for both.
            base.counts.up(Count::Repeated);
            return Ok(());
        }
        if entry.is_none() && !self.subscriptions.has_room(&place, base.rules.max_topics) {
            return Err(full);
        }
        let again = entry.is_some_and(|entry| entry.pending.is_some());
        if again && self.subscriptions.also.len() >= MOST_ASKED_AGAIN {
            return Err(refused(ReturnCode::Congestion, Count::TooManyOwed));
        }
        match self.subscriptions.join(cx, client, filter, qos, known, place, Some(pending)) {
            Taken::Done | Taken::Owed => Ok(()),
            Taken::Full | Taken::Later(_) => Err(refused(ReturnCode::Congestion, Count::Congested)),
            Taken::Denied(why) => Err(Refused { next: after(why), ..refused(code(why), count_of(why)) }),
        }
    }

    /// A subscription in the client's stead: no SUBACK goes to it. It learns the topic by REGISTER when a message comes.
    pub(crate) fn subscribe_for(
        &mut self,
        base: &Base,
        cx: &mut Cx<'_>,
        filter: TopicFilter<'_>,
        qos: Qos,
    ) -> Result<(), Refusal> {
        let client = self.client.ok_or(Refusal::Busy)?;
        let predefined = base.rules.predefined.known(self.predefined.as_deref());
        let known = self.subscriptions.position(filter.as_str(), &self.registry, predefined);
        let named = Filter::Name(filter.as_str());
        let (_, place) =
            place(filter, &named, &mut self.registry, predefined, base.rules.max_topics).ok_or(Refusal::Limit)?;
        if known.is_none() && !self.subscriptions.has_room(&place, base.rules.max_topics) {
            return Err(Refusal::Limit);
        }
        match self.subscriptions.join(cx, client, filter, qos, known, place, None) {
            Taken::Done | Taken::Owed => Ok(()),
            Taken::Full | Taken::Later(_) => Err(Refusal::Limit),
            Taken::Denied(why) => Err(why),
        }
    }

    /// Ends a subscription in the client's stead; false when there is none.
    pub(crate) fn unsubscribe_for(&mut self, base: &Base, cx: &mut Cx<'_>, filter: TopicFilter<'_>) -> bool {
        let predefined = base.rules.predefined.known(self.predefined.as_deref());
        let known = self.subscriptions.position(filter.as_str(), &self.registry, predefined);
        let (Some(place), Some(client)) = (known, self.client) else { return false };
        self.subscriptions.part(base, cx, client, place, filter);
        true
    }

    /// Asks for all subscriptions again, as they were granted; nothing retained comes of it, and no answer.
    pub(crate) fn resubscribe(&mut self, base: &Base, cx: &mut Cx<'_>) {
        let Some(client) = self.client else { return };
        let predefined = base.rules.predefined.known(self.predefined.as_deref());
        for entry in &self.subscriptions.list {
            let text = entry.filter.text(&self.registry, predefined);
            let Some(filter) = text.and_then(|text| TopicFilter::try_from(text).ok()) else { continue };
            let uplink = Uplink::Resubscribe { token: Token(u64::from(entry.token)), filter, qos: entry.qos };
            if let Taken::Full | Taken::Later(_) | Taken::Denied(_) = cx.bridge.up(cx.now, client, uplink) {
                base.counts.up(Count::BrokerRefused);
            }
        }
    }

    /// The client is to be told the ids of its subscriptions again (MQTT-SN 1.2 §6.5).
    pub(crate) fn owe_subscribed_ids(&mut self) {
        for entry in &self.subscriptions.list {
            if let Place::Registered(id) = entry.filter {
                self.registry.owe(id);
            }
        }
    }

    /// The broker has answered.
    pub(crate) fn on_subscribed(
        &mut self,
        base: &Base,
        cx: &mut Cx<'_>,
        token: Token,
        granted: Result<Qos, Refusal>,
    ) -> Next {
        let list = &self.subscriptions.list;
        let Some(position) = list.iter().position(|s| u64::from(s.token) == token.0) else { return Next::Stay };
        let settled = self.subscriptions.settle(position);
        match granted {
            Ok(qos) => {
                if let Some(entry) = self.subscriptions.list.get_mut(position) {
                    entry.qos = qos;
                }
            }
            Err(_) => drop(self.subscriptions.list.remove(position)),
        }
        if !self.is_connected() || settled.is_empty() {
            return Next::Stay;
        }
        for pending in settled {
            match granted {
                Ok(qos) => {
                    self.registry.set_known(pending.topic_id, true);
                    self.suback(base, cx, qos, pending, ReturnCode::Accepted);
                }
                Err(why) => {
                    base.counts.up(Count::BrokerRefused);
                    self.suback(base, cx, Qos::AtMostOnce, Pending { topic_id: NO_ID, ..pending }, code(why));
                }
            }
        }
        granted.map_or_else(after, |_qos| Next::Stay)
    }

    /// UNSUBSCRIBE: always answered.
    pub(crate) fn on_unsubscribe(&mut self, base: &Base, cx: &mut Cx<'_>, unsubscribe: &sn::Unsubscribe<'_>) {
        let predefined = base.rules.predefined.known(self.predefined.as_deref());
        match read_filter(&unsubscribe.filter, predefined) {
            Ok(filter) => {
                let known = self.subscriptions.position(filter.as_str(), &self.registry, predefined);
                match (known, self.client) {
                    (Some(place), Some(client)) => self.subscriptions.part(base, cx, client, place, filter),
                    // Its session at the broker may be older than the one here.
                    _ => self.tell(base, cx, Uplink::Unsubscribe { token: Token::NONE, filter }),
                }
            }
            Err(refused) => base.counts.up(refused.why),
        }
        base.say(cx, self.address.at(), &Message::Unsuback { msg_id: unsubscribe.msg_id });
    }

    fn suback(&self, base: &Base, cx: &mut Cx<'_>, qos: Qos, pending: Pending, code: ReturnCode) {
        let Pending { msg_id, topic_id } = pending;
        base.say(cx, self.address.at(), &Message::Suback(sn::Suback { qos: qos_down(qos), topic_id, msg_id, code }));
    }
}

/// The filter that a SUBSCRIBE or UNSUBSCRIBE is about.
fn read_filter<'a>(filter: &'a Filter<'a>, predefined: Known<'a>) -> Result<TopicFilter<'a>, Refused> {
    let bad = Refused { topic_id: NO_ID, code: ReturnCode::NotSupported, why: Count::BadTopic, next: Next::Stay };
    let text = match filter {
        Filter::Name(name) => name,
        Filter::Short(octets) => std::str::from_utf8(octets).map_err(|_not_utf8| bad)?,
        Filter::Predefined(id) => {
            let unknown = Refused {
                topic_id: *id,
                code: ReturnCode::InvalidTopicId,
                why: Count::UnknownTopicId,
                next: Next::Stay,
            };
            predefined.name(*id).ok_or(unknown)?.as_str()
        }
        Filter::Reserved(_) => return Err(bad),
    };
    TopicFilter::try_from(text).map_err(|_fault| bad)
}

/// What becomes of a client that the bridge or the broker has refused something.
pub(crate) const fn after(why: Refusal) -> Next {
    match why {
        Refusal::NotAuthorised { disconnect: true } => Next::Lose(Ending::NotAuthorised),
        _ => Next::Stay,
    }
}

/// What a device is told when the bridge or the broker would not.
pub(crate) const fn code(why: Refusal) -> ReturnCode {
    match why {
        Refusal::BrokerAway | Refusal::Limit | Refusal::Busy | Refusal::AuthUnavailable => ReturnCode::Congestion,
        Refusal::BadIdentity
        | Refusal::BadTopic
        | Refusal::TooLarge
        | Refusal::Broker(_)
        | Refusal::NoSuchClient
        | Refusal::BadCredentials
        | Refusal::NotAuthorised { .. } => ReturnCode::NotSupported,
    }
}
