//! Listeners of connections, as one driver has them.

use super::connection::Misled;
use crate::stream::{Accepted, BoundTcp, ServerTls, TcpAcceptor};
use bridge_core::gate::Shut;
use bridge_core::peer::ListenerId;
use bridge_core::time::{Deadline, Now};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;

/// A listener of connections, for one driver.
#[derive(Debug)]
pub struct StreamListener {
    /// Its number.
    pub id: ListenerId,
    /// As the configuration names it, for the log.
    pub key: Arc<str>,
    /// One of its sockets.
    pub socket: BoundTcp,
    /// TLS, if it is spoken there; shared by all drivers.
    pub tls: Option<Arc<ServerTls>>,
    /// If each connection begins with a PROXY header: the time for that.
    pub proxy: Option<Duration>,
    /// How long a device may take nothing of what waits for it.
    pub send_timeout: Duration,
}

/// A listener at work.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) id: ListenerId,
    pub(super) key: Arc<str>,
    /// `None`: nobody new is let in any more.
    acceptor: Option<TcpAcceptor>,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) proxy: Option<Duration>,
    pub(super) send_timeout: Duration,
    /// Connections that came by it and that the shard does not know yet.
    pub(super) greeting: usize,
    /// Of those, at most: who says nothing to one listener keeps nobody from another.
    pub(super) most_greeting: usize,
    /// Somebody may wait to be accepted until there are fewer.
    held_back: bool,
    /// Nothing is accepted before: there was no room.
    rests_until: Option<Deadline>,
    /// No line about a misled client before.
    quiet_until: [Deadline; 7],
}

/// What is said about a listener, each once a minute at most.
#[derive(Clone, Copy, Debug)]
pub(super) enum Remark {
    /// A client speaks TLS where there is none.
    TlsOnPlain,
    /// A client does not speak TLS where it is spoken.
    PlainOnTls,
    /// A client begins with a PROXY header where there is none.
    ProxyUnasked,
    /// There is no room for another connection.
    NoRoom,
    /// As many are in as may be.
    Full,
    /// Too many came within a second.
    TooFast,
    /// The listener does not hear the address.
    Denied,
}

/// What an attempt to accept came to.
pub(super) enum Arrival {
    /// Somebody has come.
    Connection(TcpStream, SocketAddr),
    /// Nobody else, for now.
    Nobody,
    /// There is no room.
    NoRoom(io::Error),
}

impl Port {
    pub(super) fn new(listener: StreamListener) -> io::Result<Self> {
        let StreamListener { id, key, socket, tls, proxy, send_timeout } = listener;
        let acceptor = Some(socket.listen()?);
        Ok(Self {
            id,
            key,
            acceptor,
            tls,
            proxy,
            send_timeout,
            greeting: 0,
            most_greeting: MOST_GREETING,
            held_back: false,
            rests_until: None,
            quiet_until: [Deadline(0); 7],
        })
    }

    /// The next connection.
    pub(super) fn accept(&mut self, cx: &mut Context<'_>, now: Now) -> io::Result<Arrival> {
        // Whoever comes then waits in the kernel until some of those have come in or timed out.
        self.held_back = self.greeting >= self.most_greeting;
        if self.held_back || self.rests_until.is_some_and(|until| !until.is_due(now)) {
            return Ok(Arrival::Nobody);
        }
        self.rests_until = None;
        loop {
            let Some(acceptor) = &mut self.acceptor else { return Ok(Arrival::Nobody) };
            return Ok(match acceptor.poll_accept(cx)? {
                Poll::Pending => Arrival::Nobody,
                Poll::Ready(Accepted::Gone) => continue,
                Poll::Ready(Accepted::Connection(tcp, addr)) => Arrival::Connection(tcp, addr),
                Poll::Ready(Accepted::NoRoom(fault)) => {
                    // Until somebody leaves, accepting would fail, and the socket would stay ready.
                    self.rests_until = Some(now.after(REST));
                    Arrival::NoRoom(fault)
                }
            });
        }
    }

    /// When it may accept again.
    pub(super) const fn next_deadline(&self) -> Option<Deadline> {
        self.rests_until
    }

