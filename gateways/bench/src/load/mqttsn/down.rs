//! Scenario `down`: an MQTT client publishes, the clients that subscribed count.

use crate::failure::Failure;
use crate::fleet::{Fleet, Inbox};
use crate::load::course::Ended;
use crate::load::mqttsn::args::{Args, Down};
use crate::load::mqttsn::rig::Rig;
use crate::load::publisher::{Flow, Publisher};
use crate::load::report::{Report, per_second};
use crate::load::stamp::{Script, Stamp};
use crate::load::tally::Tally;
use codec_mqttsn::{Ack, Message, Publish, Qos, ReturnCode, Topic, TopicId, decode};

/// # Errors
/// [`Failure`] if a client gets no session or no subscription, or the broker is not there; later what went wrong is in the
/// report.
pub(crate) fn run(args: &Args, scenario: &Down) -> Result<Report, Failure> {
    let copies = if scenario.fan_out { u64::from(scenario.clients) } else { 1 };
    let expected = scenario.messages.saturating_mul(copies);
    if expected > MOST_ARRIVALS {
        return Err(Failure::Usage(format!("{expected} arrivals; at most {MOST_ARRIVALS} are counted")));
    }
    let mut rig = Rig::open(args, scenario.clients)?;
    let unloaded = rig.course.watch.sample();
    let qos = if scenario.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
    let broker = rig.course.broker("down")?;
    rig.connect_all(KEEP_ALIVE)?;
    rig.subscribe_all(qos, |client| topic_of(scenario, client))?;

    let before = rig.course.watch.sample();
    let started_at = rig.course.clock.now();
    let publisher = Publisher::start(broker, &rig.course, flow(scenario, copies));
    let mut receiver = Receiver::new(&rig, scenario, expected);
    let ended = receiver.receive(&mut rig, &publisher, expected).unwrap_or_else(Ended::Failure);
    let after = rig.course.watch.sample();
    let (published, cut_off) = publisher.finish();
    let ended = rig.course.judge(ended, &after, cut_off);

    let tally = &receiver.tally;
    let mut report = Report::new("down");
    report.count("qos", scenario.qos);
    report.count("clients", scenario.clients);
    report.count("copies", copies);
    report.count("payload", scenario.payload);
    report.count("tick_ms", rig.course.tick);
    report.flag("exact_latency", args.common.exact_latency || scenario.rate == 0);
    report.count("offered_rate", scenario.rate);
    report.figure("published_rate", per_second(published.sent, published.last_at.saturating_sub(started_at)), "/s");
    report.figure("arrival_rate", per_second(tally.arrived, tally.last_at.saturating_sub(started_at)), "/s");
    report.count("messages", scenario.messages);
    report.count("published", published.sent);
    report.arrivals(tally, published.sent.saturating_mul(copies));
    report.count("marked_dup", receiver.marked_dup);
    report.count("registered", receiver.registered);
    report.count("disconnected", receiver.disconnected);
    report.cost(&rig.course.watch.spent(&before, &after), published.sent.saturating_mul(copies));
    report.memory(unloaded.memory, after.memory, scenario.clients);
    rig.disconnect(&ended)?;
    report.ended(ended);
    Ok(report)
}

/// In seconds: longer than any run.
const KEEP_ALIVE: u16 = 7200;
/// One bit each.
const MOST_ARRIVALS: u64 = 8_000_000_000;

fn flow(scenario: &Down, copies: u64) -> Flow {
    let mounted = |client| format!("{}{}", scenario.mountpoint, topic_of(scenario, client));
    Flow {
        topics: (0..scenario.clients).map(mounted).collect(),
        messages: scenario.messages,
        rate: scenario.rate,
        window: scenario.window,
        qos: scenario.qos,
        payload: scenario.payload,
        copies,
        script: Script::Octets,
    }
}

/// As the gateway's clients name it, without mountpoint.
fn topic_of(scenario: &Down, client: u32) -> String {
    let topic = &scenario.topic;
    if scenario.fan_out { format!("{topic}/all") } else { format!("{topic}/{client}") }
}

