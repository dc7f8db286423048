//! The subscriptions that one link holds at the broker, and the devices behind each.
//!
//! Many devices on one filter are one subscription upstream. Each SUBSCRIBE carries a fresh subscription identifier, so
//! that what the broker kept goes to the devices whose subscribe asked for it and to nobody else, and so that of the
//! copies that a broker sends for overlapping filters each goes to the subscribers of exactly its filter.
//! At most one SUBSCRIBE per filter is unanswered; devices that come meanwhile share the next one.
//!
//! It is long because it is one table: filters, members and identifiers change together, in each of its methods.

mod memory;
#[cfg(test)]
mod tests;

pub(crate) use memory::Change;
pub use memory::FilterRecord;

use crate::peer::GatewayId;
use crate::slab::{Key, Slab};
use crate::topic::TopicFilter;
use crate::trie::SubscriptionTrie;
use crate::uplink::{ClientRef, Refusal, Token};
use codec_mqtt::Qos;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use indexmap::IndexMap;
use std::collections::VecDeque;

/// Subscription identifiers are variable byte integers, never 0 (MQTT 5.0 §3.8.2.1.2).
const MAX_ID: u32 = 268_435_455;
/// Replaced identifiers that are still understood: the broker may have queued messages under them.
const RETIRED: usize = 4096;
/// Retain Handling (MQTT 5.0 §3.8.3.1): send what is kept at this subscribe.
const SEND_RETAINED: u8 = 0;
/// Retain Handling: send nothing that is kept.
const SEND_NOTHING: u8 = 2;

/// One subscription of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) client: ClientRef,
    /// The machine's number for the client.
    pub(crate) handle: Token,
    pub(crate) gateway: GatewayId,
    /// The machine's number for the subscription.
    pub(crate) subscription: Token,
    /// Octets of the client's mountpoint in front of each topic.
    pub(crate) mount: u16,
}

/// A SUBSCRIBE to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) id: u32,
    pub(crate) filter: Box<str>,
    pub(crate) qos: Qos,
    pub(crate) retain_handling: u8,
}

/// What follows from the broker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The SUBSCRIBE of those who came meanwhile.
    Ask(Ask),
    /// It refused, and nobody is left: what it had granted before is to be taken back.
    Unsubscribe(Box<str>),
}

/// How a device comes to a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coming {
    /// It subscribes, and waits for the answer.
    New {
        /// It wants what the broker kept.
        retained: bool,
    },
    /// It was subscribed in an earlier process, and is told nothing unless the broker refuses.
    Back {
        /// The broker can be asked.
        online: bool,
    },
}

/// What one subscriber is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) who: Subscriber,
    pub(crate) filter: Key,
    pub(crate) granted: Result<Qos, Refusal>,
    /// It did not wait for an answer: it loses what it had.
    pub(crate) late: bool,
}

/// What follows from a device's subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The broker must be asked; its answer goes through [`Upstream::answered`].
    Ask(Ask),
    /// Goes with the SUBSCRIBE after the one that is under way, or with those of [`Upstream::restore`].
    Waits,
    /// The broker has granted as much already, and the device is owed nothing that is kept.
    Granted(Qos),
}

/// A subscriber behind one filter.
#[derive(Debug)]
struct Member {
    who: Subscriber,
    qos: Qos,
    /// The identifier of the SUBSCRIBE that serves it.
    cause: u32,
    /// Its place among those whom that serves.
    seat: u32,
    /// It wants what the broker kept.
    owed: bool,
    /// It waits for its answer.
    due: bool,
    /// It was granted before.
    active: bool,
}

/// One filter upstream.
#[derive(Debug)]
struct Filter {
    text: Box<str>,
    /// Octets of `$share/GROUP/` in `text`.
    share: usize,
    members: IndexMap<(ClientRef, Token), Member, FixedState>,
    /// What the broker was asked for last, under which identifier.
    qos: Qos,
    id: u32,
    /// What it granted last.
    granted: Option<Qos>,
    /// The SUBSCRIBE that was sent last has no answer yet.
    unanswered: bool,
    /// Devices wait for the SUBSCRIBE after that one, under this identifier.
    next: Option<u32>,
    /// Whose turn it is, when shared.
    turn: usize,
}

