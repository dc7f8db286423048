//! What all sessions of a machine share: rules, timers, counts.

use crate::address::At;
use crate::config::{MqttsnConfig, SleepLink};
use crate::counts::{Count, downlink};
use crate::hold::{Dropped, HoldLimits};
use crate::predefined::Predefined;
use crate::session::State;
use bridge_core::machine::Cx;
use bridge_core::meter::Counts;
use bridge_core::peer::GatewayId;
use bridge_core::slab::Key;
use bridge_core::time::Now;
use bridge_core::wheel::{TimerId, Wheel};
use codec_mqttsn as sn;
use settings::Secret;
use std::cell::Cell;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) gateway: GatewayId,
    pub(crate) rules: Rules,
    pub(crate) wheel: Wheel<Alarm>,
    pub(crate) counts: Counts<Count>,
    /// Messages that the broker keeps until it hears of them: as many as the sessions hold receipts.
    pub(crate) copies: Cell<u64>,
}

/// The configuration as the sessions use it.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) gateway_id: sn::GatewayId,
    pub(crate) qos_minus_one: bool,
    pub(crate) predefined: Predefined,
    pub(crate) max_topics: u16,
    pub(crate) subs_resume: bool,
    pub(crate) retry_ms: u64,
    pub(crate) max_retries: u8,
    pub(crate) session_expiry_ms: u64,
    pub(crate) idle_timeout_ms: u64,
    /// What CONNACK says to who is not let in.
    pub(crate) auth_refused: sn::ReturnCode,
    /// The credential of all clients: the protocol has none of their own.
    pub(crate) username: Box<str>,
    pub(crate) password: Secret,
    pub(crate) hold: HoldLimits,
    /// Who sleeps may do without an MQTT connection of its own.
    pub(crate) drops_links: bool,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) session: Key,
    pub(crate) what: Due,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The state's time: idle, keep-alive, expiry.
    Life,
    /// The request of the will dialogue, again.
    Will,
    /// The PUBLISH or PUBREL in flight, again.
    Publish,
    /// The REGISTER under way, again.
    Register,
}

impl Base {
    pub(crate) fn new(gateway: GatewayId, config: &MqttsnConfig, seed: u64) -> Self {
        let (rules, wheel) = (Rules::new(config, seed), Wheel::new(0));
        Self { gateway, rules, wheel, counts: Counts::default(), copies: Cell::default() }
    }

    /// Sends a message to a device and counts it. False when no datagram can hold it.
    pub(crate) fn say(&self, cx: &mut Cx<'_>, to: At<'_>, message: &sn::Message<'_>) -> bool {
        let mut fits = false;
        cx.out.datagram(to.peer, |arena| {
            let start = arena.len();
            fits = encode(to.node, message, arena).is_ok() && arena.len().saturating_sub(start) <= MAX_DATAGRAM;
            if !fits {
                arena.truncate(start);
            }
        });
        if let Some(count) = downlink(message).filter(|_| fits) {
            self.counts.up(count);
        }
        fits
    }

    /// Arms a timer for the next repetition of something.
    pub(crate) fn retry(&mut self, now: Now, session: Key, what: Due) -> TimerId {
        self.wheel.schedule(now.mono_ms.saturating_add(self.rules.retry_ms), Alarm { session, what })
    }

    /// Counts what a queue had to drop.
    pub(crate) fn dropped(&self, dropped: &Dropped) {
        self.counts.add(Count::HoldDroppedQos0, dropped.qos0);
        self.counts.add(Count::HoldDroppedOldest, dropped.oldest);
    }

    /// One session more in this state.
    pub(crate) fn entered(&self, state: &State) {
        self.counts.up(gauge(state));
    }

    /// One session less in this state.
    pub(crate) fn left(&self, state: &State) {
        let gauge = gauge(state);
        self.counts.set(gauge, self.counts.get(gauge).saturating_sub(1));
    }
}

const fn gauge(state: &State) -> Count {
    match state {
        State::Connecting(_) => Count::Connecting,
        State::Active { .. } => Count::Active,
        State::Asleep(_) => Count::Asleep,
        State::Awake(_) => Count::Awake,
        State::Away { .. } => Count::Away,
    }
}

impl Rules {
    /// `seed` keeps whoever chooses client ids from choosing their hashes.
    pub(crate) fn new(config: &MqttsnConfig, seed: u64) -> Self {
        Self {
            gateway_id: sn::GatewayId(config.gateway_id),
            qos_minus_one: config.qos_minus_one,
            predefined: Predefined::new(&config.predefined, &config.predefined_for, seed),
            max_topics: config.max_topics,
            subs_resume: config.subs_resume,
            retry_ms: config.retry_interval.as_millis(),
            max_retries: config.max_retries,
            session_expiry_ms: config.session_expiry.as_millis(),
            idle_timeout_ms: config.idle_timeout.as_millis(),
            auth_refused: sn::ReturnCode::from(config.auth_refused_code),
            username: config.username.as_str().into(),
            password: config.password.clone(),
            hold: HoldLimits {
                messages: usize::try_from(config.sleep_queue).unwrap_or(usize::MAX),
                bytes: usize::try_from(config.sleep_queue_bytes.bytes()).unwrap_or(usize::MAX),
            },
            drops_links: config.sleep_link == SleepLink::Drop,
        }
    }
}

/// Behind a forwarder a message goes in its envelope.
fn encode(node: Option<&[u8]>, message: &sn::Message<'_>, arena: &mut Vec<u8>) -> Result<(), sn::EncodeFault> {
    match node {
        None => message.encode(arena),
        Some(node_id) => sn::Forwarder { radius: sn::Radius::default(), node_id }.wrap(message, arena),
    }
}

/// The largest payload of a UDP datagram over IPv4, in octets.
const MAX_DATAGRAM: usize = 65_507;
