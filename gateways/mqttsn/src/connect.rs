//! CONNECT (MQTT-SN 1.2 §6.3): who may come in, as what, and to which session.

use crate::address::At;
use crate::admission::{Hello, Sender, Waiting};
use crate::counts::Count;
use crate::down::Down;
use crate::machine::Mqttsn;
use crate::receipts::Receipts;
use crate::registry::Registry;
use crate::session::{Came, Session, State};
use crate::subscribe::code;
use crate::subscriptions::Subscriptions;
use bridge_core::machine::{Cx, Handled};
use bridge_core::owners::Owner;
use bridge_core::slab::Key;
use bridge_core::time::Now;
use bridge_core::topic::ClientId;
use bridge_core::uplink::{Admission, Applicant, Connect, Ending, Identity, Password, Refusal, Token};
use codec_mqttsn as sn;
use codec_mqttsn::{Message, ReturnCode};

/// Clients that may be in a will dialogue at once, on one shard.
const MAX_DIALOGUES: u64 = 16_384;
/// ProtocolId of MQTT-SN 1.2.
const PROTOCOL_ID: u8 = 1;
/// One line about clients that are not let in goes to the log in this time, in milliseconds.
const REFUSALS_TOLD_MS: u64 = 60_000;
/// The version as events and lists name it.
pub(crate) const VERSION: &str = "1.2";

impl Mqttsn {
    /// CONNECT: nothing is done for the client, or against whoever has its id, before it is known that it may come in.
    pub(crate) fn on_connect(&mut self, cx: &mut Cx<'_>, sender: Sender<'_>, connect: &sn::Connect<'_>) -> Handled {
        let fit = connect.client_id.is_empty() || ClientId::try_from(connect.client_id).is_ok();
        if connect.protocol_id != PROTOCOL_ID || !fit {
            self.base.counts.up(Count::ConnectRefused);
            self.connack(cx, sender.at, ReturnCode::NotSupported);
            return Handled::Here;
        }
        let made_up = connect.client_id.is_empty().then(|| self.make_up_id(cx, sender.at));
        let id = made_up.as_deref().unwrap_or(connect.client_id);
        let hello = Hello::from(connect);
        if let Some(key) = self.waiting.at(sender.at) {
            if let Some(waiting) = self.waiting.get_mut(key).filter(|waiting| *waiting.id == *id) {
                // A repetition while somebody is being asked: the answer will do for both.
                waiting.hello = hello;
                self.base.counts.up(Count::Repeated);
                return Handled::Here;
            }
            self.dismiss(cx, key);
        }
        if self.sessions.named(id).is_none()
            && let Owner::Elsewhere(shard) = cx.owners.claim(self.base.gateway, id)
        {
            // What follows from the address goes there as well: whoever was at it here is heard no more.
            let here = self.sessions.at(sender.at);
            self.displace(cx, here);
            return Handled::Elsewhere(shard);
        }
        self.judge(cx, sender, id, made_up.is_some(), hello);
        Handled::Here
    }

    /// The id of a client that has none: the one that was made up when it connected from here before, or a new one.
    fn make_up_id(&self, cx: &mut Cx<'_>, at: At<'_>) -> Box<str> {
        let waiting = self.waiting.at(at).and_then(|key| self.waiting.get(key)).filter(|waiting| waiting.generated);
        if let Some(waiting) = waiting {
            return waiting.id.clone();
        }
        match self.sessions.at(at).and_then(|key| self.sessions.get(key)).filter(|session| session.generated) {
            Some(session) => session.id.clone(),
            None => format!("sn-{:016x}", cx.rng.next_u64()).into(),
        }
    }

