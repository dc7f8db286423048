//! The machine on a real shard and link, with scripted devices and a model broker, in virtual time.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test there"
)]

mod advertise;
mod asking;
mod collisions;
mod connecting;
mod contract_access;
mod contract_frames;
mod contract_keys;
mod contract_limits;
mod contract_resuming;
mod contract_sleep;
mod corpus;
mod downlink;
mod freezing;
mod lifetimes;
mod moves;
mod per_device;
mod per_device_sleep;
mod predefined;
mod random;
mod secure;
mod subscribing;
mod uplink;
mod wills;
mod world;
