//! The raw TCP gateway: a machine between devices that have nothing but a socket and the bridge.
//!
//! [`Tcp`] holds all connections of one shard. A connection becomes a session once its device has said who it is
//! (`identify`) and has been let in (`connect`). Then what it sends is published (`publish_up`), and what comes for it is
//! written, or waits until the connection takes more (`publish_down`). Where one subscription serves all devices of the
//! node, `commands` finds the device that a message is for. What the protocol leaves open is in `docs/tcp.md`.
#![forbid(unsafe_code)]

mod ask;
mod base;
mod commands;
mod config;
mod connect;
mod connection;
mod connections;
mod counts;
mod ending;
#[doc(hidden)]
pub mod fuzzing;
mod hold;
mod identify;
mod invariants;
mod lingering;
mod machine;
mod place;
mod publish_down;
mod publish_up;
mod route;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timers;

pub use config::{ByteOrder, CommandSubscription, FramingConfig, FramingKind, TcpConfig};
pub use machine::Tcp;
pub use place::{ListenerSettings, TcpSettings};
