//! Scenario `connect`: how fast sessions open and what each holds.

use crate::args::{Common, Connect};
use crate::failure::Failure;
use crate::report::{Report, per_second};
use crate::rig::Rig;

/// # Errors
/// [`Failure`] if the run could not be made; clients that did not get through are in the report.
pub(crate) fn run(common: &Common, scenario: &Connect) -> Result<Report, Failure> {
    let mut rig = Rig::open(common, scenario.clients)?;
    let before = rig.watch.sample()?;
    let started_at = rig.clock.now();
    let wave = rig.connect(scenario.keep_alive)?;
    let took = rig.clock.now().saturating_sub(started_at);
    let after = rig.watch.sample()?;

    let mut report = Report::new("connect");
    report.count("clients", scenario.clients);
    report.count("window", common.handshakes);
    report.figure("seconds", took as f64 / 1e9, "s");
    report.figure("rate", per_second(wave.accepted.into(), took), "/s");
    report.count("accepted", wave.accepted);
    report.count("refused", wave.refused);
    report.count("unanswered", scenario.clients - wave.accepted - wave.refused);
    report.count("retransmitted", wave.retransmitted);
    if let Some(code) = wave.last_refusal {
        report.count("last_return_code", code);
    }
    report.latency("connack", &wave.latency);
    report.cost(&rig.watch.spent(&before, &after), wave.accepted.into());
    report.memory(before.rss, after.rss, wave.accepted);
    rig.disconnect()?;
    Ok(report)
}
