//! Counting on the hot path: one plain store to memory that no other core writes.
//!
//! Each shard has its own [`Meter`] for each of its parts; whoever reports adds up what the shards hold.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A metric's name, help text and kind; its series differ in their labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// `tidegate_<noun>[_<unit>][_total]`.
    pub name: &'static str,
    /// One sentence, without the full stop.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up only.
    Counter,
    /// Up and down.
    Gauge,
}

/// One time series.
#[derive(Debug)]
pub struct Series {
    /// What it is one of.
    pub family: &'static Family,
    /// Label names and values.
    pub labels: &'static [(&'static str, &'static str)],
}

/// Something that is counted: an enum whose variants are the indices of its table. Made by [`count!`](crate::count).
pub trait Count: Copy + 'static {
    /// The table, in variant order.
    const SERIES: &'static [Series];
    /// The variant's place in the table.
    fn index(self) -> usize;
}

/// The numbers of one part of one shard, by place in its table.
#[derive(Debug)]
pub struct Meter {
    series: &'static [Series],
    cells: Box<[AtomicU64]>,
}

impl Meter {
    /// Each series and its value now.
    pub fn read(&self) -> impl Iterator<Item = (&'static Series, u64)> {
        self.series.iter().zip(self.cells.iter().map(|cell| cell.load(Ordering::Relaxed)))
    }
}

/// The writing hand on a [`Meter`]; there is one writer, so no read-modify-write is needed.
#[derive(Debug)]
pub struct Counts<C> {
    meter: Arc<Meter>,
    what: PhantomData<C>,
}

/// Another hand on the same meter, for parts that count into one place. They must be on one shard.
impl<C> Clone for Counts<C> {
    fn clone(&self) -> Self {
        Self { meter: Arc::clone(&self.meter), what: PhantomData }
    }
}

impl<C: Count> Default for Counts<C> {
    fn default() -> Self {
        let cells = C::SERIES.iter().map(|_| AtomicU64::new(0)).collect();
        Self { meter: Arc::new(Meter { series: C::SERIES, cells }), what: PhantomData }
    }
}

impl<C: Count> Counts<C> {
    /// For whoever reports.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// One more.
    #[inline]
    pub fn up(&self, what: C) {
        self.add(what, 1);
    }

    /// `n` more.
    #[inline]
    pub fn add(&self, what: C, n: u64) {
        self.set(what, self.get(what).wrapping_add(n));
    }

    /// A gauge's new value.
    #[inline]
    pub fn set(&self, what: C, value: u64) {
        if let Some(cell) = self.meter.cells.get(what.index()) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// The value now.
    #[inline]
    #[must_use]
    pub fn get(&self, what: C) -> u64 {
        self.meter.cells.get(what.index()).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

/// Declares an enum of things to count and its table of series.
#[macro_export]
macro_rules! count {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $family:path { $($label:ident: $value:literal),* };)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$doc])* $variant),* }

        impl $crate::meter::Count for $name {
            const SERIES: &'static [$crate::meter::Series] = &[$($crate::meter::Series {
                family: &$family,
                labels: &[$((stringify!($label), $value)),*],
            }),*];

            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const THINGS: Family = Family { name: "tidegate_things_total", help: "Things", kind: Kind::Counter };

    count! {
        enum Thing {
            Good = THINGS { kind: "good" };
            Bad = THINGS { kind: "bad", reason: "odd" };
        }
    }

    #[test]
    fn a_reader_sees_what_the_writer_counted() {
        let counts = Counts::<Thing>::default();
        let meter = counts.meter();
        counts.up(Thing::Bad);
        counts.add(Thing::Bad, 2);
        counts.set(Thing::Good, 7);
        let seen: Vec<_> = meter.read().map(|(series, value)| (series.labels, value)).collect();
        let good: &[(&str, &str)] = &[("kind", "good")];
        let bad: &[(&str, &str)] = &[("kind", "bad"), ("reason", "odd")];
        assert_eq!(seen, [(good, 7), (bad, 3)]);
    }
}
