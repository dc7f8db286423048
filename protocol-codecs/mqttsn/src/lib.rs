//! Placeholder docs are replaced by the codec.
#![forbid(unsafe_code)]
