//! `tidegate bench` and `tidegate sim`: load on gateways, ours or others', and simulated devices.
//!
//! Both are clients only: they use our codecs and nothing else of the gateway, so that they say of any gateway of the
//! same protocol what they say of ours.
//!
//! * `load`: scenarios with a rate and figures at the end.
//! * `device`: a simulated device, pure: time and datagrams come in, datagrams and happenings go out.
//! * `sim`: the shell around many of them.
//! * `fleet`: the sockets of many devices, for both.
#![forbid(unsafe_code)]

mod clock;
mod device;
mod dialling;
mod endpoint;
mod failure;
mod fleet;
mod load;
mod signals;
mod sim;
mod span;
mod speech;

use clap::{Args, Subcommand};
pub use failure::Failure;

/// The arguments of `tidegate bench`.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    protocol: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// MQTT-SN 1.2 over UDP
    Mqttsn(load::mqttsn::args::Args),
    /// Raw TCP, plain or in TLS
    Tcp(load::tcp::args::Args),
}

/// The arguments of `tidegate sim`.
#[derive(Debug, Args)]
pub struct Sim {
    #[command(subcommand)]
    protocol: Devices,
}

#[derive(Debug, Subcommand)]
enum Devices {
    /// MQTT-SN 1.2 over UDP
    Mqttsn(sim::mqttsn::args::Args),
    /// Raw TCP, plain or in TLS
    Tcp(sim::tcp::args::Args),
}

impl Bench {
    /// Puts a gateway under load and writes the figures to standard output, those of a load cut short too.
    ///
    /// # Errors
    /// [`Failure`] if the run could not be made, or did not end as it should.
    pub fn run(&self) -> Result<(), Failure> {
        match &self.protocol {
            Load::Mqttsn(args) => load::mqttsn::run(args),
            Load::Tcp(args) => load::tcp::run(args),
        }
    }
}

impl Sim {
    /// Runs simulated devices until their time is over or SIGINT or SIGTERM comes, and tells on standard output what
    /// happens to them.
    ///
    /// # Errors
    /// [`Failure`] if they could not be run, or none of them was ever connected.
    pub fn run(&self) -> Result<(), Failure> {
        match &self.protocol {
            Devices::Mqttsn(args) => sim::mqttsn::run(args),
            Devices::Tcp(args) => sim::tcp::run(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, Subcommand)]
    enum Command {
        Bench(Bench),
        Sim(Sim),
    }

    #[test]
    fn the_command_lines_are_consistent() {
        Cli::command().debug_assert();
    }
}
