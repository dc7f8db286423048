//! A bridge, its links and a model broker, with the bytes between them carried by hand.

use super::super::*;
use crate::link::{Closed, LinkSettings, Password, QueueLimits, SessionScope, VersionChoice, Wish};
use crate::peer::ListenerId;
use crate::template::{Literals, Template};
use crate::topic::{ClientId, TopicFilter, TopicName};
use support::broker::{Message, Options, SimBroker};

pub(super) const SN: GatewayId = GatewayId(0);

/// What a device was handed: machine's number, topic, payload, QoS.
pub(super) type Handed = (u64, String, Vec<u8>, Qos);

pub(super) struct World {
    pub(super) bridge: Bridge,
    pub(super) broker: SimBroker,
    pub(super) conns: Vec<Option<u64>>,
    pub(super) next_conn: u64,
    pub(super) now: Now,
    pub(super) notices: Vec<Notice>,
    pub(super) handed: Vec<Handed>,
}

pub(super) fn link(number: usize) -> LinkSettings {
    LinkSettings {
        client_id: format!("tidegate-n-{number}"),
        username: String::new(),
        password: Password::default(),
        keepalive_s: 60,
        max_inflight: 64,
        max_packet_size: 1 << 20,
        version: VersionChoice::V5OrOlder,
        servers: vec!["h:1883".into()],
        will: None,
        session_expiry_s: 3600,
        scope: SessionScope::Process,
        queue: QueueLimits { max_bytes: 1 << 20, max_messages: 100 },
    }
}

impl World {
    pub(super) fn new(links: usize, mountpoint: &str, options: Options) -> Self {
        Self::with_policy(links, mountpoint, options, Policy::default())
    }

    pub(super) fn with_policy(links: usize, mountpoint: &str, options: Options, policy: Policy) -> Self {
        let mut world = Self::with((0..links).map(link).collect(), mountpoint, SimBroker::new(options), policy);
        world.settle();
        world
    }

    /// Before the first connection.
    pub(super) fn with(links: Vec<LinkSettings>, mountpoint: &str, broker: SimBroker, policy: Policy) -> Self {
        let conns = vec![None; links.len()];
        let rules = ListenerRules::new(Template::parse(mountpoint, Literals::TopicName).unwrap());
        let bridge = Bridge::new(BridgeSettings {
            links,
            listeners: vec![rules],
            node: "n".into(),
            policy,
            status: Some(NodeStatus::under("tidegate/n", Qos::AtLeastOnce).unwrap()),
            seed: 1,
        });
        let now = Now { mono_ms: 1000, wall_ms: 0 };
        Self { bridge, broker, conns, next_conn: 1, now, notices: Vec::new(), handed: Vec::new() }
    }

    /// Lets bytes flow until all is quiet.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            let mut busy = false;
            for number in 0..self.conns.len() {
                busy |= self.drive(number);
            }
            self.bridge.settle(self.now);
            while let Some(notice) = self.bridge.take_notice() {
                busy = true;
                self.notices.push(notice);
            }
            if !busy {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    pub(super) fn drive(&mut self, number: usize) -> bool {
        let id = LinkId::shared(u16::try_from(number).unwrap());
        let now = self.now;
        let link = self.bridge.link_mut(id).unwrap();
        match link.wish() {
            Wish::Nothing => {}
            Wish::Open { .. } => {
                link.opening(now);
                if self.broker.connect(self.next_conn) {
                    self.conns[number] = Some(self.next_conn);
                    self.next_conn += 1;
                    link.opened(now);
                } else {
                    link.closed(now, Closed::Refused, "connection refused");
                }
                return true;
            }
            Wish::Close => {
                self.broker.disconnect(self.conns[number].take().unwrap());
                link.closed(now, Closed::Broken, "closed");
                return true;
            }
        }
        let Some(conn) = self.conns[number] else { return false };
        let out = link.pending().to_vec();
        link.written(out.len());
        self.broker.receive(conn, &out);
        let back = self.broker.take_output(conn);
        let mut at = 0;
        loop {
            let (took, arrival) = self.bridge.receive(now, id, &back[at..]);
            at += took;
            let Some(arrival) = arrival else { break };
            arrival.hand_out(|to, message| {
                let view = message.view();
                self.handed.push((to.client.0, view.topic.to_string(), view.payload.to_vec(), to.qos));
            });
            let due = self.bridge.handed_out(arrival);
            self.bridge.acknowledge(id, due);
        }
        if !self.broker.is_open(conn) {
            self.conns[number] = None;
            self.broker.disconnect(conn);
            self.bridge.link_mut(id).unwrap().closed(now, Closed::Broken, "reset");
            return true;
        }
        !out.is_empty() || !back.is_empty()
    }

    /// The broker goes down with all that it remembers, and the links notice.
    pub(super) fn crash(&mut self) {
        self.broker.set_down();
        for number in 0..self.conns.len() {
            if self.conns[number].take().is_some() {
                let id = LinkId::shared(u16::try_from(number).unwrap());
                self.bridge.link_mut(id).unwrap().closed(self.now, Closed::Broken, "reset");
            }
        }
        self.settle();
    }

    pub(super) fn wait(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.now.mono_ms < end {
            let next = self.bridge.next_deadline().map_or(end, |deadline| deadline.0.clamp(self.now.mono_ms + 1, end));
            self.now.mono_ms = next;
            self.bridge.timer(self.now);
            self.settle();
        }
    }

    pub(super) fn connect(&mut self, handle: u64, id: &str) -> Result<ClientRef, Refusal> {
        let who = Connect {
            gateway: SN,
            listener: ListenerId(0),
            id: ClientId::try_from(id).unwrap(),
            identity: &Identity::default(),
            address: None,
            connectionless: false,
            link: None,
        };
        self.bridge.connect(Token(handle), &who)
    }

    pub(super) fn up(&mut self, client: ClientRef, uplink: Uplink<'_>) -> Taken {
        let taken = self.bridge.up(self.now, client, uplink);
        self.settle();
        taken
    }

    pub(super) fn try_subscribe(&mut self, client: ClientRef, filter: &str, qos: Qos) -> Taken {
        let filter = TopicFilter::try_from(filter).unwrap();
        self.up(client, Uplink::Subscribe { token: Token(9), filter, qos, retained: true })
    }

    pub(super) fn subscribe(&mut self, client: ClientRef, filter: &str, qos: Qos) {
        assert_eq!(self.try_subscribe(client, filter, qos), Taken::Owed);
    }

    pub(super) fn broadcast(&mut self, topic: &str, payload: &str, qos: Qos, retain: bool) -> Vec<Handed> {
        self.broker.publish(Message { retain, ..Message::new(topic, payload, qos) });
        self.settle();
        std::mem::take(&mut self.handed)
    }
}

pub(super) fn message<'a>(topic: &'a str, payload: &'a str, qos: Qos) -> Publication<'a> {
    let topic = TopicName::try_from(topic).unwrap();
    Publication { topic, payload: payload.as_bytes(), qos, retain: false, expiry_s: None }
}

pub(super) fn granted(notices: &[Notice], handle: u64) -> Vec<Result<Qos, Refusal>> {
    let of = |notice: &Notice| match notice {
        Notice::Subscribed { client, granted, .. } if client.0 == handle => Some(*granted),
        _ => None,
    };
    notices.iter().filter_map(of).collect()
}
