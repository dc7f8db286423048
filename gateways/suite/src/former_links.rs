//! Links that an earlier configuration had: fewer connections or workers, another prefix or node name leave sessions at the
//! broker that nobody comes back for. `data_dir` keeps the client ids of the last run; the sessions of those that are
//! gone are ended in the background, one after the other. The list also says whether the last run wrote down what its links
//! had at the broker: if it did not, an older record tells of sessions that are not there any more.

mod list;

use std::path::PathBuf;
use std::sync::Arc;

use bridge_core::link::{Link, LinkSettings};
use bridge_core::meter::{Counts, Meter};
use bridge_core::metrics::LINK_SESSIONS_ENDED;
use config::SessionStore;
use list::List;
use transport::Clock;
use transport::broker::Target;

use crate::wiring::{self, CONNECT_TIMEOUT, Node};

bridge_core::count! {
    /// What is counted of links that are gone.
    enum FormerCount {
        /// Sessions of theirs that were ended.
        Ended = LINK_SESSIONS_ENDED {};
    }
}

/// What is to be done about the links of an earlier run.
#[derive(Debug)]
pub(crate) struct FormerLinks {
    file: PathBuf,
    /// Client ids of this run.
    current: Vec<String>,
    /// Client ids that are gone.
    gone: Vec<String>,
    links: Vec<LinkSettings>,
    /// Sessions outlive this run.
    durable: bool,
    /// They outlived the last one.
    was_durable: bool,
    targets: Arc<[Target]>,
    counts: Counts<FormerCount>,
}

impl FormerLinks {
    /// Reads who is gone. Trouble with the file is told, and stops nothing.
    pub(crate) fn find(node: &Node<'_>) -> Self {
        let (file, current) = (node.config.node.data_dir.join(FILE), wiring::link_ids(node));
        let before = list::read(&file).unwrap_or_else(|trouble| {
            tracing::warn!(file = %file.display(), error = %trouble, "the list of links is unusable and begins anew");
            List::default()
        });
        let gone: Vec<String> = before.ids.into_iter().filter(|id| !current.contains(id)).collect();
        let links = gone.iter().take(MOST).map(|id| wiring::former_link(node, id)).collect();
        Self {
            file,
            current,
            gone,
            links,
            durable: node.config.sessions.store != SessionStore::Memory,
            was_durable: before.durable,
            targets: Arc::clone(&node.targets),
            counts: Counts::default(),
        }
    }

    /// True when a record of the links' sessions is of the last run.
    pub(crate) const fn was_durable(&self) -> bool {
        self.was_durable
    }

    /// What it counts.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        self.counts.meter()
    }

    /// Ends the sessions. `seed` spreads the attempts. A broker that refuses is asked again by the next run.
    pub(crate) async fn end_sessions(mut self, clock: Clock, seed: u64) {
        let found = self.links.len();
        for settings in std::mem::take(&mut self.links) {
            let client_id = settings.client_id.clone();
            let link = Link::new(settings, seed);
            if transport::errand::run(clock, link, Arc::clone(&self.targets), CONNECT_TIMEOUT).await.has_discarded() {
                self.counts.up(FormerCount::Ended);
                self.gone.retain(|id| *id != client_id);
                self.write();
            }
        }
        if found > 0 {
            let (ended, left) = (self.counts.get(FormerCount::Ended), self.gone.len());
            tracing::info!(ended, left, "sessions of links that are gone were ended at the broker");
        }
    }

    /// Writes down who is here; to be called before any link connects. Those whose sessions are still to be ended stay on
    /// the list.
    pub(crate) fn write(&self) {
        let ids = self.current.iter().chain(&self.gone).cloned().collect();
        if let Err(fault) = list::write(&self.file, &List { durable: self.durable, ids }) {
            tracing::warn!(
                file = %self.file.display(),
                error = %fault,
                "cannot keep the list of links: sessions of those that go will stay at the broker"
            );
        }
    }
}

/// In `node.data_dir`.
const FILE: &str = "links";
/// Sessions to be ended in one run; the rest waits for the next.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use config::Config;
    use std::fs;

    /// Finds with this file in the data directory; who is gone, and what the file says then.
    fn found(name: &str, before: &str) -> (Vec<String>, String) {
        let dir = std::env::temp_dir().join(format!("tidegate-former-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(FILE), before).unwrap();
        let mut config = Config::default();
        config.node.data_dir.clone_from(&dir);
        let target = Target::tcp("127.0.0.1", 1);
        let former = FormerLinks::find(&Node { config: &config, name: "north", workers: 1, targets: [target].into() });
        former.write();
        let text = fs::read_to_string(dir.join(FILE)).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        (former.links.iter().map(|link| link.client_id.clone()).collect(), text)
    }

    #[test]
    fn who_is_gone_stays_on_the_list_until_the_session_has_ended() {
        let before = "tidegate links 1\nsessions memory\ntidegate-north-0\ntidegate-south-0\nend 2\n";
        assert_eq!(found("gone", before), (vec!["tidegate-south-0".into()], before.into()));
    }

    #[test]
    fn a_list_that_is_none_begins_anew() {
        let expected = "tidegate links 1\nsessions memory\ntidegate-north-0\nend 1\n";
        assert_eq!(found("corrupt", "tidegate links 1\nsessions file\ntidegate-so"), (vec![], expected.into()));
    }
}
