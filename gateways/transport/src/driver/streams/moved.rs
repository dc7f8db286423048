//! Connections on their way from one driver to another: to the shard where their client lives.

use super::Connections;
use super::connection::{Connection, Phase};
use crate::rest::Rest;
use crate::stream::{Wire, proven};
use bridge_core::peer::{ListenerId, Peer, ProvenBuf, ShardId};
use bridge_core::time::Now;
use shard::{Handover, Shard};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What a driver sends connections through to the others, and takes theirs in by.
#[derive(Debug)]
pub struct Crossing {
    here: mpsc::Receiver<Moved>,
    there: Vec<mpsc::Sender<Moved>>,
}

/// One for each of so many drivers, in the order of their shards.
#[must_use]
pub fn crossings(drivers: u16) -> Vec<Crossing> {
    let (there, here): (Vec<_>, Vec<_>) = (0..drivers).map(|_| mpsc::channel(MOVES)).unzip();
    here.into_iter().map(|here| Crossing { here, there: there.clone() }).collect()
}

/// A connection between two runtimes.
#[derive(Debug)]
struct Moved {
    wire: Wire,
    addr: SocketAddr,
    listener: ListenerId,
    unread: Vec<u8>,
}

impl Crossing {
    /// Sends a connection on; `false`, and it is closed, if the other driver has no room or is gone.
    fn send(&self, to: ShardId, moved: Moved) -> bool {
        self.there.get(usize::from(to.0)).is_some_and(|there| there.try_send(moved).is_ok())
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Moved>> {
        self.here.poll_recv(cx)
    }
}

impl Connections {
    /// Brings a connection to the shard where its client lives.
    pub(super) fn move_on(&mut self, handover: Handover, shard: &mut Shard) {
        let Some(mut connection) = self.find(handover.conn).and_then(|key| self.take(key)) else { return };
        let listener = self.ports.get(usize::from(connection.port)).map_or(ListenerId(0), |port| port.id);
        let peer = connection.peer(listener);
        let taken_off = connection.wire.take_off().is_ok();
        let Connection { wire, addr, mut rest, .. } = connection;
        let moved = Moved { wire, addr, listener, unread: rest.take() };
        if !(taken_off && self.crossing.send(handover.to, moved)) {
            shard.stranded(peer);
        }
    }

    /// Takes in connections from other drivers.
    pub(super) fn hear_crossing(&mut self, cx: &mut Context<'_>, now: Now, shard: &mut Shard) -> bool {
        for _ in 0..MOVES_A_TURN {
            let Poll::Ready(Some(moved)) = self.crossing.poll_recv(cx) else { return false };
            self.take_in(now, moved, shard);
        }
        true
    }

    fn take_in(&mut self, now: Now, moved: Moved, shard: &mut Shard) {
        let Moved { mut wire, addr, listener, unread } = moved;
        let peer = Peer::plain(listener, addr, None);
        let port = (0..).zip(&self.ports).find(|(_, port)| port.id == listener).map(|(number, _)| number);
        let proven = wire.session().map_or(ProvenBuf::Nothing, proven);
        let put_on = wire.put_on().is_ok();
        let key = port
            .filter(|_| put_on)
            .and_then(|port| self.insert(wire, addr, port, Phase::Lingering, Rest::from(unread)));
        let Some(key) = key else { return shard.stranded(peer) };
        match shard.adopt(now, peer, proven.view()) {
            Ok(conn) => {
                self.enter(key, conn);
                if let Some(connection) = self.table.get(key) {
                    connection.waker.wake_by_ref();
                }
            }
            Err(_full) => {
                self.table.remove(key);
                shard.stranded(peer);
            }
        }
    }
}

/// Connections that wait for a driver to take them in.
const MOVES: usize = 1024;
/// Of those, taken in before everybody else gets a turn.
const MOVES_A_TURN: usize = 64;
