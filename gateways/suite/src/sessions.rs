//! Sessions that outlive the process: opened, brought back to their shards, and written from then on.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use bridge_core::bridge::LinkId;
use bridge_core::machine::Unthawed;
use bridge_core::meter::Meter;
use bridge_core::time::Now;
use config::SessionStore;
use store::{Entry, FileStore, Hand, Home, LinkMemory, StoreFault, Table, Verdict, Writer};
use tokio::sync::mpsc;
use transport::{Carrier, Clock};

use crate::failure::Failure;
use crate::gateways;
use crate::wiring::{self, Node};
use crate::worker::{Ended, Part, WorkerSettings, guarded};

/// In `node.data_dir`.
const FILE: &str = "sessions.redb";

/// The store, before its writer runs.
#[derive(Debug)]
pub(crate) struct Sessions {
    writer: Writer,
    hands: Vec<Hand>,
    links: LinkMemory,
}

/// What became of the sessions in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fates {
    restored: u64,
    expired: u64,
    /// They stay in the store: their gateway or their listener is full or not there.
    no_room: u64,
}

impl Sessions {
    /// Opens the store, and reads what the links have to know. `None` while sessions live in memory only. `is_latest`: the
    /// last run has kept it, so that what it says of the links is true; else they begin anew.
    ///
    /// # Errors
    /// If there is no store: another process has it, or the system refuses it.
    pub(crate) fn open(node: &Node<'_>, is_latest: bool) -> Result<Option<Self>, Failure> {
        if node.config.sessions.store == SessionStore::Memory {
            return Ok(None);
        }
        let store = open(&node.config.node.data_dir.join(FILE))?;
        let (mut writer, hands) = Writer::new(Box::new(store), node.workers);
        let mut links = LinkMemory::new(wiring::link_ids(node));
        let visit = &mut |entry: Entry<'_>| match entry {
            Entry::Link { name, value } if is_latest => links.read(name, value),
            // Removed at once: if this run is cut short before it writes anything, the next must not believe them.
            Entry::Link { .. } => Verdict::Remove,
            Entry::Session { .. } => Verdict::Keep,
        };
        writer.load(Table::Links, visit).map_err(|fault| unusable(&fault))?;
        Ok(Some(Self { writer, hands, links }))
    }

    /// What the links left.
    pub(crate) const fn links(&self) -> &LinkMemory {
        &self.links
    }

    /// Brings the sessions back to the shards, and tells the links what they have subscribed to.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn restore(&mut self, shards: &mut [WorkerSettings], clock: Clock) -> Result<(), Failure> {
        let (mono_ms, wall_ms) = clock.now();
        let now = Now { mono_ms, wall_ms };
        bring_back(&mut self.writer, shards, now).map_err(|fault| unusable(&fault))?;
        let of = u16::try_from(shards.len()).unwrap_or(u16::MAX);
        for ((number, worker), hand) in (0..=u8::MAX).zip(shards).zip(self.hands.drain(..)) {
            for link in (0..worker.shard.links()).map(LinkId::shared) {
                let client_id = worker.shard.link(link).map(|link| link.client_id().to_owned()).unwrap_or_default();
                let senseless = worker.shard.recall(link, self.links.take_filters(&client_id));
                if senseless > 0 {
                    tracing::warn!(%client_id, records = senseless, "subscriptions of a link that make no sense");
                }
            }
            let home = Home { shard: number, of };
            worker.driver.records = Some(Carrier { hand, gateways: gateways::names(), home });
        }
        Ok(())
    }

    /// Starts the thread that writes. Returns what it counts.
    ///
    /// # Errors
    /// If there is no thread.
    pub(crate) fn start(self, ended: &mpsc::UnboundedSender<Ended>) -> Result<Arc<Meter>, Failure> {
        let (writer, ended) = (self.writer, ended.clone());
        let meter = writer.meter();
        let body = move || {
            let how = guarded(|| writer.run().map_err(|fault| format!("sessions are not written: {fault}")));
            // The receiver is gone only when the process is about to be.
            drop(ended.send(Ended { who: Part::Sessions, how }));
        };
        let thread = thread::Builder::new().name("sessions".to_owned()).spawn(body);
        thread.map_err(|fault| Failure::Running(format!("cannot start the session store: {fault}")))?;
        Ok(meter)
    }
}

