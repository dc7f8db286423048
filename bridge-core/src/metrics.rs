//! The names of all metrics, with their help texts. Who counts something declares its series beside the code, with
//! [`count!`](crate::count), from a family here.

use crate::meter::{Family, Kind};

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: Kind::Counter }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: Kind::Gauge }
}

/// Clients that may speak through the bridge.
pub const CLIENTS: Family = gauge("tidegate_clients", "Clients known to the bridge, connected or kept");
/// Upstream subscriptions.
pub const UPSTREAM_FILTERS: Family = gauge("tidegate_upstream_filters", "Topic filters subscribed at the broker");
/// Decisions about who may come in.
pub const ADMISSIONS: Family =
    counter("tidegate_admissions_total", "Clients that wanted to come in, by what became of it");
/// Decisions under way.
pub const ADMISSIONS_WAITING: Family = gauge("tidegate_admissions_waiting", "Clients that wait for a credential store");
/// What the access rules deny.
pub const ACL_DENIED: Family =
    counter("tidegate_acl_denied_total", "Publications and subscriptions that the access rules deny");
/// Decisions by the access rules.
pub const ACL_CACHE: Family =
    counter("tidegate_acl_cache_total", "Decisions by the access rules, by whether one was remembered");
/// Limits of sessions.
pub const LIMITED: Family =
    counter("tidegate_limited_total", "Publications held back because their session was over a limit");
/// Whom a listener does not hear.
pub const LISTENER_REFUSED: Family = counter(
    "tidegate_listener_refused_total",
    "Datagrams dropped unread and connections closed at once, by what kept them out",
);
/// Events that found no room.
pub const EVENTS_DROPPED: Family = counter("tidegate_events_dropped_total", "Events about clients that were dropped");
/// Subscriptions refused at restoration.
pub const SUBSCRIPTIONS_LOST: Family = counter(
    "tidegate_subscriptions_lost_total",
    "Subscriptions of devices that ended because the broker refused to restore them",
);
/// Messages of devices, by type.
pub const PACKETS: Family = counter("tidegate_packets_total", "Messages from and to devices, by type");
/// What went wrong, by whose fault it is.
pub const FAULTS: Family = counter("tidegate_faults_total", "What went wrong, by who must act and why");
/// Sessions of devices.
pub const SESSIONS: Family = gauge("tidegate_sessions", "Sessions of devices, by state");
/// Wills.
pub const WILLS: Family = counter("tidegate_wills_total", "Wills of lost clients, by what became of them");
/// Datagrams between shards.
pub const FORWARDED: Family =
    counter("tidegate_forwarded_total", "Datagrams for clients of another shard, by what became of them");
/// Credential stores: their answers.
pub const AUTH_STORE_ANSWERS: Family =
    counter("tidegate_auth_store_answers_total", "What credential stores made of clients, by store and outcome");
/// Credential stores: what finding out about a password took.
pub const AUTH_VERIFICATIONS: Family =
    counter("tidegate_auth_verifications_total", "Passwords verified, from memory or by computing their hash");
/// Credential stores: questions in wait.
pub const AUTH_STORE_WAITING: Family =
    gauge("tidegate_auth_store_waiting", "Questions that wait for a thread of the credential stores");
/// Addresses that belong to another shard.
pub const ROUTES: Family = gauge("tidegate_routes", "Addresses whose datagrams go to another shard");

/// Requests to the admin API that were turned away.
pub const ADMIN_REFUSED: Family =
    counter("tidegate_admin_refused_total", "Requests to the admin API that were turned away, by reason");

/// Connections between shards.
pub const CONNECTIONS_HANDED_OVER: Family = counter(
    "tidegate_connections_handed_over_total",
    "Connections that were to go to the shard where their client lives, by what became of them",
);
/// Connections of devices.
pub const CONNECTIONS: Family = gauge("tidegate_connections", "Connections of devices, by how far they have come");
/// Connections of devices: those that came.
pub const CONNECTIONS_ACCEPTED: Family =
    counter("tidegate_connections_accepted_total", "Connections of devices that were accepted");
/// Connections of devices: those turned away.
pub const CONNECTIONS_REFUSED: Family = counter(
    "tidegate_connections_refused_total",
    "Connections of devices that ended before a protocol began, by reason; no_room counts pauses in accepting",
);
/// Connections of devices: ends.
pub const CONNECTIONS_ENDED: Family =
    counter("tidegate_connections_ended_total", "Connections of devices that have ended, by who or what ended them");
/// Connections of devices: octets.
pub const STREAM_BYTES: Family =
    counter("tidegate_stream_bytes_total", "Octets read from and written to connections of devices");
/// Connections of devices: system calls.
pub const STREAM_CALLS: Family =
    counter("tidegate_stream_calls_total", "Attempts to read from connections of devices, and writes to them");
/// MQTT connections of single clients.
pub const CLIENT_LINKS: Family = gauge("tidegate_client_links", "MQTT connections of single clients, by state");
/// Those that the broker did not let in.
pub const CLIENT_LINKS_REFUSED: Family = counter(
    "tidegate_client_links_refused_total",
    "MQTT connections of single clients that came to nothing, by reason",
);
/// Those that the broker ended.
pub const CLIENT_LINKS_ENDED: Family =
    counter("tidegate_client_links_ended_total", "MQTT connections of single clients that the broker ended for good");
/// Those that came back.
pub const CLIENT_LINKS_RECONNECTED: Family = counter(
    "tidegate_client_links_reconnected_total",
    "MQTT connections of single clients that were lost and came back",
);

