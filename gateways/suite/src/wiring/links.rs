//! Which links there are, and the brokers that they lead to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bridge_core::bridge::{NodeStatus, OwnLinks};
use bridge_core::config::{BrokerConfig, BrokerProtocol, BrokerUrl, LinkMode, Server};
use bridge_core::link::{Farewell, LinkSettings, QueueLimits, SessionScope, VersionChoice};
use store::LinkMemory;
use transport::broker::{LocalAddresses, Target, TlsSettings};

use super::Node;
use crate::failure::Failure;
use crate::tls;

/// For a broker to answer at all: name, TCP and TLS.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a broker keeps the session of a link that is away. After that the link publishes anew what it had in flight.
const SESSION_EXPIRY_S: u32 = 3600;

/// Links of each shard: together at least `connections`, and at least one each.
pub(crate) fn links_per_worker(connections: u16, workers: u16) -> u16 {
    connections.div_ceil(workers.max(1)).max(1)
}

/// The brokers to connect to. `embedded` is where the embedded one listens, if it runs.
///
/// # Errors
/// What is wrong with the TLS files, or with the addresses to connect from.
pub(crate) fn targets(broker: &BrokerConfig, embedded: Option<SocketAddr>) -> Result<Arc<[Target]>, Failure> {
    let tls = tls::load(broker).map_err(|problem| Failure::Configuration(vec![problem]))?;
    let local = LocalAddresses::new(&broker.bind)
        .map_err(|fault| Failure::Configuration(vec![format!("broker.bind[{}]: {fault}", fault.index)]))?;
    let local = Arc::new(local);
    let at = |server: &Server, tls: Option<&Arc<TlsSettings>>, path: Option<&str>| Target {
        tls: tls.cloned(),
        web_path: path.map(Into::into),
        local: Arc::clone(&local),
        ..Target::tcp(&*server.host, server.port)
    };
    let target = |url: &BrokerUrl| match (url, embedded) {
        (BrokerUrl::Tcp(server), _) => Some(at(server, None, None)),
        (BrokerUrl::Tls(server), _) => Some(at(server, tls.as_ref(), None)),
        (BrokerUrl::Ws(place), _) => Some(at(&place.server, None, Some(&place.path))),
        (BrokerUrl::Wss(place), _) => Some(at(&place.server, tls.as_ref(), Some(&place.path))),
        (BrokerUrl::Embedded, Some(address)) => {
            let reached = crate::startup::reached_from_here(address);
            Some(Target { local: Arc::clone(&local), ..Target::tcp(reached.ip().to_string(), reached.port()) })
        }
        (BrokerUrl::Embedded, None) => None,
    };
    Ok(broker.servers().iter().filter_map(target).collect())
}

/// The client ids of all links, in their order.
pub(crate) fn link_ids(node: &Node<'_>) -> Vec<String> {
    let broker = &node.config.broker.link;
    let all = usize::from(links_per_worker(broker.connections, node.workers)) * usize::from(node.workers);
    (0..all).map(|number| format!("{}-{}-{number}", broker.client_id_prefix, node.name)).collect()
}

/// The links of shard `number`. They are counted node-wide; the first of shard 0 has the will.
pub(super) fn links(
    node: &Node<'_>,
    number: u8,
    status: Option<&NodeStatus>,
    memory: Option<&LinkMemory>,
) -> Vec<LinkSettings> {
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

/// What the connections of single clients on shard `number` have in common, if clients have any.
pub(super) fn own_links(node: &Node<'_>, number: u8) -> Option<OwnLinks> {
    let broker = &node.config.broker.link;
    if broker.mode != LinkMode::PerDevice {
        return None;
    }
    let queue = queue_share(broker, node.workers.into(), CLIENTS_SHARE);
    let like = LinkSettings { queue, ..link(node, String::new(), SessionScope::Client) };
    Some(OwnLinks { like, connect_rate: OwnLinks::part_of(broker.connect_rate, number.into(), node.workers) })
}

/// A link that ends the session of a client id that none of ours has any more.
pub(crate) fn former_link(node: &Node<'_>, client_id: &str) -> LinkSettings {
    link(node, client_id.to_owned(), SessionScope::Discarded)
}

fn link(node: &Node<'_>, client_id: String, scope: SessionScope) -> LinkSettings {
    let broker = &node.config.broker.link;
    let all = usize::from(links_per_worker(broker.connections, node.workers)) * usize::from(node.workers);
    // Where clients have connections of their own, these carry what the node itself has to say.
    let share = if broker.mode == LinkMode::Shared { WHOLE } else { WHOLE - CLIENTS_SHARE };
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
        queue: queue_share(broker, all, share),
    }
}

