//! One core's machines, bridge and links, still without a socket.
//!
//! A driver feeds a [`Shard`] with datagrams, streams, broker bytes and time, calls [`Shard::finish`] at the end of each
//! turn, and carries away what then lies in its outbox, its connections' and links' write batches, and its parcels. The simulator does the same in
//! virtual time, with several shards at once. Nothing is shared between shards on the hot path: a packet is read,
//! decoded, bridged and written on one core.
#![forbid(unsafe_code)]

mod counts;
mod datagrams;
mod records;
mod routes;
mod shard;
mod streams;
#[cfg(test)]
mod tests;

pub use records::{MOST_BYTES, MOST_RECORDS, Record, Records};
pub use routes::Forward;
pub use shard::{Listener, Parcel, Shard, ShardSettings};
pub use streams::Handover;
