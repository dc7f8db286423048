//! How many devices the system lets this process have connections with.

use bridge_core::config::LinkMode;
use config::{Config, ListenerKind};
use transport::config::ListenerConfig;

/// Raises the limit of open files as far as it goes, and says so where it is less than the configuration counts on.
pub(crate) fn prepare(config: &Config) {
    match transport::descriptors::raise() {
        Ok(limit) => {
            let wanted = wanted(config);
            if wanted > limit {
                tracing::warn!(
                    limit,
                    wanted,
                    "`max_connections` counts on more open files than the system allows: raise ulimit -n or LimitNOFILE"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// Files that the devices need which the operator has reckoned with. The standard `max_connections` is nobody's
/// reckoning, and 0 is none.
fn wanted(config: &Config) -> u64 {
    let own = u64::from(config.broker.link.mode == LinkMode::PerDevice);
    let standard = ListenerConfig::on(0).max_connections;
    let listeners = config.listeners().into_iter().filter(|listener| listener.config.max_connections != standard);
    listeners
        .map(|listener| {
            let each = match listener.kind {
                ListenerKind::Udp => own,
                ListenerKind::Tcp | ListenerKind::Tls => own + 1,
            };
            u64::from(listener.config.max_connections) * each
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_needs_a_file_for_each_connection_that_is_its_own() {
        let mut config = Config::default();
        let mut set = |mode, most| {
            config.broker.link.mode = mode;
            config.gateways.mqttsn.listeners.udp.get_mut("default").unwrap().max_connections = most;
            wanted(&config)
        };
        assert_eq!(set(LinkMode::Shared, 5000), 0, "datagrams share a socket");
        assert_eq!(set(LinkMode::PerDevice, 5000), 5000);
        assert_eq!(set(LinkMode::PerDevice, 1_024_000), 0, "nobody has said so many");
    }
}
