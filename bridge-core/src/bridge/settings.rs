use super::Policy;
use crate::link::LinkSettings;
use crate::publication::Publication;
use crate::template::{Mountpoint, Template, Values};
use crate::text::is_carriable;
use crate::topic::{TopicBuf, TopicFault, TopicName};
use crate::uplink::{Connect, Refusal};
use codec_mqtt::Qos;

/// What a bridge is made of.
#[derive(Debug)]
pub struct BridgeSettings {
    /// At least one.
    pub links: Vec<LinkSettings>,
    /// By listener number.
    pub listeners: Vec<ListenerRules>,
    /// `node.name`, for `%n`.
    pub node: Box<str>,
    /// On shard 0 only, and only while events are on: what the first link says of the node.
    pub status: Option<NodeStatus>,
    /// What holds for clients.
    pub policy: Policy,
    /// For everything that is hashed or drawn by lot.
    pub seed: u64,
}

/// What holds for the clients of one listener.
#[derive(Debug)]
pub struct ListenerRules {
    mountpoint: Template,
}

impl ListenerRules {
    /// Topics of this listener's clients stand under `mountpoint`.
    #[must_use]
    pub const fn new(mountpoint: Template) -> Self {
        Self { mountpoint }
    }

    pub(super) fn mount(&self, who: &Connect<'_>, node: &str) -> Result<Mountpoint, Refusal> {
        let host = who.address.map(|address| address.ip().to_string()).unwrap_or_default();
        let values = Values {
            client_id: Some(who.id.as_str()),
            username: Some(&who.identity.username),
            peerhost: Some(&host),
            endpoint_name: None,
            node: Some(node),
        };
        match self.mountpoint.render(&values) {
            // A broker would close the link for a user name that MQTT cannot carry.
            Ok(prefix) if is_carriable(&prefix) => Ok(Mountpoint::new(prefix)),
            Ok(_) | Err(_) => Err(Refusal::BadIdentity),
        }
    }
}

/// The topic of the node's retained status: `online`, or `offline` as the will of the link.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    topic: TopicBuf,
    qos: Qos,
}

impl NodeStatus {
    /// `<prefix>/status`, to be published with this QoS.
    ///
    /// # Errors
    /// Why that is no topic name.
    pub fn under(prefix: &str, qos: Qos) -> Result<Self, TopicFault> {
        let topic = [prefix, "/status"].concat();
        Ok(Self { topic: TopicName::try_from(topic.as_str())?.into(), qos })
    }

    /// Its topic name.
    #[must_use]
    pub const fn topic(&self) -> TopicName<'_> {
        self.topic.as_name()
    }

    /// What is said.
    #[must_use]
    pub const fn publication(&self, online: bool) -> Publication<'_> {
        let payload: &[u8] = if online { b"online" } else { b"offline" };
        Publication { topic: self.topic.as_name(), payload, qos: self.qos, retain: true, expiry_s: None }
    }
}
