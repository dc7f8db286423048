//! From the configuration to shards: who listens where, which links there are, what each shard is made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bridge_core::Qos;
use bridge_core::bridge::{BridgeSettings, ListenerRules, NodeStatus, Policy};
use bridge_core::config::{BrokerConfig, BrokerProtocol, BrokerUrl, EventsConfig};
use bridge_core::events::{EventSettings, GatewayNames};
use bridge_core::gate::{Gate, Gates};
use bridge_core::link::{Farewell, LinkSettings, QueueLimits, SessionScope, VersionChoice};
use bridge_core::live::Live;
use bridge_core::machine::Machine;
use bridge_core::owners::Directory;
use bridge_core::peer::{GatewayId, ListenerId, ShardId};
use bridge_core::template::{Literals, Template, Values};
use config::Config;
use mqttsn::{Mqttsn, MqttsnConfig};
use shard::{Shard, ShardSettings};
use store::LinkMemory;
use tokio::sync::mpsc;
use transport::DriverSettings;
use transport::broker::Target;
use transport::driver::FORWARD_QUEUE;
use transport::udp::{self, BoundUdp};

use crate::access::Access;
use crate::admin::{GatewayInfo, Inventory, ListenerInfo};
use crate::failure::Failure;
use crate::reload::UDP;
use crate::worker::WorkerSettings;
use crate::{advertise, tls};

/// Gateways as the session store names them, by number.
pub(crate) const GATEWAYS: [&str; 1] = ["mqttsn"];
/// The MQTT-SN gateway's number: it is the only one so far.
pub(crate) const MQTTSN: GatewayId = GatewayId(0);
/// Octets of receive and send buffer that each socket asks for.
pub(crate) const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// For a broker to answer at all: name, TCP and TLS.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a broker keeps the session of a link that is away. After that the link publishes anew what it had in flight.
const SESSION_EXPIRY_S: u32 = 3600;
/// Addresses that each shard remembers for others.
const MAX_ROUTES: usize = 1 << 20;
/// Commands that wait for a shard.
const COMMANDS: usize = 16;

/// A listener whose port is taken, before any worker polls it.
#[derive(Debug)]
pub(crate) struct Listener {
    /// As the configuration names it: `gateways.mqttsn.listeners.udp.default`.
    pub(crate) key: String,
    /// The protocol, for people.
    pub(crate) protocol: &'static str,
    /// With the port that was chosen if 0 was asked for.
    pub(crate) address: SocketAddr,
    /// Octets of receive buffer that the kernel granted.
    pub(crate) receive_buffer: usize,
    /// One for each worker.
    sockets: Vec<BoundUdp>,
    gate: Arc<Gate>,
    /// As configured; empty = the gateway's.
    mountpoint: String,
}

