//! How many sessions a listener lets in, and how fast: node-wide limits, asked once per new session.

use crate::peer::ListenerId;
use crate::time::Now;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The limits of one listener, shared by all shards.
#[derive(Debug)]
pub struct Gate {
    /// Sessions at once; 0 = no limit.
    max_sessions: AtomicU32,
    /// New sessions per second; 0 = no limit.
    max_rate: AtomicU32,
    sessions: AtomicU32,
    /// The second (upper half) and the sessions let in during it (lower half).
    window: AtomicU64,
}

/// Why a listener lets nobody in just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// `max_connections` sessions live.
    Full,
    /// `max_conn_rate` new sessions came this second.
    TooFast,
    /// The listener does not hear its address (`access`). No gate says so; whoever stands before it does.
    Denied,
}

impl Shut {
    /// The key of the listener that says so: a constant label.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Full => "max_connections",
            Self::TooFast => "max_conn_rate",
            Self::Denied => "access",
        }
    }
}

impl Gate {
    /// A gate with these limits; 0 = none.
    #[must_use]
    pub const fn new(max_sessions: u32, max_rate: u32) -> Self {
        Self {
            max_sessions: AtomicU32::new(max_sessions),
            max_rate: AtomicU32::new(max_rate),
            sessions: AtomicU32::new(0),
            window: AtomicU64::new(0),
        }
    }

    /// Other limits from now on; who is in stays in.
    pub fn set_limits(&self, max_sessions: u32, max_rate: u32) {
        self.max_sessions.store(max_sessions, Ordering::Relaxed);
        self.max_rate.store(max_rate, Ordering::Relaxed);
    }

    /// Lets one session in; [`Gate::leave`] must follow when it ends.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn enter(&self, now: Now) -> Result<(), Shut> {
        // The count first: a refused session must not use up this second's allowance.
        self.readmit()?;
        if !self.within_rate(now) {
            self.leave();
            return Err(Shut::TooFast);
        }
        Ok(())
    }

    /// Lets in a session that was in when an earlier process ended: it is not a new one. [`Gate::leave`] must follow when
    /// it ends.
    ///
    /// # Errors
    /// [`Shut::Full`].
    pub fn readmit(&self) -> Result<(), Shut> {
        let before = self.sessions.fetch_add(1, Ordering::Relaxed);
        let most = self.max_sessions.load(Ordering::Relaxed);
        if most != 0 && before >= most {
            self.leave();
            return Err(Shut::Full);
        }
        Ok(())
    }

    /// A session has ended.
    pub fn leave(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sessions that live now.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Sessions at once; 0 = no limit.
    #[must_use]
    pub fn max_sessions(&self) -> u32 {
        self.max_sessions.load(Ordering::Relaxed)
    }

    fn within_rate(&self, now: Now) -> bool {
        let most = self.max_rate.load(Ordering::Relaxed);
        if most == 0 {
            return true;
        }
        let second = (now.mono_ms / 1000) << 32;
        let update = |window: u64| {
            let used = if window & !0xFFFF_FFFF == second { window & 0xFFFF_FFFF } else { 0 };
            (used < u64::from(most)).then_some(second | (used + 1))
        };
        self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).is_ok()
    }
}

/// All listeners' gates, by [`ListenerId`].
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<[Arc<Gate>]>);

impl Gates {
    /// In the order of the listeners' numbers.
    #[must_use]
    pub fn new(gates: Vec<impl Into<Arc<Gate>>>) -> Self {
        Self(gates.into_iter().map(Into::into).collect())
    }

    /// See [`Gate::enter`]. A listener without a gate lets everybody in.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn enter(&self, listener: ListenerId, now: Now) -> Result<(), Shut> {
        self.get(listener).map_or(Ok(()), |gate| gate.enter(now))
    }

    /// See [`Gate::readmit`]. A listener without a gate lets everybody in.
    ///
    /// # Errors
    /// [`Shut::Full`].
    pub fn readmit(&self, listener: ListenerId) -> Result<(), Shut> {
        self.get(listener).map_or(Ok(()), Gate::readmit)
    }

    /// See [`Gate::leave`].
    pub fn leave(&self, listener: ListenerId) {
        if let Some(gate) = self.get(listener) {
            gate.leave();
        }
    }

    /// The gate of `listener`.
    #[must_use]
    pub fn get(&self, listener: ListenerId) -> Option<&Gate> {
        self.0.get(usize::from(listener.0)).map(|gate| &**gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 0 }
    }

    #[test]
    fn a_full_listener_lets_in_as_many_as_leave() {
        let gate = Gate::new(2, 0);
        assert_eq!((gate.enter(at(0)), gate.enter(at(0)), gate.enter(at(0))), (Ok(()), Ok(()), Err(Shut::Full)));
        gate.leave();
        assert_eq!((gate.enter(at(0)), gate.sessions()), (Ok(()), 2));
    }

    #[test]
    fn a_second_has_its_allowance() {
        let gate = Gate::new(0, 2);
        assert_eq!((gate.enter(at(0)), gate.enter(at(999))), (Ok(()), Ok(())));
        assert_eq!(gate.enter(at(999)), Err(Shut::TooFast));
        assert_eq!(gate.enter(at(1000)), Ok(()));
        assert_eq!(gate.sessions(), 3);
    }

    #[test]
    fn new_limits_hold_for_who_comes_next() {
        let gate = Gate::new(1, 0);
        assert_eq!((gate.enter(at(0)), gate.enter(at(0))), (Ok(()), Err(Shut::Full)));
        gate.set_limits(3, 1);
        assert_eq!((gate.enter(at(0)), gate.enter(at(0))), (Ok(()), Err(Shut::TooFast)));
        gate.set_limits(1, 0);
        assert_eq!((gate.enter(at(5000)), gate.sessions()), (Err(Shut::Full), 2), "who is in stays in");
    }

    #[test]
    fn who_was_in_before_comes_back_as_fast_as_it_likes_while_there_is_room() {
        let gate = Gate::new(3, 1);
        assert_eq!(
            [gate.readmit(), gate.readmit(), gate.enter(at(0)), gate.readmit()],
            [Ok(()), Ok(()), Ok(()), Err(Shut::Full)]
        );
        assert_eq!(gate.sessions(), 3);
    }

    #[test]
    fn zero_means_no_limit() {
        let gate = Gate::new(0, 0);
        assert!((0..10_000).all(|_| gate.enter(at(0)).is_ok()));
    }
}
