//! Subscriptions of a client that has a link of its own: the broker knows them as the client's, so that there is nothing to
//! fan out. They stay with the client, and go with it from link to link.

use super::super::client::Client;
use super::super::subscriptions::MAX_LEVELS;
use super::super::{Bridge, LinkId, Notice};
use crate::events::Event;
use crate::link::Link;
use crate::metrics::BridgeCount;
use crate::time::Now;
use crate::topic::TopicFilter;
use crate::uplink::{ClientRef, Refusal, Token};
use crate::upstream::Coming;
use codec_mqtt::Qos;

/// One subscription.
#[derive(Debug)]
pub(in crate::bridge) struct OwnFilter {
    /// With the mountpoint, and with `$share/GROUP/` where there is one.
    text: Box<str>,
    token: Token,
    qos: Qos,
    /// The number of the SUBSCRIBE that was sent last.
    id: u32,
    /// The client waits for the answer.
    due: bool,
    /// It wants what is retained.
    retained: bool,
    /// The broker has granted it.
    granted: bool,
}

impl OwnFilter {
    fn ask(&mut self, link: &mut Link) {
        let retain_handling = if self.due && self.retained { SEND_RETAINED } else { SEND_NOTHING };
        link.subscribe(self.id, &self.text, self.qos, retain_handling);
    }

    /// Without `$share/GROUP/`.
    fn pattern(&self) -> &str {
        TopicFilter::try_from(&*self.text).map_or("", |filter| filter.pattern())
    }
}

impl Client {
    fn next_filter_id(&mut self) -> u32 {
        self.last_filter_id = self.last_filter_id % MAX_ID + 1;
        self.last_filter_id
    }

    /// The subscription that a topic of the broker's belongs to.
    pub(super) fn subscription_of(&self, topic: &str) -> Token {
        let found = self.filters.iter().find(|filter| covers(filter.pattern(), topic));
        found.map_or(Token::NONE, |filter| filter.token)
    }

    /// The link is up: what the broker does not know, or may not, is asked for.
    pub(super) fn ask_again(&mut self, link: &mut Link, session_present: bool) {
        for filter in &mut self.filters {
            filter.granted &= session_present;
            if !filter.granted {
                filter.ask(link);
            }
        }
    }
}

impl Bridge {
    /// A subscription of a client that has, or had, a link of its own.
    pub(in crate::bridge) fn join_alone(
        &mut self,
        client: ClientRef,
        token: Token,
        asked: TopicFilter<'_>,
        qos: Qos,
        coming: impl Fn(bool) -> Option<Coming>,
    ) -> Result<(), Refusal> {
        let who = self.clients.get_mut(client.0).ok_or(Refusal::NoSuchClient)?;
        let mut line = self.lines.get_mut(who.link);
        let up = line.as_ref().and_then(|line| line.own.as_ref()).is_some_and(|own| own.is_up());
        // One that only connects again to tell of a will can be waited for.
        let soon = line.as_ref().is_some_and(|line| line.link.is_stepping());
        let coming = coming(up || soon).ok_or(Refusal::BrokerAway)?;
        let mounted = who.mount.mount_filter(asked.as_str());
        let fits = TopicFilter::try_from(&*mounted).is_ok_and(|filter| filter.levels() <= MAX_LEVELS);
        if !fits {
            return Err(Refusal::BadTopic);
        }
        let (due, retained) = match coming {
            Coming::New { retained } => (true, retained),
            Coming::Back { .. } => (false, false),
        };
        who.filters.retain(|filter| filter.token != token || *filter.text != *mounted);
        let id = who.next_filter_id();
        let mut filter = OwnFilter { text: mounted.into(), token, qos, id, due, retained, granted: false };
        if up && let Some(line) = &mut line {
            filter.ask(&mut line.link);
        }
        who.filters.push(filter);
        Ok(())
    }

    /// Ends it.
    pub(in crate::bridge) fn leave_alone(
        &mut self,
        now: Now,
        client: ClientRef,
        token: Token,
        filter: TopicFilter<'_>,
        mounted: &str,
    ) {
        let Some(who) = self.clients.get_mut(client.0) else { return };
        let before = who.filters.len();
        who.filters.retain(|filter| filter.token != token || *filter.text != *mounted);
        if who.filters.len() == before && token != Token::NONE {
            return;
        }
        let shared = who.filters.iter().any(|filter| *filter.text == *mounted);
        if let Some(line) = self.lines.get_mut(who.link).filter(|_| !shared) {
            line.link.unsubscribe(mounted);
        }
        self.tell(now, client, &Event::Unsubscribed { filter: filter.as_str() });
    }

    /// The broker's answer to a SUBSCRIBE over a client's own link.
    pub(super) fn on_own_suback(&mut self, now: Now, link: LinkId, id: u32, granted: Result<Qos, Refusal>) {
        let client = self.lines.get(link).and_then(|line| line.own.as_ref()?.client());
        let Some((client, who)) = client.and_then(|client| Some((client, self.clients.get_mut(client.0)?))) else {
            return;
        };
        let Some(at) = who.filters.iter().position(|filter| filter.id == id) else { return };
        let Some(filter) = who.filters.get_mut(at) else { return };
        let (due, token) = (std::mem::take(&mut filter.due), filter.token);
        filter.granted = granted.is_ok();
        let seen = who.mount.strip_filter(&filter.text);
        if granted.is_err() {
            who.filters.remove(at);
        }
        if due || granted.is_err() {
            let (gateway, client) = (who.gateway, who.handle);
            self.notices.push_back(Notice::Subscribed { gateway, client, token, granted });
        }
        if granted.is_err() && !due {
            self.counts.up(BridgeCount::SubscriptionsLost);
        }
        if let (true, Ok(qos), Some(filter)) = (due, granted, seen) {
            self.tell(now, client, &Event::Subscribed { filter: &filter, qos });
        }
    }
}

/// Whether a filter, without its `$share` part, matches a topic name (MQTT 5.0 §4.7).
fn covers(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Retain Handling (MQTT 5.0 §3.8.3.1).
const SEND_RETAINED: u8 = 0;
const SEND_NOTHING: u8 = 2;
/// As many as there are subscription identifiers; these numbers stay here, though.
const MAX_ID: u32 = 268_435_455;

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    #[rustfmt::skip]
    fn a_filter_covers_what_the_specification_says() {
        let table = [
            ("a/b", "a/b", true), ("a/b", "a", false), ("a", "a/b", false), ("a/b", "a/c", false),
            ("a/#", "a", true), ("a/#", "a/b/c", true), ("#", "a/b", true), ("+", "a", true), ("+", "a/b", false),
            ("a/+", "a/", true), ("a/+/c", "a/b/c", true), ("+/+", "/a", true), ("/+", "/a", true), ("+", "/a", false),
            ("#", "$SYS/x", false), ("+/x", "$SYS/x", false), ("$SYS/#", "$SYS/x", true),
        ];
        for (filter, topic, expected) in table { assert_eq!(covers(filter, topic), expected, "{filter} {topic}"); }
    }
}
