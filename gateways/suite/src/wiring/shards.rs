//! What each shard is made of.

use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;

use bridge_core::Qos;
use bridge_core::bridge::{BridgeSettings, ListenerRules, NodeStatus, Policy};
use bridge_core::config::EventsConfig;
use bridge_core::events::EventSettings;
use bridge_core::gate::Gates;
use bridge_core::owners::Directory;
use bridge_core::peer::{GatewayId, ListenerId, ShardId};
use bridge_core::template::{Template, Values};
use config::Config;
use shard::{Shard, ShardSettings};
use store::LinkMemory;
use tokio::sync::mpsc;
use transport::DriverSettings;
use transport::driver::{FORWARD_QUEUE, StreamListener, crossings};
use transport::stream::{BoundTcp, ServerTls};
use transport::udp::BoundUdp;

use super::links::{CONNECT_TIMEOUT, links, own_links};
use super::listeners::Sockets;
use super::{Listener, Node, parse};
use crate::access::Access;
use crate::admin::{GatewayInfo, Inventory, ListenerInfo};
use crate::failure::Failure;
use crate::gateways::{self, GATEWAYS, Gateway, Made, NOT_YET};
use crate::listener_tls::ListenerTls;
use crate::worker::WorkerSettings;

/// Addresses that each shard remembers for others.
const MAX_ROUTES: usize = 1 << 20;
/// Commands that wait for a shard.
const COMMANDS: usize = 16;

/// Shards that are put together, and what can be changed in them later.
#[derive(Debug)]
pub(crate) struct Wired {
    /// One for each worker.
    pub(crate) shards: Vec<WorkerSettings>,
    /// The listeners' gates.
    pub(crate) gates: Gates,
    /// Who lives where.
    pub(crate) directory: Arc<Directory>,
    /// What their machines are made of, by number.
    pub(crate) gateways: Vec<Box<dyn Gateway>>,
    /// The TLS of their listeners.
    pub(crate) tls: ListenerTls,
}

