//! The process: it crashes, or stops in order, and comes back with what the store has; and the store itself.

use crate::event::Event;
use crate::lines::Line;
use crate::plan::pick;
use crate::shards::{Side, gates, side};
use crate::world::World;
use bridge_core::bridge::{FilterRecord, LinkChanges, LinkId};
use bridge_core::link::SessionRecord;
use bridge_core::owners::Directory;
use bridge_core::peer::{GatewayId, ShardId};
use bridge_core::time::Deadline;
use shard::Records;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What outlives the process.
#[derive(Default)]
pub(crate) struct Store {
    sessions: BTreeMap<Box<str>, SessionRow>,
    links: BTreeMap<String, LinkRow>,
}

/// A client's session, and where it lived: on which shard, of how many.
struct SessionRow {
    shard: u8,
    of: u8,
    session: Box<[u8]>,
}

#[derive(Default)]
struct LinkRow {
    session: Option<SessionRecord>,
    filters: BTreeMap<Box<str>, FilterRecord>,
}

impl Store {
    /// All of it, or nothing.
    fn write(&mut self, shard: usize, of: u8, records: Records) {
        let shard = u8::try_from(shard).expect("a few");
        for record in records.records {
            match record.session {
                Some(session) => drop(self.sessions.insert(record.id, SessionRow { shard, of, session })),
                None => drop(self.sessions.remove(&record.id)),
            }
        }
        for LinkChanges { client_id, session, is_new, put, removed } in records.links {
            let row = self.links.entry(client_id).or_default();
            if is_new {
                *row = LinkRow { session: row.session.take(), ..LinkRow::default() };
            }
            if session.is_some() {
                row.session = session;
            }
            row.filters.extend(put.into_iter().map(|filter| (filter.filter.clone(), filter)));
            row.filters.retain(|filter, _| !removed.contains(filter));
        }
    }

    pub(crate) fn session(&self, client_id: &str) -> Option<SessionRecord> {
        self.links.get(client_id).and_then(|row| row.session.clone())
    }

    fn filters(&self, client_id: &str) -> Vec<FilterRecord> {
        self.links.get(client_id).map(|row| row.filters.values().cloned().collect()).unwrap_or_default()
    }
}

impl World {
    /// What a shard has changed is on its way to the store, one lot at a time.
    pub(crate) fn carry_records(&mut self, shard: usize) {
        let (now, side) = (self.clock(), &mut self.shards[shard]);
        if !self.plan.durable || side.writing {
            return;
        }
        let records = side.shard.take_records(now);
        if records.records.is_empty() && records.links.is_empty() {
            side.shard.written(now, records.upto);
            return;
        }
        side.writing = true;
        let at = self.now + 1 + self.rng.below(20);
        self.timeline.plan(at, Event::Written { shard, records });
    }

    pub(crate) fn on_written(&mut self, shard: usize, records: Records) {
        let (now, of, upto) = (self.clock(), self.plan.shards, records.upto);
        self.store.write(shard, of, records);
        let side = &mut self.shards[shard];
        side.writing = false;
        side.shard.written(now, upto);
        side.dirty = true;
    }

    /// The process is to end: at once, or in order.
    pub(crate) fn restart(&mut self, crash: bool) {
        if self.shards.is_empty() || self.stopping.is_some() {
            return;
        }
        self.checks.tally.restarts += 1;
        if crash {
            return self.end_process(true);
        }
        let until = self.now + 10_000;
        self.stopping = Some(until);
        for shard in 0..self.shards.len() {
            let now = self.clock();
            self.shards[shard].shard.drain(now, Deadline(until));
            self.shards[shard].dirty = true;
        }
        self.timeline.plan(until, Event::StopNow);
    }

    /// One that stops ends when it has nothing left to do, or when its time is over.
    pub(crate) fn stop_if_done(&mut self) {
        let Some(until) = self.stopping else { return };
        let done = |side: &Side| side.shard.is_drained() && side.shard.is_written() && !side.writing;
        if self.now >= until || self.shards.iter().all(done) {
            self.stopping = None;
            let late = self.now >= until;
            self.end_process(late);
        }
    }

    fn end_process(&mut self, crash: bool) {
        self.count();
        for shard in 0..self.shards.len() {
            let open: Vec<u64> = self.shards[shard].lines.values().filter_map(Line::conn).collect();
            for conn in open {
                self.timeline.plan(self.now + self.rng.below(50), Event::Noticed { conn });
                if self.rng.chance(500) {
                    self.broken.insert(conn);
                }
            }
        }
        self.shards.clear();
        self.end_streams();
        for event in self.timeline.take_out(Event::is_of_process) {
            // It may be in the store, although nobody was told.
            if let Event::Written { shard, records } = event
                && self.rng.chance(500)
            {
                self.store.write(shard, self.plan.shards, records);
            }
        }
        let before = self.plan.shards;
        if self.rng.chance(300) {
            self.plan.shards = u8::try_from(1 + pick(&mut self.rng, 4)).expect("four at most");
        }
        self.checks.restarts(&mut self.devices, crash, before != self.plan.shards);
        self.timeline.plan(self.now + 1 + self.rng.below(5000), Event::Boot);
    }

    /// A process begins with what the store has.
    pub(crate) fn boot(&mut self) {
        if !self.shards.is_empty() {
            return;
        }
        let directory = Arc::new(Directory::default());
        self.gates = gates(&self.plan);
        let (now, count) = (self.clock(), self.plan.shards);
        for id in 0..count {
            let seed = self.rng.next_u64();
            self.shards.push(side(&self.plan, ShardId(id), &directory, &self.gates, &self.store, seed));
        }
        for (id, SessionRow { shard, of, session }) in &self.store.sessions {
            let home = if *of == count { *shard } else { elsewhere(id, count) };
            let thawed = self.shards[usize::from(home)].shard.thaw(now, GatewayId(0), id, session);
            assert_eq!(thawed, Ok(()), "{id} comes back");
        }
        for (number, side) in self.shards.iter_mut().enumerate() {
            for link in 0..self.plan.links {
                let records = self.store.filters(&format!("sim-{number}-{link}"));
                assert_eq!(side.shard.recall(LinkId::shared(link), records), 0, "senseless records");
            }
        }
        for shard in 0..self.shards.len() {
            self.end_turn(shard);
        }
    }
}

/// Where a session lives when there are not as many shards as before.
fn elsewhere(id: &str, count: u8) -> u8 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    u8::try_from(hasher.finish() % u64::from(count)).expect("a remainder")
}
