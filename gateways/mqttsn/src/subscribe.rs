//! SUBSCRIBE and UNSUBSCRIBE.

use crate::base::Base;
use crate::counts::Count;
use crate::predefined::Known;
use crate::registry::{Registry, most_octets};
use crate::session::{Next, Session};
use crate::will::{qos_down, qos_up};
use bridge_core::Qos;
use bridge_core::machine::Cx;
use bridge_core::topic::{TopicFilter, TopicName};
use bridge_core::uplink::{ClientRef, Ending, Refusal, Taken, Token, Uplink};
use codec_mqttsn as sn;
use codec_mqttsn::{Filter, Message, MsgId, ReturnCode, TopicId};

/// The subscriptions of one session.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<Subscription>,
    /// SUBACKs that are owed beside the one of the subscription: the client has asked again before the broker answered.
    also: Box<[(u32, Pending)]>,
    next: u32,
}

#[derive(Debug)]
struct Subscription {
    token: u32,
    filter: Place,
    /// As asked for, and as granted once it is.
    qos: Qos,
    /// SUBACK is owed.
    pending: Option<Pending>,
}

/// Where a filter's text lies: most are topics that the registry or the configuration holds anyway.
#[derive(Debug)]
enum Place {
    Registered(TopicId),
    Predefined(TopicId),
    Here(Box<str>),
}

/// What SUBACK will say.
#[derive(Clone, Copy, Debug)]
struct Pending {
    msg_id: MsgId,
    topic_id: TopicId,
}

/// Answers of SUBACK that need no broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    topic_id: TopicId,
    code: ReturnCode,
    why: Count,
    /// What becomes of the client.
    next: Next,
}

const NO_ID: TopicId = TopicId(0);
/// SUBSCRIBEs of one session for filters that it has asked for already, and got no answer to.
const MOST_ASKED_AGAIN: usize = 16;

impl Subscriptions {
    fn position(&self, text: &str, registry: &Registry, predefined: Known<'_>) -> Option<usize> {
        self.list.iter().position(|s| s.filter.text(registry, predefined) == Some(text))
    }

    /// True when one more may join: by their number, and by the octets of the filters that lie nowhere else.
    fn has_room(&self, place: &Place, most: u16) -> bool {
        let octets = self.list.iter().map(|s| s.filter.octets()).sum::<usize>().saturating_add(place.octets());
        self.list.len() < usize::from(most) && octets <= most_octets(most)
    }

    /// True while a SUBACK is owed.
    pub(crate) fn has_pending(&self) -> bool {
        self.list.iter().any(|s| s.pending.is_some())
    }

    /// True while a SUBACK that will tell this id has not gone.
    pub(crate) fn will_tell(&self, id: TopicId) -> bool {
        self.list.iter().any(|s| s.pending.is_some_and(|pending| pending.topic_id == id))
            || self.also.iter().any(|(_, pending)| pending.topic_id == id)
    }

    /// Forgets all. Answers to come must find nothing, so their numbers are not given again.
    pub(crate) fn clear(&mut self) {
        (self.list, self.also) = (Vec::new(), Box::default());
    }

    /// True when SUBACK with this msg id is owed for the subscription.
    fn is_owed(&self, entry: &Subscription, msg_id: MsgId) -> bool {
        entry.pending.is_some_and(|pending| pending.msg_id == msg_id)
            || self.also.iter().any(|(token, pending)| *token == entry.token && pending.msg_id == msg_id)
    }

