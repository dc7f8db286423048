//! Scenario `idle`: what sessions cost that only stay alive.

use crate::args::{Common, Idle};
use crate::failure::Failure;
use crate::pace::Pace;
use crate::report::Report;
use crate::rig::{Rig, nanoseconds};
use codec_mqttsn::{Message, decode};

/// # Errors
/// [`Failure`] if a client is not accepted.
pub(crate) fn run(common: &Common, scenario: &Idle) -> Result<Report, Failure> {
    let mut rig = Rig::open(common, scenario.clients)?;
    let unloaded = rig.watch.sample()?;
    rig.connect_all(scenario.ping.saturating_mul(2))?;
    let before = rig.watch.sample()?;
    let pings = keep(&mut rig, scenario)?;
    let after = rig.watch.sample()?;

    let mut report = Report::new("idle");
    report.count("clients", scenario.clients);
    report.figure("seconds", scenario.seconds.as_secs_f64(), "s");
    report.figure("ping_interval_s", scenario.ping.into(), "s");
    report.count("pingreq", pings.sent);
    report.count("pingresp", pings.answered);
    report.count("unanswered", pings.sent.saturating_sub(pings.answered));
    report.count("disconnected", pings.disconnected);
    report.cost(&rig.watch.spent(&before, &after), pings.sent);
    report.memory(unloaded.rss, after.rss, scenario.clients);
    rig.disconnect()?;
    Ok(report)
}

#[derive(Debug, Default)]
struct Pings {
    sent: u64,
    answered: u64,
    disconnected: u64,
}

/// Sends every client's PINGREQ in turn, evenly over the interval, and hears the last answers for one tick more.
fn keep(rig: &mut Rig, scenario: &Idle) -> Result<Pings, Failure> {
    let started_at = rig.clock.now();
    let until = started_at.saturating_add(nanoseconds(scenario.seconds)).min(rig.deadline);
    let clients = u64::from(scenario.clients);
    // Below one a second a client's turn would come too late: rounded up.
    let mut pace = Pace::new(clients.div_ceil(scenario.ping.into()), u64::MAX, started_at);
    let mut pings = Pings::default();
    let mut is_last = false;
    while !is_last {
        is_last = rig.clock.now() >= until;
        let due = if is_last { 0 } else { pace.due(rig.clock.now()) };
        for _ in 0..due {
            let client = u32::try_from(pace.sent_one() % clients).unwrap_or(0);
            rig.fleet.send(client, &Message::Pingreq { client_id: None })?;
        }
        pings.sent = pace.sent();
        rig.sleep();
        loop {
            let more = rig.fleet.receive(&mut rig.inbox)?;
            for (_, datagram) in rig.inbox.iter() {
                match decode(datagram).map(|frame| frame.message) {
                    Ok(Message::Pingresp) => pings.answered += 1,
                    Ok(Message::Disconnect { .. }) => pings.disconnected += 1,
                    _ => {}
                }
            }
            if !more {
                break;
            }
        }
    }
    Ok(pings)
}
