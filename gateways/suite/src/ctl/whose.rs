//! Whose clients are asked for where the command line names no gateway.

use serde_json::Value;

use super::api::Api;
use super::views::at;
use crate::failure::Failure;

/// The gateway that is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whose {
    /// Its name.
    pub(super) gateway: String,
    /// Others that run, where nobody has chosen among them.
    others: Vec<String>,
}

impl Whose {
    /// The one that is named; else the only one that runs, or the first of them.
    ///
    /// # Errors
    /// Why the node does not say which run.
    pub(super) async fn find(api: &Api, named: Option<&str>) -> Result<Self, Failure> {
        match named {
            Some(name) => Ok(Self { gateway: name.to_owned(), others: Vec::new() }),
            None => Self::among(&api.get("/api/v5/gateways").await?)
                .ok_or_else(|| Failure::Running("no gateway runs there, so there are no clients".to_owned())),
        }
    }

    fn among(gateways: &Value) -> Option<Self> {
        let running = gateways.as_array()?.iter().filter(|gateway| at(gateway, "status") == "running");
        let mut names = running.filter_map(|gateway| Some(at(gateway, "name").as_str()?.to_owned()));
        Some(Self { gateway: names.next()?, others: names.collect() })
    }

    /// What to say beside an answer that may be for want of the right gateway.
    pub(super) fn hint(&self) -> Option<String> {
        let Self { gateway, others } = self;
        (!others.is_empty()).then(|| format!("{gateway} was asked; --gateway asks another: {}", others.join(", ")))
    }

    /// The same at the end of a refusal, if it is for want of the client: nothing else is the gateway's doing.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        match (failure, self.hint()) {
            (Failure::Running(why), Some(hint)) if why.ends_with(NO_CLIENT) => {
                Failure::Running(format!("{why} ({hint})"))
            }
            (failure, _) => failure,
        }
    }
}

/// How the API says that a client is not there.
const NO_CLIENT: &str = "no client with this id";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn among(states: [&str; 2]) -> Option<(String, Option<String>)> {
        let [mqttsn, tcp] = states;
        let told =
            json!([{ "name": "mqttsn", "status": mqttsn }, { "name": "tcp", "status": tcp }, { "name": "coap" }]);
        Whose::among(&told).map(|whose| (whose.gateway.clone(), whose.hint()))
    }

    #[test]
    fn the_only_gateway_that_runs_is_asked_and_of_several_the_first_is_named() {
        let several = "mqttsn was asked; --gateway asks another: tcp".to_owned();
        assert_eq!(among(["stopped", "running"]), Some(("tcp".to_owned(), None)));
        assert_eq!(among(["running", "stopped"]), Some(("mqttsn".to_owned(), None)));
        assert_eq!(among(["running", "running"]), Some(("mqttsn".to_owned(), Some(several))));
        assert_eq!(among(["stopped", "unloaded"]), None);
    }

    #[test]
    fn a_refusal_says_who_was_asked_where_nobody_has_chosen() {
        let refused = || Failure::Running("the gateway has no client with this id".to_owned());
        let whose = |others: &[&str]| Whose {
            gateway: "mqttsn".to_owned(),
            others: others.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(whose(&[]).explain(refused()), refused());
        let told = "the gateway has no client with this id (mqttsn was asked; --gateway asks another: tcp)";
        assert_eq!(whose(&["tcp"]).explain(refused()), Failure::Running(told.to_owned()));
        let other = || Failure::Running("no answer within 15 s".to_owned());
        assert_eq!(whose(&["tcp"]).explain(other()), other());
    }
}
