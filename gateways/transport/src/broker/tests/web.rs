//! Against the server's half of another implementation of WebSocket, and against web servers that have none.

use super::support::{Files, Identity, LIMIT, Server, connect_to, options_trusting, target};
use super::{echoed, read_to_end};
use crate::broker::{BrokerStream, ConnectFault, Target, TlsOptions};
use openssl::ssl::{SslAcceptor, SslVerifyMode};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::task::Poll;
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::{Response as HttpResponse, StatusCode};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Message, WebSocket};
use tungstenite::{Error, accept_hdr};

trait Octets: Read + Write {}
impl<T: Read + Write> Octets for T {}
type Server1 = WebSocket<Box<dyn Octets>>;

#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the library's callback")]
fn as_mqtt(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.uri().path(), "/mqtt");
    assert_eq!(request.headers()["sec-websocket-protocol"], "mqtt");
    response.headers_mut().insert("sec-websocket-protocol", "mqtt".parse().unwrap());
    Ok(response)
}

/// A broker that does `behave` once the handshake is through.
fn broker(tls: Option<SslAcceptor>, behave: impl FnOnce(Server1) -> Option<String> + Send + 'static) -> Server {
    Server::serve(move |tcp| {
        let wire: Box<dyn Octets> = match tls {
            None => Box::new(tcp),
            Some(tls) => match tls.accept(tcp) {
                Ok(stream) => Box::new(stream),
                Err(_) => return Some("handshake".to_owned()),
            },
        };
        match accept_hdr(wire, as_mqtt) {
            Ok(socket) => behave(socket),
            Err(fault) => Some(fault.to_string()),
        }
    })
}

/// Sends back each message, until the other side closes.
fn echo(mut socket: Server1) -> Option<String> {
    loop {
        match socket.read() {
            Ok(Message::Binary(payload)) => socket.send(Message::Binary(payload)).unwrap(),
            Ok(Message::Close(_)) => {}
            Ok(other) => return Some(format!("{other:?}")),
            Err(Error::ConnectionClosed) => return None,
            Err(fault) => return Some(fault.to_string()),
        }
    }
}

fn over_web(server: &Server, tls: Option<TlsOptions>) -> Target {
    Target { web_path: Some("/mqtt".into()), ..target(server, tls) }
}

async fn open(server: &Server) -> BrokerStream {
    connect_to(over_web(server, None)).await.unwrap()
}

/// Hears a handshake's request to its end.
fn request(tcp: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        tcp.read_exact(&mut octet).unwrap();
        request.extend_from_slice(&octet);
    }
    String::from_utf8(request).unwrap()
}

/// Hears the request, and answers `bytes`.
fn web_server(bytes: &'static [u8]) -> Server {
    Server::serve(move |mut tcp| {
        request(&mut tcp);
        tcp.write_all(bytes).unwrap();
        None
    })
}

#[tokio::test]
async fn bytes_go_both_ways_over_web_socket_until_one_side_closes() {
    let server = broker(None, echo);
    let mut stream = open(&server).await;
    echoed(&mut stream, b"hello").await;
    assert_eq!(server.join(), None);
}

#[tokio::test]
async fn bytes_go_both_ways_over_web_socket_in_tls() {
    let (identity, files) = (Identity::new("broker.example"), Files::new());
    let server = broker(Some(identity.acceptor()), echo);
    let mut stream = connect_to(over_web(&server, Some(options_trusting(&files, &identity)))).await.unwrap();
    echoed(&mut stream, &[7; 100_000]).await;
    assert_eq!(server.join(), None);
}

