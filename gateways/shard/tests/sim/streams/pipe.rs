//! One connection between a device and the gateway, and what happens at its two ends.

use super::StreamEvent;
use crate::world::World;
use bridge_core::peer::Peer;
use bridge_core::streams::{CloseReason, ConnRef};
use std::collections::VecDeque;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) device: usize,
    pub(super) peer: Peer,
    /// Where it is known, or is to be.
    pub(super) shard: usize,
    /// As what; `None` while it is on its way.
    pub(super) conn: Option<ConnRef>,
    /// Octets on their way to the gateway, and those that it has read and not taken.
    up: VecDeque<u8>,
    rest: Vec<u8>,
    pub(super) up_planned: bool,
    /// Octets on their way to the device.
    down: VecDeque<u8>,
    pub(super) down_planned: bool,
    pub(super) device_open: bool,
    pub(super) gateway_open: bool,
    /// Nothing arrives any more, in either direction.
    lost: bool,
    closing: bool,
    /// Since when the device takes nothing of what waits for it.
    pub(super) stalled_since: Option<u64>,
    /// Octets that the device has written, and that the machine has taken.
    pub(super) written: u64,
    taken: u64,
}

/// How the gateway loses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Peer,
    Broken,
    Stalled,
}

/// Octets that the network holds in the direction of the gateway before a device can write no more.
const SEND_BUFFER: usize = 8192;
/// How long a device may take nothing, and how long a connection may take to close.
const SEND_TIMEOUT_MS: u64 = 15_000;
const CLOSE_TIMEOUT_MS: u64 = 5000;

impl Pipe {
    pub(super) const fn new(device: usize, peer: Peer) -> Self {
        Self {
            device,
            peer,
            shard: 0,
            conn: None,
            up: VecDeque::new(),
            rest: Vec::new(),
            up_planned: false,
            down: VecDeque::new(),
            down_planned: false,
            device_open: true,
            gateway_open: true,
            lost: false,
            closing: false,
            stalled_since: None,
            written: 0,
            taken: 0,
        }
    }

    pub(super) fn write(&mut self, octets: &[u8]) {
        self.written += octets.len() as u64;
        self.up.extend(octets);
    }

    pub(super) fn has_room(&self) -> bool {
        self.up.len() < SEND_BUFFER
    }

    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn is_idle(&self) -> bool {
        let empty = self.up.is_empty() && self.rest.is_empty() && self.down.is_empty();
        empty && !self.lost && self.conn.is_some() && self.taken == self.written
    }
}

impl World {
    /// Octets of a device arrive, at times in pieces, where the gateway reads them.
    pub(super) fn up(&mut self, conn: u64) {
        let lot = self.streams.rng.next_u64();
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        pipe.up_planned = false;
        let Some(known) = pipe.conn.filter(|_| pipe.gateway_open) else { return };
        let shard = pipe.shard;
        if pipe.lost || !self.shards[shard].shard.streams().reads(known) {
            return;
        }
        let all = pipe.up.len() as u64;
        let count = if lot % 10 < 3 { all } else { (lot >> 8) % (all + 1) };
        let count = usize::try_from(count).expect("a buffer");
        pipe.rest.extend(pipe.up.drain(..count));
        if count > 0 {
            self.offer(conn);
        }
        let Some(pipe) = self.streams.pipes.get(&conn) else { return };
        if !pipe.up.is_empty() {
            self.plan_up(conn, 1 + (lot >> 40) % 8);
        } else if !pipe.device_open
            && let Some(known) = pipe.conn
            && self.shards[pipe.shard].shard.streams().reads(known)
        {
            self.gateway_hears(conn, Gone::Peer);
        }
    }

