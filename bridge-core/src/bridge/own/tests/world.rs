//! A bridge whose clients have links of their own, a model broker, and the bytes between them.

use crate::auth::AuthRules;
use crate::bridge::own::OwnLinks;
use crate::bridge::{Bridge, BridgeSettings, LinkId, ListenerRules, NodeStatus, Notice, Policy};
use crate::link::{Closed, LinkSettings, Password as LinkPassword, QueueLimits, SessionScope, VersionChoice, Wish};
use crate::peer::{GatewayId, ListenerId, Proven};
use crate::publication::Publication;
use crate::template::{Literals, Template};
use crate::time::Now;
use crate::topic::{ClientId, TopicFilter, TopicName};
use crate::uplink::{
    Admission, Applicant, ClientRef, Connect, Ending, Identity, OwnLink, Password, Receipt, Refusal, SessionWish,
    Taken, Token, Uplink,
};
use codec_mqtt::Qos;
use std::collections::BTreeMap;
use std::sync::Arc;
use support::broker::{Options, SimBroker};

pub(super) const SN: GatewayId = GatewayId(0);

/// What a device was handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handed {
    pub(super) client: u64,
    pub(super) text: String,
    pub(super) subscription: Token,
    pub(super) receipt: Option<Receipt>,
}

pub(super) struct World {
    pub(super) bridge: Bridge,
    pub(super) broker: SimBroker,
    pub(super) conns: BTreeMap<LinkId, u64>,
    next_conn: u64,
    pub(super) now: Now,
    pub(super) notices: Vec<Notice>,
    pub(super) handed: Vec<Handed>,
    /// Connections begun, with their times.
    pub(super) begun: Vec<u64>,
    /// CONNECT of each.
    pub(super) introduced: Vec<Vec<u8>>,
    /// Connections that are made and hear nothing from the broker.
    pub(super) mute: bool,
}

pub(super) fn link() -> LinkSettings {
    LinkSettings {
        client_id: "tidegate-n-0".into(),
        username: String::new(),
        password: LinkPassword::default(),
        keepalive_s: 60,
        max_inflight: 64,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 3600,
        scope: SessionScope::Process,
        queue: QueueLimits { max_bytes: 1 << 20, max_messages: 10 },
    }
}

pub(super) const CLEAN: SessionWish = SessionWish { clean: true, keepalive_s: 30, expiry_s: 0 };
pub(super) const KEPT: SessionWish = SessionWish { clean: false, keepalive_s: 30, expiry_s: 900 };

impl World {
    pub(super) fn new(options: Options) -> Self {
        Self::with(options, 0, AuthRules::default())
    }

    pub(super) fn with(options: Options, connect_rate: u32, auth: AuthRules) -> Self {
        let own_links = Some(OwnLinks { like: link(), connect_rate });
        let bridge = Bridge::new(BridgeSettings {
            links: vec![link()],
            listeners: vec![ListenerRules::new(Template::parse("site/", Literals::TopicName).unwrap())],
            node: "n".into(),
            policy: Policy { own_links, auth: Arc::new(auth), ..Policy::default() },
            status: Some(NodeStatus::under("tidegate/n", Qos::AtLeastOnce).unwrap()),
            seed: 1,
        });
        let mut world = Self {
            bridge,
            broker: SimBroker::new(options),
            conns: BTreeMap::new(),
            next_conn: 1,
            now: Now { mono_ms: 1000, wall_ms: 0 },
            notices: Vec::new(),
            handed: Vec::new(),
            begun: Vec::new(),
            introduced: Vec::new(),
            mute: false,
        };
        world.bridge.lines.mark(LinkId::shared(0));
        world.wait(2000);
        world.notices.clear();
        world.begun.clear();
        world.introduced.clear();
        world
    }

