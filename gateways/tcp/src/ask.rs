//! What the admin API asks, and what it is answered there and then.

use crate::base::version;
use crate::connection::{Commands, Connection, State};
use crate::machine::Tcp;
use bridge_core::ask::{Answer, Ask, ClientRow, SubscriptionRow, Wanted};
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::uplink::{Ending, Token};

impl Tcp {
    /// One question.
    pub(crate) fn answer(&mut self, cx: &mut Cx<'_>, ask: &Ask<'_>) -> Answer {
        let (Ask::Show { id }
        | Ask::Kick { id }
        | Ask::Subscriptions { id }
        | Ask::Subscribe { id, .. }
        | Ask::Unsubscribe { id, .. }) = *ask
        else {
            return self.answer_list(ask);
        };
        let Some(key) = self.table.named(id) else { return Answer::NoSuchClient };
        match *ask {
            Ask::List { .. } => Answer::NoSuchClient,
            Ask::Show { .. } => match self.table.get(key).and_then(row) {
                Some(row) => Answer::Client(Box::new(row)),
                None => Answer::NoSuchClient,
            },
            Ask::Subscriptions { .. } => Answer::Subscriptions(self.subscriptions(key)),
            Ask::Kick { .. } => {
                self.close(cx, key, Ending::Kicked);
                Answer::Done
            }
            Ask::Subscribe { filter, qos, .. } => match self.subscribe_for(cx, key, filter, qos) {
                Ok(()) => Answer::Done,
                Err(why) => Answer::Refused(why),
            },
            Ask::Unsubscribe { filter, .. } if self.unsubscribe_for(cx, key, filter) => Answer::Done,
            Ask::Unsubscribe { filter, .. } if self.own_filter(key).as_deref() == Some(filter.as_str()) => {
                Answer::OwnSubscription
            }
            Ask::Unsubscribe { .. } => Answer::NoSuchSubscription,
        }
    }

    fn answer_list(&self, ask: &Ask<'_>) -> Answer {
        match *ask {
            Ask::List { after, rows, scan, wanted } => self.list(after, rows, scan, wanted),
            _ => Answer::NoSuchClient,
        }
    }

    /// A slice of the connections in slot order. The token is the key of the slot that was looked at last.
    fn list(&self, after: Option<Token>, rows: usize, scan: usize, wanted: &Wanted) -> Answer {
        let first = after.map_or(Some(0), |token| Key::from_bits(token.0).slot.checked_add(1));
        let Some(first) = first else { return Answer::Page { rows: Vec::new(), next: None } };
        let mut found = Vec::new();
        // Where it ends unless the rows are full before: a free slot takes its share of the time, too.
        let mut end = (first as usize).saturating_add(scan);
        for (key, connection) in self.table.slice(first, scan) {
            let Some(row) = row(connection) else { continue };
            if !wanted.fits(&row.id, &row.username, row.address.ip(), row.state, row.clean) {
                continue;
            }
            if found.len() >= rows.max(1) {
                end = key.slot as usize;
                break;
            }
            found.push(row);
        }
        let last = (end < self.table.slots()).then(|| end.checked_sub(1)).flatten();
        let next = last.and_then(|slot| u32::try_from(slot).ok());
        Answer::Page { rows: found, next: next.map(|slot| Token(Key { slot, generation: 0 }.to_bits())) }
    }

    /// What the gateway itself has subscribed to for a device, as far as it may.
    fn own_filter(&self, key: Key) -> Option<String> {
        let session = self.table.session(key)?;
        if session.commands == Commands::Refused { None } else { self.topics_of(key).map(|topics| topics.dn) }
    }

    fn subscriptions(&self, key: Key) -> Vec<SubscriptionRow> {
        let Some(session) = self.table.session(key) else { return Vec::new() };
        let own = self.own_filter(key);
        let own = own.map(|filter| SubscriptionRow { filter: filter.into(), qos: self.base.downlink_qos });
        let extra = session.extra.iter();
        own.into_iter()
            .chain(extra.map(|extra| SubscriptionRow { filter: extra.filter.clone(), qos: extra.qos }))
            .collect()
    }
}

/// A device that is in; others have no client id that is sure to be theirs.
fn row(connection: &Connection) -> Option<ClientRow> {
    let State::Connected(session) = &connection.state else { return None };
    let own = usize::from(session.commands != Commands::Refused);
    let extra = session.extra.len();
    Some(ClientRow {
        id: session.id.clone(),
        username: session.identity.username.clone(),
        address: connection.addr,
        node: None,
        state: "connected",
        version: version(session.version),
        clean: true,
        keepalive_s: session.keepalive_s.into(),
        expiry_s: 0,
        connected_at_ms: session.connected_ms,
        disconnected_at_ms: None,
        subscriptions: u32::try_from(own.saturating_add(extra)).unwrap_or(u32::MAX),
        held: u32::try_from(session.waits()).unwrap_or(u32::MAX),
        in_flight: 0,
    })
}
