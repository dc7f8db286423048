//! A link that carries one client alone, under the client's own id: it dials when it is let, may rest while its client sleeps,
//! is over when the broker says so, and holds no buffer while it is idle.

use super::dial::Wait;
use super::lifecycle::{Attempt, Phase};
use super::{
    Batch, Broker, Budget, Farewell, Link, LinkCount, LinkEvent, LinkSettings, MAX_IN_FLIGHT, OWN_RECEIVE_MAXIMUM,
    Persona, RECEIVE_MAXIMUM, Requests, SessionScope, Window,
};
use crate::downlink::Outcome;
use crate::meter::Counts;
use crate::rng::Rng;
use crate::time::Now;
use crate::uplink::{Ending, Refusal};
use codec_mqtt::{Disconnect, Packet, ReasonCode, Version};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What only a client's own link knows.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// It may begin one connection.
    pub(super) permitted: bool,
    /// Its client sleeps: once nothing is owed, it goes.
    pub(super) resting: bool,
    /// PINGREQ was sent to learn what has come.
    pub(super) probing: bool,
    /// The goodbye leaves the will to be published.
    lost: bool,
    /// The broker knows another will than the one that holds.
    pub(super) stale_will: bool,
    /// It has been told the one that holds.
    pub(super) told_will: bool,
    /// It connects again to tell the broker of a will.
    pub(super) stepping: bool,
}

impl Link {
    /// The own link of one client. `settings` hold for all such links, but for what `persona` says; their scope is
    /// [`SessionScope::Client`]. They count into one place, and what waits in them is within one budget.
    ///
    /// It dials only when it is [permitted](Link::permit) to.
    #[must_use]
    pub fn for_client(
        settings: &Arc<LinkSettings>,
        persona: Persona,
        counts: Counts<LinkCount>,
        budget: &Arc<Budget>,
        rng_seed: u64,
    ) -> Self {
        let mut link = Self::with(Arc::clone(settings), persona, counts, Some(Arc::clone(budget)), rng_seed);
        // The broker may hold a QoS 2 publication that an earlier link of the client never released. One of ours with the same
        // packet id would be taken for its repetition, and lost.
        let most = settings.max_inflight.clamp(1, OWN_IN_FLIGHT);
        let base = Rng::seeded(rng_seed).below(u64::from(MAX_IN_FLIGHT - OWN_IN_FLIGHT));
        link.window = Window::after(u16::try_from(base).unwrap_or(0), most);
        link.requests = Requests::new(MAX_IN_FLIGHT);
        link
    }

    /// It begins where `other` has got to: with the broker and the protocol that serve that one.
    pub fn follow(&mut self, other: &Self) {
        self.dial.follow(&other.dial);
        self.broker = Broker::before_connack(self.dial.version(), &self.settings, &self.persona);
    }

