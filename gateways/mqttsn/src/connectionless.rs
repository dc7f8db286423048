//! PUBLISH at QoS −1: from whomever, with a session or without, and never answered.

use crate::base::Base;
use crate::counts::{Count, refused};
use crate::predefined::Known;
use crate::publish_up::{Unfit, short_name};
use bridge_core::Qos;
use bridge_core::machine::Cx;
use bridge_core::peer::{ListenerId, Proven};
use bridge_core::publication::Publication;
use bridge_core::time::{Deadline, Now};
use bridge_core::topic::{ClientId, TopicName};
use bridge_core::uplink::{
    Admission, Applicant, ClientRef, Connect, Identity, Password, Refusal, Taken, Token, Uplink,
};
use codec_mqttsn as sn;
use codec_mqttsn::Topic;

/// The client id under which they pass the rules, as with EMQX.
const CLIENT_ID: &str = "NegQoS-Client";
/// Numbers that no session and nobody who waits has; less the listener's.
const FIRST_TOKEN: u64 = u64::MAX;
/// Who was refused is asked for again after this time, in milliseconds, if anybody still publishes.
const ASK_AGAIN_MS: u64 = 10_000;

/// The client that publishes for all of them, one for each listener, since the mountpoint is the listener's.
#[derive(Debug)]
pub(crate) struct Connectionless {
    listener: ListenerId,
    entry: Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Nobody has published yet.
    Unasked,
    /// Somebody is being asked whether it may come in.
    Asked,
    /// It came in.
    In(ClientRef),
    /// It may not come in; until then nobody is asked again.
    Refused { until: Deadline },
}

impl Connectionless {
    pub(crate) const fn new(listener: ListenerId) -> Self {
        Self { listener, entry: Entry::Unasked }
    }

    pub(crate) fn is_of(&self, listener: ListenerId) -> bool {
        self.listener == listener
    }

    /// True for the number under which it asked to be let in.
    pub(crate) fn is_called(&self, token: Token) -> bool {
        self.token() == token
    }

    fn token(&self) -> Token {
        Token(FIRST_TOKEN.saturating_sub(u64::from(self.listener.0)))
    }

    /// One publication, of somebody who knows these predefined topics. What comes before it is known whether it may come in is dropped, and counted: nobody waits for
    /// an answer.
    pub(crate) fn publish(&mut self, base: &Base, cx: &mut Cx<'_>, known: Known<'_>, publish: &sn::Publish<'_>) {
        let topic = match topic(known, &publish.topic) {
            Ok(topic) => topic,
            Err(unfit) => return base.counts.up(unfit.why),
        };
        let Some(client) = self.client(base, cx) else { return base.counts.up(Count::MinusOneRefused) };
        let (payload, retain) = (publish.payload, publish.retain);
        let what = Publication { topic, payload, qos: Qos::AtMostOnce, retain, expiry_s: None };
        match cx.bridge.up(cx.now, client, Uplink::Publish { token: None, what }) {
            Taken::Done | Taken::Owed => {}
            Taken::Full => base.counts.up(Count::Congested),
            // They count as one session: who they are is not known.
            Taken::Later(_) => base.counts.up(Count::OverLimit),
            Taken::Denied(why) => base.counts.up(refused(why)),
        }
    }

    fn client(&mut self, base: &Base, cx: &mut Cx<'_>) -> Option<ClientRef> {
        match self.entry {
            Entry::In(client) => return Some(client),
            Entry::Asked => return None,
            Entry::Refused { until } if !until.is_due(cx.now) => return None,
            Entry::Refused { .. } | Entry::Unasked => {}
        }
        let applicant = Applicant {
            gateway: base.gateway,
            listener: self.listener,
            id: ClientId::try_from(CLIENT_ID).ok()?,
            username: &base.rules.username,
            password: Password(base.rules.password.expose().as_bytes()),
            address: None,
            proven: Proven::default(),
            wants: None,
        };
        match cx.bridge.admit(cx.now, self.token(), &applicant) {
            Admission::Granted(identity) => self.decided(base, cx, Ok(&identity)),
            Admission::Refused(why) => self.decided(base, cx, Err(why)),
            Admission::Parked => self.entry = Entry::Asked,
        }
        match self.entry {
            Entry::In(client) => Some(client),
            Entry::Unasked | Entry::Asked | Entry::Refused { .. } => None,
        }
    }

    /// Who was asked has answered.
    pub(crate) fn decided(&mut self, base: &Base, cx: &mut Cx<'_>, verdict: Result<&Identity, Refusal>) {
        self.entry = match verdict.and_then(|identity| self.connect(base, cx, identity)) {
            Ok(client) => Entry::In(client),
            Err(why) => {
                tracing::debug!(protocol = "mqttsn", client_id = CLIENT_ID, reason = why.reason(), "refused");
                Entry::Refused { until: again(cx.now) }
            }
        };
    }

    fn connect(&self, base: &Base, cx: &mut Cx<'_>, identity: &Identity) -> Result<ClientRef, Refusal> {
        let who = Connect {
            gateway: base.gateway,
            listener: self.listener,
            id: ClientId::try_from(CLIENT_ID).map_err(|_fault| Refusal::BadIdentity)?,
            identity,
            address: None,
            connectionless: true,
            link: None,
        };
        cx.bridge.connect(self.token(), &who)
    }

    /// The rules have changed: it has to ask anew. Who is being asked still answers, and is not asked twice.
    pub(crate) fn forget(&mut self, cx: &mut Cx<'_>) {
        if let Entry::In(client) = self.entry {
            // There is nothing that it could not say goodbye to.
            let _gone = cx.bridge.up(cx.now, client, Uplink::Disconnect);
        }
        if self.entry != Entry::Asked {
            self.entry = Entry::Unasked;
        }
    }
}

const fn again(now: Now) -> Deadline {
    now.after_ms(ASK_AGAIN_MS)
}

fn topic<'a>(known: Known<'a>, topic: &'a Topic<'a>) -> Result<TopicName<'a>, Unfit> {
    match topic {
        Topic::Inline(name) => TopicName::try_from(*name).map_err(|_fault| Unfit::BAD),
        Topic::Short(octets) => short_name(octets),
        Topic::Predefined(id) => known.name(*id).ok_or(Unfit::UNKNOWN),
        Topic::Normal(_) | Topic::Reserved(_) => Err(Unfit::BAD),
    }
}