/// The clients' side.
struct Receiver {
    tally: Tally,
    fan_out: bool,
    is_paced: bool,
    messages: u64,
    marked_dup: u64,
    registered: u64,
    disconnected: u64,
}

impl Receiver {
    fn new(rig: &Rig, scenario: &Down, expected: u64) -> Self {
        Self {
            tally: Tally::new(rig.course.run, scenario.clients, expected),
            fan_out: scenario.fan_out,
            is_paced: scenario.rate != 0,
            messages: scenario.messages,
            marked_dup: 0,
            registered: 0,
            disconnected: 0,
        }
    }

    /// Until all has arrived, or nothing has for the quiet time after the last publication.
    fn receive(&mut self, rig: &mut Rig, publisher: &Publisher, expected: u64) -> Result<Ended, Failure> {
        let rest = rig.course.rest(self.is_paced);
        let mut quiet_since = rig.course.clock.now();
        while self.tally.arrived < expected {
            let more = rig.hear()?;
            let Rig { fleet, inbox, course, .. } = rig;
            let now = course.clock.now();
            let arrived = self.tally.arrived;
            self.take(fleet, inbox, now)?;
            publisher.note_arrived(self.tally.arrived);
            rig.course.progress.show("down", self.tally.arrived, expected, now);
            // Without a rate the publisher itself waits for arrivals, so it is no reason to.
            if self.tally.arrived != arrived || (self.is_paced && !publisher.is_finished()) {
                quiet_since = now;
            }
            if let Some(ended) = rig.course.over(now) {
                return Ok(ended);
            }
            if now.saturating_sub(quiet_since) > rig.course.quiet() && !rig.course.silence.is_waiting() {
                // Loss, if all was published and the gateway still answers: that is a figure and no failure.
                let is_stuck = !self.is_paced && !publisher.is_finished();
                let failure = || Failure::Gateway("nothing arrives at the clients any more".to_owned());
                return Ok(if is_stuck { Ended::Failure(failure()) } else { Ended::Complete });
            }
            rig.feel_pulse(now)?;
            if !more {
                // Asleep until the tick is over, then until something comes: arrivals are read in batches.
                std::thread::sleep(rest);
                rig.wait()?;
            }
        }
        Ok(Ended::Complete)
    }

    fn take(&mut self, fleet: &mut Fleet, inbox: &Inbox, now: u64) -> Result<(), Failure> {
        for (client, datagram) in inbox.iter() {
            let Ok(frame) = decode(datagram) else { continue };
            match frame.message {
                Message::Publish(publish) => self.on_publish(fleet, client, &publish, now)?,
                Message::Register(register) => {
                    self.registered += 1;
                    let (topic_id, msg_id) = (register.topic_id, register.msg_id);
                    fleet.send(client, &Message::Regack(Ack { topic_id, msg_id, code: ReturnCode::Accepted }))?;
                }
                Message::Disconnect { .. } => self.disconnected += 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn on_publish(&mut self, fleet: &mut Fleet, client: u32, publish: &Publish<'_>, now: u64) -> Result<(), Failure> {
        // Fanned out, a message has a place for each receiver; else the receiver must be the one it is meant for.
        let place = (client, if self.fan_out { u64::from(client) * self.messages } else { 0 });
        let is_mine = self.fan_out || Stamp::read(publish.payload).is_some_and(|stamp| stamp.client == client);
        if is_mine {
            self.tally.arrive(publish.payload, Some(place), now);
        } else {
            self.tally.foreign += 1;
        }
        self.marked_dup += u64::from(publish.dup);
        if publish.qos != Qos::AtLeastOnce {
            return Ok(());
        }
        let topic_id = match publish.topic {
            Topic::Normal(id) | Topic::Predefined(id) => id,
            Topic::Short(name) | Topic::Reserved(name) => TopicId(u16::from_be_bytes(name)),
            Topic::Inline(_) => TopicId(0),
        };
        fleet.send(client, &Message::Puback(Ack { topic_id, msg_id: publish.msg_id, code: ReturnCode::Accepted }))
    }
}
