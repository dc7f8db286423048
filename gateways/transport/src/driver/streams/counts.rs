use bridge_core::metrics::{
    CONNECTIONS, CONNECTIONS_ACCEPTED, CONNECTIONS_ENDED, CONNECTIONS_REFUSED, STREAM_BYTES, STREAM_CALLS,
};

bridge_core::count! {
    /// What is counted about connections of devices.
    pub(super) enum StreamCount {
        /// Connections accepted.
        Accepted = CONNECTIONS_ACCEPTED {};
        /// Gauge: those that the shard does not know yet.
        Greeting = CONNECTIONS { state: "greeting" };
        /// Gauge: those that it knows.
        Open = CONNECTIONS { state: "open" };
        /// Gauge: those that it does not know any more.
        Lingering = CONNECTIONS { state: "lingering" };
        /// Closed: no PROXY header, or none that can be read.
        RefusedProxy = CONNECTIONS_REFUSED { reason: "proxy" };
        /// Closed: the PROXY header did not come in time.
        RefusedProxyTimeout = CONNECTIONS_REFUSED { reason: "proxy_timeout" };
        /// Closed: TLS came to no agreement.
        RefusedHandshake = CONNECTIONS_REFUSED { reason: "handshake" };
        /// Closed: the TLS handshake took too long.
        RefusedHandshakeTimeout = CONNECTIONS_REFUSED { reason: "handshake_timeout" };
        /// Closed: TLS where there is none.
        RefusedTlsOnPlain = CONNECTIONS_REFUSED { reason: "tls_on_plain" };
        /// Closed: something else where there is TLS.
        RefusedPlainOnTls = CONNECTIONS_REFUSED { reason: "plain_on_tls" };
        /// Closed: a PROXY header where none is expected.
        RefusedProxyUnasked = CONNECTIONS_REFUSED { reason: "proxy_unasked" };
        /// Gone by themselves before the shard knew them.
        RefusedGone = CONNECTIONS_REFUSED { reason: "gone" };
        /// Accepting paused: the process or the system has no room.
        RefusedNoRoom = CONNECTIONS_REFUSED { reason: "no_room" };
        /// Closed by their device.
        EndedByPeer = CONNECTIONS_ENDED { reason: "peer" };
        /// Broken.
        EndedBroken = CONNECTIONS_ENDED { reason: "broken" };
        /// Closed because their device took nothing of what was sent.
        EndedStalled = CONNECTIONS_ENDED { reason: "stalled" };
        /// Closed by the gateway.
        EndedByGateway = CONNECTIONS_ENDED { reason: "gateway" };
        /// Closed by the gateway, with something that their device did not take in time.
        EndedUnflushed = CONNECTIONS_ENDED { reason: "unflushed" };
        /// Octets read.
        BytesRead = STREAM_BYTES { direction: "uplink" };
        /// Octets written.
        BytesWritten = STREAM_BYTES { direction: "downlink" };
        /// Attempts to read.
        Reads = STREAM_CALLS { direction: "uplink" };
        /// Writes that took something.
        Writes = STREAM_CALLS { direction: "downlink" };
    }
}