    /// Lets bytes flow until all is quiet.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            self.bridge.settle(self.now);
            let mut busy = false;
            while let Some(notice) = self.bridge.take_notice() {
                busy = true;
                self.notices.push(notice);
            }
            while let Some(link) = self.bridge.take_touched_line() {
                busy |= self.drive(link);
            }
            let open: Vec<LinkId> = self.conns.keys().copied().collect();
            for link in open {
                busy |= self.drive(link);
            }
            if !busy {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn drive(&mut self, id: LinkId) -> bool {
        let now = self.now;
        let Some(link) = self.bridge.link_mut(id) else {
            if let Some(conn) = self.conns.remove(&id) {
                self.broker.disconnect(conn);
            }
            return false;
        };
        match link.wish() {
            Wish::Nothing => {}
            Wish::Open { .. } => {
                self.open(id);
                return true;
            }
            Wish::Close => {
                if let Some(conn) = self.conns.remove(&id) {
                    self.broker.disconnect(conn);
                }
                link.closed(now, Closed::Broken, "closed");
                return true;
            }
        }
        let Some(&conn) = self.conns.get(&id) else { return false };
        let out = link.pending().to_vec();
        link.written(out.len());
        if out.first() == Some(&0x10) {
            self.introduced.push(out.clone());
        }
        if self.mute {
            return !out.is_empty();
        }
        self.broker.receive(conn, &out);
        self.hear(id, conn) || !out.is_empty()
    }

    /// A link that wishes it is connected; its CONNECT is yet to leave.
    pub(super) fn open(&mut self, id: LinkId) {
        let now = self.now;
        let link = self.bridge.link_mut(id).unwrap();
        link.opening(now);
        self.begun.push(now.mono_ms);
        if self.broker.connect(self.next_conn) {
            self.conns.insert(id, self.next_conn);
            self.next_conn += 1;
            link.opened(now);
        } else {
            link.closed(now, Closed::Refused, "connection refused");
        }
    }

    fn hear(&mut self, id: LinkId, conn: u64) -> bool {
        let now = self.now;
        let back = self.broker.take_output(conn);
        let mut at = 0;
        loop {
            let (took, arrival) = self.bridge.receive(now, id, &back[at..]);
            at += took;
            let Some(arrival) = arrival else { break };
            arrival.hand_out(|to, message| {
                let text = format!("{} {}", message.view().topic, String::from_utf8_lossy(message.view().payload));
                self.handed.push(Handed {
                    client: to.client.0,
                    text,
                    subscription: to.subscription,
                    receipt: to.receipt,
                });
            });
            let due = self.bridge.handed_out(arrival);
            self.bridge.acknowledge(id, due);
        }
        if !self.broker.is_open(conn) && self.conns.get(&id) == Some(&conn) {
            self.conns.remove(&id);
            self.broker.disconnect(conn);
            if let Some(link) = self.bridge.link_mut(id) {
                link.closed(now, Closed::Orderly, "closed by the broker");
            }
            return true;
        }
        !back.is_empty()
    }

    pub(super) fn wait(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        loop {
            self.settle();
            if self.now.mono_ms >= end {
                return;
            }
            let next = self.bridge.next_deadline().map_or(end, |deadline| deadline.0.clamp(self.now.mono_ms + 1, end));
            self.now.mono_ms = next;
            self.bridge.timer(self.now);
        }
    }

    /// A connection breaks, and the broker notices.
    pub(super) fn cut(&mut self, link: LinkId) {
        let conn = self.conns.remove(&link).unwrap();
        self.broker.disconnect(conn);
        self.bridge.link_mut(link).unwrap().closed(self.now, Closed::Broken, "reset");
        self.settle();
    }

    /// The broker goes down; all links notice.
    pub(super) fn go_down(&mut self) {
        self.broker.set_down();
        for (link, _) in std::mem::take(&mut self.conns) {
            if let Some(link) = self.bridge.link_mut(link) {
                link.closed(self.now, Closed::Orderly, "closed by the broker");
            }
        }
        self.settle();
    }

    pub(super) fn ask(&mut self, applicant: u64, id: &str, wish: SessionWish) -> Admission {
        let who = Applicant {
            gateway: SN,
            listener: ListenerId(0),
            id: ClientId::try_from(id).unwrap(),
            username: "ann",
            password: Password(b"secret"),
            address: None,
            proven: Proven::default(),
            wants: Some(wish),
        };
        self.bridge.admit(self.now, Token(applicant), &who)
    }

    /// What the applicant was told, if it was.
    pub(super) fn verdict(&mut self, applicant: u64) -> Option<Result<OwnLink, Refusal>> {
        let of = |notice: &Notice| matches!(notice, Notice::Decided { applicant: Token(a), .. } if *a == applicant);
        let at = self.notices.iter().position(of)?;
        match self.notices.remove(at) {
            Notice::Decided { verdict, link, .. } => Some(verdict.map(|_| link.unwrap())),
            _ => None,
        }
    }

    /// It is let in by the broker, and waits to be taken.
    pub(super) fn admit(&mut self, applicant: u64, id: &str, wish: SessionWish) -> OwnLink {
        assert_eq!(self.ask(applicant, id, wish), Admission::Parked);
        self.settle();
        self.verdict(applicant).expect("a verdict").expect("let in")
    }

    pub(super) fn connect(&mut self, handle: u64, id: &str, link: OwnLink) -> Result<ClientRef, Refusal> {
        let who = Connect {
            gateway: SN,
            listener: ListenerId(0),
            id: ClientId::try_from(id).unwrap(),
            identity: &Identity::default(),
            address: None,
            connectionless: false,
            link: Some(link),
        };
        let client = self.bridge.connect(Token(handle), &who);
        self.settle();
        client
    }

    /// It comes in, under `handle`.
    pub(super) fn enter(&mut self, handle: u64, id: &str, wish: SessionWish) -> (ClientRef, LinkId) {
        let link = self.admit(handle, id, wish);
        (self.connect(handle, id, link).unwrap(), LinkId(link.0))
    }

    pub(super) fn up(&mut self, client: ClientRef, uplink: Uplink<'_>) -> Taken {
        let taken = self.bridge.up(self.now, client, uplink);
        self.settle();
        taken
    }

    /// What needs no answer.
    pub(super) fn say(&mut self, client: ClientRef, uplink: Uplink<'_>) {
        assert_eq!(self.up(client, uplink), Taken::Done);
    }

    pub(super) fn try_subscribe(&mut self, client: ClientRef, token: u64, filter: &str) -> Taken {
        let filter = TopicFilter::try_from(filter).unwrap();
        let (token, qos, retained) = (Token(token), Qos::ExactlyOnce, true);
        self.up(client, Uplink::Subscribe { token, filter, qos, retained })
    }

    pub(super) fn subscribe(&mut self, client: ClientRef, token: u64, filter: &str) {
        assert_eq!(self.try_subscribe(client, token, filter), Taken::Owed);
    }

    pub(super) fn publish(&mut self, client: ClientRef, token: u64, text: &str) -> Taken {
        self.up(client, Uplink::Publish { token: Some(Token(token)), what: message("up", text, Qos::AtLeastOnce) })
    }

    pub(super) fn ended(&self, handle: u64) -> Vec<Ending> {
        let of = |notice: &Notice| match notice {
            Notice::Ended { client: Token(client), why, .. } if *client == handle => Some(*why),
            _ => None,
        };
        self.notices.iter().filter_map(of).collect()
    }

    pub(super) fn texts(&mut self, client: u64) -> Vec<String> {
        let handed = std::mem::take(&mut self.handed);
        handed.into_iter().filter(|handed| handed.client == client).map(|handed| handed.text).collect()
    }

    pub(super) fn counted(&self, family: &str, label: &str) -> u64 {
        let of_family = |(series, _): &(&crate::meter::Series, u64)| {
            series.family.name == family && series.labels.iter().any(|(_, value)| *value == label)
        };
        self.bridge.meters().iter().map(|meter| meter.read().filter(of_family).map(|(_, n)| n).sum::<u64>()).sum()
    }
}

pub(super) fn message<'a>(topic: &'a str, payload: &'a str, qos: Qos) -> Publication<'a> {
    let topic = TopicName::try_from(topic).unwrap();
    Publication { topic, payload: payload.as_bytes(), qos, retain: false, expiry_s: None }
}
