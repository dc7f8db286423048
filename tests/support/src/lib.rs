//! What tests of several crates share.
#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test support: a broken table or a client that breaks the protocol must stop the test there"
)]

pub mod broker;
pub mod vectors;
