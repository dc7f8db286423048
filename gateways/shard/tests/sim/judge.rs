//! Whoever is asked whether clients may come in: slow, silent, or against it.

use crate::event::Event;
use crate::plan::Plan;
use crate::world::World;
use bridge_core::auth::{Answer, AuthRules, ChainEntry, EntryKind, Opinion, StoreId};
use bridge_core::bridge::{OwnLinks, Policy};
use bridge_core::limit::SessionLimits;
use bridge_core::listeners::{ListenerPolicy, Listeners};
use bridge_core::rng::Rng;
use std::sync::Arc;

/// Rates are per thousand, times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge {
    slow_ms: u64,
    silent: u64,
    against: u64,
}

impl Judge {
    pub(crate) fn by_lot(rng: &mut Rng) -> Self {
        Self { slow_ms: 1 + rng.below(4000), silent: rng.below(200), against: rng.below(200) }
    }
}

/// `own_links`: those of single devices, if they have any.
pub(crate) fn policy(plan: &Plan, own_links: Option<OwnLinks>) -> Policy {
    let entries = vec![ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) }];
    let auth = plan.judge.map(|_| AuthRules { entries, timeout_ms: 3000, ..AuthRules::default() });
    let limits = SessionLimits::new(None, plan.streams.limit.map(|limit| limit.parse().expect("a limit")));
    let stream = ListenerPolicy { limits, ..ListenerPolicy::default() };
    let listeners = Listeners::new(vec![ListenerPolicy::default(), stream.clone(), stream]);
    Policy { auth: Arc::new(auth.unwrap_or_default()), listeners: Arc::new(listeners), own_links, ..Policy::default() }
}

impl World {
    /// Carries the questions of a shard away; the answers come in their time, or never.
    pub(crate) fn carry_questions(&mut self, shard: usize) {
        let Some(judge) = self.plan.judge else { return };
        while let Some(question) = self.shards[shard].shard.take_question() {
            self.checks.tally.asked += 1;
            let calm = self.checks.calm;
            if !calm && self.rng.chance(judge.silent) {
                continue;
            }
            let against = !calm && self.rng.chance(judge.against);
            let opinion = if against { Opinion::Deny } else { Opinion::Allow { superuser: false } };
            // Once all is well nobody is too late.
            let slowest = if calm { judge.slow_ms.min(1000) } else { judge.slow_ms };
            let at = self.now + 1 + self.rng.below(slowest);
            self.timeline.plan(at, Event::Answer { shard, answer: Answer { id: question.id, opinion } });
        }
    }
}