    /// Asks whether the client may come in.
    fn judge(&mut self, cx: &mut Cx<'_>, sender: Sender<'_>, id: &str, generated: bool, hello: Hello) {
        if self.is_impostor(sender, id) {
            return self.turn_away(cx, sender.at, id, Refusal::BadCredentials);
        }
        let (Ok(client_id), Some(token)) = (ClientId::try_from(id), self.waiting.next_token()) else {
            return self.turn_away(cx, sender.at, id, Refusal::Limit);
        };
        let applicant = Applicant {
            gateway: self.base.gateway,
            listener: sender.at.peer.listener,
            id: client_id,
            username: &self.base.rules.username,
            password: Password(self.base.rules.password.expose().as_bytes()),
            address: Some(sender.at.peer.addr),
            proven: sender.proven,
            wants: None,
        };
        match cx.bridge.admit(cx.now, token, &applicant) {
            Admission::Granted(identity) => self.enter(cx, sender, id, generated, hello, identity),
            Admission::Refused(why) => self.turn_away(cx, sender.at, id, why),
            Admission::Parked => {
                self.waiting.insert(Waiting::new(sender, id, generated, hello));
                self.base.counts.set(Count::Waiting, self.waiting.len() as u64);
            }
        }
    }

    /// True if the id is that of a client which has proved to be somebody else.
    fn is_impostor(&self, sender: Sender<'_>, id: &str) -> bool {
        let known = self.sessions.named(id).and_then(|key| self.sessions.get(key));
        let impostor = known.is_some_and(|session| !session.may_be(sender.proven));
        self.base.counts.add(Count::Impostor, u64::from(impostor));
        impostor
    }

    /// What has become of the id while somebody was asked: another may have got it, or was sent away, and the id with it.
    fn claim_again(&self, cx: &Cx<'_>, sender: Sender<'_>, id: &str) -> Result<(), Refusal> {
        match cx.owners.claim(self.base.gateway, id) {
            Owner::Elsewhere(_) => Err(Refusal::Busy),
            Owner::Here | Owner::Nobody if self.is_impostor(sender, id) => Err(Refusal::BadCredentials),
            Owner::Here | Owner::Nobody => Ok(()),
        }
    }

    /// Who was asked has answered, or has not in time.
    pub(crate) fn on_decided(&mut self, cx: &mut Cx<'_>, applicant: Token, verdict: Result<&Identity, Refusal>) {
        let Some(waiting) = self.waiting.remove(Key::from_bits(applicant.0)) else { return };
        self.base.counts.set(Count::Waiting, self.waiting.len() as u64);
        match verdict.and_then(|identity| self.claim_again(cx, waiting.sender(), &waiting.id).map(|()| identity)) {
            Ok(identity) => {
                let (generated, hello) = (waiting.generated, waiting.hello);
                self.enter(cx, waiting.sender(), &waiting.id, generated, hello, identity.clone());
            }
            Err(why) => self.turn_away(cx, waiting.sender().at, &waiting.id, why),
        }
    }

    /// Another client is at the address of one that waits: the answer, when it comes, finds nobody.
    pub(crate) fn dismiss(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(waiting) = self.waiting.remove(key) else { return };
        self.base.counts.set(Count::Waiting, self.waiting.len() as u64);
        self.disclaim(cx, &waiting.id);
    }

    /// The client is not let in: CONNACK says so. A session of that id is none the worse for it.
    fn turn_away(&mut self, cx: &mut Cx<'_>, at: At<'_>, id: &str, why: Refusal) {
        tracing::debug!(protocol = "mqttsn", client_id = id, peer = %at.peer.addr, reason = why.reason(), "refused");
        let (count, code) = match why {
            Refusal::BadCredentials | Refusal::NotAuthorised { .. } => {
                self.warn_of_refusals(cx.now, id);
                (Count::ConnectRefused, self.base.rules.auth_refused)
            }
            other => match code(other) {
                ReturnCode::Congestion => (Count::NotAdmitted, ReturnCode::Congestion),
                code => (Count::ConnectRefused, code),
            },
        };
        self.base.counts.up(count);
        self.disclaim(cx, id);
        self.connack(cx, at, code);
    }

