//! A client and its own link: taken, exchanged, asleep, awake, left; and what comes over it.

use super::super::inbound::{Arrival, Recipient};
use super::super::{Bridge, LinkId, Notice};
use super::{AWAKE_WITHIN_MS, EARLY, Early, Fleet, GONE_WITHIN_MS, Own, Stage};
use crate::acl::Action;
use crate::link::{AckDue, Farewell, Inbound, Link, LinkCount, OWN_RECEIVE_MAXIMUM};
use crate::meter::Meter;
use crate::publication::{Publication, Stored};
use crate::time::Now;
use crate::topic::TopicName;
use crate::uplink::{ClientRef, Ending, OwnLink, Receipt, Refusal, Taken};
use std::sync::Arc;

impl Fleet {
    /// For whoever reports.
    pub(in crate::bridge) fn meters(&self) -> [Arc<Meter>; 2] {
        [self.counts.meter(), self.link_counts.meter()]
    }

    pub(super) fn gauge_queue(&self) {
        self.link_counts.set(LinkCount::QueueMessages, self.budget.messages() as u64);
        self.link_counts.set(LinkCount::QueueBytes, self.budget.bytes() as u64);
    }
}

impl Bridge {
    fn own_of(&mut self, client: ClientRef) -> Option<(LinkId, &mut Link, &mut Own)> {
        let link = self.clients.get(client.0)?.link;
        if self.lines.is_shared(link) {
            return None;
        }
        let line = self.lines.get_mut(link)?;
        Some((link, &mut line.link, line.own.as_deref_mut()?))
    }

    /// True if the link waits to be taken.
    pub(in crate::bridge) fn may_take(&self, own: OwnLink) -> bool {
        let line = self.lines.get(LinkId(own.0));
        line.and_then(|line| line.own.as_ref()).is_some_and(|own| matches!(own.stage, Stage::Admitted(_)))
    }

    /// The client speaks through this link from now on. Who did so under the same client id hears that it has been taken
    /// over, unless it is the same.
    pub(in crate::bridge) fn take_link(&mut self, now: Now, client: ClientRef, link: LinkId) {
        let Some(line) = self.lines.get_mut(link) else { return };
        line.watch = None;
        let Some(own) = line.own.as_deref_mut() else { return };
        let Stage::Admitted(early) = std::mem::replace(&mut own.stage, Stage::Taken(client)) else { return };
        let (older, evicted, resumed) = (own.older.take(), own.evicted.take(), own.resumed);
        if own.up
            && let Some(who) = self.clients.get_mut(client.0)
        {
            who.ask_again(&mut line.link, resumed);
        }
        if let Some((other, _)) = evicted.filter(|(other, _)| *other != client) {
            self.tell_ended(other, Ending::TakenOver);
        }
        let of_older = |bridge: &Self, older| bridge.lines.get(older).and_then(|line| line.own.as_ref()?.client());
        if let Some(older) = older {
            if let Some(other) = of_older(self, older).filter(|other| *other != client) {
                self.tell_ended(other, Ending::TakenOver);
            }
            self.finish(now, older);
        }
        for message in early {
            self.hand_over(now, client, &message);
        }
    }

    fn hand_over(&mut self, now: Now, client: ClientRef, early: &Early) {
        let who = self.clients.get(client.0);
        let seen = who.zip(early.message.view(now)).and_then(|(who, view)| {
            let topic = TopicName::from_broker(who.mount.strip(view.topic.as_str())?);
            let message = Stored::copy(&Publication { topic, ..view }, now);
            let subscription = who.subscription_of(view.topic.as_str());
            let (gateway, client, qos, receipt) = (who.gateway, who.handle, view.qos, early.receipt);
            Some(Notice::Message { gateway, client, message, qos, subscription, receipt })
        });
        match seen {
            Some(notice) => self.notices.push_back(notice),
            None => self.undeliverable(now, early.receipt),
        }
    }

