//! A driver on real loopback sockets, with a machine that sends back what it gets.

use super::*;
use crate::{stream, udp};
use bridge_core::Qos;
use bridge_core::ask::{Answer, Ask};
use bridge_core::auth::{self, ChainEntry, EntryKind, Opinion, StoreId};
use bridge_core::bridge::{BridgeSettings, Policy};
use bridge_core::gate::Gates;
use bridge_core::machine::{Cx, Handled, Input, Machine};
use bridge_core::owners::{Directory, Owner};
use bridge_core::peer::{GatewayId, ShardId};
use bridge_core::streams::{ConnRef, Flow};
use bridge_core::topic::ClientId;
use bridge_core::uplink::{Admission, Applicant, Password, Refusal, Token};
use shard::ShardSettings;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::thread::JoinHandle;

/// `+NAME` lives on the shard that hears it first; `?NAME` asks whether that user may come in, and its answer comes when
/// that is known; everything else comes back. The shard's number stands in front. What comes over a connection comes back
/// as it is; a drain closes connections with `end`.
struct Echo(u8, Vec<Peer>, Vec<ConnRef>);

impl Machine for Echo {
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
        let (peer, bytes) = match input {
            Input::Datagram { peer, bytes, .. } => (peer, bytes),
            Input::Decided { applicant, verdict, .. } => {
                let said = verdict.map_or_else(|refusal| refusal.reason(), |identity| &identity.username);
                let peer = self.1[usize::try_from(applicant.0).unwrap()];
                cx.out.datagram(peer, |out| out.extend_from_slice(said.as_bytes()));
                return Handled::Here;
            }
            Input::Opened { conn, .. } => {
                self.2.push(conn);
                return Handled::Here;
            }
            Input::Stream { conn, bytes } => {
                assert_ne!(cx.streams.write(conn, |out| out.extend_from_slice(bytes)), Flow::Gone);
                return Handled::Here;
            }
            Input::Drain { .. } => {
                for conn in self.2.drain(..) {
                    assert_ne!(cx.streams.write(conn, |out| out.extend_from_slice(b"end")), Flow::Gone);
                    cx.streams.close(conn);
                }
                return Handled::Here;
            }
            _ => return Handled::Here,
        };
        if let Some(name) = bytes.strip_prefix(b"?") {
            let (username, id) = (std::str::from_utf8(name).unwrap(), ClientId::try_from("lamp").unwrap());
            let (password, address, proven) = (Password(b"x"), Some(peer.addr), Proven::default());
            let who = Applicant {
                gateway: GatewayId(0),
                listener: peer.listener,
                id,
                username,
                password,
                address,
                proven,
                wants: None,
            };
            let said = match cx.bridge.admit(cx.now, Token(self.1.len() as u64), &who) {
                Admission::Parked => {
                    self.1.push(peer);
                    return Handled::Here;
                }
                Admission::Granted(identity) => format!("{} at once", identity.username),
                Admission::Refused(refusal) => refusal.reason().to_owned(),
            };
            cx.out.datagram(peer, |out| out.extend_from_slice(said.as_bytes()));
            return Handled::Here;
        }
        if bytes.starts_with(b"+")
            && let Owner::Elsewhere(shard) = cx.owners.claim(GatewayId(0), &String::from_utf8_lossy(bytes))
        {
            return Handled::Elsewhere(shard);
        }
        cx.out.datagram(peer, |out| {
            out.push(self.0);
            out.extend_from_slice(bytes);
        });
        Handled::Here
    }

    fn next_deadline(&self) -> Option<Deadline> {
        None
    }

    fn sessions(&self) -> usize {
        0
    }

    fn ask(&mut self, _cx: &mut Cx<'_>, ask: &Ask<'_>) -> Answer {
        match ask {
            Ask::Kick { id } if **id == self.0.to_string() => Answer::Done,
            Ask::Subscribe { filter, .. } if filter.as_str() == "a/#" => Answer::Done,
            _ => Answer::NoSuchClient,
        }
    }
}

