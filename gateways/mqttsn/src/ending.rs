//! How sessions and connections end.

use crate::counts::Count;
use crate::machine::Mqttsn;
use crate::session::{Next, Session, State};
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::uplink::Ending;
use codec_mqttsn::Message;

impl Mqttsn {
    /// Does what a session has come to.
    pub(crate) fn follow(&mut self, cx: &mut Cx<'_>, key: Key, next: Next) {
        match next {
            Next::Stay => {}
            Next::Leave => {
                self.say_goodbye(cx, key);
                self.leave(cx, key, Ending::Normal);
            }
            Next::Sleep(duration_s) => self.fall_asleep(cx, key, duration_s),
            Next::Lose(why) => {
                if why == Ending::Unanswered {
                    self.base.counts.up(Count::Unanswered);
                }
                self.say_goodbye(cx, key);
                self.lose(cx, key, why);
            }
        }
    }

    /// DISCONNECT.
    pub(crate) fn say_goodbye(&self, cx: &mut Cx<'_>, key: Key) {
        if let Some(session) = self.sessions.get(key) {
            self.base.say(cx, session.address.at(), &Message::Disconnect { duration: None });
        }
    }

    /// The process ends. Who has nothing to come back to is told, and can connect elsewhere, or as soon as there is
    /// somebody again; who sleeps would not hear it. Who is owed an answer is told after that.
    pub(crate) fn say_farewell(&self, cx: &mut Cx<'_>) {
        let told = self.sessions.iter().filter(|(_, session)| session.listens() && !session.receipts.are_owed());
        let told: Vec<Key> = told.filter(|(_, session)| !session.outlives_process(cx)).map(|(key, _)| key).collect();
        for key in told {
            self.say_goodbye(cx, key);
        }
    }

    /// The same for one client, which may have got its last answer just now.
    pub(crate) fn say_farewell_to(&self, cx: &mut Cx<'_>, key: Key) {
        let session = self.sessions.get(key).filter(|_| self.draining);
        if session.is_some_and(|s| s.listens() && !s.receipts.are_owed() && !s.outlives_process(cx)) {
            self.say_goodbye(cx, key);
        }
    }

    /// The client at this address has given way to another: it is lost.
    pub(crate) fn displace(&mut self, cx: &mut Cx<'_>, here: Option<Key>) {
        if let Some(key) = here {
            self.base.counts.up(Count::TakenOver);
            self.lose(cx, key, Ending::TakenOver);
        }
    }

    /// The client is lost: its will is published.
    pub(crate) fn lose(&mut self, cx: &mut Cx<'_>, key: Key, why: Ending) {
        let Some(session) = self.sessions.get(key) else { return };
        tracing::debug!(protocol = "mqttsn", client_id = %session.id, reason = why.reason(), "lost");
        if session.has_connection() {
            session.publish_will(&self.base, cx);
        }
        self.leave(cx, key, why);
    }

    /// The broker has ended the client's own MQTT connection: the client is told, unless it sleeps, and goes. Its will is
    /// the broker's to publish.
    pub(crate) fn on_ended(&mut self, cx: &mut Cx<'_>, key: Key, why: Ending) {
        let Some(session) = self.sessions.get(key) else { return };
        // The one that it comes with now has taken the place of that.
        if !session.has_connection() || session.has_newer_link() {
            return;
        }
        tracing::debug!(protocol = "mqttsn", client_id = %session.id, reason = why.reason(), "ended by the broker");
        self.base.counts.add(Count::TakenOver, u64::from(why == Ending::TakenOver));
        if !matches!(session.state, State::Asleep(_)) {
            self.say_goodbye(cx, key);
        }
        self.leave(cx, key, why);
    }

    /// The client is not connected any more: what CleanSession = 0 keeps is kept, else the session ends.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>, key: Key, why: Ending) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.has_connection() {
            session.gone(&self.base, cx, why);
        }
        // A client that has never got as far as CONNACK has nothing to keep, one without an id cannot come back to it.
        if session.clean || session.generated || session.client.is_none() {
            self.end(cx, key);
            return;
        }
        session.close_dialogue(&mut self.base, cx);
        session.down.rest(&mut self.base);
        session.enter(&self.base, State::Away { since_ms: cx.now.wall_ms });
        self.changed(cx, key);
        self.sessions.unbind(key);
        self.set_life(key, Some(cx.now.mono_ms.saturating_add(self.base.rules.session_expiry_ms)));
    }

    /// The session ends, with all that it had.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(session) = self.forget(cx, key) else { return };
        cx.gates.leave(session.address.listener());
        self.disclaim(cx, &session.id);
        if session.stored {
            cx.journal.forget(self.base.gateway, &session.id);
        }
    }

    fn forget(&mut self, cx: &mut Cx<'_>, key: Key) -> Option<Session> {
        let mut session = self.sessions.remove(key)?;
        self.base.left(&session.state);
        session.close_dialogue(&mut self.base, cx);
        session.down.rest(&mut self.base);
        self.base.holds_no_more(session.down.receipts());
        self.base.counts.add(Count::HoldDroppedEnded, session.down.unsent());
        if let Some(timer) = session.life {
            self.base.wheel.cancel(timer);
        }
        session.detach(&self.base, cx);
        Some(session)
    }
}

impl Session {
    /// True when a later process will know it.
    pub(crate) fn outlives_process(&self, cx: &Cx<'_>) -> bool {
        cx.journal.is_durable() && self.is_kept()
    }
}
