//! The rows of `topics.tsv` about syntax; those about matching belong to whoever matches.

use codec_mqtt::topic::{check_filter, check_name};
use support::vectors::{cells, expand};

#[test]
fn names_and_filters_are_valid_as_the_table_says() {
    let mut counts = [0; 4];
    for row in cells("topics.tsv") {
        let text = |cell: &str| serde_json::from_str::<String>(&expand(cell, 1)).unwrap();
        let (id, filter, topic) = (&row[0], &row[2], &row[3]);
        match row[1].as_str() {
            "valid-filter" => {
                counts[0] += 1;
                assert_eq!(check_filter(&text(filter)), Ok(()), "{id}");
            }
            "invalid-filter" => {
                counts[1] += 1;
                assert!(check_filter(&text(filter)).is_err(), "{id}");
            }
            "valid-topic" => {
                counts[2] += 1;
                assert_eq!(check_name(&text(topic)), Ok(()), "{id}");
            }
            "invalid-topic" => {
                counts[3] += 1;
                assert!(check_name(&text(topic)).is_err(), "{id}");
            }
            _ => {
                assert_eq!(check_filter(&text(filter)), Ok(()), "{id}");
                assert_eq!(check_name(&text(topic)), Ok(()), "{id}");
            }
        }
    }
    assert_eq!(counts, [20, 25, 11, 9]);
}
