//! A client that has been let in: to the session that it has, or to a new one, through the will dialogue to CONNACK.

use crate::address::At;
use crate::admission::{Entrant, Hello, Sender};
use crate::counts::Count;
use crate::down::Down;
use crate::machine::Mqttsn;
use crate::receipts::Receipts;
use crate::registry::Registry;
use crate::session::{Came, Session, State};
use crate::subscriptions::Subscriptions;
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::topic::ClientId;
use bridge_core::uplink::{Connect, Ending, Identity, OwnLink, Refusal};
use codec_mqttsn::{Message, ReturnCode};

/// Clients that may be in a will dialogue at once, on one shard.
const MAX_DIALOGUES: u64 = 16_384;

impl Mqttsn {
    /// The client may come in: to the session that it has, or to a new one.
    pub(crate) fn enter(&mut self, cx: &mut Cx<'_>, who: Entrant<'_>) {
        let Entrant { sender, id, generated, hello, identity, link } = who;
        let known = self.sessions.named(id);
        if let Err(why) = self.fits(cx, sender.at, id, &identity) {
            return self.turn_away(cx, sender.at, id, why);
        }
        if self.refuses(cx, sender.at, id, known, hello) {
            return self.turn_away(cx, sender.at, id, Refusal::Limit);
        }
        let here = self.sessions.at(sender.at).filter(|here| Some(*here) != known);
        self.displace(cx, here);
        let key = match known {
            Some(key) => {
                self.come_back(cx, key, Entrant { sender, id, generated, hello, identity, link });
                Some(key)
            }
            None => self.begin(sender, id, generated, hello, identity, cx),
        };
        let Some(key) = key else {
            cx.gates.leave(sender.at.peer.listener);
            return self.turn_away(cx, sender.at, id, Refusal::Limit);
        };
        let Some(session) = self.sessions.get_mut(key).filter(|_| hello.will) else {
            return self.establish(cx, key, link);
        };
        let fresh = !matches!(session.state, State::Connecting(_));
        session.ask_will(&mut self.base, cx, key, link.take());
        if fresh {
            // A repeated CONNECT does not win more time.
            self.set_life(key, Some(cx.now.mono_ms.saturating_add(self.base.rules.idle_timeout_ms)));
        }
    }

    /// Whether the bridge will take the client by these names: before anybody gives way to it.
    fn fits(&self, cx: &Cx<'_>, at: At<'_>, id: &str, identity: &Identity) -> Result<(), Refusal> {
        let id = ClientId::try_from(id).map_err(|_fault| Refusal::BadIdentity)?;
        let (gateway, listener, address) = (self.base.gateway, at.peer.listener, Some(at.peer.addr));
        cx.bridge.fits(&Connect { gateway, listener, id, identity, address, connectionless: false, link: None })
    }

    /// True when there is no place for the client. Else it has one at its listener's gate: who had one there keeps it.
    fn refuses(&mut self, cx: &Cx<'_>, at: At<'_>, id: &str, known: Option<Key>, hello: Hello) -> bool {
        let session = known.and_then(|key| self.sessions.get(key));
        let tells = session.is_some_and(|session| matches!(session.state, State::Connecting(_)));
        let crowded = hello.will && !tells && self.base.counts.get(Count::Connecting) >= MAX_DIALOGUES;
        let draining = self.draining && !session.is_some_and(|session| session.outlives_process(cx));
        let (listener, before) = (at.peer.listener, session.map(|session| session.address.listener()));
        if crowded || draining {
            return true;
        }
        if before != Some(listener)
            && let Err(shut) = cx.gates.enter(listener, cx.now)
        {
            self.warn_of_refusals(cx.now, at, id, shut.reason());
            return true;
        }
        if let Some(before) = before.filter(|before| *before != listener) {
            cx.gates.leave(before);
        }
        false
    }

