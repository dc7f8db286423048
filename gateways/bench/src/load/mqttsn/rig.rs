//! What every scenario has: the clients' socket, and the exchanges that open and end sessions.

use crate::clock::nanoseconds;
use crate::failure::Failure;
use crate::fleet::{Echo, Fleet, Inbox, probe};
use crate::load::course::{Course, Ended, all};
use crate::load::mqttsn::args::Args;
use crate::load::pace::Pace;
use crate::load::wave::Wave;
use codec_mqttsn::{Ack, Connect, Filter, Message, MsgId, Qos, Register, ReturnCode, Subscribe, TopicId, decode};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) course: Course,
    pub(crate) fleet: Fleet,
    pub(crate) inbox: Inbox,
    pulse: Pulse,
    next_pulse: u64,
    retry_after: u64,
    tries: u8,
}

/// What is asked once a second only to learn whether the gateway lives.
#[derive(Clone, Copy, Debug)]
enum Pulse {
    /// It answers nothing without a session.
    None,
    Search,
    /// Client 0 has a session.
    Ping,
}

/// What a client's datagram means to a wave.
enum Verdict {
    Accepted,
    Refused(ReturnCode),
    /// Not an answer to it.
    Other,
}

impl Rig {
    /// # Errors
    /// [`Failure`] if nothing listens at the gateway's address, a socket cannot be opened or a process is not there.
    pub(crate) fn open(args: &Args, clients: u32) -> Result<Self, Failure> {
        let gateway = args.gateway.resolve()?;
        let echo = probe(gateway, PROBE)?;
        let fleet = Fleet::open(gateway, clients)?;
        // Ports mean something only where the processes are.
        let ports = [gateway.ip().is_loopback().then(|| gateway.port()), fleet.port()];
        Ok(Self {
            course: Course::start(&args.common, gateway, clients, Some(ports))?,
            fleet,
            inbox: Inbox::new(),
            pulse: if echo == Echo::Answered { Pulse::Search } else { Pulse::None },
            next_pulse: 0,
            retry_after: nanoseconds(args.retry),
            tries: args.tries,
        })
    }

    pub(crate) const fn retry_after(&self) -> u64 {
        self.retry_after
    }

    pub(crate) const fn tries(&self) -> u8 {
        self.tries
    }

