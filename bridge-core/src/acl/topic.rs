//! One topic of a rule: a filter, or with `eq ` in front a text to be equal to, perhaps with placeholders.

use super::filter::{covers, overlap};
use super::{Subject, Verdict};
use crate::template::{Literals, Placeholder, Template, TemplateFault, Values};
use crate::topic::{TopicFault, TopicFilter};
use std::fmt::Write;

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTopic {
    text: Text,
    /// Wildcards are nothing special.
    literal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    Plain(Box<str>),
    Gaps(Template),
}

/// Why a text is no topic of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleTopicFault {
    /// It is no filter, whatever fills its placeholders.
    #[error(transparent)]
    Filter(TopicFault),
    /// Rules are about what is behind that.
    #[error("begins with $share: a shared subscription is judged by the filter behind its group")]
    Shared,
    /// A placeholder that does not exist, or is not closed.
    #[error(transparent)]
    Template(TemplateFault),
    /// A placeholder that nothing fills here.
    #[error("asks for the {}, which access rules do not know", .0.name())]
    Unknown(Placeholder),
}

/// Room for filling placeholders, kept from check to check.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: String,
    host: String,
}

impl RuleTopic {
    /// Reads a topic of a rule: `sensors/+/%c`, `eq #`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, RuleTopicFault> {
        let (text, literal) = text.strip_prefix("eq ").map_or((text, false), |rest| (rest, true));
        let template = Template::parse(text, Literals::TopicFilter).map_err(RuleTopicFault::Template)?;
        if template.uses().contains(Placeholder::EndpointName) {
            return Err(RuleTopicFault::Unknown(Placeholder::EndpointName));
        }
        let any = Some("x");
        let values = Values { client_id: any, username: any, peerhost: any, endpoint_name: None, node: any };
        let sample = template.render(&values).map_err(RuleTopicFault::Template)?;
        let filter = TopicFilter::try_from(sample.as_str()).map_err(RuleTopicFault::Filter)?;
        if filter.is_shared() {
            return Err(RuleTopicFault::Shared);
        }
        let text = if template.uses().is_empty() { Text::Plain(sample.into()) } else { Text::Gaps(template) };
        Ok(Self { text, literal })
    }

    /// True when a rule that says `permit` about this topic has a say in what `who` asks for.
    ///
    /// A placeholder that the client has nothing for makes the rule say nothing. So does, in a rule that allows, a value
    /// that would break out of its level (`+`, `#`, `/`); in one that denies it stands as it is, and denies the more.
    pub(super) fn concerns(
        &self,
        permit: Verdict,
        asked: &str,
        who: &Subject<'_>,
        node: &str,
        scratch: &mut Scratch,
    ) -> bool {
        let rule = match &self.text {
            Text::Plain(text) => text,
            Text::Gaps(template) => match scratch.fill(template, permit, who, node) {
                Ok(text) => text,
                Err(_says_nothing) => return false,
            },
        };
        match (self.literal, permit) {
            (true, _) => rule == asked,
            (false, Verdict::Allow) => covers(rule, asked),
            (false, Verdict::Deny) => overlap(rule, asked),
        }
    }
}

impl Scratch {
    fn fill(
        &mut self,
        template: &Template,
        permit: Verdict,
        who: &Subject<'_>,
        node: &str,
    ) -> Result<&str, TemplateFault> {
        let Self { text, host } = self;
        text.clear();
        host.clear();
        if let Some(address) = who.address.filter(|_| template.uses().contains(Placeholder::Peerhost)) {
            write!(host, "{}", address.to_canonical())
                .map_err(|_full| TemplateFault::Missing(Placeholder::Peerhost))?;
        }
        let given = |value| Some(value).filter(|value: &&str| !value.is_empty());
        let values = Values {
            client_id: given(who.client_id),
            username: given(who.username),
            peerhost: given(host.as_str()),
            endpoint_name: None,
            node: given(node),
        };
        match permit {
            Verdict::Allow => template.append(text, &values)?,
            Verdict::Deny => template.append_as_is(text, &values)?,
        }
        Ok(text)
    }
}