    /// All that is owed for a subscription, the oldest first; nothing is any more then.
    fn settle(&mut self, position: usize) -> Vec<Pending> {
        let Some(entry) = self.list.get_mut(position) else { return Vec::new() };
        let (token, first) = (entry.token, entry.pending.take());
        let (also, others): (Vec<_>, Vec<_>) = self.also.iter().copied().partition(|(other, _)| *other == token);
        self.also = others.into();
        first.into_iter().chain(also.into_iter().map(|(_, pending)| pending)).collect()
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Keeps the text of filters whose predefined id means something else now: `changed` says what it meant.
    pub(crate) fn spell_out<'a>(&mut self, changed: impl Fn(TopicId) -> Option<TopicName<'a>>) {
        for entry in &mut self.list {
            if let Place::Predefined(id) = entry.filter
                && let Some(name) = changed(id)
            {
                entry.filter = Place::Here(name.as_str().into());
            }
        }
    }

    /// Filters, QoS, and whether a filter is the name of a topic that has an id; in the order in which they came.
    pub(crate) fn frozen<'a>(
        &'a self,
        registry: &'a Registry,
        predefined: Known<'a>,
    ) -> impl Iterator<Item = (&'a str, Qos, bool)> {
        let named = |place: &Place| !matches!(place, Place::Here(_));
        self.list.iter().filter_map(move |s| Some((s.filter.text(registry, predefined)?, s.qos, named(&s.filter))))
    }

    /// One that an earlier process had. Beyond the limits it is dropped. `None`: it cannot be one.
    pub(crate) fn restore(
        &mut self,
        text: &str,
        qos: Qos,
        named: bool,
        registry: &mut Registry,
        (predefined, most): (Known<'_>, u16),
    ) -> Option<()> {
        let filter = TopicFilter::try_from(text).ok()?;
        let asked = if named { Filter::Name(text) } else { Filter::Reserved(&[]) };
        let Ok((_, place)) = place(filter, &asked, registry, predefined, most) else { return Some(()) };
        let known = self.position(text, registry, predefined).is_some();
        if !known && self.has_room(&place, most) {
            let token = self.next;
            self.next = self.next.wrapping_add(1);
            self.list.push(Subscription { token, filter: place, qos, pending: None });
        }
        Some(())
    }

    /// Filters and QoS, in the order in which they came.
    pub(crate) fn iter<'a>(
        &'a self,
        registry: &'a Registry,
        predefined: Known<'a>,
    ) -> impl Iterator<Item = (&'a str, Qos)> {
        self.list.iter().filter_map(move |s| Some((s.filter.text(registry, predefined)?, s.qos)))
    }

    /// Asks the broker for a subscription, an old one again (`known`) or a new one; what the bridge takes is in the list.
    #[expect(clippy::too_many_arguments, reason = "all that was found out about one subscription")]
    fn join(
        &mut self,
        cx: &mut Cx<'_>,
        client: ClientRef,
        filter: TopicFilter<'_>,
        qos: Qos,
        known: Option<usize>,
        place: Place,
        pending: Option<Pending>,
    ) -> Taken {
        let Self { list, also, next } = self;
        let entry = known.and_then(|place| list.get_mut(place));
        let token = entry.as_ref().map_or(*next, |s| s.token);
        let uplink = Uplink::Subscribe { token: Token(u64::from(token)), filter, qos, retained: true };
        let taken = cx.bridge.up(cx.now, client, uplink);
        if let Taken::Full | Taken::Denied(_) = taken {
            return taken;
        }
        if let Some(entry) = entry {
            entry.qos = qos;
            match (entry.pending, pending) {
                (None, pending) => entry.pending = pending,
                // A SUBACK that is owed stays owed.
                (Some(_), pending) => {
                    let more = pending.map(|pending| (entry.token, pending));
                    *also = also.iter().copied().chain(more).collect();
                }
            }
        } else {
            *next = next.wrapping_add(1);
            if list.len() < 4 {
                list.reserve_exact(1);
            }
            list.push(Subscription { token, filter: place, qos, pending });
        }
        taken
    }

    /// Ends the subscription at this place in the list.
    fn part(&mut self, base: &Base, cx: &mut Cx<'_>, client: ClientRef, place: usize, filter: TopicFilter<'_>) {
        // A SUBACK that is owed does not come any more.
        let _forgotten = self.settle(place);
        let Subscription { token, .. } = self.list.remove(place);
        let uplink = Uplink::Unsubscribe { token: Token(u64::from(token)), filter };
        if let Taken::Full | Taken::Denied(_) = cx.bridge.up(cx.now, client, uplink) {
            base.counts.up(Count::BrokerRefused);
        }
    }
}

