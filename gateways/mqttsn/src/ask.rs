//! What the admin API asks, and what it is answered there and then.

use crate::base::Base;
use crate::connect::VERSION;
use crate::machine::Mqttsn;
use crate::session::{Session, State};
use bridge_core::Qos;
use bridge_core::ask::{Answer, Ask, ClientRow, SubscriptionRow, Wanted};
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::topic::TopicFilter;
use bridge_core::uplink::{Ending, Token};
use codec_mqttsn::Message;

impl Mqttsn {
    /// One question.
    pub(crate) fn answer(&mut self, cx: &mut Cx<'_>, ask: &Ask<'_>) -> Answer {
        match *ask {
            Ask::List { after, rows, scan, wanted } => self.list(after, rows, scan, wanted),
            Ask::Show { id } => self.about(id, |base, session| Answer::Client(Box::new(row(base, session)))),
            Ask::Subscriptions { id } => self.about(id, |base, session| {
                let listed = session
                    .subscriptions
                    .iter(&session.registry, base.rules.predefined.known(session.predefined.as_deref()));
                Answer::Subscriptions(
                    listed.map(|(filter, qos)| SubscriptionRow { filter: filter.into(), qos }).collect(),
                )
            }),
            Ask::Kick { id } => self.kick(cx, id),
            Ask::Subscribe { id, filter, qos } => self.subscribe_for(cx, id, filter, qos),
            Ask::Unsubscribe { id, filter } => self.unsubscribe_for(cx, id, filter),
        }
    }

    fn about(&self, id: &str, tell: impl Fn(&Base, &Session) -> Answer) -> Answer {
        let session = self.sessions.named(id).and_then(|key| self.sessions.get(key));
        session.map_or(Answer::NoSuchClient, |session| tell(&self.base, session))
    }

    /// A slice of the sessions in slot order. The token is the key of the slot that was looked at last.
    fn list(&self, after: Option<Token>, rows: usize, scan: usize, wanted: &Wanted) -> Answer {
        let first = after.map_or(Some(0), |token| Key::from_bits(token.0).slot.checked_add(1));
        let Some(first) = first else { return Answer::Page { rows: Vec::new(), next: None } };
        let mut found = Vec::new();
        // Where it ends unless the rows are full before: a free slot takes its share of the time, too.
        let mut end = (first as usize).saturating_add(scan);
        for (key, session) in self.sessions.slice(first, scan) {
            let (state, ip) = (state(&session.state), session.address.at().peer.addr.ip());
            if !wanted.fits(&session.id, &session.identity.username, ip, state, session.clean) {
                continue;
            }
            if found.len() >= rows.max(1) {
                end = key.slot as usize;
                break;
            }
            found.push(row(&self.base, session));
        }
        let last = (end < self.sessions.slots()).then(|| end.checked_sub(1)).flatten();
        let next = last.and_then(|slot| u32::try_from(slot).ok());
        Answer::Page { rows: found, next: next.map(|slot| Token(Key { slot, generation: 0 }.to_bits())) }
    }

    /// The client is told to go. Its session ends, with its subscriptions; what it wanted published then is.
    fn kick(&mut self, cx: &mut Cx<'_>, id: &str) -> Answer {
        let Some(key) = self.sessions.named(id) else { return Answer::NoSuchClient };
        let Some(session) = self.sessions.get(key) else { return Answer::NoSuchClient };
        tracing::debug!(protocol = "mqttsn", client_id = %session.id, "kicked");
        if session.is_present() {
            self.base.say(cx, session.address.at(), &Message::Disconnect { duration: None });
        }
        if session.has_connection() {
            session.publish_will(&self.base, cx);
            session.gone(&self.base, cx, Ending::Kicked);
        }
        self.end(cx, key);
        Answer::Done
    }

    fn subscribe_for(&mut self, cx: &mut Cx<'_>, id: &str, filter: TopicFilter<'_>, qos: Qos) -> Answer {
        let Some(key) = self.sessions.named(id) else { return Answer::NoSuchClient };
        let Some(session) = self.sessions.get_mut(key) else { return Answer::NoSuchClient };
        if let Err(why) = session.subscribe_for(&self.base, cx, filter, qos) {
            return Answer::Refused(why);
        }
        self.changed(cx, key);
        Answer::Done
    }

    fn unsubscribe_for(&mut self, cx: &mut Cx<'_>, id: &str, filter: TopicFilter<'_>) -> Answer {
        let Some(key) = self.sessions.named(id) else { return Answer::NoSuchClient };
        let Some(session) = self.sessions.get_mut(key) else { return Answer::NoSuchClient };
        if !session.unsubscribe_for(&self.base, cx, filter) {
            return Answer::NoSuchSubscription;
        }
        // A SUBACK that would have told a topic id does not come any more.
        session.pump(&mut self.base, cx, key);
        self.changed(cx, key);
        Answer::Done
    }
}

const fn state(state: &State) -> &'static str {
    match state {
        State::Connecting(_) => "connecting",
        State::Active { .. } => "connected",
        State::Asleep(_) => "asleep",
        State::Awake(_) => "awake",
        State::Away { .. } => "disconnected",
    }
}

fn row(base: &Base, session: &Session) -> ClientRow {
    let at = session.address.at();
    let expiry_s = if session.clean { 0 } else { base.rules.session_expiry_ms / 1000 };
    ClientRow {
        id: session.id.clone(),
        username: session.identity.username.clone(),
        address: at.peer.addr,
        node: at.node.map(hexadecimal),
        state: state(&session.state),
        version: VERSION,
        clean: session.clean,
        keepalive_s: session.keepalive_s.into(),
        expiry_s: u32::try_from(expiry_s).unwrap_or(u32::MAX),
        connected_at_ms: session.connected_ms,
        disconnected_at_ms: match session.state {
            State::Away { since_ms } => Some(since_ms),
            State::Connecting(_) | State::Active { .. } | State::Asleep(_) | State::Awake(_) => None,
        },
        subscriptions: count(session.subscriptions.len()),
        held: count(session.down.queue.len()),
        in_flight: u32::from(session.down.in_flight.is_some()),
    }
}

fn hexadecimal(octets: &[u8]) -> Box<str> {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>().into()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
