//! Scenario `up`: clients send messages, the broker's subscriber counts.

use super::args::{Args, Up};
use super::rig::Rig;
use crate::failure::Failure;
use crate::load::backlog::Backlog;
use crate::load::course::Ended;
use crate::load::pace::Pace;
use crate::load::report::{Report, per_second};
use crate::load::stamp::Stamp;
use crate::load::subscriber::Subscriber;
use crate::load::tally::Tally;

/// # Errors
/// [`Failure`] if a client is not let in, or the broker is not there; later what went wrong is in the report.
pub(crate) fn run(args: &Args, scenario: &Up) -> Result<Report, Failure> {
    let least = Pace::slowest_with_bursts_of(scenario.pipeline.into());
    if scenario.rate != 0 && scenario.rate < least {
        let why = format!("{} messages a write come about at {least} a second or more", scenario.pipeline);
        return Err(Failure::Usage(format!("--rate {}: {why}", scenario.rate)));
    }
    let mut rig = Rig::open(args, scenario.clients)?;
    let unloaded = rig.course.watch.sample();
    let tally = Tally::new(rig.course.run, scenario.clients, scenario.messages);
    let filter = scenario.topic.replace("%c", "+");
    let subscriber = Subscriber::start(&filter, tally, &rig.course, scenario.rate != 0)?;
    rig.connect_all(NO_KEEPALIVE)?;

    let before = rig.course.watch.sample();
    let mut sender = Sender::new(&rig, scenario, subscriber);
    let ended = sender.send(&mut rig).unwrap_or_else(Ended::Failure);
    let ended = sender.drain(&mut rig, ended).unwrap_or_else(Ended::Failure);
    let after = rig.course.watch.sample();
    let (tally, cut_off) = std::mem::take(&mut sender.subscriber).map_or((None, None), Subscriber::finish);
    let ended = rig.course.judge(ended, &after, cut_off);
    let tally = tally.unwrap_or_else(|| Tally::new(rig.course.run, 0, 0));

    let sent = sender.pace.sent();
    let ended = if sent > 0 && tally.arrived == 0 { in_vain(ended, &filter) } else { ended };
    let lasted = |until: u64| until.saturating_sub(sender.started_at);
    let mut report = Report::new("up");
    rig.introduce(&mut report, args);
    report.count("pipeline", scenario.pipeline);
    report.count("window", scenario.window);
    report.count("payload", scenario.payload);
    report.count("tick_ms", rig.course.tick);
    report.flag("exact_latency", args.common.exact_latency || scenario.rate == 0);
    report.count("offered_rate", scenario.rate);
    report.count("messages", scenario.messages);
    report.figure("sent_rate", per_second(sent, lasted(sender.sent_by)), "/s");
    report.figure("arrival_rate", per_second(tally.arrived, lasted(tally.last_at)), "/s");
    report.count("sent", sent);
    report.arrivals(&tally, sent);
    report.count("held_back", sender.held_back);
    report.count("closed", rig.lost);
    report.cost(&rig.course.watch.spent(&before, &after), sent);
    report.memory(unloaded.memory, after.memory, scenario.clients);
    rig.disconnect(&ended)?;
    report.ended(ended);
    Ok(report)
}

/// An end at which not one message has come: that is no loss, unless something else has gone wrong before.
fn in_vain(ended: Ended, filter: &str) -> Ended {
    match ended {
        Ended::Complete | Ended::Duration => Ended::Failure(Failure::Broker(format!(
            "nothing arrived at {filter}: is --topic where the gateway publishes (its up_topic, with a mountpoint before it)?"
        ))),
        Ended::Interrupt | Ended::Failure(_) => ended,
    }
}

/// The load itself shows who is alive.
const NO_KEEPALIVE: u8 = 0;

struct Sender {
    clients: u32,
    /// Whose turn it is.
    next: u32,
    pipeline: u64,
    payload_len: usize,
    payload: Vec<u8>,
    batch: Vec<u8>,
    pace: Pace,
    /// Until its count is taken.
    subscriber: Option<Subscriber>,
    /// Where there is no rate.
    backlog: Option<Backlog>,
    /// Rounds in which messages were due and no connection took one.
    held_back: u64,
    started_at: u64,
    sent_by: u64,
}

impl Sender {
    fn new(rig: &Rig, scenario: &Up, subscriber: Subscriber) -> Self {
        let now = rig.course.clock.now();
        let bound = u64::from(scenario.clients) * u64::from(scenario.window) * u64::from(scenario.pipeline);
        Self {
            clients: scenario.clients,
            next: 0,
            pipeline: scenario.pipeline.into(),
            payload_len: scenario.payload.into(),
            payload: Vec::new(),
            batch: Vec::new(),
            pace: Pace::new(scenario.rate, scenario.messages, now),
            subscriber: Some(subscriber),
            backlog: (scenario.rate == 0).then(|| Backlog::new(bound, now)),
            held_back: 0,
            started_at: now,
            sent_by: now,
        }
    }

