//! Who may come in: a chain of entries, tried in order.
//!
//! What can be said at once is said at once. What a store must be asked (a users file, whose hashes take their time) becomes
//! a [`Question`], which the driver carries to the store; the decision waits for the [`Answer`], at most as long as
//! one decision may take.

use crate::peer::GatewayId;
use crate::slab::Key;
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
}

impl fmt::Debug for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { username, password } => {
                f.debug_struct("Static").field("username", username).field("password", &Masked(password)).finish()
            }
            Self::Store(id) => f.debug_tuple("Store").field(id).finish(),
        }
    }
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
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let shown = |credentials: &Credentials| format!("{credentials:?}");
        let mut who = Credentials {
            client_id: "lamp".into(),
            username: "ann".into(),
            password: (*b"s3cret").into(),
            gateway: GatewayId(0),
            address: None,
        };
        assert!(shown(&who).contains("password: ***") && !shown(&who).contains("s3cret"), "{who:?}");
        assert!(!shown(&who).contains("115"), "nor its octets: {who:?}");
        who.password = Box::default();
        assert!(shown(&who).contains("password: none"), "{who:?}");
        let fixed = EntryKind::Static { username: "ann".into(), password: (*b"s3cret").into() };
        assert_eq!(format!("{fixed:?}"), r#"Static { username: "ann", password: *** }"#);
    }
}
