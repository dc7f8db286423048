//! Drives one shard: sockets and the clock on one side, pure state on the other.
//!
//! One task on a current-thread runtime does everything for a shard, in turns: take what came, let the shard work, carry
//! away what it has to say. A turn reads at most one batch from each socket, so that no socket starves another, and ends
//! with what all of it has to say to each broker connection in one piece.

mod counts;
mod credentials;
pub(crate) mod line;
mod lines;
mod question;
mod records;
mod streams;
#[cfg(test)]
mod tests;

pub use credentials::{AskStore, CredentialLine};
pub use question::Question;
pub use streams::{Crossing, StreamListener, crossings};

use crate::broker::Target;
use crate::clock::Clock;
use crate::sys::BATCH;
use crate::udp::{Batch, BoundUdp, SendQueue, UdpListener};
use bridge_core::acl::Acl;
use bridge_core::ask::Answer;
use bridge_core::auth::AuthRules;
use bridge_core::listeners::Listeners;
use bridge_core::meter::{Counts, Meter};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
use bridge_core::time::{Deadline, Now, earliest};
use counts::DriverCount;
use lines::Lines;
pub use records::Carrier;
use records::Courier;
use shard::{Parcel, Shard};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use streams::Connections;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

/// Datagrams that wait for the kernel, per listener.
const SEND_QUEUE: usize = 65_536;
/// Octets of those.
const SEND_QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Datagrams that wait for another shard, per pair of shards.
pub const FORWARD_QUEUE: usize = 4096;
/// Turns before the runtime gets a word in.
const TURNS: usize = 32;
/// Rounds of a turn in which connections, and lines to brokers, are written to.
const ROUNDS: usize = 4;
/// While there is no deadline the timer looks this far ahead.
const IDLE: Duration = Duration::from_secs(3600);

/// What a shard is asked from outside.
#[derive(Debug)]
pub enum Command {
    /// Let nobody new in, flush, and end within this time.
    Drain(Duration),
    /// The configuration has changed: the machines read it anew.
    Reconfigure,
    /// These rules hold from now on, for who comes and for what is asked.
    Rules {
        /// Who may come in.
        auth: Arc<AuthRules>,
        /// Who may publish and subscribe where.
        acl: Arc<Acl>,
        /// Whom the listeners hear, and how much each of their sessions may publish.
        listeners: Arc<Listeners>,
    },
    /// Bring the gauges up to date and say how the links are.
    Report(oneshot::Sender<Report>),
    /// A question of the admin API about the clients of one gateway.
    Ask {
        /// Whose.
        gateway: GatewayId,
        /// What.
        question: Question,
        /// Whoever asked.
        answer: oneshot::Sender<Answer>,
    },
}

/// How a shard is.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every link is online with all its subscriptions in force.
    pub reachable: bool,
    /// Each link's state.
    pub links: Vec<LinkReport>,
}

/// How a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// The client id that it has at the broker, as in the log.
    pub client_id: String,
    /// The broker has accepted it.
    pub online: bool,
    /// In plain words.
    pub text: String,
}

/// What a driver is made of.
#[derive(Debug)]
pub struct DriverSettings {
    /// Bound sockets, with the listener each belongs to.
    pub sockets: Vec<(ListenerId, BoundUdp)>,
    /// Listeners of connections.
    pub streams: Vec<StreamListener>,
    /// The way of connections to other drivers and from them.
    pub crossing: Crossing,
    /// The brokers, in the order in which they are tried.
    pub targets: Arc<[Target]>,
    /// Time for a connection to a broker to come about.
    pub connect_timeout: Duration,
    /// From outside.
    pub commands: mpsc::Receiver<Command>,
    /// From other shards.
    pub inbox: mpsc::Receiver<Parcel>,
    /// To all shards, by number.
    pub shards: Vec<mpsc::Sender<Parcel>>,
    /// To the store, if sessions are to outlive the process.
    pub records: Option<Carrier>,
    /// To the credential stores and back.
    pub credentials: CredentialLine,
}

