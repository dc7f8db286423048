//! The fuzz target's body, here so that a stable test replays the corpus: operations on a virtual clock, then the
//! invariants.

use crate::config::{FramingConfig, FramingKind, TcpConfig};
use crate::machine::Tcp;
use crate::place::{ListenerSettings, TcpSettings};
use bridge_core::Qos;
use bridge_core::auth::{Answer, AuthRules, ChainEntry, EntryKind, Opinion, StoreId};
use bridge_core::bridge::{Bridge, BridgeSettings, LinkId, ListenerRules, Notice, Policy};
use bridge_core::downlink::{Delivery, Downlink, Outcome};
use bridge_core::gate::{Gate, Gates};
use bridge_core::journal::Journal;
use bridge_core::link::{LinkSettings, Password, QueueLimits, SessionScope, VersionChoice};
use bridge_core::machine::{Cx, Handled, Input, Machine};
use bridge_core::outbox::{Outbox, Post};
use bridge_core::owners::{Directory, Owner, Owners};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
use bridge_core::publication::{Publication, Shared, Stored};
use bridge_core::rng::Rng;
use bridge_core::slab::Key;
use bridge_core::streams::{CloseReason, ConnRef, Marks, Streams};
use bridge_core::template::{Literals, Template};
use bridge_core::time::{Deadline, Now};
use bridge_core::topic::TopicName;
use bridge_core::uplink::{Ending, Identity, OwnLink, Receipt, Refusal, Token};
use codec_rawtcp::FromGateway;
use settings::{ByteSize, HumanDuration};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Devices there may be.
const DEVICES: u8 = 8;
/// CONNACK of MQTT 5.0: a new session, success, no properties.
const CONNACK: &[u8] = &[0x20, 0x03, 0x00, 0x00, 0x00];
/// Octets above and at which a connection takes no more and takes more again.
const MARKS: Marks = Marks { high: 40, low: 10 };
/// A client id that lives on another shard.
const ELSEWHERE: &str = "far";

/// Reads `data` as operations on a machine, one after the other: what some devices send, what the broker side may say,
/// and time that passes. After each, what must always hold is checked.
///
/// # Panics
/// When an invariant does not hold: a bug in this crate.
pub fn machine(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else { return };
    let mut bench = Bench::new(choice);
    while let Some((&[op, argument], tail)) = rest.split_first_chunk() {
        rest = bench.apply(op, argument, tail);
        bench.check();
    }
    bench.end();
}

/// A device's end of a connection.
pub(crate) struct Line {
    pub(crate) conn: ConnRef,
    peer: Peer,
    unread: Vec<u8>,
    /// What it has been sent, for one that speaks EMQ X's frames.
    heard: Vec<u8>,
}

pub(crate) struct Bench {
    pub(crate) machine: Tcp,
    bridge: Bridge,
    out: Outbox,
    pub(crate) streams: Streams,
    posts: Vec<Post>,
    owners: Owners,
    gates: Gates,
    journal: Journal,
    rng: Rng,
    now_ms: u64,
    last_timer: Deadline,
    /// By device.
    pub(crate) lines: Vec<Option<Line>>,
    drained: bool,
    /// What the machine is owed about who may come in.
    decided: VecDeque<(Token, Result<Identity, Refusal>)>,
    /// Messages that came with a receipt.
    receipts: u32,
}

impl Bench {
    /// `choice`: the framing of the second listener, QoS, whether somebody is asked who may come in, and what brings
    /// messages.
    pub(crate) fn new(choice: u8) -> Self {
        let kinds = [FramingKind::Line, FramingKind::LengthPrefix, FramingKind::Fixed, FramingKind::Raw];
        let names = ["peer", "first-frame", "regex:id=([a-z]+)", "first-frame"];
        let other = FramingConfig {
            framing: kinds.get(usize::from(choice & 3)).copied().unwrap_or(FramingKind::Raw),
            client_id: (*names.get(usize::from(choice >> 2 & 3)).unwrap_or(&"peer")).to_owned(),
            max_frame: ByteSize::from_kb(1),
            ..FramingConfig::default()
        };
        let config = TcpConfig {
            uplink_qos: choice >> 4 & 1,
            downlink_qos: 1,
            max_inflight: 2,
            downlink_queue: 2,
            idle_timeout: HumanDuration::from_secs(5),
            ..TcpConfig::default()
        };
        let listener = |id, framing| ListenerSettings { id: ListenerId(id), framing, mountpoint: String::new() };
        let machine = Tcp::new(TcpSettings {
            gateway: GatewayId(0),
            config: config.into(),
            listeners: vec![listener(0, FramingConfig::default()), listener(1, other)],
            node: "n".into(),
            own_links: choice & 0x80 != 0,
            first_shard: choice & 0x40 == 0,
            seed: 7,
        });
        let directory = Arc::new(Directory::default());
        // Somebody lives on the other shard.
        let other = Owners::new(Arc::clone(&directory), ShardId(1)).claim(GatewayId(0), ELSEWHERE);
        assert_eq!(other, Owner::Here);
        let mut this = Self {
            machine,
            bridge: Bridge::new(bridge(choice & 0x20 != 0)),
            out: Outbox::default(),
            streams: Streams::default(),
            posts: Vec::new(),
            owners: Owners::new(directory, ShardId(0)),
            gates: Gates::new(vec![Gate::new(0, 0), Gate::new(0, 0)]),
            journal: Journal::new(false),
            rng: Rng::seeded(7),
            now_ms: 0,
            last_timer: Deadline(0),
            lines: (0..DEVICES).map(|_| None).collect(),
            drained: false,
            decided: VecDeque::new(),
            receipts: 0,
        };
        this.bring_up();
        this
    }

