//! Where the configuration comes from: a file, secret files, the environment.

use std::fs;
use std::path::Path;

use config::{Build, Config, KeyPath};

use crate::failure::Failure;
use crate::{access, listener_tls, tls};

/// What this binary was built with.
pub(crate) const BUILD: Build = Build { embedded: cfg!(feature = "embedded-broker") };

/// The configuration of `file`, or the defaults, with the environment laid over it.
///
/// # Errors
/// All problems, a line each.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, Failure> {
    let named = match file {
        Some(path) => Some((path.display().to_string(), read(path)?)),
        None => None,
    };
    let named = named.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    config::load(named, environment(), &mut |path| fs::read_to_string(path), &files, BUILD)
        .map_err(|problems| Failure::Configuration(problems.iter().map(ToString::to_string).collect()))
}

/// What a node would warn of with this configuration, a line each.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut found = access::warnings(config);
    found.extend(listener_tls::warnings(config, &access::keys(config)));
    found.iter().map(|(key, message)| format!("warning: {key}: {message}")).collect()
}

/// What is wrong with files that are not part of the configuration, by the key that names them.
fn files(config: &Config) -> Vec<(KeyPath, String)> {
    let mut problems = tls::problems(&config.broker.link);
    problems.extend(access::problems(config));
    problems.extend(listener_tls::problems(config, &access::keys(config)));
    let here = std::env::current_dir().map(|here| here.display().to_string()).unwrap_or_default();
    problems.into_iter().map(|(key, message)| (key, looked_for(message, &here))).collect()
}

/// A file that is not there by a relative path may be somewhere else: it is told where it was looked for.
fn looked_for(message: String, here: &str) -> String {
    if message.contains("No such file") && !message.starts_with('/') && !here.is_empty() {
        format!("{message} (looked for in {here})")
    } else {
        message
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|fault| Failure::Configuration(vec![format!("{}: cannot read: {fault}", path.display())]))
}

/// Names that are no text are nobody's keys; a value that is none is refused by its key.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_that_leads_nowhere_is_told_with_the_directory() {
        for (message, expected) in [
            ("ca.pem: No such file or directory", "ca.pem: No such file or directory (looked for in /srv)"),
            ("/ca.pem: No such file or directory", "/ca.pem: No such file or directory"),
            ("ca.pem: no certificate in it", "ca.pem: no certificate in it"),
        ] {
            assert_eq!(looked_for(message.to_owned(), "/srv"), expected);
        }
    }
}
