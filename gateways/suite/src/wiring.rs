//! From the configuration to shards: who listens where, which links there are, what each shard is made of.

mod links;
mod listeners;
mod shards;

pub(crate) use links::{CONNECT_TIMEOUT, former_link, link_ids, links_per_worker, targets};
pub(crate) use listeners::{Listener, SOCKET_BUFFER, bind};
pub(crate) use shards::{Wired, inventory, shards};

use std::sync::Arc;

use bridge_core::template::{Literals, Template};
use config::Config;
use transport::broker::Target;

use crate::failure::Failure;

/// What makes this node this node.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// Its configuration.
    pub(crate) config: &'a Config,
    /// Its name.
    pub(crate) name: &'a str,
    /// How many shards it has.
    pub(crate) workers: u16,
    /// The brokers.
    pub(crate) targets: Arc<[Target]>,
}

/// `node.workers`, or one for each core.
pub(crate) fn workers(configured: u16) -> u16 {
    if configured != 0 {
        return configured;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores).unwrap_or(MOST_WORKERS).min(MOST_WORKERS)
}

/// A shard's number has one octet.
const MOST_WORKERS: u16 = 256;

fn parse(key: &str, text: &str) -> Result<Template, Failure> {
    Template::parse(text, Literals::TopicName).map_err(|fault| Failure::Configuration(vec![format!("{key}: {fault}")]))
}
