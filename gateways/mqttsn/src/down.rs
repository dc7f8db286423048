//! What is on its way to one device: the queue, and the two exchanges that it has to answer.

use crate::base::Base;
use crate::hold::{Held, HoldQueue, Way};
use bridge_core::wheel::TimerId;
use codec_mqttsn::{MsgId, TopicId};

/// What is on its way to one device.
#[derive(Debug, Default)]
pub(crate) struct Down {
    pub(crate) queue: HoldQueue,
    /// Boxed: most clients most of the time have none.
    pub(crate) in_flight: Option<Box<InFlight>>,
    pub(crate) registering: Option<Registering>,
    last_msg_id: u16,
}

/// A publication of QoS 1 or 2 that the device has not acknowledged.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) held: Held,
    pub(crate) msg_id: MsgId,
    pub(crate) stage: Stage,
    pub(crate) tries: u8,
    pub(crate) timer: Option<TimerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// PUBLISH was sent: PUBACK or PUBREC is due.
    Published,
    /// PUBREL was sent: PUBCOMP is due.
    Released,
}

/// A REGISTER that the device has not acknowledged.
#[derive(Debug)]
pub(crate) struct Registering {
    pub(crate) topic_id: TopicId,
    pub(crate) msg_id: MsgId,
    pub(crate) tries: u8,
    pub(crate) timer: Option<TimerId>,
}

impl Down {
    /// Nothing, and msg ids that go on after this one.
    pub(crate) fn from_msg_id(last_msg_id: u16) -> Self {
        Self { last_msg_id, ..Self::default() }
    }

    /// The msg id that was given last.
    pub(crate) const fn last_msg_id(&self) -> u16 {
        self.last_msg_id
    }

    /// A msg id that is not in use. 0 is no id.
    pub(crate) fn next_msg_id(&mut self) -> MsgId {
        loop {
            self.last_msg_id = self.last_msg_id.checked_add(1).unwrap_or(1);
            let id = MsgId(self.last_msg_id);
            let used = self.in_flight.as_ref().is_some_and(|f| f.msg_id == id)
                || self.registering.as_ref().is_some_and(|r| r.msg_id == id);
            if !used {
                return id;
            }
        }
    }

    /// The way of a PUBLISH that is in flight, and is not being repeated: the client has to be told its topic first.
    pub(crate) fn waiting_flight(&self) -> Option<Way> {
        let waits = |f: &&InFlight| f.stage == Stage::Published && f.timer.is_none();
        self.in_flight.as_deref().filter(waits).map(|f| f.held.way)
    }

    /// Disarms both timers: the client is not there.
    pub(crate) fn rest(&mut self, base: &mut Base) {
        let timers =
            [self.in_flight.as_mut().and_then(|f| f.timer.take()), self.registering.take().and_then(|r| r.timer)];
        for timer in timers.into_iter().flatten() {
            base.wheel.cancel(timer);
        }
    }

    /// Forgets all, once it [rests](Self::rest). Msg ids go on, so that a late answer of the device finds nothing.
    pub(crate) fn clear(&mut self) {
        *self = Self { last_msg_id: self.last_msg_id, ..Self::default() };
    }

    /// Messages that the device has not got, as far as we know.
    pub(crate) fn unsent(&self) -> u64 {
        let flight = self.in_flight.as_ref().is_some_and(|f| f.stage == Stage::Published);
        (self.queue.len() as u64).saturating_add(u64::from(flight))
    }

    /// True when no answer of the device is waited for.
    pub(crate) const fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.registering.is_none()
    }

    /// How many timers are armed: one for each exchange of a client that listens, else none. A publication whose topic
    /// the client is to be told first has none either.
    ///
    /// # Panics
    /// When that is not so.
    pub(crate) fn check(&self, base: &Base, listens: bool, is_told: impl Fn(Way) -> bool) -> usize {
        let waits = |f: &InFlight| f.stage == Stage::Published && !is_told(f.held.way);
        let flight = self.in_flight.as_ref().map(|f| (f.timer, listens && !waits(f), waits(f)));
        let registering = self.registering.as_ref().map(|r| (r.timer, listens, false));
        [flight, registering].into_iter().flatten().fold(0, |count, (timer, expected, may_wait)| {
            let armed = timer.is_some_and(|timer| base.wheel.is_armed(timer));
            assert!(armed == expected || may_wait, "an exchange without its timer, or a timer without its client");
            count + usize::from(armed)
        })
    }
}
