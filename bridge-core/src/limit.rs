//! How much one session may publish: so many octets and so many messages in each interval, and so much at once.
//!
//! A session is kept no track of until it publishes through a listener that has a limit.

mod bucket;

pub use bucket::Allowance;

use crate::listeners::Listeners;
use crate::peer::ListenerId;
use crate::time::{Deadline, Now};
use settings::{PublishLimit, RateLimit};

/// What each session of a listener may publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// Octets of topic and payload (`rate_limit`).
    pub octets: Option<Allowance>,
    /// Messages (`publish_limit`).
    pub messages: Option<Allowance>,
}

impl SessionLimits {
    /// As configured.
    #[must_use]
    pub fn new(rate: Option<RateLimit>, publish: Option<PublishLimit>) -> Self {
        Self { octets: rate.map(Into::into), messages: publish.map(Into::into) }
    }

    /// True when there is no limit.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.octets.is_none() && self.messages.is_none()
    }
}

impl From<RateLimit> for Allowance {
    fn from(limit: RateLimit) -> Self {
        Self::new(limit.bytes(), limit.per_ms(), limit.burst())
    }
}

impl From<PublishLimit> for Allowance {
    fn from(limit: PublishLimit) -> Self {
        Self::new(limit.messages().into(), limit.per_ms(), limit.burst().into())
    }
}

/// A publication that must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// What is used up.
    pub which: Which,
    /// From then on it would be taken.
    pub until: Deadline,
}

/// A kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Octets.
    Rate,
    /// Messages.
    Publish,
}

/// What a session owes of late, at most 32 octets: see [`Allowance`].
#[derive(Debug)]
pub struct Spent {
    at_ms: u64,
    octets: u64,
    messages: u64,
    /// Of the limits that it is reckoned by.
    generation: u32,
}

/// The limits of one listener, in force.
#[derive(Clone, Copy, Debug)]
pub struct InForce {
    limits: SessionLimits,
    /// Counts the listener's limits: what was owed under others is forgiven.
    generation: u32,
}

impl InForce {
    /// Whether a session that has `spent` may publish a message of so many octets now. Nothing is charged.
    ///
    /// # Errors
    /// How long it must wait; `which` is the limit that makes it wait longest.
    pub fn admit(&self, now: Now, spent: Option<&Spent>, octets: u64) -> Result<(), Over> {
        let Some(spent) = spent.filter(|spent| spent.generation == self.generation) else { return Ok(()) };
        let elapsed = now.mono_ms.saturating_sub(spent.at_ms);
        let wait = |limit: Option<Allowance>, debt, cost| limit.map_or(0, |limit| limit.wait_ms(debt, elapsed, cost));
        let rate = wait(self.limits.octets, spent.octets, octets);
        let publish = wait(self.limits.messages, spent.messages, 1);
        let (which, wait) = if rate >= publish { (Which::Rate, rate) } else { (Which::Publish, publish) };
        if wait == 0 { Ok(()) } else { Err(Over { which, until: now.after_ms(wait) }) }
    }

    /// Charges a message of so many octets, whatever was charged before.
    pub fn charge(&self, now: Now, spent: &mut Option<Box<Spent>>, octets: u64) {
        let now_ms = now.mono_ms;
        let spent = spent.get_or_insert_with(|| Box::new(Spent::none(now_ms, self.generation)));
        if spent.generation != self.generation {
            **spent = Spent::none(now_ms, self.generation);
        }
        let elapsed = now_ms.saturating_sub(spent.at_ms);
        let charged =
            |limit: Option<Allowance>, debt, cost| limit.map_or(0, |limit| limit.charged(debt, elapsed, cost));
        spent.octets = charged(self.limits.octets, spent.octets, octets);
        spent.messages = charged(self.limits.messages, spent.messages, 1);
        spent.at_ms = spent.at_ms.max(now_ms);
    }
}

impl Spent {
    const fn none(at_ms: u64, generation: u32) -> Self {
        Self { at_ms, octets: 0, messages: 0, generation }
    }
}

/// The limits of all listeners, as one bridge applies them.
#[derive(Debug, Default)]
pub struct Limits {
    /// By number; empty while no listener has a limit.
    listeners: Box<[InForce]>,
    generation: u32,
}

impl Limits {
    /// As configured.
    #[must_use]
    pub fn new(listeners: &Listeners) -> Self {
        let mut limits = Self::default();
        limits.replace(listeners);
        limits
    }

    /// These hold from now on, for sessions that are there, too. Where they are the old ones, nothing is forgiven.
    pub fn replace(&mut self, listeners: &Listeners) {
        self.generation = self.generation.wrapping_add(1);
        let (generation, old) = (self.generation, std::mem::take(&mut self.listeners));
        if listeners.iter().any(|policy| !policy.limits.is_none()) {
            let mut old = old.iter();
            let in_force = listeners.iter().map(|policy| {
                let same = old.next().filter(|old| old.limits == policy.limits);
                same.copied().unwrap_or(InForce { limits: policy.limits, generation })
            });
            self.listeners = in_force.collect();
        }
    }

    /// True while no listener has any.
    #[inline]
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Those of `listener`, if it has any.
    #[inline]
    #[must_use]
    pub fn of(&self, listener: ListenerId) -> Option<&InForce> {
        self.listeners.get(usize::from(listener.0)).filter(|in_force| !in_force.limits.is_none())
    }
}

#[cfg(test)]
mod tests;