struct Node {
    addr: SocketAddr,
    stream_addr: SocketAddr,
    commands: Vec<mpsc::Sender<Command>>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

fn node(workers: u8) -> Node {
    node_with(workers, |_| {}, CredentialLine::none)
}

fn shard(number: u8, directory: Arc<Directory>) -> Shard {
    let entry = ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) };
    let chain = Arc::new(AuthRules { entries: vec![entry], ..AuthRules::default() });
    let policy = Policy { auth: chain, ..Policy::default() };
    let bridge =
        BridgeSettings { links: Vec::new(), listeners: Vec::new(), node: "n".into(), status: None, policy, seed: 1 };
    let settings = ShardSettings {
        id: ShardId(number),
        bridge,
        listeners: vec![GatewayId(0).into(); 2],
        gates: Gates::default(),
        directory,
        max_routes: 100,
        durable: false,
        seed: 1,
    };
    Shard::new(settings, vec![Box::new(Echo(number, Vec::new(), Vec::new()))])
}

fn node_with(workers: u8, set: impl Fn(&mut [BoundUdp]), credentials: impl Fn() -> CredentialLine) -> Node {
    let mut sockets = udp::bind("127.0.0.1:0".parse().unwrap(), usize::from(workers), 1 << 20).unwrap();
    set(&mut sockets);
    let addr = sockets[0].local_addr();
    let connecting = stream::bind("127.0.0.1:0".parse().unwrap(), usize::from(workers)).unwrap();
    let stream_addr = connecting[0].local_addr();
    let directory = Arc::new(Directory::default());
    let (shards, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(FORWARD_QUEUE)).unzip();
    let (mut commands, mut threads) = (Vec::new(), Vec::new());
    let parts = inboxes.into_iter().zip(crossings(workers.into())).zip(sockets.into_iter().zip(connecting));
    for (number, ((inbox, crossing), (socket, connecting))) in (0..).zip(parts) {
        let (send, receive) = mpsc::channel(4);
        commands.push(send);
        let (directory, shards, credentials) = (Arc::clone(&directory), shards.clone(), credentials());
        threads.push(std::thread::spawn(move || {
            let shard = shard(number, directory);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let settings = DriverSettings {
                    sockets: vec![(ListenerId(0), socket)],
                    streams: vec![StreamListener {
                        id: ListenerId(1),
                        key: "tcp".into(),
                        socket: connecting,
                        tls: None,
                        proxy: None,
                        send_timeout: Duration::from_secs(10),
                    }],
                    crossing,
                    targets: Arc::new([]),
                    connect_timeout: Duration::from_secs(1),
                    commands: receive,
                    inbox,
                    shards,
                    records: None,
                    credentials,
                };
                Driver::new(Clock::start(), shard, settings)?.run().await
            })
        }));
    }
    Node { addr, stream_addr, commands, threads }
}

impl Node {
    fn stop(self) {
        for commands in &self.commands {
            commands.blocking_send(Command::Drain(Duration::from_secs(5))).unwrap();
        }
        for thread in self.threads {
            thread.join().unwrap().unwrap();
        }
    }
}

fn device(node: &Node) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.connect(node.addr).unwrap();
    socket
}

fn ask(device: &UdpSocket, bytes: &[u8]) -> Vec<u8> {
    device.send(bytes).unwrap();
    let mut answer = [0; 64];
    let length = device.recv(&mut answer).expect("an answer within 5 s");
    answer[..length].to_vec()
}

#[test]
fn datagrams_go_round_and_a_drain_ends_it() {
    let node = node(1);
    let device = device(&node);
    assert_eq!(ask(&device, b"hello"), b"\0hello");
    let (send, receive) = oneshot::channel();
    node.commands[0].blocking_send(Command::Report(send)).unwrap();
    let report = receive.blocking_recv().unwrap();
    assert_eq!((report.reachable, report.links), (false, vec![]));
    node.stop();
}

#[test]
fn a_question_is_answered_by_the_gateway_of_the_shard_that_is_asked() {
    let node = node(2);
    let put = |shard: usize, gateway: u8, question: Question| {
        let (answer, answered) = oneshot::channel();
        let command = Command::Ask { gateway: GatewayId(gateway), question, answer };
        node.commands[shard].blocking_send(command).unwrap();
        answered.blocking_recv().unwrap()
    };
    assert_eq!(put(1, 0, Question::Kick("1".into())), Answer::Done);
    assert_eq!(put(0, 0, Question::Kick("1".into())), Answer::NoSuchClient, "shard 0 has a client 0");
    assert_eq!(put(1, 1, Question::Kick("1".into())), Answer::NoSuchClient, "there is no gateway 1");
    let subscribe = |filter: &str| Question::Subscribe { id: "1".into(), filter: filter.into(), qos: Qos::AtMostOnce };
    assert_eq!(put(1, 0, subscribe("a/#")), Answer::Done);
    assert_eq!(put(1, 0, subscribe("a/#/b")), Answer::Refused(Refusal::BadTopic));
    node.stop();
}

