//! The driver's side of the broker links: connections that open, break, and carry octets in pieces.

use crate::event::Event;
use crate::shards::Side;
use crate::world::World;
use bridge_core::bridge::LinkId;
use bridge_core::link::{Closed, Link, Wish};
use std::collections::BTreeSet;

/// One link's connection.
#[derive(Default)]
pub(crate) struct Line {
    conn: Option<u64>,
    opening: bool,
    /// Octets from the broker: on their way, and arrived but not consumed.
    coming: Vec<u8>,
    inbox: Vec<u8>,
    down_planned: bool,
    /// Not all that was pending has been written.
    unsent: bool,
    /// When the last octets to the broker arrive: the next ones cannot overtake them.
    up_at: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum LineEvent {
    /// The attempt has come to its end.
    Opened,
    /// Octets from the broker arrive.
    Down { conn: u64 },
    /// The connection has ended.
    Ended { conn: u64, how: Closed },
}

impl World {
    pub(crate) fn on_line(&mut self, shard: usize, link: LinkId, what: LineEvent) {
        if !self.shards[shard].lines.contains_key(&link) {
            // The link is over.
            return;
        }
        match what {
            LineEvent::Opened => self.opened(shard, link),
            LineEvent::Down { conn } => self.down(shard, link, conn),
            LineEvent::Ended { conn, how } => {
                if self.line(shard, link).conn == Some(conn) {
                    self.broker.disconnect(conn);
                    self.ended(shard, link, how);
                    self.after_broker();
                }
            }
        }
    }

    /// The connection breaks; what was on its way is lost, or, to the broker, may still arrive until it notices.
    pub(crate) fn cut(&mut self, shard: usize, link: LinkId, broker_notices_ms: u64) {
        let Some(conn) = self.line(shard, link).conn else { return };
        self.ended(shard, link, Closed::Broken);
        self.timeline.plan(self.now + broker_notices_ms, Event::Noticed { conn });
        if broker_notices_ms == 0 || self.rng.chance(500) {
            self.broken.insert(conn);
        }
    }

    /// What the links wish is done, and what they have to say is sent: those that there are from the start, and those of
    /// single devices that have something to do.
    pub(crate) fn tend_lines(&mut self, shard: usize) {
        let mut links: BTreeSet<LinkId> = (0..self.plan.links).map(LinkId::shared).collect();
        links.extend(self.shards[shard].lines.iter().filter(|(_, line)| line.unsent).map(|(link, _)| *link));
        while let Some(link) = self.shards[shard].shard.take_touched_line() {
            links.insert(link);
        }
        for link in links {
            self.tend_line(shard, link);
        }
    }

    fn tend_line(&mut self, shard: usize, link: LinkId) {
        let now = self.clock();
        let Some(wish) = self.shards[shard].shard.link(link).map(|link| link.wish()) else {
            // A device's own link that is over.
            if let Some(Line { conn: Some(conn), up_at, .. }) = self.shards[shard].lines.remove(&link) {
                self.timeline.plan(up_at.max(self.now + 1), Event::Noticed { conn });
            }
            return;
        };
        let line = self.line(shard, link);
        match (wish, line.conn) {
            (Wish::Open { .. }, None) if !line.opening => {
                line.opening = true;
                if let Some(link) = self.shards[shard].shard.link_mut(link) {
                    link.opening(now);
                }
                self.checks.begun(shard, link != LinkId::shared(0) && !self.is_shared(link));
                let at = self.now + 1 + self.rng.below(20);
                self.timeline.plan(at, Event::Line { shard, link, what: LineEvent::Opened });
            }
            (Wish::Close, Some(conn)) => {
                let at = line.up_at.max(self.now + 1);
                self.ended(shard, link, Closed::Broken);
                let drained = |link: &Link| link.is_drained();
                if !self.is_shared(link) || self.shards[shard].shard.link(link).is_some_and(drained) {
                    // It has said goodbye: what it wrote before still arrives.
                    self.timeline.plan(at, Event::Noticed { conn });
                } else {
                    self.broker.disconnect(conn);
                    self.broken.insert(conn);
                    self.after_broker();
                }
            }
            (Wish::Open { .. } | Wish::Close | Wish::Nothing, _) => self.write(shard, link),
        }
    }

    fn is_shared(&self, link: LinkId) -> bool {
        (0..self.plan.links).any(|number| LinkId::shared(number) == link)
    }

    /// Sends all that is pending, or only a part of it, as a full socket would.
    fn write(&mut self, shard: usize, link: LinkId) {
        let side = &mut self.shards[shard];
        let (Some(conn), Some(speaker)) = (side.lines.get(&link).and_then(|line| line.conn), side.shard.link_mut(link))
        else {
            return;
        };
        let pending = speaker.pending();
        let pending_len = pending.len();
        if pending.is_empty() {
            return;
        }
        let some = usize::try_from(self.rng.below(pending.len() as u64)).expect("a buffer") + 1;
        let count = if self.rng.chance(100) { some } else { pending.len() };
        let bytes = pending[..count].to_vec();
        speaker.written(count);
        let line = side.lines.entry(link).or_default();
        line.unsent = count < pending_len;
        line.up_at = line.up_at.max(self.now + 1 + self.rng.below(10));
        self.timeline.plan(line.up_at, Event::ToBroker { conn, bytes });
        // What is left, or has come out of the queue meanwhile, goes in a turn of its own.
        self.turn(shard);
    }

