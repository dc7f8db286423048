//! The node's name: the operator's, or one that was made up once and is kept.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use bridge_core::config::check_name;
use config::NodeConfig;

/// A name, and what went wrong with keeping it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NodeName {
    /// Never empty.
    pub(crate) name: String,
    /// Why the next run will have another.
    pub(crate) trouble: Option<String>,
}

/// `node.name`, else the kept one, else a new one from `random`, which is then kept.
pub(crate) fn resolve(node: &NodeConfig, random: u32) -> NodeName {
    if !node.name.is_empty() {
        return NodeName { name: node.name.clone(), trouble: None };
    }
    let file = node.data_dir.join(FILE);
    let made_up = format!("tidegate-{random:08x}");
    match kept(&file) {
        Ok(Some(name)) => NodeName { name, trouble: None },
        Ok(None) => {
            let trouble = keep(&node.data_dir, &file, &made_up).err().map(|fault| unkept("write", &file, &fault));
            NodeName { name: made_up, trouble }
        }
        Err(fault) => NodeName { name: made_up, trouble: Some(unkept("read", &file, &fault)) },
    }
}

fn unkept(what: &str, file: &Path, fault: &io::Error) -> String {
    let file = file.display();
    format!("cannot {what} {file}: {fault}; this name is for this run only (set node.name or node.data_dir)")
}

fn kept(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => {
            let name = text.trim();
            if name.is_empty() || name.len() > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "it holds no name"));
            }
            check_name(name).map_err(|reason| io::Error::new(ErrorKind::InvalidData, format!("its name {reason}")))?;
            Ok(Some(name.to_owned()))
        }
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn keep(dir: &Path, file: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(file, format!("{name}\n"))
}

/// In `node.data_dir`.
const FILE: &str = "node-name";
/// Octets: a name becomes part of client ids and topics.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A directory of this test's own, gone afterwards.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn node(&self) -> NodeConfig {
            NodeConfig { data_dir: self.0.join("data"), ..NodeConfig::default() }
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_name_is_made_up_once_and_kept() {
        let dir = Dir::new("kept");
        let expected = NodeName { name: "tidegate-0000002a".into(), trouble: None };
        assert_eq!(resolve(&dir.node(), 42), expected);
        assert_eq!(resolve(&dir.node(), 43), expected, "the second run");
    }

    #[test]
    fn the_operators_name_goes_first_and_nothing_is_written() {
        let dir = Dir::new("given");
        let node = NodeConfig { name: "north".into(), ..dir.node() };
        assert_eq!(resolve(&node, 42), NodeName { name: "north".into(), trouble: None });
        assert!(!dir.0.join("data").exists());
    }

    #[test]
    fn a_name_that_cannot_be_kept_is_for_one_run_and_says_so() {
        let dir = Dir::new("unkept");
        fs::write(dir.0.join("data"), "a file where the directory belongs").unwrap();
        let told = resolve(&dir.node(), 42);
        assert_eq!(told.name, "tidegate-0000002a");
        assert!(told.trouble.unwrap().contains("for this run only"));
    }

    #[test]
    fn a_kept_name_that_would_break_out_of_its_topic_level_is_not_used() {
        let dir = Dir::new("broken");
        fs::create_dir_all(dir.0.join("data")).unwrap();
        for text in ["a/b\n", "", "\n", "a#"] {
            fs::write(dir.0.join("data/node-name"), text).unwrap();
            let told = resolve(&dir.node(), 42);
            assert_eq!(told.name, "tidegate-0000002a");
            assert!(told.trouble.is_some(), "{text:?}");
        }
    }
}
