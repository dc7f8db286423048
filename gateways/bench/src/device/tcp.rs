//! A simulated device on raw TCP: it connects, introduces itself, sends a reading at each interval, and hears what comes.
//!
//! As pure as its sibling: octets, what becomes of the connection, and time, in milliseconds, come in; octets, wishes and
//! what happened go out.

use super::reading::Reading;
use super::{Event, pause_after};
use crate::speech::{DISCONNECT, Heard, PING, Speech};

/// What the devices of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// Milliseconds from one reading to the next.
    pub(crate) interval: u64,
    /// Seconds of silence that the gateway is told to bear half as much again of; 0 is off.
    pub(crate) keepalive_s: u8,
    /// Milliseconds that an answer is waited for: of the network, to CONNECT, to PING.
    pub(crate) patience: u64,
}

/// What a device wants and tells.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) wish: Option<Wish>,
    pub(crate) octets: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

/// What is to be done with the connection, after the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Dial,
    Close,
}

/// One device.
#[derive(Debug)]
pub(crate) struct Device {
    client_id: String,
    profile: Profile,
    state: State,
    reading: Reading,
    next_reading: u64,
    /// Attempts in a row that came to nothing, since the last reading went out.
    failures: u32,
    last_sent: u64,
    /// When PONG must have come.
    pong_by: Option<u64>,
    is_leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Without a connection until then.
    Away {
        until: u64,
    },
    /// On the way to a connection, and then in: for so long at most.
    Coming {
        until: u64,
    },
    Active,
    /// It has said good-bye, and waits for the gateway's close.
    Leaving {
        until: u64,
    },
    Gone,
}

