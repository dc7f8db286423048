//! The admin listener.

use std::net::TcpListener;

use crate::process::Setup;

#[test]
fn a_node_with_its_broker_is_alive_and_ready() {
    let tidegate = Setup::new().start().ready();
    assert_eq!(tidegate.get("/healthz"), (200, "ok\n".to_owned()));
    let (code, body) = tidegate.get("/readyz");
    let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &parsed["ready"], parsed["links"].as_array().map(Vec::len)), (200, &true.into(), Some(2)));
    let named: Vec<_> = (0..2).map(|number| parsed["links"][number]["client_id"].as_str().unwrap()).collect();
    assert!(named[0].ends_with("-0") && named[1].ends_with("-1"), "{named:?}");
}

#[test]
fn a_node_without_its_broker_is_alive_and_not_ready_and_says_why() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut tidegate = Setup::new().broker(closed).start();
    let body = tidegate.readyz_until(|code, body| code == 503 && body.contains("refused"));
    let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(parsed["ready"], false);
    let reason = parsed["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("connection refused by 127.0.0.1:{closed}")), "{reason}");
    assert_eq!(tidegate.get("/healthz").0, 200);
    let line = tidegate.logged("broker connection failed");
    assert!(line.contains(&format!(" server=127.0.0.1:{closed} ")), "{line}");
}

#[test]
fn metrics_are_lines_of_names_labels_and_numbers() {
    let tidegate = Setup::new().start().ready();
    let (code, text) = tidegate.get("/metrics");
    assert_eq!(code, 200);
    assert!(text.ends_with("# EOF\n"));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<u64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        assert!(name.starts_with("tidegate_"), "{line}");
        assert_eq!(series.contains('{'), series.ends_with('}'), "{line}");
    }
    assert_eq!(tidegate.metric("tidegate_link_up"), 2);
}

#[test]
fn what_is_not_there_is_404_and_what_is_not_done_405() {
    let tidegate = Setup::new().start();
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/healthz", 405),
        ("DELETE", "/metrics", 405),
        ("HEAD", "/healthz", 200),
    ] {
        assert_eq!(tidegate.request(method, path, "").0, expected, "{method} {path}");
    }
}

#[test]
fn credentials_are_asked_for_when_they_are_set_but_not_whether_it_lives() {
    let tidegate = Setup::new().set("ADMIN__USERNAME", "Aladdin").set("ADMIN__PASSWORD", "open sesame").start();
    assert_eq!(tidegate.get("/healthz").0, 200);
    for path in ["/readyz", "/metrics"] {
        assert_eq!(tidegate.get(path).0, 401, "{path}");
        let wrong = "Authorization: Basic QWxhZGRpbjpndWVzcw==\r\n";
        assert_eq!(tidegate.request("GET", path, wrong).0, 401, "{path}");
    }
    let right = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    assert_eq!(tidegate.request("GET", "/metrics", right).0, 200);
}

#[test]
fn an_empty_address_switches_it_off() {
    let tidegate = Setup::new().set("ADMIN__BIND", "").start();
    assert!(!tidegate.table.contains("HTTP"), "{}", tidegate.table);
}
