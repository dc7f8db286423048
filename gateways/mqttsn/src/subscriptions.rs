//! The subscriptions of one session: what it has asked for, where the text lies, which SUBACKs are owed.

use crate::base::Base;
use crate::counts::Count;
use crate::predefined::Known;
use crate::registry::{Registry, most_octets};
use bridge_core::Qos;
use bridge_core::machine::Cx;
use bridge_core::topic::{TopicFilter, TopicName};
use bridge_core::uplink::{ClientRef, Taken, Token, Uplink};
use codec_mqttsn::{Filter, MsgId, TopicId};

/// No topic has it.
pub(crate) const NO_ID: TopicId = TopicId(0);
/// SUBSCRIBEs of one session for filters that it has asked for already, and got no answer to.
pub(crate) const MOST_ASKED_AGAIN: usize = 16;

/// The subscriptions of one session.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    pub(crate) list: Vec<Subscription>,
    /// SUBACKs that are owed beside the one of the subscription: the client has asked again before the broker answered.
    pub(crate) also: Box<[(u32, Pending)]>,
    next: u32,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) token: u32,
    pub(crate) filter: Place,
    /// As asked for, and as granted once it is.
    pub(crate) qos: Qos,
    /// SUBACK is owed.
    pub(crate) pending: Option<Pending>,
}

/// Where a filter's text lies: most are topics that the registry or the configuration holds anyway.
#[derive(Debug)]
pub(crate) enum Place {
    Registered(TopicId),
    Predefined(TopicId),
    Here(Box<str>),
}

/// What SUBACK will say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) msg_id: MsgId,
    pub(crate) topic_id: TopicId,
}

impl Subscriptions {
    pub(crate) fn position(&self, text: &str, registry: &Registry, predefined: Known<'_>) -> Option<usize> {
        self.list.iter().position(|s| s.filter.text(registry, predefined) == Some(text))
    }

    /// True when one more may join: by their number, and by the octets of the filters that lie nowhere else.
    pub(crate) fn has_room(&self, place: &Place, most: u16) -> bool {
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

    /// No SUBACK is owed any more: the answers that they wait for do not come. A repeated SUBSCRIBE asks anew.
    pub(crate) fn forget_pending(&mut self) {
        self.list.iter_mut().for_each(|entry| entry.pending = None);
        self.also = Box::default();
    }

    /// Forgets all. Answers to come must find nothing, so their numbers are not given again.
    pub(crate) fn clear(&mut self) {
        (self.list, self.also) = (Vec::new(), Box::default());
    }

    /// True when SUBACK with this msg id is owed for the subscription.
    pub(crate) fn is_owed(&self, entry: &Subscription, msg_id: MsgId) -> bool {
        entry.pending.is_some_and(|pending| pending.msg_id == msg_id)
            || self.also.iter().any(|(token, pending)| *token == entry.token && pending.msg_id == msg_id)
    }

    /// All that is owed for a subscription, the oldest first; nothing is any more then.
    pub(crate) fn settle(&mut self, position: usize) -> Vec<Pending> {
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
        let Some((_, place)) = place(filter, &asked, registry, predefined, most) else { return Some(()) };
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
    pub(crate) fn join(
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
        if let Taken::Full | Taken::Later(_) | Taken::Denied(_) = taken {
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
    pub(crate) fn part(
        &mut self,
        base: &Base,
        cx: &mut Cx<'_>,
        client: ClientRef,
        place: usize,
        filter: TopicFilter<'_>,
    ) {
        // A SUBACK that is owed does not come any more.
        let _forgotten = self.settle(place);
        let Subscription { token, .. } = self.list.remove(place);
        let uplink = Uplink::Unsubscribe { token: Token(u64::from(token)), filter };
        if let Taken::Full | Taken::Later(_) | Taken::Denied(_) = cx.bridge.up(cx.now, client, uplink) {
            base.counts.up(Count::BrokerRefused);
        }
    }
}

impl Place {
    pub(crate) fn text<'a>(&'a self, registry: &'a Registry, predefined: Known<'a>) -> Option<&'a str> {
        match self {
            Self::Registered(id) => registry.name(*id).map(TopicName::as_str),
            Self::Predefined(id) => predefined.name(*id).map(TopicName::as_str),
            Self::Here(text) => Some(text),
        }
    }

    pub(crate) fn octets(&self) -> usize {
        match self {
            Self::Registered(_) | Self::Predefined(_) => 0,
            Self::Here(text) => text.len(),
        }
    }
}

/// The id that SUBACK tells, and where the filter's text is kept. `None`: no further topic may have an id.
pub(crate) fn place(
    filter: TopicFilter<'_>,
    asked: &Filter<'_>,
    registry: &mut Registry,
    predefined: Known<'_>,
    max_topics: u16,
) -> Option<(TopicId, Place)> {
    match (asked, filter.as_name()) {
        (Filter::Predefined(id), _) => Some((*id, Place::Predefined(*id))),
        (Filter::Name(_), Some(name)) => {
            if let Some(id) = predefined.find(name.as_str()) {
                return Some((id, Place::Predefined(id)));
            }
            registry.give(name, max_topics).map(|id| (id, Place::Registered(id)))
        }
        (Filter::Name(_) | Filter::Short(_) | Filter::Reserved(_), _) => {
            Some((NO_ID, Place::Here(filter.as_str().into())))
        }
    }
}
