use bridge_core::metrics::{FORWARDED, ROUTES};

bridge_core::count! {
    /// What a shard counts.
    pub(crate) enum ShardCount {
        /// Datagrams handed to the shard where their client lives.
        Forwarded = FORWARDED { result: "sent" };
        /// Datagrams that went from shard to shard too often.
        Stray = FORWARDED { result: "stray" };
        /// Datagrams that another shard had no room for.
        Refused = FORWARDED { result: "refused" };
        /// Gauge: addresses whose packets belong to another shard.
        Routes = ROUTES {};
        /// Addresses forgotten because there were too many.
        RoutesDropped = FORWARDED { result: "forgotten" };
    }
}
