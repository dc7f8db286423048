//! How the process ends when it does not end well.

use std::io::Write;
use std::process::ExitCode;

/// Why, in words for whoever started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The configuration or the command line is wrong: a line each.
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

    /// All that is to be said, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Configuration(problems) => problems.clone(),
            Self::Running(sentence) => vec![format!("tidegate: {sentence}")],
        }
    }

    /// Says it on standard error.
    pub(crate) fn tell(&self) {
        let lines = self.lines().join("\n");
        // Nobody reads it: the exit code still tells.
        drop(writeln!(std::io::stderr().lock(), "{lines}"));
    }
}

impl From<bench::Failure> for Failure {
    fn from(failure: bench::Failure) -> Self {
        if failure.is_usage() {
            Self::Configuration(vec![format!("tidegate: {failure}")])
        } else {
            Self::Running(failure.to_string())
        }
    }
}
