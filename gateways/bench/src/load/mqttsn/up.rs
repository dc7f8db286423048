//! Scenario `up`: clients publish, the broker's subscriber counts.

use crate::failure::Failure;
use crate::fleet::{Fleet, Inbox};
use crate::load::backlog::Backlog;
use crate::load::course::Ended;
use crate::load::mqttsn::args::{Args, Up};
use crate::load::mqttsn::outbound::{Outbound, Transmission};
use crate::load::mqttsn::rig::Rig;
use crate::load::pace::Pace;
use crate::load::report::{Report, per_second};
use crate::load::stamp::{Script, Stamp};
use crate::load::subscriber::Subscriber;
use crate::load::tally::Tally;
use codec_mqttsn::{Message, MsgId, Publish, Qos, Topic, TopicId, decode};

/// # Errors
/// [`Failure`] if a client gets no session or no topic, or the broker is not there; later what went wrong is in the report.
pub(crate) fn run(args: &Args, scenario: &Up) -> Result<Report, Failure> {
    let mut rig = Rig::open(args, scenario.clients)?;
    let unloaded = rig.course.watch.sample();
    let (topics, filter) = plan(scenario);
    let tally = Tally::new(rig.course.run, scenario.clients, scenario.messages);
    let subscriber = Subscriber::start(&filter, tally, &rig.course, scenario.rate != 0)?;
    let is_connected = scenario.qos != Qos::MinusOne;
    if is_connected {
        rig.connect_all(KEEP_ALIVE)?;
    }
    let topics = match topics {
        Topics::Registered(_) => Topics::Registered(rig.register_all(&scenario.topic)?),
        topics @ (Topics::Predefined(_) | Topics::Short(_)) => topics,
    };

    let before = rig.course.watch.sample();
    let mut sender = Sender::new(&rig, scenario, topics, subscriber);
    let ended = sender.send(&mut rig).unwrap_or_else(Ended::Failure);
    let ended = sender.drain(&mut rig, ended).unwrap_or_else(Ended::Failure);
    let after = rig.course.watch.sample();
    let (tally, cut_off) = std::mem::take(&mut sender.subscriber).map_or((None, None), Subscriber::finish);
    let ended = rig.course.judge(ended, &after, cut_off);

    let mut report = Report::new("up");
    report.text("qos", if is_connected { qos_name(scenario.qos) } else { "-1" });
    report.count("clients", scenario.clients);
    report.count("window", scenario.window);
    report.count("payload", scenario.payload);
    report.count("tick_ms", rig.course.tick);
    report.flag("exact_latency", args.common.exact_latency || scenario.rate == 0);
    report.count("offered_rate", scenario.rate);
    report.count("messages", scenario.messages);
    sender.tell(&mut report, &tally.unwrap_or_else(|| Tally::new(rig.course.run, 0, 0)));
    report.cost(&rig.course.watch.spent(&before, &after), sender.pace.sent());
    report.memory(unloaded.memory, after.memory, scenario.clients);
    if is_connected {
        rig.disconnect(&ended)?;
    }
    report.ended(ended);
    Ok(report)
}

/// In seconds: longer than any run.
const KEEP_ALIVE: u16 = 7200;

/// What PUBLISH names.
#[derive(Debug)]
enum Topics {
    /// Each client's own, by client.
    Registered(Vec<TopicId>),
    Predefined(TopicId),
    Short([u8; 2]),
}

/// The topics, ids still to be registered, and the filter that covers them on the broker.
fn plan(scenario: &Up) -> (Topics, String) {
    let mountpoint = &scenario.mountpoint;
    if let Some(predefined) = &scenario.predefined {
        return (Topics::Predefined(TopicId(predefined.id)), format!("{mountpoint}{}", predefined.name));
    }
    match scenario.short.or_else(|| (scenario.qos == Qos::MinusOne).then_some(*b"lt")) {
        Some(name) => (Topics::Short(name), format!("{mountpoint}{}", String::from_utf8_lossy(&name))),
        None => (Topics::Registered(Vec::new()), format!("{mountpoint}{}/+", scenario.topic)),
    }
}

