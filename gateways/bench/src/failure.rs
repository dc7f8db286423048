//! Why a run did not end as it should.

use std::fmt;

/// What stopped a run, by who must act.
#[derive(Debug)]
pub enum Failure {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// This machine refused: a socket, a file under `/proc`, standard output.
    Io(&'static str, std::io::Error),
    /// The gateway did not do its part.
    Gateway(String),
    /// The broker did not do its part.
    Broker(String),
}

impl Failure {
    /// Another command line would help.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Gateway(what) => write!(f, "gateway: {what}"),
            Self::Broker(what) => write!(f, "broker: {what}"),
        }
    }
}

impl std::error::Error for Failure {}
