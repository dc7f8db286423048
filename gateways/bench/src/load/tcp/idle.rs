//! Scenario `idle`: what connections cost that only stay alive.

use super::args::{Args, Idle};
use super::rig::Rig;
use crate::clock::nanoseconds;
use crate::failure::Failure;
use crate::load::course::Ended;
use crate::load::pace::Pace;
use crate::load::report::Report;
use crate::speech::{Heard, PING};

/// # Errors
/// [`Failure`] if a client is not accepted; later what went wrong is in the report.
pub(crate) fn run(args: &Args, scenario: &Idle) -> Result<Report, Failure> {
    let mut rig = Rig::open(args, scenario.clients)?;
    if !rig.speech.is_answered() {
        return Err(Failure::Usage("idle: only devices of --framing emqx have a PING".into()));
    }
    let unloaded = rig.course.watch.sample();
    rig.connect_all(scenario.ping.saturating_mul(2))?;
    let before = rig.course.watch.sample();
    let mut pings = Pings::default();
    let ended = keep(&mut rig, scenario, &mut pings).unwrap_or_else(Ended::Failure);
    let after = rig.course.watch.sample();
    let ended = rig.course.judge(ended, &after, None);

    let mut report = Report::new("idle");
    rig.introduce(&mut report, args);
    report.figure("seconds", pings.nanoseconds as f64 / 1e9, "s");
    report.figure("ping_interval_s", scenario.ping.into(), "s");
    report.count("ping", pings.sent);
    report.count("pong", pings.answered);
    report.count("unanswered", pings.sent.saturating_sub(pings.answered));
    report.count("closed", rig.lost);
    report.cost(&rig.course.watch.spent(&before, &after), pings.sent);
    report.memory(unloaded.memory, after.memory, scenario.clients);
    rig.disconnect(&ended)?;
    report.ended(ended);
    Ok(report)
}

#[derive(Debug, Default)]
struct Pings {
    sent: u64,
    answered: u64,
    nanoseconds: u64,
}

/// Sends every client's PING in turn, evenly over the interval, and waits for the last answers as long as for a late message.
fn keep(rig: &mut Rig, scenario: &Idle, pings: &mut Pings) -> Result<Ended, Failure> {
    let started_at = rig.course.clock.now();
    let until = started_at.saturating_add(nanoseconds(scenario.hold));
    let clients = u64::from(scenario.clients);
    // Below one a second a client's turn would come too late: rounded up.
    let mut pace = Pace::new(clients.div_ceil(scenario.ping.into()), u64::MAX, started_at);
    loop {
        let now = rig.course.clock.now();
        let ended = rig.course.over(now).or_else(|| (now >= until).then_some(Ended::Complete));
        let due = if ended.is_some() { 0 } else { pace.due(now) };
        for _ in 0..due {
            let client = u32::try_from(pace.sent_one() % clients).unwrap_or(0);
            if rig.streams.send(client, PING) {
                pings.sent += 1;
                rig.course.silence.asked(now);
            }
        }
        pings.nanoseconds = now - started_at;
        rig.course.progress.show("idle", pings.nanoseconds / SECOND, nanoseconds(scenario.hold) / SECOND, now);
        rig.course.sleep();
        while take(rig, 0, pings)? {}
        if let Some(ended) = ended {
            let until = now.saturating_add(rig.course.quiet());
            while pings.answered < pings.sent && rig.course.clock.now() < until && !matches!(ended, Ended::Failure(_)) {
                take(rig, rig.course.tick, pings)?;
            }
            return Ok(ended);
        }
    }
}

/// Hears what comes within `milliseconds`. True if there may be more.
fn take(rig: &mut Rig, milliseconds: u16, pings: &mut Pings) -> Result<bool, Failure> {
    rig.hear(milliseconds, |_, frame| pings.answered += u64::from(frame == Heard::Pong))
}

const SECOND: u64 = 1_000_000_000;
