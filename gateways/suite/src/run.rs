//! One run of the node, from bound sockets to the last goodbye.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bridge_core::config::BrokerUrl;
use bridge_core::metrics::{LINK_IN_FLIGHT, QUEUE_MESSAGES};
use config::Config;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use transport::{Clock, Command};

use crate::access::Access;
use crate::admin::{self, AdminListener, AdminSettings};
use crate::cli::print;
use crate::embedded::{self, Embedded};
use crate::failure::Failure;
use crate::former_links::FormerLinks;
use crate::gateways::GATEWAYS;
use crate::reload::{Reach, Reloading};
use crate::sessions::Sessions;
use crate::signals::{Asked, Signals};
use crate::startup::{Overview, Row};
use crate::wiring::{self, Listener, Node, SOCKET_BUFFER, Wired};
use crate::worker::{self, Ended, Part, Worker, WorkerSettings};
use crate::{logs, node_name, open_files};

/// Runs until a signal, or until a part of it fails.
///
/// # Errors
/// Why it did not start, or what ended it.
pub(crate) fn run(config: Config, file: Option<PathBuf>) -> Result<(), Failure> {
    let level = logs::start(&config.log)?;
    let runtime = worker::runtime().map_err(Failure::Running)?;
    let outcome = runtime.block_on(async {
        // Before anything listens: a signal during the start must not cut it short unseen.
        let mut signals = Signals::listen()?;
        let (ended, mut ends) = mpsc::unbounded_channel();
        let (running, reach) = start(&config, ended)?;
        let timeout = config.node.shutdown_timeout.get();
        let mut reloading = Reloading { file, config, level, reach };
        match running.watch(&mut signals, &mut ends, &mut reloading).await {
            Verdict::Stop => running.drain(timeout, &mut signals, &mut ends).await,
            Verdict::Failed(why) => Err(Failure::Running(why)),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// All that runs.
#[derive(Debug)]
struct Running {
    workers: Vec<Worker>,
    embedded: Option<Embedded>,
    stopping: Arc<AtomicBool>,
    /// There is a session store, which ends after the shards.
    durable: bool,
}

/// Why the node does not run on.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Somebody asked for it.
    Stop,
    /// Something broke.
    Failed(String),
}

/// Sockets first, then the embedded broker, then shards: a port that is taken ends the start before anything has begun.
fn start(config: &Config, ended: mpsc::UnboundedSender<Ended>) -> Result<(Running, Reach), Failure> {
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    open_files::prepare(config);
    let workers = wiring::workers(config.node.workers);
    let listeners = wiring::bind(config, workers)?;
    let admin_bind = config.admin.bind.map(|bind| bind.resolve(config.node.bind));
    let admin_listener = admin_bind.map(AdminListener::bind).transpose()?;
    let embedded = start_embedded(config, &ended)?;
    let embedded_at = embedded.as_ref().map(|embedded| embedded.address);
    let name = name(config)?;
    let access = Access::start(config, &name)?;
    let node = Node { config, name: &name, workers, targets: wiring::targets(&config.broker.link, embedded_at)? };
    let overview = Overview {
        config,
        node: &name,
        workers,
        links: usize::from(wiring::links_per_worker(config.broker.link.connections, workers)) * usize::from(workers),
        rows: rows(&listeners, embedded.as_ref(), admin_listener.as_ref()),
        embedded: embedded_at,
    };
    let text = overview.text();
    warn_of_small_buffers(&listeners);
    let inventory = wiring::inventory(config, &name, &listeners);
    let former = FormerLinks::find(&node);
    let mut sessions = Sessions::open(&node, former.was_durable())?;
    let memory = sessions.as_ref().map(Sessions::links);
    let Wired { mut shards, gates, directory, gateways, tls } =
        wiring::shards(&node, listeners, memory, &access, random)?;
    former.write();
    let clock = Clock::start();
    // Before the links come up: what the broker has kept for a session must find it.
    if let Some(sessions) = &mut sessions {
        sessions.restore(&mut shards, clock)?;
    }
    let store_meter = sessions.map(|sessions| sessions.start(&ended)).transpose()?;
    let mut workers = start_workers(clock, shards, &ended)?;
    let durable = store_meter.is_some();
    if let Some(first) = workers.first_mut() {
        // What the node has once is told once.
        first.meters.extend([former.meter(), access.meter()].into_iter().chain(store_meter));
    }
    let commands = workers.iter().map(|worker| worker.commands.clone()).collect();
    let reach = Reach { gates, gateways, tls, access, commands };
    tokio::spawn(former.end_sessions(clock, random()?));
    let stopping = Arc::new(AtomicBool::new(false));
    if let Some(listener) = admin_listener {
        let settings = AdminSettings {
            workers: workers.clone(),
            inventory,
            directory,
            stopping: Arc::clone(&stopping),
            started_s: started.as_secs(),
            username: &config.admin.username,
            password: &config.admin.password,
        };
        admin::start(listener, settings, ended)?;
    }
    print(&text)?;
    Ok((Running { workers, embedded, stopping, durable }, reach))
}

fn start_embedded(config: &Config, ended: &mpsc::UnboundedSender<Ended>) -> Result<Option<Embedded>, Failure> {
    let broker = &config.broker;
    if !broker.link.servers().contains(&BrokerUrl::Embedded) {
        return Ok(None);
    }
    let bind = broker.embedded.bind.resolve(config.node.bind);
    if !bind.ip().to_canonical().is_loopback() {
        tracing::warn!(address = %bind, "the embedded broker lets everybody in who can reach it");
    }
    embedded::start(bind, broker.link.max_packet_size.bytes(), ended.clone()).map(Some)
}

fn name(config: &Config) -> Result<String, Failure> {
    let [a, b, c, d, ..] = random()?.to_le_bytes();
    let named = node_name::resolve(&config.node, u32::from_le_bytes([a, b, c, d]));
    if let Some(trouble) = named.trouble {
        tracing::warn!(node = %named.name, "{trouble}");
    }
    Ok(named.name)
}

/// From the system's source.
fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    openssl::rand::rand_bytes(&mut bytes)
        .map_err(|fault| Failure::Running(format!("the system gives no random numbers: {fault}")))?;
    Ok(u64::from_le_bytes(bytes))
}

fn rows(listeners: &[Listener], embedded: Option<&Embedded>, admin: Option<&AdminListener>) -> Vec<Row> {
    let gateways = listeners.iter().map(|listener| Row {
        protocol: GATEWAYS.get(usize::from(listener.gateway.0)).map_or("", |row| row.protocol),
        transport: listener.kind.as_str(),
        address: listener.address,
        note: listener.key.clone(),
    });
    let tcp = |protocol, address, note: &str| Row { protocol, transport: "tcp", address, note: note.to_owned() };
    let embedded = embedded.map(|embedded| tcp("MQTT", embedded.address, "embedded broker (broker.embedded)"));
    let admin = admin.map(|admin| tcp("HTTP", admin.address, "admin: /api/v5 /metrics /readyz /healthz"));
    gateways.chain(embedded).chain(admin).collect()
}

/// One line per listener: all its sockets have the same.
fn warn_of_small_buffers(listeners: &[Listener]) {
    let known = listeners.iter().filter_map(|listener| Some((listener, listener.receive_buffer()?)));
    for (listener, bytes) in known.filter(|(_, bytes)| *bytes < SOCKET_BUFFER) {
        tracing::warn!(
            listener = %listener.key,
            bytes,
            wanted = SOCKET_BUFFER,
            "the receive buffer is small, so bursts may be lost: raise sysctl net.core.rmem_max"
        );
    }
}

fn start_workers(
    clock: Clock,
    shards: Vec<WorkerSettings>,
    ended: &mpsc::UnboundedSender<Ended>,
) -> Result<Vec<Worker>, Failure> {
    shards.into_iter().map(|settings| worker::start(clock, settings, ended.clone())).collect()
}

impl Running {
    /// Until somebody wants an end, or something has come to one.
    async fn watch(
        &self,
        signals: &mut Signals,
        ends: &mut mpsc::UnboundedReceiver<Ended>,
        reloading: &mut Reloading,
    ) -> Verdict {
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => return Verdict::Stop,
                    Asked::Reload => reloading.reload().await,
                },
                Some(Ended { who, how }) = ends.recv() => {
                    let why = how.err().unwrap_or_else(|| "nobody asked for it".to_owned());
                    tracing::error!(reason = %why, "{who} has ended");
                    return Verdict::Failed(format!("{who} has ended: {why}"));
                }
            }
        }
    }

    /// Lets nobody new in, gives the broker what it is owed, and says goodbye; a second signal cuts that short.
    async fn drain(
        self,
        timeout: Duration,
        signals: &mut Signals,
        ends: &mut mpsc::UnboundedReceiver<Ended>,
    ) -> Result<(), Failure> {
        // A number in JSON, which a u128 would not be.
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(timeout_ms, "stopping");
        self.stopping.store(true, Ordering::Relaxed);
        let until = Instant::now() + timeout;
        // The embedded broker is stopped after the links have said goodbye to it.
        let reserved = if self.embedded.is_some() { (timeout / 5).min(EMBEDDED_STOP) } else { Duration::ZERO };
        let within = timeout.saturating_sub(reserved);
        tokio::select! {
            () = signals.stop() => Err(Failure::Running("stopped by a second signal, before all was said".to_owned())),
            outcome = self.flush(within, until, ends) => outcome,
        }
    }

    async fn flush(
        self,
        within: Duration,
        until: Instant,
        ends: &mut mpsc::UnboundedReceiver<Ended>,
    ) -> Result<(), Failure> {
        for worker in &self.workers {
            // A shard that hears nothing any more has told why it ended.
            drop(timeout_at(until, worker.commands.send(Command::Drain(within))).await);
        }
        let mut outcome = Ok(());
        let mut left = self.workers.len() + usize::from(self.durable);
        while left > 0 {
            let Ok(Some(Ended { who, how })) = timeout_at(until + GRACE, ends.recv()).await else {
                return Err(Failure::Running(format!("{left} of the shards and their store did not stop in time")));
            };
            left -= usize::from(matches!(who, Part::Shard(_) | Part::Sessions));
            if let Err(why) = how {
                outcome = Err(Failure::Running(format!("{who} has ended: {why}")));
            }
        }
        let left_over = left_over(&self.workers);
        if left_over > 0 {
            tracing::warn!(messages = left_over, "stopped before the broker had taken everything");
        }
        if let Some(embedded) = self.embedded {
            let left = until.saturating_duration_since(Instant::now());
            embedded.stop(left.min(EMBEDDED_STOP)).await;
        }
        tracing::info!("stopped");
        outcome
    }
}

