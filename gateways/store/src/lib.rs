//! Sessions that outlive the process: a [`SessionStore`] keeps them, a [`Writer`] writes what all shards have changed.
//!
//! A store holds rows: sessions, by gateway and client id, and small facts about links, by name. It is read once, at the
//! start, and written in lots that are in it whole or not at all. What a session is, only its machine knows: here it is
//! octets, with a checksum.
#![forbid(unsafe_code)]

mod counts;
mod fault;
mod file;
mod links;
mod memory;
mod row;
mod writer;

pub use fault::StoreFault;
pub use file::{FileStore, Opened};
pub use links::{LinkMemory, link_changes};
pub use memory::MemoryStore;
pub use writer::{Hand, Writer};

use std::fmt::Debug;

/// Keeps rows. One owner at a time.
pub trait SessionStore: Debug + Send {
    /// Shows `visit` every row of a table, in no order that means anything, and does with it as `visit` says. Rows that
    /// fail their checksum are set aside without being shown.
    ///
    /// # Errors
    /// If the store cannot be read, or what `visit` said cannot be carried out.
    fn load(&mut self, table: Table, visit: &mut dyn FnMut(Entry<'_>) -> Verdict) -> Result<Loaded, StoreFault>;

    /// Makes all changes, in this order, or none; they are there after a crash once this has returned. Returns how many
    /// octets were written, keys included.
    ///
    /// # Errors
    /// Why none was made.
    fn write(&mut self, changes: &[Change]) -> Result<u64, StoreFault>;
}

/// What is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Sessions of devices.
    Sessions,
    /// Facts about links.
    Links,
}

/// A row as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A session.
    Session {
        /// The name of its gateway.
        gateway: &'a str,
        /// Its client id.
        id: &'a str,
        /// Where it lived.
        home: Home,
        /// As its machine wrote it.
        session: &'a [u8],
    },
    /// Something about a link.
    Link {
        /// Its key.
        name: &'a str,
        /// As it was written.
        value: &'a [u8],
    },
}

/// What is to become of a row that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// It goes.
    Remove,
    /// It cannot be used: it goes where somebody may look at it.
    SetAside,
}

/// How the rows fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// They stay.
    pub kept: u64,
    /// They went.
    pub removed: u64,
    /// They were set aside, by their checksum or by whoever read them.
    pub set_aside: u64,
}

/// A row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A session.
    Session {
        /// The name of its gateway: no NUL in it.
        gateway: &'static str,
        /// Its client id: no NUL in it.
        id: Box<str>,
        /// Where it lives.
        home: Home,
        /// The session; `None` removes what this home has written of it. (One that has begun anew elsewhere stays.)
        session: Option<Box<[u8]>>,
    },
    /// Something about a link.
    Link {
        /// Its key.
        name: Box<str>,
        /// The value; `None` removes it.
        value: Option<Box<[u8]>>,
    },
    /// Removes everything about links whose key begins so.
    ForgetLinks {
        /// The beginning.
        prefix: Box<str>,
    },
}

/// Where a session lives: a shard, and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The shard's number.
    pub shard: u8,
    /// How many shards the node had, 1 to 256.
    pub of: u16,
}

impl Home {
    /// The shard for a session that lived here and has the id `id`, in a node of `shards`: the same, so that the kernel
    /// still leads its address there; or another, if their number has changed.
    #[must_use]
    pub fn in_node_of(self, shards: u16, id: &str) -> u8 {
        let of = shards.clamp(1, 256);
        if self.of == of && u16::from(self.shard) < of {
            return self.shard;
        }
        u8::try_from(row::checksum(&[id.as_bytes()]) % u32::from(of)).unwrap_or(0)
    }

    /// True when what `other` has written is not this home's to remove: a live session of another shard.
    const fn must_leave(self, other: Self) -> bool {
        self.of == other.of && self.shard != other.shard
    }
}

/// Rows set aside at most; beyond that the oldest go.
pub const MOST_SET_ASIDE: u64 = 1000;

#[cfg(test)]
mod tests;