    /// True when it carries one client alone.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.settings.scope == SessionScope::Client
    }

    /// True when its session ends with each connection.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.persona.session_expiry_s == 0
    }

    /// Something that whoever is above it has found.
    pub fn count(&self, what: LinkCount) {
        self.counts.up(what);
    }

    /// True while it would dial, and must not yet.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_own() && matches!(self.phase, Phase::Dialling) && !self.own.permitted
    }

    /// It may begin a connection, once.
    pub const fn permit(&mut self) {
        self.own.permitted = true;
    }

    /// True while the broker has accepted it.
    #[must_use]
    pub const fn is_online(&self) -> bool {
        self.phase.is_online()
    }

    /// True when the last attempts of this link found no broker at all.
    #[must_use]
    pub const fn is_in_the_dark(&self) -> bool {
        !self.phase.is_online() && self.dial.is_unanswered()
    }

    pub(super) fn receive_maximum(&self) -> u16 {
        if self.is_own() { OWN_RECEIVE_MAXIMUM } else { RECEIVE_MAXIMUM }
    }

    /// What the broker is to publish when the client is lost. Where it knows another, it is told by another connection,
    /// since there is no other way (MQTT 5.0 §3.1.2.5). It asks for no more than the broker takes, as publications do: a
    /// CONNECT that does is refused.
    pub fn set_will(&mut self, now: Now, will: Option<Farewell>) {
        self.tick(now);
        let Broker { max_qos, retains, .. } = self.broker;
        let will = will.map(|will| Farewell { qos: will.qos.min(max_qos), retain: will.retain && retains, ..will });
        if self.persona.will.as_deref() == will.as_ref() {
            return;
        }
        self.persona.will = will.map(Box::new);
        self.own.told_will = false;
        match self.phase {
            Phase::Online(_) => self.step_for_will(),
            // What CONNECT says is told to the broker already.
            Phase::Greeting { .. } => self.own.stale_will = true,
            Phase::Dialling
            | Phase::Opening
            | Phase::Closing { .. }
            | Phase::Waiting(_)
            | Phase::Resting
            | Phase::Stopped => {}
        }
    }

    /// Ends the present connection, so that the next tells of the will.
    pub(super) fn step_for_will(&mut self) {
        self.own.told_will = false;
        (self.attempt.is_step, self.own.stepping) = (true, true);
        // Its session, if it has one, outlives this: the expiry is as it was.
        self.send(&Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)));
        self.close("with another will");
    }

    /// True while it connects again to tell the broker of a will, as long as that goes well.
    #[must_use]
    pub const fn is_stepping(&self) -> bool {
        self.own.stepping
    }

    /// True when the broker publishes the will if the connection ends without a goodbye, or if it has ended so.
    #[must_use]
    pub const fn has_will_in_force(&self) -> bool {
        self.own.told_will
    }

    /// True when the broker waits a while before it publishes the will: a client that comes back to its session has not
    /// been lost, however its connection ended. (3.1.1 knows no such thing, and a session that ends with the connection
    /// takes its will along.)
    #[must_use]
    pub fn delays_will(&self) -> bool {
        self.is_own() && !self.is_clean() && self.broker.version == Version::V5
    }

    /// Stops once everything that is queued and in flight has reached the broker. `lost`: without taking back the will.
    pub fn depart(&mut self, now: Now, lost: bool) {
        self.own.lost = lost;
        self.own.resting = false;
        self.drain(now);
    }

    pub(super) fn send_own_goodbye(&mut self) {
        let reason = match (self.own.lost && self.persona.will.is_some(), self.broker.version) {
            (true, Version::V5) => ReasonCode::DISCONNECT_WITH_WILL,
            // There is no way to say it: the close says it.
            (true, Version::V311) => return,
            (false, _) => ReasonCode::SUCCESS,
        };
        self.send(&Packet::Disconnect(Disconnect::new(reason)));
    }

    /// Its client sleeps: it goes once nothing is owed to the broker, and the broker keeps what comes.
    pub fn rest(&mut self, now: Now) {
        self.tick(now);
        (self.own.resting, self.own.stepping) = (true, false);
        if matches!(self.phase, Phase::Dialling | Phase::Waiting(_)) && !self.owes() {
            self.phase = Phase::Resting;
        }
        self.rest_when_done();
    }

    /// Its client is awake.
    pub fn wake(&mut self, now: Now) {
        self.tick(now);
        self.own.resting = false;
        if matches!(self.phase, Phase::Resting) {
            self.phase = Phase::Dialling;
        }
    }

    /// True while it goes, or has gone, since its client sleeps.
    #[must_use]
    pub const fn rests(&self) -> bool {
        self.own.resting
    }

    pub(super) fn rest_when_done(&mut self) {
        if self.own.resting && self.phase.is_online() && !self.owes() && self.batch.is_empty() {
            self.own.told_will = false;
            self.send(&Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)));
            self.close("its client sleeps");
        }
    }

    /// A word that cannot wait for the client to wake.
    pub(super) fn stir(&mut self) {
        if matches!(self.phase, Phase::Resting) {
            self.phase = Phase::Dialling;
        }
    }

    /// Asks the broker for a sign of life: [`LinkEvent::Caught`] follows what it has sent before it.
    pub fn probe(&mut self, now: Now) {
        self.tick(now);
        if self.phase.is_online() && !self.own.probing {
            self.own.probing = true;
            self.send(&Packet::Pingreq);
        }
    }

    pub(super) fn on_pingresp(&mut self) {
        if std::mem::take(&mut self.own.probing) {
            self.events.push_back(LinkEvent::Caught);
        }
    }

    /// Messages of QoS 1 and 2 that came over the present connection and are not acknowledged yet.
    #[must_use]
    pub const fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// Stops at once, without a word: what waits and what is in flight settles as if the broker were away.
    pub fn abandon(&mut self, now: Now) {
        self.tick(now);
        while let Some((_, origin)) = self.queue.pop(true) {
            self.settle(origin, Outcome::Refused(Refusal::BrokerAway));
        }
        for origin in self.window.abandon() {
            self.settle(origin, Outcome::Refused(Refusal::BrokerAway));
        }
        match self.phase {
            Phase::Dialling | Phase::Waiting(_) | Phase::Resting | Phase::Stopped => self.phase = Phase::Stopped,
            Phase::Opening | Phase::Greeting { .. } | Phase::Online(_) | Phase::Closing { .. } => {
                self.goodbye(now);
            }
        }
    }

    /// The connection, or an attempt at it, has ended: whether it comes back.
    pub(super) fn own_closed(&mut self, wait: Wait, attempt: &Attempt, text: &str) {
        let refused = attempt.refused == Some(false);
        let over = attempt.over.or_else(|| {
            if refused && is_final(ReasonCode(attempt.code)) {
                Some(Ending::NotAuthorised)
            } else {
                wait.conflict.then_some(Ending::TakenOver)
            }
        });
        self.own.stepping = false;
        self.counts.up(LinkCount::Failures);
        let text = if attempt.text.is_empty() { text } else { &attempt.text };
        tracing::debug!(client_id = %self.persona.client_id, reason = %text, comes_back = over.is_none(), "broker connection of a client ended");
        if refused {
            self.events.push_back(LinkEvent::Refused { reason: attempt.code });
        } else if attempt.accepted.is_none() && attempt.refused.is_none() {
            self.events.push_back(LinkEvent::Unreached);
        }
        match over {
            Some(why) => {
                self.phase = Phase::Stopped;
                self.events.push_back(LinkEvent::Over(why));
            }
            None => self.phase = Phase::Waiting(wait),
        }
    }

    /// Gives back what a busy time has taken, once nothing is under way.
    pub(super) fn let_go(&mut self) {
        if self.is_own() && self.batch.is_empty() && !self.owes() {
            self.batch = Batch::default();
            self.window.let_go();
            self.queue.let_go();
            self.requests.let_go();
            if self.unreleased.is_empty() {
                self.unreleased = BTreeMap::new();
            }
            if self.events.is_empty() {
                self.events = VecDeque::new();
            }
        }
    }
}