    /// Shows the machine all that it has not taken.
    pub(super) fn offer(&mut self, conn: u64) {
        let now = self.clock();
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        let (Some(known), shard) = (pipe.conn, pipe.shard) else { return };
        let side = &mut self.shards[shard];
        if pipe.rest.is_empty() || !side.shard.streams().reads(known) {
            return;
        }
        let taken = side.shard.stream(now, known, &pipe.rest);
        assert!(taken <= pipe.rest.len(), "more than there is");
        pipe.rest.drain(..taken);
        pipe.taken += taken as u64;
        side.dirty = true;
        self.checks.streams.taken(conn, pipe.taken);
        while let Some(handover) = side.shard.take_handover() {
            assert_eq!((handover.conn, taken), (known, 0), "it is handed over whole");
            self.streams.known.remove(&(shard, known));
            (pipe.conn, pipe.shard) = (None, usize::from(handover.to.0));
            assert_ne!(pipe.shard, shard, "it is there already");
            self.checks.tally.handed_over += 1;
            let delay = self.streams.rng.below(3);
            self.timeline.plan(self.now + delay, crate::event::Event::Stream(StreamEvent::Adopt(conn)));
        }
    }

    /// Does what a shard wants of its connections.
    pub(crate) fn tend_streams(&mut self, shard: usize) {
        while let Some(known) = self.shards[shard].shard.streams().take_touched() {
            if let Some(&conn) = self.streams.known.get(&(shard, known)) {
                self.drive(conn);
            }
        }
    }

    /// Writes what a connection can take, closes it if that is wanted, reads it again if it may.
    fn drive(&mut self, conn: u64) {
        let now = self.clock();
        let (window, most) = (self.plan.streams.window, self.plan.streams.most_pending());
        let lot = self.streams.rng.next_u64();
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        let (Some(known), shard) = (pipe.conn, pipe.shard) else { return };
        let side = &mut self.shards[shard];
        let pending = side.shard.streams().pending(known);
        assert!(pending.len() <= most, "{} octets are pending, {most} may be", pending.len());
        let room = window.saturating_sub(pipe.down.len()).min(pending.len());
        let count = if lot.is_multiple_of(4) { usize::try_from(lot >> 8).unwrap_or(0) % (room + 1) } else { room };
        pipe.down.extend(&pending[..count]);
        let waits = pending.len() > count;
        if count > 0 {
            side.shard.stream_written(now, known, count);
            side.dirty = true;
        }
        let began = waits && (count > 0 || pipe.stalled_since.is_none());
        pipe.stalled_since = if began { Some(self.now) } else { pipe.stalled_since.filter(|_| waits) };
        let streams = side.shard.streams();
        let (closing, reads) = (streams.is_closing(known), streams.reads(known));
        let closes = closing && !std::mem::replace(&mut pipe.closing, closing);
        pipe.closing = closing;
        if began && !closing {
            self.plan_stream(SEND_TIMEOUT_MS, StreamEvent::Stalled(conn, self.now));
        }
        if count > 0 {
            self.plan_down_stream(conn, 1 + (lot >> 32) % 8);
        }
        if count < room {
            // The socket will take more in a moment.
            self.plan_down_stream(conn, 1);
        }
        if closing && !self.has_pending(conn) {
            self.close_now(conn);
        } else if closes {
            self.checks.streams.ends(conn);
            self.plan_stream(CLOSE_TIMEOUT_MS, StreamEvent::CloseNow(conn));
        }
        if reads {
            // It may have been paused and resumed since it was looked at last.
            self.offer(conn);
            self.plan_up(conn, 1);
        }
    }

    fn has_pending(&mut self, conn: u64) -> bool {
        let Some(pipe) = self.streams.pipes.get(&conn) else { return false };
        let Some(known) = pipe.conn else { return false };
        !self.shards[pipe.shard].shard.streams().pending(known).is_empty()
    }

    /// Octets arrive at a device, if it reads.
    pub(super) fn down_stream(&mut self, conn: u64) {
        let lot = self.streams.rng.next_u64();
        let now = self.now;
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        pipe.down_planned = false;
        if pipe.lost || !pipe.device_open {
            return;
        }
        let device = pipe.device;
        let deaf_until = self.streams.devices[device].deaf_until;
        if deaf_until > now {
            return self.plan_down_stream(conn, deaf_until - now);
        }
        let all = pipe.down.len();
        let count = if lot % 10 < 5 { all } else { usize::try_from(lot >> 8).unwrap_or(0) % (all + 1) };
        let octets: Vec<u8> = pipe.down.drain(..count).collect();
        let (left, ended) = (!pipe.down.is_empty(), !pipe.gateway_open);
        let messages = self.streams.devices[device].receive(now, &octets);
        for message in messages {
            self.checks.streams.heard(conn, device, &message, &mut self.checks.tally);
        }
        if left {
            self.plan_down_stream(conn, 1 + (lot >> 40) % 8);
        } else if ended {
            self.device_hears(conn);
        } else {
            self.drive(conn);
        }
        self.wake_stream(device);
    }