    /// Until all is sent, or nobody can send any more.
    fn send(&mut self, rig: &mut Rig) -> Result<Ended, Failure> {
        while !self.pace.is_finished() {
            let now = rig.course.clock.now();
            if let Some(ended) = self.over(rig, now) {
                return Ok(ended);
            }
            rig.course.progress.show("up", self.pace.sent(), self.pace.total(), now);
            rig.feel_pulse(now);
            let sent = self.round(rig)?;
            let pause = if self.pace.is_paced() || sent > 0 { 0 } else { rig.course.tick };
            if self.pace.is_paced() {
                rig.course.sleep();
            }
            if rig.hear(pause, |_, _| ())? {
                while rig.hear(0, |_, _| ())? {}
            }
        }
        Ok(Ended::Complete)
    }

    fn over(&self, rig: &mut Rig, now: u64) -> Option<Ended> {
        let gateway = |what: &str| Some(Ended::Failure(Failure::Gateway(what.to_owned())));
        if self.backlog.as_ref().is_some_and(|backlog| backlog.is_stuck(rig.course.quiet(), now)) {
            return gateway("nothing arrives at the broker any more");
        }
        if rig.is_dead() {
            return gateway("it has closed all connections");
        }
        // What the broker did is told by the subscriber itself.
        let is_cut_off = self.subscriber.as_ref().is_none_or(Subscriber::is_gone);
        rig.course.over(now).or_else(|| is_cut_off.then_some(Ended::Complete))
    }

    /// Sends what is due, whole writes of it: how many messages.
    fn round(&mut self, rig: &mut Rig) -> Result<u64, Failure> {
        let now = rig.course.clock.now();
        let due = if self.pace.is_paced() { self.pace.due(now) } else { self.pace.due(now).max(self.pipeline) };
        let (due, mut sent) = (due.min(self.room(now)), 0);
        loop {
            let write = self.pipeline.min(self.pace.total() - self.pace.sent());
            if write == 0 || sent + write > due {
                return Ok(sent);
            }
            let Some(client) = self.next_free(rig) else {
                self.held_back += 1;
                return Ok(sent);
            };
            self.write(rig, client, write)?;
            sent += write;
        }
    }

    /// `count` messages of `client` in one write.
    fn write(&mut self, rig: &mut Rig, client: u32, count: u64) -> Result<(), Failure> {
        self.batch.clear();
        for _ in 0..count {
            let (seq, sent_at) = (self.pace.sent_one(), rig.course.clock.now());
            let stamp = Stamp { run: rig.course.run, client, seq, sent_at };
            stamp.write(rig.script(), self.payload_len, &mut self.payload);
            rig.speech.say(&self.payload, &mut self.batch)?;
            self.sent_by = sent_at;
        }
        rig.streams.send(client, &self.batch);
        Ok(())
    }

    /// The next client, in turn, whose connection takes something.
    fn next_free(&mut self, rig: &Rig) -> Option<u32> {
        for _ in 0..self.clients {
            let client = self.next;
            self.next = (client + 1) % self.clients;
            if rig.streams.is_free(client) {
                return Some(client);
            }
        }
        None
    }

    /// How many may be sent with regard to what has arrived: nothing else is an answer.
    fn room(&mut self, now: u64) -> u64 {
        let arrived = self.arrived();
        match &mut self.backlog {
            Some(backlog) => backlog.room(self.pace.sent(), arrived, now),
            None => u64::MAX,
        }
    }

    fn arrived(&self) -> u64 {
        self.subscriber.as_ref().map_or(0, Subscriber::arrived)
    }

    /// Waits until all has arrived, or nothing has for the quiet time.
    fn drain(&mut self, rig: &mut Rig, ended: Ended) -> Result<Ended, Failure> {
        let mut last = (self.arrived(), rig.course.clock.now());
        loop {
            let (arrived, now) = (self.arrived(), rig.course.clock.now());
            if arrived != last.0 {
                last = (arrived, now);
            }
            let is_quiet = now.saturating_sub(last.1) > rig.course.quiet();
            let is_cut_off = self.subscriber.as_ref().is_none_or(Subscriber::is_gone);
            // Loss is a figure only of a gateway that still answers; of another it is known already why.
            let is_judged = !rig.course.silence.is_waiting() || !matches!(ended, Ended::Complete);
            if arrived >= self.pace.sent() || (is_quiet && is_judged) || is_cut_off {
                return Ok(ended);
            }
            // An end that is known is waited through: what is still on its way belongs to the count.
            if let (Ended::Complete, Some(ended)) = (&ended, rig.course.over(now)) {
                return Ok(ended);
            }
            rig.feel_pulse(now);
            rig.course.sleep();
            while rig.hear(0, |_, _| ())? {}
        }
    }
}