    /// The link comes online, so that subscriptions are taken.
    fn bring_up(&mut self) {
        let now = self.now();
        if let Some(link) = self.bridge.link_mut(LinkId::shared(0)) {
            link.opening(now);
            link.opened(now);
        }
        let (_consumed, message) = self.bridge.receive(now, LinkId::shared(0), CONNACK);
        assert!(message.is_none());
        self.turn();
    }

    fn apply<'d>(&mut self, op: u8, argument: u8, rest: &'d [u8]) -> &'d [u8] {
        let device = usize::from(argument % DEVICES);
        match op % 10 {
            // A device sends `length` octets.
            0..=3 => {
                let (length, tail) =
                    rest.split_first().map_or((0, rest), |(&length, tail)| (usize::from(length), tail));
                let (bytes, tail) = tail.split_at_checked(length).unwrap_or((tail, &[]));
                self.send(device, u16::from(argument >> 7), bytes);
                return tail;
            }
            4 => self.message(argument),
            5 => {
                let granted = if argument & 0x80 == 0 { Ok(Qos::AtLeastOnce) } else { Err(refusal(argument)) };
                self.down(argument, Downlink::Subscribed { token: Token(0), granted });
            }
            6 => {
                let accepted = argument & 0x80 == 0;
                let outcome = if accepted { Outcome::Acknowledged } else { Outcome::Refused(refusal(argument)) };
                self.down(argument, Downlink::Settled { token: Token(0), outcome });
            }
            7 => self.take(device, usize::from(argument)),
            8 => self.event(argument),
            _ => {
                self.now_ms += u64::from(argument) * 100;
                self.last_timer = Deadline(self.now_ms);
                self.handle(Input::Timer);
            }
        }
        rest
    }

    /// What happens seldom.
    fn event(&mut self, argument: u8) {
        let device = usize::from(argument % DEVICES);
        match argument >> 3 {
            0..=3 => self.hang_up(device, CloseReason::Peer),
            4 => self.hang_up(device, CloseReason::Stalled),
            5 => self.handle(Input::Reconfigured),
            6 => self.handle(Input::Room),
            7 => self.handle(Input::Broker { reachable: true }),
            8 => self.handle(Input::Broker { reachable: false }),
            9 => self.down(argument, Downlink::Ended(Ending::TakenOver)),
            10 => self.post(argument),
            11 => {
                self.drained = true;
                self.handle(Input::Drain { until: Deadline(self.now_ms.saturating_add(10_000)) });
            }
            12..=14 => self.answer(Opinion::Allow { superuser: false }),
            15 => self.answer(Opinion::Deny),
            16 => {
                // As with an MQTT connection of its own, for whoever waits for one.
                let waiting = self.machine.keys().find(|key| key.slot == u32::from(argument & 7));
                let applicant = Token(waiting.unwrap_or(Key { slot: 0, generation: 9 }).to_bits());
                let link = Some(OwnLink(Key { slot: 1, generation: 0 }));
                self.handle(Input::Decided { applicant, verdict: Ok(&Identity::default()), link });
            }
            _ => {}
        }
        for at in 0..self.lines.len() {
            self.offer(at);
        }
    }

    /// The store's word about who has waited longest.
    fn answer(&mut self, opinion: Opinion) {
        let now = self.now();
        if let Some(question) = self.bridge.take_question() {
            self.bridge.answer(now, Answer { id: question.id, opinion });
        }
        self.turn();
        while let Some((applicant, verdict)) = self.decided.pop_front() {
            let verdict = verdict.as_ref().map_err(|why| *why);
            self.handle(Input::Decided { applicant, verdict, link: None });
        }
    }

    pub(crate) fn send(&mut self, device: usize, listener: u16, bytes: &[u8]) {
        if self.lines.get(device).is_some_and(Option::is_none) {
            let port = u16::try_from(device).unwrap_or(0);
            let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
            let peer = Peer::plain(ListenerId(listener), addr, None);
            let Some(conn) = self.streams.open(peer, MARKS) else { return };
            if let Some(line) = self.lines.get_mut(device) {
                *line = Some(Line { conn, peer, unread: Vec::new(), heard: Vec::new() });
            }
            self.handle(Input::Opened { conn, peer, proven: Proven::default() });
        }
        if let Some(Some(line)) = self.lines.get_mut(device) {
            line.unread.extend_from_slice(bytes);
        }
        self.offer(device);
    }

    /// What a device has sent is offered, while the machine takes of it.
    fn offer(&mut self, device: usize) {
        while let Some(Some(line)) = self.lines.get_mut(device) {
            if line.unread.is_empty() || !self.streams.reads(line.conn) {
                return;
            }
            let (conn, bytes) = (line.conn, std::mem::take(&mut line.unread));
            let handled = self.hear(Input::Stream { conn, bytes: &bytes });
            let taken = match handled {
                Handled::Here => bytes.len(),
                Handled::Took(octets) => octets,
                Handled::Elsewhere(shard) => {
                    assert_eq!(shard, ShardId(1), "nobody lives there");
                    self.streams.remove(conn);
                    if let Some(line) = self.lines.get_mut(device) {
                        *line = None;
                    }
                    return;
                }
            };
            assert!(taken <= bytes.len(), "it took more than there was");
            if let Some(Some(line)) = self.lines.get_mut(device) {
                line.unread = bytes.get(taken..).unwrap_or_default().to_vec();
            }
            if taken == 0 {
                return;
            }
        }
    }

    /// A device takes some of what it is sent.
    pub(crate) fn take(&mut self, device: usize, most: usize) {
        let Some(Some(line)) = self.lines.get_mut(device) else { return };
        let conn = line.conn;
        let pending = self.streams.pending(conn);
        let taken = most.min(pending.len());
        line.heard.extend_from_slice(pending.get(..taken).unwrap_or_default());
        if line.peer.listener == ListenerId(0) {
            only_frames(&mut line.heard);
        }
        if self.streams.written(conn, taken) {
            self.handle(Input::Writable { conn });
        }
        self.offer(device);
    }

    pub(crate) fn hang_up(&mut self, device: usize, why: CloseReason) {
        let Some(line) = self.lines.get_mut(device).and_then(Option::take) else { return };
        let closing = self.streams.is_closing(line.conn);
        self.streams.remove(line.conn);
        if !closing {
            self.handle(Input::Closed { conn: line.conn, why });
        }
    }

    /// A message for the connection in slot `argument` & 7, or from the subscription for all.
    fn message(&mut self, argument: u8) {
        let texts = ["tcp/a/dn", "tcp/b/dn", "tcp/far/dn", "tcp/nobody/dn"];
        let text = texts.get(usize::from(argument >> 4 & 3)).copied().unwrap_or("tcp/a/dn");
        let Ok(topic) = TopicName::try_from(text) else { return };
        let qos = if argument & 0x80 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
        let expiry_s = (argument & 0x40 != 0).then_some(3);
        let payload = [argument; 12];
        let message = Shared::new(Publication { topic, payload: &payload, qos, retain: false, expiry_s });
        let delivery = Delivery { message: &message, qos, subscription: Token(0), receipt: None };
        if argument & 0x08 == 0 {
            self.handle(Input::Down { client: Token(u64::MAX - 1), down: Downlink::Message(delivery) });
        } else {
            self.receipts += 1;
            let link = OwnLink(Key { slot: 1, generation: 0 });
            let receipt = (qos != Qos::AtMostOnce).then_some(Receipt { link, number: self.receipts, again: false });
            self.down(argument, Downlink::Message(Delivery { receipt, ..delivery }));
        }
        assert!(self.posts.drain(..).all(|post| &*post.client == ELSEWHERE), "sent to where nobody lives");
    }

    /// Another shard has had a message for a device of this one.
    fn post(&mut self, argument: u8) {
        let client = if argument & 1 == 0 { "a" } else { "b" };
        let topic = format!("tcp/{client}/dn");
        let Ok(topic) = TopicName::try_from(topic.as_str()) else { return };
        let qos = Qos::AtLeastOnce;
        let message = Publication { topic, payload: b"posted", qos, retain: false, expiry_s: Some(3) };
        let message = Arc::new(Stored::copy(&message, self.now()));
        let post = Post { to: ShardId(0), gateway: GatewayId(0), client: client.into(), message, qos };
        self.handle(Input::Posted(&post));
    }

    fn down(&mut self, argument: u8, down: Downlink<'_>) {
        // The slot's tenant now: a key that is stale must be, and is tried too.
        let slot = u32::from(argument & 7);
        let tenant = self.machine.keys().find(|key| key.slot == slot);
        let client = Token(tenant.unwrap_or(Key { slot, generation: 0 }).to_bits());
        self.handle(Input::Down { client, down });
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        assert_eq!(self.hear(input), Handled::Here);
    }

    fn hear(&mut self, input: Input<'_>) -> Handled {
        let now = self.now();
        let mut cx = Cx {
            now,
            rng: &mut self.rng,
            out: &mut self.out,
            streams: &mut self.streams,
            posts: &mut self.posts,
            bridge: &mut self.bridge,
            owners: &self.owners,
            gates: &self.gates,
            journal: &mut self.journal,
        };
        let handled = self.machine.handle(&mut cx, input);
        assert!(self.out.is_empty(), "a datagram, from streams");
        self.turn();
        handled
    }

    /// What the link has to say is heard; what it would write is lost.
    fn turn(&mut self) {
        let now = self.now();
        self.bridge.settle(now);
        while let Some(notice) = self.bridge.take_notice() {
            if let Notice::Decided { applicant, verdict, .. } = notice {
                self.decided.push_back((applicant, verdict));
            }
        }
        if let Some(link) = self.bridge.link_mut(LinkId::shared(0)) {
            let length = link.pending().len();
            link.written(length);
        }
    }

    pub(crate) fn check(&mut self) {
        // What was closed goes, once it has had what is pending.
        for device in 0..self.lines.len() {
            let closing = |line: &Line| self.streams.is_closing(line.conn);
            if self.lines.get(device).and_then(Option::as_ref).is_some_and(closing) {
                self.take(device, usize::MAX);
                self.hang_up(device, CloseReason::Peer);
            }
        }
        let open: Vec<ConnRef> = self.lines.iter().flatten().map(|line| line.conn).collect();
        self.machine.check(&self.streams, &open);
        assert!(self.machine.next_deadline().is_none_or(|at| at > self.last_timer), "a deadline was left behind");
        for line in self.lines.iter().flatten() {
            // One message more than the mark, and small answers.
            assert!(self.streams.pending(line.conn).len() < 200, "what a device does not take piles up");
        }
        assert!(!self.drained || self.machine.sessions() <= usize::from(DEVICES), "new ones while it stops");
    }

    /// When all devices have hung up nothing stays behind.
    fn end(&mut self) {
        for device in 0..self.lines.len() {
            self.hang_up(device, CloseReason::Broken);
        }
        self.check();
        assert_eq!((self.machine.sessions(), self.machine.keys().count()), (0, 0), "a connection outlives its device");
        assert_eq!(self.machine.next_deadline(), None, "a timer outlives its connection");
        for id in ["a", "b"] {
            let owed = self.machine.lingering.has(id);
            assert_eq!(self.owners.locate(GatewayId(0), id) == Owner::Here, owed, "{id} lives on, or does not");
        }
    }

    const fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: self.now_ms }
    }
}