/// What there is, for the admin API.
pub(crate) fn inventory(config: &Config, node: &str, listeners: &[Listener]) -> Inventory {
    let runs = config.gateways.all().into_iter().map(|gateway| gateway.enable);
    let here = gateways::numbered().zip(runs).map(|((id, row), enabled)| GatewayInfo {
        name: row.name,
        protocol: row.protocol,
        id: Some(id),
        enabled,
    });
    let absent = NOT_YET.map(|(name, protocol)| GatewayInfo { name, protocol, id: None, enabled: false });
    let mut gateways: Vec<_> = here.chain(absent).collect();
    gateways.sort_by_key(|gateway| gateway.name);
    let listener = |listener: &Listener| ListenerInfo {
        gateway: GATEWAYS.get(usize::from(listener.gateway.0)).map_or("", |row| row.name),
        kind: listener.kind,
        name: listener.name.clone(),
        address: listener.address,
        gate: Arc::clone(&listener.gate),
    };
    Inventory { node: node.to_owned(), gateways, listeners: listeners.iter().map(listener).collect() }
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
    let mountpoints = mountpoints(node.config, &listeners)?;
    let open = |(id, row): (GatewayId, &gateways::Row)| (row.open)(id, node, &listeners);
    let gateways = gateways::numbered().map(open).collect::<Result<Vec<_>, _>>()?;
    let tls = ListenerTls::load(node.config, access.keys())?;
    let mut parts = Parts::of(listeners, &tls);
    let directory = Arc::new(Directory::default());
    let (forwards, inboxes): (Vec<_>, Vec<_>) = (0..node.workers).map(|_| mpsc::channel(FORWARD_QUEUE)).unzip();
    let (rules, mut workers) = (access.rules(), Vec::new());
    for ((number, inbox), crossing) in (0..=u8::MAX).zip(inboxes).zip(crossings(node.workers)) {
        let (mut machines, mut machine_meters) = (Vec::new(), Vec::new());
        for gateway in &gateways {
            let Made { machine, meter } = gateway.machine(number, seed()?);
            machines.push(machine);
            machine_meters.push(meter);
        }
        // Shard 0 speaks for the node.
        let status = status.clone().filter(|_| number == 0);
        let bridge = BridgeSettings {
            links: links(node, number, status.as_ref(), memory),
            listeners: mountpoints.iter().cloned().map(ListenerRules::new).collect(),
            node: node.name.into(),
            status,
            policy: Policy {
                auth: Arc::clone(&rules.auth),
                acl: Arc::clone(&rules.acl),
                listeners: Arc::clone(&rules.listeners),
                events: events.clone(),
                own_links: own_links(node, number),
            },
            seed: seed()?,
        };
        let settings = ShardSettings {
            id: ShardId(number),
            bridge,
            listeners: parts.listeners.clone(),
            gates: parts.gates.clone(),
            directory: Arc::clone(&directory),
            max_routes: MAX_ROUTES,
            durable: memory.is_some(),
            seed: seed()?,
        };
        let (commands, heard) = mpsc::channel(COMMANDS);
        let (sockets, streams) = parts.next_sockets();
        let driver = DriverSettings {
            sockets,
            streams,
            crossing,
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
    Ok(Wired { shards: workers, gates: parts.gates, directory, gateways, tls })
}

/// Each listener's prefix of topics, by number: its own, else its gateway's.
fn mountpoints(config: &Config, listeners: &[Listener]) -> Result<Vec<Template>, Failure> {
    let gateways = config.gateways.all().into_iter();
    let common = gateways.map(|gateway| parse(&format!("gateways.{}.mountpoint", gateway.name), gateway.mountpoint));
    let common = common.collect::<Result<Vec<_>, _>>()?;
    let mountpoint = |listener: &Listener| match listener.mountpoint.as_str() {
        "" => common.get(usize::from(listener.gateway.0)).cloned().map_or_else(|| parse(&listener.key, ""), Ok),
        own => parse(&format!("{}.mountpoint", listener.key), own),
    };
    listeners.iter().map(mountpoint).collect()
}

/// The listeners taken apart for the shards.
struct Parts {
    /// What shards know of them, by number.
    listeners: Vec<shard::Listener>,
    /// By number.
    gates: Gates,
    sockets: Vec<SocketsOf>,
}

/// Those that no shard has yet.
enum SocketsOf {
    Udp(ListenerId, IntoIter<BoundUdp>),
    Stream { id: ListenerId, key: Arc<str>, tls: Option<Arc<ServerTls>>, like: Streaming, sockets: IntoIter<BoundTcp> },
}

/// What holds for each connection of a listener.
#[derive(Clone, Copy)]
struct Streaming {
    proxy: Option<Duration>,
    send_timeout: Duration,
}

impl Parts {
    fn of(listeners: Vec<Listener>, tls: &ListenerTls) -> Self {
        let known = |listener: &Listener| shard::Listener { gateway: listener.gateway, marks: listener.marks };
        let known = listeners.iter().map(known).collect();
        let gates = Gates::new(listeners.iter().map(|listener| Arc::clone(&listener.gate)).collect());
        let sockets = (0..).zip(listeners).map(|(number, listener)| match listener.sockets {
            Sockets::Udp(sockets) => SocketsOf::Udp(ListenerId(number), sockets.into_iter()),
            Sockets::Stream { sockets, proxy, send_timeout } => SocketsOf::Stream {
                id: ListenerId(number),
                key: listener.key.into(),
                tls: tls.get(number.into()).cloned(),
                like: Streaming { proxy, send_timeout },
                sockets: sockets.into_iter(),
            },
        });
        Self { listeners: known, gates, sockets: sockets.collect() }
    }

    /// Those of the next shard.
    fn next_sockets(&mut self) -> (Vec<(ListenerId, BoundUdp)>, Vec<StreamListener>) {
        let (mut udp, mut streams) = (Vec::new(), Vec::new());
        for sockets in &mut self.sockets {
            match sockets {
                SocketsOf::Udp(id, sockets) => udp.extend(sockets.next().map(|socket| (*id, socket))),
                SocketsOf::Stream { id, key, tls, like: Streaming { proxy, send_timeout }, sockets } => {
                    streams.extend(sockets.next().map(|socket| StreamListener {
                        id: *id,
                        key: Arc::clone(key),
                        socket,
                        tls: tls.clone(),
                        proxy: *proxy,
                        send_timeout: *send_timeout,
                    }));
                }
            }
        }
        (udp, streams)
    }
}

/// None while events are off.
pub(super) fn events(events: &EventsConfig, name: &str) -> Result<Option<EventSettings>, Failure> {
    if events.prefix.is_empty() {
        return Ok(None);
    }
    let wrong = |why: String| Failure::Configuration(vec![format!("events.prefix: {why}")]);
    let values = Values { node: Some(name), ..Values::default() };
    let qos = Qos::from_bits(events.qos).ok_or_else(|| wrong(format!("QoS {} is none", events.qos)))?;
    let prefix = parse("events.prefix", &events.prefix)?.render(&values).map_err(|fault| wrong(fault.to_string()))?;
    Ok(Some(EventSettings { prefix: prefix.into(), qos, gateways: gateways::for_events() }))
}

pub(super) fn node_status(events: &EventSettings) -> Result<NodeStatus, Failure> {
    let wrong = |fault| Failure::Configuration(vec![format!("events.prefix: {fault}")]);
    NodeStatus::under(&events.prefix, events.qos).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_prefix_there_are_no_events() {
        let mut config = Config::default();
        config.events.prefix = String::new();
        assert!(events(&config.events, "north").unwrap().is_none());
    }
}
