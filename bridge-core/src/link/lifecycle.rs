//! From the wish for a connection to its end.

use super::dial::{End, Wait};
use super::greeting::in_words;
use super::{Broker, Closed, Link, LinkCount, LinkEvent, SessionScope, own};
use crate::time::{Deadline, Now, earliest};
use crate::uplink::Ending;
use codec_mqtt::{Disconnect, Packet, Properties, Property, ReasonCode, Version};

/// Where a link stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// The driver is to connect.
    Dialling,
    /// It is at it.
    Opening,
    /// CONNECT was sent, CONNACK is due.
    Greeting {
        until: Deadline,
        /// Only to end a session that is not ours.
        washing: bool,
    },
    /// CONNACK came.
    Online(Alive),
    /// Nothing is read any more; what is left in the batch may leave until `by`.
    Closing {
        by: Deadline,
        /// For good.
        goodbye: bool,
    },
    /// Between two attempts.
    Waiting(Wait),
    /// Its client sleeps: there is no connection until it is woken.
    Resting,
    /// For good.
    Stopped,
}

/// When which side was last heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive {
    sent: Now,
    heard: Now,
    /// PINGREQ was sent: something must be heard until then.
    ping: Option<Deadline>,
}

/// What is known of one connection, or one attempt at it.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// When the broker accepted us.
    pub(super) accepted: Option<Now>,
    /// It was only a step on the way, and is over: the next follows at once.
    pub(super) is_step: bool,
    /// CONNACK refused; true = because of the protocol version.
    pub(super) refused: Option<bool>,
    /// The reason code of that.
    pub(super) code: u8,
    /// CONNECT is written, or about to be, and not answered: the broker may act upon it.
    pub(super) asked: bool,
    /// DISCONNECT 0x8E.
    taken_over: bool,
    /// By DISCONNECT or CONNACK: the client is not to come back.
    pub(super) over: Option<Ending>,
    /// Who closed and why is known: the close itself tells nothing.
    pub(super) explained: bool,
    pub(super) text: String,
}

impl Phase {
    pub(super) const fn is_online(&self) -> bool {
        matches!(self, Self::Online(_))
    }

    /// True once nothing will ever be sent again.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Stopped | Self::Closing { goodbye: true, .. })
    }

    pub(super) const fn reads(&self) -> bool {
        matches!(self, Self::Greeting { .. } | Self::Online(_))
    }

    pub(super) const fn wrote(&mut self, now: Now) {
        if let Self::Online(alive) = self {
            alive.sent = now;
        }
    }

    pub(super) const fn heard(&mut self, now: Now) {
        if let Self::Online(alive) = self {
            alive.heard = now;
            alive.ping = None;
        }
    }
}

impl Alive {
    pub(super) const fn since(now: Now) -> Self {
        Self { sent: now, heard: now, ping: None }
    }

    /// When to send PINGREQ, or to give up. With traffic in one direction only there is a PINGREQ too: the silence of a
    /// dead connection looks the same.
    fn deadline(&self, keepalive_s: u16) -> Option<Deadline> {
        if keepalive_s == 0 {
            return None;
        }
        Some(self.ping.unwrap_or_else(|| self.sent.min(self.heard).after_ms(u64::from(keepalive_s) * 1000)))
    }
}

impl Attempt {
    pub(super) fn reason(&self) -> &str {
        &self.text
    }
}

impl Link {
    /// The driver has started to connect as wished.
    pub fn opening(&mut self, now: Now) {
        self.tick(now);
        if matches!(self.phase, Phase::Dialling) {
            self.phase = Phase::Opening;
            self.own.permitted = false;
        }
    }

    /// The connection is there: CONNECT is pending.
    pub fn opened(&mut self, now: Now) {
        let now = self.tick(now);
        if !matches!(self.phase, Phase::Dialling | Phase::Opening) {
            return;
        }
        self.epoch = self.epoch.wrapping_add(1);
        self.attempt = Attempt::default();
        self.batch.clear();
        self.broker = Broker::before_connack(self.dial.version(), &self.settings, &self.persona);
        let washing = std::mem::take(&mut self.wash) || self.settings.scope == SessionScope::Discarded;
        self.phase = Phase::Greeting { until: now.after_ms(CONNACK_WITHIN_MS), washing };
        self.attempt.asked = !washing;
        self.own.stale_will = false;
        if !self.send_connect(washing) {
            self.close("CONNECT cannot be written with these settings");
        }
    }

