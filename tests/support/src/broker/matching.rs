//! Which topic names a filter matches (5.0, 4.7).

/// True when `filter`, without `$share/group/`, matches the topic name.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    // Names that begin with `$` are the server's own: no leading wildcard reaches them (4.7.2).
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for level in filter.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{cells, expand};

    #[test]
    fn names_match_filters_as_the_table_says() {
        let mut rows = 0;
        for row in cells("topics.tsv") {
            let text = |cell: &str| serde_json::from_str::<String>(&expand(cell, 1)).unwrap();
            let expected = match row[1].as_str() {
                "match" => true,
                "no-match" => false,
                _ => continue,
            };
            rows += 1;
            let filter = text(&row[2]);
            let filter = codec_mqtt::topic::shared(&filter).unwrap().map_or(filter.as_str(), |(_group, filter)| filter);
            assert_eq!(matches(filter, &text(&row[3])), expected, "{}", row[0]);
        }
        assert!(rows > 100, "{rows} rows");
    }
}
