//! One connection of a device, from its first octet to its last.

use super::Port;
use super::counts::StreamCount;
use crate::rest::Rest;
use crate::stream::proxy::{self, Parsed};
use crate::stream::{HandshakeFault, Wire, looks_like_tls};
use bridge_core::meter::Counts;
use bridge_core::peer::{ListenerId, Peer};
use bridge_core::streams::{CloseReason, ConnRef};
use bridge_core::time::Now;
use bridge_core::wheel::TimerId;
use shard::Shard;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

/// A connection, and how far it has come.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) waker: Waker,
    /// Whoever is at its other end; behind a proxy, whom that names.
    pub(super) addr: SocketAddr,
    /// Index of its port.
    pub(super) port: u16,
    pub(super) phase: Phase,
    /// It has a place at its listener's gate, and the shard does not know it yet.
    pub(super) placed: bool,
    pub(super) rest: Rest,
    /// What it may not take too long for; which that is, the phase tells.
    pub(super) timer: Option<TimerId>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The PROXY header must come first.
    Proxy,
    /// The first octet of TLS is to come.
    Hello,
    /// TLS shakes hands.
    Handshake,
    /// The shard has it.
    Open {
        /// Its number there.
        conn: ConnRef,
        /// Something came over it already.
        heard: bool,
        /// It was not read because its machine had it paused.
        held: bool,
        /// What is pending is the last that leaves, and in its time.
        closing: bool,
    },
    /// All is said; what the peer still sends is thrown away until it closes its side, too. Closed at once, it might lose
    /// what we said last.
    Lingering,
}

/// What a greeting has come to.
pub(super) enum Greeted {
    /// The peer's turn.
    Waits,
    /// TLS is next, and has its own time.
    Secure,
    /// It begins TLS. That costs something, so it needs a place at the gate before.
    Knocks,
    /// The shard may have it.
    Through,
    /// It is to be closed.
    Refused(StreamCount, Option<String>),
}

/// What reading has come to.
pub(super) enum Heard {
    /// Nothing more, for now.
    Waits,
    /// There may be more.
    More,
    /// It begins with what the listener does not take.
    Misled(Misled),
    /// It is over.
    Ended(CloseReason),
}

/// What a client begins with where the listener does not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misled {
    /// TLS, without a table for it.
    Tls,
    /// A PROXY header, without `proxy_protocol`.
    Proxy,
}

/// What writing has come to.
pub(super) enum Spoke {
    /// Nothing is pending.
    All,
    /// There may be more.
    More,
    /// The peer takes no more just now; whether it took anything.
    Stuck(bool),
    /// It is over.
    Broken,
}

impl Connection {
    /// Who the shard is told that it is.
    pub(super) const fn peer(&self, listener: ListenerId) -> Peer {
        Peer::plain(listener, self.addr, None)
    }

    /// Takes what comes before the shard has it as far as it goes.
    pub(super) fn greet(&mut self, port: &Port, scratch: &mut Vec<u8>) -> Greeted {
        loop {
            let step = match self.phase {
                Phase::Proxy => self.take_header(port, scratch),
                Phase::Hello => self.take_hello(port, scratch),
                Phase::Handshake => self.shake_hands(),
                Phase::Open { .. } | Phase::Lingering => Some(Greeted::Through),
            };
            if let Some(greeted) = step {
                return greeted;
            }
        }
    }

    /// Proxy => Proxy | Hello | through.
    fn take_header(&mut self, port: &Port, scratch: &mut Vec<u8>) -> Option<Greeted> {
        if let Err(greeted) = self.read_ahead(scratch) {
            return Some(greeted);
        }
        let consumed = match proxy::parse(self.rest.bytes()) {
            Ok(Parsed::NeedMore) => return None,
            Ok(Parsed::Local { consumed }) => consumed,
            Ok(Parsed::Proxied { consumed, source }) => {
                self.addr = source;
                consumed
            }
            Err(fault) => return Some(Greeted::Refused(StreamCount::RefusedProxy, Some(fault.to_string()))),
        };
        self.rest.consume(consumed);
        if port.tls.is_none() {
            return Some(Greeted::Through);
        }
        self.phase = Phase::Hello;
        Some(Greeted::Secure)
    }

