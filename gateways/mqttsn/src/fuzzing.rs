//! The fuzz target's body, here so that a stable test replays the corpus: operations on a virtual clock, then the
//! invariants.

use crate::config::{MqttsnConfig, SleepLink};
use crate::machine::Mqttsn;
use bridge_core::Qos;
use bridge_core::auth::{AuthRules, ChainEntry, EntryKind, StoreId};
use bridge_core::bridge::{Bridge, BridgeSettings, LinkId, Policy};
use bridge_core::downlink::{Delivery, Downlink, Outcome};
use bridge_core::gate::{Gate, Gates};
use bridge_core::journal::Journal;
use bridge_core::link::{LinkSettings, Password, QueueLimits, SessionScope, VersionChoice};
use bridge_core::machine::{Cx, Frozen, Input, Machine};
use bridge_core::outbox::{Outbox, Post};
use bridge_core::owners::{Directory, Owners};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ShardId};
use bridge_core::publication::{Publication, Shared};
use bridge_core::rng::Rng;
use bridge_core::slab::Key;
use bridge_core::streams::Streams;
use bridge_core::time::{Deadline, Now};
use bridge_core::topic::TopicName;
use bridge_core::uplink::{Ending, Identity, OwnLink, Receipt, Refusal, Token};
use settings::HumanDuration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Topics that one session may have, small enough to be reached.
const MAX_TOPICS: u16 = 4;
/// Sessions that each listener lets in.
const MAX_SESSIONS: u32 = 5;
/// The second asks somebody about each client.
const LISTENERS: [ListenerId; 2] = [ListenerId(0), ListenerId(1)];
/// CONNACK of MQTT 5.0: a new session, success, no properties.
const CONNACK: &[u8] = &[0x20, 0x03, 0x00, 0x00, 0x00];
/// Topics that come down: two octets, predefined, and more than a session can register.
const TOPICS: [&str; 8] = ["ab", "p/1", "t/0", "t/1", "t/2", "t/3", "t/4", "t/5"];

/// Reads `data` as operations on a machine, one after the other: datagrams of some devices, what the broker side may
/// say, and time that passes. After each, what must always hold is checked.
///
/// # Panics
/// When an invariant does not hold: a bug in this crate.
pub fn machine(data: &[u8]) {
    let mut bench = Bench::new();
    let mut rest = data;
    while let Some((&[op, argument], tail)) = rest.split_first_chunk() {
        rest = bench.apply(op, argument, tail);
        bench.machine.check();
        // Whatever is due was done.
        assert!(bench.machine.next_deadline().is_none_or(|at| at > bench.last_timer), "a deadline was left behind");
    }
    bench.survives();
    bench.end();
}

pub(crate) struct Bench {
    pub(crate) machine: Mqttsn,
    bridge: Bridge,
    out: Outbox,
    streams: Streams,
    posts: Vec<Post>,
    owners: Owners,
    gates: Gates,
    journal: Journal,
    rng: Rng,
    pub(crate) now_ms: u64,
    last_timer: Deadline,
    /// Messages that came with a receipt.
    receipts: u32,
    /// What the devices were told last.
    pub(crate) said: Vec<Vec<u8>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let config = MqttsnConfig {
            predefined: [(1, "p/1".to_owned()), (2, "p/2".to_owned())].into(),
            max_topics: MAX_TOPICS,
            retry_interval: HumanDuration::from_secs(2),
            max_retries: 1,
            session_expiry: HumanDuration::from_secs(120),
            sleep_link: SleepLink::Drop,
            idle_timeout: HumanDuration::from_secs(5),
            ..MqttsnConfig::default()
        };
        let mut this = Self {
            machine: Mqttsn::new(GatewayId(0), config, LISTENERS.to_vec(), 7),
            bridge: Bridge::new(bridge()),
            out: Outbox::default(),
            streams: Streams::default(),
            posts: Vec::new(),
            owners: Owners::new(Arc::new(Directory::default()), ShardId(0)),
            gates: Gates::new(LISTENERS.map(|_| Gate::new(MAX_SESSIONS, 0)).into()),
            journal: Journal::new(true),
            rng: Rng::seeded(7),
            now_ms: 0,
            last_timer: Deadline(0),
            receipts: 0,
            said: Vec::new(),
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
        match op % 8 {
            // A datagram of `length` octets.
            0..=3 => {
                let (length, tail) =
                    rest.split_first().map_or((0, rest), |(&length, tail)| (usize::from(length), tail));
                let (bytes, tail) = tail.split_at_checked(length).unwrap_or((tail, &[]));
                self.handle(Input::Datagram { peer: peer(argument), proven: Proven::default(), bytes });
                return tail;
            }
            4 => self.message(argument),
            5 => {
                let granted = if argument & 0x80 == 0 { Ok(Qos::AtLeastOnce) } else { Err(Refusal::Broker(0x80)) };
                self.down(argument, Downlink::Subscribed { token: Token(u64::from(argument >> 3 & 7)), granted });
            }
            6 if argument & 0x40 != 0 => self.decide(argument),
            6 => {
                let accepted = argument & 0x80 == 0;
                let outcome = if accepted { Outcome::Acknowledged } else { Outcome::Refused(Refusal::TooLarge) };
                self.down(argument, Downlink::Settled { token: Token(u64::from(argument >> 3 & 7)), outcome });
            }
            _ if argument >= 0xF0 => self.event(argument),
            _ => {
                self.now_ms += u64::from(argument) * 100;
                self.last_timer = Deadline(self.now_ms);
                self.handle(Input::Timer);
            }
        }
        rest
    }

