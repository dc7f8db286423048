//! Which sessions are to be written down: marked by the machines, frozen at the end of a turn, carried away by the driver.

use crate::peer::GatewayId;
use crate::uplink::Token;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use std::collections::{BTreeSet, VecDeque};

/// What has changed since it was last carried away. Costs nothing while there is no durable store.
///
/// Marks are counted, so that who waits for one to be written can tell when that is so: see [`Journal::marks`].
#[derive(Debug, Default)]
pub struct Journal {
    on: bool,
    marks: u64,
    changed: HashSet<(GatewayId, Token), FixedState>,
    /// Those that have changed, in the order of their first mark, and that mark's number.
    order: VecDeque<(u64, GatewayId, Token)>,
    /// Each once: while nothing is written, who comes and goes must not make it longer.
    gone: BTreeSet<(GatewayId, Box<str>)>,
}

impl Journal {
    /// A journal; `durable`: there is a store that outlives the process.
    #[must_use]
    pub fn new(durable: bool) -> Self {
        Self { on: durable, ..Self::default() }
    }

    /// True when what is marked gets written.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.on
    }

    /// This session is not what it was: it will be frozen at the end of the turn.
    #[inline]
    pub fn touch(&mut self, gateway: GatewayId, client: Token) {
        if self.on {
            self.mark(gateway, client);
        }
    }

    fn mark(&mut self, gateway: GatewayId, client: Token) {
        self.marks += 1;
        if self.changed.insert((gateway, client)) {
            self.order.push_back((self.marks, gateway, client));
        }
    }

    /// There is nothing to keep of this client any more.
    pub fn forget(&mut self, gateway: GatewayId, id: &str) {
        if self.on {
            self.gone.insert((gateway, id.into()));
        }
    }

    /// True when there is nothing to carry away.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty() && self.gone.is_empty()
    }

    /// How many sessions there are to carry away.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len().saturating_add(self.gone.len())
    }

    /// How often a session has been marked so far: the number of the latest mark.
    #[must_use]
    pub const fn marks(&self) -> u64 {
        self.marks
    }

    /// All marks up to this one have been carried away, in a session frozen after it.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.order.front().map_or(self.marks, |(first, ..)| first.saturating_sub(1))
    }

    /// A client of whom nothing is to be kept. All of these go before [`Journal::next_changed`], since a new session may
    /// have an old id.
    pub fn next_gone(&mut self) -> Option<(GatewayId, Box<str>)> {
        self.gone.pop_first()
    }

    /// The next session to freeze, in the order in which they were first marked.
    pub fn next_changed(&mut self) -> Option<(GatewayId, Token)> {
        let (_, gateway, client) = self.order.pop_front()?;
        self.changed.remove(&(gateway, client));
        Some((gateway, client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SN: GatewayId = GatewayId(0);

    #[test]
    fn what_changes_often_is_written_once() {
        let (a, b) = (Token(1), Token(2));
        let mut journal = Journal::new(true);
        for client in [a, b, a] {
            journal.touch(SN, client);
        }
        for _ in 0..2 {
            journal.forget(SN, "lamp");
        }
        assert_eq!(journal.len(), 3);
        assert_eq!((journal.next_gone(), journal.next_gone()), (Some((SN, "lamp".into())), None));
        assert_eq!([journal.next_changed(), journal.next_changed()], [Some((SN, a)), Some((SN, b))]);
        assert!(journal.is_empty());
    }

    #[test]
    fn a_mark_is_carried_away_with_the_session_that_it_marked() {
        let (a, b) = (Token(1), Token(2));
        let mut journal = Journal::new(true);
        for client in [a, b, a, b] {
            journal.touch(SN, client);
        }
        assert_eq!((journal.len(), journal.marks(), journal.carried()), (2, 4, 0));
        journal.next_changed();
        assert_eq!(journal.carried(), 1, "a is frozen with its second mark; but the second of all is b's");
        journal.touch(SN, a);
        journal.next_changed();
        assert_eq!(journal.carried(), 4, "the fifth is a's, which changed after it was frozen");
        journal.next_changed();
        assert_eq!(journal.carried(), 5);
    }

    #[test]
    fn without_a_store_nothing_is_kept() {
        let mut journal = Journal::new(false);
        journal.touch(SN, Token(1));
        journal.forget(SN, "lamp");
        assert!(journal.is_empty());
        assert_eq!(journal.marks(), 0);
    }
}