    /// Hello => Hello | Handshake.
    fn take_hello(&mut self, port: &Port, scratch: &mut Vec<u8>) -> Option<Greeted> {
        if self.rest.bytes().is_empty() {
            return self.read_ahead(scratch).err();
        }
        if !looks_like_tls(self.rest.bytes()) {
            let unasked = port.proxy.is_none() && proxy::begins(self.rest.bytes());
            let count = if unasked { StreamCount::RefusedProxyUnasked } else { StreamCount::RefusedPlainOnTls };
            return Some(Greeted::Refused(count, None));
        }
        if !self.placed {
            return Some(Greeted::Knocks);
        }
        let session = port.tls.as_ref().and_then(|tls| tls.session().ok());
        if session.is_some_and(|ssl| self.wire.secure(ssl, self.rest.take())) {
            self.phase = Phase::Handshake;
            None
        } else {
            Some(Greeted::Refused(StreamCount::RefusedHandshake, Some("no session".to_owned())))
        }
    }

    /// Handshake => Handshake | through.
    fn shake_hands(&mut self) -> Option<Greeted> {
        Some(match self.wire.poll_handshake(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => Greeted::Waits,
            Poll::Ready(Ok(())) => Greeted::Through,
            Poll::Ready(Err(HandshakeFault::NotTls)) => Greeted::Refused(StreamCount::RefusedPlainOnTls, None),
            Poll::Ready(Err(fault)) => Greeted::Refused(StreamCount::RefusedHandshake, Some(fault.to_string())),
        })
    }

    /// Appends what came to what is kept; what the greeting has come to, if nothing did.
    fn read_ahead(&mut self, scratch: &mut Vec<u8>) -> Result<(), Greeted> {
        let Self { wire, waker, rest, .. } = self;
        let read = wire.poll_read(&mut Context::from_waker(waker), rest.open(scratch));
        rest.keep(scratch, 0);
        match read {
            Poll::Pending => Err(Greeted::Waits),
            Poll::Ready(Ok(octets)) if octets > 0 => Ok(()),
            Poll::Ready(_) => {
                let text =
                    if rest.bytes().is_empty() { "closed before it said anything" } else { "closed in mid-header" };
                Err(Greeted::Refused(StreamCount::RefusedGone, Some(text.to_owned())))
            }
        }
    }

    /// Reads what came, in a bounded number of pieces, and hands it to the shard as far as that reads it. The octets that it
    /// was offered, and took where they were offered before, are added to `offered`.
    pub(super) fn hear(
        &mut self,
        now: Now,
        shard: &mut Shard,
        scratch: &mut Vec<u8>,
        counts: &Counts<StreamCount>,
        offered: &mut usize,
    ) -> Heard {
        let Self { wire, waker, rest, phase, .. } = self;
        let Phase::Open { conn, heard, held, .. } = phase else { return Heard::Waits };
        let conn = *conn;
        if (*held || !*heard) && !rest.bytes().is_empty() && shard.streams().reads(conn) {
            // What came before a pause, or before the shard had the connection.
            *heard = true;
            let consumed = shard.stream(now, conn, rest.bytes());
            *offered = offered.saturating_add(consumed);
            rest.consume(consumed);
        }
        let cx = &mut Context::from_waker(waker);
        for _ in 0..READS {
            *held = !shard.streams().reads(conn);
            if *held {
                return Heard::Waits;
            }
            let buffer = rest.open(scratch);
            let read = wire.poll_read(cx, buffer);
            counts.up(StreamCount::Reads);
            let mut consumed = 0;
            if let Poll::Ready(Ok(octets @ 1..)) = read {
                counts.add(StreamCount::BytesRead, octets as u64);
                *offered = offered.saturating_add(octets);
                if !std::mem::replace(heard, true)
                    && let Some(misled) = misled(buffer, wire.session().is_some())
                {
                    return Heard::Misled(misled);
                }
                consumed = shard.stream(now, conn, buffer);
            }
            rest.keep(scratch, consumed);
            match read {
                Poll::Pending => return Heard::Waits,
                Poll::Ready(Ok(0)) => return Heard::Ended(CloseReason::Peer),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Heard::Ended(CloseReason::Broken),
            }
        }
        Heard::More
    }

