//! What every scenario has: the clients' socket, a clock, and the exchanges that open and end sessions.

use crate::args::Common;
use crate::failure::Failure;
use crate::fleet::{Fleet, Inbox};
use crate::process::Watch;
use crate::wave::Wave;
use codec_mqttsn::{Ack, Connect, Filter, Message, MsgId, Qos, Register, ReturnCode, Subscribe, TopicId, decode};
use std::time::{Duration, Instant};

/// Nanoseconds since the run began, the same for all threads of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn now(&self) -> u64 {
        nanoseconds(self.0.elapsed())
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) fleet: Fleet,
    pub(crate) inbox: Inbox,
    pub(crate) clock: Clock,
    pub(crate) watch: Watch,
    /// In payloads and client ids; another run on the same broker has another.
    pub(crate) run: u32,
    pub(crate) clients: u32,
    /// Nanoseconds on `clock` after which nothing more is waited for.
    pub(crate) deadline: u64,
    pub(crate) tick: u16,
    common: Common,
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
    /// [`Failure`] if a socket cannot be opened or a process is not there.
    pub(crate) fn open(common: &Common, clients: u32) -> Result<Self, Failure> {
        let fleet = Fleet::open(common.gateway, clients)?;
        let watch = Watch::new(common.pid, common.broker_pid, [common.gateway.port(), fleet.port()?])?;
        Ok(Self {
            fleet,
            inbox: Inbox::new(),
            clock: Clock(Instant::now()),
            watch,
            run: std::process::id(),
            clients,
            deadline: nanoseconds(common.deadline),
            tick: u16::try_from(common.tick_ms.as_millis()).unwrap_or(u16::MAX),
            common: common.clone(),
        })
    }

    /// Client ids are at most 23 octets long.
    pub(crate) fn client_id(run: u32, client: u32) -> String {
        format!("load-{run:x}-{client}")
    }

    pub(crate) fn retry_after(&self) -> u64 {
        nanoseconds(self.common.retry_ms)
    }

    pub(crate) const fn tries(&self) -> u8 {
        self.common.tries
    }

    pub(crate) fn quiet(&self) -> u64 {
        nanoseconds(self.common.quiet_ms)
    }

    /// Connects all clients with clean sessions. `keep_alive` is in seconds.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn connect(&mut self, keep_alive: u16) -> Result<Wave, Failure> {
        let run = self.run;
        let ask = |fleet: &mut Fleet, client: u32| {
            let client_id = &Self::client_id(run, client);
            let connect = Connect { will: false, clean_session: true, protocol_id: 1, duration: keep_alive, client_id };
            fleet.send(client, &Message::Connect(connect))
        };
        self.wave(ask, |_, message| match message {
            Message::Connack { code } => verdict(*code),
            _ => Verdict::Other,
        })
    }

    /// As [`Self::connect`], and all must be accepted: a load of fewer clients than asked for would measure something else.
    ///
    /// # Errors
    /// [`Failure::Gateway`] if one was not.
    pub(crate) fn connect_all(&mut self, keep_alive: u16) -> Result<Wave, Failure> {
        let wave = self.connect(keep_alive)?;
        all("CONNECT", &wave, self.clients)?;
        Ok(wave)
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
        let wave = self.wave(ask, |client, message| match message {
            Message::Regack(Ack { topic_id, msg_id: HANDSHAKE, code }) => {
                note(&mut ids, client, *topic_id);
                verdict(*code)
            }
            _ => Verdict::Other,
        })?;
        all("REGISTER", &wave, self.clients).map(|()| ids)
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
        let wave = self.wave(ask, |_, message| match message {
            Message::Suback(suback) if suback.msg_id == HANDSHAKE => verdict(suback.code),
            _ => Verdict::Other,
        })?;
        all("SUBSCRIBE", &wave, self.clients)
    }

    /// Ends all sessions, as far as the gateway answers; what it does not is no failure any more.
    ///
    /// # Errors
    /// [`Failure::Io`] from the socket.
    pub(crate) fn disconnect(&mut self) -> Result<(), Failure> {
        if self.common.keep {
            return Ok(());
        }
        self.deadline = self.clock.now().saturating_add(nanoseconds(TEARDOWN));
        let ask = |fleet: &mut Fleet, client| fleet.send(client, &Message::Disconnect { duration: None });
        self.wave(ask, |_, message| match message {
            Message::Disconnect { .. } => Verdict::Accepted,
            _ => Verdict::Other,
        })
        .map(drop)
    }

    fn wave(
        &mut self,
        mut ask: impl FnMut(&mut Fleet, u32) -> Result<(), Failure>,
        mut hear: impl FnMut(u32, &Message<'_>) -> Verdict,
    ) -> Result<Wave, Failure> {
        let mut wave = Wave::new(self.clients, self.common.handshakes, self.retry_after(), self.common.tries);
        while !wave.is_finished() && self.clock.now() < self.deadline {
            while let Some(client) = wave.next(self.clock.now()) {
                ask(&mut self.fleet, client)?;
            }
            if !self.fleet.receive(&mut self.inbox)? {
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
        Ok(wave)
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
/// For ending sessions, whatever is left of the run's own deadline.
const TEARDOWN: Duration = Duration::from_secs(10);

fn verdict(code: ReturnCode) -> Verdict {
    if code == ReturnCode::Accepted { Verdict::Accepted } else { Verdict::Refused(code) }
}

fn note(ids: &mut [TopicId], client: u32, topic_id: TopicId) {
    if let Some(id) = usize::try_from(client).ok().and_then(|client| ids.get_mut(client)) {
        *id = topic_id;
    }
}

fn all(what: &str, wave: &Wave, clients: u32) -> Result<(), Failure> {
    if wave.accepted == clients {
        return Ok(());
    }
    let unanswered = clients - wave.accepted - wave.refused;
    let codes = wave.last_refusal.map_or_else(String::new, |code| format!(" (last return code {code})"));
    let (accepted, refused) = (wave.accepted, wave.refused);
    Err(Failure::Gateway(format!(
        "{what} of {clients} clients: {accepted} accepted, {refused} refused{codes}, {unanswered} unanswered"
    )))
}
