//! Carries what a shard has changed to the store, and the word that it is written back.

use bridge_core::time::Now;
use shard::{Record, Records, Shard};
use std::task::{Context, Poll};
use store::{Change, Hand, Home, link_changes};

/// What a driver needs to carry records.
#[derive(Debug)]
pub struct Carrier {
    /// On the writer.
    pub hand: Hand,
    /// Names of the gateways in the store, by number: they outlive a configuration, numbers do not.
    pub gateways: Vec<&'static str>,
    /// Where this driver's sessions live.
    pub home: Home,
}

/// At most one lot is under way: what changes meanwhile goes with the next, once.
#[derive(Debug)]
pub(super) struct Courier {
    carrier: Carrier,
    /// The marks that are safe when the lot under way is.
    upto: u64,
    /// Rows of that lot.
    rows: usize,
}

impl Courier {
    pub(super) const fn new(carrier: Carrier) -> Self {
        Self { carrier, upto: 0, rows: 0 }
    }

    /// Tells the shard what has been written. True when the writer has become free.
    pub(super) fn hear(&mut self, cx: &mut Context<'_>, now: Now, shard: &mut Shard) -> bool {
        match self.carrier.hand.poll_written(cx) {
            Poll::Ready(()) => {
                self.rows = 0;
                shard.written(now, self.upto);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Hands over what has changed, if the writer is free. True when there is something new to wait for, or to say.
    pub(super) fn carry(&mut self, now: Now, shard: &mut Shard) -> bool {
        if !self.carrier.hand.is_free() {
            return false;
        }
        let Records { records, links, upto } = shard.take_records(now);
        self.upto = upto;
        let mut changes: Vec<Change> = records.into_iter().filter_map(|record| self.change(record)).collect();
        changes.extend(links.into_iter().flat_map(link_changes));
        if !changes.is_empty() {
            self.rows = changes.len();
            self.carrier.hand.send(changes);
            return true;
        }
        let waits = !shard.is_written();
        shard.written(now, upto);
        waits
    }

    /// What is not safe yet.
    pub(super) fn unwritten(&self, shard: &Shard) -> usize {
        self.rows.saturating_add(shard.unwritten())
    }

    /// True when everything is safe.
    pub(super) fn is_idle(&self, shard: &Shard) -> bool {
        self.carrier.hand.is_free() && shard.is_written()
    }

    fn change(&self, record: Record) -> Option<Change> {
        let Record { gateway, id, session } = record;
        let gateway = *self.carrier.gateways.get(usize::from(gateway.0))?;
        Some(Change::Session { gateway, id, home: self.carrier.home, session })
    }
}
