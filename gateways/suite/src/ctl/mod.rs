//! `tidegate ctl`: asks a running node through its admin API.

mod api;
mod arguments;
mod openmetrics;
mod table;
mod views;
mod whose;

use std::io::Write;

use serde_json::{Map, Value, json};

use crate::cli::print;
use crate::failure::Failure;
use crate::worker;
use api::{Api, encoded};
pub(crate) use arguments::Ctl;
use arguments::{ClientsCommand, Filters, What};
use views::at;
use whose::Whose;

/// Rows asked for at once.
const PAGE: usize = 1000;

/// Does what the command line asks for.
///
/// # Errors
/// Why that failed: what is wrong with the command line or the configuration, or what the node said.
pub(crate) fn execute(ctl: &Ctl) -> Result<(), Failure> {
    if let What::Trace(_) | What::Lwm2m(_) | What::Token(_) = ctl.what {
        let name = ctl.what.name();
        return Err(Failure::Configuration(vec![format!("tidegate: ctl {name} is not in this version")]));
    }
    let api = arguments::api(ctl)?;
    let runtime = worker::runtime().map_err(Failure::Running)?;
    runtime.block_on(run(&api, ctl))
}

async fn run(api: &Api, ctl: &Ctl) -> Result<(), Failure> {
    let json = ctl.json;
    match &ctl.what {
        What::Status => {
            let told = api.get("/api/v5/status").await?;
            tell(&told, json, views::status)?;
            match at(&told, "ready").as_bool() {
                Some(true) => Ok(()),
                _ => Err(Failure::Running(format!("the node is not ready: {}", views::text(at(&told, "reason"))))),
            }
        }
        What::Gateways => tell(&api.get("/api/v5/gateways").await?, json, views::gateways),
        What::Listeners { gateway } => tell(&listeners(api, gateway.as_deref()).await?, json, views::listeners),
        What::Clients { command, gateway } => {
            let whose = Whose::find(api, gateway.as_deref()).await?;
            clients(api, command, &whose, json).await.map_err(|failure| whose.explain(failure))
        }
        What::Subscriptions { id, gateway, add, qos, remove } => {
            let whose = Whose::find(api, gateway.as_deref()).await?;
            let change = Change { add: add.as_deref(), qos: *qos, remove: remove.as_deref() };
            let told = subscriptions(api, &whose, id, &change).await.map_err(|failure| whose.explain(failure))?;
            tell(&told, json, views::subscriptions)
        }
        What::Metrics => {
            let text = api.text("/metrics").await?;
            if json { print(&format!("{}\n", openmetrics::samples(&text))) } else { print(&text) }
        }
        // Refused before anybody is asked.
        What::Trace(_) | What::Lwm2m(_) | What::Token(_) => Ok(()),
    }
}

/// What is done to a client's subscriptions before they are listed.
struct Change<'a> {
    add: Option<&'a str>,
    qos: u8,
    remove: Option<&'a str>,
}

async fn subscriptions(api: &Api, whose: &Whose, id: &str, change: &Change<'_>) -> Result<Value, Failure> {
    let path = format!("/api/v5/gateways/{}/clients/{}/subscriptions", encoded(&whose.gateway), encoded(id));
    if let Some(filter) = change.add {
        api.post(&path, &json!({ "topic": filter, "qos": change.qos })).await?;
    }
    if let Some(filter) = change.remove {
        api.delete(&format!("{path}/{}", encoded(filter))).await?;
    }
    api.get(&path).await
}

/// Of one gateway, or of all.
async fn listeners(api: &Api, gateway: Option<&str>) -> Result<Value, Failure> {
    if let Some(name) = gateway {
        return api.get(&format!("/api/v5/gateways/{}/listeners", encoded(name))).await;
    }
    let gateways = api.get("/api/v5/gateways").await?;
    let each = gateways.as_array().into_iter().flatten().filter_map(|gateway| at(gateway, "listeners").as_array());
    Ok(each.flatten().cloned().collect())
}

async fn clients(api: &Api, command: &ClientsCommand, whose: &Whose, json: bool) -> Result<(), Failure> {
    let path = format!("/api/v5/gateways/{}/clients", encoded(&whose.gateway));
    match command {
        ClientsCommand::List { limit, filters } => {
            let told = list(api, &path, *limit, filters).await?;
            tell(&told, json, views::clients)?;
            let shown = at(&told, "data").as_array().map_or(0, Vec::len);
            if let Some(hint) = whose.hint().filter(|_hint| shown == 0 && !json) {
                note(&format!("no clients: {hint}"));
            }
            if !json && at(at(&told, "meta"), "hasnext") == true {
                note(&match at(at(&told, "meta"), "count").as_u64() {
                    Some(all) => format!("{shown} of {all} clients; --limit shows more"),
                    None => format!("{shown} clients, and there are more; --limit shows them"),
                });
            }
            Ok(())
        }
        ClientsCommand::Show { id } => tell(&api.get(&format!("{path}/{}", encoded(id))).await?, json, views::client),
        ClientsCommand::Kick { id } => {
            api.delete(&format!("{path}/{}", encoded(id))).await?;
            tell(&json!({ "kicked": id }), json, |_told| format!("{} is gone\n", views::printable(id)))
        }
    }
}

/// Follows the pages until there are `limit` rows: `{"data", "meta"}` as the API has it.
async fn list(api: &Api, path: &str, limit: usize, filters: &Filters) -> Result<Value, Failure> {
    let (mut rows, mut meta) = (Vec::new(), Map::new());
    let mut cursor = "none".to_owned();
    while rows.len() < limit {
        let size = PAGE.min(limit - rows.len()).to_string();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(filters.pairs()).append_pair("limit", &size).append_pair("cursor", &cursor);
        let mut told = api.get(&format!("{path}?{}", query.finish())).await?;
        if let Some(Value::Array(page)) = told.get_mut("data").map(Value::take) {
            rows.extend(page);
        }
        if meta.is_empty()
            && let Some(count) = at(&told, "meta").get("count")
        {
            meta.insert("count".to_owned(), count.clone());
        }
        meta.insert("hasnext".to_owned(), (at(at(&told, "meta"), "hasnext") == true).into());
        match at(at(&told, "meta"), "cursor").as_str() {
            Some(next) if next != cursor => cursor = next.to_owned(),
            _ => break,
        }
    }
    Ok(json!({ "data": rows, "meta": meta }))
}

/// For people as a view has it, for machines as the API has it, in one line.
fn tell(told: &Value, json: bool, view: impl Fn(&Value) -> String) -> Result<(), Failure> {
    if json { print(&format!("{told}\n")) } else { print(&view(told)) }
}

/// Beside the table, so that the table can be piped.
fn note(text: &str) {
    // Nobody reads it: nothing is lost.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
