//! Store and forward: messages for the broker that must wait, because it is away or takes no more just now.
//!
//! This is the seam under which a queue on disk will slide: what goes in are owned messages, what comes out is the next
//! one that may leave, and nobody else knows how they lie here. Three calls are all there is: [`Queue::push`],
//! [`Queue::pop`], and the sizes.
//!
//! There are two lines, one for QoS 0 and one for QoS 1 and 2, each first in, first out. So a message never overtakes an
//! earlier one of the same client, topic and QoS; and QoS 0 can leave while the in-flight window is full.

use crate::publication::Stored;
use codec_mqtt::Qos;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a queue may hold; both lines together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Octets, counted as [`Stored::bytes`] and what `T` takes.
    pub max_bytes: usize,
    /// Messages.
    pub max_messages: usize,
}

/// What many queues of one shard may hold together: one thread counts.
#[derive(Debug)]
pub struct Budget {
    limits: QueueLimits,
    bytes: AtomicUsize,
    messages: AtomicUsize,
}

impl Budget {
    /// Nothing is held yet.
    #[must_use]
    pub const fn new(limits: QueueLimits) -> Self {
        Self { limits, bytes: AtomicUsize::new(0), messages: AtomicUsize::new(0) }
    }

    /// Messages that all of them hold.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }

    /// Octets of those, as the limit counts them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// True while an eighth of both limits is free.
    #[must_use]
    pub fn is_roomy(&self) -> bool {
        let mark = |limit: usize| limit - limit / 8;
        self.messages() < mark(self.limits.max_messages) && self.bytes() < mark(self.limits.max_bytes)
    }

    fn fits(&self, bytes: usize) -> bool {
        self.bytes().saturating_add(bytes) <= self.limits.max_bytes && self.messages() < self.limits.max_messages
    }

    fn take(&self, bytes: usize) {
        self.bytes.store(self.bytes().saturating_add(bytes), Ordering::Relaxed);
        self.messages.store(self.messages().saturating_add(1), Ordering::Relaxed);
    }

    fn give(&self, bytes: usize, messages: usize) {
        self.bytes.store(self.bytes().saturating_sub(bytes), Ordering::Relaxed);
        self.messages.store(self.messages().saturating_sub(messages), Ordering::Relaxed);
    }
}

/// Messages in wait, each with a `T` that tells whom it concerns.
///
/// When it is full, the oldest QoS 0 messages make room. Where none is left to go, a new message stays out, whatever its
/// QoS: what was taken in with QoS 1 or 2 is never thrown away.
#[derive(Debug)]
pub struct Queue<T> {
    limits: QueueLimits,
    /// QoS 0.
    fleeting: Line<T>,
    /// QoS 1 and 2.
    lasting: Line<T>,
    /// Counts what comes in: tells which line's head is older.
    arrivals: u64,
    /// What it shares with others.
    budget: Option<Arc<Budget>>,
}

/// Why a message stayed out; it comes back with the answer.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRoom<T> {
    /// Not now.
    Full(Stored, T),
    /// Never: it is larger than all that the queue may hold.
    TooLarge(Stored, T),
}

#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<Waiting<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    arrival: u64,
    message: Stored,
    concerns: T,
}

impl<T> Queue<T> {
    /// An empty queue. It takes memory as it fills.
    #[must_use]
    pub const fn new(limits: QueueLimits) -> Self {
        Self::within(limits, None)
    }

    /// An empty queue that shares what it may hold with others.
    #[must_use]
    pub const fn within(limits: QueueLimits, budget: Option<Arc<Budget>>) -> Self {
        let fleeting = Line { waiting: VecDeque::new(), bytes: 0 };
        let lasting = Line { waiting: VecDeque::new(), bytes: 0 };
        Self { limits, fleeting, lasting, arrivals: 0, budget }
    }

    /// Takes a message in, and says how many older ones of QoS 0 it had to throw away for it.
    ///
    /// # Errors
    /// [`NoRoom`]; nothing was thrown away then.
    pub fn push(&mut self, message: Stored, concerns: T) -> Result<usize, NoRoom<T>> {
        let bytes = Line::<T>::cost(&message);
        if bytes > self.limits.max_bytes {
            return Err(NoRoom::TooLarge(message, concerns));
        }
        let stays = self.lasting.bytes.saturating_add(bytes);
        if stays > self.limits.max_bytes
            || self.lasting.waiting.len() >= self.limits.max_messages
            || !self.can_fit(bytes)
        {
            return Err(NoRoom::Full(message, concerns));
        }
        let mut thrown_away = 0;
        while !self.fits(bytes)
            && let Some((old, _)) = self.fleeting.pop()
        {
            self.give(&old);
            thrown_away += 1;
        }
        self.arrivals += 1;
        if let Some(budget) = &self.budget {
            budget.take(bytes);
        }
        let line = if message.qos == Qos::AtMostOnce { &mut self.fleeting } else { &mut self.lasting };
        line.bytes = line.bytes.saturating_add(bytes);
        line.waiting.push_back(Waiting { arrival: self.arrivals, message, concerns });
        Ok(thrown_away)
    }

