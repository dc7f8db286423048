//! Who may publish and subscribe where: rules in order, the first that concerns a client, its action and its topic decides.
//!
//! Topics are seen as the device knows them, without mountpoint and without `$share/GROUP/`. A subscription is allowed
//! by a rule whose filter covers all that is asked for, and denied by a rule whose filter covers any of it: so nobody reads
//! `secret/x` through `secret/#`.

mod cache;
mod filter;
mod network;
#[cfg(test)]
mod tests;
mod topic;

pub use cache::{DecisionCache, MAX_TOPIC};
pub use network::{Network, NetworkFault};
pub use topic::{RuleTopic, RuleTopicFault};

use crate::meter::{Counts, Meter};
use crate::metrics::{ACL_CACHE, ACL_DENIED};
use crate::time::Now;
use std::net::IpAddr;
use std::sync::Arc;
use topic::Scratch;

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// What a client wants to do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish to this topic name.
    Publish,
    /// Subscribe to this topic filter.
    Subscribe,
}

/// The actions that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// Publishing only.
    Publish,
    /// Subscribing only.
    Subscribe,
    /// Both.
    All,
}

impl Actions {
    const fn include(self, action: Action) -> bool {
        match self {
            Self::All => true,
            Self::Publish => matches!(action, Action::Publish),
            Self::Subscribe => matches!(action, Action::Subscribe),
        }
    }
}

/// The clients that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody.
    All,
    /// The clients of this user name.
    User(Box<str>),
    /// The client with this client id, on whatever gateway.
    Client(Box<str>),
    /// The clients whose address lies in this network. One without an address is in none.
    Address(Network),
}

impl Who {
    fn is(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::All => true,
            Self::User(name) => **name == *subject.username,
            Self::Client(id) => **id == *subject.client_id,
            Self::Address(network) => subject.address.is_some_and(|ip| network.contains(ip)),
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclRule {
    /// What it says to those whom it concerns.
    pub permit: Verdict,
    /// Whom it concerns.
    pub who: Who,
    /// What it concerns.
    pub actions: Actions,
    /// Where; any of them. None at all concerns nothing.
    pub topics: Vec<RuleTopic>,
}

/// All rules of a node. The same for every shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// In this order.
    pub rules: Vec<AclRule>,
    /// What is said where no rule is concerned.
    pub no_match: Verdict,
    /// A client that is denied is told to go, too.
    pub disconnect: bool,
    /// Decisions remembered for each client; 0 = none.
    pub cache_size: u16,
    /// How long one is remembered, in milliseconds.
    pub cache_ttl_ms: u64,
    /// The name of this node, for `%n`.
    pub node: Box<str>,
}

impl Default for Acl {
    /// Everybody may do everything.
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            no_match: Verdict::Allow,
            disconnect: false,
            cache_size: 32,
            cache_ttl_ms: 60_000,
            node: Box::default(),
        }
    }
}

/// Who is judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its client id.
    pub client_id: &'a str,
    /// Its user name; empty = none.
    pub username: &'a str,
    /// Its address, when it has one.
    pub address: Option<IpAddr>,
}

/// The rules as one shard applies them.
#[derive(Debug)]
pub struct AccessControl {
    acl: Arc<Acl>,
    /// Counts the rule sets: a decision under another one is forgotten.
    generation: u32,
    /// Everybody may do everything: nothing is looked at.
    open: bool,
    scratch: Scratch,
    counts: Counts<AclCount>,
}

impl AccessControl {
    /// Applies these rules.
    #[must_use]
    pub fn new(acl: Arc<Acl>) -> Self {
        let open = acl.is_open();
        Self { acl, generation: 0, open, scratch: Scratch::default(), counts: Counts::default() }
    }

    /// Applies these rules from now on, whatever was decided before.
    pub fn replace(&mut self, acl: Arc<Acl>) {
        self.open = acl.is_open();
        self.acl = acl;
        self.generation = self.generation.wrapping_add(1);
    }

    /// True while everybody may do everything: [`AccessControl::check`] need not be asked.
    #[inline]
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// True when a client that is denied is to be told to go.
    #[must_use]
    pub fn disconnects(&self) -> bool {
        self.acl.disconnect
    }

    /// May `who` do that? `topic` is a topic name to publish to, or a filter to subscribe to without its `$share` part.
    /// Allocates nothing for a decision that `cache` remembers.
    pub fn check(
        &mut self,
        now: Now,
        who: &Subject<'_>,
        cache: &mut DecisionCache,
        action: Action,
        topic: &str,
    ) -> Verdict {
        if self.open {
            return Verdict::Allow;
        }
        let verdict = match cache.find(now, self.generation, action, topic) {
            Some(verdict) => {
                self.counts.up(AclCount::Hit);
                verdict
            }
            None => {
                let verdict = self.acl.judge(&mut self.scratch, who, action, topic);
                cache.remember(now, self.generation, &self.acl, action, topic, verdict);
                self.counts.up(AclCount::Miss);
                verdict
            }
        };
        match (verdict, action) {
            (Verdict::Allow, _) => {}
            (Verdict::Deny, Action::Publish) => self.counts.up(AclCount::PublishDenied),
            (Verdict::Deny, Action::Subscribe) => self.counts.up(AclCount::SubscribeDenied),
        }
        verdict
    }

    /// For whoever reports.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.counts.meter()
    }
}

impl Acl {
    fn is_open(&self) -> bool {
        self.rules.is_empty() && self.no_match == Verdict::Allow
    }

    fn judge(&self, scratch: &mut Scratch, who: &Subject<'_>, action: Action, topic: &str) -> Verdict {
        let concerns = |rule: &&AclRule| {
            rule.actions.include(action)
                && rule.who.is(who)
                && rule.topics.iter().any(|each| each.concerns(rule.permit, topic, who, &self.node, scratch))
        };
        self.rules.iter().find(concerns).map_or(self.no_match, |rule| rule.permit)
    }
}

crate::count! {
    /// What access control counts, while there are rules.
    pub(crate) enum AclCount {
        /// Publications denied.
        PublishDenied = ACL_DENIED { action: "publish" };
        /// Subscriptions denied.
        SubscribeDenied = ACL_DENIED { action: "subscribe" };
        /// Decisions that were remembered.
        Hit = ACL_CACHE { result: "hit" };
        /// Decisions that the rules had to be asked for.
        Miss = ACL_CACHE { result: "miss" };
    }
}
