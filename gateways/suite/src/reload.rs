//! SIGHUP: what may change while the node runs is read anew. A bad file is refused whole.

use std::path::PathBuf;

use bridge_core::gate::Gates;
use bridge_core::peer::ListenerId;
use config::Config;
use tokio::sync::mpsc;
use transport::Command;

use crate::access::{Access, Files, Rules};
use crate::configuration;
use crate::gateways::Gateway;
use crate::listener_tls::ListenerTls;
use crate::logs;

/// What a reload reaches.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The listeners' gates, by number.
    pub(crate) gates: Gates,
    /// What their machines are made of, by number.
    pub(crate) gateways: Vec<Box<dyn Gateway>>,
    /// The TLS of their listeners.
    pub(crate) tls: ListenerTls,
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
        let rules = match self.renew(&next) {
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

    /// All files are read before any of them holds: one that has become unsound since the configuration was checked leaves
    /// all as it is, too.
    fn renew(&mut self, next: &Config) -> Result<Rules, Vec<String>> {
        let files = Files::load(next)?;
        let tls = self.reach.tls.renewal(next, files.has_keys())?;
        let rules = self.reach.access.reload(next, files).map_err(|problem| vec![problem])?;
        tls.apply();
        Ok(rules)
    }

    async fn apply(&self, next: &Config, rules: &Rules) {
        if let Err(problem) = self.level.set(&next.log.level) {
            tracing::warn!("{problem}");
        }
        // They are the same listeners as before: others wait for a restart.
        for (id, listener) in (0..).map(ListenerId).zip(next.listeners()) {
            if let Some(gate) = self.reach.gates.get(id) {
                gate.set_limits(listener.config.max_connections, listener.config.max_conn_rate);
            }
        }
        for gateway in &self.reach.gateways {
            gateway.reload(next);
        }
        for shard in &self.reach.commands {
            // A shard that hears nothing any more has told why it ended.
            let Rules { auth, acl, listeners } = rules.clone();
            drop(shard.send(Command::Rules { auth, acl, listeners }).await);
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

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::gate::Gate;
    use transport::config::{ListenerConfig, StreamListenerConfig};

    #[test]
    fn a_listener_gets_its_own_limits_whatever_its_name() {
        let mut next = Config::default();
        next.gateways.mqttsn.listeners.udp.clear();
        for (name, most) in [("b", 3), ("a.b", 5)] {
            let listener = ListenerConfig { max_connections: most, ..ListenerConfig::on(0) };
            next.gateways.mqttsn.listeners.udp.insert(name.to_owned(), listener);
        }
        let gates = Gates::new(vec![Gate::new(1, 1), Gate::new(1, 1)]);
        let access = Access::start(&Config::default(), "north").unwrap();
        let rules = access.rules();
        let reach = Reach {
            gates: gates.clone(),
            gateways: Vec::new(),
            tls: ListenerTls::default(),
            access,
            commands: Vec::new(),
        };
        let reloading = Reloading { file: None, config: Config::default(), level: logs::Level::of_nobody(), reach };
        crate::worker::runtime().unwrap().block_on(reloading.apply(&next, &rules));
        let limits = [0, 1].map(|id| gates.get(ListenerId(id)).unwrap().max_sessions());
        assert_eq!(limits, [5, 3], "by name: a.b, b");
    }

    #[test]
    fn a_shard_has_the_rules_before_its_machines_ask_by_them() {
        let (commands, mut heard) = mpsc::channel(4);
        let access = Access::start(&Config::default(), "north").unwrap();
        let rules = access.rules();
        let reach = Reach {
            gates: Gates::default(),
            gateways: Vec::new(),
            tls: ListenerTls::default(),
            access,
            commands: vec![commands],
        };
        let reloading = Reloading { file: None, config: Config::default(), level: logs::Level::of_nobody(), reach };
        let runtime = crate::worker::runtime().unwrap();
        runtime.block_on(reloading.apply(&Config::default(), &rules));
        assert!(matches!(heard.try_recv(), Ok(Command::Rules { .. })));
        assert!(matches!(heard.try_recv(), Ok(Command::Reconfigure)));
    }

    #[test]
    fn keys_and_users_stay_where_a_certificate_is_no_good() {
        let keys = std::env::temp_dir().join(format!("tidegate-reload-{}.txt", std::process::id()));
        let write = |text: &str| std::fs::write(&keys, text).unwrap();
        write("pump:00112233445566778899aabbccddeeff\n");
        let mut config = Config::default();
        config.auth.psk.file = Some(keys.clone());
        config.gateways.tcp.listeners.tls.insert("a".to_owned(), StreamListenerConfig::tls(0));
        let access = Access::start(&config, "north").unwrap();
        let live = access.keys().clone();
        let tls = ListenerTls::load(&config, &live).unwrap();
        let reach = Reach { gates: Gates::default(), gateways: Vec::new(), tls, access, commands: Vec::new() };
        let mut reloading = Reloading { file: None, config, level: logs::Level::of_nobody(), reach };

        write("valve:00112233445566778899aabbccddeeff\n");
        let good = reloading.config.clone();
        let mut bad = good.clone();
        bad.auth.allow_anonymous = Some(false);
        let tls = bad.gateways.tcp.listeners.tls.get_mut("a").unwrap().tls.as_mut().unwrap();
        (tls.cert_file, tls.key_file) = (Some("/nowhere/a.crt".into()), Some("/nowhere/a.key".into()));
        let told = reloading.renew(&bad).unwrap_err();
        assert!(told[0].starts_with("gateways.tcp.listeners.tls.a.tls.cert_file: "), "{told:?}");
        let known = || ["pump", "valve"].map(|identity| live.get().key(identity).is_some());
        assert_eq!((known(), reloading.reach.access.rules().auth.allow_anonymous), ([true, false], None));

        reloading.renew(&good).unwrap();
        assert_eq!(known(), [false, true]);
        std::fs::remove_file(&keys).unwrap();
    }
}
