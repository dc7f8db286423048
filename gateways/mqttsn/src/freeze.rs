//! Sessions that outlive the process: which are kept, and how they come back.
//!
//! Kept are sessions whose client has an id of its own, with CleanSession 0, or of a client that sleeps: it would not hear
//! that it is not known any more. A client that was connected when the process ended still is when the next one begins: it
//! has the time of a whole keep-alive, or sleep, and goes on as if nothing had been.

mod octets;
mod record;

use crate::base::{Base, Due};
use crate::machine::Mqttsn;
use crate::session::{Session, State};
use bridge_core::Qos;
use bridge_core::downlink::Downlink;
use bridge_core::machine::{Cx, Frozen, Unthawed};
use bridge_core::owners::Owner;
use bridge_core::slab::Key;
use bridge_core::time::Now;
use bridge_core::topic::ClientId;
use bridge_core::uplink::Token;
use codec_mqttsn as sn;
use codec_mqttsn::Message;

impl Session {
    /// True if it is to outlive the process.
    pub(crate) const fn is_kept(&self) -> bool {
        self.client.is_some() && !self.generated && (!self.clean || self.sleeps())
    }
}

/// True for what a device says that changes more than when it was heard last. What it publishes at QoS 0 and 1 leaves
/// nothing that has to be known after a restart: a repetition may then be published twice.
pub(crate) const fn says_news(message: &Message<'_>) -> bool {
    match message {
        Message::Publish(publish) => matches!(publish.qos, sn::Qos::ExactlyOnce),
        Message::Register(_)
        | Message::Regack(_)
        | Message::Puback(_)
        | Message::Pubrec { .. }
        | Message::Pubrel { .. }
        | Message::Pubcomp { .. }
        | Message::Subscribe(_)
        | Message::Unsubscribe(_)
        | Message::WillTopicUpd(_)
        | Message::WillMsgUpd { .. } => true,
        _ => false,
    }
}

/// True for what the broker side says that has to be known after a restart.
pub(crate) fn brings_news(session: &Session, down: &Downlink<'_>) -> bool {
    match down {
        Downlink::Message(delivery) => delivery.qos != Qos::AtMostOnce || !session.is_active(),
        Downlink::Subscribed { .. } | Downlink::Ended(_) => true,
        Downlink::Awake(_) => false,
        Downlink::Settled { .. } => session.receipts.has_exactly_once(),
    }
}

impl Mqttsn {
    /// A session is not what it was, as far as that must outlive the process.
    pub(crate) fn changed(&mut self, cx: &mut Cx<'_>, key: Key) {
        if !cx.journal.is_durable() {
            return;
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        let kept = session.is_kept();
        // What is not kept has to be taken back if an earlier state of it was.
        if kept || session.stored {
            session.stored = kept;
            cx.journal.touch(self.base.gateway, Token(key.to_bits()));
        }
    }

    /// Writes a session down.
    pub(crate) fn write_down(&self, now: Now, client: Token, into: &mut Vec<u8>) -> Frozen<'_> {
        let Some(session) = self.sessions.get(Key::from_bits(client.0)) else { return Frozen::Gone };
        if !session.is_kept() {
            return Frozen::Fleeting { id: &session.id };
        }
        record::write(session, &self.base, now, into);
        Frozen::Kept { id: &session.id }
    }

    /// Brings a session back that was written down.
    pub(crate) fn bring_back(&mut self, cx: &mut Cx<'_>, id: &str, record: &[u8]) -> Result<(), Unthawed> {
        if ClientId::try_from(id).is_err() {
            return Err(Unthawed::Corrupt);
        }
        let mut session = record::read(&self.base, cx.now, id, record).ok_or(Unthawed::Corrupt)?;
        let listener = session.address.listener();
        if session.is_present() && self.sessions.at(session.address.at()).is_some() {
            // Of two at one address the later one took its place: it was not written down in time.
            if session.clean {
                return Err(Unthawed::Expired);
            }
            session.state = State::Away { since_ms: cx.now.wall_ms };
        }
        let life = self.life_left(&session, cx.now)?;
        if self.sessions.named(id).is_some() || !self.has_listener(listener) {
            return Err(Unthawed::NoRoom);
        }
        if let Owner::Elsewhere(_) = cx.owners.claim(self.base.gateway, id) {
            return Err(Unthawed::NoRoom);
        }
        if cx.gates.readmit(listener).is_err() {
            cx.owners.release(self.base.gateway, id);
            return Err(Unthawed::NoRoom);
        }
        let key = self.install(cx, session).ok_or_else(|| {
            cx.gates.leave(listener);
            cx.owners.release(self.base.gateway, id);
            Unthawed::NoRoom
        })?;
        self.set_life(key, life);
        if let Some(session) = self.sessions.get_mut(key) {
            session.wake_up(&mut self.base, cx, key);
        }
        Ok(())
    }

    /// When the session's time is over, in milliseconds of the monotone clock; `None` = never.
    fn life_left(&self, session: &Session, now: Now) -> Result<Option<u64>, Unthawed> {
        match session.state {
            State::Active { .. } | State::Asleep(_) | State::Awake(_) | State::Connecting(_) => {
                Ok(session.lost_at_ms())
            }
            State::Away { since_ms } => {
                let whole = self.base.rules.session_expiry_ms;
                // A wall clock that was put back gives nobody more than the whole.
                let left = since_ms.saturating_add(whole).saturating_sub(now.wall_ms).min(whole);
                if left == 0 { Err(Unthawed::Expired) } else { Ok(Some(now.mono_ms.saturating_add(left))) }
            }
        }
    }

    /// `None`: no room. Nothing has changed then.
    fn install(&mut self, cx: &mut Cx<'_>, session: Session) -> Option<Key> {
        let key = self.sessions.insert(session)?;
        let session = self.sessions.get_mut(key)?;
        // A store that outlives the process and MQTT connections of the clients' own exclude each other.
        if session.attach(&self.base, cx, key, &mut None).is_err() {
            self.sessions.remove(key);
            return None;
        }
        self.base.entered(&session.state);
        session.resubscribe(&self.base, cx);
        Some(key)
    }
}

impl Session {
    /// Goes on where it was: what is in flight is repeated when its time comes.
    fn wake_up(&mut self, base: &mut Base, cx: &mut Cx<'_>, key: Key) {
        if !self.is_active() {
            // Who comes back is told anew.
            self.down.registering = None;
            return;
        }
        // One whose topic the client is yet to be told waits for that.
        let waits = self.down.waiting_flight().is_some_and(|way| !self.is_told(way));
        if let Some(flight) = self.down.in_flight.as_mut().filter(|_| !waits) {
            flight.timer = Some(base.retry(cx.now, key, Due::Publish));
        }
        if let Some(registering) = self.down.registering.as_mut() {
            registering.timer = Some(base.retry(cx.now, key, Due::Register));
        }
        self.pump(base, cx, key);
    }
}