#[tokio::test]
async fn a_megabyte_survives_frames_and_their_partial_writes() {
    let server = broker(None, echo);
    let mut stream = open(&server).await;
    let said: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_be_bytes).collect();
    let (mut written, mut heard) = (0, Vec::new());
    let both = poll_fn(|cx| {
        loop {
            // What is offered grows from call to call, as the link's batch does.
            let offered = (written + 40_000).min(said.len());
            match stream.poll_write(cx, &said[written..offered]) {
                Poll::Ready(taken) if written < said.len() => written += taken.unwrap(),
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        while heard.len() < said.len() {
            assert!(std::task::ready!(stream.poll_read(cx, &mut heard)).unwrap() > 0, "closed after {}", heard.len());
        }
        Poll::Ready(())
    });
    tokio::time::timeout(LIMIT, both).await.expect("in time");
    assert!(heard == said, "not what was said");
    drop(stream);
    server.join();
}

#[tokio::test]
async fn fragments_are_put_together_and_pings_between_them_answered() {
    let server = broker(None, |mut socket| {
        let fragment =
            |payload: &'static [u8], kind, last| Message::Frame(Frame::message(payload, OpCode::Data(kind), last));
        socket.send(fragment(b"he", Data::Binary, false)).unwrap();
        socket.send(Message::Ping("are you there".into())).unwrap();
        socket.send(fragment(b"", Data::Continue, false)).unwrap();
        socket.send(fragment(b"llo", Data::Continue, true)).unwrap();
        match socket.read() {
            Ok(Message::Pong(payload)) if payload == "are you there" => {}
            other => return Some(format!("{other:?}")),
        }
        socket.close(None).unwrap();
        match (socket.read(), socket.read()) {
            (Ok(Message::Close(_)), Err(Error::ConnectionClosed)) => None,
            other => Some(format!("{other:?}")),
        }
    });
    let mut stream = open(&server).await;
    assert_eq!(read_to_end(&mut stream).await.unwrap(), b"hello");
    drop(stream);
    assert_eq!(server.join(), None);
}

#[tokio::test]
async fn a_close_for_a_reason_is_told_and_answered() {
    let server = broker(None, |mut socket| {
        socket.close(Some(CloseFrame { code: CloseCode::Policy, reason: "not today".into() })).unwrap();
        match socket.read() {
            Ok(Message::Close(Some(frame))) if frame.code == CloseCode::Policy => None,
            other => Some(format!("{other:?}")),
        }
    });
    let mut stream = open(&server).await;
    let fault = read_to_end(&mut stream).await.unwrap_err();
    assert_eq!(fault.to_string(), "closed by the broker: WebSocket code 1008, not today");
    drop(stream);
    assert_eq!(server.join(), None);
}

#[tokio::test]
async fn a_broker_that_sends_text_is_left() {
    let server = broker(None, |mut socket| {
        socket.send(Message::Text("hello".into())).unwrap();
        drop(socket.read());
        None
    });
    let mut stream = open(&server).await;
    let fault = read_to_end(&mut stream).await.unwrap_err();
    assert_eq!(fault.to_string(), "WebSocket: the broker sent a text message, where MQTT is binary");
    drop(stream);
    server.join();
}

#[tokio::test]
async fn what_comes_right_behind_the_handshake_is_not_lost() {
    let server = Server::serve(|mut tcp| {
        let request = request(&mut tcp);
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        tcp.write_all(&[head.as_bytes(), b"\x82\x03abc\x82\x01d"].concat()).unwrap();
        None
    });
    let mut stream = open(&server).await;
    let mut buffer = Vec::with_capacity(3);
    while buffer.len() < 4 {
        assert!(poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await.unwrap() > 0);
    }
    assert_eq!(buffer, b"abcd");
    server.join();
}

#[tokio::test]
async fn another_subprotocol_or_none_is_refused() {
    for (given, reason) in [
        (Some("chat"), "it speaks the subprotocol \"chat\" instead of \"mqtt\""),
        (None, "it does not speak the subprotocol \"mqtt\""),
    ] {
        let server = Server::serve(move |tcp| {
            #[expect(clippy::result_large_err, reason = "the library's callback")]
            let callback = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                if let Some(given) = given {
                    response.headers_mut().insert("sec-websocket-protocol", given.parse().unwrap());
                }
                Ok(response)
            };
            accept_hdr(tcp, callback).err().map(|fault| fault.to_string())
        });
        let url = format!("ws://127.0.0.1:{}/mqtt", server.port);
        let fault = connect_to(over_web(&server, None)).await.unwrap_err();
        assert_eq!(fault, ConnectFault::NoWebSocket { url, reason: reason.to_owned() });
        assert_eq!(server.join(), None);
    }
}

