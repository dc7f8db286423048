//! Drivers' connections on real loopback sockets, in one task with the devices; time is virtual.

use super::super::*;
use crate::config::TlsConfig;
use crate::stream::{ServerTls, bind};
use bridge_core::ask::{Answer, Ask};
use bridge_core::auth::PskKeys;
use bridge_core::bridge::{BridgeSettings, Policy};
use bridge_core::gate::{Gate, Gates};
use bridge_core::live::Live;
use bridge_core::machine::{Cx, Handled, Input, Machine};
use bridge_core::owners::{Directory, Owner};
use bridge_core::peer::{GatewayId, ListenerId, Proven, ProvenBuf, ShardId};
use bridge_core::streams::{Flow, Marks};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use shard::{Listener, ShardSettings};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// Longer than any test takes, if nothing hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(15);
pub(super) const PROXY_TIMEOUT: Duration = Duration::from_secs(3);

/// What the machines hear, in their order.
pub(super) type Diary = Arc<Mutex<Vec<String>>>;

/// Takes lines. `+NAME` claims a client, and goes to where that lives; `pause` is not read until `Timer`; `flood` is
/// answered with 4 MiB, in pieces, as they find room; `dump` with 32 MiB at once; `bye` with `bye`, and a close;
/// `who` with what is proved. All else comes back, with the shard's number in front.
struct Parrot {
    shard: u8,
    diary: Diary,
    proven: Vec<(ConnRef, ProvenBuf)>,
    paused: Vec<ConnRef>,
    /// Octets still to be sent.
    flood: usize,
}

impl Parrot {
    fn note(&self, what: impl Into<String>) {
        self.diary.lock().unwrap().push(what.into());
    }

    fn on_flood(&mut self, cx: &mut Cx<'_>, conn: ConnRef) {
        while self.flood > 0 {
            let octets = self.flood.min(10_000);
            self.flood -= octets;
            if cx.streams.write(conn, |out| out.resize(out.len() + octets, b'f')) != Flow::Open {
                return;
            }
        }
    }

    fn on_line(&mut self, cx: &mut Cx<'_>, conn: ConnRef, line: &str) -> Option<ShardId> {
        if line.starts_with('+')
            && let Owner::Elsewhere(shard) = cx.owners.claim(GatewayId(0), line)
        {
            return Some(shard);
        }
        let answer = match line {
            "pause" => {
                self.paused.push(conn);
                cx.streams.pause(conn);
                return None;
            }
            "flood" => {
                self.flood = FLOOD;
                self.on_flood(cx, conn);
                return None;
            }
            "dump" => "d".repeat(DUMP),
            "who" => match self.proven.iter().find(|(of, _)| *of == conn).map(|(_, proven)| proven.view()) {
                Some(Proven::Psk(name)) => format!("key {name}"),
                Some(Proven::Certificate(name)) => format!("certificate {name}"),
                Some(Proven::Nothing) | None => String::new(),
            },
            "bye" => "bye".to_owned(),
            other => format!("{}{other}\n", self.shard),
        };
        let flow = cx.streams.write(conn, |out| out.extend_from_slice(answer.as_bytes()));
        assert!(flow != Flow::Gone, "what is heard of it can be answered");
        if line == "bye" {
            cx.streams.close(conn);
        }
        None
    }
}

const LISTENER: Listener = Listener { gateway: GatewayId(0), marks: Marks { high: 64 * 1024, low: 16 * 1024 } };

pub(super) const FLOOD: usize = 4 << 20;
/// More than the kernel takes.
const DUMP: usize = 32 << 20;