    /// All clients share the operator's credential: if one may not come in, it is likely that none may.
    fn warn_of_refusals(&mut self, now: Now, id: &str) {
        if self.quiet_until.is_none_or(|until| until.is_due(now)) {
            self.quiet_until = Some(now.after_ms(REFUSALS_TOLD_MS));
            tracing::warn!(protocol = "mqttsn", client_id = id, "not let in; for a minute others are only counted");
        }
    }

    /// The id need not live here, if nobody has it.
    fn disclaim(&self, cx: &Cx<'_>, id: &str) {
        if self.sessions.named(id).is_none() {
            cx.owners.release(self.base.gateway, id);
        }
    }

    /// The client may come in: to the session that it has, or to a new one.
    fn enter(
        &mut self,
        cx: &mut Cx<'_>,
        sender: Sender<'_>,
        id: &str,
        generated: bool,
        hello: Hello,
        identity: Identity,
    ) {
        let known = self.sessions.named(id);
        if let Err(why) = self.fits(cx, sender.at, id, &identity) {
            return self.turn_away(cx, sender.at, id, why);
        }
        if self.refuses(cx, sender.at, known, hello) {
            return self.turn_away(cx, sender.at, id, Refusal::Limit);
        }
        let here = self.sessions.at(sender.at).filter(|here| Some(*here) != known);
        self.displace(cx, here);
        let key = match known {
            Some(key) => {
                self.come_back(cx, key, sender, hello, identity);
                Some(key)
            }
            None => self.begin(sender, id, generated, hello, identity, cx),
        };
        let Some(key) = key else {
            cx.gates.leave(sender.at.peer.listener);
            return self.turn_away(cx, sender.at, id, Refusal::Limit);
        };
        let Some(session) = self.sessions.get_mut(key).filter(|_| hello.will) else { return self.establish(cx, key) };
        let fresh = !matches!(session.state, State::Connecting(_));
        session.ask_will(&mut self.base, cx, key);
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
    fn refuses(&self, cx: &Cx<'_>, at: At<'_>, known: Option<Key>, hello: Hello) -> bool {
        let session = known.and_then(|key| self.sessions.get(key));
        let tells = session.is_some_and(|session| matches!(session.state, State::Connecting(_)));
        let crowded = hello.will && !tells && self.base.counts.get(Count::Connecting) >= MAX_DIALOGUES;
        let draining = self.draining && !session.is_some_and(|session| session.outlives_process(cx));
        let (listener, before) = (at.peer.listener, session.map(|session| session.address.listener()));
        if crowded || draining || (before != Some(listener) && cx.gates.enter(listener, cx.now).is_err()) {
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
            proven: sender.proven.identity.map(Into::into),
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
    fn come_back(&mut self, cx: &mut Cx<'_>, key: Key, sender: Sender<'_>, hello: Hello, identity: Identity) {
        let Some(session) = self.sessions.get(key) else { return };
        let moved = !session.address.at().is_same(sender.at);
        let stranger = session.identity != identity;
        let rehomed = session.address.listener() != sender.at.peer.listener;
        // Who sleeps just wakes up: CleanSession means nothing then, unless it comes from elsewhere (§6.14).
        let wakes = session.came() == Came::Woken && !moved;
        let (clean, empty) = if wakes { (session.clean, false) } else { (hello.clean, hello.clean) };
        if moved {
            self.leave_address(cx, key, hello.clean);
        }
        self.sessions.unbind(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.address = sender.at.into();
        session.proven = sender.proven.identity.map(Into::into);
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
            session.rehome(&self.base, cx, key);
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
    pub(crate) fn establish(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.close_dialogue(&mut self.base);
        let came = if session.client.is_some() { session.came() } else { Came::New };
        if let Err(why) = session.attach(&self.base, cx, key) {
            let (address, id) = (session.address.clone(), session.id.clone());
            self.end(cx, key);
            return self.turn_away(cx, address.at(), &id, why);
        }
        let told_will = matches!(session.state, State::Connecting(_));
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

    fn connack(&self, cx: &mut Cx<'_>, at: At<'_>, code: ReturnCode) {
        self.base.say(cx, at, &Message::Connack { code });
    }
}
