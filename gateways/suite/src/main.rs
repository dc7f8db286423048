//! tidegate: devices of many protocols to any MQTT broker.
//!
//! The binary puts together what the other crates are: it reads the command line and the configuration, binds sockets,
//! gives each core a shard, answers the admin API, and stops it all in order.
#![forbid(unsafe_code)]

mod access;
mod admin;
mod advertise;
mod cli;
mod configuration;
mod ctl;
mod embedded;
mod failure;
mod former_links;
mod gateways;
mod listener_tls;
mod logs;
mod node_name;
mod open_files;
mod passwd;
mod reload;
mod run;
mod sessions;
mod signals;
mod startup;
mod tls;
mod wiring;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.exit_code()
        }
    }
}
