//! What every scenario has: the clients' connections, and how they come and go.

use super::args::Args;
use crate::clock::nanoseconds;
use crate::dialling::Framing;
use crate::failure::Failure;
use crate::fleet::{Happening, Streams};
use crate::load::course::{Course, Ended, all};
use crate::load::pace::Pace;
use crate::load::report::Report;
use crate::load::stamp::Script;
use crate::load::wave::Wave;
use crate::speech::{DISCONNECT, Heard, PING, Speech};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) course: Course,
    pub(crate) streams: Streams,
    pub(crate) speech: Speech,
    /// Connections that ended by themselves after they had been let in.
    pub(crate) lost: u32,
    patience: u64,
    next_pulse: u64,
}

/// What a wave learns of a client.
enum Word<'a> {
    Opened,
    Closed,
    Heard(Heard<'a>),
}

impl Rig {
    /// # Errors
    /// [`Failure`] if nothing listens at the gateway's address, connections cannot be had or a process is not there.
    pub(crate) fn open(args: &Args, clients: u32) -> Result<Self, Failure> {
        let gateway = args.dialling.gateway.resolve()?;
        let streams = Streams::open(gateway, clients, args.dialling.sessions()?)?;
        Ok(Self {
            course: Course::start(&args.common, gateway, clients, None)?,
            streams,
            speech: Speech::new(args.dialling.framing, args.dialling.credentials()?)?,
            lost: 0,
            patience: nanoseconds(args.common.silence),
            next_pulse: 0,
        })
    }

