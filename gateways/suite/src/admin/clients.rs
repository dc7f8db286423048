//! `/api/v5/gateways/{name}/clients` and their subscriptions.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use bridge_core::Qos;
use bridge_core::ask::{Answer, ClientRow};
use bridge_core::peer::GatewayId;
use bridge_core::topic::TopicFilter;
use serde_json::{Value, json};
use transport::Question;

use super::fault::{Fault, Json};
use super::present;
use super::query::{self, ClientsQuery, From};
use super::walk::{Position, SCAN, Step, Walk};
use super::{Admin, MOST_BODY, PathResult, bad_path};

/// For a whole list. Each slice of it has its own time.
const LIST_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    path: PathResult<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json, Fault> {
    let Path(name) = path.map_err(|fault| bad_path(&fault))?;
    let (info, gateway) = admin.gateway(&name)?;
    let query = ClientsQuery::read(raw.as_deref())?;
    let (rows, next, count) = match &query.id {
        Some(id) => {
            let row = admin.client(gateway, id).await?.filter(|row| fits(&query, row));
            let rows: Vec<_> = row.filter(|_| query.from == From::Page(1)).into_iter().collect();
            let count = rows.len() as u64;
            (rows, None, Some(count))
        }
        None => {
            let (rows, next) = admin.page(gateway, &query).await?;
            (rows, next, query.wants_all().then(|| admin.sessions_of(&name)))
        }
    };
    let data: Vec<Value> = rows.iter().map(|row| present::client(row, &admin.inventory.node, info.protocol)).collect();
    let mut meta = json!({ "limit": query.limit, "hasnext": next.is_some() });
    let mut say = |key: &str, value: Option<Value>| {
        if let (Value::Object(meta), Some(value)) = (&mut meta, value) {
            meta.insert(key.to_owned(), value);
        }
    };
    say("page", if let From::Page(page) = query.from { Some(page.into()) } else { None });
    say("count", count.map(Into::into));
    say("cursor", next.map(|next| next.to_string().into()));
    Ok(Json(json!({ "data": data, "meta": meta })))
}