fn open(path: &Path) -> Result<FileStore, Failure> {
    let opened = FileStore::open(path).map_err(|fault| unusable(&fault))?;
    if let Some((aside, reason)) = opened.damaged {
        tracing::error!(file = %path.display(), kept = %aside.display(), reason, "damaged session store: a new one begun");
    }
    Ok(opened.store)
}

fn unusable(fault: &StoreFault) -> Failure {
    Failure::Running(format!("sessions.store: {fault}"))
}

fn bring_back(writer: &mut Writer, shards: &mut [WorkerSettings], now: Now) -> Result<(), StoreFault> {
    let count = u16::try_from(shards.len()).unwrap_or(u16::MAX);
    let mut fates = Fates::default();
    let loaded = writer.load(Table::Sessions, &mut |entry| match entry {
        Entry::Session { gateway, id, home, session } => {
            let number = gateways::number(gateway);
            let worker = shards.get_mut(usize::from(home.in_node_of(count, id)));
            let thawed = match (number, worker) {
                (Some(number), Some(worker)) => worker.shard.thaw(now, number, id, session),
                (None, _) | (_, None) => Err(Unthawed::NoRoom),
            };
            fates.judge(thawed)
        }
        Entry::Link { .. } => Verdict::Keep,
    })?;
    let Fates { restored, expired, no_room } = fates;
    writer.restored(restored, expired, no_room);
    let set_aside = loaded.set_aside;
    if set_aside > 0 || no_room > 0 {
        tracing::warn!(restored, expired, no_room, set_aside, "not all sessions are back");
    } else {
        tracing::info!(restored, expired, "sessions are back");
    }
    Ok(())
}

impl Fates {
    fn judge(&mut self, thawed: Result<(), Unthawed>) -> Verdict {
        match thawed {
            Ok(()) => {
                self.restored += 1;
                Verdict::Keep
            }
            Err(Unthawed::Expired) => {
                self.expired += 1;
                Verdict::Remove
            }
            Err(Unthawed::Corrupt) => Verdict::SetAside,
            Err(Unthawed::NoRoom) => {
                self.no_room += 1;
                Verdict::Keep
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::Qos;
    use bridge_core::bridge::{FilterRecord, LinkChanges};
    use config::Config;
    use store::link_changes;
    use transport::broker::Target;

    #[test]
    fn what_an_earlier_run_than_the_last_left_of_the_links_is_never_believed() {
        let dir = std::env::temp_dir().join(format!("tidegate-sessions-{}", std::process::id()));
        let mut config = Config::default();
        config.node.data_dir.clone_from(&dir);
        config.sessions.store = SessionStore::File;
        let target = Target::tcp("127.0.0.1", 1);
        let node = Node { config: &config, name: "north", workers: 1, targets: [target].into() };
        let filter = FilterRecord { filter: "a".into(), id: 7, granted: Some(Qos::AtMostOnce) };
        let client_id = wiring::link_ids(&node).remove(0);
        let (session, put, removed) = (None, vec![filter.clone()], Vec::new());
        let changes = LinkChanges { client_id: client_id.clone(), session, is_new: false, put, removed };
        let mut store = open(&dir.join(FILE)).unwrap();
        store::SessionStore::write(&mut store, &link_changes(changes).collect::<Vec<_>>()).unwrap();
        drop(store);
        // The last run has kept it; it has not; this one, which nothing of was written, has.
        for (is_latest, expected) in [(true, vec![filter]), (false, Vec::new()), (true, Vec::new())] {
            let mut sessions = Sessions::open(&node, is_latest).unwrap().unwrap();
            assert_eq!(sessions.links.take_filters(&client_id), expected, "{is_latest}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_session_that_is_not_back_goes_only_if_its_time_is_over() {
        let mut fates = Fates::default();
        let all = [Ok(()), Err(Unthawed::Expired), Err(Unthawed::Corrupt), Err(Unthawed::NoRoom)];
        let verdicts = all.map(|thawed| fates.judge(thawed));
        assert_eq!(verdicts, [Verdict::Keep, Verdict::Remove, Verdict::SetAside, Verdict::Keep]);
        assert_eq!(fates, Fates { restored: 1, expired: 1, no_room: 1 });
    }
}