/// Publications of one client in flight, at most.
const OWN_IN_FLIGHT: u16 = 1024;

/// What a DISCONNECT of the broker means for a client: `None` = it may come back (MQTT 5.0 §3.14.2.1).
pub(super) const fn told_to_go(reason: ReasonCode) -> Option<Ending> {
    match reason {
        ReasonCode::SESSION_TAKEN_OVER => Some(Ending::TakenOver),
        ReasonCode::ADMINISTRATIVE_ACTION => Some(Ending::Kicked),
        ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED | ReasonCode::BAD_USER_NAME_OR_PASSWORD => {
            Some(Ending::NotAuthorised)
        }
        _ => None,
    }
}

/// Whether a refusal of the broker holds tomorrow, too: its state may change, who the client is does not.
const fn is_final(reason: ReasonCode) -> bool {
    !matches!(
        reason,
        ReasonCode::UNSPECIFIED_ERROR
            | ReasonCode::SERVER_UNAVAILABLE
            | ReasonCode::SERVER_BUSY
            | ReasonCode::SERVER_SHUTTING_DOWN
            | ReasonCode::QUOTA_EXCEEDED
            | ReasonCode::CONNECTION_RATE_EXCEEDED
            | ReasonCode::USE_ANOTHER_SERVER
            | ReasonCode::SERVER_MOVED
    )
}
