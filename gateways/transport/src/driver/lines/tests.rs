//! Lines to a broker on loopback that accepts everybody and says no more.

use super::*;
use bridge_core::ask::{Answer, Ask};
use bridge_core::bridge::{BridgeSettings, OwnLinks, Policy};
use bridge_core::gate::Gates;
use bridge_core::link::{LinkSettings, Password, QueueLimits, SessionScope, VersionChoice};
use bridge_core::machine::{Cx, Handled, Input, Machine};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
use bridge_core::time::Deadline;
use bridge_core::topic::ClientId;
use bridge_core::uplink::{Admission, Applicant, OwnLink, SessionWish, Token};
use shard::ShardSettings;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NOW: Now = Now { mono_ms: 1, wall_ms: 1 };

/// `+` wants a client let in, `-` sends it away again.
struct Doorkeeper(Arc<Mutex<Option<OwnLink>>>);

impl Machine for Doorkeeper {
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
        match input {
            Input::Datagram { peer, bytes: b"+", .. } => {
                let who = Applicant {
                    gateway: GatewayId(0),
                    listener: peer.listener,
                    id: ClientId::try_from("lamp").unwrap(),
                    username: "",
                    password: bridge_core::uplink::Password(b""),
                    address: Some(peer.addr),
                    proven: Proven::default(),
                    wants: Some(SessionWish { clean: true, keepalive_s: 60, expiry_s: 0 }),
                };
                assert_eq!(cx.bridge.admit(cx.now, Token(7), &who), Admission::Parked);
            }
            Input::Datagram { bytes: b"-", .. } => cx.bridge.dismiss(self.0.lock().unwrap().take().unwrap()),
            Input::Decided { verdict, link, .. } => {
                assert!(verdict.is_ok(), "{verdict:?}");
                *self.0.lock().unwrap() = link;
            }
            _ => {}
        }
        Handled::Here
    }

    fn next_deadline(&self) -> Option<Deadline> {
        None
    }

    fn sessions(&self) -> usize {
        0
    }

    fn ask(&mut self, _cx: &mut Cx<'_>, _ask: &Ask<'_>) -> Answer {
        Answer::NoSuchClient
    }
}

fn settings(number: u16, broker: &str) -> LinkSettings {
    LinkSettings {
        client_id: format!("link-{number}"),
        username: String::new(),
        password: Password::default(),
        keepalive_s: 60,
        max_inflight: 8,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec![broker.to_owned()],
        will: None,
        session_expiry_s: 0,
        scope: SessionScope::Process,
        queue: QueueLimits { max_bytes: 1 << 20, max_messages: 8 },
    }
}

struct World {
    lines: Lines,
    shard: Shard,
    scratch: Vec<u8>,
    broker: TcpListener,
    /// What the machine has got for its client.
    own: Arc<Mutex<Option<OwnLink>>>,
    /// The lines that were heard, turn after turn.
    heard: Vec<LinkId>,
}

impl World {
    async fn new(links: u16) -> Self {
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = broker.local_addr().unwrap();
        let server = address.to_string();
        let own_links = Some(OwnLinks { like: settings(0, &server), connect_rate: 0 });
        let bridge = BridgeSettings {
            links: (0..links).map(|number| settings(number, &server)).collect(),
            listeners: Vec::new(),
            node: "n".into(),
            status: None,
            policy: Policy { own_links, ..Policy::default() },
            seed: 1,
        };
        let settings = ShardSettings {
            id: ShardId(0),
            bridge,
            listeners: vec![GatewayId(0).into()],
            gates: Gates::default(),
            directory: Arc::default(),
            max_routes: 1,
            durable: false,
            seed: 1,
        };
        let own = Arc::new(Mutex::new(None));
        let shard = Shard::new(settings, vec![Box::new(Doorkeeper(Arc::clone(&own)))]);
        let target = Target::tcp(address.ip().to_string(), address.port());
        let lines = Lines::new([target].into(), Duration::from_secs(10));
        Self { lines, shard, scratch: Vec::new(), broker, own, heard: Vec::new() }
    }

    fn turns(&mut self, cx: &Context<'_>) {
        loop {
            let busy = self.lines.hear(cx, NOW, &mut self.shard, &mut self.scratch);
            self.heard.extend(&self.lines.heard);
            self.shard.finish(NOW);
            if !self.lines.speak(NOW, &mut self.shard) && !busy {
                return;
            }
        }
    }

    async fn run<T>(&mut self, broker: impl Future<Output = T>) -> T {
        let mut broker = pin!(broker);
        let both = poll_fn(|cx| {
            self.turns(cx);
            broker.as_mut().poll(cx)
        });
        tokio::time::timeout(Duration::from_secs(20), tokio::task::unconstrained(both)).await.expect("in time")
    }

    async fn until(&mut self, so: impl Fn(&Self) -> bool) {
        let wait = poll_fn(|cx| {
            self.turns(cx);
            if so(self) { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("in time");
    }

    /// The next connection, accepted in the manner of MQTT 5; whose it is.
    async fn greet(&mut self) -> (TcpStream, String) {
        let accepted = poll_fn(|cx| {
            self.turns(cx);
            self.broker.poll_accept(cx)
        });
        let (mut connection, _) = tokio::time::timeout(Duration::from_secs(20), accepted).await.unwrap().unwrap();
        let mut connect = [0; 256];
        let octets = self.run(connection.read(&mut connect)).await.unwrap();
        let text = String::from_utf8_lossy(&connect[..octets]).into_owned();
        self.run(connection.write_all(&[0x20, 3, 0, 0, 0])).await.unwrap();
        (connection, text)
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let peer = Peer::plain(ListenerId(0), ([127, 0, 0, 1], 4000).into(), None);
        self.shard.datagram(NOW, peer, Proven::default(), bytes);
    }

    fn connections(&self) -> usize {
        self.lines.lines.iter().flatten().filter(|entry| !entry.line.is_closed()).count()
    }
}

#[tokio::test]
async fn a_line_that_waits_is_not_looked_at() {
    let mut world = World::new(16).await;
    let mut brokers = Vec::new();
    for _ in 0..16 {
        brokers.push(world.greet().await);
    }
    world.until(|world| world.shard.is_reachable()).await;
    world.heard.clear();
    let (connection, who) = &mut brokers[5];
    // The beginning of a packet that never ends.
    world.run(connection.write_all(&[0x30, 0xFF])).await.unwrap();
    world.until(|world| !world.heard.is_empty()).await;
    let spoken: Vec<LinkId> = (0..16).map(LinkId::shared).filter(|id| world.heard.contains(id)).collect();
    assert_eq!(spoken.len(), 1, "only one has said something");
    assert!(who.contains(world.shard.link(spoken[0]).unwrap().client_id()), "{spoken:?} is not {who}");
    assert_eq!(world.lines.report(NOW, &world.shard).len(), 16);
}

#[tokio::test]
async fn a_link_of_a_clients_own_comes_and_goes_with_its_connection() {
    let mut world = World::new(1).await;
    let _node = world.greet().await;
    world.datagram(b"+");
    let (mut own, who) = world.greet().await;
    assert!(who.contains("lamp"), "{who}");
    // Both lines, and one of them tells how the node stands.
    assert_eq!((world.connections(), world.lines.report(NOW, &world.shard).len()), (2, 1));
    world.until(|world| world.own.lock().unwrap().is_some()).await;
    world.datagram(b"-");
    let mut last = Vec::new();
    world.run(own.read_to_end(&mut last)).await.unwrap();
    assert_eq!((world.connections(), last.first()), (1, Some(&0xE0)), "DISCONNECT, and the end");
}
