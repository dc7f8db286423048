//! The narrow waist between gateways and brokers.
//!
//! A protocol is a [`machine::Machine`]. It hears [`machine::Input`]s and speaks through [`machine::Cx`]: datagrams into
//! an [`outbox::Outbox`], [`uplink::Uplink`]s to a [`bridge::Bridge`], which carries them over MQTT [`link`]s and sends
//! [`downlink::Downlink`]s back. Everything here is pure: time, chance and bytes come in as arguments, so that devices,
//! shards, gateway and broker can run in virtual time.
#![forbid(unsafe_code)]

pub mod access;
pub mod acl;
pub mod ask;
pub mod auth;
mod batch;
pub mod bridge;
pub mod config;
pub mod downlink;
pub mod events;
pub mod gate;
pub mod journal;
pub mod limit;
pub mod link;
pub mod listeners;
pub mod live;
pub mod machine;
pub mod meter;
pub mod metrics;
pub mod outbox;
pub mod owners;
pub mod peer;
pub mod publication;
pub mod queue;
pub mod rng;
pub mod slab;
pub mod streams;
pub mod template;
pub mod text;
pub mod time;
pub mod topic;
pub mod trie;
pub mod uplink;
mod upstream;
pub mod wheel;

pub use codec_mqtt::{Qos, Version};