/// Of what the node may hold, so many eighths, divided among `parts`: each holds one message at least.
fn queue_share(broker: &BrokerConfig, parts: usize, eighths: usize) -> QueueLimits {
    let share = |all: u64| {
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        // Nothing overflows, and the whole is the whole.
        (if eighths == WHOLE { all } else { all / WHOLE * eighths }) / parts.max(1)
    };
    QueueLimits {
        max_bytes: share(broker.queue.max_bytes.bytes()),
        max_messages: share(broker.queue.max_messages.into()).max(1),
    }
}

/// Eighths.
const WHOLE: usize = 8;
/// Those of the connections of single clients, where there are any.
const CLIENTS_SHARE: usize = 7;

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
    use crate::wiring::shards::{events, node_status};
    use bridge_core::config::WebPlace;
    use config::Config;

    fn node<'a>(config: &'a Config, workers: u16) -> Node<'a> {
        let target = Target::tcp("127.0.0.1", 1);
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
    fn the_queue_of_the_node_is_divided_among_its_links() {
        let mut config = Config::default();
        config.broker.link.queue.max_messages = 10;
        let share = queue_share(&config.broker.link, 4, WHOLE);
        assert_eq!((share.max_bytes, share.max_messages), (64 << 20, 2));
        let many = queue_share(&config.broker.link, 16, WHOLE);
        assert_eq!(many.max_messages, 1, "a link that may hold nothing would lose what it could not send at once");
    }

    #[test]
    fn each_shard_has_its_part_of_what_single_clients_connections_may_do() {
        let mut config = Config::default();
        assert!(own_links(&node(&config, 2), 0).is_none());
        config.broker.link.mode = LinkMode::PerDevice;
        config.broker.link.connect_rate = 5;
        config.broker.link.queue.max_messages = 16;
        let parts = [0, 1].map(|number| own_links(&node(&config, 2), number).unwrap());
        assert_eq!(parts.each_ref().map(|part| part.connect_rate), [3, 2]);
        assert_eq!(parts.each_ref().map(|part| part.like.queue.max_messages), [7, 7]);
        let shared = links(&node(&config, 2), 0, None, None);
        assert_eq!(shared[0].queue.max_messages, 1, "an eighth is for the node itself");
    }

    #[test]
    fn each_url_is_a_target_with_its_path_and_comes_from_the_addresses_of_bind() {
        let mut broker = Config::default().broker.link;
        let place =
            |host: &str, path: &str| WebPlace { server: Server { host: host.into(), port: 1 }, path: path.into() };
        broker.urls = vec![BrokerUrl::Ws(place("a", "/mqtt")), BrokerUrl::Wss(place("b", "/")), BrokerUrl::local()];
        broker.tls.insecure_skip_verify = true;
        broker.bind = vec![[127, 0, 0, 2].into()];
        let targets = super::targets(&broker, None).unwrap();
        let seen = targets.iter().map(|each| (each.to_string(), each.web_path.as_deref(), each.tls.is_some()));
        let expected = [("a:1", Some("/mqtt"), false), ("b:1", Some("/"), true), ("127.0.0.1:1883", None, false)];
        assert_eq!(seen.collect::<Vec<_>>(), expected.map(|(name, path, tls)| (name.to_owned(), path, tls)));
        assert!(targets.iter().all(|each| Arc::ptr_eq(&each.local, &targets[0].local)), "they take turns");

        broker.bind.push([192, 0, 2, 1].into());
        let refused = super::targets(&broker, None).unwrap_err();
        let expected = "broker.bind[1]: 192.0.2.1: Cannot assign requested address (os error 99)";
        assert_eq!(refused, Failure::Configuration(vec![expected.to_owned()]));
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
