//! The opening handshake of WebSocket (RFC 6455 §4.1), with `mqtt` as its subprotocol (MQTT 5.0 §6).

use super::WebSocket;
use crate::broker::fault::{ConnectFault, tls_reason};
use crate::broker::wire::Wire;
use httparse::{EMPTY_HEADER, Header, Response, Status};
use openssl::base64::encode_block;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the broker's web server is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) tls: bool,
    /// `host:port`, an IPv6 address in brackets.
    pub(crate) authority: &'a str,
    /// Begins with `/`.
    pub(crate) path: &'a str,
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "wss" } else { "ws" }, self.authority, self.path)
    }
}

/// Asks for a WebSocket, and checks that it is one for MQTT.
pub(crate) async fn shake_hands(wire: &mut Wire, origin: Origin<'_>) -> Result<WebSocket, ConnectFault> {
    let key = key().map_err(|fault| no_web_socket(origin, fault.to_string()))?;
    let request = request(origin, &key);
    wire.write_all(request.as_bytes()).await.map_err(|fault| broke(origin, &fault))?;
    let mut answer = Vec::new();
    loop {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let mut response = Response::new(&mut headers);
        match response.parse(&answer) {
            Ok(Status::Complete(head)) if response.code == Some(SWITCHING_PROTOCOLS) => {
                return match objection(response.headers, &accepted(&key)) {
                    None => Ok(WebSocket::new(answer.split_off(head))),
                    Some(objection) => Err(no_web_socket(origin, objection)),
                };
            }
            Ok(Status::Complete(head)) => {
                let refusal = Refusal::read(&response);
                return Err(refusal.told(wire, origin, answer.split_off(head)).await);
            }
            Ok(Status::Partial) if answer.len() < MOST_HEAD => {}
            Ok(Status::Partial) => return Err(no_web_socket(origin, "its answer has no end".into())),
            Err(fault) => return Err(no_web_socket(origin, format!("its answer is no HTTP: {fault}"))),
        }
        if wire.read_buf(&mut answer).await.map_err(|fault| broke(origin, &fault))? == 0 {
            return Err(no_web_socket(origin, "it closed the connection".into()));
        }
    }
}

fn request(Origin { tls, authority, path }: Origin<'_>, key: &str) -> String {
    let host = authority.strip_suffix(if tls { ":443" } else { ":80" }).unwrap_or(authority);
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
}

/// 16 octets by chance, in base64.
fn key() -> Result<String, openssl::error::ErrorStack> {
    let mut key = [0; 16];
    openssl::rand::rand_bytes(&mut key)?;
    Ok(encode_block(&key))
}

/// What the server makes of a key (RFC 6455 §1.3).
fn accepted(key: &str) -> String {
    encode_block(&openssl::sha::sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()))
}

/// Why the server's "101 Switching Protocols" cannot be relied on, if so (RFC 6455 §4.1, and MQTT 5.0 §6 for the last).
fn objection(headers: &[Header<'_>], accepted: &str) -> Option<String> {
    let is = |name, expected: &str| value(headers, name).is_some_and(|value| value.eq_ignore_ascii_case(expected));
    let has = |name, token: &str| {
        value(headers, name).is_some_and(|value| value.split(',').any(|each| each.trim().eq_ignore_ascii_case(token)))
    };
    if !is("upgrade", "websocket") || !has("connection", "upgrade") {
        return Some("it switches to another protocol".into());
    }
    if value(headers, "sec-websocket-accept") != Some(accepted) {
        return Some("it has not read the key that it was given".into());
    }
    if let Some(extensions) = value(headers, "sec-websocket-extensions").filter(|value| !value.is_empty()) {
        return Some(format!("it uses the extension {extensions:?} that nobody asked for"));
    }
    match value(headers, "sec-websocket-protocol") {
        Some(SUBPROTOCOL) => None,
        Some(other) => Some(format!("it speaks the subprotocol {other:?} instead of \"{SUBPROTOCOL}\"")),
        None => Some(format!("it does not speak the subprotocol \"{SUBPROTOCOL}\"")),
    }
}

/// A header's value, if it is there and text.
fn value<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok().map(str::trim)
}

/// An answer other than the one that was hoped for.
struct Refusal {
    status: u16,
    /// "Forbidden", and where else to ask.
    words: String,
    /// How much text comes with it, as far as that is said.
    length: Option<usize>,
}

impl Refusal {
    fn read(response: &Response<'_, '_>) -> Self {
        let words = match value(response.headers, "location") {
            Some(elsewhere) => format!("{}, to {elsewhere}", response.reason.unwrap_or_default()),
            None => response.reason.unwrap_or_default().to_owned(),
        };
        let length = value(response.headers, "content-length").and_then(|length| length.parse().ok());
        Self { status: response.code.unwrap_or_default(), words, length }
    }

    /// With the first line of the text that follows, if it is made for people.
    async fn told(self, wire: &mut Wire, origin: Origin<'_>, mut body: Vec<u8>) -> ConnectFault {
        let wanted = self.length.unwrap_or(MOST_BODY).min(MOST_BODY);
        let rest = async { while body.len() < wanted && matches!(wire.read_buf(&mut body).await, Ok(1..)) {} };
        // What has not come by then is not waited for: the status says enough.
        drop(tokio::time::timeout(BODY_WAIT, rest).await);
        let text = String::from_utf8_lossy(&body);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).filter(|line| !line.starts_with('<'));
        let words = [Some(self.words.as_str()).filter(|words| !words.is_empty()), line].into_iter().flatten();
        let words = words.collect::<Vec<_>>().join(": ");
        let words = words.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect();
        ConnectFault::HttpRefused { url: origin.to_string(), status: self.status, words }
    }
}

fn no_web_socket(origin: Origin<'_>, reason: String) -> ConnectFault {
    ConnectFault::NoWebSocket { url: origin.to_string(), reason }
}

fn broke(origin: Origin<'_>, fault: &io::Error) -> ConnectFault {
    match tls_reason(fault) {
        Some(reason) => ConnectFault::Tls { reason },
        None => no_web_socket(origin, fault.to_string()),
    }
}

/// MQTT 5.0 §6.
const SUBPROTOCOL: &str = "mqtt";
const SWITCHING_PROTOCOLS: u16 = 101;
const MOST_HEADERS: usize = 64;
/// Octets of an answer in which its head must have come to an end.
const MOST_HEAD: usize = 16 * 1024;
/// Octets of a refusal's text that are looked at.
const MOST_BODY: usize = 1024;
/// Characters of it that are told.
const MOST_WORDS: usize = 200;
const BODY_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_section_1_3_gives_an_example_of_the_key() {
        assert_eq!(accepted("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_host_is_named_with_its_port_unless_that_is_the_usual_one() {
        for (tls, authority, expected) in [
            (false, "broker.example:80", "Host: broker.example\r\n"),
            (false, "[::1]:443", "Host: [::1]:443\r\n"),
            (true, "[::1]:443", "Host: [::1]\r\n"),
            (true, "broker.example:8084", "Host: broker.example:8084\r\n"),
        ] {
            let request = request(Origin { tls, authority, path: "/mqtt" }, "k");
            assert!(request.starts_with("GET /mqtt HTTP/1.1\r\n") && request.contains(expected), "{request}");
        }
    }
}
