//! Load on a gateway, and an MQTT client on the broker behind it.
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
//!
//! What a protocol has of its own stands in its folder; the rest is for all.

mod backlog;
mod broker;
mod common;
mod course;
mod histogram;
pub(crate) mod mqttsn;
mod pace;
mod places;
mod process;
mod progress;
mod publisher;
mod report;
mod silence;
mod stamp;
mod subscriber;
mod tally;
pub(crate) mod tcp;
mod wave;

use crate::failure::Failure;
use report::Report;
use std::io::{ErrorKind, Write as _};

/// Writes what `measure` has found to standard output.
///
/// # Errors
/// [`Failure`] if there is no report, or the report's own.
fn tell(scenario: &str, json: bool, measured: Result<Report, Failure>) -> Result<(), Failure> {
    let mut report = match measured {
        Ok(report) => report,
        Err(failure) if failure.is_usage() || !json => return Err(failure),
        Err(failure) => Report::of_failure(scenario, failure),
    };
    let text = if json { format!("{}\n", report.to_json()) } else { report.to_table() };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(Failure::Io("standard output", error)),
        _ => {}
    }
    report.take_failure().map_or(Ok(()), Err)
}
