//! Timers by the million: a hierarchical wheel with a resolution of one millisecond.
//!
//! Level 0 has a bucket for each of the next 64 ms, level 1 for each of the next 64 × 64 ms, and so on: a timer lies in
//! the level of the highest 6-bit digit in which its deadline differs from the wheel's time, in that digit's bucket.
//! When time enters a bucket of an upper level, its timers move to lower ones; so each timer moves at most six times,
//! and empty stretches of time cost nothing. A bucket is a doubly linked list through the slab of timers.

/// Timers that fire with a key; K is small (slot and generation of whatever the timer is for).
///
/// Times are in milliseconds of the monotone clock. They are kept for 2⁴² ms (139 years) from the wheel's beginning; a
/// deadline beyond fires then. A timer takes 24 bytes with a key of 8 (a test holds this), and its place is used again;
/// the slab does not shrink. Nothing bounds the number of timers here but that of 32-bit indices: the caller limits them.
pub struct Wheel<K> {
    timers: Vec<Timer<K>>,
    /// The first free timer; they are linked by `next`.
    free: u32,
    len: usize,
    /// What 0 means in all other times.
    origin: u64,
    /// The latest `now`. No armed timer has an earlier deadline.
    elapsed: u64,
    levels: [Level; LEVELS],
}

/// Names one schedule of one timer. Once that has fired or was cancelled, the id is stale and names nothing, until its
/// slot has been used 2²² times more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    slot: u32,
    generation: u32,
}

struct Timer<K> {
    stamp: Stamp,
    key: K,
    previous: u32,
    next: u32,
}

/// Deadline (42 bits) and generation (22 bits) in one word, so that a timer stays at 24 bytes.
#[derive(Clone, Copy)]
struct Stamp(u64);

#[derive(Clone, Copy)]
struct Level {
    /// Bit n is set if bucket n holds a timer.
    occupied: u64,
    buckets: [Bucket; 64],
}

#[derive(Clone, Copy)]
struct Bucket {
    first: u32,
    last: u32,
}

/// A bucket's place.
#[derive(Clone, Copy)]
struct Place {
    level: u32,
    digit: u32,
}

const DIGIT_BITS: u32 = 6;
const LEVELS: usize = 7;
const TIME_BITS: u32 = 42;
const LAST_TIME: u64 = (1 << TIME_BITS) - 1;
const GENERATIONS: u64 = u64::MAX >> TIME_BITS;
/// No timer: the end of a list.
const NIL: u32 = u32::MAX;

impl<K: Copy> Wheel<K> {
    /// A wheel without timers, whose time begins at `now_ms`.
    #[must_use]
    pub const fn new(now_ms: u64) -> Self {
        let level = Level { occupied: 0, buckets: [Bucket { first: NIL, last: NIL }; 64] };
        Self { timers: Vec::new(), free: NIL, len: 0, origin: now_ms, elapsed: 0, levels: [level; LEVELS] }
    }

    /// How many timers are armed.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is armed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer. A deadline in the past counts as the present: the next [`advance`](Self::advance) fires it.
    ///
    /// With 2³² − 1 timers (100 GB) there is no room for another, and the id returned is stale.
    pub fn schedule(&mut self, at_ms: u64, key: K) -> TimerId {
        let deadline = self.deadline(at_ms);
        let slot = self.take_slot(key);
        let Some(timer) = self.timers.get_mut(slot as usize) else { return TimerId { slot: NIL, generation: 0 } };
        timer.key = key;
        timer.stamp = timer.stamp.with_deadline(deadline);
        let generation = timer.stamp.generation();
        self.len += 1;
        self.link(slot);
        TimerId { slot, generation }
    }

