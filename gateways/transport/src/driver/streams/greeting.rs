//! From the listening socket to the shard: who comes is accepted, named by a proxy where there is one, and shakes hands
//! where there is TLS.

use super::Connections;
use super::connection::{Greeted, Misled, Phase};
use super::counts::StreamCount;
use super::port::{Arrival, Remark};
use crate::rest::Rest;
use crate::stream::{Wire, proven};
use bridge_core::peer::{ListenerId, ProvenBuf};
use bridge_core::slab::Key;
use bridge_core::time::Now;
use shard::Shard;
use std::io;
use std::net::SocketAddr;
use std::task::Context;
use tokio::net::TcpStream;

impl Connections {
    pub(super) fn accept(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        port: usize,
        shard: &mut Shard,
        scratch: &mut Vec<u8>,
    ) -> io::Result<bool> {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.ports.get_mut(port) else { return Ok(false) };
            match listener.accept(cx, now)? {
                Arrival::Nobody => return Ok(false),
                Arrival::Connection(tcp, addr) => self.welcome(now, port, tcp, addr, shard, scratch),
                Arrival::NoRoom(fault) => {
                    self.counts.up(StreamCount::RefusedNoRoom);
                    if listener.may_say(Remark::NoRoom, now) {
                        tracing::error!(listener = %listener.key, error = %fault, "no room for another connection");
                    }
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn welcome(
        &mut self,
        now: Now,
        port: usize,
        tcp: TcpStream,
        addr: SocketAddr,
        shard: &mut Shard,
        scratch: &mut Vec<u8>,
    ) {
        self.counts.up(StreamCount::Accepted);
        let Some(listener) = self.ports.get(port) else { return };
        let (phase, within) = match (listener.proxy, &listener.tls) {
            (Some(within), _) => (Phase::Proxy, Some(within)),
            (None, Some(tls)) => (Phase::Hello, Some(tls.handshake_timeout())),
            (None, None) => (Phase::Hello, None),
        };
        let Ok(number) = u16::try_from(port) else { return };
        let Some(key) = self.insert(Wire::new(tcp), addr, number, phase, Rest::default()) else { return };
        if let Some(listener) = self.ports.get_mut(port) {
            listener.greeting += 1;
        }
        match within {
            Some(within) => {
                self.arm(now, key, within);
                self.attend(now, key, shard, scratch);
            }
            // Who is plain and behind no proxy has nothing to say first: some devices only listen.
            None => self.let_in(now, key, shard, scratch),
        }
    }

    /// Proxy | Hello | Handshake => the next of them | Open | gone.
    pub(super) fn greet(&mut self, now: Now, key: Key, shard: &mut Shard, scratch: &mut Vec<u8>) {
        let Some(connection) = self.table.get_mut(key) else { return };
        let Some(port) = self.ports.get_mut(usize::from(connection.port)) else { return };
        match connection.greet(port, scratch) {
            Greeted::Waits => {}
            Greeted::Secure => {
                if let Some(within) = port.tls.as_ref().map(|tls| tls.handshake_timeout()) {
                    self.arm(now, key, within);
                }
                self.greet(now, key, shard, scratch);
            }
            Greeted::Knocks => match shard.place(now, port.id, connection.addr.ip()) {
                Ok(()) => {
                    connection.placed = true;
                    self.greet(now, key, shard, scratch);
                }
                // The shard has counted it.
                Err(shut) => {
                    port.tell_of_limit(shut, connection.addr, now);
                    self.turn_away(key, shard);
                }
            },
            Greeted::Through => self.let_in(now, key, shard, scratch),
            Greeted::Refused(reason, text) => {
                let peer = connection.addr;
                if reason == StreamCount::RefusedProxyUnasked {
                    port.tell_of_misled(Misled::Proxy, peer, now);
                } else if reason == StreamCount::RefusedPlainOnTls && port.may_say(Remark::PlainOnTls, now) {
                    tracing::warn!(listener = %port.key, %peer, "a client does not speak TLS to a TLS listener");
                } else {
                    let why = text.unwrap_or_else(|| "not TLS".to_owned());
                    tracing::debug!(listener = %port.key, %peer, reason = why, "a connection came to nothing");
                }
                self.refuse(key, reason, shard);
            }
        }
    }

    /// ... => Open | gone.
    fn let_in(&mut self, now: Now, key: Key, shard: &mut Shard, scratch: &mut Vec<u8>) {
        self.disarm(key);
        let Some(connection) = self.table.get_mut(key) else { return };
        let listener = self.ports.get(usize::from(connection.port)).map_or(ListenerId(0), |port| port.id);
        let proven = connection.wire.session().map_or(ProvenBuf::Nothing, proven);
        let proven = proven.view();
        let peer = connection.peer(listener);
        let conn = if connection.placed { shard.adopt(now, peer, proven) } else { shard.opened(now, peer, proven) };
        match conn {
            Ok(conn) => {
                connection.placed = false;
                if let Some(port) = self.ports.get_mut(usize::from(connection.port)) {
                    port.greeting = port.greeting.saturating_sub(1);
                }
                self.enter(key, conn);
                // The effort of those who come is bounded by their number: they have said little yet.
                let _octets = self.hear_one(now, key, conn, shard, scratch);
            }
            // The shard has counted it.
            Err(shut) => {
                if let Some(port) = self.ports.get_mut(usize::from(connection.port)) {
                    port.tell_of_limit(shut, connection.addr, now);
                }
                self.turn_away(key, shard);
            }
        }
    }
}

/// Connections accepted from a listener before everybody else gets a turn.
const ACCEPTS: usize = 64;
