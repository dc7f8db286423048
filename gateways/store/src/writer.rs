//! One thread writes for all shards. While one commit is under way the shards' next lots gather, and go into the next
//! commit together.

use crate::counts::StoreCount;
use crate::{Change, Entry, Loaded, SessionStore, StoreFault, Table, Verdict};
use bridge_core::meter::{Counts, Meter};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Between two attempts to write the same.
const RETRY: Duration = Duration::from_secs(1);
/// Between two lines about a disk that is full.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Owns the store; [`Writer::run`] is a thread's work.
#[derive(Debug)]
pub struct Writer {
    store: Box<dyn SessionStore>,
    inbox: Receiver<Lot>,
    said: Option<Instant>,
    counts: Counts<StoreCount>,
}

/// One shard's hand on the writer. At most one lot is under way.
#[derive(Debug)]
pub struct Hand {
    to: SyncSender<Lot>,
    reply: Arc<Reply>,
    under_way: bool,
}

#[derive(Debug)]
struct Lot {
    changes: Vec<Change>,
    reply: Arc<Reply>,
}

/// Says that a lot is written, and wakes who waits for it.
#[derive(Debug, Default)]
struct Reply(Mutex<Answer>);

#[derive(Debug, Default)]
struct Answer {
    written: bool,
    waker: Option<Waker>,
}

impl Reply {
    fn answer(&self) -> MutexGuard<'_, Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) {
        let waker = {
            let mut answer = self.answer();
            answer.written = true;
            answer.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Hand {
    /// True when [`Hand::send`] takes a lot.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        !self.under_way
    }

    /// Hands a lot to the writer. Without effect while one is under way. Never blocks: there is a place for each shard's
    /// one lot.
    pub fn send(&mut self, changes: Vec<Change>) {
        if self.under_way {
            return;
        }
        let lot = Lot { changes, reply: Arc::clone(&self.reply) };
        // If the writer is gone this is never written, and nobody is told that it is: the writer's end has been told, and
        // ends the node.
        drop(self.to.try_send(lot));
        self.under_way = true;
    }

    /// Ready once for each lot, when it is safe.
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.under_way {
            return Poll::Pending;
        }
        let mut answer = self.reply.answer();
        if answer.written {
            answer.written = false;
            self.under_way = false;
            return Poll::Ready(());
        }
        match &mut answer.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Writer {
    /// A writer with a hand for each of `shards`.
    #[must_use]
    pub fn new(store: Box<dyn SessionStore>, shards: u16) -> (Self, Vec<Hand>) {
        let (to, inbox) = sync_channel(usize::from(shards));
        let hand = |_| Hand { to: to.clone(), reply: Arc::default(), under_way: false };
        let hands = (0..shards).map(hand).collect();
        (Self { store, inbox, said: None, counts: Counts::default() }, hands)
    }

    /// For whoever reports.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.counts.meter()
    }

    /// Reads a table of the store, at the start: see [`SessionStore::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(&mut self, table: Table, visit: &mut dyn FnMut(Entry<'_>) -> Verdict) -> Result<Loaded, StoreFault> {
        let loaded = self.store.load(table, visit)?;
        self.counts.add(StoreCount::SetAside, loaded.set_aside);
        Ok(loaded)
    }

    /// What became of the sessions that [`Writer::load`] showed, to be counted.
    pub fn restored(&self, restored: u64, expired: u64, no_room: u64) {
        self.counts.add(StoreCount::Restored, restored);
        self.counts.add(StoreCount::Expired, expired);
        self.counts.add(StoreCount::NoRoom, no_room);
    }

    /// Writes until all hands are gone.
    ///
    /// # Errors
    /// If the last of it could not be written.
    pub fn run(mut self) -> Result<(), StoreFault> {
        while let Ok(lot) = self.inbox.recv() {
            let mut lots = vec![lot];
            lots.extend(self.inbox.try_iter());
            self.write(lots)?;
        }
        Ok(())
    }

    /// Tries until it is written, or nobody waits for it any more.
    fn write(&mut self, lots: Vec<Lot>) -> Result<(), StoreFault> {
        let (mut changes, mut replies) = (Vec::new(), Vec::new());
        let mut gather = |changes: &mut Vec<Change>, lot: Lot| {
            changes.extend(lot.changes);
            replies.push(lot.reply);
        };
        lots.into_iter().for_each(|lot| gather(&mut changes, lot));
        let mut last = false;
        loop {
            match self.store.write(&changes) {
                Ok(octets) => {
                    self.counts.add(StoreCount::Bytes, octets);
                    break;
                }
                Err(fault) if last => return Err(fault),
                Err(fault) => self.complain(&fault, changes.len()),
            }
            match self.inbox.recv_timeout(RETRY) {
                Ok(lot) => gather(&mut changes, lot),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => last = true,
            }
        }
        self.counts.add(StoreCount::Records, changes.len() as u64);
        self.counts.up(StoreCount::Commits);
        replies.iter().for_each(|reply| reply.written());
        Ok(())
    }

    fn complain(&mut self, fault: &StoreFault, records: usize) {
        self.counts.up(StoreCount::Failures);
        if self.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            self.said = Some(Instant::now());
            tracing::error!(error = %fault, records, "sessions are not written; trying again each second");
        }
    }
}