    /// Disarms a timer; false if the id is stale.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        let armed = self.is_armed(id);
        if armed {
            self.unlink(id.slot);
            self.release(id.slot);
        }
        armed
    }

    /// Moves a timer to another deadline, as if it were cancelled and scheduled anew, but the id stays; false if the id
    /// is stale.
    pub fn reschedule(&mut self, id: TimerId, at_ms: u64) -> bool {
        let armed = self.is_armed(id);
        if armed {
            self.unlink(id.slot);
            let deadline = self.deadline(at_ms);
            if let Some(timer) = self.timers.get_mut(id.slot as usize) {
                timer.stamp = timer.stamp.with_deadline(deadline);
            }
            self.link(id.slot);
        }
        armed
    }

    /// Whether the timer has neither fired nor been cancelled.
    #[must_use]
    pub fn is_armed(&self, id: TimerId) -> bool {
        self.timers.get(id.slot as usize).is_some_and(|timer| timer.stamp.generation() == id.generation)
    }

    /// When to call [`advance`](Self::advance) next; `None` if no timer is armed.
    ///
    /// Never later than the earliest deadline. Exact if that lies in the same 64 ms (counted from the origin) as the
    /// last `now`; else the beginning of its bucket, which is early by less than 64ⁿ ms at level n. An early call only
    /// moves timers down, so that a timer causes at most seven calls in all. Seven look-ups, however many timers.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.first_bucket().map(|(_, start)| self.origin.saturating_add(start))
    }

    /// Fires all timers that are due at or before `now_ms`, by their deadlines, equal ones in the order in which they
    /// were scheduled. None fires early. A `now_ms` older than the last counts as the last.
    ///
    /// Work: at most seven steps per timer, however far time jumps.
    pub fn advance(&mut self, now_ms: u64, mut fire: impl FnMut(K)) {
        let now = self.deadline(now_ms);
        while let Some((place, start)) = self.first_bucket().filter(|(_, start)| *start <= now) {
            self.elapsed = start;
            let mut slot = self.take_bucket(place);
            while let Some(&Timer { key, next, .. }) = self.timers.get(slot as usize) {
                if place.level == 0 {
                    self.release(slot);
                    fire(key);
                } else {
                    self.link(slot);
                }
                slot = next;
            }
        }
        self.elapsed = now;
    }

    /// A time from outside as one of ours: not before the present.
    fn deadline(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.origin).clamp(self.elapsed, LAST_TIME)
    }

    /// The bucket with the earliest deadline, and the earliest that it can hold. A level's timers are all due before
    /// those of the next level, and none lies in a bucket that time has left.
    fn first_bucket(&self) -> Option<(Place, u64)> {
        let (level, Level { occupied, .. }) = (0..).zip(&self.levels).find(|(_, level)| level.occupied != 0)?;
        let digit = occupied.trailing_zeros();
        let shift = level * DIGIT_BITS;
        let above = self.elapsed >> shift >> DIGIT_BITS << DIGIT_BITS;
        Some((Place { level, digit }, (above | u64::from(digit)) << shift))
    }

    fn take_slot(&mut self, key: K) -> u32 {
        if let Some(timer) = self.timers.get(self.free as usize) {
            return std::mem::replace(&mut self.free, timer.next);
        }
        let Some(slot) = u32::try_from(self.timers.len()).ok().filter(|slot| *slot != NIL) else { return NIL };
        if self.timers.len() == self.timers.capacity() {
            // Growth by a quarter: doubling would leave up to half of a large slab unused.
            self.timers.reserve_exact(self.timers.len() / 4 + 4);
        }
        self.timers.push(Timer { stamp: Stamp(0), key, previous: NIL, next: NIL });
        slot
    }

    /// Makes the slot free, and its id stale.
    fn release(&mut self, slot: u32) {
        if let Some(timer) = self.timers.get_mut(slot as usize) {
            timer.stamp = timer.stamp.next_generation();
            timer.next = std::mem::replace(&mut self.free, slot);
            self.len -= 1;
        }
    }

    /// Where a timer lies, or goes to. This holds while time passes: as long as `elapsed` has not reached the bucket,
    /// it differs from the deadline in the same highest digit.
    fn place(&self, slot: u32) -> Option<Place> {
        let deadline = self.timers.get(slot as usize)?.stamp.deadline();
        // `| 1`: no difference at all means level 0 as well.
        let level = ((deadline ^ self.elapsed) | 1).ilog2() / DIGIT_BITS;
        Some(Place { level, digit: ((deadline >> (level * DIGIT_BITS)) & 63) as u32 })
    }

    fn bucket(&mut self, place: Place) -> Option<(&mut u64, &mut Bucket)> {
        let level = self.levels.get_mut(place.level as usize)?;
        Some((&mut level.occupied, level.buckets.get_mut(place.digit as usize)?))
    }

    /// Puts a timer at the end of the bucket that its deadline tells.
    fn link(&mut self, slot: u32) {
        let Some(place) = self.place(slot) else { return };
        let Some((occupied, bucket)) = self.bucket(place) else { return };
        *occupied |= 1 << place.digit;
        let previous = std::mem::replace(&mut bucket.last, slot);
        if previous == NIL {
            bucket.first = slot;
        }
        if let Some(timer) = self.timers.get_mut(slot as usize) {
            (timer.previous, timer.next) = (previous, NIL);
        }
        if let Some(timer) = self.timers.get_mut(previous as usize) {
            timer.next = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(place) = self.place(slot) else { return };
        let Some(&Timer { previous, next, .. }) = self.timers.get(slot as usize) else { return };
        if let Some(timer) = self.timers.get_mut(previous as usize) {
            timer.next = next;
        }
        if let Some(timer) = self.timers.get_mut(next as usize) {
            timer.previous = previous;
        }
        let Some((occupied, bucket)) = self.bucket(place) else { return };
        if previous == NIL {
            bucket.first = next;
        }
        if next == NIL {
            bucket.last = previous;
        }
        if bucket.first == NIL {
            *occupied &= !(1 << place.digit);
        }
    }

    /// Empties a bucket and returns the first timer of the list that it held.
    fn take_bucket(&mut self, place: Place) -> u32 {
        let Some((occupied, bucket)) = self.bucket(place) else { return NIL };
        *occupied &= !(1 << place.digit);
        std::mem::replace(bucket, Bucket { first: NIL, last: NIL }).first
    }
}

impl Stamp {
    const fn deadline(self) -> u64 {
        self.0 & LAST_TIME
    }

    const fn with_deadline(self, deadline: u64) -> Self {
        Self(self.0 & !LAST_TIME | deadline & LAST_TIME)
    }

    const fn generation(self) -> u32 {
        (self.0 >> TIME_BITS) as u32
    }

    const fn next_generation(self) -> Self {
        let generation = ((self.0 >> TIME_BITS) + 1) & GENERATIONS;
        Self(self.0 & LAST_TIME | generation << TIME_BITS)
    }
}

impl<K> std::fmt::Debug for Wheel<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let now_ms = self.origin.saturating_add(self.elapsed);
        f.debug_struct("Wheel").field("len", &self.len).field("now_ms", &now_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
