//! The text of `/metrics` as JSON: what a script would otherwise have to read line by line.

use serde_json::{Map, Value, json};

/// `[{"name", "labels", "value"}]`. Lines that are no samples are left out.
pub(super) fn samples(text: &str) -> Value {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Value> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, read_labels(labels)?),
        None => (series, Map::new()),
    };
    let value: Value = serde_json::from_str(value).ok()?;
    Some(json!({ "name": name, "labels": labels, "value": value }))
}

/// From behind `{` to `}`.
fn read_labels(text: &str) -> Option<Map<String, Value>> {
    let (mut labels, mut rest) = (Map::new(), text);
    while rest != "}" {
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(name.trim_start_matches(',').to_owned(), value.into());
        rest = after;
    }
    Some(labels)
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_name_labels_and_a_number() {
        let text =
            "# HELP a A.\na 5\nb_total{} 0\nc{x=\"1\",y=\"a,b=\\\"}\\n\\\\\"} 1.5\nbroken{x=\"1 7\nnothing\n# EOF\n";
        let expected = json!([
            { "name": "a", "labels": {}, "value": 5 },
            { "name": "b_total", "labels": {}, "value": 0 },
            { "name": "c", "labels": { "x": "1", "y": "a,b=\"}\n\\" }, "value": 1.5 },
        ]);
        assert_eq!(samples(text), expected);
    }
}