    /// Takes out the next message: the older of the two lines' heads. With `lasting` false only QoS 0 may leave.
    pub fn pop(&mut self, lasting: bool) -> Option<(Stored, T)> {
        let age = |line: &Line<T>| line.waiting.front().map(|head| head.arrival);
        let line = match (age(&self.fleeting), age(&self.lasting).filter(|_| lasting)) {
            (Some(fleeting), Some(lasting)) if lasting < fleeting => &mut self.lasting,
            (Some(_), _) => &mut self.fleeting,
            (None, Some(_)) => &mut self.lasting,
            (None, None) => return None,
        };
        let (message, concerns) = line.pop()?;
        self.give(&message);
        Some((message, concerns))
    }

    /// What has left makes room for others.
    fn give(&self, message: &Stored) {
        if let Some(budget) = &self.budget {
            budget.give(Line::<T>::cost(message), 1);
        }
    }

    /// Gives back all memory, if nothing waits.
    pub fn let_go(&mut self) {
        if self.is_empty() {
            (self.fleeting.waiting, self.lasting.waiting) = (VecDeque::new(), VecDeque::new());
        }
    }

    /// Messages in wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fleeting.waiting.len().saturating_add(self.lasting.waiting.len())
    }

    /// Octets in wait, as the limit counts them.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.fleeting.bytes.saturating_add(self.lasting.bytes)
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when a message of this QoS would have to stand behind another.
    #[must_use]
    pub fn has_line(&self, qos: Qos) -> bool {
        let line = if qos == Qos::AtMostOnce { &self.fleeting } else { &self.lasting };
        !line.waiting.is_empty()
    }

    /// True while an eighth of both limits is free: when to tell those who were turned away, without telling them for
    /// each message that leaves.
    #[must_use]
    pub fn is_roomy(&self) -> bool {
        let mark = |limit: usize| limit - limit / 8;
        let alone = self.len() < mark(self.limits.max_messages) && self.bytes() < mark(self.limits.max_bytes);
        (self.is_empty() || alone) && self.budget.as_ref().is_none_or(|budget| budget.is_roomy())
    }

    /// True while messages of QoS 1 and 2 take less than half of both limits: when those may come in that nobody waits for.
    #[must_use]
    pub fn has_spare_room(&self) -> bool {
        let Line { waiting, bytes } = &self.lasting;
        waiting.is_empty() || (waiting.len() < self.limits.max_messages / 2 && *bytes < self.limits.max_bytes / 2)
    }

    fn fits(&self, bytes: usize) -> bool {
        let shared = self.budget.as_ref().is_none_or(|budget| budget.fits(bytes));
        shared && self.bytes().saturating_add(bytes) <= self.limits.max_bytes && self.len() < self.limits.max_messages
    }

    /// Whether what all may hold together leaves room, once our own QoS 0 has made some.
    fn can_fit(&self, bytes: usize) -> bool {
        let Some(budget) = &self.budget else { return true };
        let (left, messages) = (budget.bytes().saturating_sub(self.fleeting.bytes), budget.messages());
        left.saturating_add(bytes) <= budget.limits.max_bytes
            && messages.saturating_sub(self.fleeting.waiting.len()) < budget.limits.max_messages
    }
}

/// What a queue held makes room when it goes.
impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give(
                self.fleeting.bytes.saturating_add(self.lasting.bytes),
                self.fleeting.waiting.len().saturating_add(self.lasting.waiting.len()),
            );
        }
    }
}

impl<T> Line<T> {
    /// The message, and the rest of its place in the line.
    fn cost(message: &Stored) -> usize {
        message.bytes().saturating_add(size_of::<Waiting<T>>().saturating_sub(size_of::<Stored>()))
    }

    fn pop(&mut self) -> Option<(Stored, T)> {
        let Waiting { message, concerns, .. } = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(Self::cost(&message));
        // A backlog of a million messages must not hold its memory for ever.
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT_PLACES {
            self.waiting.shrink_to(KEPT_PLACES);
        }
        Some((message, concerns))
    }
}

/// Places of an empty line that are kept for the next messages.
const KEPT_PLACES: usize = 1024;

#[cfg(test)]
mod tests;
