//! Near misses.

use crate::Misfit;

/// The candidate that a misspelt word most likely meant: at most one letter in three is wrong, and the first of equally
/// near ones is taken.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = word.to_lowercase().replace(['-', ' ', '.'], "_");
    let measured = candidates.into_iter().map(|each| {
        let other = each.to_lowercase().replace(['-', ' ', '.'], "_");
        (strsim::osa_distance(&plain, &other), each)
    });
    let (distance, name) = measured.min_by_key(|(distance, _)| *distance)?;
    let length = word.chars().count().max(name.chars().count());
    (distance * 3 <= length).then_some(name)
}

impl Misfit {
    /// For a text that is none of `words`: with a hint if it is nearly one.
    #[must_use]
    pub fn near(text: &str, words: &[&'static str]) -> Self {
        nearest(text, words.iter().copied())
            .map_or(Self::Unexpected, |word| Self::UnexpectedBut { hint: format!("did you mean \"{word}\"?") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_letter_in_three_is_a_near_miss() {
        let keys = ["retry_interval", "max_retries", "qos", "url", "urls"];
        for (word, expected) in [
            ("retry-interval", Some("retry_interval")),
            ("Retry_Intervall", Some("retry_interval")),
            ("max_retrys", Some("max_retries")),
            ("qso", Some("qos")),
            ("rul", Some("url")),
            ("urlss", Some("urls")),
            ("colour", None),
            ("q", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest("x", []), None);
    }
}
