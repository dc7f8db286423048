//! What the API says, for people.

use serde_json::Value;

use super::table::{pairs, table};

/// What a terminal can show: control characters, which could do things to it, are spelt out.
pub(super) fn printable(text: &str) -> String {
    let spell = |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(spell).collect()
}

/// A field; null where there is none.
pub(super) fn at<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// One value.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// 0 is none.
fn limit(value: &Value) -> String {
    if *value == 0 { "no limit".to_owned() } else { text(value) }
}

pub(super) fn status(told: &Value) -> String {
    let ready = match at(told, "reason").as_str().filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("no: {reason}"),
        None => text(at(told, "ready")),
    };
    let uptime = at(told, "uptime").as_u64().map_or_else(|| "-".to_owned(), duration);
    let head = pairs([
        ("node", text(at(told, "node"))),
        ("version", text(at(told, "version"))),
        ("started", text(at(told, "started_at"))),
        ("uptime", uptime),
        ("workers", text(at(told, "workers"))),
        ("ready", ready),
    ]);
    let links = rows(at(told, "links")).map(|link| {
        [at(link, "link"), at(link, "client_id"), at(link, "shard"), at(link, "online"), at(link, "state")].map(text)
    });
    format!("{head}\n{}", table(["LINK", "CLIENT ID", "SHARD", "ONLINE", "STATE"], links))
}

/// `seconds` in the two largest units.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

pub(super) fn gateways(told: &Value) -> String {
    let gateways = rows(told).map(|gateway| {
        let loaded = gateway.get("listeners").is_some();
        let listeners: Vec<String> = rows(at(gateway, "listeners")).map(|listener| text(at(listener, "id"))).collect();
        [
            text(at(gateway, "name")),
            text(at(gateway, "status")),
            text(at(gateway, "current_connections")),
            if loaded { limit(at(gateway, "max_connections")) } else { "-".to_owned() },
            if listeners.is_empty() { "-".to_owned() } else { listeners.join(" ") },
        ]
    });
    table(["NAME", "STATUS", "SESSIONS", "AT MOST", "LISTENERS"], gateways)
}

pub(super) fn listeners(told: &Value) -> String {
    let listeners = rows(told).map(|listener| {
        [
            text(at(listener, "id")),
            text(at(listener, "bind")),
            text(at(listener, "running")),
            text(at(listener, "current_connections")),
            limit(at(listener, "max_connections")),
        ]
    });
    table(["ID", "BIND", "RUNNING", "SESSIONS", "AT MOST"], listeners)
}

pub(super) fn clients(told: &Value) -> String {
    let clients = rows(at(told, "data")).map(|client| {
        [
            text(at(client, "clientid")),
            text(at(client, "username")),
            format!("{} {}", text(at(client, "ip_address")), text(at(client, "port"))),
            text(at(client, "state")),
            text(at(client, "subscriptions_cnt")),
            text(at(client, "mqueue_len")),
            text(at(client, "connected_at")),
        ]
    });
    table(["CLIENT ID", "USER NAME", "ADDRESS PORT", "STATE", "SUBSCRIPTIONS", "HELD", "CONNECTED AT"], clients)
}

/// All that is known of one client, under the API's own names.
pub(super) fn client(told: &Value) -> String {
    pairs(told.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), text(value))))
}

pub(super) fn subscriptions(told: &Value) -> String {
    table(["TOPIC", "QOS"], rows(told).map(|row| [at(row, "topic"), at(row, "qos")].map(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_names_and_values_and_a_table_of_links() {
        let link = json!({ "link": 0, "client_id": "c-0", "shard": 0, "online": true, "state": "online at h:1" });
        let told = json!({
            "node": "north", "version": "0.1.0", "started_at": "then", "uptime": 7380, "workers": 1, "ready": true,
            "reason": "", "links": [link],
        });
        let expected = "node     north\nversion  0.1.0\nstarted  then\nuptime   2 h 3 min\nworkers  1\nready    yes\n\n\
                        LINK  CLIENT ID  SHARD  ONLINE  STATE\n0     c-0        0      yes     online at h:1\n";
        assert_eq!(status(&told), expected);
        let told = json!({ "ready": false, "reason": "the node is stopping" });
        assert!(status(&told).contains("ready    no: the node is stopping\n"));
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn gateways_and_listeners_say_where_there_is_no_limit() {
        let listener = json!({
            "id": "mqttsn:udp:default", "bind": "[::]:1884", "running": true, "current_connections": 3, "max_connections": 0
        });
        let running = json!({
            "name": "mqttsn", "status": "running", "current_connections": 3, "max_connections": 0, "listeners": [listener]
        });
        let told = json!([running, { "name": "tcp", "status": "unloaded" }]);
        let expected = "NAME    STATUS    SESSIONS  AT MOST   LISTENERS\n\
                        mqttsn  running   3         no limit  mqttsn:udp:default\n\
                        tcp     unloaded  -         -         -\n";
        assert_eq!(gateways(&told), expected);
        let expected = "ID                  BIND       RUNNING  SESSIONS  AT MOST\n\
                        mqttsn:udp:default  [::]:1884  yes      3         no limit\n";
        assert_eq!(listeners(&json!([listener])), expected);
    }

    #[test]
    fn clients_and_subscriptions_are_tables_and_one_client_a_list() {
        let lamp = json!({
            "clientid": "lamp", "username": null, "ip_address": "10.0.0.1", "port": 7, "state": "asleep",
            "subscriptions_cnt": 1, "mqueue_len": 2, "connected_at": "then"
        });
        let expected = "CLIENT ID  USER NAME  ADDRESS PORT  STATE   SUBSCRIPTIONS  HELD  CONNECTED AT\n\
                        lamp       -          10.0.0.1 7    asleep  1              2     then\n";
        assert_eq!(clients(&json!({ "data": [lamp] })), expected);
        assert!(
            client(&lamp).contains("clientid           lamp\n") && client(&lamp).contains("username           -\n")
        );
        let rows = json!([{ "topic": "a/#", "qos": 1 }, { "topic": "x\u{7}", "qos": 0 }]);
        assert_eq!(subscriptions(&rows), "TOPIC   QOS\na/#     1\nx\\u{7}  0\n");
    }
}
