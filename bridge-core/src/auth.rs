//! Who may come in: a chain of entries, tried in order.
//!
//! What can be said at once is said at once. What a store must be asked (a users file, whose hashes take their time) becomes
//! a [`Question`], which the driver carries to the store; the decision waits for the [`Answer`], at most as long as
//! one decision may take. Whatever is in doubt keeps the client out.

mod admissions;
mod psk;

pub use admissions::{Admissions, Decided, MAX_WAITING, OwnRequest};
pub use psk::PskKeys;

use crate::peer::{GatewayId, ListenerId, Proven};
use crate::slab::Key;
use crate::uplink::Refusal;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A store of credentials outside of the shards, numbered node-wide in configuration order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u16);

/// One entry of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEntry {
    /// The gateways that it serves; empty = all.
    pub gateways: Vec<GatewayId>,
    /// What it does.
    pub kind: EntryKind,
}

impl ChainEntry {
    fn serves(&self, gateway: GatewayId) -> bool {
        self.gateways.is_empty() || self.gateways.contains(&gateway)
    }
}

/// What an entry of the chain does.
#[derive(Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// Puts these credentials on the client, in place of what it brought, and leaves the decision to later entries.
    Static {
        /// The user name.
        username: Box<str>,
        /// The password.
        password: Box<[u8]>,
    },
    /// Asks this store.
    Store(StoreId),
    /// Lets in who has shown a verified certificate, under its common name instead of a name that it gave, and leaves the
    /// decision about others to later entries.
    Certificate,
    /// Lets everybody in as far as we are concerned: the broker decides when the client's own connection comes there.
    Broker,
}

impl fmt::Debug for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { username, password } => {
                f.debug_struct("Static").field("username", username).field("password", &Masked(password)).finish()
            }
            Self::Store(id) => f.debug_tuple("Store").field(id).finish(),
            Self::Certificate => f.write_str("Certificate"),
            Self::Broker => f.write_str("Broker"),
        }
    }
}

/// The chain and what holds where it says nothing. The same for every shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRules {
    /// In this order.
    pub entries: Vec<ChainEntry>,
    /// Whether who shows no credentials at all may come in when every entry leaves the decision to the next. `None`: only
    /// while no entry serves the gateway. Where none does, it is about everybody.
    pub allow_anonymous: Option<bool>,
    /// Whether a client may come in when every entry leaves the decision to the next.
    pub on_all_ignore: bool,
    /// What one decision may take, in milliseconds.
    pub timeout_ms: u64,
    /// Listeners whose clients are not asked who they are (`enable_authn = false`).
    pub open_listeners: Vec<ListenerId>,
    /// Identities, proved by pre-shared keys, with the one client id that each may have; whatever the listener. An
    /// identity that is not here may have any.
    pub endpoints: BTreeMap<Box<str>, Box<str>>,
}

impl Default for AuthRules {
    /// Everybody may come in.
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            allow_anonymous: None,
            on_all_ignore: false,
            timeout_ms: 5000,
            open_listeners: Vec::new(),
            endpoints: BTreeMap::new(),
        }
    }
}

impl AuthRules {
    /// What holds when no entry has said anything about a client with these credentials. A name that it proved and did
    /// not say is no credential.
    fn unheard(&self, gateway: GatewayId, shown: Shown<'_>) -> Result<(), Refusal> {
        let unsaid = shown.username.is_empty() || shown.proven.identity() == Some(shown.username);
        let anonymous = unsaid && shown.password.is_empty();
        let welcome = if self.entries.iter().any(|entry| entry.serves(gateway)) {
            self.on_all_ignore || anonymous && self.allow_anonymous == Some(true)
        } else {
            self.allow_anonymous != Some(false)
        };
        if welcome { Ok(()) } else { Err(Refusal::BadCredentials) }
    }
}

/// What a client shows, as the entries before have left it.
#[derive(Clone, Copy)]
struct Shown<'a> {
    username: &'a str,
    password: &'a [u8],
    /// Who it is, as the transport has found.
    proven: Proven<'a>,
}

/// What one client shows. Owned, since the answer may take its time.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its client id.
    pub client_id: Box<str>,
    /// Its user name; empty = none.
    pub username: Box<str>,
    /// Its password; empty = none.
    pub password: Box<[u8]>,
    /// The gateway that it wants to come in by.
    pub gateway: GatewayId,
    /// Where it comes from, when that is known.
    pub address: Option<SocketAddr>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &Masked(&self.password))
            .field("gateway", &self.gateway)
            .field("address", &self.address)
            .finish()
    }
}

/// A question of a shard to a store. It is answered with the same id; one that is answered too late finds nothing.
#[derive(Clone, Debug)]
pub struct Question {
    /// The shard's number for it.
    pub id: Key,
    /// Whom it is for.
    pub store: StoreId,
    /// What the client shows, after the static entries before the store.
    pub credentials: Arc<Credentials>,
}

/// A store's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question's.
    pub id: Key,
    /// What the store makes of the client.
    pub opinion: Opinion,
}

/// What a store makes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It may come in; later entries are not asked.
    Allow {
        /// Access rules do not bind it.
        superuser: bool,
    },
    /// It may not; later entries are not asked.
    Deny,
    /// The store does not know the client; the next entry decides.
    Ignore,
    /// The store cannot say just now. The client may not come in: a store that is away must not let in by accident
    /// whom it would have kept out.
    Failed,
    /// The store has too much to do. The client may not come in, and is told to come again later.
    Busy,
}

/// Shows whether there is a secret, and nothing of it.
struct Masked<'a>(&'a [u8]);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

#[cfg(test)]
mod tests;