    /// Hears one batch into the inbox. True if there may be more.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn hear(&mut self) -> Result<bool, Failure> {
        let more = self.fleet.receive(&mut self.inbox)?;
        if !self.inbox.is_empty() {
            self.course.silence.heard();
        }
        Ok(more)
    }

    /// Once a second at least, asks the gateway for a sign of life, where the load itself asks for none.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn feel_pulse(&mut self, now: u64) -> Result<(), Failure> {
        let question = match self.pulse {
            Pulse::None => return Ok(()),
            Pulse::Search => Message::SearchGw { radius: 0 },
            Pulse::Ping => Message::Pingreq { client_id: None },
        };
        if now < self.next_pulse {
            return Ok(());
        }
        // Twice in the quiet time, so that a gateway that is gone is not taken for one that lost the last messages.
        self.next_pulse = now.saturating_add(nanoseconds(PULSE).min(self.course.quiet() / 2));
        self.course.silence.asked(now);
        self.fleet.send(0, &question)
    }

    /// Connects all clients with clean sessions. `keep_alive` is in seconds.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn connect(&mut self, keep_alive: u16) -> Result<(Wave, Ended), Failure> {
        let run = self.course.run;
        let ask = |fleet: &mut Fleet, client: u32| {
            let client_id = &Course::client_id(run, client);
            let connect = Connect { will: false, clean_session: true, protocol_id: 1, duration: keep_alive, client_id };
            fleet.send(client, &Message::Connect(connect))
        };
        let pace = self.course.connect_pace();
        let outcome = self.wave("connect", pace, ask, |_, message| match message {
            Message::Connack { code } => verdict(*code),
            _ => Verdict::Other,
        })?;
        self.pulse = Pulse::Ping;
        Ok(outcome)
    }

    /// As [`Self::connect`], and all must be accepted: a load of fewer clients than asked for would measure something else.
    ///
    /// # Errors
    /// [`Failure::Gateway`] if one was not.
    pub(crate) fn connect_all(&mut self, keep_alive: u16) -> Result<(), Failure> {
        let outcome = self.connect(keep_alive)?;
        all("CONNECT", outcome, self.course.clients, in_words)
    }

    /// Registers each client's own name below `topic`: the topic ids by client.
    ///
    /// # Errors
    /// [`Failure::Gateway`] if one was refused or not answered.
    pub(crate) fn register_all(&mut self, topic: &str) -> Result<Vec<TopicId>, Failure> {
        let mut ids = vec![TopicId(0); usize::try_from(self.course.clients).unwrap_or(usize::MAX)];
        let ask = |fleet: &mut Fleet, client: u32| {
            let topic_name = &format!("{topic}/{client}");
            fleet.send(client, &Message::Register(Register { topic_id: TopicId(0), msg_id: HANDSHAKE, topic_name }))
        };
        let outcome = self.wave("register", self.course.pace(0), ask, |client, message| match message {
            Message::Regack(Ack { topic_id, msg_id: HANDSHAKE, code }) => {
                note(&mut ids, client, *topic_id);
                verdict(*code)
            }
            _ => Verdict::Other,
        })?;
        all("REGISTER", outcome, self.course.clients, in_words).map(|()| ids)
    }

    /// Subscribes each client to the filter that `name` gives for it.
    ///
    /// # Errors
    /// [`Failure::Gateway`] if one was refused or not answered.
    pub(crate) fn subscribe_all(&mut self, qos: Qos, name: impl Fn(u32) -> String) -> Result<(), Failure> {
        let ask = |fleet: &mut Fleet, client: u32| {
            let name = &name(client);
            let subscribe = Subscribe { dup: false, qos, msg_id: HANDSHAKE, filter: Filter::Name(name) };
            fleet.send(client, &Message::Subscribe(subscribe))
        };
        let outcome = self.wave("subscribe", self.course.pace(0), ask, |_, message| match message {
            Message::Suback(suback) if suback.msg_id == HANDSHAKE => verdict(suback.code),
            _ => Verdict::Other,
        })?;
        all("SUBSCRIBE", outcome, self.course.clients, in_words)
    }

    /// Ends all sessions, as far as the gateway answers; what it does not is no failure any more. A gateway that has
    /// given way is left alone.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn disconnect(&mut self, ended: &Ended) -> Result<(), Failure> {
        if !self.course.begin_ending(ended) {
            return Ok(());
        }
        let ask = |fleet: &mut Fleet, client| fleet.send(client, &Message::Disconnect { duration: None });
        self.wave("disconnect", self.course.pace(0), ask, |_, message| match message {
            Message::Disconnect { .. } => Verdict::Accepted,
            _ => Verdict::Other,
        })
        .map(drop)
    }

    fn wave(
        &mut self,
        phase: &'static str,
        mut pace: Pace,
        mut ask: impl FnMut(&mut Fleet, u32) -> Result<(), Failure>,
        mut hear: impl FnMut(u32, &Message<'_>) -> Verdict,
    ) -> Result<(Wave, Ended), Failure> {
        let mut wave = Wave::new(self.course.clients, self.course.handshakes(), self.retry_after, self.tries);
        while !wave.is_finished() {
            let now = self.course.clock.now();
            if let Some(ended) = self.course.over(now) {
                return Ok((wave, ended));
            }
            self.course.progress.show(phase, wave.done(), self.course.clients.into(), now);
            for _ in 0..if pace.is_paced() { pace.due(now) } else { u64::MAX } {
                let Some(client) = wave.next(self.course.clock.now()) else { break };
                pace.sent_one();
                ask(&mut self.fleet, client)?;
                self.course.silence.asked(now);
            }
            if !self.hear()? {
                self.fleet.wait(self.course.tick)?;
            }
            let now = self.course.clock.now();
            for (client, datagram) in self.inbox.iter() {
                let Ok(frame) = decode(datagram) else { continue };
                let refusal = match hear(client, &frame.message) {
                    Verdict::Accepted => None,
                    Verdict::Refused(code) => Some(code.into()),
                    Verdict::Other => continue,
                };
                wave.answered(client, refusal, now);
            }
        }
        Ok((wave, Ended::Complete))
    }

    /// Waits for the next round: until a datagram comes or the tick is over.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        self.fleet.wait(self.course.tick)
    }
}

/// The message id of a session's REGISTER or SUBSCRIBE; publications count from 1 anew, after it was answered.
const HANDSHAKE: MsgId = MsgId(0x7A7A);
/// For the answer to the first SEARCHGW.
const PROBE: Duration = Duration::from_millis(300);
const PULSE: Duration = Duration::from_secs(1);

fn verdict(code: ReturnCode) -> Verdict {
    if code == ReturnCode::Accepted { Verdict::Accepted } else { Verdict::Refused(code) }
}

fn note(ids: &mut [TopicId], client: u32, topic_id: TopicId) {
    if let Some(id) = usize::try_from(client).ok().and_then(|client| ids.get_mut(client)) {
        *id = topic_id;
    }
}

/// What a return code mostly means here.
const fn in_words(code: u8) -> Option<&'static str> {
    match code {
        // Of CONNECT it mostly is a limit on new sessions per second.
        1 => Some("congestion: see --connect-rate"),
        _ => None,
    }
}
