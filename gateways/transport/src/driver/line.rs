//! One link's connection to the broker.

use super::LinkReport;
use crate::broker::{BrokerStream, Connector, Target};
use bridge_core::bridge::LinkId;
use bridge_core::link::{Closed, Link, LinkStatus, Wish};
use bridge_core::time::Now;
use shard::Shard;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Octets read at once.
const CHUNK: usize = 64 * 1024;
/// A buffer that grew beyond this for one large message is given back.
const KEEP: usize = 256 * 1024;
/// Reads before the other sockets get their turn.
const READS: usize = 8;

/// Where links live.
pub(crate) trait LinkHost {
    /// A link.
    fn link(&self, id: LinkId) -> Option<&Link>;
    /// A link, to be told something.
    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link>;
    /// Octets that came over its connection; how many were used up.
    fn link_bytes(&mut self, now: Now, id: LinkId, bytes: &[u8]) -> usize;
}

impl LinkHost for Shard {
    fn link(&self, id: LinkId) -> Option<&Link> {
        self.link(id)
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.link_mut(id)
    }

    fn link_bytes(&mut self, now: Now, id: LinkId, bytes: &[u8]) -> usize {
        self.link_bytes(now, id, bytes)
    }
}

/// The connection of one link, as the link wishes it.
#[derive(Debug)]
pub(crate) struct Line {
    id: LinkId,
    targets: Arc<[Target]>,
    connect_timeout: Duration,
    state: State,
    /// Read and not yet consumed.
    unread: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Closed,
    Connecting(Connector),
    Open(BrokerStream),
}

impl Line {
    pub(crate) const fn new(id: LinkId, targets: Arc<[Target]>, connect_timeout: Duration) -> Self {
        Self { id, targets, connect_timeout, state: State::Closed, unread: Vec::new() }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Brings about what the link wishes, and hands it what came. True when there may be more at once.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>, now: Now, host: &mut impl LinkHost) -> bool {
        let mut busy = self.obey(now, host);
        if let State::Connecting(connector) = &mut self.state
            && let Poll::Ready(result) = connector.poll_connected(cx)
        {
            busy = true;
            match result {
                Ok(stream) => {
                    self.state = State::Open(stream);
                    if let Some(link) = host.link_mut(self.id) {
                        link.opened(now);
                    }
                }
                Err(fault) => self.close(now, host, Closed::Refused, &fault.to_string()),
            }
        }
        let mut reads = 0;
        while reads < READS && self.read(cx, now, host) {
            reads += 1;
        }
        busy || reads == READS
    }

    fn obey(&mut self, now: Now, host: &mut impl LinkHost) -> bool {
        let Some(link) = host.link_mut(self.id) else { return false };
        match link.wish() {
            Wish::Nothing => false,
            Wish::Open { target } => match self.targets.get(target) {
                Some(target) => {
                    link.opening(now);
                    self.state = State::Connecting(Connector::start(target.clone(), self.connect_timeout));
                    true
                }
                None => false,
            },
            Wish::Close => {
                self.close(now, host, Closed::Broken, "closed by the gateway");
                true
            }
        }
    }

    /// One read; true when there may be more.
    fn read(&mut self, cx: &mut Context<'_>, now: Now, host: &mut impl LinkHost) -> bool {
        let State::Open(stream) = &mut self.state else { return false };
        self.unread.reserve(CHUNK);
        match stream.poll_read(cx, &mut self.unread) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                self.close(now, host, Closed::Orderly, "closed by the broker");
                false
            }
            Poll::Ready(Ok(_)) => {
                let consumed = host.link_bytes(now, self.id, &self.unread);
                self.unread.drain(..consumed.min(self.unread.len()));
                if self.unread.is_empty() && self.unread.capacity() > KEEP {
                    self.unread = Vec::new();
                }
                true
            }
            Poll::Ready(Err(fault)) => {
                self.close(now, host, how(&fault), &fault.to_string());
                false
            }
        }
    }

    /// Writes what the link has to say. True when the connection's state has changed.
    pub(crate) fn speak(&mut self, cx: &mut Context<'_>, now: Now, host: &mut impl LinkHost) -> bool {
        loop {
            let Some(link) = host.link_mut(self.id) else { return false };
            // A timer may just have made a closed link wish for a connection: nothing else would wake the task for it.
            let State::Open(stream) = &mut self.state else {
                return matches!(link.wish(), Wish::Open { target } if self.targets.get(target).is_some());
            };
            let pending = link.pending();
            if pending.is_empty() {
                // A goodbye that has been written is followed by the wish to close.
                return link.wish() != Wish::Nothing;
            }
            match stream.poll_write(cx, pending) {
                Poll::Pending => return false,
                Poll::Ready(Ok(written)) if written > 0 => link.written(written),
                Poll::Ready(Ok(_)) => {
                    self.close(now, host, Closed::Broken, "the connection takes no more");
                    return true;
                }
                Poll::Ready(Err(fault)) => {
                    self.close(now, host, how(&fault), &fault.to_string());
                    return true;
                }
            }
        }
    }

    /// How the link stands.
    pub(crate) fn report(&self, now: Now, host: &impl LinkHost) -> Option<LinkReport> {
        let name = |target: usize| self.targets.get(target).map(ToString::to_string).unwrap_or_default();
        let link = host.link(self.id)?;
        let (online, text) = match link.state() {
            LinkStatus::Connecting { target } => (false, format!("connecting to {}", name(target))),
            LinkStatus::Online { target, version } => (true, format!("online at {} ({version})", name(target))),
            LinkStatus::Waiting { reason, until } => {
                (false, format!("{reason}; next attempt in {} ms", until.wait_ms(now)))
            }
            LinkStatus::Conflict { until } => {
                let wait = until.wait_ms(now);
                (false, format!("another process uses this client id; next attempt in {wait} ms"))
            }
            LinkStatus::Stopped => (false, "stopped".to_owned()),
        };
        Some(LinkReport { client_id: link.client_id().to_owned(), online, text })
    }

    fn close(&mut self, now: Now, host: &mut impl LinkHost, why: Closed, text: &str) {
        self.state = State::Closed;
        self.unread = Vec::new();
        if let Some(link) = host.link_mut(self.id) {
            link.closed(now, why, text);
        }
    }
}

/// How the connection ended, when reading or writing says so.
fn how(fault: &io::Error) -> Closed {
    match fault.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Closed::Reset,
        _ => Closed::Broken,
    }
}
