//! The values of one filter: most filters have one, a few (an announcement to all devices) have very many.

use super::Seed;
use hashbrown::HashTable;
use std::hash::Hash;

/// A set that keeps the order of insertion; each operation takes constant time, averaged over many.
pub(super) enum Members<V> {
    None,
    One(V),
    Many(Box<Many<V>>),
}

pub(super) struct Many<V> {
    /// In the order of insertion; a removed value leaves a hole until half of them are holes.
    order: Vec<Option<V>>,
    /// Places in `order` by value.
    places: HashTable<usize>,
}

impl<V: Copy + Eq + Hash> Members<V> {
    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// False if it is there already.
    pub(super) fn insert(&mut self, value: V, seed: &Seed) -> bool {
        match self {
            Self::None => *self = Self::One(value),
            Self::One(first) if *first == value => return false,
            Self::One(first) => {
                let mut many = Many { order: Vec::with_capacity(4), places: HashTable::new() };
                many.push(*first, seed);
                many.push(value, seed);
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) if many.place(value, seed).is_some() => return false,
            Self::Many(many) => many.push(value, seed),
        }
        true
    }

    /// False if it is not there.
    pub(super) fn remove(&mut self, value: V, seed: &Seed) -> bool {
        match self {
            Self::None => return false,
            Self::One(first) if *first != value => return false,
            Self::One(_) => *self = Self::None,
            Self::Many(many) => {
                if !many.remove(value, seed) {
                    return false;
                }
                if many.places.len() < 2 {
                    *self = many.order.iter().flatten().next().map_or(Self::None, |&last| Self::One(last));
                }
            }
        }
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = V> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(value) => (Some(*value), None),
            Self::Many(many) => (None, Some(many.order.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten().copied().flatten())
    }
}

impl<V: Copy + Eq + Hash> Many<V> {
    fn place(&self, value: V, seed: &Seed) -> Option<usize> {
        self.places.find(seed.value(&value), |&place| self.order.get(place) == Some(&Some(value))).copied()
    }

    fn push(&mut self, value: V, seed: &Seed) {
        let Self { order, places } = self;
        order.push(Some(value));
        places.insert_unique(seed.value(&value), order.len() - 1, |&place| {
            order.get(place).copied().flatten().map_or(0, |value| seed.value(&value))
        });
    }

    fn remove(&mut self, value: V, seed: &Seed) -> bool {
        let Self { order, places } = self;
        let found = places.find_entry(seed.value(&value), |&place| order.get(place) == Some(&Some(value)));
        let Ok(found) = found else { return false };
        let (place, _) = found.remove();
        if let Some(hole) = order.get_mut(place) {
            *hole = None;
        }
        if order.len() > 2 * places.len() + SPARE_HOLES {
            self.close_holes(seed);
        }
        true
    }

    fn close_holes(&mut self, seed: &Seed) {
        let kept: Vec<V> = self.order.iter().flatten().copied().collect();
        *self = Self { order: Vec::with_capacity(kept.len()), places: HashTable::with_capacity(kept.len()) };
        for value in kept {
            self.push(value, seed);
        }
    }
}

/// Holes that a short list may keep, so that it is not rebuilt for every second removal.
const SPARE_HOLES: usize = 8;