    /// The connection has ended, or could not be made. `text` says why in plain words, for the log and for
    /// [`Link::state`]; what the broker itself said goes before it.
    pub fn closed(&mut self, now: Now, why: Closed, text: &str) {
        let now = self.tick(now);
        if matches!(self.phase, Phase::Waiting(_) | Phase::Resting | Phase::Stopped) {
            return;
        }
        let over = self.phase.is_over();
        self.leave();
        self.batch.clear();
        let attempt = std::mem::take(&mut self.attempt);
        self.in_doubt |= attempt.asked;
        if over || (self.draining && !self.owes()) {
            self.phase = Phase::Stopped;
            return;
        }
        if self.own.resting && !self.owes() {
            self.phase = Phase::Resting;
            return;
        }
        if attempt.is_step {
            self.phase = Phase::Dialling;
            return;
        }
        self.washed = false;
        let tried = self.dial.target();
        let wait = self.dial.ended(now, attempt.end(why));
        if self.is_own() {
            return self.own_closed(wait, &attempt, text);
        }
        self.reason = if attempt.text.is_empty() { text.chars().take(REASON_CHARS).collect() } else { attempt.text };
        self.phase = Phase::Waiting(wait);
        self.counts.up(LinkCount::Failures);
        let (client_id, server, wait_ms) = (&self.persona.client_id, self.server(tried), wait.until.wait_ms(now));
        if self.settings.scope == SessionScope::Discarded {
            // The links that carry messages tell what is wrong with the broker.
            tracing::debug!(%client_id, %server, wait_ms, reason = %self.reason, "session not ended yet");
        } else if wait.conflict {
            tracing::warn!(%client_id, %server, wait_ms, "another process uses this client id");
        } else {
            tracing::warn!(%client_id, %server, wait_ms, reason = %self.reason, "broker connection failed");
        }
    }