    pub(in crate::bridge) fn relink(&mut self, now: Now, client: ClientRef, own: OwnLink) -> Taken {
        let link = LinkId(own.0);
        let takes = self.may_take(own);
        let Some(who) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        if !takes {
            return Taken::Denied(Refusal::BrokerAway);
        }
        let before = std::mem::replace(&mut who.link, link);
        self.take_link(now, client, link);
        // Where another gateway had the same client id, the link before is not the one that this has taken over.
        if before != link && !self.lines.is_shared(before) {
            self.finish(now, before);
        }
        Taken::Done
    }

    /// The client is not let in after all: its own MQTT connection ends.
    pub fn dismiss(&mut self, link: OwnLink) {
        if self.may_take(link) {
            self.refuse(self.now, LinkId(link.0), Refusal::BrokerAway);
        }
    }

    /// The client goes: what it has said still goes its way.
    pub(in crate::bridge) fn part(&mut self, now: Now, link: LinkId) {
        let Some(line) = self.lines.get_mut(link) else { return };
        let Some(own) = line.own.as_deref_mut() else { return };
        if matches!(own.stage, Stage::Leaving) {
            return;
        }
        own.stage = Stage::Leaving;
        own.receipts = None;
        line.watch = Some(now.after_ms(GONE_WITHIN_MS));
        line.link.depart(now, own.lost);
    }

    pub(in crate::bridge) fn set_will(&mut self, now: Now, client: ClientRef, will: Option<&Publication<'_>>) -> Taken {
        let Some(who) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        if self.lines.is_shared(who.link) {
            return Taken::Done;
        }
        if let Some(will) = will
            && let Err(refusal) = who.may(&mut self.access, now, Action::Publish, will.topic.as_str())
        {
            return Taken::Denied(refusal);
        }
        let prefix = who.mount.prefix();
        let farewell = will.map(|will| Farewell {
            topic: [prefix, will.topic.as_str()].concat(),
            payload: will.payload.to_vec(),
            retain: will.retain,
            qos: will.qos,
        });
        if farewell.as_ref().is_some_and(|will| will.topic.len() > MOST_WILL || will.payload.len() > MOST_WILL) {
            return Taken::Denied(Refusal::TooLarge);
        }
        let Some(line) = self.lines.get_mut(who.link) else { return Taken::Denied(Refusal::BrokerAway) };
        line.link.set_will(now, farewell);
        Taken::Done
    }

    /// The client is lost. The broker publishes the will if it knows it; else we do, or if it would take its time.
    pub(in crate::bridge) fn publish_will(&mut self, now: Now, client: ClientRef, will: &Publication<'_>) -> Taken {
        if let Some((_, link, own)) = self.own_of(client)
            && link.has_will_in_force()
            && !(link.is_online() && link.delays_will())
        {
            own.lost = true;
            return Taken::Done;
        }
        self.publish(now, client, None, will)
    }

    pub(in crate::bridge) fn doze(&mut self, now: Now, client: ClientRef) -> Taken {
        if let Some((_, link, own)) = self.own_of(client)
            && !link.is_clean()
        {
            own.waking = false;
            link.rest(now);
        }
        Taken::Done
    }

    pub(in crate::bridge) fn wake(&mut self, now: Now, client: ClientRef) -> Taken {
        let Some((id, link, own)) = self.own_of(client) else { return Taken::Done };
        if link.rests() {
            link.wake(now);
            // One that is about to go is of no use any more.
            if link.is_online() {
                return Taken::Done;
            }
        } else if link.unacknowledged() < usize::from(OWN_RECEIVE_MAXIMUM) {
            return Taken::Done;
        } else {
            // The broker may hold more back than it may have on its way: it is asked once the device has had that.
            own.again = true;
        }
        own.waking = true;
        if let Some(line) = self.lines.get_mut(id) {
            line.watch = Some(now.after_ms(AWAKE_WITHIN_MS));
        }
        Taken::Owed
    }

    /// The broker has answered: what it had sent before has come. What it holds back until something is acknowledged comes
    /// after that.
    pub(super) fn on_caught(&mut self, _now: Now, link: LinkId) {
        let Some(line) = self.lines.get_mut(link) else { return };
        let Some(own) = line.own.as_deref_mut().filter(|own| own.waking) else { return };
        if line.link.unacknowledged() > 0 {
            own.again = true;
        } else {
            self.woken(link, Ok(()));
        }
    }

