//! Scenario `up`: clients publish, the broker's subscriber counts.

use crate::args::{Common, Up};
use crate::backlog::Backlog;
use crate::failure::Failure;
use crate::fleet::{Fleet, Inbox};
use crate::outbound::{Outbound, Transmission};
use crate::pace::Pace;
use crate::report::{Report, per_second};
use crate::rig::Rig;
use crate::stamp::Stamp;
use crate::subscriber::Subscriber;
use crate::tally::Tally;
use codec_mqttsn::{Message, MsgId, Publish, Qos, Topic, TopicId, decode};

/// # Errors
/// [`Failure`] if a client gets no session or no topic, or the subscriber is cut off.
pub(crate) fn run(common: &Common, scenario: &Up) -> Result<Report, Failure> {
    let mut rig = Rig::open(common, scenario.clients)?;
    let (topics, filter) = plan(scenario);
    let tally = Tally::new(rig.run, scenario.clients, scenario.messages);
    let subscriber = Subscriber::start(common.broker, &filter, tally, &rig, scenario.rate != 0)?;
    let is_connected = scenario.qos != Qos::MinusOne;
    if is_connected {
        rig.connect_all(KEEP_ALIVE)?;
    }
    let topics = match topics {
        Topics::Registered(_) => Topics::Registered(rig.register_all(&scenario.topic)?),
        topics @ (Topics::Predefined(_) | Topics::Short(_)) => topics,
    };

    let before = rig.watch.sample()?;
    let mut sender = Sender::new(&rig, scenario, topics, subscriber);
    sender.send(&mut rig)?;
    sender.drain(&mut rig)?;
    let after = rig.watch.sample()?;
    let tally = sender.subscriber.finish()?;

    let (sent, counts) = (sender.pace.sent(), sender.outbound.counts);
    let mut report = Report::new("up");
    report.text("qos", if is_connected { qos_name(scenario.qos) } else { "-1" });
    report.count("clients", scenario.clients);
    report.count("window", scenario.window);
    report.count("payload", scenario.payload);
    report.count("tick_ms", rig.tick);
    report.flag("exact_latency", common.exact_latency || scenario.rate == 0);
    report.count("offered_rate", scenario.rate);
    report.figure("sent_rate", per_second(sent, sender.sent_by.saturating_sub(sender.started_at)), "/s");
    report.figure("arrival_rate", per_second(tally.arrived, tally.last_at.saturating_sub(sender.started_at)), "/s");
    report.count("messages", scenario.messages);
    report.count("sent", sent);
    report.arrivals(&tally, sent);
    if sender.is_answered {
        report.count("acknowledged", counts.acknowledged);
        report.count("unanswered", counts.unanswered);
        report.count("retransmitted", counts.retransmitted);
        report.latency("completion", &sender.outbound.completion);
    }
    report.count("congested", counts.congested);
    report.count("refused", counts.refused);
    report.count("disconnected", counts.disconnected);
    report.cost(&rig.watch.spent(&before, &after), sent);
    if is_connected {
        rig.disconnect()?;
    }
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
    subscriber: Subscriber,
    /// Where there is neither a rate nor an answer.
    backlog: Option<Backlog>,
    started_at: u64,
    sent_by: u64,
}

impl Sender {
    fn new(rig: &Rig, scenario: &Up, topics: Topics, subscriber: Subscriber) -> Self {
        let now = rig.clock.now();
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
            run: rig.run,
            pace: Pace::new(scenario.rate, scenario.messages, now),
            outbound: Outbound::new(scenario.clients, scenario.qos, scenario.window, rig.retry_after(), tries),
            subscriber,
            backlog: follows_arrivals.then(|| Backlog::new(bound, now)),
            started_at: now,
            sent_by: now,
        }
    }

    /// Until all is sent and answered, or nobody can send any more.
    fn send(&mut self, rig: &mut Rig) -> Result<(), Failure> {
        while !(self.pace.is_finished() && self.outbound.in_flight() == 0) {
            let now = rig.clock.now();
            let is_stuck = self.backlog.as_ref().is_some_and(|backlog| backlog.is_stuck(rig.quiet(), now));
            if is_stuck || now >= rig.deadline || self.outbound.is_dead() || self.subscriber.is_gone() {
                break;
            }
            let sent = self.round(rig)?;
            if self.pace.is_paced() {
                rig.sleep();
            } else if sent == 0 {
                rig.wait()?;
            }
            while self.hear(rig)? {}
        }
        Ok(())
    }

    /// Sends what is due: how many.
    fn round(&mut self, rig: &mut Rig) -> Result<u64, Failure> {
        let mut sent = 0;
        while let Some(transmission) = self.outbound.again(rig.clock.now()) {
            self.transmit(&mut rig.fleet, transmission)?;
        }
        let due = self.pace.due(rig.clock.now()).min(self.room(rig.clock.now()));
        while sent < due {
            let now = rig.clock.now();
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
        match &mut self.backlog {
            Some(backlog) => backlog.room(self.pace.sent(), self.subscriber.arrived(), now),
            None => u64::MAX,
        }
    }

    /// Hears one batch of answers. True if there may be more.
    fn hear(&mut self, rig: &mut Rig) -> Result<bool, Failure> {
        let Rig { fleet, inbox, clock, .. } = rig;
        let more = fleet.receive(inbox)?;
        self.take(fleet, inbox, clock.now())?;
        Ok(more)
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
                Stamp { run: self.run, client, seq, sent_at }.write(self.payload_len, &mut self.payload);
                let topic = self.topics.of(client);
                let (qos, payload) = (self.qos, &self.payload[..]);
                let publish = Publish { dup, qos, retain: false, topic, msg_id: MsgId(msg_id), payload };
                fleet.send(client, &Message::Publish(publish))
            }
        }
    }

    /// Waits until all has arrived, or nothing has for the quiet time.
    fn drain(&mut self, rig: &mut Rig) -> Result<(), Failure> {
        let mut last = (self.subscriber.arrived(), rig.clock.now());
        loop {
            let (arrived, now) = (self.subscriber.arrived(), rig.clock.now());
            if arrived != last.0 {
                last = (arrived, now);
            }
            let is_quiet = now.saturating_sub(last.1) > rig.quiet();
            if arrived >= self.pace.sent() || is_quiet || now >= rig.deadline || self.subscriber.is_gone() {
                return Ok(());
            }
            rig.sleep();
            while self.hear(rig)? {}
        }
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
