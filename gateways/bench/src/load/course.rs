//! What a run of any protocol has: its clock, its end, what it watches, and the way to the broker.

use crate::clock::{Clock, nanoseconds};
use crate::failure::Failure;
use crate::load::broker::{Broker, Login};
use crate::load::common::Common;
use crate::load::pace::Pace;
use crate::load::process::{Sample, Watch};
use crate::load::progress::Progress;
use crate::load::silence::Silence;
use crate::load::wave::Wave;
use crate::signals::Interrupts;
use std::net::SocketAddr;
use std::time::Duration;

/// One run.
#[derive(Debug)]
pub(crate) struct Course {
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

impl Course {
    /// `ports` are those whose dropped datagrams are counted.
    ///
    /// # Errors
    /// [`Failure`] if a process is not there or signals cannot be had.
    pub(crate) fn start(
        common: &Common,
        gateway: SocketAddr,
        clients: u32,
        ports: Option<[Option<u16>; 2]>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            watch: Watch::new(common.pid, common.broker_pid, ports)?,
            clock: Clock::start(),
            progress: Progress::on_terminal(),
            run: std::process::id(),
            clients,
            deadline: nanoseconds(common.duration),
            tick: u16::try_from(common.tick.as_millis()).unwrap_or(u16::MAX),
            silence: Silence::new(nanoseconds(common.silence)),
            gateway,
            interrupts: Interrupts::catch()?,
            is_ending: false,
            common: common.clone(),
        })
    }

    /// Client ids are at most 23 octets long.
    pub(crate) fn client_id(run: u32, client: u32) -> String {
        format!("bench-{run:x}-{client}")
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

    /// How long arrivals are left to gather before they are read: a tick, or nothing where each counts at once.
    pub(crate) fn rest(&self, is_paced: bool) -> Duration {
        if is_paced && !self.common.exact_latency { Duration::from_millis(self.tick.into()) } else { Duration::ZERO }
    }

    /// Sleeps through the tick whatever comes, so that answers are read in batches.
    pub(crate) fn sleep(&self) {
        std::thread::sleep(Duration::from_millis(self.tick.into()));
    }

    /// From now on, without an end; 0 is as fast as can be.
    pub(crate) fn pace(&self, per_second: u64) -> Pace {
        Pace::new(per_second, u64::MAX, self.clock.now())
    }

    /// Handshakes that may be outstanding at once.
    pub(crate) const fn handshakes(&self) -> u32 {
        self.common.handshakes
    }

    /// The pace of CONNECTs.
    pub(crate) fn connect_pace(&self) -> Pace {
        self.pace(self.common.connect_rate)
    }

    /// Begins to end the sessions; false if they are to be left alone: as asked, or because the gateway has given way.
    pub(crate) fn begin_ending(&mut self, ended: &Ended) -> bool {
        if self.common.keep || matches!(ended, Ended::Failure(_)) {
            return false;
        }
        self.is_ending = true;
        self.deadline = self.clock.now().saturating_add(nanoseconds(TEARDOWN));
        true
    }
}

/// For ending sessions, whatever is left of the run's own time.
const TEARDOWN: Duration = Duration::from_secs(10);

/// All clients must be through: `in_words` says what a return code means. A load of fewer than asked for would measure something else.
///
/// # Errors
/// [`Failure::Gateway`] if one is not.
pub(crate) fn all(
    what: &str,
    (wave, ended): (Wave, Ended),
    clients: u32,
    in_words: fn(u8) -> Option<&'static str>,
) -> Result<(), Failure> {
    if wave.accepted == clients {
        return Ok(());
    }
    let unanswered = clients - wave.accepted - wave.refused;
    let codes = match wave.last_refusal.map(|code| (code, in_words(code))) {
        None => String::new(),
        Some((code, Some(words))) => format!(" (last return code {code}, {words})"),
        Some((code, None)) => format!(" (last return code {code})"),
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