    /// Whoever waits to be awake is.
    pub(super) fn woken(&mut self, link: LinkId, outcome: Result<(), Refusal>) {
        let Some(line) = self.lines.get_mut(link) else { return };
        let Some(own) = line.own.as_deref_mut().filter(|own| own.waking) else { return };
        (own.waking, own.again) = (false, false);
        let Stage::Taken(client) = own.stage else { return };
        line.watch = None;
        if let Some(who) = self.clients.get(client.0) {
            self.notices.push_back(Notice::Awake { gateway: who.gateway, client: who.handle, outcome });
        }
    }

    /// The device has the message, or never will. Nothing happens where its connection is gone.
    pub(in crate::bridge) fn delivered(&mut self, now: Now, receipt: Receipt) -> Taken {
        let Some(line) = self.lines.get_mut(LinkId(receipt.link.0)) else { return Taken::Done };
        let Some(own) = line.own.as_deref_mut() else { return Taken::Done };
        if let Some(receipts) = &mut own.receipts {
            receipts.done(receipt.number, |due| line.link.acknowledge(due));
            if receipts.is_empty() {
                own.receipts = None;
            }
        }
        if own.waking {
            line.watch = Some(now.after_ms(AWAKE_WITHIN_MS));
        }
        if own.again && line.link.unacknowledged() == 0 {
            own.again = false;
            line.link.probe(now);
        }
        Taken::Done
    }

    /// A message of no use to its client any more: the broker may forget it.
    pub fn undeliverable(&mut self, now: Now, receipt: Option<Receipt>) {
        if let Some(receipt) = receipt {
            let Taken::Done = self.delivered(now, receipt) else { return };
        }
    }

    /// A message that came over a client's own link is the client's, and nobody else's. `None`: there is nobody to have it,
    /// or it waits until there is.
    pub(in crate::bridge) fn receive_alone<'b>(
        &mut self,
        now: Now,
        from: LinkId,
        inbound: Inbound<'b>,
    ) -> Option<Arrival<'b>> {
        let whole = inbound.publication;
        let line = self.lines.get_mut(from)?;
        let own = line.own.as_deref_mut()?;
        match &mut own.stage {
            // The broker keeps it, if anybody comes back for it.
            Stage::Applying(_) | Stage::Leaving => None,
            Stage::Admitted(early) => {
                if early.len() >= EARLY {
                    line.link.count(LinkCount::Unusable);
                    return None;
                }
                let receipt = keep(&mut own.receipts, from, inbound, whole.qos);
                early.push(Early { message: Stored::copy(&whole, now), receipt });
                None
            }
            Stage::Taken(client) => {
                let who = self.clients.get(client.0)?;
                if who.mount.strip(whole.topic.as_str()).is_none() {
                    // Of an earlier life, under another mountpoint.
                    line.link.count(LinkCount::Unusable);
                    line.link.acknowledge(inbound.due);
                    return None;
                }
                let mut recipients = std::mem::take(&mut self.recipients);
                recipients.push(Recipient {
                    gateway: who.gateway,
                    client: who.handle,
                    subscription: who.subscription_of(whole.topic.as_str()),
                    qos: whole.qos,
                    receipt: keep(&mut own.receipts, from, inbound, whole.qos),
                    mount: who.mount_len(),
                });
                Some(Arrival::new(whole, recipients, AckDue::none()))
            }
        }
    }
}

/// Keeps what the broker is owed until the device has the message.
fn keep(
    receipts: &mut Option<Box<super::Receipts>>,
    link: LinkId,
    inbound: Inbound<'_>,
    qos: codec_mqtt::Qos,
) -> Option<Receipt> {
    let Inbound { due, again, .. } = inbound;
    if !due.is_owed() {
        return None;
    }
    let number = receipts.get_or_insert_default().keep(due, qos)?;
    Some(Receipt { link: OwnLink(link.0), number, again })
}

/// Octets of a will's topic and payload, each (MQTT 5.0 §3.1.3).
const MOST_WILL: usize = 65_535;