impl Machine for Parrot {
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
        match input {
            Input::Opened { conn, peer, proven } => {
                self.note(format!("opened {}", peer.addr.ip()));
                self.proven.push((conn, proven.into()));
            }
            Input::Stream { conn, bytes } => {
                let mut took = 0;
                while let Some(end) = bytes[took..].iter().position(|octet| *octet == b'\n') {
                    if !cx.streams.reads(conn) {
                        break;
                    }
                    let line = std::str::from_utf8(&bytes[took..took + end]).unwrap();
                    match self.on_line(cx, conn, line) {
                        Some(shard) => return Handled::Elsewhere(shard),
                        None => took += end + 1,
                    }
                }
                return Handled::Took(took);
            }
            Input::Writable { conn } => self.on_flood(cx, conn),
            Input::Closed { why, .. } => self.note(format!("closed {why:?}")),
            Input::Timer => self.paused.drain(..).for_each(|conn| cx.streams.resume(conn)),
            _ => {}
        }
        Handled::Here
    }

    fn next_deadline(&self) -> Option<Deadline> {
        self.paused.first().map(|_| Deadline(RESUME_MS))
    }

    fn sessions(&self) -> usize {
        0
    }

    fn ask(&mut self, _cx: &mut Cx<'_>, _ask: &Ask<'_>) -> Answer {
        Answer::NoSuchClient
    }
}

/// When whoever is paused goes on.
pub(super) const RESUME_MS: u64 = 1_000_000;

/// What kind of listener.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Tls,
    Proxied,
    ProxiedTls,
}

pub(super) struct Side {
    pub(super) connections: Connections,
    pub(super) shard: Shard,
    scratch: Vec<u8>,
}

/// Drivers that share a port.
pub(super) struct World {
    pub(super) sides: Vec<Side>,
    pub(super) addr: SocketAddr,
    /// Of another listener, which is plain.
    pub(super) plain_addr: SocketAddr,
    pub(super) now: Now,
    pub(super) diary: Diary,
    pub(super) gate: Arc<Gate>,
}

pub(super) fn psk() -> (&'static str, &'static [u8]) {
    ("lamp-7", b"sixteen octets..")
}

fn server_tls() -> Arc<ServerTls> {
    let (identity, key) = psk();
    let keys = Live::from([(identity.into(), key.into())].into_iter().collect::<PskKeys>());
    Arc::new(ServerTls::load(&TlsConfig::default(), &keys).unwrap())
}

