//! What may change while the node runs.

use settings::{KeyPath, differences};

use crate::Config;

impl Config {
    /// This configuration with all that may change while the node runs taken from `newer`, and the keys of `newer` that
    /// have to wait for a restart.
    #[must_use]
    pub fn reloaded(&self, newer: &Self) -> (Self, Vec<KeyPath>) {
        let mut next = self.clone();
        next.log.level.clone_from(&newer.log.level);
        next.auth.clone_from(&newer.auth);
        next.acl.clone_from(&newer.acl);
        let (mqttsn, newer_mqttsn) = (&mut next.gateways.mqttsn, &newer.gateways.mqttsn);
        let running = std::mem::replace(&mut mqttsn.machine, newer_mqttsn.machine.clone());
        mqttsn.machine.mountpoint = running.mountpoint;
        mqttsn.machine.broadcast = running.broadcast;
        mqttsn.machine.advertise_interval = running.advertise_interval;
        mqttsn.listeners.reload(&newer_mqttsn.listeners);
        let (tcp, newer_tcp) = (&mut next.gateways.tcp, &newer.gateways.tcp);
        let running = std::mem::replace(&mut tcp.machine, newer_tcp.machine.clone());
        tcp.machine.mountpoint = running.mountpoint;
        tcp.machine.up_topic = running.up_topic;
        tcp.machine.dn_topic = running.dn_topic;
        tcp.machine.downlink_qos = running.downlink_qos;
        tcp.machine.command_subscription = running.command_subscription;
        tcp.listeners.reload(&newer_tcp.listeners);
        let waiting = differences(&mut next.clone(), &mut newer.clone());
        (next, waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::HumanDuration;

    #[test]
    fn what_may_change_changes_and_the_rest_is_named() {
        let old = Config::default();
        let mut newer = old.clone();
        newer.log.level = "debug".into();
        newer.auth.allow_anonymous = Some(false);
        newer.acl.cache_size = 7;
        newer.gateways.mqttsn.machine.predefined = [(5, "five".to_owned())].into();
        newer.gateways.mqttsn.machine.mountpoint = "site/".into();
        newer.gateways.mqttsn.machine.broadcast = true;
        newer.gateways.tcp.machine.max_inflight = 3;
        newer.gateways.tcp.machine.up_topic = "up".into();
        newer.gateways.tcp.machine.downlink_qos = 2;
        if let Some(listener) = newer.gateways.tcp.listeners.tcp.get_mut("default") {
            listener.send_timeout = HumanDuration::from_secs(1);
        }
        newer.node.workers = 7;
        newer.broker.link.username = "ops".into();
        if let Some(listener) = newer.gateways.mqttsn.listeners.udp.get_mut("default") {
            listener.max_connections = 3;
            listener.mountpoint = "here/".into();
        }
        let (next, waiting) = old.reloaded(&newer);
        let waiting: Vec<_> = waiting.iter().map(ToString::to_string).collect();
        let expected = [
            "node.workers",
            "broker.username",
            "gateways.mqttsn.broadcast",
            "gateways.mqttsn.mountpoint",
            "gateways.mqttsn.listeners.udp.default.mountpoint",
            "gateways.tcp.up_topic",
            "gateways.tcp.downlink_qos",
            "gateways.tcp.listeners.tcp.default.send_timeout",
        ];
        assert_eq!(waiting, expected);
        assert_eq!((&next.auth, &next.acl), (&newer.auth, &newer.acl));
        assert_eq!((next.log.level.as_str(), next.node.workers), ("debug", old.node.workers));
        assert_eq!(next.gateways.tcp.machine.max_inflight, 3);
        assert_eq!(next.gateways.mqttsn.machine.predefined, newer.gateways.mqttsn.machine.predefined);
        let default = next.gateways.mqttsn.listeners.udp.get("default");
        assert_eq!(default.map(|l| (l.max_connections, l.mountpoint.as_str())), Some((3, "")));
    }

    #[test]
    fn nothing_new_waits_for_nothing() {
        let config = Config::default();
        assert_eq!(config.reloaded(&config.clone()), (config, Vec::new()));
    }
}
