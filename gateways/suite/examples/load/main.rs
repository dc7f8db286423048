//! Load on an MQTT-SN 1.2 gateway, ours or another: many clients on one socket, and an MQTT client on the broker behind it.
//!
//! ```text
//! cargo run --release --example load -- connect --clients 10000 --pid GATEWAY
//! cargo run --release --example load -- up --qos 1 --clients 1000 --rate 20000 --messages 200000 --pid GATEWAY
//! cargo run --release --example load -- up --qos=-1 --short ab --rate 20000
//! cargo run --release --example load -- down --qos 1 --clients 100 --rate 5000 --messages 50000
//! cargo run --release --example load -- idle --clients 10000 --seconds 30 --pid GATEWAY
//! ```
//!
//! Client `i` sends from 127.1.0.0 + `i` and the one port of the socket (`IP_PKTINFO`), so a gateway sees that many
//! devices while the generator spends one descriptor and reads 64 datagrams a call. Both ends of a message's way are this
//! process: its payload carries a stamp of one monotonic clock, taken right before the first transmission.
//!
//! Paced runs read arrivals once a tick, so that latencies are up to a tick too high; `--exact-latency` reads each at
//! once, at about half as much CPU time again in generator and broker.
//!
//! What a figure depends on, and therefore names: the offered rate, the clients, and the tick in which due messages are
//! sent at once, which moves the gateway's batches. Raise the gateway's limit on new sessions per second before
//! `connect`, and take memory per client from a gateway just started: what earlier runs left is used again. At low rates
//! the ticks themselves are most of the CPU time. Only loopback addresses are taken; every run ends by its counts or by
//! `--deadline`.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a load generator is all clock and sockets; the bans are for the pure crates"
)]

mod args;
mod backlog;
mod broker;
mod connect;
mod down;
mod failure;
mod fleet;
mod histogram;
mod idle;
mod outbound;
mod pace;
mod process;
mod report;
mod rig;
mod stamp;
mod subscriber;
mod tally;
#[cfg(test)]
mod tests;
mod up;
mod wave;

use args::{Args, Scenario};
use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.scenario {
        Scenario::Connect(scenario) => connect::run(&args.common, scenario),
        Scenario::Up(scenario) => up::run(&args.common, scenario),
        Scenario::Down(scenario) => down::run(&args.common, scenario),
        Scenario::Idle(scenario) => idle::run(&args.common, scenario),
    };
    let written = match &outcome {
        Ok(report) if args.common.json => writeln!(std::io::stdout(), "{}", report.to_json()),
        Ok(report) => write!(std::io::stdout(), "{}", report.to_table()),
        Err(failure) => writeln!(std::io::stderr(), "load: {failure}"),
    };
    match (outcome, written) {
        (Ok(_), Ok(())) => ExitCode::SUCCESS,
        (Err(failure), _) => failure.exit_code(),
        (Ok(_), Err(_)) => ExitCode::FAILURE,
    }
}
