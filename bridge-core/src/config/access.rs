//! `[acl]`, and the file of rules that it may name.

use std::path::PathBuf;
use std::sync::Arc;

use settings::{Document, HumanDuration, Item, Leaf, Misfit, Problem, Section, Settings, quoted};

use crate::acl::{Acl, AclRule, Actions, Network, RuleTopic, Verdict, Who};

settings::choice! {
    /// What a rule says, and what is said where no rule does.
    pub enum Permit {
        /// It may.
        Allow = "allow",
        /// It may not.
        Deny = "deny",
    }
}

settings::choice! {
    /// What a denied client is told.
    pub enum DenyAction {
        /// That it may not, in its protocol's words.
        Ignore = "ignore",
        /// The same, and to go.
        Disconnect = "disconnect",
    }
}

settings::choice! {
    /// What a rule is about.
    pub enum RuleAction {
        /// Publishing only.
        Publish = "publish",
        /// Subscribing only.
        Subscribe = "subscribe",
        /// Both.
        All = "all",
    }
}

/// `[acl]`: who may publish and subscribe where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclConfig {
    /// In this order; the first that is concerned decides.
    pub rules: Vec<RuleConfig>,
    /// A file with more of them, which come after.
    pub file: Option<PathBuf>,
    /// What holds where no rule is concerned.
    pub no_match: Permit,
    /// What a denied client is told.
    pub deny_action: DenyAction,
    /// Decisions remembered for each client: 0 (none) to 1024.
    pub cache_size: u16,
    /// How long one is remembered: 1 s to 1 day.
    pub cache_ttl: HumanDuration,
}

impl Default for AclConfig {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            file: None,
            no_match: Permit::Allow,
            deny_action: DenyAction::Ignore,
            cache_size: 32,
            cache_ttl: HumanDuration::from_secs(60),
        }
    }
}

impl Settings for AclConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.inline_tables("rules", &mut self.rules);
        s.leaf("file", &mut self.file);
        s.leaf("no_match", &mut self.no_match);
        s.leaf("deny_action", &mut self.deny_action);
        s.ranged("cache_size", &mut self.cache_size, 0..=1024);
        s.ranged("cache_ttl", &mut self.cache_ttl, HumanDuration::from_secs(1)..=HumanDuration::from_secs(86_400));
        s.renamed(&[("sources", "rules"), ("cache", "cache_size")]);
    }
}

impl AclConfig {
    /// The rules as shards apply them: those of the configuration, then those of its file. `node` is this node's name.
    #[must_use]
    pub fn compiled(&self, of_file: &[RuleConfig], node: &str) -> Arc<Acl> {
        Arc::new(Acl {
            rules: self.rules.iter().chain(of_file).map(RuleConfig::compiled).collect(),
            no_match: self.no_match.into(),
            disconnect: self.deny_action == DenyAction::Disconnect,
            cache_size: self.cache_size,
            cache_ttl_ms: self.cache_ttl.as_millis(),
            node: node.into(),
        })
    }
}

impl From<Permit> for Verdict {
    fn from(permit: Permit) -> Self {
        match permit {
            Permit::Allow => Self::Allow,
            Permit::Deny => Self::Deny,
        }
    }
}

/// One rule: `{ permit = "allow", who = { user = "ops" }, action = "all", topics = ["#"] }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleConfig {
    /// What it says to those whom it concerns.
    pub permit: Permit,
    /// Whom it concerns.
    pub who: WhoConfig,
    /// What it concerns.
    pub action: RuleAction,
    /// Where; never empty.
    pub topics: Vec<TopicText>,
}

/// Stands in while a rule is read: it concerns nothing.
impl Default for RuleConfig {
    fn default() -> Self {
        Self { permit: Permit::Deny, who: WhoConfig::All, action: RuleAction::All, topics: Vec::new() }
    }
}

impl Settings for RuleConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.required("permit", &mut self.permit);
        s.required_inline("who", &mut self.who, WhoConfig::EXPECTED);
        s.required("action", &mut self.action);
        s.list("topics", &mut self.topics);
        if self.topics.is_empty() {
            s.refuse("names no `topics`, so it would concern nothing");
        }
    }
}