#[tokio::test]
async fn a_refusal_in_http_is_told_with_its_words() {
    let server = Server::serve(|tcp| {
        #[expect(clippy::result_large_err, reason = "the library's callback")]
        let callback = |_: &Request, _: Response| -> Result<Response, ErrorResponse> {
            let refusal =
                HttpResponse::builder().status(StatusCode::FORBIDDEN).body(Some("\n no entry\nfor you".into()));
            Err(refusal.unwrap())
        };
        assert!(accept_hdr(tcp, callback).is_err());
        None
    });
    let target = over_web(&server, None);
    let fault = connect_to(target.clone()).await.unwrap_err();
    assert_eq!(fault.to_string(), format!("ws://{target}/mqtt answered HTTP 403 Forbidden: no entry"));
    assert_eq!(fault.reason(), "http_refused");
    assert_eq!(server.join(), None);
}

#[tokio::test]
#[rustfmt::skip]
async fn a_server_that_has_no_web_socket_is_told_in_plain_words() {
    let table: [(&[u8], &str); 8] = [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",    "answered HTTP 404 Not Found (the URL's path may be another)"),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n<html>no</html>",       "answered HTTP 401 Unauthorized"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://h/\r\n\r\n",     "answered HTTP 301 Moved, to https://h/"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",      "answered HTTP 200 OK: hello (a web page, no broker)"),
        (b"\x20\x02\x00\x00",                                       "takes no MQTT over WebSocket: its answer is no HTTP: invalid HTTP version"),
        (b"",                                                       "takes no MQTT over WebSocket: it closed the connection"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
                                                                    "takes no MQTT over WebSocket: it switches to another protocol"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
                                                                    "takes no MQTT over WebSocket: it has not read the key that it was given"),
    ];
    for (answer, expected) in table {
        let server = web_server(answer);
        let target = over_web(&server, None);
        let fault = connect_to(target.clone()).await.unwrap_err();
        assert_eq!(fault.to_string(), format!("ws://{target}/mqtt {expected}"));
        server.join();
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let server = Server::serve(|mut tcp| {
        request(&mut tcp);
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nX: {}", "x".repeat(1 << 20));
        // It hangs up before it has heard all.
        drop(tcp.write_all(head.as_bytes()));
        None
    });
    let fault = connect_to(over_web(&server, None)).await.unwrap_err();
    assert!(fault.to_string().ends_with("its answer has no end"), "{fault}");
    server.join();
}

#[tokio::test]
async fn a_broker_that_wants_a_client_certificate_is_said_before_web_socket() {
    let (identity, files) = (Identity::new("broker.example"), Files::new());
    let acceptor = identity.acceptor_wanting(&identity, SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    let server = broker(Some(acceptor), echo);
    let fault = connect_to(over_web(&server, Some(options_trusting(&files, &identity)))).await.unwrap_err();
    let wanted = "TLS handshake failed: the broker wants a client certificate";
    assert!(fault.to_string().starts_with(wanted), "{fault}");
    assert_eq!(server.join().as_deref(), Some("handshake"));
}

#[tokio::test]
async fn a_ping_is_answered_though_nothing_is_to_be_said() {
    let server = broker(None, |mut socket| {
        for payload in ["one", "two"] {
            socket.send(Message::Ping(payload.into())).unwrap();
            match socket.read() {
                Ok(Message::Pong(pong)) if pong == payload => {}
                other => return Some(format!("{other:?}")),
            }
        }
        socket.close(None).err().map(|fault| fault.to_string())
    });
    assert_eq!(read_to_end(&mut open(&server).await).await.unwrap(), b"");
    assert_eq!(server.join(), None);
}
