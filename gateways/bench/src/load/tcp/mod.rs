//! Load on a gateway for devices that speak raw TCP.

pub(crate) mod args;
mod connect;
mod down;
mod idle;
mod rig;
#[cfg(test)]
mod tests;
mod up;

use crate::failure::Failure;
use crate::load::report::Report;
use args::{Args, Scenario};

/// Makes the run and writes its report to standard output.
///
/// # Errors
/// [`Failure`] if there is no report, or the report's own.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    super::tell(args.scenario.name(), args.common.json, measure(args))
}

fn measure(args: &Args) -> Result<Report, Failure> {
    match &args.scenario {
        Scenario::Connect(scenario) => connect::run(args, scenario),
        Scenario::Up(scenario) => up::run(args, scenario),
        Scenario::Down(scenario) => down::run(args, scenario),
        Scenario::Idle(scenario) => idle::run(args, scenario),
    }
}
