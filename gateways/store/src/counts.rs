use bridge_core::metrics::{
    STORE_BYTES, STORE_COMMITS, STORE_FAILURES, STORE_RECORDS, STORE_RESTORED, STORE_SET_ASIDE,
};

bridge_core::count! {
    /// What a writer counts.
    pub(crate) enum StoreCount {
        /// Rows written or removed.
        Records = STORE_RECORDS {};
        /// Octets of those.
        Bytes = STORE_BYTES {};
        /// Lots that are safe.
        Commits = STORE_COMMITS {};
        /// Attempts that failed.
        Failures = STORE_FAILURES {};
        /// Sessions that are back.
        Restored = STORE_RESTORED { result: "restored" };
        /// Sessions whose time was over.
        Expired = STORE_RESTORED { result: "expired" };
        /// Sessions without a place.
        NoRoom = STORE_RESTORED { result: "no_room" };
        /// Rows that nobody could read.
        SetAside = STORE_SET_ASIDE {};
    }
}
