//! What can be run, and is hardly meant: the node says so at its start and at a reload, `check` at once.

use auth::config::{OnAllIgnore, Source};
use config::{Config, KeyPath};

use super::Files;

/// What is unwise about `[auth]`, its files and the listeners' `access`, by key.
pub(super) fn unwise(config: &Config, files: &Files) -> Vec<(KeyPath, String)> {
    let mut found = users(config, files);
    found.extend(keys(config, files));
    found.extend(nobody_comes_in(config));
    found.extend(nobody_is_heard(config));
    found
}

fn users(config: &Config, files: &Files) -> Vec<(KeyPath, String)> {
    let readable = files.users.iter().filter(|(_, loaded)| loaded.world_readable);
    let told = readable.filter_map(|(path, _)| {
        let names = |source: &Source| matches!(source, Source::File { path: named } if named == path);
        let at = config.auth.chain.iter().position(|entry| names(&entry.source))?;
        let message = format!("{}: everybody on this machine can read the hashes: chmod o-r", path.display());
        Some((KeyPath::from("auth.chain").element(at).child("path"), message))
    });
    told.collect()
}

fn keys(config: &Config, files: &Files) -> Vec<(KeyPath, String)> {
    let (Some(loaded), Some(path)) = (&files.keys, &config.auth.psk.file) else { return Vec::new() };
    let (psk, path) = (KeyPath::from("auth.psk"), path.display());
    let mut found = Vec::new();
    if loaded.world_readable {
        found.push((psk.child("file"), format!("{path}: everybody on this machine can read the keys: chmod o-r")));
    }
    if loaded.short > 0 {
        found
            .push((psk.child("file"), format!("{path}: keys of less than 16 octets can be guessed: {}", loaded.short)));
    }
    // Who misspells an identity leaves the one that is meant unbound.
    for identity in config.auth.psk.endpoints.keys().filter(|identity| loaded.keys.key(identity).is_none()) {
        found.push((psk.child("endpoints").child(identity), format!("an identity that has no key in {path}")));
    }
    found
}

/// Chains of which no entry decides, and no rule for those whom they leave. `allow_anonymous` is none: whoever has been given a
/// credential is not anonymous.
fn nobody_comes_in(config: &Config) -> Vec<(KeyPath, String)> {
    if config.auth.on_all_ignore == OnAllIgnore::Allow {
        return Vec::new();
    }
    let gateways = config.gateways.all().into_iter().filter(|gateway| {
        let asks = gateway.listeners.iter().any(|listener| listener.config.enable_authn);
        let mut serving = config.auth.chain.iter().filter(|entry| {
            entry.gateways.is_empty() || entry.gateways.iter().any(|name| name.as_str() == gateway.name)
        });
        let undecided = |source: &Source| matches!(source, Source::Static { .. });
        gateway.enable
            && asks
            && serving.next().is_some_and(|first| undecided(&first.source))
            && serving.all(|entry| undecided(&entry.source))
    });
    let told = gateways.map(|gateway| {
        let message = format!(
            "no entry decides about clients of {}, so none of them may come in: \"static\" gives a credential that another \
             entry judges (\"file\", \"broker\"); or set auth.on_all_ignore = \"allow\"",
            gateway.name
        );
        (KeyPath::from("auth.chain"), message)
    });
    told.collect()
}

/// Lists of addresses that can hardly be meant as they stand.
fn nobody_is_heard(config: &Config) -> Vec<(KeyPath, String)> {
    let mut found = Vec::new();
    for listener in config.listeners() {
        let (key, access) = (listener.key().child("access"), listener.config.policy().access);
        if let Some(rule) = access.unreached() {
            let message = format!("\"{rule}\" is never reached: a rule before it is about all addresses");
            found.push((key.clone(), message));
        }
        if access.is_shut() {
            let message = "nobody is heard: what no rule is about is denied, too; \"allow all\" goes last";
            found.push((key, message.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::config::{EntryConfig, GatewayName};

    fn told(config: &Config) -> Vec<String> {
        let files = Files::load(config).unwrap();
        unwise(config, &files).iter().map(|(key, message)| format!("{key}: {message}")).collect()
    }

    #[test]
    fn a_gateway_whose_chain_never_decides_lets_nobody_in() {
        let fixed = || Source::Static { username: "gw".into(), password: "pw".to_owned().into() };
        let entry = |gateways: &[GatewayName], source| EntryConfig { gateways: gateways.to_vec(), source };
        let mut config = Config::default();
        assert!(told(&config).is_empty(), "everybody comes in");
        config.auth.chain = vec![entry(&[], fixed()), entry(&[GatewayName::Tcp], Source::Broker)];
        let found = told(&config);
        assert!(
            found.len() == 1 && found[0].starts_with("auth.chain: no entry decides about clients of mqttsn"),
            "{found:?}"
        );
        config.auth.allow_anonymous = Some(true);
        assert_eq!(told(&config), found, "whoever has a user name is not anonymous");
        config.auth.on_all_ignore = OnAllIgnore::Allow;
        assert!(told(&config).is_empty());
        config.auth.on_all_ignore = OnAllIgnore::Deny;
        for listener in config.gateways.mqttsn.listeners.udp.values_mut() {
            listener.enable_authn = false;
        }
        assert!(told(&config).is_empty(), "nobody is asked");
    }

    #[test]
    fn a_listener_that_hears_nobody_is_told() {
        let mut config = Config::default();
        for listener in config.gateways.mqttsn.listeners.udp.values_mut() {
            listener.access = Vec::new();
        }
        let found = told(&config);
        let expected = "gateways.mqttsn.listeners.udp.default.access: nobody is heard";
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    }
}