#[test]
fn a_client_is_served_by_its_own_shard_whichever_socket_hears_it() {
    let node = node(2);
    // The kernel spreads the devices over the sockets; of so many, some meet either.
    let devices: Vec<UdpSocket> = (0..32).map(|_| device(&node)).collect();
    let heard_by: Vec<u8> = devices.iter().map(|device| ask(device, b"who")[0]).collect();
    assert!(heard_by.contains(&0) && heard_by.contains(&1), "{heard_by:?}");
    let owner = ask(&devices[0], b"+lamp")[0];
    for device in &devices {
        assert_eq!(ask(device, b"+lamp")[0], owner, "the answer comes from the owner, through the same port");
    }
    node.stop();
}

#[test]
fn a_store_is_asked_and_its_word_reaches_the_device_at_once_or_later() {
    let (asked, questions) = std::sync::mpsc::channel();
    let (answer, answers) = mpsc::channel(4);
    let line = Mutex::new(Some(CredentialLine::new(
        Box::new(move |question: auth::Question| {
            let (id, username) = (question.id, question.credentials.username.clone());
            let opinion = match &*username {
                "known" => Opinion::Allow { superuser: false },
                "wrong" => Opinion::Deny,
                _ => {
                    asked.send((id, username)).unwrap();
                    return None;
                }
            };
            Some(auth::Answer { id, opinion })
        }),
        answers,
    )));
    let node = node_with(1, |_| {}, || line.lock().unwrap().take().unwrap());
    let device = device(&node);
    assert_eq!(ask(&device, b"?known"), b"known");
    assert_eq!(ask(&device, b"?wrong"), Refusal::BadCredentials.reason().as_bytes());
    device.send(b"?slow").unwrap();
    let (id, username) = questions.recv().unwrap();
    assert_eq!(&*username, "slow");
    assert_eq!(ask(&device, b"hello"), b"\0hello", "nobody waits for a store but who is judged by it");
    answer.blocking_send(auth::Answer { id, opinion: Opinion::Allow { superuser: false } }).unwrap();
    let mut told = [0; 64];
    let length = device.recv(&mut told).expect("an answer within 5 s");
    assert_eq!(&told[..length], b"slow");

    let rules = Command::Rules { auth: Arc::default(), acl: Arc::default(), listeners: Arc::default() };
    node.commands[0].blocking_send(rules).unwrap();
    assert_eq!(ask(&device, b"?wrong"), b"wrong at once", "without entries everybody may come in");
    node.stop();
}

#[test]
fn connections_are_served_and_a_drain_closes_them() {
    let node = node(2);
    let mut devices: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(node.stream_addr).unwrap()).collect();
    for device in &mut devices {
        device.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (said, mut heard) = ([b'x'; 100_000], [0; 100_000]);
        let mut reader = device.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| reader.read_exact(&mut heard).unwrap());
            device.write_all(&said).unwrap();
        });
        assert_eq!(heard, said);
    }
    let threads = std::thread::spawn(move || node.stop());
    for mut device in devices {
        let mut last = Vec::new();
        device.read_to_end(&mut last).unwrap();
        assert_eq!(last, b"end");
    }
    threads.join().unwrap();
}

#[test]
fn behind_a_proxy_datagrams_are_of_whom_it_names_and_answers_go_back_through_it() {
    let node = node_with(2, udp::put_behind_proxy, CredentialLine::none);
    let header = |device: u8| {
        let addresses = [203, 0, 113, device, 192, 0, 2, 1, 0x13, 0x88, 0x07, 0x5C];
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0C"[..], &addresses].concat()
    };
    // The proxy speaks for each device from a port of its own, so that either worker hears some.
    let proxies: Vec<UdpSocket> = (0..32).map(|_| device(&node)).collect();
    let owner = ask(&proxies[0], &[&header(0)[..], b"+lamp"].concat())[0];
    for (number, proxy) in (1..).zip(&proxies[1..]) {
        proxy.send(b"past the proxy").unwrap();
        let answer = ask(proxy, &[&header(number)[..], b"+lamp"].concat());
        assert_eq!(answer, [&[owner][..], b"+lamp"].concat(), "whichever worker answers knows the way back");
    }
    node.stop();
}
