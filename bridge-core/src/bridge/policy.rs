//! Who may come in, and what who is in may do; what is told about them.

use super::client::Client;
use super::own::OwnLinks;
use super::{Bridge, Notice};
use crate::acl::{AccessControl, Acl, Action, Subject, Verdict};
use crate::auth::{Answer, AuthRules, Decided, Question};
use crate::events::{Event, EventClient, EventSettings};
use crate::listeners::Listeners;
use crate::metrics::BridgeCount;
use crate::time::Now;
use crate::topic::TopicFilter;
use crate::uplink::{Admission, Applicant, ClientRef, Ending, Online, Refusal, Taken, Token};
use std::net::SocketAddr;
use std::sync::Arc;

/// What the operator wants of clients. The same for every shard; by default everybody may do everything, and nothing is
/// told.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Who may come in.
    pub auth: Arc<AuthRules>,
    /// Who may publish and subscribe where.
    pub acl: Arc<Acl>,
    /// Whom the listeners hear, and how much each of their sessions may publish.
    pub listeners: Arc<Listeners>,
    /// Where events go; `None` = nowhere.
    pub events: Option<EventSettings>,
    /// MQTT connections of clients' own; `None` = all clients use the links of the shard.
    pub own_links: Option<OwnLinks>,
}

impl Bridge {
    /// May it come in, and as whom? `applicant` is the machine's own number: the answer, if it has to wait, names it.
    pub fn admit(&mut self, now: Now, applicant: Token, who: &Applicant<'_>) -> Admission {
        self.admissions.admit(now, applicant, who)
    }

    /// What a credential store is to be asked next. To be carried there; [`Bridge::answer`] brings back what it says.
    pub fn take_question(&mut self) -> Option<Question> {
        self.admissions.take_question()
    }

    /// A credential store's word. [`Bridge::take_notice`] follows.
    pub fn answer(&mut self, now: Now, answer: Answer) {
        self.admissions.answer(now, answer);
    }

    /// These rules hold from now on. Clients that are in stay in, with the subscriptions that they have; who waits for a
    /// store is told to come again; limits hold for all from their next publication on.
    pub fn replace_rules(&mut self, auth: Arc<AuthRules>, acl: Arc<Acl>, listeners: &Listeners) {
        self.admissions.replace(auth);
        self.access.replace(acl);
        self.limits.replace(listeners);
    }

    /// Do the access rules let a client subscribe to that? To be asked where another's subscription brings its messages.
    ///
    /// # Errors
    /// [`Refusal::NotAuthorised`], or [`Refusal::NoSuchClient`].
    pub fn may_subscribe(&mut self, now: Now, client: ClientRef, filter: TopicFilter<'_>) -> Result<(), Refusal> {
        let who = self.clients.get_mut(client.0).ok_or(Refusal::NoSuchClient)?;
        who.may(&mut self.access, now, Action::Subscribe, filter.pattern())
    }

    pub(super) fn decided(&mut self) -> Option<Notice> {
        let decided = self.admissions.take_decided()?;
        let Decided { gateway, applicant, verdict } = decided;
        Some(Notice::Decided { gateway, applicant, verdict, link: None })
    }

    pub(super) fn online(&mut self, now: Now, client: ClientRef, online: Online) -> Taken {
        let Some(who) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        who.move_to(online.address.ip());
        self.tell(now, client, &Event::Connected(online));
        Taken::Done
    }

    pub(super) fn moved(&mut self, client: ClientRef, address: SocketAddr) -> Taken {
        let Some(who) = self.clients.get_mut(client.0) else { return Taken::Denied(Refusal::NoSuchClient) };
        who.move_to(address.ip());
        Taken::Done
    }

    pub(super) fn offline(&mut self, now: Now, client: ClientRef, why: Ending) -> Taken {
        self.tell(now, client, &Event::Disconnected(why));
        if let Some(link) = self.clients.get(client.0).map(|who| who.link)
            && !self.lines.is_shared(link)
        {
            self.part(now, link);
        }
        Taken::Done
    }

    /// Publishes an event, if there are any, over the client's link, or one of the shard where it has its own. A client never waits for what is told about it, nor
    /// does it find the queue full of that: what finds no room in the first half of it is dropped.
    pub(super) fn tell(&mut self, now: Now, client: ClientRef, what: &Event<'_>) {
        let Some(who) = self.clients.get(client.0) else { return };
        let about = EventClient { gateway: who.gateway, id: &who.id, username: &who.identity.username };
        // The node tells it, not the client.
        let link = if self.lines.is_shared(who.link) { who.link } else { self.link_of(&who.id) };
        let Some(events) = &mut self.events else { return };
        let line = self.lines.get_mut(link).filter(|line| line.link.has_spare_room());
        let taken =
            line.zip(events.write(now, &about, what)).map(|(line, message)| line.link.publish(now, None, "", &message));
        if !matches!(taken, Some(Taken::Done | Taken::Owed)) {
            self.counts.up(BridgeCount::EventsDropped);
        }
    }
}

impl Client {
    /// Do the access rules let it do that? `topic` is without mountpoint and without `$share` part.
    #[inline]
    pub(super) fn may(
        &mut self,
        access: &mut AccessControl,
        now: Now,
        action: Action,
        topic: &str,
    ) -> Result<(), Refusal> {
        if access.is_open() || self.identity.superuser {
            return Ok(());
        }
        let who = Subject { client_id: &self.id, username: &self.identity.username, address: self.address };
        match access.check(now, &who, &mut self.decisions, action, topic) {
            Verdict::Allow => Ok(()),
            Verdict::Deny => Err(Refusal::NotAuthorised { disconnect: access.disconnects() }),
        }
    }
}
