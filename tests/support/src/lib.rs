//! What tests of several crates share.
#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test support: a broken table must stop the test at its line"
)]

pub mod vectors;
