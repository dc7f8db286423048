//! The connections to the brokers, one for each link: polled when they are ready, or when their link has something to
//! say.

use super::LinkReport;
use super::line::{Line, Way};
use crate::broker::Target;
use crate::ready::ReadyList;
use bridge_core::bridge::LinkId;
use bridge_core::time::Now;
use shard::Shard;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

/// All lines of a driver.
#[derive(Debug)]
pub(super) struct Lines {
    targets: Arc<[Target]>,
    connect_timeout: Duration,
    /// By slot of their link's key.
    lines: Vec<Option<Entry>>,
    ready: ReadyList,
    /// Those that were heard in this turn: they may have something to say.
    heard: Vec<LinkId>,
}

#[derive(Debug)]
struct Entry {
    line: Line,
    waker: Waker,
}

impl Lines {
    pub(super) fn new(targets: Arc<[Target]>, connect_timeout: Duration) -> Self {
        Self { targets, connect_timeout, lines: Vec::new(), ready: ReadyList::default(), heard: Vec::new() }
    }

    /// Hands their links what came on those that are ready. True when there may be more at once.
    pub(super) fn hear(&mut self, cx: &Context<'_>, now: Now, shard: &mut Shard, scratch: &mut Vec<u8>) -> bool {
        self.ready.gather(cx);
        let mut heard = 0;
        while heard < LINES_A_TURN
            && let Some(key) = self.ready.next()
        {
            heard += 1;
            let id = LinkId(key);
            self.attend(id, shard, |entry, way, shard| {
                let Entry { line, waker } = entry;
                if line.hear(&mut Context::from_waker(waker), now, way, shard, scratch) {
                    waker.wake_by_ref();
                }
            });
            self.heard.push(id);
        }
        self.ready.left() > 0
    }

    /// Writes what their links have to say, for all that were heard or touched. True if there were any.
    pub(super) fn speak(&mut self, now: Now, shard: &mut Shard) -> bool {
        let mut heard = std::mem::take(&mut self.heard);
        heard.extend(std::iter::from_fn(|| shard.take_touched_line()));
        let any = !heard.is_empty();
        for id in heard.drain(..) {
            self.attend(id, shard, |entry, way, shard| {
                let Entry { line, waker } = entry;
                if line.speak(&mut Context::from_waker(waker), now, way, shard) {
                    waker.wake_by_ref();
                }
            });
        }
        self.heard = heard;
        any
    }

    /// Does something with the line of a link; the line of one that is gone goes.
    fn attend(&mut self, id: LinkId, shard: &mut Shard, work: impl FnOnce(&mut Entry, Way<'_>, &mut Shard)) {
        let slot = id.0.slot as usize;
        if shard.link(id).is_none() {
            // Not that of a younger link in its place.
            if let Some(entry) = self.lines.get_mut(slot)
                && entry.as_ref().is_some_and(|entry| entry.line.id() == id)
            {
                *entry = None;
            }
            return;
        }
        if self.lines.len() <= slot {
            self.lines.resize_with(slot + 1, || None);
        }
        let Some(place) = self.lines.get_mut(slot) else { return };
        // What was in its place belonged to a link that is gone.
        if place.as_ref().is_none_or(|entry| entry.line.id() != id) {
            *place = Some(Entry { line: Line::new(id), waker: self.ready.waker(id.0) });
        }
        if let Some(entry) = place {
            let way = Way { targets: &self.targets, connect_timeout: self.connect_timeout };
            work(entry, way, shard);
        }
    }

    /// How the links stand that are not one device's own.
    pub(super) fn report(&self, now: Now, shard: &Shard) -> Vec<LinkReport> {
        let way = Way { targets: &self.targets, connect_timeout: self.connect_timeout };
        shared(shard).filter_map(|id| Line::report(id, now, way, shard)).collect()
    }

    /// No connection is left, or on its way.
    pub(super) fn are_closed(&self) -> bool {
        self.lines.iter().flatten().all(|entry| entry.line.is_closed())
    }
}

/// Links of all devices.
fn shared(shard: &Shard) -> impl Iterator<Item = LinkId> + use<> {
    (0..shard.links()).map(LinkId::shared)
}

/// Lines heard before everybody else gets a turn.
const LINES_A_TURN: usize = 256;

#[cfg(test)]
mod tests;
