//! A set of numbers below a bound, one bit each.

#[derive(Clone, Debug)]
pub(crate) struct Places {
    words: Vec<u64>,
    bound: u64,
}

impl Places {
    pub(crate) fn below(bound: u64) -> Self {
        Self { words: vec![0; usize::try_from(bound.div_ceil(64)).unwrap_or(usize::MAX)], bound }
    }

    /// Whether it was not in there before; `None` if it does not belong there.
    pub(crate) fn insert(&mut self, place: u64) -> Option<bool> {
        let word = usize::try_from(place / 64).ok().and_then(|word| self.words.get_mut(word));
        let word = word.filter(|_| place < self.bound)?;
        let bit = 1 << (place % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        Some(is_new)
    }

    /// How many are in here and not in `other`.
    pub(crate) fn missing_in(&self, other: &Self) -> u64 {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words.iter().zip(others).map(|(mine, theirs)| u64::from((mine & !theirs).count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_new_once_and_the_bound_is_none() {
        let mut places = Places::below(70);
        assert_eq!(
            [0, 69, 0, 70, u64::MAX].map(|place| places.insert(place)),
            [Some(true), Some(true), Some(false), None, None]
        );
    }

    #[test]
    fn what_another_set_lacks_is_counted() {
        let set = |places: &[u64]| {
            let mut set = Places::below(200);
            places.iter().for_each(|place| assert_eq!(set.insert(*place), Some(true)));
            set
        };
        assert_eq!(set(&[1, 64, 199]).missing_in(&set(&[64, 3])), 2);
        assert_eq!(set(&[]).missing_in(&set(&[64, 3])), 0);
        assert_eq!(set(&[1, 199]).missing_in(&Places::below(0)), 2);
    }
}
