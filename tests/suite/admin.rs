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
fn five_wrong_passwords_lock_out_the_right_one_too() {
    let tidegate = Setup::new().set("ADMIN__USERNAME", "Aladdin").set("ADMIN__PASSWORD", "open sesame").start();
    let wrong = "Authorization: Basic QWxhZGRpbjpndWVzcw==\r\n";
    let right = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    let (code, head, body) = tidegate.exchange("GET", "/metrics", "", "");
    assert_eq!((code, code_of(&body).as_str()), (401, "UNAUTHORIZED"));
    assert!(head.to_lowercase().contains("\r\nwww-authenticate: basic realm=\"tidegate\""), "{head}");
    for _ in 0..5 {
        assert_eq!(tidegate.request("GET", "/metrics", wrong).0, 401);
    }
    let (code, head, body) = tidegate.exchange("GET", "/metrics", right, "");
    assert_eq!((code, code_of(&body).as_str()), (429, "TOO_MANY_REQUESTS"));
    let head = head.to_lowercase();
    let wait = head.lines().find_map(|line| line.strip_prefix("retry-after: ")).expect("when to try again");
    assert!((1..=30).contains(&wait.parse::<u32>().unwrap()), "{wait}");
    assert_eq!(tidegate.get("/healthz").0, 200, "whether it lives is told to everybody");
}

#[test]
fn without_credentials_a_request_must_be_meant_for_a_name_of_ours() {
    let tidegate = Setup::new().start();
    for (host, expected) in [("evil.example", 421), ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:1", 200)] {
        assert_eq!(tidegate.request("GET", "/metrics", &format!("Host: {host}\r\n")).0, expected, "{host}");
    }
    assert_eq!(tidegate.request("GET", "/healthz", "Host: evil.example\r\n").0, 200);
    assert_eq!(tidegate.metric("tidegate_admin_refused_total{reason=\"host\"}"), 1);
}

#[test]
fn an_address_that_others_can_reach_is_refused_without_credentials() {
    let open = Setup::new().set("ADMIN__BIND", "0.0.0.0:0").outcome();
    assert_eq!(open.code, Some(2));
    assert!(open.errors.contains("can be reached from other machines"), "{}", open.errors);
}

#[test]
fn openapi_names_every_route_with_its_methods() {
    let tidegate = Setup::new().start().ready();
    let (code, body) = tidegate.get("/api/openapi.json");
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &document["openapi"]), (200, &"3.1.0".into()));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 12);
    for (path, item) in paths {
        let path = path.replace("{name}", "mqttsn").replace("{clientid}", "nobody").replace("{topic}", "t");
        for method in ["get", "post", "put", "delete", "patch"] {
            let (code, _, body) = tidegate.exchange(&method.to_uppercase(), &path, "", "");
            // Beside these, a route that is there may say that it knows no such client.
            let missing = code == 405 || code == 404 && code_of(&body) == "RESOURCE_NOT_FOUND";
            assert_eq!(missing, item.get(method).is_none(), "{method} {path}: {code} {body}");
        }
    }
}

#[test]
fn the_status_says_which_node_it_is_and_how_it_is() {
    let tidegate = Setup::new().set("NODE__NAME", "north").start().ready();
    let (code, body) = tidegate.get("/api/v5/status");
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (code, &status["node"], &status["ready"], &status["workers"]),
        (200, &"north".into(), &true.into(), &2.into())
    );
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["links"].as_array().map(Vec::len), Some(2));
    assert!(status["started_at"].as_str().unwrap().ends_with("+00:00"), "{body}");
}

#[test]
fn what_is_wrong_with_a_request_is_told_in_json() {
    let tidegate = Setup::new().start();
    let clients = "/api/v5/gateways/mqttsn/clients";
    for (method, path, expected, code) in [
        ("GET", "/nowhere", 404, "RESOURCE_NOT_FOUND"),
        ("PUT", "/api/v5/gateways", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v5/gateways/modbus", 404, "GATEWAY_NOT_FOUND"),
        ("GET", "/api/v5/gateways/coap/clients", 404, "GATEWAY_NOT_FOUND"),
        ("GET", &format!("{clients}?like_client=x"), 400, "BAD_REQUEST"),
        ("GET", &format!("{clients}?limit=1001"), 400, "BAD_REQUEST"),
        ("GET", &format!("{clients}/nobody"), 404, "CLIENT_NOT_FOUND"),
        ("GET", &format!("{clients}/%FF"), 400, "BAD_REQUEST"),
        ("GET", &format!("{clients}/nobody?x=1"), 400, "BAD_REQUEST"),
        ("DELETE", &format!("{clients}/nobody"), 404, "CLIENT_NOT_FOUND"),
        ("GET", &format!("{clients}/nobody/subscriptions"), 404, "CLIENT_NOT_FOUND"),
        ("DELETE", &format!("{clients}/nobody/subscriptions/a%2F%23%2Fb"), 400, "BAD_REQUEST"),
        ("POST", &format!("{clients}/nobody/subscriptions"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let (status, head, body) = tidegate.exchange(method, path, "", "");
        assert_eq!((status, code_of(&body).as_str()), (expected, code), "{method} {path}: {body}");
        assert!(head.to_lowercase().contains("content-type: application/json"), "{method} {path}: {head}");
    }
    let json = "Content-Type: application/json\r\n";
    for (body, expected) in [("{}", 400), (&*"x".repeat(600_000), 413), (r#"{"topic":"a"}"#, 404)] {
        let told = tidegate.exchange("POST", &format!("{clients}/nobody/subscriptions"), json, body);
        assert_eq!(told.0, expected, "{}", told.2);
    }
}

/// `code` of a refusal.
fn code_of(body: &str) -> String {
    let told: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    told["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_empty_address_switches_it_off() {
    let tidegate = Setup::new().set("ADMIN__BIND", "").start();
    assert!(!tidegate.table.contains("HTTP"), "{}", tidegate.table);
}
