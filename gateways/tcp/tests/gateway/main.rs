//! The machine on real shards and links, with scripted devices and a model broker, in virtual time.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken expectation must stop the test there"
)]

mod asking;
mod coming_in;
mod corpus;
mod downlink;
mod frames;
mod framings;
mod judged;
mod lifetimes;
mod links_of_their_own;
mod pieces;
mod random;
mod setup;
mod shards;
mod simulation;
mod uplink;
mod world;
