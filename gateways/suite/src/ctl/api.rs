//! The admin API as a client sees it: one request, one connection.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use settings::Secret;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;

/// For a whole request: a list may take the node ten seconds.
const PATIENCE: Duration = Duration::from_secs(15);
/// Octets of an answer at most.
const MOST: usize = 64 * 1024 * 1024;

/// Where it is, and as whom it is asked.
pub(super) struct Api {
    /// Host and port.
    authority: String,
    /// What stands in front of each path; no slash at its end.
    prefix: String,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Api {
    /// # Errors
    /// What is wrong with the URL.
    pub(super) fn new(url: &str, username: &str, password: &Secret) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|fault| format!("--url {url}: {fault}"))?;
        let authority = uri.authority().ok_or_else(|| format!("--url {url}: like http://127.0.0.1:18083"))?;
        // Not told again: it may hold a password.
        if authority.as_str().contains('@') {
            return Err("--url takes no credentials, since others can read command lines: [admin] of --config FILE \
                        has them, or TIDEGATE__ADMIN__USERNAME and TIDEGATE__ADMIN__PASSWORD"
                .to_owned());
        }
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(format!("--url {url}: TLS is not in this version")),
            _ => return Err(format!("--url {url}: like http://127.0.0.1:18083")),
        }
        if uri.query().is_some() {
            return Err(format!("--url {url}: an address and perhaps a path, but no ?"));
        }
        let authority = match authority.port_u16() {
            Some(_) => authority.to_string(),
            None => format!("{}:80", authority.host()),
        };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let authorization = (!username.is_empty() || !password.is_empty()).then(|| {
            let pair = openssl::base64::encode_block(format!("{username}:{}", password.expose()).as_bytes());
            let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Self { authority, prefix, authorization: authorization.flatten() })
    }

    /// # Errors
    /// Why there is no such answer.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let body = self.ask(Method::GET, path, None).await?;
        self.parse(&body)
    }

    /// # Errors
    /// Why there is no such answer.
    pub(super) async fn text(&self, path: &str) -> Result<String, Failure> {
        let body = self.ask(Method::GET, path, None).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// # Errors
    /// Why it was not done.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let body = self.ask(Method::POST, path, Some(body)).await?;
        self.parse(&body)
    }

    /// # Errors
    /// Why it was not done.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask(Method::DELETE, path, None).await.map(drop)
    }

    fn parse(&self, body: &[u8]) -> Result<Value, Failure> {
        serde_json::from_slice(body).map_err(|_fault| self.trouble("what answers there is no admin API of tidegate"))
    }

    fn trouble(&self, what: &str) -> Failure {
        Failure::Running(format!("http://{}{}: {what}", self.authority, self.prefix))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, Failure> {
        let late = |_late| self.trouble(&format!("no answer within {} s", PATIENCE.as_secs()));
        let (status, retry_after, body) =
            timeout(PATIENCE, self.exchange(method, path, body)).await.map_err(late)??;
        if status.is_success() {
            return Ok(body);
        }
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = super::views::at(&told, "message").as_str().map(super::views::printable);
        Err(self.trouble(&refusal(status, retry_after.as_deref(), message.as_deref())))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Option<String>, Bytes), Failure> {
        let stream = TcpStream::connect(&self.authority).await.map_err(|fault| self.trouble(&unreachable(&fault)))?;
        let broken = |fault: &dyn fmt::Display| self.trouble(&format!("the connection broke: {fault}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|fault| broken(&fault))?;
        // Its end is told by the request that it carries.
        drop(tokio::spawn(connection));
        let request = self.request(method, path, body).map_err(|fault| broken(&fault))?;
        let response = sender.send_request(request).await.map_err(|fault| broken(&fault))?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|fault| broken(&fault))?;
        Ok((status, retry_after, body.to_bytes()))
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request<Body>, axum::http::Error> {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.prefix)).header(HOST, &self.authority);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        }
    }
}

