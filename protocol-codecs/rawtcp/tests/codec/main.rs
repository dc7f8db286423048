//! The codec against the contract's tables, one module per rule group.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the line that is wrong"
)]

mod corpus;
mod framings;
mod layouts;
mod properties;
mod vectors;
