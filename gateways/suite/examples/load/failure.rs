//! Why a run has no report.

use std::process::ExitCode;

/// What stopped the run, by who must act.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// This machine refused: a socket, a file under `/proc`.
    Io(&'static str, std::io::Error),
    /// The gateway did not do its part; the run would measure nothing.
    Gateway(String),
    /// The broker did not do its part.
    Broker(String),
}

impl Failure {
    /// 2 for bad usage, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Io(..) | Self::Gateway(_) | Self::Broker(_) => ExitCode::FAILURE,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Gateway(what) => write!(f, "gateway: {what}"),
            Self::Broker(what) => write!(f, "broker: {what}"),
        }
    }
}