/// Why there is no connection, and what to do.
fn unreachable(fault: &io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: does the node run, and is its [admin] there? --url or --config FILE name another"
                .to_owned()
        }
        _ => format!("cannot connect: {fault}"),
    }
}

/// What an answer that is none says, and what to do.
fn refusal(status: StatusCode, retry_after: Option<&str>, message: Option<&str>) -> String {
    match (status, message) {
        (StatusCode::UNAUTHORIZED, _) => "it wants the right credentials: [admin] of --config FILE has them, or \
                                          TIDEGATE__ADMIN__USERNAME and TIDEGATE__ADMIN__PASSWORD"
            .to_owned(),
        (StatusCode::TOO_MANY_REQUESTS, _) => {
            let wait = retry_after.unwrap_or("some");
            format!("too many wrong passwords came from this address: try again in {wait} s")
        }
        (_, Some(message)) => message.to_owned(),
        (StatusCode::NOT_FOUND, None) => "what answers there is no admin API of tidegate (404)".to_owned(),
        (status, None) => format!("it answers {status}"),
    }
}

/// One segment of a path: all but what never needs it is escaped (RFC 3986 §2.3).
pub(super) fn encoded(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            // A String takes everything.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(url: &str) -> Result<Api, String> {
        Api::new(url, "ops", &"hunter2".to_owned().into())
    }

    #[test]
    fn an_address_has_a_host_a_port_and_perhaps_a_path() {
        for (url, authority, prefix) in [
            ("http://127.0.0.1:18083", "127.0.0.1:18083", ""),
            ("http://[::1]:18083/", "[::1]:18083", ""),
            ("http://gateway.example/tidegate/", "gateway.example:80", "/tidegate"),
        ] {
            let api = api(url).unwrap();
            assert_eq!((api.authority.as_str(), api.prefix.as_str()), (authority, prefix), "{url}");
        }
        for (url, expected) in [
            ("127.0.0.1:18083", "--url 127.0.0.1:18083: like http://127.0.0.1:18083"),
            ("ftp://h", "--url ftp://h: like http://127.0.0.1:18083"),
            ("https://h", "--url https://h: TLS is not in this version"),
            ("http://h?x", "--url http://h?x: an address and perhaps a path, but no ?"),
            ("/x", "--url /x: like http://127.0.0.1:18083"),
        ] {
            assert_eq!(api(url).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_password_is_never_told() {
        assert!(!format!("{:?}", api("http://h").unwrap()).contains("hunter2"));
        let refused = api("http://ops:hunter2@h").unwrap_err();
        assert!(refused.contains("TIDEGATE__ADMIN__PASSWORD") && !refused.contains("hunter2"), "{refused}");
        let request = api("http://h").unwrap().request(Method::GET, "/", None).unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Basic b3BzOmh1bnRlcjI=");
        assert!(!format!("{request:?}").contains("b3Bz"), "{request:?}");
        let nobody = Api::new("http://h", "", &Secret::default()).unwrap();
        assert!(!nobody.request(Method::GET, "/", None).unwrap().headers().contains_key(AUTHORIZATION));
    }

    #[test]
    fn a_segment_is_escaped_so_that_it_stays_one() {
        assert_eq!(encoded("lamp-1._~"), "lamp-1._~");
        assert_eq!(encoded("a/# +?%ä"), "a%2F%23%20%2B%3F%25%C3%A4");
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let told = |code: u16, message| refusal(StatusCode::from_u16(code).unwrap(), Some("30"), message);
        assert!(told(401, Some("no")).contains("TIDEGATE__ADMIN__PASSWORD"));
        assert!(told(429, Some("no")).contains("in 30 s"));
        assert_eq!(told(404, Some("no such client")), "no such client");
        assert_eq!(told(404, None), "what answers there is no admin API of tidegate (404)");
        assert_eq!(told(500, None), "it answers 500 Internal Server Error");
    }
}