    /// A connection that its machine has closed is gone, with what was pending.
    pub(super) fn close_now(&mut self, conn: u64) {
        let Some(pipe) = self.streams.pipes.get_mut(&conn).filter(|pipe| pipe.closing) else { return };
        let (Some(known), shard) = (pipe.conn.take(), pipe.shard) else { return };
        self.streams.known.remove(&(shard, known));
        self.shards[shard].shard.stream_done(known);
        self.shards[shard].dirty = true;
        self.gateway_is_done(conn);
    }

    /// The gateway loses a connection by no doing of its own.
    pub(super) fn gateway_hears(&mut self, conn: u64, how: Gone) {
        let now = self.clock();
        let Some(pipe) = self.streams.pipes.get_mut(&conn).filter(|pipe| pipe.gateway_open) else { return };
        if how == Gone::Broken && !pipe.lost {
            return;
        }
        let Some(known) = pipe.conn.take() else {
            // It is on its way to another shard, which hears of it.
            return self.plan_stream(1, StreamEvent::GatewayHears(conn));
        };
        let why = match how {
            Gone::Peer => CloseReason::Peer,
            Gone::Broken => CloseReason::Broken,
            Gone::Stalled => CloseReason::Stalled,
        };
        let shard = pipe.shard;
        self.streams.known.remove(&(shard, known));
        self.shards[shard].shard.stream_closed(now, known, why);
        self.shards[shard].dirty = true;
        self.gateway_is_done(conn);
    }

    /// Nothing more comes from the gateway.
    pub(super) fn gateway_is_done(&mut self, conn: u64) {
        self.checks.streams.ends(conn);
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        (pipe.gateway_open, pipe.conn) = (false, None);
        pipe.up.clear();
        if pipe.device_open {
            self.plan_down_stream(conn, 5);
        } else {
            self.streams.pipes.remove(&conn);
        }
    }

    /// A device closes its connection: what it has written still arrives.
    pub(super) fn device_closes(&mut self, index: usize) {
        let Some(conn) = self.streams.devices[index].conn.take() else { return };
        self.checks.streams.ends(conn);
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        pipe.device_open = false;
        pipe.down.clear();
        if pipe.gateway_open {
            self.plan_up(conn, 1);
        } else {
            self.streams.pipes.remove(&conn);
        }
    }

    /// A device hears that its connection is gone.
    pub(super) fn device_hears(&mut self, conn: u64) {
        let Some(pipe) = self.streams.pipes.get_mut(&conn).filter(|pipe| pipe.device_open) else { return };
        let device = pipe.device;
        pipe.device_open = false;
        if !pipe.gateway_open {
            self.streams.pipes.remove(&conn);
        }
        self.checks.streams.ends(conn);
        let device = &mut self.streams.devices[device];
        if device.conn == Some(conn) {
            device.ended(self.now);
            device.conn = None;
        }
        let device = device.index;
        self.wake_stream(device);
    }

    /// What is on its way is lost; each side hears of it in its time.
    pub(crate) fn cut_stream(&mut self, index: usize, (gateway_ms, device_ms): (u64, u64)) {
        let Some(conn) = self.streams.devices[index].conn else { return };
        let Some(pipe) = self.streams.pipes.get_mut(&conn) else { return };
        pipe.lost = true;
        pipe.up.clear();
        self.checks.tally.cuts += 1;
        self.checks.streams.ends(conn);
        self.plan_stream(gateway_ms, StreamEvent::GatewayHears(conn));
        self.plan_stream(device_ms, StreamEvent::DeviceHears(conn));
    }

    /// The process has ended, and with it its ends of all connections.
    pub(crate) fn end_streams(&mut self) {
        self.streams.known.clear();
        let all: Vec<u64> = self.streams.pipes.keys().copied().collect();
        for conn in all {
            self.gateway_is_done(conn);
        }
    }
}
