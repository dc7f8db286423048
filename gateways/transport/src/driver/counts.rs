use bridge_core::metrics::{STORE_QUEUE, UDP_BATCHES, UDP_DATAGRAMS, UDP_DROPPED};

bridge_core::count! {
    /// What a driver counts.
    pub(super) enum DriverCount {
        /// Datagrams read.
        Received = UDP_DATAGRAMS { direction: "uplink" };
        /// Calls that read at least one.
        ReceiveBatches = UDP_BATCHES { direction: "uplink" };
        /// Datagrams longer than a slot.
        Oversized = UDP_DROPPED { direction: "uplink", reason: "oversized" };
        /// Datagrams without the header of the proxy through which they must come.
        NotProxied = UDP_DROPPED { direction: "uplink", reason: "proxy" };
        /// Datagrams to devices behind a proxy which have been forgotten.
        NoWayBack = UDP_DROPPED { direction: "downlink", reason: "proxy" };
        /// Datagrams written.
        Sent = UDP_DATAGRAMS { direction: "downlink" };
        /// Calls that wrote at least one.
        SendBatches = UDP_BATCHES { direction: "downlink" };
        /// Datagrams that the send queue had no room for.
        Overflowed = UDP_DROPPED { direction: "downlink", reason: "overflow" };
        /// Datagrams to a host or a port that is not there.
        Unreachable = UDP_DROPPED { direction: "downlink", reason: "unreachable" };
        /// Gauge: sessions and facts about links that are not safe yet.
        Unwritten = STORE_QUEUE {};
        /// Datagrams that the kernel would not send for another reason.
        SendFailed = UDP_DROPPED { direction: "downlink", reason: "refused" };
    }
}
