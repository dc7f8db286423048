//! What every scenario has: the clients' socket, a clock, and the exchanges that open and end sessions.

use crate::clock::{Clock, nanoseconds};
use crate::failure::Failure;
use crate::fleet::{Echo, Fleet, Inbox, probe};
use crate::load::args::Common;
use crate::load::broker::{Broker, Login};
use crate::load::pace::Pace;
use crate::load::process::{Sample, Watch};
use crate::load::progress::Progress;
use crate::load::silence::Silence;
use crate::load::wave::Wave;
use crate::signals::Interrupts;
use codec_mqttsn::{Ack, Connect, Filter, Message, MsgId, Qos, Register, ReturnCode, Subscribe, TopicId, decode};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) fleet: Fleet,
    pub(crate) inbox: Inbox,
    pub(crate) clock: Clock,
    pub(crate) watch: Watch,
    pub(crate) progress: Progress,
    /// In payloads and client ids; another run on the same broker has another.
    pub(crate) run: u32,
    pub(crate) clients: u32,
    /// Nanoseconds on `clock` after which nothing more is waited for.
    pub(crate) deadline: u64,
    pub(crate) tick: u16,
    pub(crate) silence: Silence,
    gateway: SocketAddr,
    interrupts: Interrupts,
    /// Once the sessions are being ended, nothing cuts that short but its deadline and silence.
    is_ending: bool,
    pulse: Pulse,
    next_pulse: u64,
    common: Common,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All was done that was asked for.
    Complete,
    /// `--duration` was over.
    Duration,
    /// SIGINT or SIGTERM.
    Interrupt,
    /// Something gave way.
    Failure(Failure),
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
    pub(crate) fn open(common: &Common, clients: u32) -> Result<Self, Failure> {
        let gateway = common.gateway.resolve()?;
        let echo = probe(gateway, PROBE)?;
        let fleet = Fleet::open(gateway, clients)?;
        // Ports mean something only where the processes are.
        let ports = [gateway.ip().is_loopback().then(|| gateway.port()), fleet.port()];
        let watch = Watch::new(common.pid, common.broker_pid, ports)?;
        Ok(Self {
            fleet,
            inbox: Inbox::new(),
            clock: Clock::start(),
            watch,
            progress: Progress::on_terminal(),
            run: std::process::id(),
            clients,
            deadline: nanoseconds(common.duration),
            tick: u16::try_from(common.tick.as_millis()).unwrap_or(u16::MAX),
            silence: Silence::new(nanoseconds(common.silence)),
            gateway,
            interrupts: Interrupts::catch()?,
            is_ending: false,
            pulse: if echo == Echo::Answered { Pulse::Search } else { Pulse::None },
            next_pulse: 0,
            common: common.clone(),
        })
    }

    /// Client ids are at most 23 octets long.
    pub(crate) fn client_id(run: u32, client: u32) -> String {
        format!("bench-{run:x}-{client}")
    }

    pub(crate) fn retry_after(&self) -> u64 {
        nanoseconds(self.common.retry)
    }

    pub(crate) const fn tries(&self) -> u8 {
        self.common.tries
    }

    pub(crate) fn quiet(&self) -> u64 {
        nanoseconds(self.common.quiet)
    }

    /// A connection to the broker; `role` tells those of one run apart.
    ///
    /// # Errors
    /// [`Failure::Broker`] if the broker is not there or refuses, [`Failure::Io`] if the password cannot be read.
    pub(crate) fn broker(&self, role: &str) -> Result<Broker, Failure> {
        let login = Login::of(self.common.broker_username.as_deref(), self.common.broker_password_file.as_deref())?;
        Broker::connect(self.common.broker.resolve()?, &format!("bench-{:x}-{role}", self.run), login.as_ref())
    }

    /// Why the run is to end before all is done, if it is.
    pub(crate) fn over(&mut self, now: u64) -> Option<Ended> {
        if self.silence.is_over(now) {
            let (bound, gateway) = (settings::HumanDuration::from_millis(self.silence_ms()), self.gateway);
            let what = if self.silence.ever_heard() {
                format!("{gateway} has been silent for {bound}")
            } else {
                format!("nothing answers at {gateway} (waited {bound})")
            };
            return Some(Ended::Failure(Failure::Gateway(what)));
        }
        if !self.is_ending && self.interrupts.came() {
            return Some(Ended::Interrupt);
        }
        (now >= self.deadline).then_some(Ended::Duration)
    }

    /// How the run ended, with regard to processes that were gone when `last` was taken and to the broker: the deepest
    /// cause is told, since the others follow from it.
    pub(crate) fn judge(&self, ended: Ended, last: &Sample, cut_off: Option<Failure>) -> Ended {
        let gone = self.watch.gone(last).map(|pid| Failure::Gateway(format!("process {pid} has ended")));
        match (gone, ended, cut_off) {
            (Some(gone), ..) => Ended::Failure(gone),
            (None, ended @ Ended::Failure(_), _) => ended,
            (None, _, Some(cut_off)) => Ended::Failure(cut_off),
            (None, ended, None) => ended,
        }
    }

    fn silence_ms(&self) -> u64 {
        u64::try_from(self.common.silence.as_millis()).unwrap_or(u64::MAX)
    }

    /// Hears one batch into the inbox. True if there may be more.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn hear(&mut self) -> Result<bool, Failure> {
        let more = self.fleet.receive(&mut self.inbox)?;
        if !self.inbox.is_empty() {
            self.silence.heard();
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
        self.next_pulse = now.saturating_add(nanoseconds(PULSE).min(self.quiet() / 2));
        self.silence.asked(now);
        self.fleet.send(0, &question)
    }

    /// Connects all clients with clean sessions. `keep_alive` is in seconds.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn connect(&mut self, keep_alive: u16) -> Result<(Wave, Ended), Failure> {
        let run = self.run;
        let ask = |fleet: &mut Fleet, client: u32| {
            let client_id = &Self::client_id(run, client);
            let connect = Connect { will: false, clean_session: true, protocol_id: 1, duration: keep_alive, client_id };
            fleet.send(client, &Message::Connect(connect))
        };
        let pace = self.pace(self.common.connect_rate);
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
        all("CONNECT", outcome, self.clients)
    }

    /// Registers each client's own name below `topic`: the topic ids by client.
    ///
    /// # Errors
    /// [`Failure::Gateway`] if one was refused or not answered.
    pub(crate) fn register_all(&mut self, topic: &str) -> Result<Vec<TopicId>, Failure> {
        let mut ids = vec![TopicId(0); usize::try_from(self.clients).unwrap_or(usize::MAX)];
        let ask = |fleet: &mut Fleet, client: u32| {
            let topic_name = &format!("{topic}/{client}");
            fleet.send(client, &Message::Register(Register { topic_id: TopicId(0), msg_id: HANDSHAKE, topic_name }))
        };
        let outcome = self.wave("register", self.pace(0), ask, |client, message| match message {
            Message::Regack(Ack { topic_id, msg_id: HANDSHAKE, code }) => {
                note(&mut ids, client, *topic_id);
                verdict(*code)
            }
            _ => Verdict::Other,
        })?;
        all("REGISTER", outcome, self.clients).map(|()| ids)
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
        let outcome = self.wave("subscribe", self.pace(0), ask, |_, message| match message {
            Message::Suback(suback) if suback.msg_id == HANDSHAKE => verdict(suback.code),
            _ => Verdict::Other,
        })?;
        all("SUBSCRIBE", outcome, self.clients)
    }

    /// Ends all sessions, as far as the gateway answers; what it does not is no failure any more. A gateway that has
    /// given way is left alone.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn disconnect(&mut self, ended: &Ended) -> Result<(), Failure> {
        if self.common.keep || matches!(ended, Ended::Failure(_)) {
            return Ok(());
        }
        self.is_ending = true;
        self.deadline = self.clock.now().saturating_add(nanoseconds(TEARDOWN));
        let ask = |fleet: &mut Fleet, client| fleet.send(client, &Message::Disconnect { duration: None });
        self.wave("disconnect", self.pace(0), ask, |_, message| match message {
            Message::Disconnect { .. } => Verdict::Accepted,
            _ => Verdict::Other,
        })
        .map(drop)
    }

    fn pace(&self, per_second: u64) -> Pace {
        Pace::new(per_second, u64::MAX, self.clock.now())
    }

    fn wave(
        &mut self,
        phase: &'static str,
        mut pace: Pace,
        mut ask: impl FnMut(&mut Fleet, u32) -> Result<(), Failure>,
        mut hear: impl FnMut(u32, &Message<'_>) -> Verdict,
    ) -> Result<(Wave, Ended), Failure> {
        let mut wave = Wave::new(self.clients, self.common.handshakes, self.retry_after(), self.common.tries);
        while !wave.is_finished() {
            let now = self.clock.now();
            if let Some(ended) = self.over(now) {
                return Ok((wave, ended));
            }
            self.progress.show(phase, wave.done(), self.clients.into(), now);
            for _ in 0..if pace.is_paced() { pace.due(now) } else { u64::MAX } {
                let Some(client) = wave.next(self.clock.now()) else { break };
                pace.sent_one();
                ask(&mut self.fleet, client)?;
                self.silence.asked(now);
            }
            if !self.hear()? {
                self.fleet.wait(self.tick)?;
            }
            let now = self.clock.now();
            for (client, datagram) in self.inbox.iter() {
                let Ok(frame) = decode(datagram) else { continue };
                let refusal = match hear(client, &frame.message) {
                    Verdict::Accepted => None,
                    Verdict::Refused(code) => Some(code),
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
        self.fleet.wait(self.tick)
    }

    /// How long arrivals are left to gather before they are read: a tick, or nothing where each counts at once.
    pub(crate) fn rest(&self, is_paced: bool) -> Duration {
        if is_paced && !self.common.exact_latency { Duration::from_millis(self.tick.into()) } else { Duration::ZERO }
    }

    /// Sleeps through the tick whatever comes, so that answers are read in batches.
    pub(crate) fn sleep(&self) {
        std::thread::sleep(Duration::from_millis(self.tick.into()));
    }
}

/// The message id of a session's REGISTER or SUBSCRIBE; publications count from 1 anew, after it was answered.
const HANDSHAKE: MsgId = MsgId(0x7A7A);
/// For ending sessions, whatever is left of the run's own time.
const TEARDOWN: Duration = Duration::from_secs(10);
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

fn all(what: &str, (wave, ended): (Wave, Ended), clients: u32) -> Result<(), Failure> {
    if wave.accepted == clients {
        return Ok(());
    }
    let unanswered = clients - wave.accepted - wave.refused;
    let codes = match wave.last_refusal {
        None => String::new(),
        // Of CONNECT it mostly means a limit on new sessions per second.
        Some(1) => " (last return code 1, congestion: see --connect-rate)".to_owned(),
        Some(code) => format!(" (last return code {code})"),
    };
    let (accepted, refused) = (wave.accepted, wave.refused);
    let why = match ended {
        // Nobody ever answered: that says it all.
        Ended::Failure(failure) if accepted + refused == 0 => return Err(failure),
        Ended::Failure(failure) => format!("; {failure}"),
        Ended::Complete => String::new(),
        Ended::Duration => "; the run's duration was over".to_owned(),
        Ended::Interrupt => "; interrupted".to_owned(),
    };
    Err(Failure::Gateway(format!(
        "{what} of {clients} clients: {accepted} accepted, {refused} refused{codes}, {unanswered} unanswered{why}"
    )))
}