const fn qos_name(qos: Qos) -> &'static str {
    match qos {
        Qos::AtMostOnce => "0",
        Qos::AtLeastOnce => "1",
        Qos::ExactlyOnce => "2",
        Qos::MinusOne => "-1",
    }
}

struct Sender {
    qos: Qos,
    is_answered: bool,
    topics: Topics,
    payload_len: usize,
    payload: Vec<u8>,
    run: u32,
    pace: Pace,
    outbound: Outbound,
    /// Until its count is taken.
    subscriber: Option<Subscriber>,
    /// Where there is neither a rate nor an answer.
    backlog: Option<Backlog>,
    started_at: u64,
    sent_by: u64,
}

impl Sender {
    fn new(rig: &Rig, scenario: &Up, topics: Topics, subscriber: Subscriber) -> Self {
        let now = rig.course.clock.now();
        let tries = rig.tries();
        let is_answered = matches!(scenario.qos, Qos::AtLeastOnce | Qos::ExactlyOnce);
        let follows_arrivals = scenario.rate == 0 && !is_answered;
        let bound = u64::from(scenario.clients) * u64::from(scenario.window);
        Self {
            qos: scenario.qos,
            is_answered,
            topics,
            payload_len: usize::from(scenario.payload),
            payload: Vec::new(),
            run: rig.course.run,
            pace: Pace::new(scenario.rate, scenario.messages, now),
            outbound: Outbound::new(
                scenario.clients,
                scenario.messages,
                scenario.qos,
                scenario.window,
                rig.retry_after(),
                tries,
            ),
            subscriber: Some(subscriber),
            backlog: follows_arrivals.then(|| Backlog::new(bound, now)),
            started_at: now,
            sent_by: now,
        }
    }

    /// Until all is sent and answered, or nobody can send any more.
    fn send(&mut self, rig: &mut Rig) -> Result<Ended, Failure> {
        while !(self.pace.is_finished() && self.outbound.in_flight() == 0) {
            let now = rig.course.clock.now();
            if let Some(ended) = self.over(rig, now) {
                return Ok(ended);
            }
            rig.course.progress.show("up", self.pace.sent(), self.pace.total(), now);
            rig.feel_pulse(now)?;
            let sent = self.round(rig)?;
            if self.pace.is_paced() {
                rig.course.sleep();
            } else if sent == 0 {
                rig.wait()?;
            }
            while self.hear(rig)? {}
        }
        Ok(Ended::Complete)
    }

    fn over(&self, rig: &mut Rig, now: u64) -> Option<Ended> {
        let gateway = |what: &str| Some(Ended::Failure(Failure::Gateway(what.to_owned())));
        if self.backlog.as_ref().is_some_and(|backlog| backlog.is_stuck(rig.course.quiet(), now)) {
            return gateway("nothing arrives at the broker any more");
        }
        if self.outbound.is_dead() {
            return gateway("it has ended the sessions of all clients");
        }
        // What the broker did is told by the subscriber itself.
        let is_cut_off = self.subscriber.as_ref().is_none_or(Subscriber::is_gone);
        rig.course.over(now).or_else(|| is_cut_off.then_some(Ended::Complete))
    }

    /// Sends what is due: how many.
    fn round(&mut self, rig: &mut Rig) -> Result<u64, Failure> {
        let mut sent = 0;
        while let Some(transmission) = self.outbound.again(rig.course.clock.now()) {
            self.transmit(&mut rig.fleet, transmission)?;
        }
        let due = self.pace.due(rig.course.clock.now()).min(self.room(rig.course.clock.now()));
        while sent < due {
            let now = rig.course.clock.now();
            let Some(transmission) = self.outbound.first(self.pace.sent(), now) else { break };
            self.pace.sent_one();
            self.transmit(&mut rig.fleet, transmission)?;
            self.sent_by = now;
            sent += 1;
        }
        Ok(sent)
    }

