//! Whether the node does its work: are all links online.

use serde_json::{Value, json};
use transport::Report;

/// A verdict with its reasons.
#[derive(Debug, PartialEq)]
pub(super) struct Readiness {
    /// The node takes messages and gets them through.
    pub(super) ready: bool,
    /// Why not; empty when it is.
    reason: String,
    links: Vec<Value>,
}

impl Readiness {
    /// `{"ready", "reason", "links": [{"shard", "link", "online", "state"}]}`, a line.
    pub(super) fn json(&self) -> String {
        let Self { ready, reason, links } = self;
        format!("{}\n", json!({ "ready": ready, "reason": reason, "links": links }))
    }
}

/// `reports`: by shard; `None` for one that gave none.
pub(super) fn judge(reports: &[Option<Report>], stopping: bool) -> Readiness {
    let mut reason = if stopping { "the node is stopping".to_owned() } else { String::new() };
    let mut because = |why: String| {
        if reason.is_empty() {
            reason = why;
        }
    };
    let mut links = Vec::new();
    for (shard, report) in reports.iter().enumerate() {
        let Some(report) = report else {
            because(format!("shard {shard} does not answer"));
            continue;
        };
        for (number, link) in report.links.iter().enumerate() {
            links.push(json!({ "shard": shard, "link": number, "online": link.online, "state": link.text }));
            if !link.online {
                because(format!("link {number} of shard {shard}: {}", link.text));
            }
        }
        if !report.reachable {
            because(format!("shard {shard}: subscriptions are being restored"));
        }
    }
    Readiness { ready: reason.is_empty(), reason, links }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::LinkReport;

    fn report(reachable: bool, online: bool, text: &str) -> Option<Report> {
        Some(Report { reachable, links: vec![LinkReport { online, text: text.to_owned() }] })
    }

    #[test]
    fn a_node_is_ready_when_every_link_of_every_shard_is() {
        let good = || report(true, true, "online at h:1 (MQTT 5.0)");
        for (reports, stopping, reason) in [
            (vec![good(), good()], false, ""),
            (vec![good(), report(false, false, "not authorised")], false, "link 0 of shard 1: not authorised"),
            (vec![good(), None], false, "shard 1 does not answer"),
            (vec![report(false, true, "online")], false, "shard 0: subscriptions are being restored"),
            (vec![good()], true, "the node is stopping"),
        ] {
            let verdict = judge(&reports, stopping);
            assert_eq!((verdict.ready, verdict.reason.as_str()), (reason.is_empty(), reason));
        }
    }

    #[test]
    fn the_answer_names_each_link() {
        let text = judge(&[report(false, false, "connection refused")], false).json();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["ready"], false);
        assert_eq!(answer["links"], json!([{ "shard": 0, "link": 0, "online": false, "state": "connection refused" }]));
    }
}
