//! The links of a shard: those that it has from the start, and those of single devices, which come and go.
//!
//! There may be 100,000 of them, and few have something to say at a time. So whoever touches a line leaves a mark, and only
//! what is marked is looked at: by [`Bridge::settle`](super::Bridge::settle), which makes notices of what the link has said
//! and then tells the driver, and by the timers, which lie on a wheel.

use super::memory::Memory;
use super::own::Own;
use crate::link::{Link, LinkEvent, Wish};
use crate::slab::{Key, Slab};
use crate::time::{Deadline, Now, earliest};
use crate::upstream::Upstream;
use crate::wheel::{TimerId, Wheel};
use std::collections::VecDeque;

/// A link of a shard. Stale once the link is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub Key);

impl LinkId {
    /// A link that is there from the start to the end, counted from 0.
    #[must_use]
    pub const fn shared(number: u16) -> Self {
        Self(Key { slot: number as u32, generation: 0 })
    }
}

/// What a link of many clients holds at the broker.
#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) upstream: Upstream,
    /// SUBSCRIBEs of the restoration that are not answered yet; `None` = not online.
    pub(super) restoring: Option<Vec<u32>>,
    pub(super) memory: Memory,
}

/// One link, and whose it is.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) link: Link,
    /// Of a link of many clients.
    pub(super) trunk: Option<Box<Trunk>>,
    /// Of a client's own.
    pub(super) own: Option<Box<Own>>,
    /// It is to be looked at then, too.
    pub(super) watch: Option<Deadline>,
    /// It is in the list of those to be looked at.
    marked: bool,
    /// It is in the line of those to be visited.
    called: bool,
    /// What is armed for it, and when that fires: at the link's deadline or before.
    timer: Option<(TimerId, Deadline)>,
}

impl Line {
    /// For many clients.
    pub(super) fn shared(link: Link, upstream: Upstream) -> Self {
        let trunk = Trunk { upstream, restoring: None, memory: Memory::default() };
        Self { trunk: Some(Box::new(trunk)), ..Self::new(link) }
    }

    /// For one client alone.
    pub(super) fn own(link: Link, own: Own) -> Self {
        Self { own: Some(Box::new(own)), ..Self::new(link) }
    }

    const fn new(link: Link) -> Self {
        Self { link, trunk: None, own: None, watch: None, marked: false, called: false, timer: None }
    }

    /// The parts of a line of many clients.
    pub(super) fn shared_parts(&mut self) -> Option<(&mut Link, &mut Trunk)> {
        Some((&mut self.link, self.trunk.as_deref_mut()?))
    }

    /// Online, with all subscriptions in force.
    pub(super) fn is_ready(&self) -> bool {
        self.trunk.as_ref().is_some_and(|trunk| trunk.restoring.as_ref().is_some_and(Vec::is_empty))
    }
}

/// All lines of a shard.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Slab<Box<Line>>,
    shared: u16,
    marked: VecDeque<LinkId>,
    called: VecDeque<LinkId>,
    timers: Wheel<LinkId>,
}

impl Lines {
    /// These are there from the start to the end.
    pub(super) fn new(shared: impl IntoIterator<Item = Line>) -> Self {
        let mut lines = Self {
            lines: Slab::default(),
            shared: 0,
            marked: VecDeque::new(),
            called: VecDeque::new(),
            timers: Wheel::new(0),
        };
        for line in shared {
            lines.insert(line);
        }
        lines.shared = u16::try_from(lines.lines.len()).unwrap_or(u16::MAX);
        lines
    }

    /// A line more; `None` when there are 2^32 − 1.
    pub(super) fn insert(&mut self, line: Line) -> Option<LinkId> {
        let id = self.lines.insert(Box::new(line)).map(LinkId)?;
        self.mark(id);
        Some(id)
    }

    /// How many are there from the start.
    pub(super) const fn shared(&self) -> u16 {
        self.shared
    }

