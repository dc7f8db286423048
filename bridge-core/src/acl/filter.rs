//! How two topic filters stand to each other. A topic name is a filter that has no wildcards (MQTT 5.0 §4.7.1).

/// True when `asked` matches nothing but what `rule` matches, too.
pub(super) fn covers(rule: &str, asked: &str) -> bool {
    if is_wild(rule) && asked.starts_with('$') {
        return false; // §4.7.2
    }
    // A name has a first level, so that the two match the same; only the longer shows that in its levels.
    let asked = if asked == "#" { "+/#" } else { asked };
    let (mut rule, mut asked) = (rule.split('/'), asked.split('/'));
    loop {
        match (rule.next(), asked.next()) {
            // `a/#` matches `a`, too (§4.7.1.2).
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// True when there is a topic name that both match. Here a wildcard at the beginning of `rule` matches names that begin
/// with `$`, too: who denies `#` means everything.
pub(super) fn overlap(rule: &str, asked: &str) -> bool {
    if is_wild(asked) && rule.starts_with('$') {
        return false; // §4.7.2
    }
    let (mut rule, mut asked) = (rule.split('/'), asked.split('/'));
    loop {
        match (rule.next(), asked.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == "+" || b == "+" || a == b => {}
            _ => return false,
        }
    }
}

fn is_wild(filter: &str) -> bool {
    filter.starts_with(['+', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[rustfmt::skip]
    fn filters_stand_to_each_other_as_section_4_7_says() {
        // rule, asked, covers, overlap
        let table = [
            ("a/b",     "a/b",    true,  true),
            ("a/b",     "a/c",    false, false),
            ("a/+",     "a/b",    true,  true),
            ("a/+",     "a",      false, false),
            ("a/+",     "a/b/c",  false, false),
            ("a/+",     "a/+",    true,  true),
            ("a/+",     "a/#",    false, true),
            ("a/b",     "a/+",    false, true),
            ("a/#",     "a",      true,  true),
            ("a/#",     "a/b/c",  true,  true),
            ("a/#",     "a/#",    true,  true),
            ("a/#",     "b/#",    false, false),
            ("a/b",     "a/#",    false, true),
            ("a",       "a/#",    false, true),
            ("#",       "a/b",    true,  true),
            ("#",       "+/#",    true,  true),
            ("+/#",     "#",      true,  true),
            ("+",       "#",      false, true),
            ("+",       "/a",     false, false),
            ("+/+",     "/a",     true,  true),
            ("a/+/c",   "+/b/+",  false, true),
            ("#",       "$SYS/a", false, true),
            ("+/a",     "$SYS/a", false, true),
            ("+/b",     "$SYS/a", false, false),
            ("$SYS/#",  "#",      false, false),
            ("$SYS/#",  "+/a",    false, false),
            ("$SYS/#",  "$SYS/a", true,  true),
            ("$SYS/+",  "$SYS/#", false, true),
        ];
        for (rule, asked, covering, overlapping) in table {
            assert_eq!(covers(rule, asked), covering, "{rule} covers {asked}");
            assert_eq!(overlap(rule, asked), overlapping, "{rule} overlaps {asked}");
        }
    }

    /// Section 4.7, level by level.
    fn matches(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, name @ ..]) => matches(filter, name),
            ([one, filter @ ..], [other, name @ ..]) => one == other && matches(filter, name),
            _ => false,
        }
    }

    fn matches_name(filter: &str, name: &str) -> bool {
        !(name.starts_with('$') && filter.starts_with(['+', '#'])) && matches_any(filter, name)
    }

    /// As if `$` were nothing special.
    fn matches_any(filter: &str, name: &str) -> bool {
        let (of_filter, of_name): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), name.split('/').collect());
        matches(&of_filter, &of_name)
    }

    /// Every name of up to four levels, one more than the filters have, with one text that no filter has. (The empty one,
    /// which MQTT does not have, tells `+` and `/#` apart from nothing: so the two count as overlapping.)
    fn names() -> Vec<String> {
        let texts = ["", "a", "$b", "z"];
        let mut all: Vec<String> = Vec::new();
        let mut last: Vec<String> = texts.map(str::to_owned).to_vec();
        for _ in 0..4 {
            all.extend(last.iter().cloned());
            last = last.iter().flat_map(|name| texts.map(|text| format!("{name}/{text}"))).collect();
        }
        all
    }

    fn filters() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["", "a", "$b", "+"]);
        (prop::collection::vec(level, 0..3), any::<bool>()).prop_map(|(mut levels, hash)| {
            if hash || levels.is_empty() || levels == [""] {
                levels.push("#");
            }
            levels.join("/")
        })
    }

    proptest! {
        #[test]
        fn covering_and_overlapping_are_what_the_matched_names_say(rule in filters(), asked in filters()) {
            let names = names();
            let of_asked: Vec<&String> = names.iter().filter(|name| matches_name(&asked, name)).collect();
            prop_assert_eq!(covers(&rule, &asked), of_asked.iter().all(|name| matches_name(&rule, name)));
            prop_assert_eq!(overlap(&rule, &asked), of_asked.iter().any(|name| matches_any(&rule, name)));
        }
    }
}
