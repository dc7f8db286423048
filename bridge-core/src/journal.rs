//! Which sessions are to be written down: marked by the machines, frozen at the end of a turn, carried away by the driver.

use crate::peer::GatewayId;
use crate::uplink::Token;
use foldhash::fast::FixedState;
use indexmap::IndexSet;

/// What has changed since it was last carried away. Costs nothing while there is no durable store.
#[derive(Debug, Default)]
pub struct Journal {
    on: bool,
    changed: IndexSet<(GatewayId, Token), FixedState>,
    gone: Vec<(GatewayId, Box<str>)>,
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
            self.changed.insert((gateway, client));
        }
    }

    /// There is nothing to keep of this client any more.
    pub fn forget(&mut self, gateway: GatewayId, id: &str) {
        if self.on {
            self.gone.push((gateway, id.into()));
        }
    }

    /// True when there is nothing to carry away.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }

    /// Clients of whom nothing is to be kept: to be removed first, since a new session may have an old id.
    pub fn take_gone(&mut self) -> Vec<(GatewayId, Box<str>)> {
        std::mem::take(&mut self.gone)
    }

    /// The next session to freeze, in the order in which they were first touched.
    pub fn take_changed(&mut self) -> Vec<(GatewayId, Token)> {
        self.changed.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_often_is_written_once() {
        let (sn, a, b) = (GatewayId(0), Token(1), Token(2));
        let mut journal = Journal::new(true);
        journal.touch(sn, a);
        journal.touch(sn, b);
        journal.touch(sn, a);
        journal.forget(sn, "lamp");
        assert_eq!(journal.take_gone(), [(sn, "lamp".into())]);
        assert_eq!(journal.take_changed(), [(sn, a), (sn, b)]);
        assert!(journal.is_empty());
    }

    #[test]
    fn without_a_store_nothing_is_kept() {
        let mut journal = Journal::new(false);
        journal.touch(GatewayId(0), Token(1));
        journal.forget(GatewayId(0), "lamp");
        assert!(journal.is_empty());
    }
}
