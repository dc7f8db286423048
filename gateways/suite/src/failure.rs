//! How the process ends when it does not end well.

use std::io::Write;
use std::process::ExitCode;

/// Why, in words for whoever started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The configuration is wrong: a line each.
    Configuration(Vec<String>),
    /// Something did not work: a sentence.
    Running(String),
}

impl Failure {
    /// 2 when it is for the operator to write something else, 1 for the rest.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => ExitCode::from(2),
            Self::Running(_) => ExitCode::from(1),
        }
    }

    /// Says it on standard error.
    pub(crate) fn tell(&self) {
        let lines = match self {
            Self::Configuration(problems) => problems.join("\n"),
            Self::Running(sentence) => format!("tidegate: {sentence}"),
        };
        // Nobody reads it: the exit code still tells.
        drop(writeln!(std::io::stderr().lock(), "{lines}"));
    }
}