/// Takes whole frames off `heard`.
///
/// # Panics
/// When it holds something else.
fn only_frames(heard: &mut Vec<u8>) {
    while let Some((_, used)) = FromGateway::decode(heard).unwrap_or_else(|fault| wrong(heard, &fault.to_string())) {
        heard.drain(..used);
    }
}

#[expect(clippy::panic, reason = "what was sent is no frame: a bug in this crate")]
fn wrong(heard: &[u8], fault: &str) -> ! {
    panic!("sent what is no frame: {fault}: {heard:02x?}");
}

const fn refusal(argument: u8) -> Refusal {
    match argument >> 3 & 3 {
        0 => Refusal::NotAuthorised { disconnect: true },
        1 => Refusal::NotAuthorised { disconnect: false },
        2 => Refusal::BrokerAway,
        _ => Refusal::Broker(0x80),
    }
}

fn bridge(asks: bool) -> BridgeSettings {
    let entries = vec![ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) }];
    let auth = AuthRules { entries: if asks { entries } else { Vec::new() }, ..AuthRules::default() };
    let rules = || Template::parse("", Literals::TopicName).ok().map(ListenerRules::new);
    BridgeSettings {
        links: vec![LinkSettings {
            client_id: "tidegate-n-0".to_owned(),
            username: String::new(),
            password: Password::default(),
            keepalive_s: 0,
            max_inflight: 4,
            max_packet_size: 1 << 16,
            version: VersionChoice::V5OrOlder,
            servers: vec!["h:1883".into()],
            will: None,
            session_expiry_s: 3600,
            scope: SessionScope::Process,
            queue: QueueLimits { max_bytes: 4096, max_messages: 8 },
        }],
        listeners: [rules(), rules()].into_iter().flatten().collect(),
        node: "n".into(),
        status: None,
        policy: Policy { auth: Arc::new(auth), ..Policy::default() },
        seed: 7,
    }
}
