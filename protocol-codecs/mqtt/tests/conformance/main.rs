//! The codec against the tables of `tests/vectors`, against itself, and against rumqttc's codec as an independent one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a broken table or a failed expectation must stop the test at its line"
)]

mod any;
mod corpus;
mod meaning;
mod oracle;
mod publish_out;
mod refusals;
mod survival;
mod topics;
mod vectors;