    /// It was held back, and need not be any more. Its socket has not said that it will wake the task.
    pub(super) const fn may_go_on(&self) -> bool {
        self.held_back && self.greeting < self.most_greeting
    }

    /// Lets nobody new in.
    pub(super) fn shut(&mut self) {
        self.acceptor = None;
        self.held_back = false;
        self.rests_until = None;
    }

    /// What is said of somebody who is not let in by the listener's limits: a warning once a minute, each for itself.
    pub(super) fn tell_of_limit(&mut self, shut: Shut, peer: SocketAddr, now: Now) {
        let remark = match shut {
            Shut::Full => Remark::Full,
            Shut::TooFast => Remark::TooFast,
            Shut::Denied => Remark::Denied,
        };
        let limit = shut.reason();
        if self.may_say(remark, now) {
            let told = "a connection is not let in; for a minute others are only counted";
            tracing::warn!(listener = %self.key, %peer, reason = limit, "{told}");
        } else {
            tracing::debug!(listener = %self.key, %peer, reason = limit, "a connection is not let in");
        }
    }

    /// What is said of a client that begins with what the listener does not take.
    pub(super) fn tell_of_misled(&mut self, misled: Misled, peer: SocketAddr, now: Now) {
        let (remark, told) = match misled {
            Misled::Tls => (Remark::TlsOnPlain, "a client speaks TLS to a listener without it"),
            Misled::Proxy if self.proxy.is_some() => (Remark::ProxyUnasked, "a second PROXY header, or one inside TLS"),
            Misled::Proxy => {
                (Remark::ProxyUnasked, "a PROXY header to a listener without it: is proxy_protocol to be true?")
            }
        };
        if self.may_say(remark, now) {
            tracing::warn!(listener = %self.key, %peer, "{told}");
        }
    }

    /// True if this may be said now, and not again for a minute.
    pub(super) fn may_say(&mut self, remark: Remark, now: Now) -> bool {
        let Some(quiet_until) = self.quiet_until.get_mut(remark as usize) else { return false };
        let may = quiet_until.is_due(now);
        if may {
            *quiet_until = now.after(QUIET);
        }
        may
    }
}

/// Connections of one listener and driver that the shard does not know yet. Each ends by itself within the time of its
/// phase.
const MOST_GREETING: usize = 16_384;
/// Without room for another connection, accepting pauses so long.
const REST: Duration = Duration::from_millis(100);
/// Between two lines about the same.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::bind;
    use std::future::poll_fn;

    fn port() -> (Port, SocketAddr) {
        let socket = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
        let (addr, id, send_timeout) = (socket.local_addr(), ListenerId(0), Duration::from_secs(1));
        let listener = StreamListener { id, key: "tcp".into(), socket, tls: None, proxy: None, send_timeout };
        (Port::new(listener).unwrap(), addr)
    }

    const fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 0 }
    }

    #[tokio::test]
    async fn a_remark_is_made_once_a_minute() {
        let (mut port, _) = port();
        assert!(port.may_say(Remark::TlsOnPlain, at(1)));
        assert!(!port.may_say(Remark::TlsOnPlain, at(60_000)));
        assert!(port.may_say(Remark::NoRoom, at(60_000)), "each for itself");
        assert!(port.may_say(Remark::TlsOnPlain, at(60_001)));
    }

    #[tokio::test]
    async fn without_room_nobody_is_accepted_for_a_while_and_then_whoever_waits() {
        let (mut port, addr) = port();
        let _devices = [(); 2].map(|()| std::net::TcpStream::connect(addr).unwrap());
        let came = |arrival| match arrival {
            Arrival::Connection(..) => Poll::Ready(()),
            Arrival::Nobody => Poll::Pending,
            Arrival::NoRoom(fault) => panic!("{fault}"),
        };
        poll_fn(|cx| came(port.accept(cx, at(0)).unwrap())).await;
        port.rests_until = Some(at(0).after(REST));
        let early = poll_fn(|cx| Poll::Ready(came(port.accept(cx, at(99)).unwrap()))).await;
        assert!(early.is_pending(), "although the second waits");
        assert_eq!(port.next_deadline(), Some(Deadline(100)));
        poll_fn(|cx| came(port.accept(cx, at(100)).unwrap())).await;
        assert_eq!(port.next_deadline(), None);
    }
}
