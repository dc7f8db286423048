//! Against small servers on the loopback interface, with certificates made here. Nothing sleeps.

mod support;
mod web;

use super::*;
use openssl::ssl::SslVerifyMode;
use std::future::poll_fn;
use support::{Files, Identity, LIMIT, Server, connect_to, options_trusting, target, vacant};

async fn write_all(stream: &mut BrokerStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let taken = poll_fn(|cx| stream.poll_write(cx, bytes)).await.unwrap();
        bytes = &bytes[taken..];
    }
}

/// Reads until the broker closes.
async fn read_to_end(stream: &mut BrokerStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while poll_fn(|cx| stream.poll_read(cx, &mut all)).await? > 0 {}
    Ok(all)
}

/// Says `bytes` to an echoing broker, closes, and expects them back.
async fn echoed(stream: &mut BrokerStream, bytes: &[u8]) {
    let echo = async {
        write_all(stream, bytes).await;
        poll_fn(|cx| stream.poll_shutdown(cx)).await.unwrap();
        assert!(read_to_end(stream).await.unwrap() == bytes, "not what was said");
    };
    tokio::time::timeout(LIMIT, echo).await.expect("echoed in time");
}

#[tokio::test]
async fn bytes_go_both_ways_over_tcp_until_one_side_closes() {
    let server = Server::echo(None);
    let mut stream = connect_to(target(&server, None)).await.unwrap();
    echoed(&mut stream, b"hello").await;
    assert_eq!(server.join(), None);
}

#[tokio::test]
async fn what_comes_is_appended_within_the_spare_capacity() {
    let server = Server::says(b"0123456789");
    let mut stream = connect_to(target(&server, None)).await.unwrap();
    let mut buffer = Vec::with_capacity(6);
    buffer.extend_from_slice(b"ab");
    let capacity = buffer.capacity();
    let mut bytes = 0;
    while buffer.len() < capacity {
        bytes += poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await.unwrap();
    }
    assert_eq!((bytes, buffer.capacity()), (capacity - 2, capacity));
    assert_eq!(buffer, b"ab0123456789"[..capacity]);
    assert_eq!(read_to_end(&mut stream).await.unwrap(), b"0123456789"[bytes..]);
    drop(stream);
    assert_eq!(server.join(), None);
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let (_held, vacant) = vacant();
    let nobody = Target::tcp("127.0.0.1", vacant.port());
    let fault = connect_to(nobody).await.unwrap_err();
    assert_eq!(fault, ConnectFault::Refused { address: vacant });
    assert_eq!(fault.to_string(), format!("connection refused by {vacant}"));
}

#[tokio::test]
async fn each_address_of_a_name_is_tried_and_the_last_fault_told() {
    let (server, (_held, one), (_held_too, two)) = (Server::echo(None), vacant(), vacant());
    let live = SocketAddr::from(([127, 0, 0, 1], server.port));
    let (tcp, reached) = reach(&[one, live, two], &LocalAddresses::default(), LIMIT).await.unwrap();
    assert_eq!(reached, live);
    drop(tcp);
    assert_eq!(server.join(), None);
    let fault = reach(&[one, two], &LocalAddresses::default(), LIMIT).await.unwrap_err();
    assert_eq!(fault, Some(ConnectFault::Refused { address: two }));
    assert_eq!(reach(&[], &LocalAddresses::default(), LIMIT).await.unwrap_err(), None);
}

#[test]
fn a_target_is_shown_as_host_and_port() {
    for (host, shown) in [("broker.example", "broker.example:1883"), ("::1", "[::1]:1883")] {
        assert_eq!(Target::tcp(host, 1883).to_string(), shown);
    }
}

#[tokio::test]
async fn a_name_that_is_not_found_is_said() {
    // Longer than a name may be: the resolver knows without asking anybody.
    let host = "x".repeat(300);
    let fault = connect_to(Target::tcp(host.clone(), 1883)).await.unwrap_err();
    assert_eq!(fault.reason(), "name_not_found");
    assert!(fault.to_string().starts_with(&format!("name not found: {host}: ")), "{fault}");
}

