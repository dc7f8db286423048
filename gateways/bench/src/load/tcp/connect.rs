//! Scenario `connect`: how fast sessions open and what each holds.

use super::args::{Args, Connect};
use super::rig::Rig;
use crate::failure::Failure;
use crate::load::course::Ended;
use crate::load::report::{Report, per_second};

/// # Errors
/// [`Failure`] if the run could not be made, or nobody answered at all; else what went wrong is in the report.
pub(crate) fn run(args: &Args, scenario: &Connect) -> Result<Report, Failure> {
    let mut rig = Rig::open(args, scenario.clients)?;
    let before = rig.course.watch.sample();
    let started_at = rig.course.clock.now();
    let (wave, ended) = rig.connect(scenario.keep_alive)?;
    let took = rig.course.clock.now().saturating_sub(started_at);
    let after = rig.course.watch.sample();
    let ended = match ended {
        Ended::Failure(failure) if !rig.course.silence.ever_heard() => return Err(failure),
        Ended::Complete if wave.accepted == 0 => {
            Ended::Failure(Failure::Gateway(format!("none of {} clients was accepted", scenario.clients)))
        }
        ended => rig.course.judge(ended, &after, None),
    };

    let mut report = Report::new("connect");
    rig.introduce(&mut report, args);
    report.count("window", rig.course.handshakes());
    report.figure("seconds", took as f64 / 1e9, "s");
    report.figure("rate", per_second(wave.accepted.into(), took), "/s");
    report.count("accepted", wave.accepted);
    report.count("refused", wave.refused);
    report.count("unanswered", scenario.clients - wave.accepted - wave.refused);
    report.count("closed", rig.lost);
    if let Some(code) = wave.last_refusal {
        report.count("last_return_code", code);
    }
    report.latency("connack", &wave.latency);
    report.cost(&rig.course.watch.spent(&before, &after), wave.accepted.into());
    report.memory(before.memory, after.memory, wave.accepted);
    rig.disconnect(&ended)?;
    report.ended(ended);
    Ok(report)
}
