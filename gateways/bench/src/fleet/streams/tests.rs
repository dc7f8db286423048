//! Connections against listeners on the loopback interface.

use super::*;
use openssl::ssl::{SslConnector, SslMethod};
use std::collections::BTreeMap;
use std::net::TcpListener;

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Opens the connections and drops the first, which only looked whether somebody listens.
fn streams(listener: &TcpListener, address: SocketAddr, clients: u32) -> Streams {
    let streams = Streams::open(address, clients, None).unwrap();
    drop(listener.accept().unwrap());
    streams
}

#[test]
fn octets_come_whole_to_the_client_they_are_for_and_what_is_not_consumed_comes_again() {
    let (listener, address) = listening();
    let mut streams = streams(&listener, address, 3);
    for client in 0..3 {
        assert!(!streams.is_free(client) && !streams.send(client, b"too early"));
        streams.dial(client).unwrap();
    }
    let mut opened = 0;
    while opened < 3 {
        streams
            .hear(5000, |_, happening| {
                opened += usize::from(matches!(happening, Happening::Opened));
                0
            })
            .unwrap();
    }
    let mut peers: BTreeMap<u32, TcpStream> = BTreeMap::new();
    for client in 0..3 {
        assert!(streams.send(client, &client.to_be_bytes()[3..]));
    }
    for _ in 0..3 {
        let (mut peer, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), Ipv4Addr::from(FIRST));
        let mut octet = [0];
        peer.read_exact(&mut octet).unwrap();
        peers.insert(octet[0].into(), peer);
    }
    let mut heard: Vec<(u32, Vec<u8>)> = Vec::new();
    for piece in [&b"ab"[..], b"c"] {
        peers.get_mut(&1).unwrap().write_all(piece).unwrap();
        let before = heard.len();
        while heard.len() == before {
            streams
                .hear(5000, |client, happening| {
                    if let Happening::Octets(octets) = happening {
                        heard.push((client, octets.to_vec()));
                    }
                    usize::from(before == 0)
                })
                .unwrap();
        }
    }
    assert_eq!(heard, [(1, b"ab".to_vec()), (1, b"bc".to_vec())]);
    peers.remove(&2);
    let mut closed = None;
    while closed.is_none() {
        streams
            .hear(5000, |client, happening| {
                if matches!(happening, Happening::Closed) {
                    closed = Some(client);
                }
                0
            })
            .unwrap();
    }
    assert_eq!((closed, streams.is_free(2), streams.is_free(0)), (Some(2), false, true));
}

#[test]
fn a_client_whose_peer_does_not_read_takes_no_more_until_it_does() {
    let (listener, address) = listening();
    let mut streams = streams(&listener, address, 1);
    streams.dial(0).unwrap();
    while !streams.is_free(0) {
        streams.hear(5000, |_, _| 0).unwrap();
    }
    let (mut peer, _) = listener.accept().unwrap();
    let (octets, mut taken) = (vec![7; 1 << 20], 0);
    while streams.send(0, &octets) {
        taken += octets.len();
    }
    assert!(!streams.is_free(0));
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; taken];
        peer.read_exact(&mut all).unwrap();
        peer
    });
    while !streams.is_free(0) {
        streams.hear(5000, |_, _| 0).unwrap();
    }
    reader.join().unwrap();
}

#[test]
fn where_nothing_listens_it_is_said_and_a_lost_listener_is_heard_of() {
    let (listener, address) = listening();
    let mut streams = streams(&listener, address, 1);
    drop(listener);
    streams.dial(0).unwrap();
    let mut closed = false;
    while !closed {
        streams
            .hear(5000, |_, happening| {
                closed |= matches!(happening, Happening::Closed);
                0
            })
            .unwrap();
    }
    let refused = Streams::open(address, 1, None).unwrap_err();
    assert_eq!(refused.to_string(), format!("gateway: nothing listens at {address}"));
}

#[test]
fn who_does_not_speak_tls_is_told_from_who_hangs_up() {
    for (answer, expected) in [(&b"HTTP/1.0 400 Bad Request\r\n"[..], "no TLS"), (b"", "closed")] {
        let (listener, address) = listening();
        let connector = SslConnector::builder(SslMethod::tls_client()).unwrap().build();
        let session = move || Ok(connector.configure().unwrap().into_ssl("localhost").unwrap());
        let mut streams = Streams::open(address, 1, Some(Box::new(session))).unwrap();
        drop(listener.accept().unwrap());
        streams.dial(0).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut told = None;
        let mut answer = Some(answer);
        while told.is_none() {
            streams
                .hear(5000, |_, happening| {
                    told = match happening {
                        Happening::NoTls(why) => Some(why.replace("what answers there does not speak TLS", "no TLS")),
                        Happening::Closed => Some("closed".to_owned()),
                        Happening::Opened | Happening::Octets(_) => None,
                    };
                    0
                })
                .unwrap();
            // After the ClientHello, read here whole, so that the end is no reset.
            if let Some(answer) = answer.take() {
                let mut hello = [0; 5];
                peer.read_exact(&mut hello).unwrap();
                let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
                peer.read_exact(&mut rest).unwrap();
                peer.write_all(answer).unwrap();
                peer.shutdown(std::net::Shutdown::Write).unwrap();
            }
        }
        assert_eq!(told.as_deref(), Some(expected));
    }
}

#[test]
fn more_clients_than_ports_are_refused_where_there_is_one_address() {
    let elsewhere = "[::1]:1".parse().unwrap();
    assert!(matches!(Streams::open(elsewhere, PORTS + 1, None), Err(Failure::Usage(_))));
}