#[tokio::test]
async fn a_broker_that_never_answers_is_given_up() {
    // The kernel completes the connection; nobody ever answers the TLS hello.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = TlsSettings::load(&TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() }).unwrap();
    let silent = Target { tls: Some(Arc::new(tls)), ..Target::tcp("127.0.0.1", port) };
    let mut connector = Connector::start(silent, Duration::from_millis(50));
    let outcome = tokio::time::timeout(LIMIT, poll_fn(|cx| connector.poll_connected(cx))).await;
    let fault = outcome.expect("given up in time").unwrap_err();
    assert_eq!(fault.to_string(), format!("no answer from 127.0.0.1:{port} in time"));
    let spent = poll_fn(|cx| Poll::Ready(connector.poll_connected(cx).is_pending())).await;
    assert!(spent, "a spent connector is pending, and does not panic");
}

#[tokio::test]
async fn a_trusted_certificate_is_taken_for_the_names_in_it() {
    let (identity, files) = (Identity::new("broker.example"), Files::new());
    let options = options_trusting(&files, &identity);
    for server_name in [None, Some("broker.example"), Some("localhost")] {
        let server = Server::echo(Some(identity.acceptor()));
        let server_name = server_name.map(str::to_owned);
        let mut stream =
            connect_to(target(&server, Some(TlsOptions { server_name, ..options.clone() }))).await.unwrap();
        echoed(&mut stream, b"hello").await;
        assert_eq!(server.join(), None);
    }
}

#[tokio::test]
async fn a_megabyte_survives_tls_and_its_partial_writes() {
    let (identity, files) = (Identity::new("broker.example"), Files::new());
    let server = Server::echo(Some(identity.acceptor()));
    let mut stream = connect_to(target(&server, Some(options_trusting(&files, &identity)))).await.unwrap();
    let said: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_be_bytes).collect();
    let (mut written, mut heard) = (0, Vec::new());
    // Both directions in one task, as the driver has it: else two full buffers would wait for each other.
    let both = poll_fn(|cx| {
        while written < said.len() {
            match stream.poll_write(cx, &said[written..]) {
                Poll::Ready(taken) => written += taken.unwrap(),
                Poll::Pending => break,
            }
        }
        while heard.len() < said.len() {
            assert!(ready!(stream.poll_read(cx, &mut heard)).unwrap() > 0, "closed after {} bytes", heard.len());
        }
        Poll::Ready(())
    });
    tokio::time::timeout(LIMIT, both).await.expect("in time");
    assert!(heard == said, "not what was said");
    drop(stream);
    server.join();
}

#[tokio::test]
async fn a_certificate_that_nothing_vouches_for_is_refused() {
    let (identity, other, files) = (Identity::new("broker.example"), Identity::new("other.example"), Files::new());
    let server = Server::echo(Some(identity.acceptor()));
    let fault = connect_to(target(&server, Some(options_trusting(&files, &other)))).await.unwrap_err();
    assert_eq!(fault.reason(), "untrusted");
    assert_eq!(fault.to_string(), "certificate not trusted: self-signed certificate");
    assert_eq!(server.join().as_deref(), Some("handshake"));
}

#[tokio::test]
async fn a_certificate_that_is_out_of_date_is_refused() {
    let (identity, files) = (Identity::valid_until("broker.example", 946_684_800), Files::new());
    let server = Server::echo(Some(identity.acceptor()));
    let fault = connect_to(target(&server, Some(options_trusting(&files, &identity)))).await.unwrap_err();
    assert_eq!(fault.to_string(), "certificate not trusted: certificate has expired");
    server.join();
}

#[tokio::test]
async fn a_certificate_of_another_host_is_refused() {
    let (identity, files) = (Identity::new("broker.example"), Files::new());
    for name in ["elsewhere.example", "127.0.0.2"] {
        let server = Server::echo(Some(identity.acceptor()));
        let options = TlsOptions { server_name: Some(name.to_owned()), ..options_trusting(&files, &identity) };
        let fault = connect_to(target(&server, Some(options))).await.unwrap_err();
        assert_eq!(fault, ConnectFault::WrongName { name: name.to_owned() });
        server.join();
    }
}

