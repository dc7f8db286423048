//! One link's connection to the broker.

use super::LinkReport;
use crate::broker::{BrokerStream, Connector, Target};
use crate::rest::Rest;
use bridge_core::bridge::LinkId;
use bridge_core::link::{Closed, Link, LinkStatus, Wish};
use bridge_core::time::Now;
use shard::Shard;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};
use std::time::Duration;

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
    state: State,
    rest: Rest,
}

/// Where lines go: the same for all of a driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    /// The brokers, in the order in which they are tried.
    pub(crate) targets: &'a [Target],
    /// Time for a connection to come about.
    pub(crate) connect_timeout: Duration,
}

#[derive(Debug)]
enum State {
    Closed,
    Connecting(Connector),
    Open(BrokerStream),
}

impl Line {
    pub(crate) fn new(id: LinkId) -> Self {
        Self { id, state: State::Closed, rest: Rest::default() }
    }

    pub(crate) const fn id(&self) -> LinkId {
        self.id
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Brings about what the link wishes, and hands it what came, read into `scratch`. True when there may be more at
    /// once; else `cx` is woken when there is.
    pub(crate) fn hear(
        &mut self,
        cx: &mut Context<'_>,
        now: Now,
        way: Way<'_>,
        host: &mut impl LinkHost,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let mut busy = self.obey(now, way, host);
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
        while reads < READS && self.read(cx, now, host, scratch) {
            reads += 1;
        }
        busy || reads == READS
    }

    fn obey(&mut self, now: Now, way: Way<'_>, host: &mut impl LinkHost) -> bool {
        // Looked at only: a link that is lent out to be changed is looked at by all others as well.
        match host.link(self.id).map_or(Wish::Nothing, Link::wish) {
            Wish::Nothing => false,
            Wish::Open { target } => match (way.targets.get(target), host.link_mut(self.id)) {
                (Some(target), Some(link)) => {
                    link.opening(now);
                    self.state = State::Connecting(Connector::start(target.clone(), way.connect_timeout));
                    true
                }
                _ => false,
            },
            Wish::Close => {
                self.close(now, host, Closed::Broken, "closed by the gateway");
                true
            }
        }
    }

    /// One read; true when there may be more.
    fn read(&mut self, cx: &mut Context<'_>, now: Now, host: &mut impl LinkHost, scratch: &mut Vec<u8>) -> bool {
        let State::Open(stream) = &mut self.state else { return false };
        let buffer = self.rest.open(scratch);
        let read = stream.poll_read(cx, buffer);
        let consumed = match read {
            Poll::Ready(Ok(octets)) if octets > 0 => host.link_bytes(now, self.id, buffer),
            _ => 0,
        };
        self.rest.keep(scratch, consumed);
        match read {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                self.close(now, host, Closed::Orderly, "closed by the broker");
                false
            }
            Poll::Ready(Ok(_)) => true,
            Poll::Ready(Err(fault)) => {
                self.close(now, host, how(&fault), &fault.to_string());
                false
            }
        }
    }

    /// Writes what the link has to say. True when the connection's state has changed, or is to: [`Line::hear`] must
    /// follow.
    pub(crate) fn speak(&mut self, cx: &mut Context<'_>, now: Now, way: Way<'_>, host: &mut impl LinkHost) -> bool {
        loop {
            let Some(link) = host.link(self.id) else { return false };
            // Else nothing would wake the task for a wish that has just come up.
            let State::Open(stream) = &mut self.state else {
                return match link.wish() {
                    Wish::Open { target } => way.targets.get(target).is_some(),
                    Wish::Close => true,
                    Wish::Nothing => false,
                };
            };
            let pending = link.pending();
            if pending.is_empty() {
                // A goodbye that has been written is followed by the wish to close.
                return link.wish() != Wish::Nothing;
            }
            match stream.poll_write(cx, pending) {
                Poll::Pending => return false,
                Poll::Ready(Ok(written)) if written > 0 => {
                    if let Some(link) = host.link_mut(self.id) {
                        link.written(written);
                    }
                }
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
    pub(crate) fn report(id: LinkId, now: Now, way: Way<'_>, host: &impl LinkHost) -> Option<LinkReport> {
        let name = |target: usize| way.targets.get(target).map(ToString::to_string).unwrap_or_default();
        let link = host.link(id)?;
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
            LinkStatus::Resting => (false, "resting".to_owned()),
            LinkStatus::Stopped => (false, "stopped".to_owned()),
        };
        Some(LinkReport { client_id: link.client_id().to_owned(), online, text })
    }

    fn close(&mut self, now: Now, host: &mut impl LinkHost, why: Closed, text: &str) {
        self.state = State::Closed;
        self.rest = Rest::default();
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
