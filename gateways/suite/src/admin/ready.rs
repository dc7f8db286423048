//! Whether the node does its work: are all links online.

use serde_json::{Value, json};
use transport::{LinkReport, Report};

/// A verdict with its reasons.
#[derive(Debug, PartialEq)]
pub(super) struct Readiness {
    /// The node takes messages and gets them through.
    pub(super) ready: bool,
    /// Why not; empty when it is.
    pub(super) reason: String,
    /// Each link: see [`Readiness::json`].
    pub(super) links: Vec<Value>,
}

impl Readiness {
    /// `{"ready", "reason", "links": [{"link", "client_id", "shard", "online", "state"}]}`, a line.
    pub(super) fn json(&self) -> String {
        let Self { ready, reason, links } = self;
        format!("{}\n", json!({ "ready": ready, "reason": reason, "links": links }))
    }
}

/// `reports`: by shard; `None` for one that gave none. Links are numbered node-wide, as in their client ids: each shard
/// has the same number of them.
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
        for (number, link) in (shard * report.links.len()..).zip(&report.links) {
            let LinkReport { client_id, online, text } = link;
            let told =
                json!({ "link": number, "client_id": client_id, "shard": shard, "online": online, "state": text });
            links.push(told);
            if !online {
                because(format!("link {number} ({client_id}): {text}"));
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

    fn report(reachable: bool, online: bool, text: &str) -> Option<Report> {
        Some(Report {
            reachable,
            links: vec![LinkReport { client_id: "c-0".to_owned(), online, text: text.to_owned() }],
        })
    }

    #[test]
    fn a_node_is_ready_when_every_link_of_every_shard_is() {
        let good = || report(true, true, "online at h:1 (MQTT 5.0)");
        for (reports, stopping, reason) in [
            (vec![good(), good()], false, ""),
            (vec![good(), report(false, false, "not authorised")], false, "link 1 (c-0): not authorised"),
            (vec![good(), None], false, "shard 1 does not answer"),
            (vec![report(false, true, "online")], false, "shard 0: subscriptions are being restored"),
            (vec![good()], true, "the node is stopping"),
        ] {
            let verdict = judge(&reports, stopping);
            assert_eq!((verdict.ready, verdict.reason.as_str()), (reason.is_empty(), reason));
        }
    }

    #[test]
    fn the_answer_names_each_link_as_the_log_does() {
        let link = |number: u8, online| LinkReport {
            client_id: format!("tidegate-north-{number}"),
            online,
            text: "as it is".to_owned(),
        };
        let shard =
            |first: u8| Some(Report { reachable: true, links: vec![link(first, true), link(first + 1, false)] });
        let text = judge(&[shard(0), None, shard(4)], false).json();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["ready"], false);
        assert_eq!(answer["reason"], "link 1 (tidegate-north-1): as it is");
        let links = answer["links"].as_array().unwrap();
        let told: Vec<_> = links.iter().map(|link| (&link["link"], &link["client_id"], &link["shard"])).collect();
        let expected = [(0, 0), (1, 0), (4, 2), (5, 2)]
            .map(|(number, shard)| (json!(number), json!(format!("tidegate-north-{number}")), json!(shard)));
        assert_eq!(told, expected.each_ref().map(|(number, id, shard)| (number, id, shard)));
        assert_eq!((&links[1]["online"], &links[1]["state"]), (&json!(false), &json!("as it is")));
    }
}