/// Messages between shards.
pub const POSTED: Family =
    counter("tidegate_posted_total", "Messages that were to go to the shard where their client lives");

/// Datagrams through the sockets.
pub const UDP_DATAGRAMS: Family = counter("tidegate_udp_datagrams_total", "Datagrams read from and written to sockets");
/// System calls of those.
pub const UDP_BATCHES: Family =
    counter("tidegate_udp_batches_total", "System calls that moved datagrams; datagrams per call is the batch");
/// Datagrams lost between the sockets and us.
pub const UDP_DROPPED: Family = counter("tidegate_udp_dropped_total", "Datagrams that did not get through a socket");

/// Broker link: publications written to the broker for the first time.
pub const LINK_PUBLICATIONS: Family =
    counter("tidegate_link_publications_total", "Publications written to the broker, repetitions aside");
/// Broker link: completions of QoS 1 and 2.
pub const LINK_ACKNOWLEDGED: Family =
    counter("tidegate_link_acknowledged_total", "Publications of QoS 1 and 2 that the broker acknowledged");
/// Broker link: refusals.
pub const LINK_REFUSED: Family =
    counter("tidegate_link_refused_total", "Publications that the broker, or its limits, would not have");
/// Broker link: repetitions after a reconnect.
pub const LINK_REPLAYED: Family =
    counter("tidegate_link_replayed_total", "Publications and releases written again after a reconnect");
/// Broker link: messages from the broker.
pub const LINK_RECEIVED: Family = counter("tidegate_link_received_total", "Messages received from the broker");
/// Broker link: QoS 2 repetitions held back.
pub const LINK_DUPLICATES: Family =
    counter("tidegate_link_duplicates_total", "Repeated QoS 2 messages of the broker that were not delivered again");
/// Broker link: what the broker cannot do.
pub const LINK_LOWERED: Family =
    counter("tidegate_link_lowered_total", "Publications of which the broker cannot take a property");
/// Broker link: packets nobody waited for.
pub const LINK_UNEXPECTED: Family =
    counter("tidegate_link_unexpected_total", "Packets of the broker that answer nothing we asked");
/// Broker link: messages that break the protocol.
pub const LINK_UNUSABLE: Family =
    counter("tidegate_link_unusable_total", "Messages of the broker dropped for a value that breaks the protocol");
/// Broker link: ends of connections and of attempts at one.
pub const LINK_FAILURES: Family =
    counter("tidegate_link_failures_total", "Connections to the broker that failed or ended");
/// Broker link: successful connections.
pub const LINK_CONNECTS: Family = counter("tidegate_link_connects_total", "Connections that the broker accepted");
/// Broker link: sessions that were not ours.
pub const LINK_SESSIONS_ENDED: Family = counter(
    "tidegate_link_sessions_ended_total",
    "Sessions that were left at a broker under a link's client id, and were ended",
);
/// Broker link: state.
pub const LINK_UP: Family = gauge("tidegate_link_up", "Links that are online");
/// Broker link: in flight.
pub const LINK_IN_FLIGHT: Family =
    gauge("tidegate_link_in_flight", "Publications of QoS 1 and 2 that wait for the broker's acknowledgement");
/// Broker link: octets.
pub const LINK_BYTES: Family = counter("tidegate_link_bytes_total", "Octets of MQTT to and from the broker");
/// Queues: messages in wait.
pub const QUEUE_MESSAGES: Family = gauge("tidegate_queue_messages", "Messages in wait");
/// Queues: octets in wait.
pub const QUEUE_BYTES: Family = gauge("tidegate_queue_bytes", "Octets in wait");
/// Queues: what was thrown away or turned away.
pub const QUEUE_DROPPED: Family =
    counter("tidegate_queue_dropped_total", "Messages that a queue threw away or turned away");

/// Session store: rows written.
pub const STORE_RECORDS: Family =
    counter("tidegate_store_records_total", "Rows written to the session store or removed");
/// Session store: octets written.
pub const STORE_BYTES: Family = counter("tidegate_store_bytes_total", "Octets of rows written to the session store");
/// Session store: commits.
pub const STORE_COMMITS: Family =
    counter("tidegate_store_commits_total", "Lots of rows that are safe in the session store");
/// Session store: failures.
pub const STORE_FAILURES: Family =
    counter("tidegate_store_failures_total", "Attempts to write to the session store that failed, and are repeated");
/// Session store: what waits.
pub const STORE_QUEUE: Family =
    gauge("tidegate_store_queue", "Sessions, and facts about links, that have changed and are not safe yet");
/// Session store: what came of the sessions in it at the start.
pub const STORE_RESTORED: Family =
    counter("tidegate_store_restored_total", "Sessions found in the store at the start, by what became of them");
/// Session store: what could not be read.
pub const STORE_SET_ASIDE: Family =
    counter("tidegate_store_set_aside_total", "Rows of the session store that could not be read, and were set aside");

crate::count! {
    /// What the bridge counts.
    pub enum BridgeCount {
        /// Gauge: clients.
        Clients = CLIENTS {};
        /// Gauge: filters upstream.
        Filters = UPSTREAM_FILTERS {};
        /// Devices' subscriptions that the broker refused when they were to be restored.
        SubscriptionsLost = SUBSCRIPTIONS_LOST {};
        /// Publications over the octets that a session may publish.
        OverRate = LIMITED { reason: "rate_limit" };
        /// Publications over the messages that a session may publish.
        OverPublish = LIMITED { reason: "publish_limit" };
        /// Events that found no room.
        EventsDropped = EVENTS_DROPPED {};
    }
}