impl RuleConfig {
    fn compiled(&self) -> AclRule {
        let actions = match self.action {
            RuleAction::Publish => Actions::Publish,
            RuleAction::Subscribe => Actions::Subscribe,
            RuleAction::All => Actions::All,
        };
        let who = match &self.who {
            WhoConfig::User(name) => Who::User(name.as_str().into()),
            WhoConfig::Client(id) => Who::Client(id.as_str().into()),
            WhoConfig::Ip(network) => Who::Address(*network),
            WhoConfig::All => Who::All,
        };
        let topics = self.topics.iter().map(|topic| topic.rule.clone()).collect();
        AclRule { permit: self.permit.into(), who, actions, topics }
    }
}

/// Whom a rule concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhoConfig {
    /// The clients of this user name.
    User(String),
    /// The client of this client id.
    Client(String),
    /// The clients of this network.
    Ip(Network),
    /// Everybody.
    All,
}

impl WhoConfig {
    const EXPECTED: &'static str = "one of { user = \"…\" }, { client = \"…\" }, { ip = \"…\" }, { all = true }";
}

impl Settings for WhoConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        let (mut user, mut client, mut ip, mut all) = (None, None, None, None);
        if s.is_writing() {
            match self {
                Self::User(name) => user = Some(name.clone()),
                Self::Client(id) => client = Some(id.clone()),
                Self::Ip(network) => ip = Some(*network),
                Self::All => all = Some(true),
            }
        }
        s.optional("user", &mut user);
        s.optional("client", &mut client);
        s.optional("ip", &mut ip);
        s.optional("all", &mut all);
        s.renamed(&[("username", "user"), ("clientid", "client"), ("ipaddr", "ip"), ("ipaddress", "ip")]);
        match (user, client, ip, all) {
            (Some(name), None, None, None) if !name.is_empty() => *self = Self::User(name),
            (None, Some(id), None, None) if !id.is_empty() => *self = Self::Client(id),
            (None, None, Some(network), None) => *self = Self::Ip(network),
            (None, None, None, Some(true)) => *self = Self::All,
            _ => s.refuse(format!("expected {}", Self::EXPECTED)),
        }
    }
}

impl Leaf for Network {
    const EXPECTED: &'static str = "an address or a network like \"10.0.0.0/8\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        let text = item.text().ok_or(Misfit::Unexpected)?;
        text.parse().map_err(|fault: crate::acl::NetworkFault| Misfit::Refused(fault.to_string()))
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A topic of a rule, as it was written and as it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicText {
    text: String,
    rule: RuleTopic,
}

impl Leaf for TopicText {
    const EXPECTED: &'static str = "a topic filter in quotes, like \"a/+/%c\" or \"eq #\"";

    fn read(item: &Item) -> Result<Self, Misfit> {
        let text = item.text().ok_or(Misfit::Unexpected)?;
        let rule = RuleTopic::parse(text).map_err(|fault| Misfit::Refused(format!("is no topic: {fault}")))?;
        Ok(Self { text: text.into(), rule })
    }

    fn to_toml(&self) -> String {
        quoted(&self.text)
    }
}

/// Reads the file that `acl.file` names: TOML with `rules = […]` of its own. `name` is the file's, for the problems.
///
/// # Errors
/// All problems at once.
pub fn read_rules(name: &str, text: &str) -> Result<Vec<RuleConfig>, Vec<Problem>> {
    let (mut file, mut document) = (RulesFile::default(), Document::parse(name, text));
    document.read(&mut file, &mut |_| Err(std::io::Error::other("rules name no files")));
    document.finish().map(|()| file.rules)
}

#[derive(Debug, Default)]
struct RulesFile {
    rules: Vec<RuleConfig>,
}

impl Settings for RulesFile {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.inline_tables("rules", &mut self.rules);
    }
}

#[cfg(test)]
mod tests;
