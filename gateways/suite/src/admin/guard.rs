//! Who may ask at all: credentials, lock-out, and the name that a request was meant for.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bridge_core::meter::{Counts, Meter};
use bridge_core::metrics::ADMIN_REFUSED;

use super::connections::Caller;
use super::credentials::Credentials;
use super::fault::Fault;
use super::lockout::Lockout;

bridge_core::count! {
    /// What the guard counts.
    pub(super) enum GuardCount {
        /// Wrong credentials.
        Credentials = ADMIN_REFUSED { reason: "credentials" };
        /// Somebody who has to wait.
        LockedOut = ADMIN_REFUSED { reason: "locked_out" };
        /// Meant for another name.
        Host = ADMIN_REFUSED { reason: "host" };
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Guard {
    /// `None`: whoever reaches us may ask.
    credentials: Option<Credentials>,
    /// The node's name.
    node: String,
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lockout: Lockout,
    counts: Counts<GuardCount>,
}

impl Guard {
    pub(super) fn new(credentials: Option<Credentials>, node: &str) -> Self {
        Self { credentials, node: node.to_owned(), started: Instant::now(), inner: Mutex::default() }
    }

    /// For whoever reports.
    pub(super) fn meter(&self) -> Arc<Meter> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).counts.meter()
    }

    fn judge(&self, from: IpAddr, request: &Request) -> Result<(), Fault> {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { lockout, counts } = &mut *inner;
        let Some(credentials) = &self.credentials else {
            // A page from elsewhere whose name has come to mean our address could ask through its reader's browser.
            let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
            if host.is_some_and(|host| !is_ours(host, &self.node)) {
                counts.up(GuardCount::Host);
                return Err(Fault::misdirected());
            }
            return Ok(());
        };
        if let Some(wait_ms) = lockout.wait_ms(from, now_ms) {
            counts.up(GuardCount::LockedOut);
            return Err(Fault::locked_out(wait_ms.div_ceil(1000)));
        }
        let given = request.headers().get(AUTHORIZATION);
        if credentials.admit(given) {
            return Ok(());
        }
        // A browser asks without them first, and then its user.
        if given.is_some() {
            counts.up(GuardCount::Credentials);
            lockout.failed(from, now_ms);
        }
        Err(Fault::unauthorised())
    }
}

pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(Caller(from)): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match guard.judge(from.ip(), &request) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    }
}

/// An address, which no other name can stand for, localhost, or the node's own name; with a port or without.
fn is_ours(host: &str, node: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port.strip_prefix(':')));
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(Some(port)) => name,
        Some(_) => return false,
        None => host,
    };
    name.parse::<std::net::Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || (!node.is_empty() && name.eq_ignore_ascii_case(node))
}

fn is_port(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn request(headers: &[(&str, &str)]) -> Request {
        let request = headers.iter().fold(Request::builder().uri("/"), |r, (name, value)| r.header(*name, *value));
        request.body(Body::empty()).unwrap()
    }

    fn judged(guard: &Guard, headers: &[(&str, &str)]) -> u16 {
        match guard.judge([10, 0, 0, 1].into(), &request(headers)) {
            Ok(()) => 200,
            Err(fault) => fault.status.as_u16(),
        }
    }

    fn counted(guard: &Guard) -> Vec<u64> {
        guard.meter().read().map(|(_, value)| value).collect()
    }

    #[test]
    fn five_wrong_passwords_lock_out_the_right_one_too() {
        let guard = Guard::new(Credentials::new("Aladdin", "open sesame"), "north");
        let (right, wrong) = (("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ("authorization", "Basic eDp5"));
        assert_eq!(judged(&guard, &[right]), 200);
        for _ in 0..10 {
            assert_eq!(judged(&guard, &[]), 401, "who gives none has not guessed");
        }
        for _ in 0..5 {
            assert_eq!(judged(&guard, &[wrong]), 401);
        }
        for headers in [&[right][..], &[wrong], &[]] {
            assert_eq!(judged(&guard, headers), 429);
        }
        assert_eq!(counted(&guard), [5, 3, 0]);
        assert!(guard.judge([10, 0, 0, 2].into(), &request(&[right])).is_ok());
    }

    #[test]
    fn without_credentials_only_names_of_ours_are_served() {
        let guard = Guard::new(None, "north");
        for (host, expected) in [
            ("127.0.0.1:18083", 200),
            ("127.0.0.1", 200),
            ("[::1]:18083", 200),
            ("[::1]", 200),
            ("localhost:18083", 200),
            ("LocalHost", 200),
            ("north:18083", 200),
            ("evil.example", 421),
            ("evil.example:18083", 421),
            ("127.0.0.1.evil.example:18083", 421),
            ("localhost.evil.example", 421),
            ("[::1", 421),
            ("[::1]evil.example", 421),
            ("[evil.example]:1", 421),
            ("127.0.0.1:x", 421),
            ("", 421),
        ] {
            assert_eq!(judged(&guard, &[("host", host)]), expected, "{host}");
        }
        assert_eq!(judged(&guard, &[]), 200, "HTTP/1.0, which no browser speaks");
        assert_eq!(counted(&guard), [0, 0, 9]);
        let guarded = Guard::new(Credentials::new("Aladdin", "open sesame"), "north");
        let right = ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(
            judged(&guarded, &[right, ("host", "evil.example")]),
            200,
            "whoever knows them may come by any name"
        );
        assert!(!is_ours("", "") && !is_ours(":1", ""), "a node without a name");
    }
}