/// One listener's socket.
#[derive(Debug)]
struct Port {
    listener: ListenerId,
    socket: UdpListener,
    queue: SendQueue,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Driver {
    clock: Clock,
    shard: Shard,
    ports: Vec<Port>,
    batch: Batch,
    connections: Connections,
    lines: Lines,
    /// Everything that streams is read through this.
    scratch: Vec<u8>,
    commands: mpsc::Receiver<Command>,
    inbox: mpsc::Receiver<Parcel>,
    shards: Vec<mpsc::Sender<Parcel>>,
    records: Option<Courier>,
    credentials: CredentialLine,
    sleep: Pin<Box<Sleep>>,
    drain: Option<Deadline>,
    counts: Counts<DriverCount>,
}

impl Driver {
    /// To be called on the runtime that will run it.
    ///
    /// # Errors
    /// If the runtime's poller refuses a socket.
    ///
    /// # Panics
    /// Outside a tokio runtime whose I/O and time are enabled.
    pub fn new(clock: Clock, shard: Shard, settings: DriverSettings) -> io::Result<Self> {
        let listen = |(listener, bound): (ListenerId, BoundUdp)| {
            let queue = SendQueue::new(SEND_QUEUE, SEND_QUEUE_BYTES);
            Ok(Port { listener, socket: bound.listen()?, queue })
        };
        let (mono_ms, wall_ms) = clock.now();
        Ok(Self {
            clock,
            connections: Connections::new(Now { mono_ms, wall_ms }, settings.streams, settings.crossing)?,
            ports: settings.sockets.into_iter().map(listen).collect::<io::Result<_>>()?,
            batch: Batch::new(Batch::WHOLE_DATAGRAM),
            lines: Lines::new(settings.targets, settings.connect_timeout),
            scratch: Vec::new(),
            shard,
            commands: settings.commands,
            inbox: settings.inbox,
            shards: settings.shards,
            records: settings.records.map(Courier::new),
            credentials: settings.credentials,
            sleep: Box::pin(tokio::time::sleep(IDLE)),
            drain: None,
            counts: Counts::default(),
        })
    }

    /// For whoever reports.
    #[must_use]
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        vec![self.counts.meter(), self.connections.meter()]
    }

    /// Runs until drained.
    ///
    /// # Errors
    /// If a socket has become useless.
    pub async fn run(mut self) -> io::Result<()> {
        // Its turns are fair by themselves; the runtime's own measure would stop it amid one.
        tokio::task::unconstrained(poll_fn(|cx| self.poll(cx))).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            let now = self.now();
            let busy = self.turn(cx, now)?;
            if self.has_ended(now) {
                // The last word on what was left.
                self.gauge();
                return Poll::Ready(Ok(()));
            }
            if !busy && self.arm(cx, now) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn now(&self) -> Now {
        let (mono_ms, wall_ms) = self.clock.now();
        Now { mono_ms, wall_ms }
    }

    /// One turn; true when there may be more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>, now: Now) -> io::Result<bool> {
        let mut busy = self.hear_commands(cx, now);
        if let Some(records) = &mut self.records {
            busy |= records.hear(cx, now, &mut self.shard);
        }
        busy |= self.credentials.hear(cx, now, &mut self.shard);
        busy |= self.hear_shards(cx, now);
        busy |= self.hear_devices(cx, now)?;
        busy |= self.connections.hear(cx, now, &mut self.shard, &mut self.scratch)?;
        busy |= self.lines.hear(cx, now, &mut self.shard, &mut self.scratch);
        if self.shard.next_deadline().is_some_and(|deadline| deadline.is_due(now)) {
            self.shard.timer(now);
        }
        self.credentials.speak(now, &mut self.shard);
        // What they take may set more free.
        let mut rounds = 0..ROUNDS;
        while rounds.next().is_some() {
            self.shard.finish(now);
            let spoke = self.connections.speak(now, &mut self.shard, &mut self.scratch);
            if !(self.lines.speak(now, &mut self.shard) || spoke) {
                break;
            }
        }
        busy |= rounds.is_empty();
        self.speak_to_devices(cx)?;
        self.speak_to_shards();
        if let Some(records) = &mut self.records {
            // Busy, so that the next turn asks to be woken when it is written.
            busy |= records.carry(now, &mut self.shard);
        }
        Ok(busy)
    }

