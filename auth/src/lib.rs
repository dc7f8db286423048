//! Credential stores: who a client is, for those entries of `[[auth.chain]]` that must be looked up; and files of
//! pre-shared keys.
//!
//! A shard asks with a [`Question`](bridge_core::auth::Question); [`Pool::ask`] answers at once what needs no work, and
//! hands the rest to threads of its own, since a password hash is made to be slow. `docs/access-control.md` says what
//! operators should know.
#![forbid(unsafe_code)]

mod counts;
mod edit;
mod hash;
mod pool;
mod psk;
mod store;
mod users;
mod verified;

pub mod config;

pub use counts::{AuthCount, StoreKind};
pub use edit::{Edited, edit};
pub use hash::{HashFault, MakeFault, PasswordHash};
pub use pool::{Pool, PoolSettings, Reply, Stores};
pub use psk::{IdentityFault, LoadedKeys, PskFault, check_identity, load_keys};
pub use store::{FileStore, LARGEST_FILE, LoadFault, Loaded, Store, load};
pub use users::{LineFault, NameFault, UserFault, Users, check_name};