/// What one identifier stands for.
#[derive(Debug)]
struct Cause {
    filter: Key,
    /// Who asked for it. Who left and came back while it waited is there twice, but has only the last of its seats.
    served: Vec<(ClientRef, Token)>,
}

/// The subscriptions of one link.
#[derive(Debug)]
pub(crate) struct Upstream {
    filters: Slab<Filter>,
    trie: SubscriptionTrie<Key>,
    causes: HashMap<u32, Cause, FixedState>,
    retired: VecDeque<u32>,
    last_id: u32,
    /// The identifier of the SUBSCRIBE that was granted last.
    granted_last: u32,
    scratch: Vec<Key>,
    /// What the next process must know of the filters, as far as it has changed; `None` = there is nobody to tell.
    /// Devices choose the filters, so nobody may know how they are hashed.
    changes: Option<IndexMap<Box<str>, Change, foldhash::quality::RandomState>>,
}

impl Upstream {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            filters: Slab::default(),
            trie: SubscriptionTrie::new(seed),
            causes: HashMap::default(),
            retired: VecDeque::new(),
            last_id: 0,
            granted_last: 0,
            scratch: Vec::new(),
            changes: None,
        }
    }

    /// Filters held upstream.
    pub(crate) const fn len(&self) -> usize {
        self.filters.len()
    }

    /// Puts `who` behind `filter`, or replaces the subscription that it already has there. `None` when full.
    pub(crate) fn join(
        &mut self,
        filter: TopicFilter<'_>,
        who: Subscriber,
        qos: Qos,
        coming: Coming,
    ) -> Option<(Key, Joined)> {
        let key = match self.find(filter) {
            Some(key) => key,
            None => self.add(filter)?,
        };
        let owed = coming == (Coming::New { retained: true }) && !filter.is_shared();
        let back = matches!(coming, Coming::Back { .. });
        let place = (who.client, who.subscription);
        let entry = self.filters.get_mut(key)?;
        let before = entry.members.get(&place).map(|m| (m.cause, m.seat));
        let active = back || entry.members.get(&place).is_some_and(|m| m.active);
        let mut member = Member { who, qos, cause: entry.id, seat: NO_SEAT, owed, due: !back, active };
        if let Some(granted) = entry.granted
            && !owed
            && !entry.unanswered
            && qos <= entry.qos
        {
            (member.due, member.active) = (false, true);
            entry.members.insert(place, member);
            return Some((key, Joined::Granted(granted.min(qos))));
        }
        if coming == (Coming::Back { online: false }) {
            entry.members.insert(place, member);
            return Some((key, Joined::Waits));
        }
        let (id, waits) = match (entry.unanswered, entry.next) {
            (true, Some(next)) => (next, true),
            (waits, _) => (fresh(&mut self.last_id, &self.causes), waits),
        };
        let served = &mut self.causes.entry(id).or_insert_with(|| Cause { filter: key, served: Vec::new() }).served;
        member.cause = id;
        member.seat = match before {
            Some((cause, seat)) if cause == id => seat,
            _ => {
                served.push(place);
                last_seat(served)
            }
        };
        entry.members.insert(place, member);
        entry.next = waits.then_some(id);
        let joined = if waits { Joined::Waits } else { self.ask(key, id).map_or(Joined::Waits, Joined::Ask) };
        Some((key, joined))
    }

    pub(crate) fn find(&self, filter: TopicFilter<'_>) -> Option<Key> {
        self.trie
            .values(filter.pattern())
            .find(|&key| self.filters.get(key).is_some_and(|entry| &*entry.text == filter.as_str()))
    }

    /// The text of a filter, mountpoint and `$share` part included.
    pub(crate) fn filter(&self, key: Key) -> Option<&str> {
        self.filters.get(key).map(|entry| &*entry.text)
    }

    fn add(&mut self, filter: TopicFilter<'_>) -> Option<Key> {
        let key = self.filters.insert(Filter {
            text: filter.as_str().into(),
            share: filter.share_prefix().len(),
            members: IndexMap::default(),
            qos: Qos::AtMostOnce,
            id: 0,
            granted: None,
            unanswered: false,
            next: None,
            turn: 0,
        })?;
        self.trie.insert(filter.pattern(), key);
        Some(key)
    }

    /// Makes `id` the filter's identifier and says what to send.
    fn ask(&mut self, key: Key, id: u32) -> Option<Ask> {
        let entry = self.filters.get_mut(key)?;
        if entry.members.is_empty() {
            return None;
        }
        let old = std::mem::replace(&mut entry.id, id);
        entry.unanswered = true;
        // Only those it serves are looked at: a filter may have 100,000 members, who come one by one. So it may ask for
        // more than those who are left want, until all is asked for again.
        let mut owed = false;
        let places = self.causes.get(&id).into_iter().flat_map(|cause| &cause.served);
        for member in places.filter_map(|place| entry.members.get(place)).filter(|m| m.cause == id) {
            owed |= member.owed;
            entry.qos = entry.qos.max(member.qos);
        }
        let ask = Ask {
            id,
            filter: entry.text.clone(),
            qos: entry.qos,
            retain_handling: if owed { SEND_RETAINED } else { SEND_NOTHING },
        };
        self.note(key);
        self.retire(old);
        Some(ask)
    }

    /// Takes a subscription off its filter. The text is to be unsubscribed when nobody is left behind it.
    pub(crate) fn leave(&mut self, filter: Key, client: ClientRef, subscription: Token) -> Option<Box<str>> {
        let entry = self.filters.get_mut(filter)?;
        entry.members.swap_remove(&(client, subscription));
        if entry.members.is_empty() { self.drop_filter(filter) } else { None }
    }

    fn drop_filter(&mut self, key: Key) -> Option<Box<str>> {
        let entry = self.filters.remove(key)?;
        self.trie.remove(entry.text.get(entry.share..)?, key);
        self.retire(entry.id);
        if let Some(next) = entry.next {
            self.causes.remove(&next);
        }
        if entry.granted.is_none() && !entry.unanswered {
            self.gone(&entry.text);
        }
        Some(entry.text)
    }

    /// The broker's answer to the SUBSCRIBE with `id`. `tell` hears who is to be told what; a refused subscription has
    /// ended. A refusal leaves in force what was granted before; where that is nothing, since the broker has forgotten it,
    /// those who had it lose it, although they did not ask.
    pub(crate) fn answered(
        &mut self,
        id: u32,
        granted: Result<Qos, Refusal>,
        mut tell: impl FnMut(&Told),
    ) -> Option<Then> {
        let cause = self.causes.get(&id)?;
        let key = cause.filter;
        let entry = self.filters.get_mut(key)?;
        if entry.id != id || !entry.unanswered {
            return None;
        }
        entry.unanswered = false;
        if granted.is_ok() {
            self.granted_last = id;
        }
        entry.granted = granted.ok().or(entry.granted);
        let held = entry.granted.is_some();
        for place in &cause.served {
            let Some(member) = entry.members.get_mut(place).filter(|m| m.cause == id && m.due) else { continue };
            member.due = false;
            member.active = granted.is_ok();
            tell(&Told { who: member.who, filter: key, granted: granted.map(|qos| qos.min(member.qos)), late: false });
        }
        if granted.is_err() {
            for member in entry.members.values().filter(|m| m.active && !m.due && !held) {
                tell(&Told { who: member.who, filter: key, granted, late: true });
            }
            entry.members.retain(|_, m| m.due || (m.active && held));
        }
        if entry.members.is_empty() {
            return self.drop_filter(key).filter(|_| held).map(Then::Unsubscribe);
        }
        let next = entry.next.take();
        self.note(key);
        self.ask(key, next?).map(Then::Ask)
    }

    /// Whom a message concerns. `ids`: the subscription identifiers that came with it.
    ///
    /// An identifier that we have forgotten, or that an earlier process gave out in its last moments, is as good as none.
    /// A broker that names none sends what it kept after the answer to the SUBSCRIBE that it is for, and most send it
    /// before they read the next one: so it is for those who asked by the SUBSCRIBE that was answered last.
    pub(crate) fn recipients(
        &mut self,
        topic: &str,
        ids: &(impl Iterator<Item = u32> + Clone),
        retained: bool,
        mut to: impl FnMut(&Subscriber, Qos),
    ) {
        let (mut identified, mut forgotten) = (false, false);
        for id in ids.clone() {
            let Some(cause) = self.causes.get(&id) else {
                forgotten = true;
                continue;
            };
            identified = true;
            let Some(entry) = self.filters.get_mut(cause.filter) else { continue };
            if retained { entry.kept(cause, id, &mut to) } else { entry.live(id, &mut to) }
        }
        if identified && (retained || !forgotten) {
            return;
        }
        let mut keys = std::mem::take(&mut self.scratch);
        self.trie.matches(topic, |key| keys.push(key));
        if identified {
            // One copy for several filters, of which we have forgotten one: it is among those that are not named.
            let causes = &self.causes;
            keys.retain(|key| !ids.clone().any(|id| causes.get(&id).is_some_and(|cause| cause.filter == *key)));
        }
        let newest = self.causes.get(&self.granted_last).filter(|cause| retained && keys.contains(&cause.filter));
        if let Some((cause, entry)) = newest.and_then(|cause| Some((cause, self.filters.get(cause.filter)?))) {
            entry.kept(cause, self.granted_last, &mut to);
            keys.clear();
        }
        for key in keys.drain(..) {
            let Some(entry) = self.filters.get_mut(key) else { continue };
            match self.causes.get(&entry.id) {
                Some(cause) if retained => entry.kept(cause, entry.id, &mut to),
                _ if retained => {}
                _ => entry.live(entry.id, &mut to),
            }
        }
        self.scratch = keys;
    }

    /// `id` was replaced, but messages under it may still come.
    fn retire(&mut self, id: u32) {
        if id == 0 {
            return;
        }
        self.retired.push_back(id);
        if self.retired.len() > RETIRED
            && let Some(oldest) = self.retired.pop_front()
        {
            self.causes.remove(&oldest);
        }
    }
}