#[tokio::test]
async fn insecure_skip_verify_takes_any_certificate() {
    let server = Server::echo(Some(Identity::new("broker.example").acceptor()));
    let options = TlsOptions {
        insecure_skip_verify: true,
        server_name: Some("elsewhere.example".to_owned()),
        ..TlsOptions::default()
    };
    let mut stream = connect_to(target(&server, Some(options))).await.unwrap();
    echoed(&mut stream, b"hello").await;
    assert_eq!(server.join(), None);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_broker_that_wants_one() {
    let (identity, ours, files) = (Identity::new("broker.example"), Identity::new("gateway.example"), Files::new());
    let acceptor = || identity.acceptor_wanting(&ours, SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    let without = options_trusting(&files, &identity);
    let (cert_file, key_file) =
        (Some(files.put("our.crt", &ours.cert_pem())), Some(files.put("our.key", &ours.key_pem())));

    let server = Server::echo(Some(acceptor()));
    let mut stream =
        connect_to(target(&server, Some(TlsOptions { cert_file, key_file, ..without.clone() }))).await.unwrap();
    echoed(&mut stream, b"hello").await;
    assert_eq!(server.join(), None);

    // TLS 1.3 is through for us before the broker has looked: it says so when we read.
    let server = Server::echo(Some(acceptor()));
    let mut stream = connect_to(target(&server, Some(without))).await.unwrap();
    let fault = read_to_end(&mut stream).await.unwrap_err();
    let wanted = "the broker wants a client certificate (`cert_file`, `key_file`): tlsv13 alert certificate required";
    assert_eq!(fault.to_string(), format!("TLS: {wanted}"));
    assert_eq!(server.join().as_deref(), Some("handshake"));
}

#[tokio::test]
async fn a_client_certificate_that_the_broker_does_not_trust_is_said() {
    let (identity, ours, files) = (Identity::new("broker.example"), Identity::new("gateway.example"), Files::new());
    let options = TlsOptions {
        cert_file: Some(files.put("our.crt", &ours.cert_pem())),
        key_file: Some(files.put("our.key", &ours.key_pem())),
        ..options_trusting(&files, &identity)
    };
    let server = Server::echo(Some(
        identity.acceptor_wanting(&identity, SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT),
    ));
    let mut stream = connect_to(target(&server, Some(options))).await.unwrap();
    let fault = read_to_end(&mut stream).await.unwrap_err().to_string();
    assert!(fault.starts_with("TLS: the broker does not take our certificate: "), "{fault}");
    assert_eq!(server.join().as_deref(), Some("handshake"));
}

#[tokio::test]
async fn protocols_are_offered_in_tls_and_a_broker_that_speaks_none_is_said() {
    let (identity, files) = (Identity::new("broker.example"), Files::new());
    let offering = |alpn: &[&str]| TlsOptions {
        alpn: alpn.iter().map(ToString::to_string).collect(),
        ..options_trusting(&files, &identity)
    };

    let server = Server::selecting(&identity, b"\x0ex-amzn-mqtt-ca");
    let mut stream = connect_to(target(&server, Some(offering(&["mqtt", "x-amzn-mqtt-ca"])))).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.unwrap(), b"x-amzn-mqtt-ca");
    drop(stream);
    assert_eq!(server.join(), None);

    let server = Server::selecting(&identity, b"\x0ex-amzn-mqtt-ca");
    let fault = connect_to(target(&server, Some(offering(&["mqtt"])))).await.unwrap_err().to_string();
    let none = "TLS handshake failed: the broker speaks none of the protocols in `alpn`: ";
    assert!(fault.starts_with(none), "{fault}");
    assert_eq!(server.join().as_deref(), Some("handshake"));

    let server = Server::selecting(&identity, b"\x0ex-amzn-mqtt-ca");
    let mut stream = connect_to(target(&server, Some(offering(&[])))).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.unwrap(), b"", "nothing was offered");
    drop(stream);
    assert_eq!(server.join(), None);

    for name in [String::new(), "x".repeat(256)] {
        let options = TlsOptions { alpn: vec![name.clone()], ..TlsOptions::default() };
        assert_eq!(TlsSettings::load(&options).unwrap_err(), TlsFault::ProtocolName(name));
    }
}

#[tokio::test]
async fn connections_come_from_the_local_addresses_in_turn() {
    let addresses = ["127.0.0.2", "127.0.0.3"].map(|address| address.parse().unwrap());
    let local = Arc::new(LocalAddresses::new(&addresses).unwrap());
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.2"] {
        let server = Server::says_who_comes();
        let target = Target { local: Arc::clone(&local), ..target(&server, None) };
        let mut stream = connect_to(target).await.unwrap();
        assert_eq!(read_to_end(&mut stream).await.unwrap(), from.as_bytes());
        drop(stream);
        assert_eq!(server.join(), None);
    }
}

