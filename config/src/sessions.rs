//! `[sessions]`.

use settings::{Section, Settings};

settings::choice! {
    /// Where sessions of devices are kept.
    pub enum SessionStore {
        /// As long as the process runs.
        Memory = "memory",
        /// In `<node.data_dir>/sessions.redb`.
        File = "file",
    }
    not_yet "redis";
}

/// `[sessions]`: what outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionsConfig {
    /// Where.
    pub store: SessionStore,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { store: SessionStore::Memory }
    }
}

impl Settings for SessionsConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("store", &mut self.store);
    }
}
