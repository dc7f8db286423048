//! CONNECT, DISCONNECT and the ends of sessions (MQTT-SN 1.2 §6.3).

use crate::base::Base;
use crate::counts::Count;
use crate::down::Down;
use crate::machine::Mqttsn;
use crate::receipts::Receipts;
use crate::registry::Registry;
use crate::session::{Next, Session, State};
use crate::sessions::same_address;
use crate::subscribe::{Subscriptions, code};
use bridge_core::machine::{Cx, Handled};
use bridge_core::owners::Owner;
use bridge_core::peer::Peer;
use bridge_core::slab::Key;
use bridge_core::topic::ClientId;
use bridge_core::uplink::{ClientRef, Connect, Identity, Taken, Token, Uplink};
use codec_mqttsn as sn;
use codec_mqttsn::{Message, ReturnCode};

/// Clients that may be in a will dialogue at once, on one shard.
const MAX_DIALOGUES: u64 = 16_384;
/// ProtocolId of MQTT-SN 1.2.
const PROTOCOL_ID: u8 = 1;

impl Mqttsn {
    /// CONNECT: a new client, one that is here already, or one from another address.
    pub(crate) fn on_connect(&mut self, cx: &mut Cx<'_>, peer: Peer, connect: &sn::Connect<'_>) -> Handled {
        let fit = connect.client_id.is_empty() || ClientId::try_from(connect.client_id).is_ok();
        if connect.protocol_id != PROTOCOL_ID || !fit {
            self.base.counts.up(Count::ConnectRefused);
            self.connack(cx, peer, ReturnCode::NotSupported);
            return Handled::Here;
        }
        let here = self.sessions.at(&peer);
        let made_up = connect.client_id.is_empty().then(|| self.make_up_id(cx, here));
        let id = made_up.as_deref().unwrap_or(connect.client_id);
        let known = self.sessions.named(id);
        if known.is_none() {
            // Before anything is done for it: the datagram may have to go to another shard.
            if let Owner::Elsewhere(shard) = cx.owners.claim(self.base.gateway, id) {
                // What follows from the address goes there as well: whoever was at it here is heard no more.
                self.displace(cx, here);
                return Handled::Elsewhere(shard);
            }
        }
        match known {
            Some(key) if self.sessions.get(key).is_some_and(|session| same_address(&session.peer, &peer)) => {
                if here.is_some() && here != known {
                    self.displace(cx, here);
                }
                self.reconnect(cx, key, peer, connect);
            }
            _ => self.admit(cx, peer, connect, id, made_up.is_some(), known, here),
        }
        Handled::Here
    }

    /// The id of a client that has none: the one that was made up when it connected from here before, or a new one.
    fn make_up_id(&self, cx: &mut Cx<'_>, here: Option<Key>) -> Box<str> {
        match here.and_then(|key| self.sessions.get(key)).filter(|session| session.generated) {
            Some(session) => session.id.clone(),
            None => format!("sn-{:016x}", cx.rng.next_u64()).into(),
        }
    }

