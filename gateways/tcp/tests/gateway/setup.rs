//! What a test's world is made of.

use bridge_core::bridge::{BridgeSettings, ListenerRules, OwnLinks, Policy};
use bridge_core::gate::Gates;
use bridge_core::link::{LinkSettings, Password, QueueLimits, SessionScope, VersionChoice};
use bridge_core::live::Live;
use bridge_core::owners::Directory;
use bridge_core::peer::{GatewayId, ListenerId, ShardId};
use bridge_core::streams::Marks;
use bridge_core::template::{Literals, Template};
use shard::{Listener, ShardSettings};
use std::sync::Arc;
use support::broker::Options;
use tcp_gateway::{FramingConfig, ListenerSettings, TcpConfig, TcpSettings};

/// How a test's world differs from the default.
pub(crate) struct Setup {
    pub(crate) config: TcpConfig,
    /// One for each listener.
    pub(crate) framings: Vec<FramingConfig>,
    /// One for each listener; the last for the others.
    pub(crate) mountpoints: Vec<&'static str>,
    pub(crate) shards: u8,
    pub(crate) own_links: bool,
    pub(crate) queue: QueueLimits,
    pub(crate) marks: Marks,
    pub(crate) options: Options,
    /// The broker is not there at the start.
    pub(crate) alone: bool,
    pub(crate) policy: Policy,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: TcpConfig::default(),
            framings: vec![FramingConfig::default(), FramingConfig::default()],
            mountpoints: vec![""],
            shards: 1,
            own_links: false,
            queue: QueueLimits { max_bytes: 1 << 20, max_messages: 100 },
            marks: Marks { high: 100, low: 20 },
            options: Options::default(),
            alone: false,
            policy: Policy::default(),
        }
    }
}

pub(crate) fn machine(setup: &Setup, config: &Live<TcpConfig>, id: u8) -> TcpSettings {
    let listener = |(place, framing): (u16, &FramingConfig)| ListenerSettings {
        id: ListenerId(place),
        framing: framing.clone(),
        mountpoint: mountpoint(setup, place).to_owned(),
    };
    TcpSettings {
        gateway: GatewayId(0),
        config: config.clone(),
        listeners: (0..).zip(&setup.framings).map(listener).collect(),
        node: "n".into(),
        own_links: setup.own_links,
        first_shard: id == 0,
        seed: 3,
    }
}

fn mountpoint(setup: &Setup, listener: u16) -> &'static str {
    let last = setup.mountpoints.last().unwrap();
    setup.mountpoints.get(usize::from(listener)).unwrap_or(last)
}

pub(crate) fn shard(setup: &Setup, gates: &Gates, directory: &Arc<Directory>, id: u8) -> ShardSettings {
    let rules = |place| ListenerRules::new(Template::parse(mountpoint(setup, place), Literals::TopicName).unwrap());
    let listeners = u16::try_from(setup.framings.len()).unwrap();
    ShardSettings {
        id: ShardId(id),
        bridge: BridgeSettings {
            links: vec![link(setup.queue, id)],
            listeners: (0..listeners).map(rules).collect(),
            node: "n".into(),
            status: None,
            policy: Policy {
                own_links: setup.own_links.then(|| OwnLinks { like: link(setup.queue, id), connect_rate: 0 }),
                ..setup.policy.clone()
            },
            seed: 3,
        },
        listeners: setup.framings.iter().map(|_| Listener { gateway: GatewayId(0), marks: setup.marks }).collect(),
        gates: gates.clone(),
        directory: Arc::clone(directory),
        durable: false,
        max_routes: 10,
        seed: 3,
    }
}

fn link(queue: QueueLimits, id: u8) -> LinkSettings {
    LinkSettings {
        client_id: format!("tidegate-n-{id}"),
        username: String::new(),
        password: Password::default(),
        keepalive_s: 600,
        max_inflight: 64,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 3600,
        scope: SessionScope::Process,
        queue,
    }
}
