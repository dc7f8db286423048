//! Things at rest under a key that goes stale with them: a late answer for a dead session finds nothing.

/// A slot and the generation of what lives there. Plain data: cheap to keep in timers, tokens and queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Index of the slot.
    pub slot: u32,
    /// Counts the slot's tenants; wraps after 2^32 of them.
    pub generation: u32,
}

impl Key {
    /// Both halves as one number, for tokens and timers.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        ((self.slot as u64) << 32) | self.generation as u64
    }

    /// What [`Key::to_bits`] made.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    pub const fn from_bits(bits: u64) -> Self {
        Self { slot: (bits >> 32) as u32, generation: bits as u32 }
    }
}

/// A vector with holes: O(1) insert, look-up and remove; slots are used again, keys are not.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    len: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Taken { generation: u32, value: T },
    Free { generation: u32, next: Option<u32> },
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: None, len: 0 }
    }
}

impl<T> Slab<T> {
    /// How many values live here.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when nothing lives here.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `value` into a free slot. `None`, and the value dropped, only when all 2^32 − 1 slots are taken.
    pub fn insert(&mut self, value: T) -> Option<Key> {
        let (slot, generation) = match self.free {
            Some(slot) => match self.slots.get(slot as usize) {
                Some(&Slot::Free { generation, next }) => {
                    self.free = next;
                    (slot, generation)
                }
                _ => return None,
            },
            None => (u32::try_from(self.slots.len()).ok().filter(|&s| s != u32::MAX)?, 0),
        };
        let taken = Slot::Taken { generation, value };
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = taken,
            None => self.slots.push(taken),
        }
        self.len += 1;
        Some(Key { slot, generation })
    }

    /// The key that the next [`Slab::insert`] will give, if it gives one.
    #[must_use]
    pub fn next_key(&self) -> Option<Key> {
        match self.free {
            Some(slot) => match self.slots.get(slot as usize) {
                Some(&Slot::Free { generation, .. }) => Some(Key { slot, generation }),
                _ => None,
            },
            None => {
                u32::try_from(self.slots.len()).ok().filter(|&s| s != u32::MAX).map(|slot| Key { slot, generation: 0 })
            }
        }
    }

    /// What lives under `key`, if it still does.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.slot as usize) {
            Some(Slot::Taken { generation, value }) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// What lives under `key`, if it still does.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.slot as usize) {
            Some(Slot::Taken { generation, value }) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// Takes out what lives under `key`; the key is stale from then on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        match slot {
            Slot::Taken { generation, .. } if *generation == key.generation => {}
            _ => return None,
        }
        let next = self.free.replace(key.slot);
        self.len = self.len.saturating_sub(1);
        match std::mem::replace(slot, Slot::Free { generation: key.generation.wrapping_add(1), next }) {
            Slot::Taken { value, .. } => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// How many slots there are, free ones included.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// What lives in at most `most` slots from slot `first` on, in slot order: a walk in steps that take a bounded time.
    pub fn slice(&self, first: u32, most: usize) -> impl Iterator<Item = (Key, &T)> {
        let rest = self.slots.get(first as usize..).unwrap_or_default();
        rest.iter().take(most).zip(first..).filter_map(|(slot, index)| match slot {
            Slot::Taken { generation, value } => Some((Key { slot: index, generation: *generation }, value)),
            Slot::Free { .. } => None,
        })
    }

    /// All that lives here, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| match slot {
            Slot::Taken { generation, value } => Some((Key { slot: index, generation: *generation }, value)),
            Slot::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_dies_with_its_tenant() {
        let mut slab = Slab::default();
        let a = slab.insert("a").unwrap();
        let b = slab.next_key().unwrap();
        assert_eq!(slab.insert("b"), Some(b));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        let next = slab.next_key();
        let c = slab.insert("c").unwrap();
        assert_eq!(next, Some(c));
        assert_eq!(c.slot, a.slot, "the slot is used again");
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.get(c), Some(&"c"));
        assert_eq!(slab.len(), 2);
        assert_eq!(Key::from_bits(b.to_bits()), b);
        assert_eq!(slab.iter().map(|(key, _)| key).collect::<Vec<_>>(), [c, b]);
    }

    #[test]
    fn a_slice_counts_slots_whether_they_are_taken_or_not() {
        let mut slab = Slab::default();
        let keys: Vec<Key> = (0..5).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!((slab.remove(keys[1]), slab.remove(keys[2])), (Some(1), Some(2)));
        let slice = |first, most| slab.slice(first, most).map(|(_, n)| *n).collect::<Vec<_>>();
        assert_eq!((slab.len(), slab.slots()), (3, 5));
        assert_eq!((slice(0, 3), slice(1, 2), slice(2, 2), slice(3, 100)), (vec![0], vec![], vec![3], vec![3, 4]));
        assert_eq!((slice(5, 100), slice(u32::MAX, 100)), (vec![], vec![]));
        assert!(slab.slice(3, 2).all(|(key, _)| key == keys[3] || key == keys[4]));
    }
}
