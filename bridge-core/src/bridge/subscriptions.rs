//! Subscriptions of clients, as far as the bridge sees to them: joined, answered, left, restored.

use super::client::Place;
use super::lines::Line;
use super::{Bridge, FIRST, LinkId, Notice};
use crate::acl::Action;
use crate::events::Event;
use crate::metrics::BridgeCount;
use crate::slab::Key;
use crate::time::Now;
use crate::topic::TopicFilter;
use crate::uplink::{ClientRef, Refusal, Taken, Token};
use crate::upstream::{Coming, Joined, Subscriber, Then, Told};
use codec_mqtt::Qos;

/// Levels of a filter, its mountpoint included: each costs memory here and in the broker, and brokers have limits of
/// their own (mosquitto: 200).
pub(super) const MAX_LEVELS: usize = 200;

impl Bridge {
    pub(super) fn subscribe(
        &mut self,
        now: Now,
        client: ClientRef,
        token: Token,
        filter: TopicFilter<'_>,
        qos: Qos,
        retained: bool,
    ) -> Taken {
        match self.join(now, client, token, filter, qos, |online| online.then_some(Coming::New { retained })) {
            Ok(()) => Taken::Owed,
            Err(refusal) => Taken::Denied(refusal),
        }
    }

    /// A subscription of an earlier process, whether the link is up or not.
    pub(super) fn resubscribe(
        &mut self,
        now: Now,
        client: ClientRef,
        token: Token,
        filter: TopicFilter<'_>,
        qos: Qos,
    ) -> Taken {
        match self.join(now, client, token, filter, qos, |online| Some(Coming::Back { online })) {
            Ok(()) => Taken::Done,
            Err(refusal) => Taken::Denied(refusal),
        }
    }

    /// `coming` is told whether the link is online; `None` = it must be.
    fn join(
        &mut self,
        now: Now,
        client: ClientRef,
        token: Token,
        asked: TopicFilter<'_>,
        qos: Qos,
        coming: impl Fn(bool) -> Option<Coming>,
    ) -> Result<(), Refusal> {
        let who = self.clients.get_mut(client.0).ok_or(Refusal::NoSuchClient)?;
        who.may(&mut self.access, now, Action::Subscribe, asked.pattern())?;
        let line = self.lines.get_mut(who.link).ok_or(Refusal::BrokerAway)?;
        let Some((link, trunk)) = line.shared_parts() else {
            return self.join_alone(client, token, asked, qos, coming);
        };
        let coming = coming(trunk.restoring.is_some()).ok_or(Refusal::BrokerAway)?;
        let mounted = who.mount.mount_filter(asked.as_str());
        let filter = TopicFilter::try_from(&*mounted).ok().filter(|f| f.levels() <= MAX_LEVELS);
        let filter = filter.ok_or(Refusal::BadTopic)?;
        let (gateway, handle) = (who.gateway, who.handle);
        let subscriber = Subscriber { client, handle, gateway, subscription: token, mount: who.mount_len() };
        let (key, joined) = trunk.upstream.join(filter, subscriber, qos, coming).ok_or(Refusal::Limit)?;
        who.remember(Place { filter: key, subscription: token });
        match joined {
            Joined::Ask(ask) => link.subscribe(ask.id, &ask.filter, ask.qos, ask.retain_handling),
            Joined::Granted(qos) if matches!(coming, Coming::New { .. }) => {
                self.notices.push_back(Notice::Subscribed { gateway, client: handle, token, granted: Ok(qos) });
                self.tell(now, client, &Event::Subscribed { filter: asked.as_str(), qos });
            }
            Joined::Waits | Joined::Granted(_) => {}
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, now: Now, client: ClientRef, token: Token, filter: TopicFilter<'_>) -> Taken {
        let Some(who) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        let mounted = who.mount.mount_filter(filter.as_str());
        let Ok(upstream) = TopicFilter::try_from(&*mounted) else { return Taken::Done };
        let Some((link, trunk)) = self.lines.get_mut(who.link).and_then(Line::shared_parts) else {
            self.leave_alone(now, client, token, filter, &mounted);
            return Taken::Done;
        };
        if let Some(key) = trunk.upstream.find(upstream)
            && who.forget(Place { filter: key, subscription: token })
        {
            if let Some(text) = trunk.upstream.leave(key, client, token) {
                link.unsubscribe(&text);
            }
            self.tell(now, client, &Event::Unsubscribed { filter: filter.as_str() });
        }
        Taken::Done
    }

    pub(super) fn on_up(&mut self, now: Now, number: LinkId, session_present: bool) {
        let Some((link, trunk)) = self.lines.get_mut(number).and_then(Line::shared_parts) else { return };
        let restoration = trunk.upstream.restore(session_present);
        let mut ids = Vec::with_capacity(restoration.asks.len());
        for ask in restoration.asks {
            link.subscribe(ask.id, &ask.filter, ask.qos, ask.retain_handling);
            ids.push(ask.id);
        }
        for text in restoration.unsubscribes {
            link.unsubscribe(&text);
        }
        // Answers come in order: each is taken off the end.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        trunk.restoring = Some(ids);
        trunk.memory.on_up(session_present);
        if number == FIRST {
            self.publish_status(now, !self.draining);
        }
    }

    pub(super) fn on_suback(&mut self, now: Now, number: LinkId, id: u32, granted: Result<Qos, Refusal>) {
        let Some((link, trunk)) = self.lines.get_mut(number).and_then(Line::shared_parts) else { return };
        if let Some(ids) = &mut trunk.restoring
            && let Ok(at) = ids.binary_search_by(|other| id.cmp(other))
        {
            ids.remove(at);
            if let Err(refusal) = granted {
                tracing::warn!(link = number.0.slot, reason = refusal.reason(), "a subscription is not restored");
            }
        }
        let (notices, clients, counts) = (&mut self.notices, &mut self.clients, &self.counts);
        let followed = self.events.is_some();
        let mut news = Vec::new();
        let then = trunk.upstream.answered(id, granted, |told| {
            let Told { who, filter, granted, late } = *told;
            if granted.is_err()
                && let Some(client) = clients.get_mut(who.client.0)
            {
                client.forget(Place { filter, subscription: who.subscription });
            }
            if late {
                counts.up(BridgeCount::SubscriptionsLost);
            }
            let (gateway, client, token) = (who.gateway, who.handle, who.subscription);
            notices.push_back(Notice::Subscribed { gateway, client, token, granted });
            if followed && let Ok(qos) = granted {
                news.push((who.client, filter, qos));
            }
        });
        match then {
            Some(Then::Ask(ask)) => link.subscribe(ask.id, &ask.filter, ask.qos, ask.retain_handling),
            Some(Then::Unsubscribe(text)) => link.unsubscribe(&text),
            None => {}
        }
        for (client, filter, qos) in news {
            self.tell_subscribed(now, number, client, filter, qos);
        }
    }

    fn tell_subscribed(&mut self, now: Now, number: LinkId, client: ClientRef, filter: Key, qos: Qos) {
        let mounted = self.lines.get(number).and_then(|line| line.trunk.as_ref()?.upstream.filter(filter));
        let mount = self.clients.get(client.0).map(|who| &who.mount);
        let Some(filter) = mount.zip(mounted).and_then(|(mount, mounted)| mount.strip_filter(mounted)) else { return };
        self.tell(now, client, &Event::Subscribed { filter: &filter, qos });
    }
}