/// Messages in the links' queues and windows, as the shards last counted them.
fn left_over(workers: &[Worker]) -> u64 {
    let series = workers.iter().flat_map(|worker| &worker.meters).flat_map(|meter| meter.read());
    let waiting = series.filter(|(series, _)| match series.family.name {
        name if name == LINK_IN_FLIGHT.name => true,
        name => name == QUEUE_MESSAGES.name && series.labels.contains(&("queue", "link")),
    });
    waiting.map(|(_, count)| count).sum()
}

/// For the embedded broker to say goodbye to its clients.
const EMBEDDED_STOP: Duration = Duration::from_secs(2);
/// Shards end by themselves when their time is over; this is for the way to tell.
const GRACE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener_tls::ListenerTls;
    use bridge_core::gate::Gates;

    #[test]
    fn whatever_ends_unasked_ends_the_node_and_is_named() {
        for (who, how, expected) in [
            (Part::Shard(3), Err("it panicked".to_owned()), "shard 3 has ended: it panicked"),
            (Part::Admin, Ok(()), "the admin listener has ended: nobody asked for it"),
        ] {
            let verdict = worker::runtime().unwrap().block_on(async {
                let stopping = Arc::default();
                let running = Running { workers: Vec::new(), embedded: None, stopping, durable: false };
                let (ended, mut ends) = mpsc::unbounded_channel();
                ended.send(Ended { who, how }).unwrap();
                let reach = Reach {
                    gates: Gates::default(),
                    gateways: Vec::new(),
                    tls: ListenerTls::default(),
                    access: Access::start(&Config::default(), "north").unwrap(),
                    commands: Vec::new(),
                };
                let level = logs::Level::of_nobody();
                let mut reloading = Reloading { file: None, config: Config::default(), level, reach };
                running.watch(&mut Signals::listen().unwrap(), &mut ends, &mut reloading).await
            });
            assert_eq!(verdict, Verdict::Failed(expected.to_owned()));
        }
    }
}
