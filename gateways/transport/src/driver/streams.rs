//! Connections of devices, between their sockets and the shard: each is polled when its socket is ready, or when its
//! machine has touched it. One that waits costs a turn nothing.

mod connection;
mod counts;
mod greeting;
mod moved;
mod port;
#[cfg(test)]
mod tests;

pub use moved::{Crossing, crossings};
pub use port::StreamListener;

use crate::ready::ReadyList;
use crate::rest::Rest;
use crate::stream::Wire;
use bridge_core::meter::{Counts, Meter};
use bridge_core::slab::{Key, Slab};
use bridge_core::streams::{CloseReason, ConnRef};
use bridge_core::time::{Deadline, Now, earliest, millis};
use bridge_core::wheel::Wheel;
use connection::{Connection, Heard, Misled, Phase, Spoke};
use counts::StreamCount;
use port::Port;
use shard::Shard;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

/// All connections of a driver.
#[derive(Debug)]
pub(super) struct Connections {
    ports: Vec<Port>,
    table: Slab<Connection>,
    /// The connection of each of the shard's numbers, by slot.
    numbers: Vec<Key>,
    ready: ReadyList,
    wheel: Wheel<Key>,
    /// Timers that have fired, between two looks at them.
    due: Vec<Key>,
    crossing: Crossing,
    lingering: usize,
    counts: Counts<StreamCount>,
}

impl Connections {
    /// To be called on the runtime that will poll them.
    ///
    /// # Errors
    /// If the runtime's poller refuses a socket.
    pub(super) fn new(now: Now, listeners: Vec<StreamListener>, crossing: Crossing) -> io::Result<Self> {
        Ok(Self {
            ports: listeners.into_iter().map(Port::new).collect::<io::Result<_>>()?,
            table: Slab::default(),
            numbers: Vec::new(),
            ready: ReadyList::default(),
            wheel: Wheel::new(now.mono_ms),
            due: Vec::new(),
            crossing,
            lingering: 0,
            counts: Counts::default(),
        })
    }

    /// For whoever reports.
    pub(super) fn meter(&self) -> Arc<Meter> {
        self.counts.meter()
    }

