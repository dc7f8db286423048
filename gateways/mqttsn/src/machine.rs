//! The machine: a datagram finds its session, a session its rule.

use crate::address::At;
use crate::admission::{Sender, Waitings};
use crate::advertise::{Advertiser, Broadcast};
use crate::attachment::dismiss;
use crate::base::{Alarm, Base, Rules};
use crate::config::MqttsnConfig;
use crate::connectionless::Connectionless;
use crate::counts::{Count, malformed, uplink};
use crate::freeze::{brings_news, says_news};
use crate::session::{Next, State};
use crate::sessions::Sessions;
use crate::will::Told;
use bridge_core::ask::{Answer, Ask};
use bridge_core::downlink::Downlink;
use bridge_core::live::Live;
use bridge_core::machine::{Cx, Frozen, Handled, Input, Machine, Unthawed};
use bridge_core::meter::Meter;
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven};
use bridge_core::slab::Key;
use bridge_core::time::{Deadline, Now};
use bridge_core::uplink::{Identity, OwnLink, Refusal, Token};
use codec_mqttsn as sn;
use codec_mqttsn::{Message, ReturnCode};
use std::sync::Arc;

/// All MQTT-SN clients of one shard.
#[derive(Debug)]
pub struct Mqttsn {
    pub(crate) base: Base,
    pub(crate) sessions: Sessions,
    pub(crate) waiting: Waitings,
    config: Live<MqttsnConfig>,
    seed: u64,
    pub(crate) draining: bool,
    /// Until then the log has heard enough of clients that are not let in.
    pub(crate) quiet_until: Option<Deadline>,
    /// Alarms that fire now; empty in between, kept for its memory.
    pub(crate) due: Vec<Alarm>,
    connectionless: Vec<Connectionless>,
    pub(crate) advertiser: Option<Advertiser>,
    /// The latest time that was handed in.
    latest_ms: u64,
}

impl Mqttsn {
    /// A machine without sessions. `listeners`: where datagrams may come from; `seed` keeps whoever chooses client ids
    /// and addresses from choosing their hashes.
    #[must_use]
    pub fn new(
        gateway: GatewayId,
        config: impl Into<Live<MqttsnConfig>>,
        listeners: Vec<ListenerId>,
        seed: u64,
    ) -> Self {
        let config = config.into();
        Self {
            base: Base::new(gateway, &config.get(), seed),
            config,
            seed,
            advertiser: None,
            sessions: Sessions::new(seed),
            waiting: Waitings::new(seed),
            draining: false,
            quiet_until: None,
            due: Vec::new(),
            connectionless: listeners.into_iter().map(Connectionless::new).collect(),
            latest_ms: 0,
        }
    }

    /// The same on the one shard that speaks for the node: it makes itself known on these networks, if the configuration
    /// wants that.
    #[must_use]
    pub fn advertising(mut self, networks: &[Broadcast]) -> Self {
        self.advertiser = Advertiser::new(&self.config.get(), networks);
        self
    }