    /// When [`Link::timer`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        match &self.phase {
            Phase::Waiting(wait) => Some(wait.until),
            Phase::Greeting { until, .. } => Some(*until),
            Phase::Closing { by, .. } => (!self.batch.is_empty()).then_some(*by),
            Phase::Online(alive) => {
                let pump = self.pump_due.then_some(self.now.after_ms(0));
                earliest(earliest(pump, self.release_by), alive.deadline(self.broker.keepalive_s))
            }
            Phase::Dialling | Phase::Opening | Phase::Resting | Phase::Stopped => None,
        }
    }

    /// Time has come to `now`. Harmless when nothing is due.
    pub fn timer(&mut self, now: Now) {
        let now = self.tick(now);
        match self.phase {
            Phase::Waiting(wait) if wait.until.is_due(now) => self.phase = Phase::Dialling,
            Phase::Greeting { until, .. } if until.is_due(now) => self.close("the broker did not answer CONNECT"),
            Phase::Closing { by, .. } if by.is_due(now) => self.batch.clear(),
            Phase::Online(_) if self.release_by.is_some_and(|by| by.is_due(now)) => self.give_up_session(),
            Phase::Online(alive) if alive.deadline(self.broker.keepalive_s).is_some_and(|d| d.is_due(now)) => {
                self.keep_alive(alive);
            }
            Phase::Dialling
            | Phase::Opening
            | Phase::Greeting { .. }
            | Phase::Online(_)
            | Phase::Closing { .. }
            | Phase::Waiting(_)
            | Phase::Resting
            | Phase::Stopped => {}
        }
        self.pump_due = false;
        self.pump();
    }

    /// Stops once everything that is queued and in flight has reached the broker, and what came from it is acknowledged (it
    /// would come again to the next process): says goodbye to it, so that it does not publish the will, and wishes to be
    /// closed. What still comes at QoS 1 and 2 is left to the next process, if that goes on with the session. An attempt
    /// that was being put off is made at once.
    pub fn drain(&mut self, now: Now) {
        self.tick(now);
        self.draining = true;
        if matches!(self.phase, Phase::Waiting(wait) if !wait.conflict) && self.owes() {
            self.phase = Phase::Dialling;
        }
        if matches!(self.phase, Phase::Resting) {
            self.phase = Phase::Stopped;
        }
        self.leave_when_done();
    }

    /// Stops now, whatever is owed.
    pub fn goodbye(&mut self, now: Now) {
        let by = self.tick(now).after_ms(FLUSH_WITHIN_MS);
        match self.phase {
            Phase::Dialling | Phase::Waiting(_) | Phase::Resting | Phase::Stopped => self.phase = Phase::Stopped,
            Phase::Opening => self.phase = Phase::Closing { by, goodbye: true },
            Phase::Greeting { .. } | Phase::Online(_) => {
                self.send_goodbye();
                self.leave();
                self.phase = Phase::Closing { by, goodbye: true };
            }
            Phase::Closing { by, .. } => self.phase = Phase::Closing { by, goodbye: true },
        }
    }

    /// What was closed stays closed.
    pub(super) const fn give_up(&mut self) {
        if let Phase::Closing { goodbye, .. } = &mut self.phase {
            *goodbye = true;
        }
    }

    /// DISCONNECT; it ends the session too, when nobody will come for it.
    fn send_goodbye(&mut self) {
        let ends = [Property::SessionExpiryInterval(0)];
        if self.is_own() {
            return self.send_own_goodbye();
        }
        let mut disconnect = Disconnect::new(ReasonCode::SUCCESS);
        if self.broker.version == Version::V5 && !self.is_durable() && self.persona.session_expiry_s > 0 {
            disconnect.properties = Properties::list(&ends);
        }
        self.send(&Packet::Disconnect(disconnect));
    }

    /// The broker does not release what an earlier life published: without its session there is nothing to release.
    fn give_up_session(&mut self) {
        self.dial.leave_home();
        self.fault(ReasonCode::PROTOCOL_ERROR, "the broker does not answer PUBREL");
    }

    /// True once it has said goodbye and the connection is closed.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    pub(super) fn leave_when_done(&mut self) {
        if self.draining && !self.owes() && !self.phase.is_over() {
            self.goodbye(self.now);
        }
        self.rest_when_done();
    }

    /// The broker broke the protocol.
    pub(super) fn fault(&mut self, code: ReasonCode, text: &str) {
        // A 3.1.1 client has no way to say it, and its DISCONNECT would take back the will.
        if self.phase.is_online() && self.broker.version == Version::V5 {
            self.send(&Packet::Disconnect(Disconnect::new(code)));
        }
        self.close(text);
    }

    /// The broker says that it closes the connection.
    pub(super) fn on_disconnect(&mut self, disconnect: &Disconnect<'_>) {
        self.attempt.taken_over = disconnect.reason == ReasonCode::SESSION_TAKEN_OVER;
        self.attempt.over = own::told_to_go(disconnect.reason);
        self.close(&in_words("the broker closed the connection", disconnect.reason, &disconnect.properties));
    }

    pub(super) fn owes(&self) -> bool {
        // A client's own broker keeps what came from it.
        !self.queue.is_empty() || !self.window.is_empty() || (self.unacknowledged > 0 && !self.is_own())
    }

    fn keep_alive(&mut self, mut alive: Alive) {
        if alive.ping.is_some() {
            return self.fault(ReasonCode::KEEP_ALIVE_TIMEOUT, "the broker has fallen silent");
        }
        alive.ping = Some(self.now.after_ms(u64::from(self.broker.keepalive_s) * 500));
        self.phase = Phase::Online(alive);
        self.batch.rest();
        self.send(&Packet::Pingreq);
    }

    /// Ends the connection from our side; `text` says why, unless that is known.
    pub(super) fn close(&mut self, text: &str) {
        self.leave();
        self.attempt.explained = true;
        if self.attempt.text.is_empty() {
            self.attempt.text = text.chars().take(REASON_CHARS).collect();
        }
        self.phase = Phase::Closing { by: self.now.after_ms(FLUSH_WITHIN_MS), goodbye: false };
    }

    /// Online no more.
    fn leave(&mut self) {
        if self.phase.is_online() {
            self.requests.disconnected();
            self.pump_due = false;
            self.releases_cut = if self.release_by.take().is_some() { self.releases_cut.saturating_add(1) } else { 0 };
            if self.releases_cut >= RELEASES {
                // A broker that closes the connection at each PUBREL it does not know would do so for ever.
                self.releases_cut = 0;
                self.dial.leave_home();
            }
            self.unacknowledged = 0;
            self.counts.set(LinkCount::Up, self.counts.get(LinkCount::Up).saturating_sub(1));
            self.own.probing = false;
            self.events.push_back(LinkEvent::Down);
        }
    }
}

impl Attempt {
    const fn end(&self, why: Closed) -> End {
        let by_broker = matches!(why, Closed::Orderly | Closed::Reset) && !self.explained;
        match (self.accepted, self.refused) {
            (Some(since), _) => End::Lost { since, thrown_out: self.taken_over || by_broker },
            (None, Some(version)) => End::Refused { version },
            (None, None) => End::Unanswered { orderly: by_broker && matches!(why, Closed::Orderly) },
        }
    }
}

/// Connections in a row that may end before the broker has released what an earlier life published.
const RELEASES: u8 = 3;
/// From the connection to CONNACK.
const CONNACK_WITHIN_MS: u64 = 10_000;
/// For a last DISCONNECT to leave.
const FLUSH_WITHIN_MS: u64 = 1_000;
/// A broker may send 65,535 octets of reason; a log line need not hold them.
const REASON_CHARS: usize = 200;
