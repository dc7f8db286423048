//! Real sockets on the loopback interface. Nothing sleeps: a wait ends with what is waited for, or fails the test.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::UdpSocket;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
const ANY_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
const ANY_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
const LIMIT: Duration = Duration::from_secs(10);

fn listen(address: SocketAddr) -> UdpListener {
    bind(address, 1, 1 << 22).unwrap().pop().unwrap().listen().unwrap()
}

/// A device: a blocking socket that gives up after a while.
fn device(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

/// What a device hears next, and from whom.
fn hear(device: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (bytes, from) = device.recv_from(&mut buffer).expect("an answer in time");
    (buffer[..bytes].to_vec(), from)
}

async fn receive(listener: &mut UdpListener, batch: &mut Batch) -> usize {
    let receive = poll_fn(|cx| listener.poll_recv(cx, batch));
    tokio::time::timeout(LIMIT, receive).await.expect("a datagram in time").unwrap()
}

async fn flush(listener: &mut UdpListener, queue: &mut SendQueue) {
    let flush = poll_fn(|cx| listener.poll_flush(cx, queue));
    tokio::time::timeout(LIMIT, flush).await.expect("flushed in time").unwrap();
}

#[tokio::test]
async fn two_hundred_datagrams_come_in_batches_and_each_answer_finds_its_peer() {
    let mut listener = listen(V4);
    let devices: Vec<UdpSocket> = (0..200).map(|_| device(V4)).collect();
    for (number, device) in devices.iter().enumerate() {
        device.send_to(format!("hello {number}").as_bytes(), listener.local_addr()).unwrap();
    }
    let (mut batch, mut queue, mut sizes) = (Batch::new(2048), SendQueue::new(1000, 1 << 20), Vec::new());
    while sizes.iter().sum::<usize>() < 200 {
        sizes.push(receive(&mut listener, &mut batch).await);
        for datagram in batch.iter() {
            assert_eq!(datagram.local, None, "a listener with one address need not ask");
            assert!(queue.push(datagram.peer, datagram.local, &[datagram.bytes, b" yourself"].concat()));
        }
    }
    assert_eq!(sizes, [64, 64, 64, 8]);
    flush(&mut listener, &mut queue).await;
    assert_eq!((queue.counts().sent, queue.counts().batches, queue.counts().dropped()), (200, 4, 0));
    for (number, device) in devices.iter().enumerate() {
        assert_eq!(hear(device), (format!("hello {number} yourself").into_bytes(), listener.local_addr()));
    }
}

#[tokio::test]
async fn an_empty_datagram_is_a_datagram_and_an_empty_socket_is_pending() {
    let mut listener = listen(V4);
    let mut batch = Batch::new(2048);
    device(V4).send_to(b"", listener.local_addr()).unwrap();
    assert_eq!(receive(&mut listener, &mut batch).await, 1);
    assert_eq!(batch.iter().map(|datagram| datagram.bytes.len()).collect::<Vec<_>>(), [0]);
    let pending = poll_fn(|cx| Poll::Ready(listener.poll_recv(cx, &mut batch).is_pending())).await;
    assert!(pending);
    assert_eq!(batch.iter().count(), 0, "nothing of the last batch is heard twice");
}

#[tokio::test]
async fn after_a_full_batch_that_was_all_the_socket_is_pending() {
    let mut listener = listen(V4);
    let (device, mut batch) = (device(V4), Batch::new(2048));
    for number in 0..64u8 {
        device.send_to(&[number], listener.local_addr()).unwrap();
    }
    assert_eq!(receive(&mut listener, &mut batch).await, 64);
    let next = poll_fn(|cx| Poll::Ready(listener.poll_recv(cx, &mut batch).map_err(|fault| fault.kind()))).await;
    assert_eq!(next, Poll::Pending);
}

#[tokio::test]
async fn a_datagram_that_comes_while_the_task_waits_wakes_it() {
    let mut listener = listen(V4);
    let (to, mut batch) = (listener.local_addr(), Batch::new(2048));
    for round in 0..20u8 {
        let sender = tokio::task::spawn_blocking(move || device(V4).send_to(&[round], to).unwrap());
        assert_eq!(receive(&mut listener, &mut batch).await, 1);
        assert_eq!(batch.iter().next().unwrap().bytes, [round]);
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn ipv6_peers_are_heard_and_answered() {
    let mut listener = listen(V6);
    let (device, mut batch, mut queue) = (device(V6), Batch::new(2048), SendQueue::new(10, 1000));
    device.send_to(b"six", listener.local_addr()).unwrap();
    receive(&mut listener, &mut batch).await;
    let datagram = batch.iter().next().unwrap();
    assert_eq!(datagram, Datagram { peer: device.local_addr().unwrap(), local: None, broadcast: false, bytes: b"six" });
    queue.push(datagram.peer, datagram.local, b"back");
    flush(&mut listener, &mut queue).await;
    assert_eq!(hear(&device), (b"back".to_vec(), listener.local_addr()));
}

/// A device of `from` asks the wildcard listener at `to`; the answer must come from there.
async fn answered_from_where_it_was_asked(listener: &mut UdpListener, from: SocketAddr, to: IpAddr) {
    let (device, mut batch, mut queue) = (device(from), Batch::new(2048), SendQueue::new(10, 1000));
    let to = SocketAddr::new(to, listener.local_addr().port());
    device.send_to(b"where?", to).unwrap();
    assert_eq!(receive(listener, &mut batch).await, 1);
    let datagram = batch.iter().next().unwrap();
    let peer = device.local_addr().unwrap();
    let expected = Datagram { peer, local: Some(to.ip()), broadcast: false, bytes: b"where?" };
    assert_eq!(datagram, expected);
    queue.push(datagram.peer, datagram.local, b"here");
    flush(listener, &mut queue).await;
    assert_eq!(queue.counts().dropped(), 0, "{:?}", queue.counts());
    assert_eq!(hear(&device), (b"here".to_vec(), to));
}

#[tokio::test]
async fn a_wildcard_listener_answers_from_the_address_it_was_asked_at() {
    let mut listener = listen(ANY_V4);
    // All of 127.0.0.0/8 is this host: without a source address the kernel would choose 127.0.0.1.
    for to in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 9, 9, 9]] {
        answered_from_where_it_was_asked(&mut listener, V4, IpAddr::from(to)).await;
    }
}

#[tokio::test]
async fn a_dual_stack_listener_speaks_both_and_shows_ipv4_as_ipv4() {
    let mut listener = listen(ANY_V6);
    answered_from_where_it_was_asked(&mut listener, V6, Ipv6Addr::LOCALHOST.into()).await;
    answered_from_where_it_was_asked(&mut listener, V4, IpAddr::from([127, 0, 0, 3])).await;
}

#[tokio::test]
async fn a_datagram_longer_than_its_slot_is_counted_and_not_shown() {
    let mut listener = listen(V4);
    let (device, mut batch) = (device(V4), Batch::new(100));
    for length in [100, 101, 5] {
        device.send_to(&vec![7; length], listener.local_addr()).unwrap();
    }
    assert_eq!(receive(&mut listener, &mut batch).await, 3);
    assert_eq!(batch.oversized(), 1);
    assert_eq!(batch.iter().map(|datagram| datagram.bytes.to_vec()).collect::<Vec<_>>(), [vec![7; 100], vec![7; 5]]);
}

#[tokio::test]
async fn the_longest_datagram_fits_a_whole_slot() {
    let mut listener = listen(V4);
    let (device, mut batch) = (device(V4), Batch::new(Batch::WHOLE_DATAGRAM));
    device.send_to(&vec![7; 65_507], listener.local_addr()).unwrap();
    assert_eq!(receive(&mut listener, &mut batch).await, 1);
    assert_eq!((batch.oversized(), batch.iter().next().unwrap().bytes), (0, vec![7; 65_507].as_slice()));
}

#[tokio::test]
async fn a_datagram_that_cannot_be_sent_does_not_stop_the_others() {
    let mut listener = listen(V4);
    let (near, mut queue) = (device(V4), SendQueue::new(1000, 1 << 20));
    let peer = near.local_addr().unwrap();
    for (to, bytes) in [
        (peer, vec![1]),
        (peer, vec![0; 65_508]),                                // one byte more than UDP carries
        (V6, vec![0]),                                          // the wrong family
        (SocketAddr::from(([255, 255, 255, 255], 9)), vec![0]), // broadcast, which was not asked for
        (SocketAddr::from(([127, 0, 0, 1], 1)), vec![0]),       // nobody there: the kernel takes it all the same
        (peer, vec![2]),
    ] {
        assert!(queue.push(to, None, &bytes));
    }
    flush(&mut listener, &mut queue).await;
    assert_eq!([hear(&near).0, hear(&near).0], [[1], [2]]);
    let counts = queue.counts();
    assert_eq!((counts.sent, counts.too_long, counts.forbidden, counts.failed), (3, 1, 1, 1), "{counts:?}");
}

/// The loopback interface has no broadcast address of its own, so that none is found for it; but the kernel treats
/// 127.255.255.255 as one, asks for the permission, and delivers.
#[tokio::test]
async fn a_listener_broadcasts_only_once_it_may() {
    let neighbour = device((Ipv4Addr::new(127, 255, 255, 255), 0).into());
    let (to, mut queue) = (neighbour.local_addr().unwrap(), SendQueue::new(10, 1000));
    let mute = &mut listen(ANY_V4);
    assert!(queue.push(to, Some(Ipv4Addr::LOCALHOST.into()), b"refused"));
    flush(mute, &mut queue).await;
    assert_eq!((queue.counts().sent, queue.counts().dropped()), (0, 1));
    let bound = bind(ANY_V4, 1, 1 << 16).unwrap().pop().unwrap();
    bound.allow_broadcast().unwrap();
    let speaker = &mut bound.listen().unwrap();
    assert!(queue.push(to, Some(Ipv4Addr::LOCALHOST.into()), b"heard"));
    flush(speaker, &mut queue).await;
    let from = (Ipv4Addr::LOCALHOST, speaker.local_addr().port()).into();
    assert_eq!(hear(&neighbour), (b"heard".to_vec(), from));
}

#[tokio::test]
async fn a_broadcast_reaches_every_worker_and_is_known_for_what_it_is() {
    for any in [ANY_V4, ANY_V6] {
        let workers = bind(any, 2, 1 << 16).unwrap();
        let to = (Ipv4Addr::new(127, 255, 255, 255), workers[0].local_addr().port());
        let neighbour = device(V4);
        neighbour.set_broadcast(true).unwrap();
        neighbour.send_to(b"who is there?", to).unwrap();
        for worker in workers {
            let (mut worker, mut batch) = (worker.listen().unwrap(), Batch::new(2048));
            receive(&mut worker, &mut batch).await;
            let datagram = batch.iter().next().unwrap();
            let (peer, local) = (neighbour.local_addr().unwrap(), Some(Ipv4Addr::LOCALHOST.into()));
            assert_eq!(datagram, Datagram { peer, local, broadcast: true, bytes: b"who is there?" });
        }
    }
}

#[tokio::test]
async fn two_workers_on_one_port_share_its_peers() {
    let mut workers = bind(V4, 2, 1 << 22).unwrap().into_iter().map(|bound| bound.listen().unwrap());
    let (mut one, mut two) = (workers.next().unwrap(), workers.next().unwrap());
    assert_eq!(one.local_addr(), two.local_addr());
    let devices: Vec<UdpSocket> = (0..60).map(|_| device(V4)).collect();
    let mut heard: BTreeMap<u8, BTreeSet<SocketAddr>> = BTreeMap::new();
    let (mut batch, mut total) = (Batch::new(100), 0);
    for device in devices.iter().chain(&devices) {
        device.send_to(b"x", one.local_addr()).unwrap();
    }
    while total < 120 {
        let receive = poll_fn(|cx| match one.poll_recv(cx, &mut batch) {
            Poll::Ready(received) => Poll::Ready((1, received)),
            Poll::Pending => two.poll_recv(cx, &mut batch).map(|received| (2, received)),
        });
        let (worker, received) = tokio::time::timeout(LIMIT, receive).await.expect("datagrams in time");
        total += received.unwrap();
        heard.entry(worker).or_default().extend(batch.iter().map(|datagram| datagram.peer));
    }
    assert_eq!(heard.len(), 2, "60 peers on one of two sockets: {heard:?}");
    assert!(heard[&1].is_disjoint(&heard[&2]), "a peer stays with its worker");
    assert_eq!(heard[&1].len() + heard[&2].len(), 60);
}

#[test]
fn a_port_in_use_is_refused_even_if_its_owner_would_share_it() {
    let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    other.set_reuse_port(true).unwrap();
    other.bind(&V4.into()).unwrap();
    let address = other.local_addr().unwrap().as_socket().unwrap();
    for taken in [address, SocketAddr::new(ANY_V4.ip(), address.port()), SocketAddr::new(ANY_V6.ip(), address.port())] {
        let fault = bind(taken, 2, 1 << 22).unwrap_err();
        assert_eq!((fault.address, fault.kind), (taken, io::ErrorKind::AddrInUse));
        assert_eq!(fault.to_string(), format!("UDP {taken}: cannot bind: the port is in use"));
    }
    drop(other);
    assert_eq!(bind(address, 2, 1 << 22).unwrap().len(), 2);
}

#[test]
fn an_address_of_another_host_is_refused() {
    let fault = bind("192.0.2.1:1884".parse().unwrap(), 1, 1 << 22).unwrap_err();
    assert_eq!(fault.to_string(), "UDP 192.0.2.1:1884: cannot bind: no interface has this address");
}

#[test]
fn the_receive_buffer_that_was_granted_is_known() {
    let most: usize = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap().trim().parse().unwrap();
    for asked in [65_536, 1 << 22, 1 << 30] {
        let granted = bind(V4, 1, asked).unwrap()[0].receive_buffer();
        assert_eq!(granted, asked.min(most), "asked for {asked}");
    }
}
