//! Sockets against sockets.

use super::spread::FIRST;
use super::*;
use std::net::{Ipv4Addr, SocketAddrV4};

fn bound(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// What has come within five seconds.
fn heard(fleet: &Fleet, inbox: &mut Inbox) -> Vec<(u32, Vec<u8>)> {
    fleet.wait(5000).unwrap();
    fleet.receive(inbox).unwrap();
    inbox.iter().map(|(client, octets)| (client, octets.to_vec())).collect()
}

#[test]
fn each_client_has_an_address_of_its_own_and_hears_what_is_sent_to_it() {
    let (gateway, address) = bound("127.0.0.1:0");
    let mut fleet = Fleet::open(address, 70_000).unwrap();
    let mut inbox = Inbox::new();
    // More rounds than one: the headers are used again.
    for client in [0, 1, 255, 256, 69_999] {
        fleet.send(client, &Message::Pingreq { client_id: None }).unwrap();
        let mut datagram = [0; 16];
        let (len, from) = gateway.recv_from(&mut datagram).unwrap();
        assert_eq!((&datagram[..len], Some(from.port())), (&[2, 0x16][..], fleet.port()));
        assert_eq!(from.ip(), Ipv4Addr::from(FIRST + client));
        gateway.send_to(&[2, 0x17], from).unwrap();
        assert_eq!(heard(&fleet, &mut inbox), [(client, vec![2, 0x17])]);
    }
}

#[test]
fn strangers_and_unknown_destinations_are_not_heard() {
    let (gateway, address) = bound("127.0.0.1:0");
    let (stranger, _) = bound("127.0.0.1:0");
    let fleet = Fleet::open(address, 10).unwrap();
    let to = |client: u32| SocketAddrV4::new(Ipv4Addr::from(FIRST + client), fleet.port().unwrap());
    stranger.send_to(b"no", to(3)).unwrap();
    gateway.send_to(b"no", to(10)).unwrap();
    gateway.send_to(b"yes", to(3)).unwrap();
    assert_eq!(heard(&fleet, &mut Inbox::new()), [(3, b"yes".to_vec())]);
}

#[test]
fn beyond_ipv4_loopback_each_client_has_a_socket_of_its_own() {
    let (gateway, address) = bound("[::1]:0");
    let mut fleet = Fleet::open(address, 300).unwrap();
    let mut inbox = Inbox::new();
    let mut ports = std::collections::BTreeSet::new();
    for client in [0, 299, 7] {
        fleet.send(client, &Message::Pingreq { client_id: None }).unwrap();
        let (_, from) = gateway.recv_from(&mut [0; 16]).unwrap();
        assert!(ports.insert(from.port()));
        gateway.send_to(&[2, 0x17], from).unwrap();
        assert_eq!(heard(&fleet, &mut inbox), [(client, vec![2, 0x17])]);
    }
    assert_eq!(fleet.port(), None);
    drop(gateway);
    // The machine's word that nobody is there is no end of the run: the gateway may come back.
    for _ in 0..3 {
        fleet.send(7, &Message::Pingreq { client_id: None }).unwrap();
        assert_eq!(heard(&fleet, &mut inbox), []);
    }
}

#[test]
fn more_clients_than_ports_are_refused() {
    let (_gateway, address) = bound("[::1]:0");
    assert!(matches!(Fleet::open(address, 60_000), Err(Failure::Usage(_))));
}

#[test]
fn a_probe_tells_an_answer_from_silence_and_from_a_closed_port() {
    let (gateway, address) = bound("127.0.0.1:0");
    assert_eq!(probe(address, Duration::from_millis(1)).unwrap(), Echo::Silent);
    let answering = std::thread::spawn(move || {
        // Of the probe before, and of this one.
        for _ in 0..2 {
            let mut search = [0; 8];
            let (len, from) = gateway.recv_from(&mut search).unwrap();
            assert_eq!(search[..len], [3, 1, 0]);
            gateway.send_to(&[3, 2, 1], from).unwrap();
        }
    });
    assert_eq!(probe(address, Duration::from_secs(5)).unwrap(), Echo::Answered);
    answering.join().unwrap();
    let refused = probe(address, Duration::from_secs(5)).unwrap_err();
    assert_eq!(refused.to_string(), format!("gateway: nothing listens at {address}"));
}