    fn hear_commands(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let mut busy = false;
        while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            busy = true;
            match command {
                Command::Drain(within) => {
                    let until = now.after(within);
                    self.drain = Some(until);
                    self.connections.drain(&self.shard);
                    self.shard.drain(now, until);
                }
                Command::Reconfigure => self.shard.reconfigure(now),
                Command::Rules { auth, acl, listeners } => self.shard.replace_rules(auth, acl, listeners),
                Command::Report(answer) => {
                    self.gauge();
                    let links = self.lines.report(now, &self.shard);
                    // Nobody waits any more: nothing is lost.
                    drop(answer.send(Report { reachable: self.shard.is_reachable(), links }));
                }
                // Who has stopped waiting for an answer has no effect any more.
                Command::Ask { answer, .. } if answer.is_closed() => {}
                Command::Ask { gateway, question, answer } => {
                    let told = question.put(|ask| self.shard.ask(now, gateway, ask));
                    drop(answer.send(told));
                }
            }
        }
        busy
    }

    fn hear_shards(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let mut heard = 0;
        while heard < BATCH {
            let Poll::Ready(Some(parcel)) = self.inbox.poll_recv(cx) else { break };
            self.shard.receive(now, &parcel);
            heard += 1;
        }
        heard == BATCH
    }

    fn hear_devices(&mut self, cx: &mut Context<'_>, now: Now) -> io::Result<bool> {
        let mut busy = false;
        for port in &mut self.ports {
            let Poll::Ready(received) = port.socket.poll_recv(cx, &mut self.batch)? else { continue };
            busy = true;
            self.counts.add(DriverCount::Received, received as u64);
            self.counts.up(DriverCount::ReceiveBatches);
            self.counts.add(DriverCount::Oversized, self.batch.oversized() as u64);
            for datagram in self.batch.iter() {
                if datagram.broadcast && self.shard.id() != ShardId(0) {
                    // The first shard has it, too: one answer is enough, and one publication.
                    continue;
                }
                let hears = |ip| self.shard.admits(port.listener, ip);
                let (device, bytes) = match port.socket.proxied().map(|peers| peers.unwrap(&datagram, hears)) {
                    None => (datagram.peer, datagram.bytes),
                    Some(Some(proxied)) => proxied,
                    Some(None) => {
                        self.counts.up(DriverCount::NotProxied);
                        continue;
                    }
                };
                let peer = Peer::plain(port.listener, device, datagram.local);
                self.shard.datagram(now, peer, Proven::default(), bytes);
            }
        }
        Ok(busy)
    }

    fn speak_to_devices(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let outbox = self.shard.outbox();
        for (peer, bytes) in outbox.iter() {
            // Few listeners: a walk is cheaper than a map.
            if let Some(port) = self.ports.iter_mut().find(|port| port.listener == peer.listener) {
                let way = port.socket.proxied().map_or(Some(peer.addr), |peers| peers.way_to(peer.addr));
                match way {
                    // The queue counts what it has no room for.
                    Some(way) => drop(port.queue.push(way, peer.local, bytes)),
                    None => self.counts.up(DriverCount::NoWayBack),
                }
            }
        }
        outbox.clear();
        for port in &mut self.ports {
            // Pending: the task is woken when the kernel has room again.
            if let Poll::Ready(result) = port.socket.poll_flush(cx, &mut port.queue) {
                result?;
            }
        }
        Ok(())
    }

    fn speak_to_shards(&mut self) {
        if self.shard.parcels().is_empty() {
            return;
        }
        for parcel in std::mem::take(self.shard.parcels()) {
            let Some(to) = self.shards.get(usize::from(parcel.to().0)) else { continue };
            if let Err(TrySendError::Full(parcel) | TrySendError::Closed(parcel)) = to.try_send(parcel) {
                self.shard.parcel_refused(&parcel);
            }
        }
    }

    /// Sleeps until the next deadline; false when it is due already.
    fn arm(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let deadline = earliest(self.shard.next_deadline(), self.connections.next_deadline());
        let deadline = earliest(deadline, self.drain).unwrap_or_else(|| now.after(IDLE));
        self.sleep.as_mut().reset(self.clock.instant(deadline.0).into());
        self.sleep.as_mut().poll(cx).is_pending()
    }

    fn has_ended(&self, now: Now) -> bool {
        let Some(until) = self.drain else { return false };
        let idle = self.shard.is_drained() && self.connections.is_drained() && self.lines.are_closed();
        let written = self.records.as_ref().is_none_or(|records| records.is_idle(&self.shard));
        idle && written && self.ports.iter().all(|port| port.queue.is_empty()) || until.is_due(now)
    }

    fn gauge(&self) {
        self.shard.gauge();
        self.connections.gauge();
        let unwritten = self.records.as_ref().map_or(0, |records| records.unwritten(&self.shard));
        self.counts.set(DriverCount::Unwritten, unwritten as u64);
        let mut sent = crate::udp::SendCounts::default();
        for counts in self.ports.iter().map(|port| port.queue.counts()) {
            sent.sent += counts.sent;
            sent.batches += counts.batches;
            sent.overflowed += counts.overflowed;
            sent.unreachable += counts.unreachable;
            sent.too_long += counts.too_long;
            sent.forbidden += counts.forbidden;
            sent.failed += counts.failed;
        }
        self.counts.set(DriverCount::Sent, sent.sent);
        self.counts.set(DriverCount::SendBatches, sent.batches);
        self.counts.set(DriverCount::Overflowed, sent.overflowed);
        self.counts.set(DriverCount::Unreachable, sent.unreachable);
        self.counts.set(DriverCount::SendFailed, sent.too_long + sent.forbidden + sent.failed);
    }
}