    /// Waits at most `milliseconds`, and tells `hear` of frames. True if there may be more.
    ///
    /// # Errors
    /// [`Failure::Io`] from the sockets, [`Failure::Gateway`] for what is no frame, and without TLS.
    pub(crate) fn hear(&mut self, milliseconds: u16, mut hear: impl FnMut(u32, Heard<'_>)) -> Result<bool, Failure> {
        let mut lost = 0;
        let more = self.listen(milliseconds, |client, word| match word {
            Word::Heard(frame) => hear(client, frame),
            Word::Closed => lost += 1,
            Word::Opened => {}
        })?;
        self.lost += lost;
        Ok(more)
    }

    fn listen(&mut self, milliseconds: u16, mut tell: impl FnMut(u32, Word<'_>)) -> Result<bool, Failure> {
        let Self { streams, speech, course, .. } = self;
        let mut fault = None;
        let more = streams.hear(milliseconds, |client, happening| match happening {
            Happening::Opened => {
                tell(client, Word::Opened);
                0
            }
            Happening::Closed => {
                tell(client, Word::Closed);
                0
            }
            Happening::NoTls(why) => {
                // It would be the same for all.
                fault.get_or_insert_with(|| Failure::Gateway(why.to_owned()));
                0
            }
            Happening::Octets(octets) => {
                course.silence.heard();
                speech.hear(octets, |frame| tell(client, Word::Heard(frame))).unwrap_or_else(|failure| {
                    fault.get_or_insert(failure);
                    octets.len()
                })
            }
        })?;
        fault.map_or(Ok(more), Err)
    }

    /// Once a second, lets client 0 ask for a sign of life where the load itself asks for none.
    pub(crate) fn feel_pulse(&mut self, now: u64) {
        if now < self.next_pulse || !self.speech.is_answered() || !self.streams.is_free(0) {
            return;
        }
        // Twice in the quiet time, so that a gateway that is gone is not taken for one that lost the last messages.
        self.next_pulse = now.saturating_add(nanoseconds(PULSE).min(self.course.quiet() / 2));
        if self.streams.send(0, PING) {
            self.course.silence.asked(now);
        }
    }

    /// Connects all clients, within `--silence` each.
    ///
    /// # Errors
    /// [`Failure::Io`] from the sockets, [`Failure::Usage`] for credentials that CONNECT cannot hold.
    pub(crate) fn connect(&mut self, keepalive_s: u8) -> Result<(Wave, Ended), Failure> {
        let mut wave = Wave::new(self.course.clients, self.course.handshakes(), self.patience, 1);
        let (mut pace, clock) = (self.course.connect_pace(), self.course.clock);
        let (mut opened, mut lost) = (Vec::new(), 0);
        while !wave.is_finished() {
            let now = clock.now();
            if let Some(ended) = self.course.over(now) {
                return Ok((wave, ended));
            }
            self.course.progress.show("connect", wave.done(), self.course.clients.into(), now);
            self.dial_due(&mut wave, &mut pace, now)?;
            self.listen(self.course.tick, |client, word| match word {
                Word::Opened => opened.push(client),
                Word::Closed => lost += u32::from(!wave.answered(client, Some(CLOSED), clock.now())),
                Word::Heard(Heard::Connack(code, _)) => {
                    wave.answered(client, Some(code).filter(|code| *code != 0), clock.now());
                }
                Word::Heard(Heard::Data(_) | Heard::Pong) => {}
            })?;
            for client in opened.drain(..) {
                self.greet(client, keepalive_s)?;
                if !self.speech.is_answered() {
                    self.course.silence.heard();
                    wave.answered(client, None, clock.now());
                }
            }
        }
        self.lost += lost;
        Ok((wave, Ended::Complete))
    }

    fn dial_due(&mut self, wave: &mut Wave, pace: &mut Pace, now: u64) -> Result<(), Failure> {
        for _ in 0..if pace.is_paced() { pace.due(now) } else { u64::MAX } {
            let Some(client) = wave.next(self.course.clock.now()) else { break };
            pace.sent_one();
            self.streams.dial(client)?;
            self.course.silence.asked(now);
        }
        Ok(())
    }

    fn greet(&mut self, client: u32, keepalive_s: u8) -> Result<(), Failure> {
        let mut greeting = Vec::new();
        self.speech.greet(&Course::client_id(self.course.run, client), keepalive_s, &mut greeting)?;
        // One that has been closed meanwhile is told as that.
        self.streams.send(client, &greeting);
        Ok(())
    }

    /// As [`Self::connect`], and all must be accepted: a load of fewer clients than asked for would measure something else.
    ///
    /// # Errors
    /// [`Failure::Gateway`] if one was not.
    pub(crate) fn connect_all(&mut self, keepalive_s: u8) -> Result<(), Failure> {
        let outcome = self.connect(keepalive_s)?;
        all("CONNECT", outcome, self.course.clients, in_words)
    }

    /// Ends all sessions; a gateway that has given way is left alone.
    ///
    /// # Errors
    /// [`Failure::Io`] from the sockets.
    pub(crate) fn disconnect(&mut self, ended: &Ended) -> Result<(), Failure> {
        if !self.course.begin_ending(ended) {
            return Ok(());
        }
        let mut wave = Wave::new(self.course.clients, self.course.handshakes(), self.patience, 1);
        let clock = self.course.clock;
        while !wave.is_finished() && self.course.over(clock.now()).is_none() {
            let now = clock.now();
            self.course.progress.show("disconnect", wave.done(), self.course.clients.into(), now);
            while let Some(client) = wave.next(now) {
                if !self.speech.is_answered() || !self.streams.send(client, DISCONNECT) {
                    self.streams.close(client);
                    wave.answered(client, None, now);
                }
            }
            self.listen(self.course.tick, |client, word| {
                if matches!(word, Word::Closed) {
                    wave.answered(client, None, clock.now());
                }
            })?;
        }
        Ok(())
    }

    /// How long a client is waited for, in nanoseconds.
    pub(crate) const fn patience(&self) -> u64 {
        self.patience
    }

    /// How payloads are written: a newline must not stand in a line.
    pub(crate) const fn script(&self) -> Script {
        match self.speech.framing() {
            Framing::Emqx => Script::Octets,
            Framing::Line => Script::Digits,
        }
    }

    /// What every report begins with.
    pub(crate) fn introduce(&self, report: &mut Report, args: &Args) {
        report.text("framing", self.speech.framing().name());
        report.flag("tls", args.dialling.tls);
        report.count("clients", self.course.clients);
    }

    /// All connections have ended.
    pub(crate) const fn is_dead(&self) -> bool {
        self.lost >= self.course.clients
    }
}

const fn in_words(code: u8) -> Option<&'static str> {
    match code {
        1 => Some("not let in"),
        2 => Some("illegal version"),
        CLOSED => Some("closed without CONNACK: see --connect-rate"),
        _ => None,
    }
}

const PULSE: Duration = Duration::from_secs(1);
/// Stands for a return code where the connection ended without one.
const CLOSED: u8 = 255;
