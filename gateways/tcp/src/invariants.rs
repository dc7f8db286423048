//! What always holds: for the fuzz target.

use crate::connection::{Block, State};
use crate::counts::Count;
use crate::machine::Tcp;
use bridge_core::slab::Key;
use bridge_core::streams::{ConnRef, Streams};
use std::collections::BTreeMap;

impl Tcp {
    /// The keys of all connections.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.table.iter().map(|(key, _)| key)
    }

    /// What always holds between two inputs.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) fn check(&self, streams: &Streams, open: &[ConnRef]) {
        let (mut gauges, mut timers, mut copies) = ([0_u64; 4], 0, 0);
        let mut wanted = BTreeMap::new();
        for (key, connection) in self.table.iter() {
            assert_eq!(self.table.at(connection.conn), Some(key), "a connection is not found by its number");
            assert!(open.contains(&connection.conn), "a connection that is gone is remembered");
            assert!(!streams.is_closing(connection.conn), "a connection that was closed is remembered");
            timers += usize::from(connection.timer.is_some_and(|timer| self.base.wheel.is_armed(timer.id)));
            let [new, waiting, active, held] = &mut gauges;
            let read = match &connection.state {
                State::New => {
                    *new += 1;
                    true
                }
                State::Waiting(hello) => {
                    *waiting += 1;
                    *wanted.entry(&*hello.id).or_insert(0_u32) += 1;
                    false
                }
                State::Connected(session) => {
                    *active += 1;
                    *held += u64::from(session.block.is_some());
                    copies += session.copies();
                    assert_eq!(self.table.named(&session.id), Some(key), "a session is not found by its id");
                    assert!(session.owed <= self.base.rules.max_inflight, "more is owed than may be");
                    if let Some(queue) = &session.held {
                        assert!(!queue.is_empty() && queue.len() <= self.base.rules.hold.messages, "a queue's bounds");
                        assert!(queue.bytes() <= self.base.rules.hold.bytes, "a queue's bounds in octets");
                        assert!(streams.is_full(connection.conn), "messages wait for nothing");
                    }
                    if session.block == Some(Block::Room) {
                        assert!(self.roomless.contains(&key), "who waits for room is not told of it");
                    }
                    session.block.is_none()
                }
            };
            assert_eq!(streams.reads(connection.conn), read, "what is read and what is not");
        }
        assert_eq!(self.table.wanted().collect::<BTreeMap<_, _>>(), wanted, "ids that are wanted");
        assert_eq!(timers, self.base.wheel.len(), "timers that no connection has");
        assert_eq!(copies, self.base.copies, "copies at the broker that nobody here knows of");
        let counted = [Count::Connecting, Count::Waiting, Count::Active, Count::Held];
        assert_eq!(gauges, counted.map(|gauge| self.base.counts.get(gauge)), "gauges that lie");
    }
}