impl Filter {
    /// A message that was just published. One that comes under a SUBSCRIBE whose answer is still on its way concerns
    /// those who asked by it, too.
    fn live(&mut self, id: u32, to: &mut impl FnMut(&Subscriber, Qos)) {
        if self.share == 0 {
            for member in self.members.values().filter(|m| m.active || m.cause == id) {
                to(&member.who, member.qos);
            }
            return;
        }
        let count = self.members.len();
        let next = (0..count).map(|step| (self.turn.wrapping_add(step)).checked_rem(count).unwrap_or(0));
        let chosen = next.into_iter().find(|&at| self.members.get_index(at).is_some_and(|(_, m)| m.active));
        if let Some((at, (_, member))) = chosen.and_then(|at| Some((at, self.members.get_index(at)?))) {
            self.turn = at.wrapping_add(1);
            to(&member.who, member.qos);
        }
    }

    /// A message that the broker kept: for those who asked by `id` only.
    fn kept(&self, cause: &Cause, id: u32, to: &mut impl FnMut(&Subscriber, Qos)) {
        for (place, seat) in cause.served.iter().zip(0..) {
            if let Some(member) = self.members.get(place).filter(|m| m.owed && m.cause == id && m.seat == seat) {
                to(&member.who, member.qos);
            }
        }
    }
}

/// An identifier that stands for nothing. (They begin again after [`MAX_ID`]; far fewer are in use at once.)
fn fresh(last: &mut u32, causes: &HashMap<u32, Cause, FixedState>) -> u32 {
    loop {
        *last = if *last >= MAX_ID { 1 } else { *last + 1 };
        if !causes.contains_key(last) {
            return *last;
        }
    }
}

fn last_seat(served: &[(ClientRef, Token)]) -> u32 {
    u32::try_from(served.len().saturating_sub(1)).unwrap_or(NO_SEAT)
}

/// Of a member that no SUBSCRIBE of its own serves.
const NO_SEAT: u32 = u32::MAX;
