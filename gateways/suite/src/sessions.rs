//! Sessions that outlive the process: opened, brought back to their shards, and written from then on.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use bridge_core::machine::Unthawed;
use bridge_core::meter::Meter;
use bridge_core::peer::GatewayId;
use bridge_core::time::Now;
use config::{Config, SessionStore};
use store::{Entry, FileStore, Home, StoreFault, Verdict, Writer};
use tokio::sync::mpsc;
use transport::{Carrier, Clock};

use crate::failure::Failure;
use crate::wiring::GATEWAYS;
use crate::worker::{Ended, Part, WorkerSettings, guarded};

/// In `node.data_dir`.
const FILE: &str = "sessions.redb";

/// What became of the sessions in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fates {
    restored: u64,
    expired: u64,
    /// They stay in the store: their gateway or their listener is full or not there.
    no_room: u64,
}

/// Opens the store, brings its sessions back to the shards, and starts the thread that writes what they change. Returns
/// what it counts; `None` while sessions live in memory only.
///
/// # Errors
/// If there is no store: another process has it, or the system refuses it.
pub(crate) fn restore(
    config: &Config,
    shards: &mut [WorkerSettings],
    clock: Clock,
    ended: &mpsc::UnboundedSender<Ended>,
) -> Result<Option<Arc<Meter>>, Failure> {
    if config.sessions.store == SessionStore::Memory {
        return Ok(None);
    }
    let count = u16::try_from(shards.len()).unwrap_or(u16::MAX);
    let store = open(config.node.data_dir.join(FILE))?;
    let (mut writer, hands) = Writer::new(Box::new(store), count);
    let (mono_ms, wall_ms) = clock.now();
    bring_back(&mut writer, shards, Now { mono_ms, wall_ms }).map_err(|fault| unusable(&fault))?;
    for ((shard, worker), hand) in (0..=u8::MAX).zip(shards).zip(hands) {
        worker.driver.records = Some(Carrier { hand, gateways: GATEWAYS.to_vec(), home: Home { shard, of: count } });
    }
    let (meter, ended) = (writer.meter(), ended.clone());
    let body = move || {
        let how = guarded(|| writer.run().map_err(|fault| format!("sessions are not written: {fault}")));
        // The receiver is gone only when the process is about to be.
        drop(ended.send(Ended { who: Part::Sessions, how }));
    };
    let thread = thread::Builder::new().name("sessions".to_owned()).spawn(body);
    thread.map_err(|fault| Failure::Running(format!("cannot start the session store: {fault}")))?;
    Ok(Some(meter))
}

fn open(path: PathBuf) -> Result<FileStore, Failure> {
    let opened = FileStore::open(&path).map_err(|fault| unusable(&fault))?;
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
    let loaded = writer.load(&mut |entry| match entry {
        Entry::Session { gateway, id, home, session } => {
            let number = (0..).zip(GATEWAYS).find(|(_, name)| *name == gateway).map(|(number, _)| GatewayId(number));
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