    /// What this machine counts.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.base.counts.meter()
    }

    fn on_datagram(&mut self, cx: &mut Cx<'_>, peer: Peer, proven: Proven<'_>, bytes: &[u8]) -> Handled {
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
        let sender = Sender { at: At::of(peer, frame.via), proven };
        match &message {
            Message::Publish(publish) if publish.qos == sn::Qos::MinusOne => {
                self.on_connectionless(cx, sender.at, publish);
            }
            Message::Connect(connect) => return self.on_connect(cx, sender, connect),
            Message::SearchGw { .. } => {
                let gateway = self.base.rules.gateway_id;
                self.base.say(cx, sender.at, &Message::GwInfo { gateway, address: &[] });
            }
            _ if uplink(&message) == Count::UpGateways => {}
            Message::Pingreq { client_id: Some(id) } if !self.is_at(sender.at, id) => {
                return self.on_ping_from_elsewhere(cx, sender, id);
            }
            _ => match self.sessions.at(sender.at) {
                Some(key) => self.on_frame(cx, key, peer, &message),
                None => self.on_stranger(cx, sender.at, &message),
            },
        }
        Handled::Here
    }

    /// A frame of a client that is present.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, key: Key, peer: Peer, message: &Message<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.address.heard(peer);
        session.heard(cx.now);
        // Whatever it says may empty its queue.
        let news = session.sleeps() || says_news(message);
        let next = match session.state {
            State::Active { .. } | State::Asleep(_) | State::Awake(_) => self.on_connected(cx, key, message),
            State::Connecting(_) => return self.on_connecting(cx, key, message),
            State::Away { .. } => return,
        };
        if news {
            self.changed(cx, key);
        }
        self.follow(cx, key, next);
    }

    /// A frame of a client in its will dialogue.
    fn on_connecting(&mut self, cx: &mut Cx<'_>, key: Key, message: &Message<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let told = match *message {
            Message::WillTopic(topic) => session.on_will_topic(&mut self.base, cx, key, topic),
            Message::WillMsg { payload } => session.on_will_message(&self.base, cx.now, payload),
            Message::Pingreq { .. } => {
                self.base.say(cx, session.address.at(), &Message::Pingresp);
                Told::Goes
            }
            _ => {
                self.base.counts.up(Count::OutOfPlace);
                Told::Goes
            }
        };
        match told {
            Told::Goes => {}
            Told::Complete => {
                let mut link = session.take_link();
                self.establish(cx, key, &mut link);
                dismiss(cx, link);
            }
            Told::Refused => self.refuse_will(cx, key),
        }
    }

    /// A frame of a connected client: asleep or awake it stays so, whatever it says but PINGREQ and DISCONNECT.
    fn on_connected(&mut self, cx: &mut Cx<'_>, key: Key, message: &Message<'_>) -> Next {
        let Some(session) = self.sessions.get_mut(key) else { return Next::Stay };
        let base = &mut self.base;
        match *message {
            Message::Publish(ref publish) => return session.on_publish(base, cx, publish),
            Message::Register(ref register) => {
                session.on_register(base, cx, register);
                session.pump(base, cx, key);
            }
            Message::Regack(ack) => session.on_regack(base, cx, key, ack),
            Message::Puback(ack) => session.on_puback(base, cx, key, ack),
            Message::Pubrec { msg_id } => session.on_pubrec(base, cx, key, msg_id),
            Message::Pubrel { msg_id } => session.on_pubrel(base, cx, msg_id),
            Message::Pubcomp { msg_id } => session.on_pubcomp(base, cx, key, msg_id),
            Message::Subscribe(ref subscribe) => return session.on_subscribe(base, cx, subscribe),
            Message::Unsubscribe(ref unsubscribe) => {
                session.on_unsubscribe(base, cx, unsubscribe);
                session.pump(base, cx, key);
            }
            // Another's id has gone another way.
            Message::Pingreq { client_id } => session.on_ping(base, cx, key, client_id.is_some()),
            Message::WillTopic(None) | Message::WillMsg { .. } if session.has_told_will() => {
                base.say(cx, session.address.at(), &Message::Connack { code: ReturnCode::Accepted });
            }
            Message::WillTopicUpd(will) => session.on_will_topic_update(base, cx, will),
            Message::WillMsgUpd { payload } => session.on_will_message_update(base, cx, payload),
            Message::Disconnect { duration: Some(seconds) } if seconds > 0 => return Next::Sleep(seconds),
            Message::Disconnect { .. } => return Next::Leave,
            _ => base.counts.up(Count::OutOfPlace),
        }
        Next::Stay
    }

    /// A frame from an address without a session: the device is told that it has none.
    pub(crate) fn on_stranger(&self, cx: &mut Cx<'_>, at: At<'_>, message: &Message<'_>) {
        if self.waiting.at(at).is_some() {
            // It is being judged: CONNACK will tell.
            return self.base.counts.up(Count::TooEarly);
        }
        self.base.counts.up(Count::Stranger);
        if !matches!(message, Message::Disconnect { .. }) {
            self.base.say(cx, at, &Message::Disconnect { duration: None });
        }
    }

    /// PUBLISH at QoS −1.
    fn on_connectionless(&mut self, cx: &mut Cx<'_>, at: At<'_>, publish: &sn::Publish<'_>) {
        if !self.base.rules.qos_minus_one {
            self.base.counts.up(Count::MinusOneOff);
            return;
        }
        // Who has a session, with topics of its own, means those.
        let session = if self.base.rules.predefined.has_own() { self.sessions.at(at) } else { None };
        let own = session.and_then(|key| self.sessions.get(key)).and_then(|session| session.predefined.as_deref());
        let known = self.base.rules.predefined.known(own);
        if let Some(client) = self.connectionless.iter_mut().find(|client| client.is_of(at.peer.listener)) {
            client.publish(&self.base, cx, known, publish);
        }
    }

    /// Who was asked whether a client may come in has answered.
    fn on_verdict(
        &mut self,
        cx: &mut Cx<'_>,
        applicant: Token,
        verdict: Result<&Identity, Refusal>,
        link: Option<OwnLink>,
    ) {
        match self.connectionless.iter_mut().find(|client| client.is_called(applicant)) {
            // It wants no connection of its own.
            Some(client) => client.decided(&self.base, cx, verdict),
            None => self.on_decided(cx, applicant, verdict, link),
        }
    }

    /// The configuration has changed: what holds for all sessions holds anew.
    fn reconfigure(&mut self, cx: &mut Cx<'_>) {
        let before = std::mem::replace(&mut self.base.rules, Rules::new(&self.config.get(), self.seed));
        let keys: Vec<Key> = self.keys().collect();
        for key in keys {
            if let Some(session) = self.sessions.get_mut(key) {
                session.know(&mut self.base, cx, &before.predefined);
                session.pump(&mut self.base, cx, key);
            }
        }
        self.connectionless.iter_mut().for_each(|client| client.forget(cx));
    }

    fn on_down(&mut self, cx: &mut Cx<'_>, client: Token, down: Downlink<'_>) {
        let key = Key::from_bits(client.0);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let news = brings_news(session, &down);
        let next = match down {
            Downlink::Message(delivery) => {
                session.on_message(&mut self.base, cx, key, &delivery);
                Next::Stay
            }
            Downlink::Settled { token, outcome } => {
                let next = session.on_settled(&self.base, cx, token, outcome);
                self.say_farewell_to(cx, key);
                next
            }
            Downlink::Ended(why) => {
                self.on_ended(cx, key, why);
                Next::Stay
            }
            Downlink::Awake(outcome) => {
                session.on_link_back(&mut self.base, cx, key, outcome);
                Next::Stay
            }
            Downlink::Subscribed { token, granted } => {
                let next = session.on_subscribed(&self.base, cx, token, granted);
                session.pump(&mut self.base, cx, key);
                next
            }
        };
        self.follow(cx, key, next);
        if news {
            self.changed(cx, key);
        }
    }

    /// True if datagrams may come through this listener.
    pub(crate) fn has_listener(&self, listener: ListenerId) -> bool {
        self.connectionless.iter().any(|client| client.is_of(listener))
    }
}

