//! The machine: a datagram finds its session, a session its rule.

use crate::base::{Alarm, Base};
use crate::config::MqttsnConfig;
use crate::counts::{Count, malformed, uplink};
use crate::publish_up::{Unfit, short_name};
use crate::session::{Next, State};
use crate::sessions::Sessions;
use crate::will::Told;
use bridge_core::Qos;
use bridge_core::ask::{Answer, Ask};
use bridge_core::downlink::Downlink;
use bridge_core::machine::{Cx, Frozen, Handled, Input, Machine, Unthawed};
use bridge_core::meter::Meter;
use bridge_core::peer::{GatewayId, ListenerId, Peer};
use bridge_core::publication::Publication;
use bridge_core::slab::Key;
use bridge_core::time::{Deadline, Now};
use bridge_core::topic::{ClientId, TopicName};
use bridge_core::uplink::{ClientRef, Connect, Identity, Taken, Token, Uplink};
use codec_mqttsn as sn;
use codec_mqttsn::{Message, Topic};
use std::sync::Arc;

/// All MQTT-SN clients of one shard.
#[derive(Debug)]
pub struct Mqttsn {
    pub(crate) base: Base,
    pub(crate) sessions: Sessions,
    pub(crate) draining: bool,
    /// Alarms that fire now; empty in between, kept for its memory.
    pub(crate) due: Vec<Alarm>,
    /// What publishes at QoS −1, by listener: the mountpoint is the listener's.
    connectionless: Vec<(ListenerId, Option<ClientRef>)>,
    /// The latest time that was handed in.
    latest_ms: u64,
}

/// The client id under which QoS −1 passes the rules, as with EMQX.
const CONNECTIONLESS_ID: &str = "NegQoS-Client";
/// A number that no session has.
const CONNECTIONLESS: Token = Token(u64::MAX);

impl Mqttsn {
    /// A machine without sessions. `listeners`: where datagrams may come from; `seed` keeps whoever chooses client ids
    /// and addresses from choosing their hashes.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a machine is made from its configuration once")]
    pub fn new(gateway: GatewayId, config: MqttsnConfig, listeners: Vec<ListenerId>, seed: u64) -> Self {
        Self {
            base: Base::new(gateway, &config),
            sessions: Sessions::new(seed),
            draining: false,
            due: Vec::new(),
            connectionless: listeners.into_iter().map(|listener| (listener, None)).collect(),
            latest_ms: 0,
        }
    }