fn fits(query: &ClientsQuery, row: &ClientRow) -> bool {
    query.wanted.fits(&row.id, &row.username, row.address.ip(), row.state, row.clean)
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    path: PathResult<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Json, Fault> {
    let Path((name, id)) = path.map_err(|fault| bad_path(&fault))?;
    query::nothing(raw.as_deref())?;
    let (info, gateway) = admin.gateway(&name)?;
    let row = admin.client(gateway, &id).await?.ok_or_else(Fault::no_such_client)?;
    Ok(Json(present::client(&row, &admin.inventory.node, info.protocol)))
}

pub(super) async fn kick(
    State(admin): State<Arc<Admin>>,
    path: PathResult<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<StatusCode, Fault> {
    let Path((name, id)) = path.map_err(|fault| bad_path(&fault))?;
    query::nothing(raw.as_deref())?;
    let (_, gateway) = admin.gateway(&name)?;
    done(&admin.ask_owner(gateway, &id, Question::Kick(id.as_str().into())).await?)?;
    tracing::info!(gateway = %name, client_id = %id, "kicked by the admin API");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn subscriptions(
    State(admin): State<Arc<Admin>>,
    path: PathResult<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Json, Fault> {
    let Path((name, id)) = path.map_err(|fault| bad_path(&fault))?;
    query::nothing(raw.as_deref())?;
    let (_, gateway) = admin.gateway(&name)?;
    match admin.ask_owner(gateway, &id, Question::Subscriptions(id.as_str().into())).await? {
        Answer::Subscriptions(rows) => Ok(Json(rows.iter().map(|row| present::subscription(row, &id)).collect())),
        other => Err(done(&other).err().unwrap_or_else(odd)),
    }
}

pub(super) async fn subscribe(
    State(admin): State<Arc<Admin>>,
    path: PathResult<(String, String)>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json), Fault> {
    let Path((name, id)) = path.map_err(|fault| bad_path(&fault))?;
    query::nothing(raw.as_deref())?;
    let (_, gateway) = admin.gateway(&name)?;
    // A form of a web page cannot say so; a script of one has to ask us first, and is told no.
    if !is_json(&headers) {
        return Err(Fault::not_json());
    }
    let body = body.map_err(|fault| match fault.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::too_large(MOST_BODY),
        _ => Fault::bad_request("the body cannot be read"),
    })?;
    let (topic, qos) = subscription(&body)?;
    let question = Question::Subscribe { id: id.as_str().into(), filter: topic.as_str().into(), qos };
    done(&admin.ask_owner(gateway, &id, question).await?)?;
    Ok((StatusCode::CREATED, Json(json!({ "clientid": id, "topic": topic, "qos": qos.bits() }))))
}

pub(super) async fn unsubscribe(
    State(admin): State<Arc<Admin>>,
    path: PathResult<(String, String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<StatusCode, Fault> {
    let Path((name, id, topic)) = path.map_err(|fault| bad_path(&fault))?;
    query::nothing(raw.as_deref())?;
    let (_, gateway) = admin.gateway(&name)?;
    check_filter(&topic)?;
    let question = Question::Unsubscribe { id: id.as_str().into(), filter: topic.into() };
    done(&admin.ask_owner(gateway, &id, question).await?)?;
    Ok(StatusCode::NO_CONTENT)
}

impl Admin {
    /// One client, from the shard that it lives on.
    async fn client(&self, gateway: GatewayId, id: &str) -> Result<Option<ClientRow>, Fault> {
        match self.ask_owner(gateway, id, Question::Show(id.into())).await? {
            Answer::Client(row) => Ok(Some(*row)),
            Answer::NoSuchClient => Ok(None),
            _ => Err(odd()),
        }
    }

    /// A page, and where the next begins.
    async fn page(
        &self,
        gateway: GatewayId,
        query: &ClientsQuery,
    ) -> Result<(Vec<ClientRow>, Option<Position>), Fault> {
        let shards = u16::try_from(self.workers.len()).unwrap_or(u16::MAX);
        let (from, skip) = match query.from {
            From::Page(page) => {
                (Position { shard: 0, after: None }, page.saturating_sub(1).saturating_mul(query.limit))
            }
            From::Cursor(position) => (position, 0),
        };
        let mut walk = Walk::new(shards, from, skip, query.limit);
        let whole = async {
            while let Some(Step { at, rows }) = walk.step() {
                let question = Question::List { after: at.after, rows, scan: SCAN, wanted: Arc::clone(&query.wanted) };
                match self.ask(at.shard, gateway, question).await? {
                    Answer::Page { rows, next } => walk.take(rows, next),
                    _ => return Err(odd()),
                }
            }
            Ok((walk.rows, walk.next))
        };
        let late = |_late| Fault::unavailable("the list takes too long: ask for less of it");
        tokio::time::timeout(LIST_PATIENCE, whole).await.map_err(late)?
    }
}

/// What an answer without news comes to.
fn done(answer: &Answer) -> Result<(), Fault> {
    match answer {
        Answer::Done => Ok(()),
        Answer::NoSuchClient => Err(Fault::no_such_client()),
        Answer::NoSuchSubscription => Err(Fault::no_such_subscription()),
        Answer::OwnSubscription => Err(Fault::own_subscription()),
        Answer::Refused(why) => Err(Fault::refused(*why)),
        Answer::Page { .. } | Answer::Client(_) | Answer::Subscriptions(_) => Err(odd()),
    }
}

/// A machine has answered something else than it was asked.
fn odd() -> Fault {
    Fault::unavailable("the gateway has answered another question")
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// `{"topic", "qos"}`; QoS 0 unless something else is said.
fn subscription(body: &[u8]) -> Result<(String, Qos), Fault> {
    let parsed: Value =
        serde_json::from_slice(body).map_err(|fault| Fault::bad_request(format!("the body is no JSON: {fault}")))?;
    let Value::Object(mut fields) = parsed else {
        return Err(Fault::bad_request("the body must be an object: {\"topic\": \"…\", \"qos\": 0}"));
    };
    let Some(Value::String(topic)) = fields.remove("topic") else {
        return Err(Fault::bad_request("topic must be there, as a text"));
    };
    let qos = match fields.remove("qos") {
        None => Some(Qos::AtMostOnce),
        Some(qos) => qos.as_u64().and_then(|bits| u8::try_from(bits).ok()).and_then(Qos::from_bits),
    };
    let qos = qos.ok_or_else(|| Fault::bad_request("qos is 0, 1 or 2"))?;
    if let Some(key) = fields.keys().next() {
        return Err(Fault::bad_request(format!("unknown field {key:?}: there are topic and qos")));
    }
    check_filter(&topic)?;
    Ok((topic, qos))
}

fn check_filter(text: &str) -> Result<(), Fault> {
    match TopicFilter::try_from(text) {
        Ok(_) => Ok(()),
        Err(fault) => Err(Fault::bad_request(format!("topic is no topic filter: it {fault}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_subscription_is_a_topic_and_perhaps_a_qos() {
        let read = |text: &str| subscription(text.as_bytes()).map_err(|fault| fault.message);
        assert_eq!(read(r#"{"topic":"a/#"}"#), Ok(("a/#".to_owned(), Qos::AtMostOnce)));
        assert_eq!(read(r#"{"qos":2,"topic":"a"}"#), Ok(("a".to_owned(), Qos::ExactlyOnce)));
        for (body, expected) in [
            ("",                              "the body is no JSON: EOF while parsing a value at line 1 column 0"),
            ("[]",                            "the body must be an object: {\"topic\": \"…\", \"qos\": 0}"),
            ("{}",                            "topic must be there, as a text"),
            (r#"{"topic":1}"#,                "topic must be there, as a text"),
            (r#"{"topic":"a","qos":3}"#,      "qos is 0, 1 or 2"),
            (r#"{"topic":"a","qos":256}"#,    "qos is 0, 1 or 2"),
            (r#"{"topic":"a","qos":"1"}"#,    "qos is 0, 1 or 2"),
            (r#"{"topic":"a","nl":1}"#,       "unknown field \"nl\": there are topic and qos"),
        ] {
            assert_eq!(read(body), Err(expected.to_owned()), "{body}");
        }
        for topic in ["", "a/#/b", "a\\u0000"] {
            let fault = read(&format!(r#"{{"topic":"{topic}"}}"#)).unwrap_err();
            assert!(fault.starts_with("topic is no topic filter: it "), "{fault}");
        }
    }

    #[test]
    fn json_is_said_to_be_json() {
        for (kind, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/jsonp", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