    /// CONNECT of a client that is, or was last, at this address.
    fn reconnect(&mut self, cx: &mut Cx<'_>, key: Key, peer: Peer, connect: &sn::Connect<'_>) {
        let crowded = connect.will && self.has_most_dialogues();
        let Some(session) = self.sessions.get_mut(key) else { return };
        if crowded && !matches!(session.state, State::Connecting(_)) {
            self.base.counts.up(Count::NotAdmitted);
            self.connack(cx, peer, ReturnCode::Congestion);
            return;
        }
        session.peer = peer;
        session.clean = connect.clean_session;
        session.keepalive_s = connect.duration;
        session.down.rest(&mut self.base);
        if connect.clean_session {
            Self::reset(&self.base, cx, session);
        }
        self.sessions.bind(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        if connect.will {
            let fresh = !matches!(session.state, State::Connecting(_));
            session.ask_will(&mut self.base, cx, key);
            if fresh {
                // A repeated CONNECT does not win more time.
                let until = cx.now.mono_ms.saturating_add(self.base.rules.idle_timeout_ms);
                self.set_life(key, Some(until));
            }
        } else {
            self.establish(cx, key);
        }
    }

    /// Empties a session: what CleanSession asks for.
    fn reset(base: &Base, cx: &mut Cx<'_>, session: &mut Session) {
        if let Some(client) = session.client.take() {
            detach(base, cx, client);
        }
        session.will = None;
        session.registry = Registry::default();
        session.subscriptions.clear();
        session.receipts.clear();
        session.down.clear();
    }

    /// CONNECT of a client that is new here, or comes from another address than before.
    #[expect(clippy::too_many_arguments, reason = "all that was found out about one CONNECT")]
    fn admit(
        &mut self,
        cx: &mut Cx<'_>,
        peer: Peer,
        connect: &sn::Connect<'_>,
        id: &str,
        generated: bool,
        known: Option<Key>,
        here: Option<Key>,
    ) {
        // Who takes over a session at the same listener takes over its place at the gate.
        let inherits = known.and_then(|key| self.sessions.get(key)).is_some_and(|s| s.peer.listener == peer.listener);
        let crowded = connect.will && self.has_most_dialogues();
        let draining = self.draining && known.is_none();
        if crowded || draining || (!inherits && cx.gates.enter(peer.listener, cx.now).is_err()) {
            self.base.counts.up(Count::NotAdmitted);
            if known.is_none() {
                cx.owners.release(self.base.gateway, id);
            }
            self.connack(cx, peer, ReturnCode::Congestion);
            return;
        }
        self.displace(cx, here);
        if let Some(old) = known {
            self.take_over(cx, old, inherits);
        }
        let session = Session {
            id: id.into(),
            generated,
            peer,
            clean: connect.clean_session,
            keepalive_s: connect.duration,
            client: None,
            state: State::Active { heard_ms: cx.now.mono_ms },
            life: None,
            will: None,
            registry: Registry::default(),
            subscriptions: Subscriptions::default(),
            receipts: Receipts::default(),
            down: Down::default(),
        };
        let Some(key) = self.sessions.insert(session) else {
            self.base.counts.up(Count::NotAdmitted);
            cx.gates.leave(peer.listener);
            cx.owners.release(self.base.gateway, id);
            self.connack(cx, peer, ReturnCode::Congestion);
            return;
        };
        self.base.counts.up(Count::Active);
        if !connect.will {
            self.establish(cx, key);
            return;
        }
        if let Some(session) = self.sessions.get_mut(key) {
            session.ask_will(&mut self.base, cx, key);
        }
        self.set_life(key, Some(cx.now.mono_ms.saturating_add(self.base.rules.idle_timeout_ms)));
    }

    /// True when no further will dialogue may begin.
    fn has_most_dialogues(&self) -> bool {
        self.base.counts.get(Count::Connecting) >= MAX_DIALOGUES
    }

    /// The client at this address has given way to another: it is lost.
    fn displace(&mut self, cx: &mut Cx<'_>, here: Option<Key>) {
        if let Some(key) = here {
            self.base.counts.up(Count::TakenOver);
            self.lose(cx, key);
        }
    }

    /// The client is at another address now, with a new session: the old one ends as MQTT has it, will included.
    fn take_over(&mut self, cx: &mut Cx<'_>, key: Key, inherits: bool) {
        let Some(session) = self.sessions.get(key) else { return };
        self.base.counts.up(Count::TakenOver);
        if session.is_present() {
            self.base.say(cx, session.peer, &Message::Disconnect { duration: None });
        }
        if session.has_connection() {
            session.publish_will(&self.base, cx);
        }
        let listener = session.peer.listener;
        self.forget(cx, key);
        if !inherits {
            cx.gates.leave(listener);
        }
    }

    /// All is said: the client is connected, and CONNACK says so.
    pub(crate) fn establish(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let peer = session.peer;
        session.close_dialogue(&mut self.base);
        if session.client.is_none() {
            let Ok(id) = ClientId::try_from(&*session.id) else { return };
            let who = Connect {
                gateway: self.base.gateway,
                listener: peer.listener,
                id,
                identity: &Identity::default(),
                address: Some(peer.addr),
                connectionless: false,
            };
            match cx.bridge.connect(Token(key.to_bits()), &who) {
                Ok(client) => session.client = Some(client),
                Err(why) => {
                    tracing::debug!(protocol = "mqttsn", client_id = %session.id, reason = why.reason(), "refused");
                    self.base.counts.up(Count::ConnectRefused);
                    self.end(cx, key);
                    self.connack(cx, peer, code(why));
                    return;
                }
            }
        }
        session.enter(&self.base, State::Active { heard_ms: cx.now.mono_ms });
        let lost_at = session.lost_at_ms();
        tracing::debug!(protocol = "mqttsn", client_id = %session.id, peer = %peer.addr, "connected");
        self.set_life(key, lost_at);
        self.connack(cx, peer, ReturnCode::Accepted);
        if let Some(session) = self.sessions.get_mut(key) {
            session.resume(&mut self.base, cx, key);
        }
    }

    /// The will's topic was none: CONNACK says no, and the client is not connected.
    pub(crate) fn refuse_will(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(peer) = self.sessions.get(key).map(|session| session.peer) else { return };
        self.leave(cx, key);
        self.connack(cx, peer, ReturnCode::NotSupported);
    }

    fn connack(&self, cx: &mut Cx<'_>, peer: Peer, code: ReturnCode) {
        self.base.say(cx, peer, &Message::Connack { code });
    }

    /// Does what a session has come to.
    pub(crate) fn follow(&mut self, cx: &mut Cx<'_>, key: Key, next: Next) {
        match next {
            Next::Stay => {}
            Next::Leave => {
                if let Some(session) = self.sessions.get(key) {
                    self.base.say(cx, session.peer, &Message::Disconnect { duration: None });
                }
                self.leave(cx, key);
            }
            Next::Lose => {
                self.base.counts.up(Count::Unanswered);
                if let Some(session) = self.sessions.get(key) {
                    self.base.say(cx, session.peer, &Message::Disconnect { duration: None });
                }
                self.lose(cx, key);
            }
        }
    }

    /// The client is lost: its will is published.
    pub(crate) fn lose(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(session) = self.sessions.get(key) else { return };
        tracing::debug!(protocol = "mqttsn", client_id = %session.id, "lost");
        if session.has_connection() {
            session.publish_will(&self.base, cx);
        }
        self.leave(cx, key);
    }

    /// The client is not connected any more: what CleanSession = 0 keeps is kept, else the session ends.
    fn leave(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        // A client that has never got as far as CONNACK has nothing to keep, one without an id cannot come back to it.
        if session.clean || session.generated || session.client.is_none() {
            self.end(cx, key);
            return;
        }
        session.close_dialogue(&mut self.base);
        session.down.rest(&mut self.base);
        session.enter(&self.base, State::Away);
        self.sessions.unbind(key);
        self.set_life(key, Some(cx.now.mono_ms.saturating_add(self.base.rules.session_expiry_ms)));
    }

    /// The session ends, with all that it had.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(session) = self.forget(cx, key) else { return };
        cx.gates.leave(session.peer.listener);
        cx.owners.release(self.base.gateway, &session.id);
    }

    /// Takes a session out; its place at the gate and in the directory is the caller's business.
    fn forget(&mut self, cx: &mut Cx<'_>, key: Key) -> Option<Session> {
        let mut session = self.sessions.remove(key)?;
        self.base.left(&session.state);
        session.close_dialogue(&mut self.base);
        session.down.rest(&mut self.base);
        if let Some(timer) = session.life {
            self.base.wheel.cancel(timer);
        }
        if let Some(client) = session.client {
            detach(&self.base, cx, client);
        }
        Some(session)
    }
}

fn detach(base: &Base, cx: &mut Cx<'_>, client: ClientRef) {
    match cx.bridge.up(cx.now, client, Uplink::Disconnect) {
        Taken::Done | Taken::Owed => {}
        Taken::Full | Taken::Denied(_) => base.counts.up(Count::BrokerRefused),
    }
}