    /// What this machine counts.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.base.counts.meter()
    }

    /// Keys of all sessions, in slot order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.sessions.iter().map(|(key, _)| key)
    }

    /// True for a connected client that need give no sign of life, and owes none.
    pub(crate) fn lives_without_end(&self, key: Key) -> bool {
        let session = self.sessions.get(key);
        session.is_some_and(|s| s.is_active() && s.keepalive_s == 0 && s.down.is_idle())
    }

    /// What always holds between two inputs.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) fn check(&self) {
        let (mut present, mut timers) = (0, 0);
        let mut states = [0_u64; 3];
        for (key, session) in self.sessions.iter() {
            assert_eq!(self.sessions.named(&session.id), Some(key), "a session is not found by its id");
            if session.is_present() {
                present += 1;
                assert_eq!(self.sessions.at(&session.peer), Some(key), "a session is not found by its address");
            }
            let [connecting, active, away] = &mut states;
            match session.state {
                State::Connecting(_) => *connecting += 1,
                State::Active { .. } => *active += 1,
                State::Away => *away += 1,
            }
            timers += session.check(&self.base);
        }
        assert_eq!(present, self.sessions.bound(), "addresses that no session has");
        assert_eq!(timers, self.base.wheel.len(), "timers that no session has");
        let gauges = [Count::Connecting, Count::Active, Count::Away].map(|gauge| self.base.counts.get(gauge));
        assert_eq!(states, gauges, "gauges that lie");
    }

    fn on_datagram(&mut self, cx: &mut Cx<'_>, peer: Peer, bytes: &[u8]) -> Handled {
        let frame = match sn::decode(bytes) {
            Ok(frame) => frame,
            Err(fault) => {
                self.base.counts.up(malformed(&fault));
                tracing::trace!(protocol = "mqttsn", peer = %peer.addr, reason = fault.reason(), "malformed");
                return Handled::Here;
            }
        };
        let message = frame.message;
        self.base.counts.up(uplink(&message));
        if frame.via.is_some() {
            self.base.counts.up(Count::ForwarderUnsupported);
            return Handled::Here;
        }
        match &message {
            Message::Publish(publish) if publish.qos == sn::Qos::MinusOne => {
                self.on_connectionless(cx, peer.listener, publish);
            }
            Message::Connect(connect) => return self.on_connect(cx, peer, connect),
            Message::SearchGw { .. } => {
                let gateway = self.base.rules.gateway_id;
                self.base.say(cx, peer, &Message::GwInfo { gateway, address: &[] });
            }
            _ if uplink(&message) == Count::UpGateways => {}
            _ => match self.sessions.at(&peer) {
                Some(key) => self.on_frame(cx, key, peer, &message),
                None => self.on_stranger(cx, peer, &message),
            },
        }
        Handled::Here
    }

    /// A frame of a client that is present.
    fn on_frame(&mut self, cx: &mut Cx<'_>, key: Key, peer: Peer, message: &Message<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.peer.local = peer.local;
        let next = match &mut session.state {
            State::Active { heard_ms } => {
                *heard_ms = cx.now.mono_ms;
                self.on_active(cx, key, message)
            }
            State::Connecting(_) => return self.on_connecting(cx, key, message),
            State::Away => return,
        };
        self.follow(cx, key, next);
    }

    /// A frame of a client in its will dialogue.
    fn on_connecting(&mut self, cx: &mut Cx<'_>, key: Key, message: &Message<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let told = match *message {
            Message::WillTopic(topic) => session.on_will_topic(&mut self.base, cx, key, topic),
            Message::WillMsg { payload } => session.on_will_message(&self.base, cx.now, payload),
            Message::Pingreq { .. } => {
                self.base.say(cx, session.peer, &Message::Pingresp);
                Told::Goes
            }
            _ => {
                self.base.counts.up(Count::OutOfPlace);
                Told::Goes
            }
        };
        match told {
            Told::Goes => {}
            Told::Complete => self.establish(cx, key),
            Told::Refused => self.refuse_will(cx, key),
        }
    }

    /// A frame of a connected client.
    fn on_active(&mut self, cx: &mut Cx<'_>, key: Key, message: &Message<'_>) -> Next {
        let Some(session) = self.sessions.get_mut(key) else { return Next::Stay };
        let base = &mut self.base;
        match *message {
            Message::Publish(ref publish) => session.on_publish(base, cx, publish),
            Message::Register(ref register) => {
                session.on_register(base, cx, register);
                session.pump(base, cx, key);
            }
            Message::Regack(ack) => session.on_regack(base, cx, key, ack),
            Message::Puback(ack) => session.on_puback(base, cx, key, ack),
            Message::Pubrec { msg_id } => session.on_pubrec(base, cx, key, msg_id),
            Message::Pubrel { msg_id } => session.on_pubrel(base, cx, msg_id),
            Message::Pubcomp { msg_id } => session.on_pubcomp(base, cx, key, msg_id),
            Message::Subscribe(ref subscribe) => session.on_subscribe(base, cx, subscribe),
            Message::Unsubscribe(ref unsubscribe) => {
                session.on_unsubscribe(base, cx, unsubscribe);
                session.pump(base, cx, key);
            }
            Message::Pingreq { client_id } => {
                let own = client_id.is_none_or(|id| *id == *session.id);
                let answer = if own { Message::Pingresp } else { Message::Disconnect { duration: None } };
                base.say(cx, session.peer, &answer);
            }
            Message::WillTopicUpd(will) => session.on_will_topic_update(base, cx, will),
            Message::WillMsgUpd { payload } => session.on_will_message_update(base, cx, payload),
            Message::Disconnect { .. } => return Next::Leave,
            _ => base.counts.up(Count::OutOfPlace),
        }
        Next::Stay
    }

    /// A frame from an address without a session: the device is told that it has none.
    fn on_stranger(&self, cx: &mut Cx<'_>, peer: Peer, message: &Message<'_>) {
        self.base.counts.up(Count::Stranger);
        if !matches!(message, Message::Disconnect { .. }) {
            self.base.say(cx, peer, &Message::Disconnect { duration: None });
        }
    }

    /// PUBLISH at QoS −1: from whomever, with a session or without, and never answered.
    fn on_connectionless(&mut self, cx: &mut Cx<'_>, listener: ListenerId, publish: &sn::Publish<'_>) {
        if !self.base.rules.qos_minus_one {
            self.base.counts.up(Count::MinusOneOff);
            return;
        }
        let topic = match &publish.topic {
            Topic::Inline(name) => TopicName::try_from(*name).map_err(|_fault| Unfit::BAD),
            Topic::Short(octets) => short_name(octets),
            Topic::Predefined(id) => self.base.rules.predefined.name(*id).ok_or(Unfit::UNKNOWN),
            Topic::Normal(_) | Topic::Reserved(_) => Err(Unfit::BAD),
        };
        let topic = match topic {
            Ok(topic) => topic,
            Err(unfit) => return self.base.counts.up(unfit.why),
        };
        let Some(place) = self.connectionless.iter_mut().find(|(id, _)| *id == listener) else { return };
        let client = place.1.or_else(|| connectionless(cx, self.base.gateway, listener));
        place.1 = client;
        let Some(client) = client else {
            self.base.counts.up(Count::BrokerRefused);
            return;
        };
        let (payload, retain) = (publish.payload, publish.retain);
        let what = Publication { topic, payload, qos: Qos::AtMostOnce, retain, expiry_s: None };
        match cx.bridge.up(cx.now, client, Uplink::Publish { token: None, what }) {
            Taken::Done | Taken::Owed => {}
            Taken::Full => self.base.counts.up(Count::Congested),
            Taken::Denied(_) => self.base.counts.up(Count::BrokerRefused),
        }
    }

    fn on_down(&mut self, cx: &mut Cx<'_>, client: Token, down: Downlink<'_>) {
        let key = Key::from_bits(client.0);
        let Some(session) = self.sessions.get_mut(key) else { return };
        match down {
            Downlink::Message(delivery) => session.on_message(&mut self.base, cx, key, &delivery),
            Downlink::Settled { token, outcome } => session.on_settled(&self.base, cx, token, outcome),
            Downlink::Subscribed { token, granted } => {
                session.on_subscribed(&self.base, cx, token, granted);
                session.pump(&mut self.base, cx, key);
            }
        }
    }
}