    fn opened(&mut self, shard: usize, link: LinkId) {
        let now = self.clock();
        let conn = self.next_conn;
        let accepted = self.broker.connect(conn);
        self.checks.line_opened_at = self.now;
        let line = self.line(shard, link);
        line.opening = false;
        line.conn = accepted.then_some(conn);
        self.next_conn += 1;
        let Some(link) = self.shards[shard].shard.link_mut(link) else { return };
        if accepted {
            link.opened(now);
        } else {
            link.closed(now, Closed::Refused, "connection refused");
        }
    }

    fn ended(&mut self, shard: usize, link: LinkId, how: Closed) {
        let now = self.clock();
        *self.line(shard, link) = Line::default();
        if let Some(link) = self.shards[shard].shard.link_mut(link) {
            link.closed(now, how, "the connection broke");
        }
        self.turn(shard);
    }

    /// Octets arrive, at times in pieces.
    fn down(&mut self, shard: usize, link: LinkId, conn: u64) {
        let now = self.clock();
        let arrived = self.broker_output(shard, link, conn);
        if !arrived {
            return;
        }
        let piecemeal = self.rng.chance(200);
        let lot = self.rng.next_u64();
        let line = self.line(shard, link);
        line.down_planned = false;
        let some = usize::try_from(lot % (line.coming.len() as u64 + 1)).expect("a buffer");
        let count = if piecemeal { some } else { line.coming.len() };
        let piece: Vec<u8> = line.coming.drain(..count).collect();
        line.inbox.extend(piece);
        let inbox = std::mem::take(&mut line.inbox);
        let consumed = self.shards[shard].shard.link_bytes(now, link, &inbox);
        self.line(shard, link).inbox = inbox[consumed..].to_vec();
        if !self.line(shard, link).coming.is_empty() {
            self.plan_down(shard, link, conn);
        }
        if !self.broker.is_open(conn) && self.line(shard, link).coming.is_empty() {
            let what = LineEvent::Ended { conn, how: Closed::Orderly };
            self.timeline.plan(self.now + 1, Event::Line { shard, link, what });
        }
    }

    /// False when the connection is another one by now.
    fn broker_output(&mut self, shard: usize, link: LinkId, conn: u64) -> bool {
        if self.line(shard, link).conn != Some(conn) {
            return false;
        }
        let output = self.broker.take_output(conn);
        self.line(shard, link).coming.extend(output);
        true
    }

    /// Plans the arrival of what the broker has said, and the end of what it has ended.
    pub(crate) fn collect_output(&mut self) {
        for shard in 0..self.shards.len() {
            let open = self.shards[shard].lines.iter().filter_map(|(link, line)| Some((*link, line.conn?)));
            for (link, conn) in open.collect::<Vec<_>>() {
                if self.broker.has_output(conn) {
                    self.plan_down(shard, link, conn);
                } else if !self.broker.is_open(conn) {
                    let how = if self.broker.is_up() { Closed::Orderly } else { Closed::Broken };
                    let what = LineEvent::Ended { conn, how };
                    self.timeline.plan(self.now + 1, Event::Line { shard, link, what });
                }
            }
        }
    }

    fn plan_down(&mut self, shard: usize, link: LinkId, conn: u64) {
        let at = self.now + 1 + self.rng.below(10);
        let line = self.line(shard, link);
        if !line.down_planned {
            line.down_planned = true;
            self.timeline.plan(at, Event::Line { shard, link, what: LineEvent::Down { conn } });
        }
    }

    /// Where devices have links of their own, each has one and no other is left.
    pub(crate) fn check_lines(&self) {
        let links = |side: &Side| side.lines.keys().filter(|link| !self.is_shared(**link)).count();
        let all: usize = self.shards.iter().map(links).sum();
        let devices = self.devices.len() + self.streams.devices.len();
        assert_eq!(all, if self.plan.per_device { devices } else { 0 }, "links of devices");
    }

    /// True when the broker owes the links nothing and they owe it nothing.
    pub(crate) fn lines_are_idle(&self) -> bool {
        let idle = |side: &Side| {
            side.lines.iter().all(|(link, line)| line.is_idle() || (!self.is_shared(*link) && line.is_off()))
        };
        self.shards.iter().all(|side| side.shard.is_reachable() && idle(side))
            && (0..self.plan.shards).all(|shard| {
                (0..self.plan.links).all(|link| self.broker.undelivered(&format!("sim-{shard}-{link}")) == 0)
            })
    }

    pub(crate) fn line(&mut self, shard: usize, link: LinkId) -> &mut Line {
        self.shards[shard].lines.entry(link).or_default()
    }
}

impl Line {
    /// There is no connection, nor an attempt at one.
    const fn is_off(&self) -> bool {
        self.conn.is_none() && !self.opening
    }

    pub(crate) const fn conn(&self) -> Option<u64> {
        self.conn
    }

    fn is_idle(&self) -> bool {
        self.conn.is_some() && self.coming.is_empty() && self.inbox.is_empty() && !self.down_planned
    }
}
