//! The only place with sockets, tasks and the clock: what lies between the kernel and a shard.
#![deny(unsafe_code)]

mod abi;
mod bind;
pub mod broker;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod driver;
pub mod errand;
pub mod interfaces;
mod ready;
mod rest;
pub mod stream;
#[expect(unsafe_code, reason = "batch datagram syscalls; audited in docs/unsafe.md")]
mod sys;
pub mod udp;

pub use clock::Clock;
pub use driver::{
    AskStore, Carrier, Command, CredentialLine, Crossing, Driver, DriverSettings, LinkReport, Question, Report,
    StreamListener, crossings,
};
