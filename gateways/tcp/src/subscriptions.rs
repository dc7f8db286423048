//! The subscription that brings a device its messages, where it has one of its own; and those that others make for it.

use crate::base::Topics;
use crate::connection::{Commands, Extra};
use crate::counts::refused;
use crate::machine::Tcp;
use bridge_core::Qos;
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::topic::TopicFilter;
use bridge_core::uplink::{Ending, Refusal, Taken, Token, Uplink};

/// The subscription to the device's own topic. The others count from here.
const COMMANDS: Token = Token(0);
/// Subscriptions that others may make for one device.
const MOST_EXTRA: usize = 16;

impl Tcp {
    /// Subscribes a device to its topic, if it is owed that; or sees whether it may have what comes for all.
    pub(crate) fn ask_for_commands(&mut self, cx: &mut Cx<'_>, key: Key, topic: &str) {
        let qos = self.base.downlink_qos;
        let Some(session) = self.table.session_mut(key) else { return };
        let Ok(filter) = TopicFilter::try_from(topic) else {
            session.commands = Commands::Refused;
            return;
        };
        match session.commands {
            Commands::Own | Commands::Refused => return,
            Commands::Shared => {
                if let Err(why) = cx.bridge.may_subscribe(cx.now, session.client, filter) {
                    self.on_subscribed(cx, key, COMMANDS, Err(why));
                }
                return;
            }
            Commands::Owed => {}
        }
        let uplink = Uplink::Subscribe { token: COMMANDS, filter, qos, retained: true };
        session.commands = Commands::Own;
        let mut taken = cx.bridge.up(cx.now, session.client, uplink);
        if session.own_link && taken == Taken::Denied(Refusal::BrokerAway) {
            // Nobody is told when a link of a client's own is back. The bridge asks over it by then.
            let uplink = Uplink::Resubscribe { token: COMMANDS, filter, qos };
            taken = cx.bridge.up(cx.now, session.client, uplink);
        }
        match taken {
            Taken::Done | Taken::Owed => {}
            // Once the broker is back.
            Taken::Full | Taken::Later(_) | Taken::Denied(Refusal::BrokerAway) => session.commands = Commands::Owed,
            Taken::Denied(why) => self.on_subscribed(cx, key, COMMANDS, Err(why)),
        }
    }

    /// The broker has answered, or has taken a subscription back.
    pub(crate) fn on_subscribed(&mut self, cx: &mut Cx<'_>, key: Key, token: Token, granted: Result<Qos, Refusal>) {
        let (Err(why), Some(session)) = (granted, self.table.session_mut(key)) else { return };
        if token == COMMANDS && why == Refusal::BrokerAway {
            // The link was lost before the answer.
            session.commands = Commands::Owed;
            if session.own_link
                && let Some(Topics { dn, .. }) = self.topics_of(key)
            {
                self.ask_for_commands(cx, key, &dn);
            }
            return;
        }
        if token == COMMANDS {
            session.commands = Commands::Refused;
        } else {
            session.extra.retain(|extra| extra.token != token.0);
        }
        tracing::debug!(protocol = "tcp", client_id = %session.id, reason = why.reason(), "subscription refused");
        self.base.counts.up(refused(why));
        if why == (Refusal::NotAuthorised { disconnect: true }) {
            self.close(cx, key, Ending::NotAuthorised);
        }
    }

    /// The broker is back: who could not be subscribed is now.
    pub(crate) fn on_broker_back(&mut self, cx: &mut Cx<'_>) {
        self.commander.on_broker_back(&self.base, cx);
        let owed = self
            .table
            .iter()
            .filter(|(_, connection)| connection.session().is_some_and(|session| session.commands == Commands::Owed));
        let owed: Vec<Key> = owed.map(|(key, _)| key).collect();
        for key in owed {
            if let Some(Topics { dn, .. }) = self.topics_of(key) {
                self.ask_for_commands(cx, key, &dn);
            }
        }
    }

    /// The topics of a device that is in.
    pub(crate) fn topics_of(&self, key: Key) -> Option<Topics> {
        let connection = self.table.get(key)?;
        let session = connection.session()?;
        self.base.topics(&session.id, &session.identity, connection.addr).ok()
    }

    /// Somebody subscribes for a device.
    pub(crate) fn subscribe_for(
        &mut self,
        cx: &mut Cx<'_>,
        key: Key,
        filter: TopicFilter<'_>,
        qos: Qos,
    ) -> Result<(), Refusal> {
        let session = self.table.session_mut(key).ok_or(Refusal::NoSuchClient)?;
        let extra = &mut session.extra;
        let known = extra.iter().find(|extra| *extra.filter == *filter.as_str()).map(|extra| extra.token);
        if known.is_none() && extra.len() >= MOST_EXTRA {
            return Err(Refusal::Limit);
        }
        let next = extra.iter().map(|extra| extra.token).max().unwrap_or(COMMANDS.0).saturating_add(1);
        let token = known.unwrap_or(next);
        match cx.bridge.up(
            cx.now,
            session.client,
            Uplink::Subscribe { token: Token(token), filter, qos, retained: true },
        ) {
            Taken::Done | Taken::Owed => {}
            Taken::Full | Taken::Later(_) => return Err(Refusal::Limit),
            Taken::Denied(why) => return Err(why),
        }
        extra.retain(|extra| extra.token != token);
        extra.push(Extra { token, filter: filter.as_str().into(), qos });
        Ok(())
    }

    /// Somebody ends a subscription of that kind; false if there is none.
    pub(crate) fn unsubscribe_for(&mut self, cx: &mut Cx<'_>, key: Key, filter: TopicFilter<'_>) -> bool {
        let Some(extra) = self.table.session_mut(key).map(|session| &mut session.extra) else { return false };
        let Some(place) = extra.iter().position(|extra| *extra.filter == *filter.as_str()) else { return false };
        let token = Token(extra.remove(place).token);
        self.tell(cx, key, Uplink::Unsubscribe { token, filter });
        true
    }
}