    /// Writes what is pending, in a bounded number of pieces.
    pub(super) fn speak(&mut self, now: Now, shard: &mut Shard, counts: &Counts<StreamCount>) -> Spoke {
        let Phase::Open { conn, .. } = self.phase else { return Spoke::All };
        let mut taken = false;
        for _ in 0..WRITES {
            let pending = shard.streams().pending(conn);
            if pending.is_empty() {
                return Spoke::All;
            }
            match self.wire.poll_write(&mut Context::from_waker(&self.waker), pending) {
                Poll::Pending => return Spoke::Stuck(taken),
                Poll::Ready(Ok(octets)) => {
                    taken = true;
                    counts.up(StreamCount::Writes);
                    counts.add(StreamCount::BytesWritten, octets as u64);
                    shard.stream_written(now, conn, octets);
                }
                Poll::Ready(Err(_)) => return Spoke::Broken,
            }
        }
        Spoke::More
    }

    /// Throws away what still comes. True when the peer has closed its side, or the connection is broken.
    pub(super) fn linger(&mut self, scratch: &mut Vec<u8>) -> bool {
        for _ in 0..READS {
            scratch.clear();
            scratch.reserve(crate::rest::CHUNK);
            match self.wire.poll_read(&mut Context::from_waker(&self.waker), scratch) {
                Poll::Pending => return false,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return true,
            }
        }
        self.waker.wake_by_ref();
        false
    }
}

/// What a client begins with, if no listener takes that there. `secure`: within TLS.
fn misled(bytes: &[u8], secure: bool) -> Option<Misled> {
    if proxy::begins(bytes) {
        return Some(Misled::Proxy);
    }
    (!secure && begins_tls(bytes)).then_some(Misled::Tls)
}

/// True for the beginning of a TLS ClientHello in one record: a handshake record of version 3.x, in it a ClientHello of
/// just its length (RFC 8446 §4, §5.1). No other protocol begins so by chance.
fn begins_tls(bytes: &[u8]) -> bool {
    let [HANDSHAKE_RECORD, 3, 0..=4, record @ .., CLIENT_HELLO, 0, high, low] =
        *bytes.first_chunk::<9>().unwrap_or(&[0; 9])
    else {
        return false;
    };
    u16::from_be_bytes(record).checked_sub(4) == Some(u16::from_be_bytes([high, low]))
}

/// Content type of a record (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// Type of a handshake message (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
/// Reads, of up to 64 KiB each, before other connections get their turn.
const READS: usize = 4;
/// Writes before other connections get their turn.
const WRITES: usize = 8;

#[cfg(test)]
mod tests {
    use super::begins_tls;

    #[test]
    #[rustfmt::skip]
    fn a_client_hello_is_told_from_all_else() {
        for (bytes, what, expected) in [
            (&[22, 3, 1, 0x02, 0x00, 1, 0, 0x01, 0xFC, 3, 3][..], "a ClientHello of 512 octets", true),
            (&[22, 3, 3, 0x00, 0x2F, 1, 0, 0x00, 0x2B],           "a short one",                 true),
            (&[22, 3, 1, 0x02, 0x00, 1, 0, 0x01],                 "too few octets to tell",      false),
            (&[22, 3, 1, 0x02, 0x00, 2, 0, 0x01, 0xFC],           "a ServerHello",               false),
            (&[22, 3, 1, 0x02, 0x00, 1, 0, 0x01, 0xFB],           "lengths that do not fit",     false),
            (&[22, 3, 1, 0x00, 0x03, 1, 0, 0xFF, 0xFF],           "a length below its header",   false),
            (&[22, 2, 1, 0x02, 0x00, 1, 0, 0x01, 0xFC],           "another version",             false),
            (&[0x10, 0, 7, 0x3C, 0, 4, b'a', b'b', b'c', b'd'],   "CONNECT of raw TCP",          false),
            (b"GET / HTTP/1.1\r\n",                               "HTTP",                        false),
            (&[],                                                 "nothing",                     false),
        ] {
            assert_eq!(begins_tls(bytes), expected, "{what}");
        }
    }
}
