//! Scenario `down`: an MQTT client publishes, the clients count.

use super::args::{Args, Down};
use super::rig::Rig;
use crate::failure::Failure;
use crate::load::broker::Broker;
use crate::load::course::{Course, Ended};
use crate::load::publisher::{Flow, Publisher};
use crate::load::report::{Report, per_second};
use crate::load::stamp::Stamp;
use crate::load::tally::Tally;
use crate::speech::Heard;
use codec_mqtt::Delivery;
use std::collections::BTreeSet;

/// # Errors
/// [`Failure`] if a client is not let in, or the broker is not there; later what went wrong is in the report.
pub(crate) fn run(args: &Args, scenario: &Down) -> Result<Report, Failure> {
    let mut rig = Rig::open(args, scenario.clients)?;
    let unloaded = rig.course.watch.sample();
    let mut broker = rig.course.broker("down")?;
    rig.connect_all(NO_KEEPALIVE)?;
    let flow = flow(&rig, scenario);
    await_hearing(&mut rig, &mut broker, &flow.topics, &scenario.topic)?;

    let before = rig.course.watch.sample();
    let started_at = rig.course.clock.now();
    let publisher = Publisher::start(broker, &rig.course, flow);
    let mut tally = Tally::new(rig.course.run, scenario.clients, scenario.messages);
    let ended = receive(&mut rig, scenario, &publisher, &mut tally).unwrap_or_else(Ended::Failure);
    let after = rig.course.watch.sample();
    let (published, cut_off) = publisher.finish();
    let ended = rig.course.judge(ended, &after, cut_off);

    let lasted = |until: u64| until.saturating_sub(started_at);
    let mut report = Report::new("down");
    rig.introduce(&mut report, args);
    report.count("qos", scenario.qos);
    report.count("payload", scenario.payload);
    report.count("tick_ms", rig.course.tick);
    report.flag("exact_latency", args.common.exact_latency || scenario.rate == 0);
    report.count("offered_rate", scenario.rate);
    report.figure("published_rate", per_second(published.sent, lasted(published.last_at)), "/s");
    report.figure("arrival_rate", per_second(tally.arrived, lasted(tally.last_at)), "/s");
    report.count("messages", scenario.messages);
    report.count("published", published.sent);
    report.arrivals(&tally, published.sent);
    report.count("closed", rig.lost);
    report.cost(&rig.course.watch.spent(&before, &after), published.sent);
    report.memory(unloaded.memory, after.memory, scenario.clients);
    rig.disconnect(&ended)?;
    report.ended(ended);
    Ok(report)
}

/// The load itself shows who is alive.
const NO_KEEPALIVE: u8 = 0;

fn flow(rig: &Rig, scenario: &Down) -> Flow {
    let topic = |client| scenario.topic.replace("%c", &Course::client_id(rig.course.run, client));
    Flow {
        topics: (0..scenario.clients).map(topic).collect(),
        messages: scenario.messages,
        rate: scenario.rate,
        window: scenario.window,
        qos: scenario.qos,
        payload: scenario.payload,
        copies: 1,
        script: rig.script(),
    }
}

/// Until every client has heard something: a gateway may subscribe after it has let a client in, and says so to nobody.
fn await_hearing(rig: &mut Rig, broker: &mut Broker, topics: &[String], topic: &str) -> Result<(), Failure> {
    let mut deaf: BTreeSet<u32> = (0..rig.course.clients).collect();
    let mut heard_at = rig.course.clock.now();
    while !deaf.is_empty() {
        for client in &deaf {
            let Some(topic) = usize::try_from(*client).ok().and_then(|client| topics.get(client)) else { continue };
            broker.publish(topic, PROBE, Delivery::AtMostOnce)?;
        }
        broker.flush()?;
        let (before, until) = (deaf.len(), rig.course.clock.now().saturating_add(PROBE_AGAIN));
        while !deaf.is_empty() && rig.course.clock.now() < until {
            rig.hear(rig.course.tick, |client, frame| {
                if matches!(frame, Heard::Data(_)) {
                    deaf.remove(&client);
                }
            })?;
        }
        let now = rig.course.clock.now();
        rig.course.progress.show("listen", rig.course.clients.into(), rig.course.clients.into(), now);
        if deaf.len() < before {
            heard_at = now;
        }
        if now.saturating_sub(heard_at) > rig.patience() || rig.is_dead() {
            let (deaf, all) = (deaf.len(), rig.course.clients);
            let why = format!("{deaf} of {all} clients hear nothing that is published to {topic}");
            return Err(Failure::Gateway(why));
        }
    }
    Ok(())
}

/// Too short for a message of the load.
const PROBE: &[u8] = b"?";
/// Nanoseconds until who has not heard is asked again.
const PROBE_AGAIN: u64 = 100_000_000;

/// Until all has arrived, or nothing has for the quiet time after the last publication.
fn receive(rig: &mut Rig, scenario: &Down, publisher: &Publisher, tally: &mut Tally) -> Result<Ended, Failure> {
    let is_paced = scenario.rate != 0;
    let (rest, clock) = (rig.course.rest(is_paced), rig.course.clock);
    let mut quiet_since = clock.now();
    while tally.arrived < scenario.messages {
        let before = tally.arrived;
        let more = rig.hear(0, |client, frame| take(tally, client, frame, clock.now()))?;
        let now = clock.now();
        publisher.note_arrived(tally.arrived);
        rig.course.progress.show("down", tally.arrived, scenario.messages, now);
        // Without a rate the publisher itself waits for arrivals, so it is no reason to.
        if tally.arrived != before || (is_paced && !publisher.is_finished()) {
            quiet_since = now;
        }
        if rig.is_dead() {
            return Ok(Ended::Failure(Failure::Gateway("it has closed all connections".into())));
        }
        if let Some(ended) = rig.course.over(now) {
            return Ok(ended);
        }
        if now.saturating_sub(quiet_since) > rig.course.quiet() && !rig.course.silence.is_waiting() {
            // Loss, if all was published and the gateway still answers: that is a figure and no failure.
            let is_stuck = !is_paced && !publisher.is_finished();
            let failure = || Failure::Gateway("nothing arrives at the clients any more".to_owned());
            return Ok(if is_stuck { Ended::Failure(failure()) } else { Ended::Complete });
        }
        rig.feel_pulse(now);
        if !more {
            // Asleep until the tick is over, then until something comes: arrivals are read in batches.
            std::thread::sleep(rest);
            rig.hear(rig.course.tick, |client, frame| take(tally, client, frame, clock.now()))?;
        }
    }
    Ok(Ended::Complete)
}

/// The receiver must be the one that a message is meant for.
fn take(tally: &mut Tally, client: u32, frame: Heard<'_>, now: u64) {
    let Heard::Data(payload) = frame else { return };
    if payload == PROBE {
        return;
    }
    if Stamp::read(payload).is_some_and(|stamp| stamp.client == client) {
        tally.arrive(payload, None, now);
    } else {
        tally.foreign += 1;
    }
}
