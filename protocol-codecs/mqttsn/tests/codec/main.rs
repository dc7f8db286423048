//! The codec against the tables of MQTT-SN 1.2, one module per rule group.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the line that is wrong"
)]

mod corpus;
mod encoding;
mod forwarder;
mod header;
mod layouts;
mod properties;
mod topics;
mod vectors;
