//! Connections of devices: from the driver to the machines, and from shard to shard.

use crate::counts::ShardCount;
use crate::shard::Shard;
use bridge_core::gate::Shut;
use bridge_core::machine::{Handled, Input};
use bridge_core::peer::{ListenerId, Peer, Proven, ShardId};
use bridge_core::streams::{CloseReason, ConnRef, Streams};
use bridge_core::time::Now;
use std::net::IpAddr;

/// A connection whose client lives on another shard: it goes there, with all that was read of it and not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Its number here, stale by now.
    pub conn: ConnRef,
    /// Where it goes; [`Shard::adopt`] takes it in there.
    pub to: ShardId,
}

impl Shard {
    /// Gives a connection from this address a place at its listener's gate, before anything is done for it that costs
    /// something, such as a TLS handshake. [`Shard::adopt`] follows, or [`Shard::vacate`].
    ///
    /// # Errors
    /// Why there is none, which is counted: the driver is to close the connection.
    pub fn place(&mut self, now: Now, listener: ListenerId, address: IpAddr) -> Result<(), Shut> {
        let now = self.advance(now);
        if !self.hears(listener, address) {
            return Err(Shut::Denied);
        }
        self.around.gates.enter(listener, now).inspect_err(|shut| {
            self.counts.up(match shut {
                Shut::TooFast => ShardCount::ConnectionTooFast,
                Shut::Full | Shut::Denied => ShardCount::ConnectionFull,
            });
        })
    }

    /// A connection that [`Shard::place`] gave a place has come to nothing.
    pub fn vacate(&self, listener: ListenerId) {
        self.around.gates.leave(listener);
    }

    /// Whether a listener hears connections from this address. One that is not heard is counted.
    fn hears(&self, listener: ListenerId, address: IpAddr) -> bool {
        let heard = self.policies.admits(listener, address);
        if !heard {
            self.counts.up(ShardCount::ConnectionDenied);
        }
        heard
    }

    /// A connection has come. It has a place at its listener's gate until [`Shard::stream_closed`] or
    /// [`Shard::stream_done`].
    ///
    /// # Errors
    /// Why it is not let in: the driver is to close it.
    pub fn opened(&mut self, now: Now, peer: Peer, proven: Proven<'_>) -> Result<ConnRef, Shut> {
        self.place(now, peer.listener, peer.addr.ip())?;
        self.adopt(now, peer, proven).inspect_err(|_full| self.vacate(peer.listener))
    }

    /// A connection has come that has its place at the gate: by [`Shard::place`], or from another shard.
    ///
    /// # Errors
    /// There is no number left for it: the driver is to close it, and to free its place.
    pub fn adopt(&mut self, now: Now, peer: Peer, proven: Proven<'_>) -> Result<ConnRef, Shut> {
        let now = self.advance(now);
        let marks = self.listener(&peer).map(|listener| listener.marks).unwrap_or_default();
        let conn = self.around.streams.open(peer, marks).ok_or(Shut::Full)?;
        self.tell_of_peer(now, peer, Input::Opened { conn, peer, proven });
        Ok(conn)
    }

    /// Everything that came over a connection and was not taken before. Returns how much is taken; the rest is to be
    /// offered again once there is more, or once it [reads](Streams::reads) again after a pause.
    pub fn stream(&mut self, now: Now, conn: ConnRef, bytes: &[u8]) -> usize {
        let now = self.advance(now);
        let Some(peer) = self.around.streams.peer(conn) else { return bytes.len() };
        let Some(machine) = self.listener(&peer).map(|listener| usize::from(listener.gateway.0)) else { return 0 };
        let Some(machine) = self.machines.get_mut(machine) else { return 0 };
        match machine.handle(&mut self.around.cx(now), Input::Stream { conn, bytes }) {
            Handled::Here => bytes.len(),
            Handled::Took(octets) => octets.min(bytes.len()),
            Handled::Elsewhere(to) => {
                self.counts.up(ShardCount::HandedOver);
                self.around.streams.remove(conn);
                self.handovers.push(Handover { conn, to });
                0
            }
        }
    }

    /// So many octets of what was pending have left over a connection.
    pub fn stream_written(&mut self, now: Now, conn: ConnRef, octets: usize) {
        if self.around.streams.written(conn, octets)
            && let Some(peer) = self.around.streams.peer(conn)
        {
            self.tell_of_peer(now, peer, Input::Writable { conn });
        }
    }

    /// A connection has ended, by no doing of its machine.
    pub fn stream_closed(&mut self, now: Now, conn: ConnRef, why: CloseReason) {
        if self.around.streams.is_closing(conn) {
            return self.stream_done(conn);
        }
        if let Some(peer) = self.around.streams.remove(conn) {
            self.around.gates.leave(peer.listener);
            self.tell_of_peer(now, peer, Input::Closed { conn, why });
        }
    }

    /// A connection that its machine closed is gone.
    pub fn stream_done(&mut self, conn: ConnRef) {
        if let Some(peer) = self.around.streams.remove(conn) {
            self.around.gates.leave(peer.listener);
        }
    }

    /// A connection on its way to another shard could not be brought there: it has been closed, and its place is free.
    pub fn stranded(&mut self, peer: Peer) {
        self.counts.up(ShardCount::Stranded);
        self.around.gates.leave(peer.listener);
    }

    /// The connections, for their driver.
    pub const fn streams(&mut self) -> &mut Streams {
        &mut self.around.streams
    }

    /// The next connection that is to be brought to another shard.
    pub fn take_handover(&mut self) -> Option<Handover> {
        self.handovers.pop()
    }
}