impl Device {
    /// A device that connects at `start`. `seed` makes its readings its own.
    pub(crate) fn new(client_id: String, profile: Profile, seed: u64, start: u64) -> Self {
        Self {
            client_id,
            profile,
            state: State::Away { until: start },
            reading: Reading::new(seed),
            next_reading: start,
            failures: 0,
            last_sent: start,
            pong_by: None,
            is_leaving: false,
        }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// When [`Self::handle_timer`] is due; `None` once it is gone.
    pub(crate) fn next_deadline(&self, speech: &Speech) -> Option<u64> {
        match self.state {
            State::Away { until } | State::Coming { until } | State::Leaving { until } => Some(until),
            State::Active => Some(self.next_reading.min(self.pong_by.unwrap_or_else(|| self.ping_at(speech)))),
            State::Gone => None,
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// Does what is due. Harmless when nothing is.
    pub(crate) fn handle_timer(&mut self, now: u64, speech: &Speech, out: &mut Output) {
        if self.next_deadline(speech).is_none_or(|due| now < due) {
            return;
        }
        match self.state {
            State::Away { .. } => {
                self.state = State::Coming { until: now.saturating_add(self.profile.patience) };
                out.wish = Some(Wish::Dial);
            }
            State::Coming { .. } => self.unanswered("CONNECT", now, out),
            State::Active => self.proceed(now, speech, out),
            State::Leaving { .. } => {
                out.wish = Some(Wish::Close);
                self.left(out);
            }
            State::Gone => {}
        }
    }

    /// The connection is there: it introduces itself.
    pub(crate) fn handle_opened(&mut self, now: u64, speech: &Speech, out: &mut Output) {
        if !matches!(self.state, State::Coming { .. }) {
            return;
        }
        // A client id and credentials are measured beforehand.
        drop(speech.greet(&self.client_id, self.profile.keepalive_s, &mut out.octets));
        self.last_sent = now;
        if !speech.is_answered() {
            self.let_in(now, speech, out);
        }
    }

    /// Octets of the stream that were not consumed before; how many are now.
    pub(crate) fn handle_octets(&mut self, now: u64, octets: &[u8], speech: &Speech, out: &mut Output) -> usize {
        let mut refused = None;
        let mut is_let_in = false;
        let consumed = speech.hear(octets, |frame| match frame {
            Heard::Connack(0, _) => is_let_in = true,
            Heard::Connack(_, message) => refused = Some(message.to_owned()),
            Heard::Pong => self.pong_by = None,
            Heard::Data(payload) => out.events.push(Event::Heard { payload: payload.to_vec() }),
        });
        if let Some(message) = refused {
            out.events.push(Event::NotLetIn { message });
            self.lost(now, out);
        } else if consumed.is_err() {
            out.events.push(Event::Disconnected);
            self.lost(now, out);
        } else if is_let_in && matches!(self.state, State::Coming { .. }) {
            self.let_in(now, speech, out);
        }
        consumed.unwrap_or(octets.len())
    }

    /// The connection has ended, or could not be had: by a fault of TLS if there is one.
    pub(crate) fn handle_closed(&mut self, now: u64, fault: Option<&str>, out: &mut Output) {
        match self.state {
            State::Leaving { .. } => self.left(out),
            State::Coming { .. } | State::Active => {
                let no_tls = |why: &str| Event::NoTls { why: why.to_owned() };
                out.events.push(fault.map_or(Event::Disconnected, no_tls));
                self.lost(now, out);
                out.wish = None;
            }
            State::Away { .. } | State::Gone => {}
        }
    }

    /// Ends the connection politely, whatever is under way.
    pub(crate) fn leave(&mut self, now: u64, speech: &Speech, out: &mut Output) {
        if std::mem::replace(&mut self.is_leaving, true) {
            return;
        }
        match self.state {
            State::Active if speech.is_answered() => {
                out.octets.extend_from_slice(DISCONNECT);
                self.state = State::Leaving { until: now.saturating_add(self.profile.patience) };
            }
            State::Active => {
                out.wish = Some(Wish::Close);
                self.left(out);
            }
            State::Coming { .. } => {
                out.wish = Some(Wish::Close);
                self.state = State::Gone;
            }
            State::Away { .. } => self.state = State::Gone,
            State::Leaving { .. } | State::Gone => {}
        }
    }

    fn let_in(&mut self, now: u64, speech: &Speech, out: &mut Output) {
        self.state = State::Active;
        self.pong_by = None;
        out.events.push(Event::Connected);
        self.proceed(now, speech, out);
    }

    /// What an active device does next.
    fn proceed(&mut self, now: u64, speech: &Speech, out: &mut Output) {
        if self.pong_by.is_some_and(|due| due <= now) {
            return self.unanswered("PING", now, out);
        }
        if now >= self.next_reading {
            let payload = self.reading.next();
            // A reading is shorter than any frame may be.
            drop(speech.say(payload.as_bytes(), &mut out.octets));
            (self.last_sent, self.failures) = (now, 0);
            out.events.push(Event::Sent { payload });
            // The next one keeps to the grid of intervals, and what was missed is left out.
            self.next_reading = self.next_reading.saturating_add(self.profile.interval);
            if self.next_reading <= now {
                self.next_reading = now.saturating_add(self.profile.interval);
            }
        } else if self.pong_by.is_none() && now >= self.ping_at(speech) {
            out.octets.extend_from_slice(PING);
            self.last_sent = now;
            self.pong_by = Some(now.saturating_add(self.profile.patience));
        }
    }

    /// A fifth of the keepalive is for the way. With lines, or without a keepalive, there is nothing to keep.
    fn ping_at(&self, speech: &Speech) -> u64 {
        if self.profile.keepalive_s == 0 || !speech.is_answered() {
            return u64::MAX;
        }
        self.last_sent.saturating_add(u64::from(self.profile.keepalive_s) * 800)
    }

    fn unanswered(&mut self, what: &'static str, now: u64, out: &mut Output) {
        out.events.push(Event::Unanswered { what });
        self.lost(now, out);
    }

    /// Another attempt, after a pause that grows.
    fn lost(&mut self, now: u64, out: &mut Output) {
        let pause = pause_after(self.failures);
        // No more than doublings that matter.
        self.failures = (self.failures + 1).min(16);
        self.pong_by = None;
        out.wish = Some(Wish::Close);
        self.state = if self.is_leaving { State::Gone } else { State::Away { until: now.saturating_add(pause) } };
    }

    fn left(&mut self, out: &mut Output) {
        self.state = State::Gone;
        out.events.push(Event::Left);
    }
}

#[cfg(test)]
mod tests;
