//! What credential stores count.

use std::sync::{Arc, Mutex, PoisonError};

use bridge_core::auth::Opinion;
use bridge_core::meter::{Counts, Meter};
use bridge_core::metrics::{AUTH_STORE_ANSWERS, AUTH_STORE_WAITING, AUTH_VERIFICATIONS};

bridge_core::count! {
    /// What credential stores count.
    pub enum AuthCount {
        /// A users file knows the user, and the password is right.
        FileAllow = AUTH_STORE_ANSWERS { store: "file", result: "allow" };
        /// A users file knows the user, and the password is wrong.
        FileDeny = AUTH_STORE_ANSWERS { store: "file", result: "deny" };
        /// A users file does not know the user.
        FileIgnore = AUTH_STORE_ANSWERS { store: "file", result: "ignore" };
        /// A users file could not be asked.
        FileFailed = AUTH_STORE_ANSWERS { store: "file", result: "failed" };
        /// Too many questions were waiting, or this one waited too long.
        FileBusy = AUTH_STORE_ANSWERS { store: "file", result: "busy" };
        /// A question to a store that is no more.
        Gone = AUTH_STORE_ANSWERS { store: "none", result: "failed" };
        /// The password was known to be right.
        Remembered = AUTH_VERIFICATIONS { type: "remembered" };
        /// The hash had to be computed.
        Computed = AUTH_VERIFICATIONS { type: "computed" };
        /// Gauge: questions that wait for a thread.
        Waiting = AUTH_STORE_WAITING {};
    }
}

/// Which store an answer is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A users file.
    File,
}

impl AuthCount {
    pub(crate) const fn of(kind: StoreKind, opinion: Opinion) -> Self {
        match (kind, opinion) {
            (StoreKind::File, Opinion::Allow { .. }) => Self::FileAllow,
            (StoreKind::File, Opinion::Deny) => Self::FileDeny,
            (StoreKind::File, Opinion::Ignore) => Self::FileIgnore,
            (StoreKind::File, Opinion::Failed) => Self::FileFailed,
            (StoreKind::File, Opinion::Busy) => Self::FileBusy,
        }
    }
}

/// Numbers that many threads write, one after the other.
#[derive(Debug, Default)]
pub(crate) struct SharedCounts(Mutex<Counts<AuthCount>>);

impl SharedCounts {
    pub(crate) fn up(&self, what: AuthCount) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).up(what);
    }

    pub(crate) fn set(&self, what: AuthCount, value: usize) {
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set(what, value);
    }

    pub(crate) fn meter(&self) -> Arc<Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).meter()
    }
}
