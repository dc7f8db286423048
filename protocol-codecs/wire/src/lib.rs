//! Bounded reader and writer under every codec: what a length on the wire claims is checked against what is there.
#![forbid(unsafe_code)]

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::{Overflow, put_str16, put_u16, put_u32};

/// Why bytes could not be read. The `&'static str` names the field, as the protocol's specification does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFault {
    /// The field reaches past the end of what was received.
    Truncated(&'static str),
    /// Bytes, this many, follow the last field.
    Trailing(usize),
    /// A text field is not UTF-8.
    NotUtf8(&'static str),
}

impl WireFault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Truncated(_) => "truncated",
            Self::Trailing(_) => "trailing_bytes",
            Self::NotUtf8(_) => "not_utf8",
        }
    }
}

impl std::fmt::Display for WireFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated(field) => write!(f, "{field} is cut short"),
            Self::Trailing(bytes) => write!(f, "{bytes} bytes follow the last field"),
            Self::NotUtf8(field) => write!(f, "{field} is not UTF-8"),
        }
    }
}

impl std::error::Error for WireFault {}
