//! What happens when nothing happens.

use crate::connection::{Block, Connection, State, Timer};
use crate::counts::Count;
use crate::machine::Tcp;
use bridge_core::machine::Cx;
use bridge_core::slab::Key;
use bridge_core::time::{Deadline, Now, earliest};
use bridge_core::uplink::Ending;

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Over {
    count: Count,
    /// The label of the count.
    reason: &'static str,
    why: Ending,
}

impl Tcp {
    /// All that is due, by deadline.
    pub(crate) fn on_timer(&mut self, cx: &mut Cx<'_>) {
        let mut due = std::mem::take(&mut self.due);
        self.base.wheel.advance(cx.now.mono_ms, |key| due.push(key));
        for key in due.drain(..) {
            self.on_due(cx, key);
        }
        self.due = due;
    }

    fn on_due(&mut self, cx: &mut Cx<'_>, key: Key) {
        let Some(connection) = self.table.get_mut(key) else { return };
        connection.timer = None;
        if let Some(over) = connection.over(cx.now, self.base.rules.idle_timeout_ms) {
            self.base.counts.up(over.count);
            self.tell_of_fault(key, over.reason);
            return self.close(cx, key, over.why);
        }
        if let Some(Block::Until(until)) = connection.session().and_then(|session| session.block)
            && until.is_due(cx.now)
        {
            self.unblock(cx, key, Block::Until(until));
        }
        self.renew_timer(cx.now, key);
    }

    /// Sees to it that the timer fires in time for whatever is next.
    pub(crate) fn renew_timer(&mut self, now: Now, key: Key) {
        let Some(connection) = self.table.get(key) else { return };
        if let Some(at) = connection.next_due(self.base.rules.idle_timeout_ms) {
            self.set_timer(key, Deadline(at.0.max(now.mono_ms)));
        }
    }

    /// The timer fires then at the latest.
    pub(crate) fn set_timer(&mut self, key: Key, at: Deadline) {
        let Some(connection) = self.table.get_mut(key) else { return };
        match &mut connection.timer {
            Some(timer) if timer.due <= at => {}
            Some(timer) if self.base.wheel.reschedule(timer.id, at.0) => timer.due = at,
            _ => connection.timer = Some(Timer { id: self.base.wheel.schedule(at.0, key), due: at }),
        }
    }
}

impl Connection {
    /// When something will have to be looked at.
    fn next_due(&self, idle_timeout_ms: u64) -> Option<Deadline> {
        let after = |since_ms: u64, wait_ms: u64| Deadline(since_ms.saturating_add(wait_ms));
        let partial = self.partial_since_ms.map(|since| after(since, idle_timeout_ms));
        match &self.state {
            State::New => earliest(partial, Some(after(self.since_ms, idle_timeout_ms))),
            // Who is asked has a deadline of his own.
            State::Waiting(_) => None,
            State::Connected(session) => match session.block {
                Some(Block::Until(until)) => Some(until),
                Some(Block::Owed | Block::Room | Block::Output | Block::Drain) => None,
                None => earliest(partial, session.most_silence_ms().map(|silence| after(self.since_ms, silence))),
            },
        }
    }

    /// Why it is over, if it is.
    fn over(&self, now: Now, idle_timeout_ms: u64) -> Option<Over> {
        let is_past = |since_ms: u64, wait_ms: u64| since_ms.saturating_add(wait_ms) <= now.mono_ms;
        let partial = self.partial_since_ms.is_some_and(|since| is_past(since, idle_timeout_ms));
        match &self.state {
            State::New if is_past(self.since_ms, idle_timeout_ms) => {
                Some(Over { count: Count::IdleTimeout, reason: "idle_timeout", why: Ending::PartialFrame })
            }
            State::Connected(session) if session.block.is_none() => {
                let silent = session.most_silence_ms().is_some_and(|silence| is_past(self.since_ms, silence));
                if silent {
                    Some(Over { count: Count::KeepAlive, reason: "unanswered", why: Ending::KeepAlive })
                } else {
                    let (count, reason) = (Count::PartialFrame, "partial_frame");
                    partial.then_some(Over { count, reason, why: Ending::PartialFrame })
                }
            }
            State::New | State::Waiting(_) | State::Connected(_) => None,
        }
    }
}
