//! One subscription for all devices of a listener: its filter, and whom a message that it brings is for.

use crate::base::Base;
use bridge_core::template::{Literals, Placeholder, Template};
use bridge_core::topic::TopicFilter;
use bridge_core::uplink::Identity;
use std::net::SocketAddr;

/// A mountpoint and a topic behind it, in which the client id stands in a level without other values of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    whole: Template,
    /// Each level with a value of a client is `+`.
    filter: Box<str>,
    /// The client id's level, counted from 0, and what stands around it there.
    level: usize,
    before: Box<str>,
    after: Box<str>,
    /// Any client's topic is told by its client id.
    plain: bool,
}

impl Route {
    /// `None`: the topic does not show whom it is for, so each client needs a subscription of its own.
    pub(crate) fn new(mountpoint: &str, topic: &str, node: &str) -> Option<Self> {
        let text = [mountpoint, topic].concat();
        let whole = Template::parse(&text, Literals::TopicName).ok()?;
        let (level, before, after) = text.split('/').enumerate().find_map(|(level, text)| {
            let text = text.replace("%n", node);
            let (before, after) = text.split_once("%c").or_else(|| text.split_once("${clientid}"))?;
            let alone = [before, after].iter().all(|rest| !rest.contains('%') && !rest.contains("${"));
            alone.then(|| (level, before.into(), after.into()))
        })?;
        let filter = whole.filter_for_all(node).ok()?;
        TopicFilter::try_from(&*filter).ok()?;
        let others = [Placeholder::Username, Placeholder::Peerhost, Placeholder::EndpointName];
        let once = text.matches("%c").count() + text.matches("${clientid}").count() == 1;
        let plain = once && !others.into_iter().any(|other| whole.uses().contains(other));
        Some(Self { whole, filter: filter.into(), level, before, after, plain })
    }

    /// What is subscribed, mountpoint included.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// The client id in a topic that the filter matches.
    pub(crate) fn client_id<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let level = topic.split('/').nth(self.level)?;
        level.strip_prefix(&*self.before)?.strip_suffix(&*self.after).filter(|id| !id.is_empty())
    }

    /// True if `topic` is the client's own. `matched`: the filter matches it, and it names this client id.
    pub(crate) fn is_topic_of(
        &self,
        base: &Base,
        topic: &str,
        matched: bool,
        who: (&str, &Identity, SocketAddr),
    ) -> bool {
        if matched && self.plain {
            return true;
        }
        let (id, identity, addr) = who;
        let host = addr.ip().to_string();
        self.whole.render(&base.values(id, identity, &host)).is_ok_and(|own| own == topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_template_becomes_one_filter_and_shows_the_client_id() {
        type Row = (&'static str, &'static str, Option<(&'static str, &'static str, Option<&'static str>, bool)>);
        let table: [Row; 11] = [
            ("",            "tcp/%c/dn",          Some(("tcp/+/dn", "tcp/d1/dn", Some("d1"), true))),
            ("site/%n/",    "tcp/${clientid}/dn", Some(("site/n1/tcp/+/dn", "site/n1/tcp/d1/dn", Some("d1"), true))),
            ("",            "tcp/dev-%c.x/dn",    Some(("tcp/+/dn", "tcp/dev-d1.x/dn", Some("d1"), true))),
            ("",            "tcp/dev-%c/dn",      Some(("tcp/+/dn", "tcp/other/dn", None, true))),
            ("",            "tcp/dev-%c/dn",      Some(("tcp/+/dn", "tcp/dev-/dn", None, true))),
            ("m-",          "%n%c/dn",            Some(("+/dn", "m-n1d1/dn", Some("d1"), true))),
            ("%u/",         "%c/dn",              Some(("+/+/dn", "u/d1/dn", Some("d1"), false))),
            ("%c/",         "%c/dn",              Some(("+/+/dn", "d1/d2/dn", Some("d1"), false))),
            ("",            "tcp/all/dn",         None),
            ("",            "tcp/%u-%c/dn",       None),
            ("",            "tcp/%a/dn",          None),
        ];
        for (mountpoint, topic, expected) in table {
            let route = Route::new(mountpoint, topic, "n1");
            let found = route.as_ref().zip(expected).map(|(route, (_, whole, ..))| {
                (route.filter(), whole, route.client_id(whole), route.plain)
            });
            assert_eq!(found, expected, "{mountpoint}{topic}");
            assert_eq!(route.is_some(), expected.is_some(), "{mountpoint}{topic}");
        }
    }
}
