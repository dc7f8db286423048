//! What outlives the process: sessions on their way to the store and back, and acknowledgements that wait for it.

use crate::shard::Shard;
use bridge_core::bridge::{FilterRecord, LinkChanges, LinkId};
use bridge_core::journal::Journal;
use bridge_core::link::AckDue;
use bridge_core::machine::{Frozen, Machine, Unthawed};
use bridge_core::peer::GatewayId;
use bridge_core::time::Now;
use std::collections::VecDeque;

/// One session as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its gateway.
    pub gateway: GatewayId,
    /// Its client id.
    pub id: Box<str>,
    /// The session, in a form of its machine's own; `None` = there is nothing to keep of it.
    pub session: Option<Box<[u8]>>,
}

/// Records to be written all at once, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Sessions of devices.
    pub records: Vec<Record>,
    /// The links' sessions.
    pub links: Vec<LinkChanges>,
    /// To be handed to [`Shard::written`] once they are written.
    pub upto: u64,
}

/// Messages that are in a session which is not written yet: the broker keeps them until it is. By link, each in the
/// order in which the messages came.
#[derive(Debug, Default)]
pub(crate) struct Held(Vec<VecDeque<(u64, AckDue)>>);

impl Held {
    /// Keeps `due` until everything up to the mark `until` is written, if it has to wait, or another does on its link;
    /// else gives it back.
    pub(crate) fn keep(&mut self, link: LinkId, due: AckDue, until: Option<u64>, latest: u64) -> Option<AckDue> {
        let Ok(number) = usize::try_from(link.0.slot) else { return Some(due) };
        let waiting = self.0.get(number).is_some_and(|queue| !queue.is_empty());
        let until = match until {
            _ if !due.is_owed() => return Some(due),
            Some(until) => until,
            None if waiting => latest,
            None => return Some(due),
        };
        if self.0.len() <= number {
            self.0.resize_with(number.saturating_add(1), VecDeque::new);
        }
        if let Some(queue) = self.0.get_mut(number) {
            queue.push_back((until, due));
        }
        None
    }

    /// The next acknowledgement for which everything up to the mark `upto` suffices.
    fn next(&mut self, upto: u64) -> Option<(LinkId, AckDue)> {
        let ripe = |queue: &VecDeque<(u64, AckDue)>| queue.front().is_some_and(|(until, _)| *until <= upto);
        let (number, queue) = (0..).zip(&mut self.0).find(|(_, queue)| ripe(queue))?;
        queue.pop_front().map(|(_, due)| (LinkId::shared(number), due))
    }

    fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }
}

impl Shard {
    /// Brings back a session of an earlier process. Before the links come up, so that what the broker has kept for it is
    /// not missed.
    ///
    /// # Errors
    /// Why it stays out.
    pub fn thaw(&mut self, now: Now, gateway: GatewayId, id: &str, session: &[u8]) -> Result<(), Unthawed> {
        let now = self.advance(now);
        let machine = self.machines.get_mut(usize::from(gateway.0)).ok_or(Unthawed::NoRoom)?;
        machine.thaw(&mut self.around.cx(now), id, session)
    }

    /// Tells a link what it has subscribed to at its broker: see [`Bridge::recall`](bridge_core::bridge::Bridge::recall).
    pub fn recall(&mut self, link: LinkId, records: impl IntoIterator<Item = FilterRecord>) -> usize {
        self.around.bridge.recall(link, records)
    }

    /// What has changed since it was asked last, for the store; at most about [`MOST_RECORDS`] records or
    /// [`MOST_BYTES`] octets, the rest later. One lot is to be written before the next is asked for.
    pub fn take_records(&mut self, now: Now) -> Records {
        let links = self.around.bridge.take_link_changes();
        let journal = &mut self.around.journal;
        let now = Now { mono_ms: self.last.mono_ms.max(now.mono_ms), ..now };
        let (mut records, mut bytes) = (Vec::new(), 0_usize);
        while records.len() < MOST_RECORDS && bytes < MOST_BYTES {
            let Some(record) = next_record(&self.machines, journal, now) else { break };
            bytes = bytes.saturating_add(record.session.as_ref().map_or(0, |session| session.len()));
            records.push(record);
        }
        Records { records, links, upto: journal.carried() }
    }

    /// Sessions that have changed since they were written, or taken to be written.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.around.journal.len()
    }

    /// True when there is nothing to write, and nothing waits for it.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.around.journal.is_empty() && self.held.len() == 0
    }

    /// [`Records::upto`] of the lot that has been written: the broker is told what it may forget now.
    pub fn written(&mut self, now: Now, upto: u64) {
        self.advance(now);
        while let Some((link, due)) = self.held.next(upto) {
            self.around.bridge.acknowledge(link, due);
        }
    }
}

/// What is gone first, then what has changed.
fn next_record(machines: &[Box<dyn Machine + Send>], journal: &mut Journal, now: Now) -> Option<Record> {
    if let Some((gateway, id)) = journal.next_gone() {
        return Some(Record { gateway, id, session: None });
    }
    loop {
        let (gateway, client) = journal.next_changed()?;
        let Some(machine) = machines.get(usize::from(gateway.0)) else { continue };
        let mut session = Vec::new();
        match machine.freeze(now, client, &mut session) {
            Frozen::Kept { id } => return Some(Record { gateway, id: id.into(), session: Some(session.into()) }),
            Frozen::Fleeting { id } => return Some(Record { gateway, id: id.into(), session: None }),
            Frozen::Gone => {}
        }
    }
}

/// Records of one lot.
pub const MOST_RECORDS: usize = 4096;
/// Octets of sessions in one lot; the last may go beyond.
pub const MOST_BYTES: usize = 4 << 20;