impl Place {
    fn text<'a>(&'a self, registry: &'a Registry, predefined: Known<'a>) -> Option<&'a str> {
        match self {
            Self::Registered(id) => registry.name(*id).map(TopicName::as_str),
            Self::Predefined(id) => predefined.name(*id).map(TopicName::as_str),
            Self::Here(text) => Some(text),
        }
    }

    fn octets(&self) -> usize {
        match self {
            Self::Registered(_) | Self::Predefined(_) => 0,
            Self::Here(text) => text.len(),
        }
    }
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
        let (topic_id, place) =
            place(filter, &subscribe.filter, &mut self.registry, predefined, base.rules.max_topics)?;
        let pending = Pending { msg_id: subscribe.msg_id, topic_id };
        let entry = known.and_then(|place| self.subscriptions.list.get(place));
        if entry.is_some_and(|entry| self.subscriptions.is_owed(entry, subscribe.msg_id)) {
            // A repetition while the broker is being asked: its answer will do for both.
            base.counts.up(Count::Repeated);
            return Ok(());
        }
        if entry.is_none() && !self.subscriptions.has_room(&place, base.rules.max_topics) {
            return Err(refused(ReturnCode::InvalidTopicId, Count::RegistryFull));
        }
        if self.subscriptions.also.len() >= MOST_ASKED_AGAIN {
            return Err(refused(ReturnCode::Congestion, Count::TooManyOwed));
        }
        match self.subscriptions.join(cx, client, filter, qos, known, place, Some(pending)) {
            Taken::Done | Taken::Owed => Ok(()),
            Taken::Full => Err(refused(ReturnCode::Congestion, Count::Congested)),
            Taken::Denied(why) => Err(Refused { next: after(why), ..refused(code(why), Count::BrokerRefused) }),
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
        let (_, place) = place(filter, &named, &mut self.registry, predefined, base.rules.max_topics)
            .map_err(|_full| Refusal::Limit)?;
        if known.is_none() && !self.subscriptions.has_room(&place, base.rules.max_topics) {
            return Err(Refusal::Limit);
        }
        match self.subscriptions.join(cx, client, filter, qos, known, place, None) {
            Taken::Done | Taken::Owed => Ok(()),
            Taken::Full => Err(Refusal::Limit),
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
            if let Taken::Full | Taken::Denied(_) = cx.bridge.up(cx.now, client, uplink) {
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
                if let (Some(place), Some(client)) = (known, self.client) {
                    self.subscriptions.part(base, cx, client, place, filter);
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

/// The id that SUBACK tells, and where the filter's text is kept.
fn place(
    filter: TopicFilter<'_>,
    asked: &Filter<'_>,
    registry: &mut Registry,
    predefined: Known<'_>,
    max_topics: u16,
) -> Result<(TopicId, Place), Refused> {
    let full =
        Refused { topic_id: NO_ID, code: ReturnCode::InvalidTopicId, why: Count::RegistryFull, next: Next::Stay };
    match (asked, filter.as_name()) {
        (Filter::Predefined(id), _) => Ok((*id, Place::Predefined(*id))),
        (Filter::Name(_), Some(name)) => {
            if let Some(id) = predefined.find(name.as_str()) {
                return Ok((id, Place::Predefined(id)));
            }
            let id = registry.give(name, max_topics).ok_or(full)?;
            Ok((id, Place::Registered(id)))
        }
        (Filter::Name(_) | Filter::Short(_) | Filter::Reserved(_), _) => {
            Ok((NO_ID, Place::Here(filter.as_str().into())))
        }
    }
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
