//! One thread per shard.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as handshake;
use std::thread;

use bridge_core::meter::Meter;
use bridge_core::peer::ShardId;
use shard::Shard;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use transport::{Clock, Command, Driver, DriverSettings};

use crate::failure::Failure;

/// A thread came to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Which.
    pub(crate) who: Part,
    /// `Err` in plain words when it should not have.
    pub(crate) how: Result<(), String>,
}

/// What has a thread of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A shard, by number.
    Shard(u8),
    /// The embedded broker.
    #[cfg(feature = "embedded-broker")]
    EmbeddedBroker,
    /// The admin listener.
    Admin,
    /// Whatever writes sessions.
    Sessions,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(number) => write!(f, "shard {number}"),
            #[cfg(feature = "embedded-broker")]
            Self::EmbeddedBroker => f.write_str("the embedded broker"),
            Self::Admin => f.write_str("the admin listener"),
            Self::Sessions => f.write_str("the session store"),
        }
    }
}

/// A shard at work, from outside.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    /// What it hears.
    pub(crate) commands: mpsc::Sender<Command>,
    /// What it counts.
    pub(crate) meters: Vec<Arc<Meter>>,
}

/// What a worker is made of.
#[derive(Debug)]
pub(crate) struct WorkerSettings {
    /// The shard, ready to go.
    pub(crate) shard: Shard,
    /// What its machines count.
    pub(crate) machine_meters: Vec<Arc<Meter>>,
    /// What its driver needs.
    pub(crate) driver: DriverSettings,
    /// The other end of the driver's commands.
    pub(crate) commands: mpsc::Sender<Command>,
}

/// Starts a shard's thread and waits until it stands.
///
/// # Errors
/// If there is no thread, no runtime, or the runtime refuses a socket.
pub(crate) fn start(
    clock: Clock,
    settings: WorkerSettings,
    ended: mpsc::UnboundedSender<Ended>,
) -> Result<Worker, Failure> {
    let WorkerSettings { shard, machine_meters, driver, commands } = settings;
    let ShardId(number) = shard.id();
    let who = Part::Shard(number);
    let mut meters = shard.meters();
    meters.extend(machine_meters);
    let (stands, standing) = handshake::channel();
    let body = move || {
        let how = guarded(|| work(clock, shard, driver, &stands));
        // The receiver is gone only when the process is about to be.
        drop(ended.send(Ended { who, how }));
    };
    let cannot = |why: String| Failure::Running(format!("cannot start {who}: {why}"));
    thread::Builder::new().name(format!("shard-{number}")).spawn(body).map_err(|fault| cannot(fault.to_string()))?;
    match standing.recv() {
        Ok(Ok(more)) => meters.extend(more),
        Ok(Err(why)) => return Err(cannot(why)),
        Err(_gone) => return Err(cannot("its thread has ended".to_owned())),
    }
    Ok(Worker { commands, meters })
}

fn work(
    clock: Clock,
    shard: Shard,
    driver: DriverSettings,
    stands: &handshake::Sender<Result<Vec<Arc<Meter>>, String>>,
) -> Result<(), String> {
    let runtime = runtime()?;
    let driver = {
        let _inside = runtime.enter();
        Driver::new(clock, shard, driver)
    };
    let driver = match driver {
        Ok(driver) => driver,
        Err(fault) => {
            drop(stands.send(Err(fault.to_string())));
            return Err(fault.to_string());
        }
    };
    drop(stands.send(Ok(driver.meters())));
    let how = runtime.block_on(driver.run());
    // A name that is still being looked up holds up nobody.
    runtime.shutdown_background();
    how.map_err(|fault| fault.to_string())
}

/// A runtime for one thread.
///
/// # Errors
/// In plain words.
pub(crate) fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(|fault| format!("no runtime: {fault}"))
}

/// Runs a thread's work; a panic in it is an end like any other. (Its message has been told by the panic itself.)
pub(crate) fn guarded(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_payload| Err("it panicked".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_end_with_an_error() {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let how = guarded(|| panic!("as it happens"));
        std::panic::set_hook(quiet);
        assert_eq!(how, Err("it panicked".to_owned()));
        assert_eq!(guarded(|| Ok(())), Ok(()));
    }
}
