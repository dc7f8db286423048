//! SIGHUP: what may change while the node runs is read anew. A bad file is refused whole.

use std::path::PathBuf;
use std::sync::Arc;

use bridge_core::gate::Gate;
use bridge_core::live::Live;
use config::Config;
use mqttsn::MqttsnConfig;
use tokio::sync::mpsc;
use transport::Command;

use crate::access::{Access, Rules};
use crate::configuration;
use crate::logs;

/// What a reload reaches.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The listeners' gates, by the listeners' keys.
    pub(crate) gates: Vec<(String, Arc<Gate>)>,
    /// What the MQTT-SN machines read.
    pub(crate) mqttsn: Live<MqttsnConfig>,
    /// The credential stores, and the rules that the shards apply.
    pub(crate) access: Access,
    /// To each shard.
    pub(crate) commands: Vec<mpsc::Sender<Command>>,
}

/// Where the configuration came from, what it is now, and what it reaches.
#[derive(Debug)]
pub(crate) struct Reloading {
    /// The file; none = defaults and environment alone.
    pub(crate) file: Option<PathBuf>,
    /// As it is in effect.
    pub(crate) config: Config,
    /// Of the log.
    pub(crate) level: logs::Level,
    /// The rest.
    pub(crate) reach: Reach,
}

impl Reloading {
    /// Reads the configuration anew. Everything is checked before anything changes; whatever is wrong is logged, and all
    /// stays as it is then.
    pub(crate) async fn reload(&mut self) {
        let newer = match configuration::load(self.file.as_deref()) {
            Ok(newer) => newer,
            Err(failure) => return refused(&failure.lines()),
        };
        let (next, waiting) = self.config.reloaded(&newer);
        if let Err(problem) = logs::filter(&next.log.level) {
            return refused(&[problem]);
        }
        let rules = match self.reach.access.reload(&next) {
            Ok(rules) => rules,
            Err(problems) => return refused(&problems),
        };
        self.apply(&next, &rules).await;
        self.config = next;
        for key in waiting {
            tracing::warn!(key = %key, "this change waits for a restart");
        }
        tracing::info!("the configuration is reloaded");
    }

    async fn apply(&self, next: &Config, rules: &Rules) {
        if let Err(problem) = self.level.set(&next.log.level) {
            tracing::warn!("{problem}");
        }
        for (key, gate) in &self.reach.gates {
            // A name may have dots in it.
            let name = key.strip_prefix(UDP).unwrap_or_default();
            if let Some(listener) = next.gateways.mqttsn.listeners.udp.get(name) {
                gate.set_limits(listener.max_connections, listener.max_conn_rate);
            }
        }
        self.reach.mqttsn.set(next.gateways.mqttsn.machine.clone());
        for shard in &self.reach.commands {
            // A shard that hears nothing any more has told why it ended.
            let Rules { auth, acl } = rules.clone();
            drop(shard.send(Command::Rules { auth, acl }).await);
            // Who has to ask anew does so under the new rules.
            drop(shard.send(Command::Reconfigure).await);
        }
    }
}

fn refused(problems: &[String]) {
    tracing::error!("the configuration is not reloaded, the old one stays");
    for problem in problems {
        tracing::error!("{problem}");
    }
}

/// What the keys of listeners begin with.
pub(crate) const UDP: &str = "gateways.mqttsn.listeners.udp.";

#[cfg(test)]
mod tests {
    use super::*;
    use transport::config::ListenerConfig;

    #[test]
    fn a_listener_gets_its_own_limits_whatever_its_name() {
        let mut next = Config::default();
        let mut gates = Vec::new();
        for (name, most) in [("b", 3), ("a.b", 5)] {
            let listener = ListenerConfig { max_connections: most, ..ListenerConfig::on(0) };
            next.gateways.mqttsn.listeners.udp.insert(name.to_owned(), listener);
            gates.push((format!("{UDP}{name}"), Arc::new(Gate::new(1, 1))));
        }
        let access = Access::start(&Config::default(), "north").unwrap();
        let (mqttsn, rules) = (Live::from(MqttsnConfig::default()), access.rules());
        let reach = Reach { gates: gates.clone(), mqttsn, access, commands: Vec::new() };
        let reloading = Reloading { file: None, config: Config::default(), level: logs::Level::of_nobody(), reach };
        crate::worker::runtime().unwrap().block_on(reloading.apply(&next, &rules));
        let limits: Vec<u32> = gates.iter().map(|(_, gate)| gate.max_sessions()).collect();
        assert_eq!(limits, [3, 5]);
    }

    #[test]
    fn a_shard_has_the_rules_before_its_machines_ask_by_them() {
        let (commands, mut heard) = mpsc::channel(4);
        let mqttsn = Live::from(MqttsnConfig::default());
        let access = Access::start(&Config::default(), "north").unwrap();
        let rules = access.rules();
        let reach = Reach { gates: Vec::new(), mqttsn, access, commands: vec![commands] };
        let reloading = Reloading { file: None, config: Config::default(), level: logs::Level::of_nobody(), reach };
        let runtime = crate::worker::runtime().unwrap();
        runtime.block_on(reloading.apply(&Config::default(), &rules));
        assert!(matches!(heard.try_recv(), Ok(Command::Rules { .. })));
        assert!(matches!(heard.try_recv(), Ok(Command::Reconfigure)));
    }
}
