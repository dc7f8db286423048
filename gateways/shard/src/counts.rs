use bridge_core::metrics::{CONNECTIONS_HANDED_OVER, FORWARDED, LISTENER_REFUSED, POSTED, ROUTES};

bridge_core::count! {
    /// What a shard counts.
    pub(crate) enum ShardCount {
        /// Datagrams handed to the shard where their client lives.
        Forwarded = FORWARDED { result: "sent" };
        /// Datagrams that went from shard to shard too often.
        Stray = FORWARDED { result: "stray" };
        /// Datagrams that another shard had no room for.
        Refused = FORWARDED { result: "refused" };
        /// Connections handed to the shard where their client lives.
        HandedOver = CONNECTIONS_HANDED_OVER { result: "sent" };
        /// Connections closed because they could not be brought to another shard.
        Stranded = CONNECTIONS_HANDED_OVER { result: "refused" };
        /// Messages handed to the shard where their client lives.
        Posted = POSTED { result: "sent" };
        /// Messages that another shard had no room for.
        PostsRefused = POSTED { result: "refused" };
        /// Datagrams from addresses that their listener does not hear.
        DatagramDenied = LISTENER_REFUSED { type: "datagram", reason: "access" };
        /// Connections from such addresses.
        ConnectionDenied = LISTENER_REFUSED { type: "connection", reason: "access" };
        /// Connections that found their listener full.
        ConnectionFull = LISTENER_REFUSED { type: "connection", reason: "max_connections" };
        /// Connections that came too fast after others.
        ConnectionTooFast = LISTENER_REFUSED { type: "connection", reason: "max_conn_rate" };
        /// Gauge: addresses whose packets belong to another shard.
        Routes = ROUTES {};
        /// Addresses forgotten because there were too many.
        RoutesDropped = FORWARDED { result: "forgotten" };
    }
}
