//! The MQTT-SN 1.2 gateway: a machine between devices on datagrams and the bridge.
//!
//! [`Mqttsn`] holds all sessions of one shard. A datagram finds its session by address (`sessions`), the session applies
//! the rule of its state (`connect`, `will`, `registry`, `publish_up`, `publish_down`, `subscribe`), and what it says goes
//! into the outbox or to the bridge at once. What the specification leaves open is in `docs/mqttsn.md`.
#![forbid(unsafe_code)]

mod address;
mod admission;
mod advertise;
mod ask;
mod attachment;
mod base;
mod config;
mod connect;
mod connectionless;
mod copies;
mod counts;
mod down;
mod ending;
mod enter;
mod freeze;
#[doc(hidden)]
pub mod fuzzing;
mod hold;
mod invariants;
mod machine;
mod moves;
mod predefined;
mod publish_down;
mod publish_up;
mod receipts;
mod register_down;
mod registry;
mod session;
mod sessions;
mod sleep;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timers;
mod will;

pub use advertise::Broadcast;
pub use config::{MqttsnConfig, SleepLink};
pub use machine::Mqttsn;
