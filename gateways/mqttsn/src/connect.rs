//! CONNECT (MQTT-SN 1.2 §6.3): who may come in, and as what. What follows is in `enter`.

use crate::address::At;
use crate::admission::{Entrant, Hello, Sender, Turned, Waiting};
use crate::attachment::dismiss;
use crate::counts::Count;
use crate::machine::Mqttsn;
use bridge_core::machine::{Cx, Handled};
use bridge_core::owners::Owner;
use bridge_core::slab::Key;
use bridge_core::time::Now;
use bridge_core::topic::ClientId;
use bridge_core::uplink::{Admission, Applicant, Identity, OwnLink, Password, Refusal, Token};
use codec_mqttsn as sn;
use codec_mqttsn::{Message, ReturnCode};

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
        let hello = self.as_meant(sender.at, id, connect.into());
        if let Some(key) = self.waiting.at(sender.at) {
            if let Some(waiting) = self.waiting.get_mut(key).filter(|waiting| *waiting.id == *id) {
                // A repetition while somebody is being asked: the answer will do for both.
                waiting.hello = hello;
                self.base.counts.up(Count::Repeated);
                return Handled::Here;
            }
            self.give_up(cx, key);
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

    /// What CONNECT asks for: who sleeps just wakes up. CleanSession means nothing then, unless it comes from elsewhere
    /// (§6.14).
    fn as_meant(&self, at: At<'_>, id: &str, hello: Hello) -> Hello {
        let known = self.sessions.named(id).and_then(|key| self.sessions.get(key));
        match known.filter(|session| session.wakes(at)) {
            Some(session) => Hello { clean: session.clean, ..hello },
            None => hello,
        }
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
            wants: Some(hello.wish(generated, self.base.rules.session_expiry_ms)),
        };
        match cx.bridge.admit(cx.now, token, &applicant) {
            Admission::Granted(identity) => {
                self.enter(cx, Entrant { sender, id, generated, hello, identity, link: &mut None });
            }
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

    /// Who was asked has answered, or has not in time. An MQTT connection of the client's own that nobody takes up ends.
    pub(crate) fn on_decided(
        &mut self,
        cx: &mut Cx<'_>,
        applicant: Token,
        verdict: Result<&Identity, Refusal>,
        mut link: Option<OwnLink>,
    ) {
        self.decide(cx, applicant, verdict, &mut link);
        dismiss(cx, link);
    }

    fn decide(
        &mut self,
        cx: &mut Cx<'_>,
        applicant: Token,
        verdict: Result<&Identity, Refusal>,
        link: &mut Option<OwnLink>,
    ) {
        let Some(waiting) = self.waiting.remove(Key::from_bits(applicant.0)) else { return };
        self.base.counts.set(Count::Waiting, self.waiting.len() as u64);
        match verdict.and_then(|identity| self.claim_again(cx, waiting.sender(), &waiting.id).map(|()| identity)) {
            Ok(identity) => {
                let (sender, generated, hello) = (waiting.sender(), waiting.generated, waiting.hello);
                if link.is_some() && waiting.means_another_session() {
                    dismiss(cx, link.take());
                    return self.judge(cx, sender, &waiting.id, generated, hello);
                }
                let identity = identity.clone();
                self.enter(cx, Entrant { sender, id: &waiting.id, generated, hello, identity, link });
            }
            Err(why) => self.turn_away(cx, waiting.sender().at, &waiting.id, why),
        }
    }

    /// Another client is at the address of one that waits: the answer, when it comes, finds nobody.
    pub(crate) fn give_up(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(waiting) = self.waiting.remove(key) else { return };
        self.base.counts.set(Count::Waiting, self.waiting.len() as u64);
        self.disclaim(cx, &waiting.id);
    }

    /// The client is not let in: CONNACK says so. A session of that id is none the worse for it.
    pub(crate) fn turn_away(&mut self, cx: &mut Cx<'_>, at: At<'_>, id: &str, why: Refusal) {
        tracing::debug!(protocol = "mqttsn", client_id = id, peer = %at.peer.addr, reason = why.reason(), "refused");
        let (count, code) = match Turned::from(why) {
            Turned::Unwelcome => {
                self.warn_of_refusals(cx.now, at, id, why.reason());
                (Count::ConnectRefused, self.base.rules.auth_refused)
            }
            Turned::Later => (Count::NotAdmitted, ReturnCode::Congestion),
            Turned::Never => (Count::ConnectRefused, ReturnCode::NotSupported),
        };
        self.base.counts.up(count);
        self.disclaim(cx, id);
        self.connack(cx, at, code);
    }

    /// All clients share the operator's credential: if one may not come in, it is likely that none may.
    pub(crate) fn warn_of_refusals(&mut self, now: Now, at: At<'_>, id: &str, reason: &'static str) {
        if self.quiet_until.is_none_or(|until| until.is_due(now)) {
            self.quiet_until = Some(now.after_ms(REFUSALS_TOLD_MS));
            let peer = at.peer.addr;
            let told = "not let in; for a minute others are only counted";
            tracing::warn!(protocol = "mqttsn", client_id = id, %peer, reason, "{told}");
        }
    }

    /// The id need not live here, if nobody has it, or is being judged for it.
    pub(crate) fn disclaim(&self, cx: &Cx<'_>, id: &str) {
        if self.sessions.named(id).is_none() && !self.waiting.is_wanted(id) {
            cx.owners.release(self.base.gateway, id);
        }
    }

    pub(crate) fn connack(&self, cx: &mut Cx<'_>, at: At<'_>, code: ReturnCode) {
        self.base.say(cx, at, &Message::Connack { code });
    }
}