impl World {
    pub(super) fn new(kind: Kind, drivers: u8) -> Self {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), usize::from(drivers)).unwrap();
        let plain = bind("127.0.0.1:0".parse().unwrap(), usize::from(drivers)).unwrap();
        let (addr, plain_addr) = (sockets[0].local_addr(), plain[0].local_addr());
        let tls = matches!(kind, Kind::Tls | Kind::ProxiedTls).then(server_tls);
        let proxy = matches!(kind, Kind::Proxied | Kind::ProxiedTls).then_some(PROXY_TIMEOUT);
        let (diary, directory, gate) = (Diary::default(), Arc::new(Directory::default()), Arc::new(Gate::new(0, 0)));
        let now = Now { mono_ms: 1, wall_ms: 1 };
        let mut sides = Vec::new();
        let sockets = sockets.into_iter().zip(plain);
        for ((number, (socket, plain)), crossing) in (0..).zip(sockets).zip(crossings(drivers.into())) {
            let bridge = BridgeSettings {
                links: Vec::new(),
                listeners: Vec::new(),
                node: "n".into(),
                status: None,
                policy: Policy::default(),
                seed: 1,
            };
            let settings = ShardSettings {
                id: ShardId(number),
                bridge,
                listeners: vec![LISTENER; 2],
                gates: Gates::new(vec![Arc::clone(&gate)]),
                directory: Arc::clone(&directory),
                max_routes: 1,
                durable: false,
                seed: 1,
            };
            let diary = Arc::clone(&diary);
            let parrot = Parrot { shard: number, diary, proven: Vec::new(), paused: Vec::new(), flood: 0 };
            let tls = tls.clone();
            let listener =
                StreamListener { id: ListenerId(0), key: "tcp".into(), socket, tls, proxy, send_timeout: SEND_TIMEOUT };
            let plain = StreamListener {
                id: ListenerId(1),
                key: "plain".into(),
                socket: plain,
                tls: None,
                proxy: None,
                send_timeout: SEND_TIMEOUT,
            };
            let connections = Connections::new(now, vec![listener, plain], crossing).unwrap();
            let shard = Shard::new(settings, vec![Box::new(parrot)]);
            sides.push(Side { connections, shard, scratch: Vec::new() });
        }
        Self { sides, addr, plain_addr, now, diary, gate }
    }

    /// As the driver does it: turns until there is nothing to do.
    pub(super) fn turns(&mut self, cx: &mut Context<'_>) {
        for _ in 0..32 {
            let mut busy = false;
            for Side { connections, shard, scratch } in &mut self.sides {
                busy |= connections.hear(cx, self.now, shard, scratch).unwrap();
                if shard.next_deadline().is_some_and(|deadline| deadline.is_due(self.now)) {
                    shard.timer(self.now);
                }
                shard.finish(self.now);
                busy |= connections.speak(self.now, shard, scratch);
            }
            if !busy {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// The drivers hear their connections once, and do nothing else.
    pub(super) async fn hear_once(&mut self) {
        poll_fn(|cx| {
            for Side { connections, shard, scratch } in &mut self.sides {
                connections.hear(cx, self.now, shard, scratch).unwrap();
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Runs the drivers while devices do something.
    pub(super) async fn run<T>(&mut self, devices: impl Future<Output = T>) -> T {
        let mut devices = pin!(devices);
        let both = poll_fn(|cx| {
            self.turns(cx);
            let done = devices.as_mut().poll(cx);
            self.turns(cx);
            done
        });
        tokio::time::timeout(LIMIT, tokio::task::unconstrained(both)).await.expect("in time")
    }

    /// Runs the drivers until something is so.
    pub(super) async fn until(&mut self, so: impl Fn(&Self) -> bool) {
        let both = poll_fn(|cx| {
            self.turns(cx);
            if so(self) { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::time::timeout(LIMIT, both).await.expect("in time");
    }

    /// Runs the drivers until this many connections have been accepted and greeted.
    pub(super) async fn until_open(&mut self, connections: usize) {
        self.until(|world| world.open() == connections).await;
    }

    pub(super) fn open(&self) -> usize {
        let open =
            |side: &Side| side.connections.table.len() - side.connections.greeting() - side.connections.lingering;
        self.sides.iter().map(open).sum()
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.mono_ms += millis(time);
    }

    pub(super) fn noted(&self) -> Vec<String> {
        self.diary.lock().unwrap().clone()
    }

    pub(super) fn count(&self, what: StreamCount) -> u64 {
        self.sides.iter().map(|side| side.connections.counts.get(what)).sum()
    }

    pub(super) async fn connect(&mut self) -> TcpStream {
        let addr = self.addr;
        self.run(TcpStream::connect(addr)).await.unwrap()
    }

    pub(super) async fn connect_tls(&mut self) -> SslStream<TcpStream> {
        let tcp = self.connect().await;
        self.shake(tcp).await.unwrap()
    }

    pub(super) async fn shake(&mut self, tcp: TcpStream) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        let (name, key) = psk();
        builder.set_psk_client_callback(move |_, _, identity, secret| {
            identity[..name.len()].copy_from_slice(name.as_bytes());
            identity[name.len()] = 0;
            secret[..key.len()].copy_from_slice(key);
            Ok(key.len())
        });
        let configuration = builder.build().configure().unwrap();
        let ssl = configuration.verify_hostname(false).use_server_name_indication(false).into_ssl("").unwrap();
        let mut stream = SslStream::new(ssl, tcp).unwrap();
        self.run(async { Pin::new(&mut stream).connect().await }).await?;
        Ok(stream)
    }

    /// Says something; what comes back, so many octets of it.
    pub(super) async fn ask(
        &mut self,
        device: &mut (impl AsyncRead + AsyncWrite + Unpin),
        said: &str,
        octets: usize,
    ) -> String {
        let mut answer = vec![0; octets];
        self.run(async {
            device.write_all(said.as_bytes()).await.unwrap();
            device.read_exact(&mut answer).await.unwrap();
        })
        .await;
        String::from_utf8(answer).unwrap()
    }

    /// All that comes until the end.
    pub(super) async fn rest(&mut self, device: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
        let mut rest = Vec::new();
        self.run(async { device.read_to_end(&mut rest).await.unwrap() }).await;
        rest
    }
}
