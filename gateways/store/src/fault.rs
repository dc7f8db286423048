use std::path::PathBuf;

/// Why a store does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// Two processes must not write one file.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The system refuses the file.
    #[error("{}: {why}", path.display())]
    Unreachable {
        /// Which file.
        path: PathBuf,
        /// In the system's words.
        why: String,
    },
    /// Reading or writing failed.
    #[error("{0}")]
    Failed(String),
}
