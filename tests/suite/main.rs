//! The binary as a process, against real clients and brokers. All ports are on loopback and chosen by the kernel.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it skips"
)]

mod access;
mod admin;
mod bench;
mod certificates;
mod cli;
mod clients;
mod ctl;
mod embedded;
mod events;
mod interop;
mod limits;
mod mosquitto;
mod moves;
mod mqtt;
mod other_broker;
mod passwd;
mod per_device;
mod process;
mod proxied;
mod reload;
mod sessions;
mod shared_link;
mod shutdown;
mod sim;
mod sleep;
mod sn;
mod startup;
mod strict;
mod tcp;
mod tcp_device;
mod tls;
mod web_socket;