    pub(super) const fn is_shared(&self, id: LinkId) -> bool {
        id.0.slot < self.shared as u32
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Line> {
        self.lines.get(id.0).map(|line| &**line)
    }

    /// A line to do something with: it will be looked at.
    #[inline]
    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Line> {
        let line = self.lines.get_mut(id.0)?;
        if !line.marked {
            line.marked = true;
            self.marked.push_back(id);
        }
        Some(line)
    }

    /// It will be looked at.
    pub(super) fn mark(&mut self, id: LinkId) {
        // Looking it up is all that it takes.
        let _is_there = self.get_mut(id).is_some();
    }

    /// Takes a line out. Its driver is called, to find that it is gone.
    pub(super) fn remove(&mut self, id: LinkId) -> Option<Box<Line>> {
        let line = self.lines.remove(id.0)?;
        if let Some((timer, _)) = line.timer {
            self.timers.cancel(timer);
        }
        if !line.called {
            self.called.push_back(id);
        }
        Some(line)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().map(|(_, line)| &**line)
    }

    /// All that there are, in the order of their slots.
    pub(super) fn ids(&self) -> Vec<LinkId> {
        self.lines.iter().map(|(key, _)| LinkId(key)).collect()
    }

    /// Those that are there from the start, in their order.
    pub(super) fn iter_shared(&self) -> impl Iterator<Item = &Line> {
        (0..self.shared).filter_map(|number| self.get(LinkId::shared(number)))
    }

    /// Calls `visit` for each of those that are there from the start; nothing of it needs to be looked at.
    pub(super) fn each_shared(&mut self, mut visit: impl FnMut(&mut Line)) {
        for number in 0..self.shared {
            if let Some(line) = self.lines.get_mut(LinkId::shared(number).0) {
                visit(line);
            }
        }
    }

    /// One of those that something was done with since they were looked at last. What is done with it from here on, until it
    /// [has been looked at](Lines::looked_at), leaves no mark.
    pub(super) fn take_marked(&mut self) -> Option<LinkId> {
        while let Some(id) = self.marked.pop_front() {
            if self.lines.get(id.0).is_some() {
                return Some(id);
            }
        }
        None
    }

    /// What a link has said, for who looks at it.
    pub(super) fn take_event(&mut self, id: LinkId) -> Option<LinkEvent> {
        self.lines.get_mut(id.0)?.link.take_event()
    }

    /// It has been looked at: its timer is armed, and its driver is called if the link has something for it to do.
    pub(super) fn looked_at(&mut self, id: LinkId) {
        let Some(line) = self.lines.get_mut(id.0) else { return };
        line.marked = false;
        if !line.called && (line.link.wish() != Wish::Nothing || !line.link.pending().is_empty()) {
            line.called = true;
            self.called.push_back(id);
        }
        // A deadline that is put off is not moved: the timer looks when it fires.
        let Some(deadline) = earliest(line.link.next_deadline(), line.watch) else { return };
        match line.timer {
            Some((timer, armed)) if self.timers.is_armed(timer) => {
                if deadline < armed && self.timers.reschedule(timer, deadline.0) {
                    line.timer = Some((timer, deadline));
                }
            }
            _ => line.timer = Some((self.timers.schedule(deadline.0, id), deadline)),
        }
    }

    /// The next line that its driver is to visit.
    pub(super) fn take_called(&mut self) -> Option<LinkId> {
        let id = self.called.pop_front()?;
        if let Some(line) = self.lines.get_mut(id.0) {
            line.called = false;
        }
        Some(id)
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        self.timers.next_deadline().map(Deadline)
    }

    /// Time has come to `now`: the links whose deadlines are due hear it, and all whose timers have fired are looked at.
    pub(super) fn timer(&mut self, now: Now) {
        let Self { lines, marked, timers, .. } = self;
        timers.advance(now.mono_ms, |id| {
            let Some(line) = lines.get_mut(id.0) else { return };
            if line.link.next_deadline().is_some_and(|deadline| deadline.is_due(now)) {
                line.link.timer(now);
            }
            if !line.marked {
                line.marked = true;
                marked.push_back(id);
            }
        });
    }
}