    /// A session for a client that has none. `None`: no room.
    fn begin(
        &mut self,
        sender: Sender<'_>,
        id: &str,
        generated: bool,
        hello: Hello,
        identity: Identity,
        cx: &Cx<'_>,
    ) -> Option<Key> {
        let session = Session {
            id: id.into(),
            generated,
            stored: false,
            address: sender.at.into(),
            proven: sender.proven.into(),
            identity,
            connected_ms: cx.now.wall_ms,
            clean: hello.clean,
            keepalive_s: hello.duration_s,
            client: None,
            state: State::Active { heard_ms: cx.now.mono_ms, told_will: false },
            life: None,
            will: None,
            predefined: self.base.rules.predefined.own(id),
            registry: Registry::default(),
            subscriptions: Subscriptions::default(),
            receipts: Receipts::default(),
            down: Down::default(),
        };
        let key = self.sessions.insert(session)?;
        self.base.counts.up(Count::Active);
        Some(key)
    }

    /// The client's session goes on, wherever the client is now: with CleanSession = 0 as it was, else empty.
    fn come_back(&mut self, cx: &mut Cx<'_>, key: Key, who: Entrant<'_>) {
        let Entrant { sender, hello, identity, link, .. } = who;
        let Some(session) = self.sessions.get(key) else { return };
        let moved = !session.address.at().is_same(sender.at);
        let stranger = session.identity != identity;
        let rehomed = session.address.listener() != sender.at.peer.listener;
        let (clean, empty) = if session.wakes(sender.at) { (session.clean, false) } else { (hello.clean, hello.clean) };
        if moved {
            self.leave_address(cx, key, hello.clean);
        }
        self.sessions.unbind(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.address = sender.at.into();
        session.proven = sender.proven.into();
        session.identity = identity;
        session.clean = clean;
        session.keepalive_s = hello.duration_s;
        session.down.rest(&mut self.base);
        if empty || stranger {
            if session.has_connection() {
                session.gone(&self.base, cx, Ending::TakenOver);
            }
            session.reset(&self.base, cx);
        } else if rehomed {
            session.rehome(&self.base, cx, key, link);
        } else if moved {
            session.moved(&self.base, cx);
        }
        self.sessions.bind(key);
    }

    /// The client has come from elsewhere: it is told where it was. What a new session takes the place of is lost.
    fn leave_address(&self, cx: &mut Cx<'_>, key: Key, clean: bool) {
        let Some(session) = self.sessions.get(key) else { return };
        self.base.counts.up(if clean { Count::TakenOver } else { Count::Moved });
        if session.is_present() {
            self.base.say(cx, session.address.at(), &Message::Disconnect { duration: None });
        }
        if clean && session.has_connection() {
            session.publish_will(&self.base, cx);
        }
    }

    /// All is said: the client is connected, and CONNACK says so.
    pub(crate) fn establish(&mut self, cx: &mut Cx<'_>, key: Key, link: &mut Option<OwnLink>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.close_dialogue(&mut self.base, cx);
        let came = if session.client.is_some() { session.came() } else { Came::New };
        if let Err(why) = session.attach(&self.base, cx, key, link) {
            let (address, id) = (session.address.clone(), session.id.clone());
            self.leave(cx, key, Ending::Closed);
            return self.turn_away(cx, address.at(), &id, why);
        }
        let told_will = matches!(session.state, State::Connecting(_));
        if told_will || session.will.is_some() {
            session.declare_will(&self.base, cx);
        }
        session.enter(&self.base, State::Active { heard_ms: cx.now.mono_ms, told_will });
        session.connected_ms = cx.now.wall_ms;
        let lost_at = session.lost_at_ms();
        tracing::debug!(protocol = "mqttsn", client_id = %session.id, peer = %session.address.at().peer.addr, "connected");
        self.base.say(cx, session.address.at(), &Message::Connack { code: ReturnCode::Accepted });
        if matches!(came, Came::New | Came::Back) {
            session.arrived(&self.base, cx);
        }
        if self.base.rules.subs_resume && matches!(came, Came::Back | Came::Again) {
            session.owe_subscribed_ids();
        }
        self.set_life(key, lost_at);
        self.changed(cx, key);
        if let Some(session) = self.sessions.get_mut(key) {
            session.resume(&mut self.base, cx, key);
        }
    }

    /// The will's topic was none: CONNACK says no, and the client is not connected.
    pub(crate) fn refuse_will(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(address) = self.sessions.get(key).map(|session| session.address.clone()) else { return };
        self.base.counts.up(Count::ConnectRefused);
        self.leave(cx, key, Ending::Protocol);
        self.connack(cx, address.at(), ReturnCode::NotSupported);
    }
}
