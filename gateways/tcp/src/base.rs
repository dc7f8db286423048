//! What all connections of a machine share: rules, listeners, timers, counts.

use crate::config::{TcpConfig, qos};
use crate::counts::Count;
use crate::hold::HoldLimits;
use crate::place::{Place, Speech, TcpSettings};
use bridge_core::Qos;
use bridge_core::meter::Counts;
use bridge_core::peer::{GatewayId, ListenerId};
use bridge_core::slab::Key;
use bridge_core::template::{Literals, Template, Values};
use bridge_core::topic::{TopicBuf, TopicName};
use bridge_core::uplink::{Identity, Refusal};
use bridge_core::wheel::Wheel;
use std::net::SocketAddr;

/// The version that there is where devices name none.
pub(crate) const VERSION: u8 = 1;

/// A version as events and lists name it.
pub(crate) const fn version(number: u8) -> &'static str {
    match number {
        0 => "0",
        _ => "1",
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) gateway: GatewayId,
    pub(crate) rules: Rules,
    pub(crate) places: Vec<Place>,
    pub(crate) node: Box<str>,
    pub(crate) wheel: Wheel<Key>,
    pub(crate) counts: Counts<Count>,
    /// `None`: unfit, though it was found fit; nobody comes in then.
    up: Option<Template>,
    dn: Option<Template>,
    /// Messages that the broker keeps copies of until we have said what became of them.
    pub(crate) copies: u64,
    /// The subscriptions' QoS.
    pub(crate) downlink_qos: Qos,
}

/// What may change while the node runs.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) uplink_qos: Qos,
    pub(crate) max_inflight: u16,
    pub(crate) hold: HoldLimits,
    pub(crate) idle_timeout_ms: u64,
}

/// The topics of one device.
pub(crate) struct Topics {
    pub(crate) up: TopicBuf,
    pub(crate) dn: String,
}

impl Base {
    pub(crate) fn new(settings: &TcpSettings, config: &TcpConfig) -> Self {
        let place = |listener: &crate::ListenerSettings| Place {
            listener: listener.id,
            speech: Speech::new(&listener.framing),
            route: None,
        };
        Self {
            gateway: settings.gateway,
            rules: Rules::new(config),
            places: settings.listeners.iter().map(place).collect(),
            node: settings.node.clone(),
            wheel: Wheel::new(0),
            counts: Counts::default(),
            copies: 0,
            up: template(&config.up_topic),
            dn: template(&config.dn_topic),
            downlink_qos: qos(config.downlink_qos),
        }
    }

    pub(crate) fn place(&self, listener: ListenerId) -> Option<&Place> {
        self.places.iter().find(|place| place.listener == listener)
    }

    /// The topics of a client that comes in as this.
    pub(crate) fn topics(&self, id: &str, identity: &Identity, addr: SocketAddr) -> Result<Topics, Refusal> {
        let host = addr.ip().to_string();
        let values = self.values(id, identity, &host);
        let render = |template: &Option<Template>| {
            let text = template.as_ref().and_then(|template| template.render(&values).ok());
            text.ok_or(Refusal::BadIdentity)
        };
        let (up, dn) = (render(&self.up)?, render(&self.dn)?);
        let up = TopicName::try_from(up.as_str()).map_err(|_fault| Refusal::BadIdentity)?.into();
        // What is subscribed must be a topic, too.
        TopicName::try_from(dn.as_str()).map_err(|_fault| Refusal::BadIdentity)?;
        Ok(Topics { up, dn })
    }

    /// What fills the gaps of templates.
    pub(crate) fn values<'a>(&'a self, id: &'a str, identity: &'a Identity, host: &'a str) -> Values<'a> {
        Values {
            client_id: Some(id),
            username: Some(&identity.username),
            peerhost: Some(host),
            endpoint_name: None,
            node: Some(&self.node),
        }
    }

    /// One more, or one less.
    pub(crate) fn gauge(&self, what: Count, more: bool) {
        let now = self.counts.get(what);
        self.counts.set(what, if more { now.saturating_add(1) } else { now.saturating_sub(1) });
    }
}

fn template(text: &str) -> Option<Template> {
    Template::parse(text, Literals::TopicName).ok()
}

impl Rules {
    pub(crate) fn new(config: &TcpConfig) -> Self {
        Self {
            uplink_qos: qos(config.uplink_qos),
            max_inflight: config.max_inflight.max(1),
            hold: HoldLimits {
                messages: usize::try_from(config.downlink_queue).unwrap_or(usize::MAX),
                bytes: usize::try_from(config.downlink_queue_bytes.bytes()).unwrap_or(usize::MAX),
            },
            idle_timeout_ms: config.idle_timeout.as_millis(),
        }
    }
}
