//! Subscriptions of clients, as far as the bridge sees to them: joined, answered, left, restored.

use super::client::Place;
use super::{Bridge, Notice};
use crate::time::Now;
use crate::topic::TopicFilter;
use crate::uplink::{ClientRef, Refusal, Taken, Token};
use crate::upstream::{Joined, Subscriber, Then};
use codec_mqtt::Qos;

/// Levels of a filter, its mountpoint included: each costs memory here and in the broker, and brokers have limits of
/// their own (mosquitto: 200).
pub(super) const MAX_LEVELS: usize = 200;

impl Bridge {
    pub(super) fn subscribe(
        &mut self,
        client: ClientRef,
        token: Token,
        filter: TopicFilter<'_>,
        qos: Qos,
        retained: bool,
    ) -> Taken {
        let Some(who) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        let Some(line) = self.lines.get_mut(usize::from(who.link)) else { return Taken::Denied(Refusal::BrokerAway) };
        if line.restoring.is_none() {
            return Taken::Denied(Refusal::BrokerAway);
        }
        let mounted = who.mount.mount_filter(filter.as_str());
        let Some(filter) = TopicFilter::try_from(&*mounted).ok().filter(|f| f.levels() <= MAX_LEVELS) else {
            return Taken::Denied(Refusal::BadTopic);
        };
        let (gateway, handle) = (who.gateway, who.handle);
        let subscriber = Subscriber { client, handle, gateway, subscription: token, mount: who.mount_len() };
        let Some((key, joined)) = line.upstream.join(filter, subscriber, qos, retained) else {
            return Taken::Denied(Refusal::Limit);
        };
        who.remember(Place { filter: key, subscription: token });
        match joined {
            Joined::Ask(ask) => line.link.subscribe(ask.id, &ask.filter, ask.qos, ask.retain_handling),
            Joined::Waits => {}
            Joined::Granted(qos) => {
                self.notices.push_back(Notice::Subscribed { gateway, client: handle, token, granted: Ok(qos) });
            }
        }
        Taken::Owed
    }

    /// A subscription of an earlier process, before its link has come up.
    pub(super) fn resubscribe(&mut self, client: ClientRef, token: Token, filter: TopicFilter<'_>, qos: Qos) -> Taken {
        let Some(who) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        let Some(line) = self.lines.get_mut(usize::from(who.link)) else { return Taken::Denied(Refusal::BrokerAway) };
        if line.restoring.is_some() {
            return self.subscribe(client, token, filter, qos, false);
        }
        let mounted = who.mount.mount_filter(filter.as_str());
        let Some(filter) = TopicFilter::try_from(&*mounted).ok().filter(|f| f.levels() <= MAX_LEVELS) else {
            return Taken::Denied(Refusal::BadTopic);
        };
        let (gateway, handle) = (who.gateway, who.handle);
        let subscriber = Subscriber { client, handle, gateway, subscription: token, mount: who.mount_len() };
        let Some(key) = line.upstream.rejoin(filter, subscriber, qos) else { return Taken::Denied(Refusal::Limit) };
        who.remember(Place { filter: key, subscription: token });
        Taken::Done
    }

    pub(super) fn unsubscribe(&mut self, client: ClientRef, token: Token, filter: TopicFilter<'_>) -> Taken {
        let Some(who) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        let Some(line) = self.lines.get_mut(usize::from(who.link)) else { return Taken::Done };
        let mounted = who.mount.mount_filter(filter.as_str());
        let Ok(filter) = TopicFilter::try_from(&*mounted) else { return Taken::Done };
        if let Some(key) = line.upstream.find(filter)
            && who.forget(Place { filter: key, subscription: token })
            && let Some(text) = line.upstream.leave(key, client, token)
        {
            line.link.unsubscribe(&text);
        }
        Taken::Done
    }

    pub(super) fn on_up(&mut self, now: Now, number: usize, session_present: bool) {
        let Some(line) = self.lines.get_mut(number) else { return };
        let mut ids = Vec::new();
        for ask in line.upstream.restore(session_present) {
            line.link.subscribe(ask.id, &ask.filter, ask.qos, ask.retain_handling);
            ids.push(ask.id);
        }
        ids.sort_unstable();
        line.restoring = Some(ids);
        if number == 0 {
            self.publish_status(now, !self.draining);
        }
    }

    pub(super) fn on_suback(&mut self, number: usize, id: u32, granted: Result<Qos, Refusal>) {
        let Some(line) = self.lines.get_mut(number) else { return };
        if let Some(ids) = &mut line.restoring
            && let Ok(at) = ids.binary_search(&id)
        {
            ids.remove(at);
            if let Err(refusal) = granted {
                tracing::warn!(link = number, reason = refusal.reason(), "a subscription is not restored");
            }
        }
        let (notices, clients) = (&mut self.notices, &mut self.clients);
        let then = line.upstream.answered(id, granted, |who, filter, granted| {
            if granted.is_err()
                && let Some(client) = clients.get_mut(who.client.0)
            {
                client.forget(Place { filter, subscription: who.subscription });
            }
            let (gateway, client, token) = (who.gateway, who.handle, who.subscription);
            notices.push_back(Notice::Subscribed { gateway, client, token, granted });
        });
        match then {
            Some(Then::Ask(ask)) => line.link.subscribe(ask.id, &ask.filter, ask.qos, ask.retain_handling),
            Some(Then::Unsubscribe(text)) => line.link.unsubscribe(&text),
            None => {}
        }
    }
}
