//! What always holds, for whoever tries the machine at random.

use crate::counts::Count;
use crate::down::Stage;
use crate::machine::Mqttsn;
use crate::session::State;
use bridge_core::slab::Key;

impl Mqttsn {
    /// Keys of all sessions, in slot order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.sessions.iter().map(|(key, _)| key)
    }

    /// True for a connected client that need give no sign of life, and owes none.
    pub(crate) fn lives_without_end(&self, key: Key) -> bool {
        let session = self.sessions.get(key);
        session.is_some_and(|s| s.is_active() && s.keepalive_s == 0 && s.down.is_idle())
    }

    /// True for a session that waits for nothing that is not written down. (Nor is whether a publication went before
    /// its topic was forgotten, or has to wait for that: the next process has it wait.)
    pub(crate) fn is_calm(&self, id: &str) -> bool {
        let Some(session) = self.sessions.named(id).and_then(|key| self.sessions.get(key)) else { return false };
        let flight = session.down.in_flight.as_ref().filter(|flight| flight.stage == Stage::Published);
        let untold = flight.is_some_and(|flight| !session.is_told(flight.held.way));
        !matches!(session.state, State::Connecting(_)) && !session.subscriptions.has_pending() && !untold
    }

    /// What always holds between two inputs.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) fn check(&self) {
        let (mut present, mut timers, mut receipts) = (0, 0, 0);
        let mut states = [0_u64; 5];
        for (key, session) in self.sessions.iter() {
            assert_eq!(self.sessions.named(&session.id), Some(key), "a session is not found by its id");
            if session.is_present() {
                present += 1;
                assert_eq!(self.sessions.at(session.address.at()), Some(key), "a session is not found by its address");
            }
            let [connecting, active, asleep, awake, away] = &mut states;
            match session.state {
                State::Connecting(_) => *connecting += 1,
                State::Active { .. } => *active += 1,
                State::Asleep(_) => *asleep += 1,
                State::Awake(_) => *awake += 1,
                State::Away { .. } => *away += 1,
            }
            timers += session.check(&self.base);
            receipts += session.down.receipts();
        }
        assert_eq!(present, self.sessions.bound(), "addresses that no session has");
        assert_eq!(timers, self.base.wheel.len(), "timers that no session has");
        assert_eq!(receipts, self.base.copies.get(), "messages that the broker will never hear of");
        let gauges = [Count::Connecting, Count::Active, Count::Asleep, Count::Awake, Count::Away];
        let gauges = gauges.map(|gauge| self.base.counts.get(gauge));
        assert_eq!(states, gauges, "gauges that lie");
    }
}