    /// What happens seldom: the configuration is read anew, the process is to stop, an association ends or moves, the
    /// broker ends a client's own connection.
    fn event(&mut self, argument: u8) {
        match argument {
            0xFE | 0xFF => self.handle(Input::Reconfigured),
            0xFD => self.handle(Input::Drain { until: Deadline(self.now_ms.saturating_add(10_000)) }),
            0xF9..=0xFC => self.handle(Input::PeerClosed { peer: peer(argument) }),
            0xF8 => self.handle(Input::PeerMoved { from: peer(argument), to: peer(argument) }),
            0xF4..=0xF7 => self.down(argument & 3, Downlink::Awake(Ok(()))),
            _ => self.down(argument & 3, Downlink::Ended(Ending::TakenOver)),
        }
    }

    /// A message for the session in slot `argument` & 7.
    fn message(&mut self, argument: u8) {
        let text = TOPICS.get(usize::from(argument >> 3 & 7)).copied().unwrap_or("ab");
        let Ok(topic) = TopicName::try_from(text) else { return };
        let qos = if argument & 0x80 == 0 { Qos::AtMostOnce } else { Qos::ExactlyOnce };
        let expiry_s = (argument & 0x40 != 0).then_some(3);
        let payload = [argument];
        let message = Shared::new(Publication { topic, payload: &payload, qos, retain: false, expiry_s });
        let receipt = (qos != Qos::AtMostOnce).then(|| self.receipt());
        self.down(argument, Downlink::Message(Delivery { message: &message, qos, subscription: Token(0), receipt }));
    }

    /// Of one connection or another: what is sent again over the other is here already.
    fn receipt(&mut self) -> Receipt {
        self.receipts += 1;
        let (number, link) = (self.receipts, OwnLink(Key { slot: self.receipts / 4 % 2, generation: 0 }));
        Receipt { link, number, again: number % 3 == 0 }
    }

    /// Who waits in slot `argument` & 7 may come in, with an MQTT connection of its own, or may not.
    fn decide(&mut self, argument: u8) {
        let slot = u32::from(argument & 7);
        let waits = self.machine.waiting.keys().find(|key| key.slot == slot);
        let applicant = Token(waits.unwrap_or(Key { slot, generation: 0 }).to_bits());
        let number = u32::from(argument >> 3 & 7);
        let link = (number > 0).then_some(OwnLink(Key { slot: number, generation: 0 }));
        let identity = Identity::default();
        let verdict = if argument & 0x80 == 0 { Ok(&identity) } else { Err(Refusal::Broker(0x86 + argument % 4)) };
        self.handle(Input::Decided { applicant, verdict, link });
    }

    fn down(&mut self, argument: u8, down: Downlink<'_>) {
        // The slot's tenant now: a key that is stale must be, and is tried too.
        let slot = u32::from(argument & 7);
        let tenant = self.machine.keys().find(|key| key.slot == slot);
        let client = Token(tenant.unwrap_or(Key { slot, generation: 0 }).to_bits());
        self.handle(Input::Down { client, down });
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
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
        let _here = self.machine.handle(&mut cx, input);
        self.said.clear();
        for (_, bytes) in self.out.iter() {
            self.said.push(bytes.to_vec());
            assert!(codec_mqttsn::decode(bytes).is_ok(), "sent what is no message: {bytes:02x?}");
        }
        self.out.clear();
        self.turn();
        let admitted = LISTENERS.map(|listener| self.gates.get(listener).map_or(0, Gate::sessions));
        let all = usize::try_from(admitted.iter().sum::<u32>());
        assert_eq!(all, Ok(self.machine.sessions()), "the gates count other sessions");
        assert!(admitted.iter().all(|&sessions| sessions <= MAX_SESSIONS), "more sessions than may be");
    }

