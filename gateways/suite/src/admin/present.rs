//! Clients and subscriptions as JSON, in the words of EMQX 5.

use bridge_core::ask::{ClientRow, SubscriptionRow};
use serde_json::{Value, json};

/// A client of `node`. `protocol`: as its gateway calls it.
pub(super) fn client(row: &ClientRow, node: &str, protocol: &str) -> Value {
    json!({
        "node": node,
        "clientid": row.id,
        "username": if row.username.is_empty() { Value::Null } else { json!(row.username) },
        "proto_name": protocol,
        "proto_ver": row.version,
        "ip_address": row.address.ip().to_canonical(),
        "port": row.address.port(),
        "wireless_node": row.node,
        "connected": matches!(row.state, "connected" | "asleep" | "awake"),
        "state": row.state,
        "connected_at": moment(Some(row.connected_at_ms)),
        "disconnected_at": moment(row.disconnected_at_ms),
        "keepalive": row.keepalive_s,
        "clean_start": row.clean,
        "expiry_interval": row.expiry_s,
        "subscriptions_cnt": row.subscriptions,
        "mqueue_len": row.held,
        "inflight_cnt": row.in_flight,
    })
}

/// A subscription of the client `id`.
pub(super) fn subscription(row: &SubscriptionRow, id: &str) -> Value {
    json!({ "clientid": id, "topic": row.filter, "qos": row.qos.bits() })
}

/// 0 is none: the epoch was before every client.
fn moment(ms: Option<u64>) -> Value {
    ms.filter(|ms| *ms > 0).map_or(Value::Null, |ms| Value::from(rfc3339(ms)))
}

/// Milliseconds since the Unix epoch as RFC 3339 has it, in UTC. Beyond the year 9999 it stays there.
pub(super) fn rfc3339(ms: u64) -> String {
    let ms = ms.min(253_402_300_799_999);
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}+00:00")
}

/// The Gregorian date so many days after 1970-01-01. A year is counted from 1 March, so that the leap day is its last.
const fn date(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and the epoch; 146,097 are 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    // Leap days of the era so far: one in 4 years (1461 days), none in 100 (36,524), one in 400.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 31, 30, 31, 30, 31 days: 153 in five.
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, turn) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + turn, month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::Qos;

    #[test]
    #[rustfmt::skip]
    fn moments_are_rfc_3339_in_utc() {
        for (s, expected) in [
            (0,               "1970-01-01T00:00:00.000+00:00"),
            (951_782_399,     "2000-02-28T23:59:59.000+00:00"),
            (951_782_400,     "2000-02-29T00:00:00.000+00:00"),
            (951_868_800,     "2000-03-01T00:00:00.000+00:00"),
            (1_700_000_000,   "2023-11-14T22:13:20.000+00:00"),
            (1_735_689_599,   "2024-12-31T23:59:59.000+00:00"),
            (1_735_689_600,   "2025-01-01T00:00:00.000+00:00"),
            (4_107_542_399,   "2100-02-28T23:59:59.000+00:00"), // 2100 is no leap year
            (4_107_542_400,   "2100-03-01T00:00:00.000+00:00"),
            (253_402_300_799, "9999-12-31T23:59:59.000+00:00"),
        ] {
            assert_eq!(rfc3339(s * 1000), expected);
        }
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123+00:00");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999+00:00");
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = (1970, 1, 1);
        for days in 0..292_194 {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (day < length, month < 12) {
                (true, _) => (year, month, day + 1),
                (false, true) => (year, month + 1, 1),
                (false, false) => (year + 1, 1, 1),
            };
        }
    }

    #[test]
    fn a_client_has_the_names_that_emqx_gives_it() {
        let row = ClientRow {
            id: "lamp".into(),
            username: "".into(),
            address: "[::ffff:10.0.0.1]:7".parse().unwrap(),
            node: Some("0a0b".into()),
            state: "asleep",
            version: "1.2",
            clean: false,
            keepalive_s: 60,
            expiry_s: 7200,
            connected_at_ms: 1_700_000_000_123,
            disconnected_at_ms: None,
            subscriptions: 1,
            held: 2,
            in_flight: 3,
        };
        let expected = json!({
            "node": "north", "clientid": "lamp", "username": null, "proto_name": "MQTT-SN", "proto_ver": "1.2",
            "ip_address": "10.0.0.1", "port": 7, "wireless_node": "0a0b", "connected": true, "state": "asleep",
            "connected_at": "2023-11-14T22:13:20.123+00:00", "disconnected_at": null, "keepalive": 60,
            "clean_start": false, "expiry_interval": 7200, "subscriptions_cnt": 1, "mqueue_len": 2, "inflight_cnt": 3
        });
        assert_eq!(client(&row, "north", "MQTT-SN"), expected);
        for (state, connected) in [("connecting", false), ("connected", true), ("awake", true), ("disconnected", false)]
        {
            let row = ClientRow { state, username: "ops".into(), connected_at_ms: 0, ..row.clone() };
            let told = client(&row, "north", "MQTT-SN");
            assert_eq!((&told["connected"], &told["username"]), (&json!(connected), &json!("ops")), "{state}");
            assert_eq!(told["connected_at"], Value::Null);
        }
    }

    #[test]
    fn a_subscription_has_its_filter_under_topic() {
        let row = SubscriptionRow { filter: "a/#".into(), qos: Qos::AtLeastOnce };
        assert_eq!(subscription(&row, "lamp"), json!({ "clientid": "lamp", "topic": "a/#", "qos": 1 }));
    }
}
