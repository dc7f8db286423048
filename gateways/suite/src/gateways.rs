//! The gateways of this version, a row each: all else in the binary treats them alike.

mod mqttsn;
mod tcp;

use std::fmt;
use std::sync::Arc;

use bridge_core::events::GatewayNames;
use bridge_core::machine::Machine;
use bridge_core::meter::Meter;
use bridge_core::peer::GatewayId;
use config::Config;

use crate::failure::Failure;
use crate::startup::{Overview, Trial};
use crate::wiring::{Listener, Node};

/// Makes a gateway ready. It is given its number and the listeners of all gateways.
type Open = fn(GatewayId, &Node<'_>, &[Listener]) -> Result<Box<dyn Gateway>, Failure>;

/// A row.
pub(crate) struct Row {
    /// As the configuration names it: `mqttsn`.
    pub(crate) name: &'static str,
    /// As people, events and EMQX name its protocol: `MQTT-SN`.
    pub(crate) protocol: &'static str,
    /// Makes it ready to put machines on shards, if it runs or not.
    pub(crate) open: Open,
    /// How to see a message go through.
    pub(crate) trial: fn(&Overview<'_>) -> Option<Trial>,
}

/// By number, in the order of [`config::Gateways::all`].
pub(crate) const GATEWAYS: [Row; 2] = [
    Row { name: "mqttsn", protocol: "MQTT-SN", open: mqttsn::open, trial: mqttsn::trial },
    Row { name: "tcp", protocol: "TCP", open: tcp::open, trial: tcp::trial },
];

/// Those that other versions have: name and protocol.
pub(crate) const NOT_YET: [(&str, &str); 3] = [("coap", "CoAP"), ("lwm2m", "LwM2M"), ("stomp", "STOMP")];

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// What a gateway's machines are made of.
pub(crate) trait Gateway: fmt::Debug {
    /// Its machine on shard `shard`. `seed` is the machine's own.
    fn machine(&self, shard: u8, seed: u64) -> Made;

    /// Takes over what may change while the node runs. The machines read it when they are told to.
    fn reload(&self, next: &Config);
}

/// A machine, and what it counts.
pub(crate) struct Made {
    /// For the shard.
    pub(crate) machine: Box<dyn Machine + Send>,
    /// For whoever reports.
    pub(crate) meter: Arc<Meter>,
}

/// The rows with their numbers.
pub(crate) fn numbered() -> impl Iterator<Item = (GatewayId, &'static Row)> {
    (0..).map(GatewayId).zip(&GATEWAYS)
}

/// The number of the gateway with this name.
pub(crate) fn number(name: &str) -> Option<GatewayId> {
    numbered().find(|(_, row)| row.name == name).map(|(id, _)| id)
}

/// Their names, by number.
pub(crate) fn names() -> Vec<&'static str> {
    GATEWAYS.iter().map(|row| row.name).collect()
}

/// What events call them, by number.
pub(crate) fn for_events() -> Vec<GatewayNames> {
    GATEWAYS.iter().map(|row| GatewayNames { key: row.name, protocol: row.protocol }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_the_same_gateways_in_the_same_order() {
        let config = Config::default();
        let configured: Vec<_> = config.gateways.all().iter().map(|gateway| gateway.name).collect();
        assert_eq!(configured, names());
        for (at, name) in (0..).zip(configured) {
            assert_eq!(number(name), Some(GatewayId(at)));
        }
        assert!(NOT_YET.iter().all(|(name, _)| number(name).is_none()));
    }
}