impl Machine for Mqttsn {
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
        self.latest_ms = self.latest_ms.max(cx.now.mono_ms);
        cx.now.mono_ms = self.latest_ms;
        match input {
            Input::Datagram { peer, proven, bytes } => return self.on_datagram(cx, peer, proven, bytes),
            Input::Down { client, down } => self.on_down(cx, client, down),
            Input::Timer => self.on_timer(cx),
            Input::Drain { .. } => {
                self.draining = true;
                self.advertiser = None;
                self.say_farewell(cx);
            }
            // Devices try again by themselves; what may be asked just now the bridge knows.
            Input::Room | Input::Broker { .. } => {}
            // MQTT-SN comes in datagrams, and subscribes client by client.
            Input::Opened { .. }
            | Input::Stream { .. }
            | Input::Writable { .. }
            | Input::Closed { .. }
            | Input::Posted(_) => {}
            Input::Decided { applicant, verdict, link } => self.on_verdict(cx, applicant, verdict, link),
            Input::PeerMoved { from, to } => self.on_peer_moved(from, to),
            Input::PeerClosed { peer } => self.on_peer_closed(cx, peer),
            Input::Reconfigured => self.reconfigure(cx),
        }
        Handled::Here
    }

    fn next_deadline(&self) -> Option<Deadline> {
        let advertise = self.advertiser.as_ref().map(Advertiser::due_ms);
        self.base.wheel.next_deadline().into_iter().chain(advertise).min().map(Deadline)
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

    fn freeze(&self, now: Now, client: Token, into: &mut Vec<u8>) -> Frozen<'_> {
        self.write_down(now, client, into)
    }

    fn thaw(&mut self, cx: &mut Cx<'_>, id: &str, record: &[u8]) -> Result<(), Unthawed> {
        self.latest_ms = self.latest_ms.max(cx.now.mono_ms);
        cx.now.mono_ms = self.latest_ms;
        self.bring_back(cx, id, record)
    }
}