#[tokio::test]
async fn a_local_address_that_is_not_ours_is_named_and_one_of_another_kind_not_used() {
    let (ours, not_ours) = ("127.0.0.2".parse().unwrap(), "192.0.2.1".parse().unwrap());
    let fault = LocalAddresses::new(&[ours, not_ours]).unwrap_err();
    assert_eq!((fault.index, fault.address), (1, not_ours));
    assert_eq!(fault.to_string(), "192.0.2.1: Cannot assign requested address (os error 99)");

    let address = "[::1]:1883".parse().unwrap();
    let fault = reach(&[address], &LocalAddresses::new(&[ours]).unwrap(), LIMIT).await.unwrap_err().unwrap();
    let expected = "cannot connect to [::1]:1883: `broker.bind` has no address of its kind (IPv4, IPv6)";
    assert_eq!(fault.to_string(), expected);
}

#[tokio::test]
async fn tls_to_a_port_without_it_is_said() {
    let server = Server::says(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let options = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
    let target = target(&server, Some(options));
    let fault = connect_to(target.clone()).await.unwrap_err();
    assert_eq!(fault.to_string(), format!("{target} does not speak TLS"));
    server.join();
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_says_why() {
    let (one, two, files) = (Identity::new("one.example"), Identity::new("two.example"), Files::new());
    let (cert, key) = (files.put("one.crt", &one.cert_pem()), files.put("one.key", &one.key_pem()));
    let (other_key, locked) = (files.put("two.key", &two.key_pem()), files.put("locked.key", &one.locked_key_pem()));
    let (empty, missing) = (files.put("empty.pem", b""), files.put("x", b"").with_file_name("missing.pem"));
    let pair = |cert: &std::path::Path, key: &std::path::Path| TlsOptions {
        ca_file: Some(cert.to_owned()),
        cert_file: Some(cert.to_owned()),
        key_file: Some(key.to_owned()),
        ..TlsOptions::default()
    };
    let ca = |path: &std::path::Path| TlsOptions { ca_file: Some(path.to_owned()), ..TlsOptions::default() };
    let not_its_key = format!("is not the key of {}", cert.display());
    let table = [
        (ca(&missing), "ca_file", &missing, "No such file or directory (os error 2)"),
        (ca(&empty), "ca_file", &empty, "no certificate in it"),
        (pair(&cert, &empty), "key_file", &empty, "no private key in it that is not encrypted"),
        (pair(&cert, &locked), "key_file", &locked, "no private key in it that is not encrypted"),
        (pair(&cert, &other_key), "key_file", &other_key, not_its_key.as_str()),
    ];
    for (options, key, path, reason) in table {
        let fault = TlsSettings::load(&options).unwrap_err();
        assert_eq!(fault, TlsFault::File { key, path: path.clone(), reason: reason.to_owned() });
        assert_eq!(TlsSettings::faults(&options), [fault]);
    }
    assert!(TlsSettings::load(&pair(&cert, &key)).is_ok());
    assert_eq!(TlsSettings::faults(&pair(&cert, &key)), []);
    let all = TlsOptions { ca_file: Some(missing), ..pair(&empty, &locked) };
    let keys: Vec<_> =
        TlsSettings::faults(&all).iter().map(|fault| fault.to_string().split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(keys, ["ca_file", "cert_file", "key_file"], "each file is judged, whatever the others hold");
    let alone = TlsSettings::load(&TlsOptions { key_file: None, ..pair(&cert, &key) }).unwrap_err();
    assert_eq!(alone.to_string(), "cert_file needs key_file");
}

#[test]
fn without_a_ca_file_the_system_is_asked_whom_to_trust() {
    let system = openssl_probe::probe();
    let loaded = TlsSettings::load(&TlsOptions::default());
    if system.cert_file.is_none() && system.cert_dir.is_empty() {
        assert_eq!(loaded.unwrap_err(), TlsFault::NoSystemStore);
    } else {
        let settings = loaded.unwrap();
        let trusted = settings.trusted();
        assert!(trusted > 0 || system.cert_file.is_none(), "{:?} was found and nothing in it", system.cert_file);
    }
}
