//! Load on an MQTT-SN 1.2 gateway, and an MQTT client on the broker behind it.
//!
//! Both ends of a message's way are this process: its payload carries a stamp of one monotonic clock, taken right before
//! the first transmission.
//!
//! Paced runs read arrivals once a tick, so that latencies are up to a tick too high; `--exact-latency` reads each at
//! once, at about half as much CPU time again in generator and broker.
//!
//! What a figure depends on, and therefore names: the offered rate, the clients, and the tick in which due messages are
//! sent at once, which moves the gateway's batches. At low rates the ticks themselves are most of the CPU time. Every run
//! ends by its counts, by `--duration`, by a signal, or when the gateway has fallen silent, and then says how it ended.

pub(crate) mod args;
mod backlog;
mod broker;
mod connect;
mod down;
mod histogram;
mod idle;
mod outbound;
mod pace;
mod places;
mod process;
mod progress;
mod publisher;
mod report;
mod rig;
mod silence;
mod stamp;
mod subscriber;
mod tally;
#[cfg(test)]
mod tests;
mod up;
mod wave;

use crate::failure::Failure;
use args::{Args, Scenario};
use report::Report;
use std::io::{ErrorKind, Write as _};

/// Makes the run and writes its report to standard output.
///
/// # Errors
/// [`Failure`] if there is no report, or the report's own.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut report = match measure(args) {
        Ok(report) => report,
        Err(failure) if failure.is_usage() || !args.common.json => return Err(failure),
        Err(failure) => Report::of_failure(args.scenario.name(), failure),
    };
    let text = if args.common.json { format!("{}\n", report.to_json()) } else { report.to_table() };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(Failure::Io("standard output", error)),
        _ => {}
    }
    report.take_failure().map_or(Ok(()), Err)
}

fn measure(args: &Args) -> Result<Report, Failure> {
    match &args.scenario {
        Scenario::Connect(scenario) => connect::run(&args.common, scenario),
        Scenario::Up(scenario) => up::run(&args.common, scenario),
        Scenario::Down(scenario) => down::run(&args.common, scenario),
        Scenario::Idle(scenario) => idle::run(&args.common, scenario),
    }
}
