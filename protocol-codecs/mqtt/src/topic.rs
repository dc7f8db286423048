//! Syntax of topic names and topic filters (5.0, 4.7 and 4.8.2).

/// Why a text is no topic name or no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicFault {
    /// No characters.
    Empty,
    /// More than 65,535 octets.
    TooLong,
    /// U+0000.
    Nul,
    /// `+` or `#` in a topic name.
    Wildcard,
    /// In a filter a `+` that is not a whole level, or a `#` that is not the whole last level.
    WildcardPlace,
    /// `$share/` without a group, with a wildcard in it, or without a filter behind it.
    Share,
}

impl TopicFault {
    /// A constant label for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::Nul => "nul",
            Self::Wildcard => "wildcard",
            Self::WildcardPlace => "wildcard_place",
            Self::Share => "share",
        }
    }
}

impl std::fmt::Display for TopicFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 65535 bytes",
            Self::Nul => "holds U+0000",
            Self::Wildcard => "holds a wildcard",
            Self::WildcardPlace => "has a wildcard that is not a level of its own",
            Self::Share => "is not $share/group/filter",
        })
    }
}

impl std::error::Error for TopicFault {}

/// Accepts a topic name: 1 to 65,535 octets without `+`, `#` and U+0000.
///
/// # Errors
/// [`TopicFault`] `Empty`, `TooLong`, `Nul` or `Wildcard`.
#[inline]
pub fn check_name(name: &str) -> Result<(), TopicFault> {
    let octets = check_length(name)?;
    // No early exit: so the compiler compares many octets at a time.
    if octets.iter().fold(false, |bad, octet| bad | matches!(octet, 0 | b'+' | b'#')) {
        return Err(if octets.contains(&0) { TopicFault::Nul } else { TopicFault::Wildcard });
    }
    Ok(())
}

/// Accepts a topic filter, `$share/group/filter` included.
///
/// # Errors
/// [`TopicFault`] `Empty`, `TooLong`, `Nul`, `WildcardPlace` or `Share`.
#[inline]
pub fn check_filter(filter: &str) -> Result<(), TopicFault> {
    check_unshared_filter(shared(filter)?.map_or(filter, |(_group, filter)| filter))?;
    check_length(filter)?;
    Ok(())
}

/// Group and filter of `$share/group/filter`; `None` when `filter` is not shared. The filter itself is not checked.
///
/// # Errors
/// [`TopicFault::Share`] when the group is missing or holds a wildcard, or nothing follows it; [`TopicFault::Nul`] when
/// it holds U+0000.
pub fn shared(filter: &str) -> Result<Option<(&str, &str)>, TopicFault> {
    let Some(rest) = filter.strip_prefix("$share/") else {
        return Ok(None);
    };
    match rest.split_once('/') {
        Some((group, _)) if group.contains('\0') => Err(TopicFault::Nul),
        Some((group, inner)) if !group.is_empty() && !inner.is_empty() && !group.contains(['+', '#']) => {
            Ok(Some((group, inner)))
        }
        _ => Err(TopicFault::Share),
    }
}

/// Accepts a topic filter of a version that knows no shared subscriptions.
pub(crate) fn check_unshared_filter(filter: &str) -> Result<(), TopicFault> {
    let octets = check_length(filter)?;
    if octets.contains(&0) {
        return Err(TopicFault::Nul);
    }
    let mut levels = octets.split(|octet| *octet == b'/').peekable();
    while let Some(level) = levels.next() {
        let placed = match level {
            [b'+'] => true,
            [b'#'] => levels.peek().is_none(),
            _ => !level.iter().any(|octet| matches!(octet, b'+' | b'#')),
        };
        if !placed {
            return Err(TopicFault::WildcardPlace);
        }
    }
    Ok(())
}

#[inline]
fn check_length(text: &str) -> Result<&[u8], TopicFault> {
    match text.len() {
        0 => Err(TopicFault::Empty),
        1..=65_535 => Ok(text.as_bytes()),
        _ => Err(TopicFault::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_named() {
        assert_eq!(check_name(""), Err(TopicFault::Empty));
        assert_eq!(check_name("a\0+"), Err(TopicFault::Nul));
        assert_eq!(check_name("a#b"), Err(TopicFault::Wildcard));
        assert_eq!(check_name(&"x".repeat(65_536)), Err(TopicFault::TooLong));
        assert_eq!(check_filter("a\0"), Err(TopicFault::Nul));
        assert_eq!(check_filter("$share/g\0/a"), Err(TopicFault::Nul));
        assert_eq!(check_filter("a/#/b"), Err(TopicFault::WildcardPlace));
        assert_eq!(check_filter("$share//a"), Err(TopicFault::Share));
        assert_eq!(check_filter(&format!("$share/g/{}", "x".repeat(65_530))), Err(TopicFault::TooLong));
    }

    #[test]
    fn a_shared_filter_is_taken_apart() {
        assert_eq!(shared("$share/g/a/#"), Ok(Some(("g", "a/#"))));
        assert_eq!(shared("$share/g//"), Ok(Some(("g", "/"))));
        assert_eq!(shared("$shared/g/a"), Ok(None));
    }
}
