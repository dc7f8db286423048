use super::*;
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;
use support::vectors::{cells, expand};

fn visits(trie: &SubscriptionTrie<u64>, topic: &str) -> Vec<u64> {
    let mut seen = Vec::new();
    trie.matches(topic, |value| seen.push(value));
    seen
}

fn trie(filters: &[&str]) -> SubscriptionTrie<u64> {
    let mut trie = SubscriptionTrie::new(7);
    for (value, filter) in filters.iter().enumerate() {
        assert!(trie.insert(filter, value as u64));
    }
    trie
}

/// Whether `filter` matches `topic`, straight from the rules of MQTT 5 §4.7.
fn naive(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let topic: Vec<&str> = topic.split('/').collect();
    let filter: Vec<&str> = filter.split('/').collect();
    let (filter, open) = match filter.split_last() {
        Some((&"#", parent)) => (parent, true),
        _ => (&filter[..], false),
    };
    (topic.len() == filter.len() || open && topic.len() > filter.len())
        && filter.iter().zip(&topic).all(|(level, text)| *level == "+" || level == text)
}

fn used_nodes(trie: &SubscriptionTrie<u64>) -> usize {
    trie.nodes.len() - trie.free.len()
}

#[test]
fn every_row_of_the_topics_table_matches_or_does_not() {
    let mut counts = (0, 0);
    for row in cells("topics.tsv") {
        let [id, expect, filter, topic, ..] = &row[..] else { panic!("short row {row:?}") };
        let expected = match expect.as_str() {
            "match" => true,
            "no-match" => false,
            _ => continue,
        };
        let [filter, topic]: [String; 2] =
            [filter, topic].map(|json| serde_json::from_str(&expand(json, 1)).expect("a JSON string"));
        // The caller takes the group of a shared subscription off.
        let filter = filter.strip_prefix("$share/").map_or(&*filter, |rest| rest.split_once('/').expect("a group").1);
        assert_eq!(!visits(&trie(&[filter]), &topic).is_empty(), expected, "{id}: {filter} {topic}");
        assert_eq!(naive(filter, &topic), expected, "{id}, naive: {filter} {topic}");
        counts = if expected { (counts.0 + 1, counts.1) } else { (counts.0, counts.1 + 1) };
    }
    assert_eq!(counts.0 + counts.1, 126);
    assert!(counts.0 > 40 && counts.1 > 40, "{counts:?}");
}