/// The client that publishes at QoS −1 for a listener.
fn connectionless(cx: &mut Cx<'_>, gateway: GatewayId, listener: ListenerId) -> Option<ClientRef> {
    let id = ClientId::try_from(CONNECTIONLESS_ID).ok()?;
    let identity = &Identity::default();
    let who = Connect { gateway, listener, id, identity, address: None, connectionless: true };
    cx.bridge.connect(CONNECTIONLESS, &who).ok()
}

impl Machine for Mqttsn {
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
        self.latest_ms = self.latest_ms.max(cx.now.mono_ms);
        cx.now.mono_ms = self.latest_ms;
        match input {
            Input::Datagram { peer, bytes, .. } => return self.on_datagram(cx, peer, bytes),
            Input::Down { client, down } => self.on_down(cx, client, down),
            Input::Timer => self.on_timer(cx),
            Input::Drain { .. } => self.draining = true,
            // Devices try again by themselves; what may be asked just now the bridge knows.
            Input::Room | Input::Broker { .. } => {}
            Input::PeerMoved { .. } | Input::PeerClosed { .. } | Input::Decided { .. } | Input::Reconfigured => {}
        }
        Handled::Here
    }

    fn next_deadline(&self) -> Option<Deadline> {
        self.base.wheel.next_deadline().map(Deadline)
    }

    fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn lane<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        sn::decode(datagram).ok().and_then(|frame| frame.via).map_or(&[], |via| via.node_id)
    }

    fn ask(&mut self, cx: &mut Cx<'_>, ask: &Ask<'_>) -> Answer {
        self.answer(cx, ask)
    }

    fn freeze(&self, _now: Now, _client: Token, _into: &mut Vec<u8>) -> Frozen<'_> {
        Frozen::Gone
    }

    fn thaw(&mut self, _cx: &mut Cx<'_>, _id: &str, _record: &[u8]) -> Result<(), Unthawed> {
        Err(Unthawed::NoRoom)
    }
}
