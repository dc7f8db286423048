//! The command line.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::configuration::{self, BUILD};
use crate::ctl::{self, Ctl};
use crate::failure::Failure;
use crate::{passwd, run};

/// Connects devices that speak MQTT-SN, or have nothing but a TCP socket, to any MQTT broker.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGINT or SIGTERM, then drain; what `tidegate` alone does
    Run {
        /// Configuration file; without it all defaults hold, on loopback
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration file and tell all that is wrong with it
    Check {
        /// Configuration file
        #[arg(required_unless_present = "config")]
        file: Option<PathBuf>,
        /// The same, as `run` has it
        #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
        config: Option<PathBuf>,
    },
    /// Print the configuration in effect, secrets masked
    Config {
        /// Configuration file
        #[arg(short, long, value_name = "FILE", conflicts_with = "default")]
        config: Option<PathBuf>,
        /// Print the commented reference file, every key with its default
        #[arg(long)]
        default: bool,
    },
    /// Add a user to a users file, or change its password: typed twice, or the first line of standard input
    Passwd {
        /// Users file, made if it is not there
        file: PathBuf,
        /// User name
        user: String,
        /// Remove the user
        #[arg(short = 'D', long)]
        delete: bool,
    },
    /// Ask a running node through its admin API
    Ctl(Ctl),
    /// Put a gateway under load, ours or another, and measure it
    Bench(bench::Bench),
    /// Simulate devices, to try a gateway without hardware
    Sim(bench::Sim),
}

/// Does what the command line asks for.
///
/// # Errors
/// Why that failed. Bad usage is told, and the process ended, by the parser.
pub(crate) fn execute() -> Result<(), Failure> {
    match Cli::parse().command.unwrap_or(Command::Run { config: None }) {
        Command::Run { config } => run::run(configuration::load(config.as_deref())?, config),
        Command::Check { file, config } => check(&file.or(config).unwrap_or_default()),
        Command::Config { default: true, .. } => print(&config::reference(BUILD)),
        Command::Ctl(ctl) => ctl::execute(&ctl),
        Command::Config { config, default: false } => print(&configuration::load(config.as_deref())?.effective_toml()),
        Command::Passwd { file, user, delete } => passwd::run(&file, &user, delete),
        Command::Bench(bench) => Ok(bench.run()?),
        Command::Sim(sim) => Ok(sim.run()?),
    }
}

/// All that is wrong is a failure; what is unwise is told beside it, and none.
fn check(file: &Path) -> Result<(), Failure> {
    let config = configuration::load(Some(file))?;
    let warnings = configuration::warnings(&config);
    if !warnings.is_empty() {
        // Nobody reads it: the file is as good as it is.
        drop(writeln!(std::io::stderr().lock(), "{}", warnings.join("\n")));
    }
    print(&format!("{}: ok\n", file.display()))
}

/// To standard output; a reader that has seen enough is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Running(format!("cannot write to standard output: {fault}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_a_command() {
        assert!(Cli::try_parse_from(["tidegate"]).unwrap().command.is_none());
        assert!(Cli::try_parse_from(["tidegate", "config", "--default", "-c", "x"]).is_err());
        assert!(Cli::try_parse_from(["tidegate", "check"]).is_err());
        assert!(Cli::try_parse_from(["tidegate", "check", "-c", "x"]).is_ok());
    }
}