    /// Takes in who comes, and hands the shard what came. True when there may be more at once.
    ///
    /// # Errors
    /// If a listener has become useless.
    pub(super) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        shard: &mut Shard,
        scratch: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let mut busy = self.hear_crossing(cx, now, shard);
        for port in 0..self.ports.len() {
            busy |= self.accept(cx, now, port, shard, scratch)?;
        }
        self.expire(now, shard);
        self.ready.gather(cx);
        let mut effort = 0;
        while effort < EFFORT_A_TURN
            && let Some(key) = self.ready.next()
        {
            effort += self.attend(now, key, shard, scratch);
        }
        // The socket has not said that it will wake the task.
        busy |= self.ports.iter().any(Port::may_go_on);
        Ok(busy || self.ready.left() > 0)
    }

    /// Writes what has to leave over connections that were touched, and closes those that are to be closed. True if there
    /// were any.
    pub(super) fn speak(&mut self, now: Now, shard: &mut Shard, scratch: &mut Vec<u8>) -> bool {
        for touched in 0..TOUCHED_A_TURN {
            let Some(conn) = shard.streams().take_touched() else { return touched > 0 };
            let Some(key) = self.find(conn) else { continue };
            if let Some(connection) = self.table.get(key)
                && let Phase::Open { held: true, .. } = connection.phase
                && shard.streams().reads(conn)
            {
                connection.waker.wake_by_ref();
            }
            self.say(now, key, shard, scratch);
        }
        true
    }

    /// When [`Connections::hear`] has something to do at the latest.
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let timers = self.wheel.next_deadline().map(Deadline);
        self.ports.iter().map(Port::next_deadline).fold(timers, earliest)
    }

    /// Lets nobody new in, and nobody who has not come in yet.
    pub(super) fn drain(&mut self, shard: &Shard) {
        self.ports.iter_mut().for_each(Port::shut);
        let greeting = |connection: &Connection| !matches!(connection.phase, Phase::Open { .. } | Phase::Lingering);
        let keys: Vec<Key> = self.table.iter().filter(|(_, each)| greeting(each)).map(|(key, _)| key).collect();
        for key in keys {
            self.turn_away(key, shard);
        }
    }

    /// Nothing is left to be said to anybody.
    pub(super) const fn is_drained(&self) -> bool {
        self.table.len() == self.lingering
    }

    /// Brings the gauges up to date.
    pub(super) fn gauge(&self) {
        let greeting = self.greeting();
        let open = self.table.len().saturating_sub(greeting).saturating_sub(self.lingering);
        self.counts.set(StreamCount::Greeting, greeting as u64);
        self.counts.set(StreamCount::Open, open as u64);
        self.counts.set(StreamCount::Lingering, self.lingering as u64);
    }

    /// Connections that the shard does not know yet.
    fn greeting(&self) -> usize {
        self.ports.iter().map(|port| port.greeting).sum()
    }

    fn insert(&mut self, wire: Wire, addr: SocketAddr, port: u16, phase: Phase, rest: Rest) -> Option<Key> {
        let waker = self.ready.waker(self.table.next_key()?);
        self.table.insert(Connection { wire, waker, addr, port, phase, placed: false, rest, timer: None })
    }

    /// Does what is to be done for a connection that is ready; returns how much work that was, in small reads of one.
    fn attend(&mut self, now: Now, key: Key, shard: &mut Shard, scratch: &mut Vec<u8>) -> usize {
        let Some(connection) = self.table.get_mut(key) else { return 0 };
        match connection.phase {
            Phase::Proxy | Phase::Hello => self.greet(now, key, shard, scratch),
            Phase::Handshake => {
                self.greet(now, key, shard, scratch);
                return HANDSHAKE_EFFORT;
            }
            Phase::Open { conn, .. } => {
                // A read may bring one message, or thousands.
                return 1 + self.hear_one(now, key, conn, shard, scratch) / SMALL_READ;
            }
            Phase::Lingering => {
                if connection.linger(scratch) {
                    self.drop_connection(key);
                }
            }
        }
        1
    }

    /// From here on the shard knows the connection as `conn`.
    fn enter(&mut self, key: Key, conn: ConnRef) {
        let slot = conn.0.slot as usize;
        if self.numbers.len() <= slot {
            self.numbers.resize(slot + 1, key);
        }
        if let (Some(number), Some(connection)) = (self.numbers.get_mut(slot), self.table.get_mut(key)) {
            *number = key;
            connection.phase = Phase::Open { conn, heard: false, held: false, closing: false };
        }
    }

    /// The connection that the shard knows as `conn`.
    fn find(&self, conn: ConnRef) -> Option<Key> {
        let key = *self.numbers.get(conn.0.slot as usize)?;
        match self.table.get(key)?.phase {
            Phase::Open { conn: number, .. } if number == conn => Some(key),
            _ => None,
        }
    }

    /// Returns how many octets the shard was offered.
    fn hear_one(&mut self, now: Now, key: Key, conn: ConnRef, shard: &mut Shard, scratch: &mut Vec<u8>) -> usize {
        let mut offered = 0;
        let Some(connection) = self.table.get_mut(key) else { return offered };
        match connection.hear(now, shard, scratch, &self.counts, &mut offered) {
            Heard::Waits => {}
            Heard::More => connection.waker.wake_by_ref(),
            Heard::Misled(misled) => {
                if let Some(port) = self.ports.get_mut(usize::from(connection.port)) {
                    port.tell_of_misled(misled, connection.addr, now);
                }
                self.counts.up(match misled {
                    Misled::Tls => StreamCount::RefusedTlsOnPlain,
                    Misled::Proxy => StreamCount::RefusedProxyUnasked,
                });
                self.drop_connection(key);
                shard.stream_closed(now, conn, CloseReason::Broken);
            }
            Heard::Ended(why) => {
                // What was said in answer to the peer's last words may still reach it.
                if why == CloseReason::Peer {
                    connection.speak(now, shard, &self.counts);
                }
                self.lose(now, key, conn, why, shard);
            }
        }
        while let Some(handover) = shard.take_handover() {
            self.move_on(handover, shard);
        }
        // Its socket may have room again.
        if !shard.streams().pending(conn).is_empty() {
            self.say(now, key, shard, scratch);
        }
        offered
    }

    /// Writes what is pending; once a connection that its machine closed has said all, it lingers.
    fn say(&mut self, now: Now, key: Key, shard: &mut Shard, scratch: &mut Vec<u8>) {
        let Some(connection) = self.table.get_mut(key) else { return };
        let Phase::Open { conn, closing, .. } = connection.phase else { return };
        match connection.speak(now, shard, &self.counts) {
            Spoke::All if shard.streams().is_closing(conn) => {
                self.counts.up(StreamCount::EndedByGateway);
                shard.stream_done(conn);
                connection.wire.end();
                connection.phase = Phase::Lingering;
                connection.rest = Rest::default();
                self.lingering += 1;
                self.arm(now, key, LINGER);
                self.attend(now, key, shard, scratch);
            }
            Spoke::All => self.disarm(key),
            Spoke::More => connection.waker.wake_by_ref(),
            Spoke::Stuck(_) if closing => {}
            Spoke::Stuck(taken) => {
                let port = self.ports.get(usize::from(connection.port));
                let mut within = port.map_or(CLOSE_WITHIN, |port| port.send_timeout);
                let mut anew = taken || connection.timer.is_none();
                if shard.streams().is_closing(conn)
                    && let Phase::Open { closing, .. } = &mut connection.phase
                {
                    *closing = true;
                    (within, anew) = (CLOSE_WITHIN, true);
                }
                if anew {
                    self.arm(now, key, within);
                }
            }
            Spoke::Broken => self.lose(now, key, conn, CloseReason::Broken, shard),
        }
    }

    /// A connection has ended, by no doing of its machine, or before what that had to say last was said.
    fn lose(&mut self, now: Now, key: Key, conn: ConnRef, why: CloseReason, shard: &mut Shard) {
        self.counts.up(match why {
            _ if shard.streams().is_closing(conn) => StreamCount::EndedUnflushed,
            CloseReason::Peer => StreamCount::EndedByPeer,
            CloseReason::Broken => StreamCount::EndedBroken,
            CloseReason::Stalled => StreamCount::EndedStalled,
        });
        self.drop_connection(key);
        shard.stream_closed(now, conn, why);
    }

    /// Does what is to be done for those who took too long.
    fn expire(&mut self, now: Now, shard: &mut Shard) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now.mono_ms, |key| due.push(key));
        for key in due.drain(..) {
            let Some(connection) = self.table.get_mut(key) else { continue };
            connection.timer = None;
            match connection.phase {
                Phase::Proxy => {
                    self.tell_of_delay(key, "the PROXY header took too long");
                    self.refuse(key, StreamCount::RefusedProxyTimeout, shard);
                }
                Phase::Hello | Phase::Handshake => {
                    self.tell_of_delay(key, "the TLS handshake took too long");
                    self.refuse(key, StreamCount::RefusedHandshakeTimeout, shard);
                }
                Phase::Open { conn, .. } => self.lose(now, key, conn, CloseReason::Stalled, shard),
                Phase::Lingering => self.drop_connection(key),
            }
        }
        self.due = due;
    }

    fn tell_of_delay(&self, key: Key, reason: &'static str) {
        let Some(connection) = self.table.get(key) else { return };
        let Some(port) = self.ports.get(usize::from(connection.port)) else { return };
        tracing::debug!(listener = %port.key, peer = %connection.addr, reason, "a connection came to nothing");
    }

    fn refuse(&mut self, key: Key, reason: StreamCount, shard: &Shard) {
        self.counts.up(reason);
        self.turn_away(key, shard);
    }

    /// Closes a connection that the shard does not know yet.
    fn turn_away(&mut self, key: Key, shard: &Shard) {
        let Some(connection) = self.take(key) else { return };
        if let Some(port) = self.ports.get(usize::from(connection.port)).filter(|_| connection.placed) {
            shard.vacate(port.id);
        }
    }

    /// Closes a connection that the shard does not know any more.
    fn drop_connection(&mut self, key: Key) {
        drop(self.take(key));
    }

    fn take(&mut self, key: Key) -> Option<Connection> {
        self.disarm(key);
        let connection = self.table.remove(key)?;
        match connection.phase {
            Phase::Open { .. } => {}
            Phase::Lingering => self.lingering = self.lingering.saturating_sub(1),
            Phase::Proxy | Phase::Hello | Phase::Handshake => {
                if let Some(port) = self.ports.get_mut(usize::from(connection.port)) {
                    port.greeting = port.greeting.saturating_sub(1);
                }
            }
        }
        Some(connection)
    }

    fn arm(&mut self, now: Now, key: Key, within: Duration) {
        let Some(connection) = self.table.get_mut(key) else { return };
        let at_ms = now.mono_ms.saturating_add(millis(within));
        if !connection.timer.is_some_and(|timer| self.wheel.reschedule(timer, at_ms)) {
            connection.timer = Some(self.wheel.schedule(at_ms, key));
        }
    }

    fn disarm(&mut self, key: Key) {
        if let Some(timer) = self.table.get_mut(key).and_then(|connection| connection.timer.take()) {
            self.wheel.cancel(timer);
        }
    }
}

/// Connections that are attended to before everybody else gets a turn: fewer, if they send much.
const EFFORT_A_TURN: usize = 512;
/// So many octets are as much work as one of those.
const SMALL_READ: usize = 1024;
/// A step of a TLS handshake counts as so many of those.
const HANDSHAKE_EFFORT: usize = 32;
/// Connections that are written to before everybody else gets a turn.
const TOUCHED_A_TURN: usize = 4096;
/// Time for what is pending when a machine closes its connection.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Time for a device to close its side after us.
const LINGER: Duration = Duration::from_secs(2);
