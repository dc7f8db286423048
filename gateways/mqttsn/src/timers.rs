//! What happens when nothing happens: keep-alive, expiry, repetition.

use crate::base::{Alarm, Due};
use crate::counts::Count;
use crate::machine::Mqttsn;
use crate::session::{Next, State};
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::uplink::Ending;

impl Mqttsn {
    /// All that is due, by deadline.
    pub(crate) fn on_timer(&mut self, cx: &mut Cx<'_>) {
        if let Some(advertiser) = &mut self.advertiser {
            advertiser.on_timer(&self.base, cx);
        }
        let mut due = std::mem::take(&mut self.due);
        self.base.wheel.advance(cx.now.mono_ms, |alarm| due.push(alarm));
        for alarm in due.drain(..) {
            self.on_alarm(cx, alarm);
        }
        self.due = due;
    }

    fn on_alarm(&mut self, cx: &mut Cx<'_>, alarm: Alarm) {
        let key = alarm.session;
        let Some(session) = self.sessions.get_mut(key) else { return };
        let next = match alarm.what {
            Due::Life => return self.on_life(cx, key),
            Due::Will if session.ask_will_again(&mut self.base, cx, key) => Next::Stay,
            Due::Will => Next::Lose(Ending::Unanswered),
            Due::Publish => session.publish_again(&mut self.base, cx, key),
            Due::Register => session.register_again(&mut self.base, cx, key),
        };
        self.follow(cx, key, next);
    }

    /// The one timer of a state. It is not moved at each sign of life: it looks when it fires.
    fn on_life(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.life.is_some_and(|timer| self.base.wheel.is_armed(timer)) {
            return;
        }
        session.life = None;
        match session.state {
            State::Connecting(_) => self.follow(cx, key, Next::Lose(Ending::Unanswered)),
            State::Active { .. } | State::Asleep(_) | State::Awake(_) => match session.lost_at_ms() {
                Some(at) if at <= cx.now.mono_ms => {
                    let why = if session.sleeps() { Ending::Asleep } else { Ending::KeepAlive };
                    self.base.counts.up(Count::Unanswered);
                    self.lose(cx, key, why);
                }
                at => self.set_life(key, at),
            },
            State::Away { .. } => self.end(cx, key),
        }
    }

    /// Sets the state's timer, or none.
    pub(crate) fn set_life(&mut self, key: Key, at_ms: Option<u64>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let wheel = &mut self.base.wheel;
        match (session.life, at_ms) {
            (Some(timer), Some(at)) if wheel.reschedule(timer, at) => {}
            (_, Some(at)) => session.life = Some(wheel.schedule(at, Alarm { session: key, what: Due::Life })),
            (Some(timer), None) => {
                wheel.cancel(timer);
                session.life = None;
            }
            (None, None) => {}
        }
    }
}