#[test]
fn the_same_text_comes_before_plus_before_hash() {
    let trie = trie(&["#", "+/#", "+/b", "a/#", "a/+", "a/b/#", "a/b"]);
    assert_eq!(visits(&trie, "a/b"), [6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn values_of_one_filter_come_in_insertion_order_whatever_the_seed() {
    for seed in 0..20 {
        let mut trie = SubscriptionTrie::new(seed);
        for value in (0..50).rev() {
            assert!(trie.insert("a/+", value));
        }
        assert!(trie.remove("a/+", 30) && trie.insert("a/+", 30));
        let expected: Vec<u64> = (0..50).rev().filter(|value| *value != 30).chain([30]).collect();
        assert_eq!(visits(&trie, "a/b"), expected);
        assert_eq!(trie.values("a/+").collect::<Vec<_>>(), expected);
    }
}

#[test]
fn values_asks_for_the_filter_itself() {
    let trie = trie(&["a/+", "a/b", "a/#"]);
    assert_eq!(trie.values("a/+").collect::<Vec<_>>(), [0]);
    assert_eq!(trie.values("a").count() + trie.values("a/c").count() + trie.values("+/b").count(), 0);
}

#[test]
fn a_value_is_held_once_per_filter() {
    let mut trie = trie(&["a"]);
    assert!(!trie.insert("a", 0));
    assert!(trie.insert("a", 1));
    assert!(!trie.insert("a", 0) && !trie.insert("a", 1));
    assert!(trie.insert("+", 0));
    assert_eq!((visits(&trie, "a"), trie.len()), (vec![0, 1, 0], 3));
    assert!(!trie.remove("a", 2) && !trie.remove("b", 0) && !trie.remove("a/b", 0));
    assert_eq!(trie.len(), 3);
}

#[test]
fn the_last_removal_leaves_only_the_root_and_its_nodes_serve_again() {
    let filters = ["a/b/c", "a/b", "a/+/c", "a/#", "+/+/+/#", "/", "$SYS/#"];
    let mut trie = trie(&filters);
    let nodes = trie.nodes.len();
    for _ in 0..3 {
        for (value, filter) in filters.iter().enumerate() {
            assert!(trie.remove(filter, value as u64));
        }
        assert_eq!((used_nodes(&trie), trie.children.len(), trie.is_empty()), (1, 0, true));
        for (value, filter) in filters.iter().enumerate() {
            assert!(trie.insert(filter, value as u64));
        }
        assert_eq!(trie.nodes.len(), nodes);
    }
    assert_eq!(visits(&trie, "a/b/c"), [0, 2, 3, 4]);
}

#[test]
fn a_removed_branch_leaves_its_neighbours() {
    let mut trie = trie(&["a/b/c/d", "a/b"]);
    assert!(trie.remove("a/b/c/d", 0));
    assert_eq!((used_nodes(&trie), visits(&trie, "a/b")), (3, vec![1]));
}

#[test]
fn the_deepest_filter_needs_no_stack() {
    let slashes = "/".repeat(65_535);
    let pluses = ["+"; 32_768].join("/");
    let levels = ["x"; 32_767].join("/") + "/#";
    let walk = move || {
        let mut trie = trie(&[&slashes, &pluses, &levels]);
        assert_eq!(visits(&trie, &slashes), [0]);
        assert_eq!(visits(&trie, &["x"; 32_768].join("/")), [2, 1]);
        assert!(trie.remove(&slashes, 0) && trie.remove(&pluses, 1) && trie.remove(&levels, 2));
        assert_eq!(used_nodes(&trie), 1);
        assert!(trie.insert(&pluses, 1));
    };
    std::thread::Builder::new().stack_size(64 * 1024).spawn(walk).expect("a thread").join().expect("no overflow");
}

#[test]
fn a_device_filter_costs_less_than_220_bytes() {
    const FILTERS: usize = 100_000;
    let mut trie = SubscriptionTrie::new(1);
    for device in 0..FILTERS {
        trie.insert(&format!("dev/sensor-{device:08}/cmd"), device as u64);
    }
    // A level's text takes its length and 16 more, rounded up to 16: what a common allocator makes of it.
    let text =
        |node: &Node<u64>| if node.level.is_empty() { 0 } else { (node.level.len() + 8).next_multiple_of(16).max(32) };
    let texts: usize = trie.nodes.iter().map(text).sum();
    let nodes = trie.nodes.capacity() * size_of::<Node<u64>>();
    let bytes = texts + nodes + trie.children.allocation_size() + trie.free.capacity() * 4;
    assert!(bytes / FILTERS < 220, "{} bytes each, a node has {}", bytes / FILTERS, size_of::<Node<u64>>());
}

#[test]
fn one_filter_may_have_very_many_values() {
    let mut trie = SubscriptionTrie::new(1);
    for value in 0..100_000_u64 {
        assert!(trie.insert("all", value));
    }
    for value in (0..100_000).filter(|value| value % 3 != 0) {
        assert!(trie.remove("all", value));
    }
    assert_eq!(visits(&trie, "all"), (0..100_000).step_by(3).collect::<Vec<_>>());
}

#[test]
fn misplaced_wildcards_match_nothing_and_can_be_removed() {
    let filters = ["#/a", "a/#/b", "a+"];
    let mut trie = trie(&filters);
    assert_eq!(["a", "a/b", "x/a", "a/x/b"].map(|topic| visits(&trie, topic).len()), [0; 4]);
    for (value, filter) in filters.iter().enumerate() {
        assert!(trie.remove(filter, value as u64));
    }
    assert_eq!(used_nodes(&trie), 1);
}

/// Few and short levels, so that filters and topics meet.
fn topic() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["", "a", "b", "$a"]), 1..5).prop_map(|levels| levels.join("/"))
}

fn filter() -> impl Strategy<Value = String> {
    let levels = vec(prop::sample::select(vec!["", "a", "b", "$a", "+", "+"]), 0..5);
    (levels, any::<bool>()).prop_map(|(mut levels, open)| {
        if open || levels.is_empty() {
            levels.push("#");
        }
        levels.join("/")
    })
}

proptest! {
    #[test]
    fn it_does_what_a_list_of_filters_does(
        steps in vec((any::<bool>(), filter(), 0..4_u64), 1..60),
        topics in vec(topic(), 1..10),
        seed: u64,
    ) {
        let mut trie = SubscriptionTrie::new(seed);
        let mut model: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (insert, filter, value) in steps {
            let values = model.entry(filter.clone()).or_default();
            let held = values.iter().position(|held| *held == value);
            if insert {
                prop_assert_eq!(trie.insert(&filter, value), held.is_none());
                if held.is_none() { values.push(value); }
            } else {
                prop_assert_eq!(trie.remove(&filter, value), held.is_some());
                if let Some(place) = held { values.remove(place); }
            }
            let mut expected = values.clone();
            prop_assert_eq!(trie.values(&filter).collect::<Vec<_>>(), &expected[..]);
            expected.clear();
        }
        model.retain(|_, values| !values.is_empty());
        prop_assert_eq!(trie.len(), model.values().map(Vec::len).sum::<usize>());
        for topic in topics {
            let mut expected: Vec<u64> = Vec::new();
            for (_, values) in model.iter().filter(|(filter, _)| naive(filter, &topic)) {
                expected.extend(values);
            }
            let mut seen = visits(&trie, &topic);
            expected.sort_unstable();
            seen.sort_unstable();
            prop_assert_eq!(seen, expected, "{}", topic);
        }
        for (filter, values) in model {
            for value in values { prop_assert!(trie.remove(&filter, value)); }
        }
        prop_assert_eq!(used_nodes(&trie), 1);
    }
}