    /// How many may be sent with regard to what has arrived: arrivals are the only answer where there are no others.
    fn room(&mut self, now: u64) -> u64 {
        let arrived = self.arrived();
        match &mut self.backlog {
            Some(backlog) => backlog.room(self.pace.sent(), arrived, now),
            None => u64::MAX,
        }
    }

    /// Hears one batch of answers. True if there may be more.
    fn hear(&mut self, rig: &mut Rig) -> Result<bool, Failure> {
        let more = rig.hear()?;
        let Rig { fleet, inbox, course, .. } = rig;
        self.take(fleet, inbox, course.clock.now())?;
        Ok(more)
    }

    fn arrived(&self) -> u64 {
        self.subscriber.as_ref().map_or(0, Subscriber::arrived)
    }

    fn take(&mut self, fleet: &mut Fleet, inbox: &Inbox, now: u64) -> Result<(), Failure> {
        for (client, datagram) in inbox.iter() {
            let Ok(frame) = decode(datagram) else { continue };
            match frame.message {
                Message::Puback(ack) => self.outbound.on_puback(client, ack.msg_id.0, ack.code.into(), now),
                Message::Pubrec { msg_id } if self.outbound.on_pubrec(client, msg_id.0, now) => {
                    fleet.send(client, &Message::Pubrel { msg_id })?;
                }
                Message::Pubcomp { msg_id } => self.outbound.on_pubcomp(client, msg_id.0, now),
                Message::Disconnect { .. } => self.outbound.on_disconnect(client),
                _ => {}
            }
        }
        Ok(())
    }

    fn transmit(&mut self, fleet: &mut Fleet, transmission: Transmission) -> Result<(), Failure> {
        match transmission {
            Transmission::Release { client, msg_id } => fleet.send(client, &Message::Pubrel { msg_id: MsgId(msg_id) }),
            Transmission::Publish { client, msg_id, seq, sent_at, dup } => {
                Stamp { run: self.run, client, seq, sent_at }.write(
                    Script::Octets,
                    self.payload_len,
                    &mut self.payload,
                );
                let topic = self.topics.of(client);
                let (qos, payload) = (self.qos, &self.payload[..]);
                let publish = Publish { dup, qos, retain: false, topic, msg_id: MsgId(msg_id), payload };
                fleet.send(client, &Message::Publish(publish))
            }
        }
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
            rig.feel_pulse(now)?;
            rig.course.sleep();
            while self.hear(rig)? {}
        }
    }

    /// What was sent and what became of it.
    fn tell(&self, report: &mut Report, tally: &Tally) {
        let (sent, counts) = (self.pace.sent(), self.outbound.counts);
        report.figure("sent_rate", per_second(sent, self.sent_by.saturating_sub(self.started_at)), "/s");
        report.figure("arrival_rate", per_second(tally.arrived, tally.last_at.saturating_sub(self.started_at)), "/s");
        report.count("sent", sent);
        report.arrivals(tally, sent);
        if self.is_answered {
            report.count("acknowledged", counts.acknowledged);
            report.count("acknowledged_lost", tally.missing_of(&self.outbound.acknowledged));
            report.count("unanswered", counts.unanswered + self.outbound.in_flight());
            report.count("retransmitted", counts.retransmitted);
            report.latency("completion", &self.outbound.completion);
        }
        report.count("congested", counts.congested);
        report.count("refused", counts.refused);
        report.count("disconnected", counts.disconnected);
    }
}

impl Topics {
    fn of(&self, client: u32) -> Topic<'static> {
        match self {
            Self::Registered(ids) => Topic::Normal(
                usize::try_from(client).ok().and_then(|client| ids.get(client)).copied().unwrap_or_default(),
            ),
            Self::Predefined(id) => Topic::Predefined(*id),
            Self::Short(name) => Topic::Short(*name),
        }
    }
}