/// Binds all listeners of all gateways, in the order of their numbers.
///
/// # Errors
/// Which listener has no address.
pub(crate) fn bind(config: &Config, workers: u16) -> Result<Vec<Listener>, Failure> {
    let gateway = &config.gateways.mqttsn;
    if !gateway.enable {
        return Ok(Vec::new());
    }
    let bind = |(name, listener): (&String, &transport::config::ListenerConfig)| {
        let key = format!("{UDP}{name}");
        let address = listener.bind.resolve(config.node.bind);
        let sockets = udp::bind(address, workers.into(), SOCKET_BUFFER)
            .map_err(|fault| Failure::Running(format!("listener {key}: {fault}")))?;
        let first = sockets.first();
        // Shard 0 has the first of each.
        if let Some(Err(fault)) = first.filter(|_| gateway.machine.broadcast).map(BoundUdp::allow_broadcast) {
            return Err(Failure::Running(format!("listener {key}: cannot broadcast: {fault}")));
        }
        Ok(Listener {
            key,
            protocol: "MQTT-SN",
            address: first.map_or(address, BoundUdp::local_addr),
            receive_buffer: first.map_or(0, BoundUdp::receive_buffer),
            sockets,
            gate: Arc::new(Gate::new(listener.max_connections, listener.max_conn_rate)),
            mountpoint: listener.mountpoint.clone(),
        })
    };
    gateway.listeners.udp.iter().map(bind).collect()
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

/// Links of each shard: together at least `connections`, and at least one each.
pub(crate) fn links_per_worker(connections: u16, workers: u16) -> u16 {
    connections.div_ceil(workers.max(1)).max(1)
}

/// The brokers to connect to. `embedded` is where the embedded one listens, if it runs.
///
/// # Errors
/// What is wrong with the TLS files.
pub(crate) fn targets(broker: &BrokerConfig, embedded: Option<SocketAddr>) -> Result<Arc<[Target]>, Failure> {
    let tls = tls::load(broker).map_err(|problem| Failure::Configuration(vec![problem]))?;
    let target = |url: &BrokerUrl| match (url, embedded) {
        (BrokerUrl::Tcp(server), _) => Some(Target { host: server.host.to_string(), port: server.port, tls: None }),
        (BrokerUrl::Tls(server), _) => {
            Some(Target { host: server.host.to_string(), port: server.port, tls: tls.clone() })
        }
        (BrokerUrl::Embedded, Some(address)) => {
            let reached = crate::startup::reached_from_here(address);
            Some(Target { host: reached.ip().to_string(), port: reached.port(), tls: None })
        }
        (BrokerUrl::Embedded, None) => None,
    };
    Ok(broker.servers().iter().filter_map(target).collect())
}

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

/// Shards that are put together, and what can be changed in them later.
#[derive(Debug)]
pub(crate) struct Wired {
    /// One for each worker.
    pub(crate) shards: Vec<WorkerSettings>,
    /// The listeners' gates, by the listeners' keys.
    pub(crate) gates: Vec<(String, Arc<Gate>)>,
    /// Who lives where.
    pub(crate) directory: Arc<Directory>,
    /// What the MQTT-SN machines read.
    pub(crate) mqttsn: Live<MqttsnConfig>,
}

/// What there is, for the admin API.
pub(crate) fn inventory(config: &Config, node: &str, listeners: &[Listener]) -> Inventory {
    let gateway = |(name, protocol, running): (&'static str, &'static str, Option<(GatewayId, bool)>)| {
        let (id, enabled) = running.unzip();
        GatewayInfo { name, protocol, id, enabled: enabled.unwrap_or(false) }
    };
    let gateways = [
        ("coap", "CoAP", None),
        ("lwm2m", "LwM2M", None),
        ("mqttsn", "MQTT-SN", Some((MQTTSN, config.gateways.mqttsn.enable))),
        ("stomp", "STOMP", None),
        ("tcp", "TCP", None),
    ];
    let listener = |listener: &Listener| ListenerInfo {
        key: listener.key.clone(),
        address: listener.address,
        gate: Arc::clone(&listener.gate),
    };
    Inventory {
        node: node.to_owned(),
        gateways: gateways.map(gateway).to_vec(),
        listeners: listeners.iter().map(listener).collect(),
    }
}

/// Puts the shards together. `memory`: what the links left in the store that outlives the process, if there is one;
/// `seed` is drawn anew for each use, from the system.
///
/// # Errors
/// What cannot be put together, by its key.
pub(crate) fn shards(
    node: &Node<'_>,
    listeners: Vec<Listener>,
    memory: Option<&LinkMemory>,
    access: &Access,
    mut seed: impl FnMut() -> Result<u64, Failure>,
) -> Result<Wired, Failure> {
    let events = events(&node.config.events, node.name)?;
    let status = events.as_ref().map(node_status).transpose()?;
    let common = parse("gateways.mqttsn.mountpoint", &node.config.gateways.mqttsn.machine.mountpoint)?;
    let networks = advertise::networks(node.config, &listeners);
    let (mut sockets, mut gates, mut mountpoints) = (Vec::new(), Vec::new(), Vec::new());
    for (id, listener) in (0..).map(ListenerId).zip(listeners) {
        mountpoints.push(match listener.mountpoint.as_str() {
            "" => common.clone(),
            own => parse(&format!("{}.mountpoint", listener.key), own)?,
        });
        gates.push((listener.key, listener.gate));
        sockets.push((id, listener.sockets.into_iter()));
    }
    let (named_gates, directory) = (gates, Arc::new(Directory::default()));
    let gates = Gates::new(named_gates.iter().map(|(_, gate)| Arc::clone(gate)).collect());
    let mqttsn = Live::from(node.config.gateways.mqttsn.machine.clone());
    let ids: Vec<ListenerId> = sockets.iter().map(|(id, _)| *id).collect();
    let (forwards, inboxes): (Vec<_>, Vec<_>) = (0..node.workers).map(|_| mpsc::channel(FORWARD_QUEUE)).unzip();
    let (rules, mut workers) = (access.rules(), Vec::new());
    for (number, inbox) in (0..=u8::MAX).zip(inboxes) {
        let seed = &mut seed;
        // Shard 0 speaks for the node.
        let status = status.clone().filter(|_| number == 0);
        let machine = Mqttsn::new(MQTTSN, mqttsn.clone(), ids.clone(), seed()?);
        let machine = if number == 0 { machine.advertising(&networks) } else { machine };
        let machine_meters = vec![machine.meter()];
        let machines: Vec<Box<dyn Machine + Send>> = vec![Box::new(machine)];
        let bridge = BridgeSettings {
            links: links(node, number, status.as_ref(), memory),
            listeners: mountpoints.iter().cloned().map(ListenerRules::new).collect(),
            node: node.name.into(),
            status,
            policy: Policy { auth: Arc::clone(&rules.auth), acl: Arc::clone(&rules.acl), events: events.clone() },
            seed: seed()?,
        };
        let settings = ShardSettings {
            id: ShardId(number),
            bridge,
            listeners: ids.iter().map(|_| MQTTSN.into()).collect(),
            gates: gates.clone(),
            directory: Arc::clone(&directory),
            max_routes: MAX_ROUTES,
            durable: memory.is_some(),
            seed: seed()?,
        };
        let (commands, heard) = mpsc::channel(COMMANDS);
        let driver = DriverSettings {
            sockets: sockets.iter_mut().filter_map(|(id, each)| Some((*id, each.next()?))).collect(),
            targets: Arc::clone(&node.targets),
            connect_timeout: CONNECT_TIMEOUT,
            commands: heard,
            inbox,
            shards: forwards.clone(),
            records: None,
            credentials: access.line(),
        };
        workers.push(WorkerSettings { shard: Shard::new(settings, machines), machine_meters, driver, commands });
    }
    Ok(Wired { shards: workers, gates: named_gates, directory, mqttsn })
}

fn parse(key: &str, text: &str) -> Result<Template, Failure> {
    Template::parse(text, Literals::TopicName).map_err(|fault| Failure::Configuration(vec![format!("{key}: {fault}")]))
}

/// None while events are off.
fn events(events: &EventsConfig, name: &str) -> Result<Option<EventSettings>, Failure> {
    if events.prefix.is_empty() {
        return Ok(None);
    }
    let wrong = |why: String| Failure::Configuration(vec![format!("events.prefix: {why}")]);
    let values = Values { node: Some(name), ..Values::default() };
    let qos = Qos::from_bits(events.qos).ok_or_else(|| wrong(format!("QoS {} is none", events.qos)))?;
    let prefix = parse("events.prefix", &events.prefix)?.render(&values).map_err(|fault| wrong(fault.to_string()))?;
    let gateways = vec![GatewayNames { key: "mqttsn", protocol: "MQTT-SN" }];
    Ok(Some(EventSettings { prefix: prefix.into(), qos, gateways }))
}

fn node_status(events: &EventSettings) -> Result<NodeStatus, Failure> {
    let wrong = |fault| Failure::Configuration(vec![format!("events.prefix: {fault}")]);
    NodeStatus::under(&events.prefix, events.qos).map_err(wrong)
}

/// The client ids of all links, in their order.
pub(crate) fn link_ids(node: &Node<'_>) -> Vec<String> {
    let broker = &node.config.broker.link;
    let all = usize::from(links_per_worker(broker.connections, node.workers)) * usize::from(node.workers);
    (0..all).map(|number| format!("{}-{}-{number}", broker.client_id_prefix, node.name)).collect()
}

/// The links of shard `number`. They are counted node-wide; the first of shard 0 has the will.
fn links(node: &Node<'_>, number: u8, status: Option<&NodeStatus>, memory: Option<&LinkMemory>) -> Vec<LinkSettings> {
    let each = usize::from(links_per_worker(node.config.broker.link.connections, node.workers));
    let ids = link_ids(node).into_iter().skip(usize::from(number) * each).take(each);
    ids.enumerate()
        .map(|(place, client_id)| {
            let scope = match memory {
                Some(memory) => SessionScope::Durable(memory.session(&client_id)),
                None => SessionScope::Process,
            };
            LinkSettings { will: status.filter(|_| place == 0).map(farewell), ..link(node, client_id, scope) }
        })
        .collect()
}

/// A link that ends the session of a client id that none of ours has any more.
pub(crate) fn former_link(node: &Node<'_>, client_id: &str) -> LinkSettings {
    link(node, client_id.to_owned(), SessionScope::Discarded)
}

fn link(node: &Node<'_>, client_id: String, scope: SessionScope) -> LinkSettings {
    let broker = &node.config.broker.link;
    let each = usize::from(links_per_worker(broker.connections, node.workers));
    LinkSettings {
        client_id,
        username: broker.username.clone(),
        password: broker.password.expose().into(),
        keepalive_s: u16::try_from(broker.keepalive.get().as_secs()).unwrap_or(u16::MAX),
        max_inflight: broker.max_inflight,
        max_packet_size: u32::try_from(broker.max_packet_size.bytes()).unwrap_or(u32::MAX),
        version: match broker.protocol {
            BrokerProtocol::V5 => VersionChoice::V5OrOlder,
            BrokerProtocol::V311 => VersionChoice::V311,
        },
        servers: node.targets.iter().map(ToString::to_string).collect(),
        will: None,
        session_expiry_s: SESSION_EXPIRY_S,
        scope,
        queue: queue_share(broker, each * usize::from(node.workers)),
    }
}

/// What the node may hold, divided among its links: each holds one message at least.
fn queue_share(broker: &BrokerConfig, links: usize) -> QueueLimits {
    let links = links.max(1);
    let bytes = usize::try_from(broker.queue.max_bytes.bytes()).unwrap_or(usize::MAX);
    let messages = usize::try_from(broker.queue.max_messages).unwrap_or(usize::MAX);
    QueueLimits { max_bytes: bytes / links, max_messages: (messages / links).max(1) }
}

fn farewell(status: &NodeStatus) -> Farewell {
    let offline = status.publication(false);
    Farewell {
        topic: offline.topic.as_str().to_owned(),
        payload: offline.payload.to_vec(),
        retain: offline.retain,
        qos: offline.qos,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node<'a>(config: &'a Config, workers: u16) -> Node<'a> {
        let target = Target { host: "127.0.0.1".into(), port: 1, tls: None };
        Node { config, name: "north", workers, targets: [target].into() }
    }

    #[test]
    fn connections_are_rounded_up_to_the_same_number_on_each_worker() {
        for (connections, workers, each) in [(0, 4, 1), (1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 2, 4), (3, 1, 3)] {
            assert_eq!(links_per_worker(connections, workers), each, "{connections} on {workers}");
        }
    }

    #[test]
    fn links_are_numbered_node_wide_and_only_the_first_has_the_will() {
        let mut config = Config::default();
        config.broker.link.connections = 4;
        let node = node(&config, 2);
        let events = events(&config.events, node.name).unwrap().unwrap();
        let status = node_status(&events).unwrap();
        let [mine, others] = [links(&node, 0, Some(&status), None), links(&node, 1, None, None)];
        let named: Vec<_> =
            mine.iter().chain(&others).map(|link| (link.client_id.as_str(), link.will.is_some())).collect();
        let expected = [
            ("tidegate-north-0", true),
            ("tidegate-north-1", false),
            ("tidegate-north-2", false),
            ("tidegate-north-3", false),
        ];
        assert_eq!(named, expected);
        let will = mine[0].will.clone().unwrap();
        assert_eq!(
            (will.topic.as_str(), will.payload.as_slice(), will.retain),
            ("tidegate/north/status", &b"offline"[..], true)
        );
    }

    #[test]
    fn without_a_prefix_there_are_no_events() {
        let mut config = Config::default();
        config.events.prefix = String::new();
        assert!(events(&config.events, "north").unwrap().is_none());
    }

    #[test]
    fn the_queue_of_the_node_is_divided_among_its_links() {
        let mut config = Config::default();
        config.broker.link.queue.max_messages = 10;
        let share = queue_share(&config.broker.link, 4);
        assert_eq!((share.max_bytes, share.max_messages), (64 << 20, 2));
        let many = queue_share(&config.broker.link, 16);
        assert_eq!(many.max_messages, 1, "a link that may hold nothing would lose what it could not send at once");
    }

    #[test]
    fn the_embedded_broker_is_a_target_like_any_other() {
        let config = Config::default();
        let at = |embedded: Option<&str>| {
            let targets = targets(&config.broker.link, embedded.map(|address| address.parse().unwrap())).unwrap();
            targets.iter().map(|target| format!("{} {}", target.host, target.port)).collect::<Vec<_>>()
        };
        assert_eq!(at(Some("127.0.0.1:1883")), ["127.0.0.1 1883"]);
        assert_eq!(at(Some("0.0.0.0:7")), ["127.0.0.1 7"]);
        assert_eq!(at(Some("[::]:7")), ["::1 7"]);
        assert_eq!(at(None), [""; 0]);
    }
}
