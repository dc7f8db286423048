//! SUBSCRIBE and UNSUBSCRIBE: sent in the order in which they were asked for, answered in any.

use codec_mqtt::{PacketId, Qos, RetainHandling};
use std::collections::{BTreeMap, VecDeque};

/// One filter to subscribe or to unsubscribe.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) filter: Box<str>,
    pub(super) ask: Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Subscribe { id: u32, qos: Qos, retain_handling: RetainHandling },
    Unsubscribe,
}

/// A broker works through the packets of one connection in their order, so one line keeps those of one filter apart.
///
/// When the connection ends, SUBSCRIBEs are forgotten: whoever is above the link asks again for what it wants once it is
/// back. UNSUBSCRIBEs nobody would ask for again: as long as the broker keeps the session, they are.
#[derive(Debug)]
pub(super) struct Requests {
    /// Packet ids are `base` + 1 to `base` + [`MAX_OUTSTANDING`].
    base: u16,
    last: u16,
    waiting: VecDeque<Request>,
    /// By packet id, with their place in the order of sending.
    sent: BTreeMap<u16, (u64, Request)>,
    orders: u64,
    /// UNSUBSCRIBEs among `sent`.
    unsubscribes: usize,
}

impl Requests {
    pub(super) const fn new(base: u16) -> Self {
        Self { base, last: 0, waiting: VecDeque::new(), sent: BTreeMap::new(), orders: 0, unsubscribes: 0 }
    }

    /// Puts a request at the end of the line; false when that is full.
    pub(super) fn ask(&mut self, request: Request) -> bool {
        let room = self.waiting.len() < MAX_WAITING;
        if room {
            self.waiting.push_back(request);
        }
        room
    }

    /// Requests that have yet to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next request that may be sent, and its packet id.
    pub(super) fn next(&mut self) -> Option<(PacketId, Request)> {
        if self.sent.len() >= usize::from(MAX_OUTSTANDING) || self.waiting.is_empty() {
            return None;
        }
        loop {
            self.last = self.last % MAX_OUTSTANDING + 1;
            let id = self.base.saturating_add(self.last);
            if !self.sent.contains_key(&id) {
                return Some((PacketId::new(id)?, self.waiting.pop_front()?));
            }
        }
    }

    /// What [`Requests::next`] gave has been sent.
    pub(super) fn sent(&mut self, id: PacketId, request: Request) {
        self.orders += 1;
        self.unsubscribes += usize::from(request.ask == Ask::Unsubscribe);
        self.sent.insert(id.get(), (self.orders, request));
    }

    /// The subscription that SUBACK `id` answers.
    pub(super) fn subscribed(&mut self, id: PacketId) -> Option<u32> {
        let (_, Request { ask: Ask::Subscribe { .. }, .. }) = self.sent.get(&id.get())? else { return None };
        let (order, request) = self.sent.remove(&id.get())?;
        if self.unsubscribes > 0 {
            // An earlier UNSUBSCRIBE of the filter is as good as answered; sent again, it would end this subscription.
            let overtaken =
                |(o, r): &(u64, Request)| *o < order && r.ask == Ask::Unsubscribe && r.filter == request.filter;
            self.sent.retain(|_, entry| !overtaken(entry));
            self.unsubscribes = self.sent.values().filter(|(_, r)| r.ask == Ask::Unsubscribe).count();
        }
        match request.ask {
            Ask::Subscribe { id, .. } => Some(id),
            Ask::Unsubscribe => None,
        }
    }

    /// The filter of the UNSUBSCRIBE that UNSUBACK `id` answers.
    pub(super) fn unsubscribed(&mut self, id: PacketId) -> Option<Box<str>> {
        let (_, Request { ask: Ask::Unsubscribe, .. }) = self.sent.get(&id.get())? else { return None };
        let (_, request) = self.sent.remove(&id.get())?;
        self.unsubscribes = self.unsubscribes.saturating_sub(1);
        Some(request.filter)
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        let mut unanswered: Vec<_> = std::mem::take(&mut self.sent).into_values().collect();
        unanswered.sort_unstable_by_key(|(order, _)| *order);
        self.unsubscribes = 0;
        for (_, request) in unanswered.into_iter().rev() {
            self.waiting.push_front(request);
        }
        self.waiting.retain(|request| request.ask == Ask::Unsubscribe);
    }

    /// Gives back all memory, if nothing is asked.
    pub(super) fn let_go(&mut self) {
        if self.sent.is_empty() && self.waiting.is_empty() {
            (self.sent, self.waiting) = (BTreeMap::new(), VecDeque::new());
        }
    }

    /// The session is gone: there is nothing to unsubscribe any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }

    #[cfg(test)]
    pub(super) fn outstanding(&self) -> usize {
        self.sent.len()
    }
}

/// Requests sent and not answered.
pub(super) const MAX_OUTSTANDING: u16 = 1024;
/// Requests that wait for one of those to be answered, or for the broker.
const MAX_WAITING: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_wait_is_bounded() {
        let request = || Request { filter: "a".into(), ask: Ask::Unsubscribe };
        let mut requests = Requests::new(8);
        assert!((0..MAX_WAITING).all(|_| requests.ask(request())));
        assert!(!requests.ask(request()));
        assert!(requests.next().is_some() && requests.ask(request()), "one has left");
    }
}