    /// What the link has to say is heard; what it would write is lost.
    fn turn(&mut self) {
        let now = self.now();
        self.bridge.settle(now);
        while self.bridge.take_notice().is_some() {}
        if let Some(link) = self.bridge.link_mut(LinkId::shared(0)) {
            let length = link.pending().len();
            link.written(length);
        }
    }

    /// Written down and brought back, a session is what it was; and a record that was spoilt is no session, or one that
    /// keeps the rules.
    fn survives(&self) {
        let first = self.written();
        let second = self.next(&first);
        let again = second.written();
        let calm = |id: &str| self.machine.is_calm(id);
        for (id, record) in first.iter().filter(|(id, _)| calm(id)) {
            let other = again.iter().find(|(other, _)| other == id).map(|(_, other)| other);
            assert_eq!(other, Some(record), "{id} is not what it was");
        }
        assert_eq!(self.next(&again).written(), again, "it changes each time");
        let mut rng = Rng::seeded(self.now_ms);
        let spoilt = first.iter().map(|(id, record)| (id.clone(), spoil(&mut rng, record))).collect::<Vec<_>>();
        self.next(&spoilt);
    }

    /// What the store would have, in the order of the ids.
    fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for key in self.machine.keys() {
            let mut record = Vec::new();
            if let Frozen::Kept { id } = self.machine.freeze(self.now(), Token(key.to_bits()), &mut record) {
                all.push((id.to_owned(), record));
            }
        }
        all.sort();
        all
    }

    /// The next process.
    fn next(&self, records: &[(String, Vec<u8>)]) -> Self {
        let mut next = Self::new();
        next.now_ms = self.now_ms;
        for (id, record) in records {
            let mut cx = Cx {
                now: next.now(),
                rng: &mut next.rng,
                out: &mut next.out,
                streams: &mut next.streams,
                posts: &mut next.posts,
                bridge: &mut next.bridge,
                owners: &next.owners,
                gates: &next.gates,
                journal: &mut next.journal,
            };
            let before = next.machine.sessions();
            let thawed = next.machine.thaw(&mut cx, id, record);
            assert_eq!(next.machine.sessions(), before + usize::from(thawed.is_ok()), "a refused one changes nothing");
            next.machine.check();
        }
        let admitted: u32 = LISTENERS.iter().filter_map(|&listener| next.gates.get(listener)).map(Gate::sessions).sum();
        assert_eq!(usize::try_from(admitted), Ok(next.machine.sessions()), "the gates count other sessions");
        next
    }

    /// With time, every session ends, and nothing stays behind.
    fn end(&mut self) {
        for _ in 0..64 {
            let Some(at) = self.machine.next_deadline() else { break };
            self.now_ms = self.now_ms.max(at.0).saturating_add(200_000_000);
            self.handle(Input::Timer);
        }
        self.machine.check();
        for key in self.machine.keys() {
            assert!(self.machine.lives_without_end(key), "a session that nothing will end");
        }
    }

    const fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: self.now_ms }
    }
}

/// Changes one bit, or cuts it off somewhere.
fn spoil(rng: &mut Rng, record: &[u8]) -> Vec<u8> {
    let mut spoilt = record.to_vec();
    let place = usize::try_from(rng.below(record.len() as u64)).unwrap_or(0);
    if rng.chance(200) {
        spoilt.truncate(place);
    } else if let Some(octet) = spoilt.get_mut(place) {
        *octet ^= 1 << rng.below(8);
    }
    spoilt
}

pub(crate) fn peer(argument: u8) -> Peer {
    let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1000 + u16::from(argument & 7));
    Peer::plain(ListenerId(u16::from(argument >> 3 & 1)), addr, None)
}

fn bridge() -> BridgeSettings {
    let link = LinkSettings {
        client_id: "fuzz".to_owned(),
        username: String::new(),
        password: Password::default(),
        keepalive_s: 0,
        max_inflight: 4,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 0,
        scope: SessionScope::Process,
        queue: QueueLimits { max_bytes: 4096, max_messages: 16 },
    };
    let entries = vec![ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) }];
    let auth = AuthRules { entries, open_listeners: vec![ListenerId(0)], ..AuthRules::default() };
    BridgeSettings {
        links: vec![link],
        listeners: Vec::new(),
        node: "fuzz".into(),
        status: None,
        policy: Policy { auth: Arc::new(auth), ..Policy::default() },
        seed: 7,
    }
}
