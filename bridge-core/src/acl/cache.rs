//! What was decided for one client of late.

use super::{Acl, Action, Verdict};
use crate::time::{Deadline, Now};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Octets of a topic that is remembered, at most: longer ones are judged anew each time.
pub const MAX_TOPIC: usize = 256;

/// The last decisions for one client: at most [`Acl::cache_size`] of them, each for [`Acl::cache_ttl_ms`]; beyond, the
/// oldest is forgotten. One word until the first is remembered.
#[derive(Debug, Default)]
pub struct DecisionCache {
    decisions: Option<Box<Decisions>>,
}

#[derive(Debug, Default)]
struct Decisions {
    /// Of the rule set that they were taken under.
    generation: u32,
    /// The oldest, once there is no room for more.
    oldest: usize,
    list: Vec<Decision>,
}

#[derive(Debug)]
struct Decision {
    /// Of action and topic.
    hash: u64,
    topic: Box<str>,
    until: Deadline,
    action: Action,
    verdict: Verdict,
}

impl DecisionCache {
    /// What was decided about that under this rule set, if it is still remembered.
    pub(super) fn find(&self, now: Now, generation: u32, action: Action, topic: &str) -> Option<Verdict> {
        let decisions = self.decisions.as_deref().filter(|d| d.generation == generation)?;
        let at = decisions.position(hash(action, topic), action, topic)?;
        decisions.list.get(at).filter(|d| !d.until.is_due(now)).map(|d| d.verdict)
    }

    pub(super) fn remember(
        &mut self,
        now: Now,
        generation: u32,
        acl: &Acl,
        action: Action,
        topic: &str,
        verdict: Verdict,
    ) {
        let room = usize::from(acl.cache_size);
        if room == 0 {
            self.decisions = None;
            return;
        }
        let decisions = self.decisions.get_or_insert_default();
        if decisions.generation != generation {
            **decisions = Decisions { generation, ..Decisions::default() };
        }
        if topic.len() > MAX_TOPIC {
            return;
        }
        let (hash, until) = (hash(action, topic), now.after_ms(acl.cache_ttl_ms));
        if let Some(known) = decisions.position(hash, action, topic).and_then(|at| decisions.list.get_mut(at)) {
            (known.until, known.verdict) = (until, verdict);
            return;
        }
        let decision = Decision { hash, topic: topic.into(), until, action, verdict };
        if decisions.list.len() < room {
            decisions.list.push(decision);
        } else if let Some(oldest) = decisions.list.get_mut(decisions.oldest) {
            *oldest = decision;
            decisions.oldest = (decisions.oldest + 1) % room;
        }
    }

    /// How many decisions it holds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.decisions.as_ref().map_or(0, |d| d.list.len())
    }
}

impl Decisions {
    fn position(&self, hash: u64, action: Action, topic: &str) -> Option<usize> {
        self.list.iter().position(|d| d.hash == hash && d.action == action && *d.topic == *topic)
    }
}

/// Spares comparing texts. Whoever finds two texts of one hash has found nothing but a longer comparison.
fn hash(action: Action, topic: &str) -> u64 {
    FixedState::with_seed(action as u64).hash_one(topic)
}
