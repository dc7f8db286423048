//! The admin listener: is it alive, is it ready, what has it counted, who is connected. A thread and a runtime of its own,
//! so that whoever asks disturbs no shard.

mod clients;
mod connections;
mod credentials;
mod fault;
mod gateways;
mod guard;
mod lockout;
mod metrics;
mod openapi;
mod present;
mod query;
mod ready;
mod walk;

pub(crate) use gateways::{GatewayInfo, ListenerInfo};

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Router, middleware};
use bridge_core::ask::Answer;
use bridge_core::meter::Meter;
use bridge_core::owners::{Directory, Owner, Owners};
use bridge_core::peer::{GatewayId, ShardId};
use serde_json::json;
use settings::Secret;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use transport::{Command, Question, Report};

use crate::failure::Failure;
use crate::worker::{Ended, Part, Worker, guarded, runtime};
use connections::{Bounded, Caller};
use credentials::Credentials;
use fault::{Fault, Json};
use guard::Guard;

/// For all shards to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Questions about clients on their way to shards, of all requests together: fewer than commands fit into a shard's
/// queue, so that whoever asks whether it lives finds room.
const QUESTIONS: usize = 4;
/// For a place among those.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// Octets of a request's body at most: a topic filter has 65,535, and in JSON each may take six.
const MOST_BODY: usize = 512 * 1024;

/// Parameters of a path, decoded, or why not.
type PathResult<T> = Result<Path<T>, PathRejection>;

/// A bound listener that nobody serves yet.
#[derive(Debug)]
pub(crate) struct AdminListener {
    listener: TcpListener,
    /// With the port that was chosen if 0 was asked for.
    pub(crate) address: SocketAddr,
}

impl AdminListener {
    /// # Errors
    /// Why there is no listener on `address`.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let cannot = |fault: std::io::Error| {
            let why = match fault.kind() {
                std::io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
                _ => fault.to_string(),
            };
            Failure::Running(format!("listener admin: TCP {address}: cannot bind: {why}"))
        };
        let listener = TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address })
    }
}

/// What there is, by name.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    /// The node's name.
    pub(crate) node: String,
    /// All gateways.
    pub(crate) gateways: Vec<GatewayInfo>,
    /// Their listeners.
    pub(crate) listeners: Vec<ListenerInfo>,
}

/// What the admin API knows.
#[derive(Debug)]
pub(crate) struct Admin {
    /// The shards, by number.
    workers: Vec<Worker>,
    inventory: Inventory,
    owners: Owners,
    stopping: Arc<AtomicBool>,
    /// Seconds since the Unix epoch when the process started.
    started_s: u64,
    questions: Semaphore,
    /// See [`PATIENCE`].
    patience: Duration,
    /// The guard's.
    meter: Arc<Meter>,
}

/// What the admin API is made of.
#[derive(Debug)]
pub(crate) struct AdminSettings<'a> {
    /// The shards, by number.
    pub(crate) workers: Vec<Worker>,
    /// What there is.
    pub(crate) inventory: Inventory,
    /// Who lives where.
    pub(crate) directory: Arc<Directory>,
    /// Set when the process is to end.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Seconds since the Unix epoch when the process started.
    pub(crate) started_s: u64,
    /// Who may ask; both empty = everybody.
    pub(crate) username: &'a str,
    /// See `username`.
    pub(crate) password: &'a Secret,
}

impl Admin {
    /// One question to one shard.
    ///
    /// # Errors
    /// That it does not answer in time.
    async fn ask(&self, shard: u8, gateway: GatewayId, question: Question) -> Result<Answer, Fault> {
        let busy = |_late| Fault::unavailable("too many questions wait for an answer");
        let place = tokio::time::timeout(QUEUE_PATIENCE, self.questions.acquire()).await.map_err(busy)?;
        let silent = || Fault::unavailable(format!("shard {shard} does not answer"));
        let until = Instant::now() + self.patience;
        let worker = self.workers.get(usize::from(shard)).ok_or_else(silent)?;
        let (answer, answered) = oneshot::channel();
        let command = Command::Ask { gateway, question, answer };
        let told = async {
            worker.commands.send(command).await.ok()?;
            answered.await.ok()
        };
        let told = timeout_at(until, told).await.ok().flatten();
        drop(place);
        told.ok_or_else(silent)
    }

    /// One question to the shard that a client lives on.
    ///
    /// # Errors
    /// That it does not answer in time.
    async fn ask_owner(&self, gateway: GatewayId, id: &str, question: Question) -> Result<Answer, Fault> {
        match self.owners.locate(gateway, id) {
            Owner::Here => self.ask(HERE.0, gateway, question).await,
            Owner::Elsewhere(ShardId(shard)) => self.ask(shard, gateway, question).await,
            Owner::Nobody => Ok(Answer::NoSuchClient),
        }
    }

    /// Everything that is counted.
    fn meters(&self) -> Vec<Arc<Meter>> {
        let workers = self.workers.iter().flat_map(|worker| &worker.meters);
        workers.chain(std::iter::once(&self.meter)).cloned().collect()
    }

    /// Has the gauges brought up to date. The last numbers of who does not answer will do.
    async fn refresh(&self) {
        drop(self.reports().await);
    }

    /// What each shard says; `None` for one that does not answer in time.
    async fn reports(&self) -> Vec<Option<Report>> {
        let until = Instant::now() + self.patience;
        let mut asked = Vec::new();
        for worker in &self.workers {
            let (answer, answered) = oneshot::channel();
            let sent = worker.commands.try_send(Command::Report(answer)).is_ok();
            asked.push(sent.then_some(answered));
        }
        let mut reports = Vec::new();
        for answered in asked {
            reports.push(match answered {
                Some(answered) => timeout_at(until, answered).await.ok().and_then(Result::ok),
                None => None,
            });
        }
        reports
    }
}

/// The directory is asked in the name of this shard; which one does not matter.
const HERE: ShardId = ShardId(0);

/// Serves on a thread of its own until the process ends.
///
/// # Errors
/// If there is no thread.
pub(crate) fn start(
    listener: AdminListener,
    settings: AdminSettings<'_>,
    ended: mpsc::UnboundedSender<Ended>,
) -> Result<(), Failure> {
    let credentials = Credentials::new(settings.username, settings.password.expose());
    let guard = Guard::new(credentials, &settings.inventory.node);
    let admin = Admin {
        workers: settings.workers,
        inventory: settings.inventory,
        owners: Owners::new(settings.directory, HERE),
        stopping: settings.stopping,
        started_s: settings.started_s,
        questions: Semaphore::new(QUESTIONS),
        patience: PATIENCE,
        meter: guard.meter(),
    };
    let app = router(Arc::new(admin), guard).into_make_service_with_connect_info::<Caller>();
    let serve = move || {
        let runtime = runtime()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener.listener).map_err(|fault| fault.to_string())?;
            let listener = Bounded::new(listener, connections::MOST, connections::IDLE);
            axum::serve(listener, app).await.map_err(|fault| fault.to_string())
        })
    };
    let body = move || {
        let how = guarded(serve);
        // The receiver is gone only when the process is about to be.
        drop(ended.send(Ended { who: Part::Admin, how }));
    };
    thread::Builder::new()
        .name("admin".to_owned())
        .spawn(body)
        .map(|_handle| ())
        .map_err(|fault| Failure::Running(format!("cannot start the admin listener: {fault}")))
}

/// What a path has: methods, as OpenAPI writes them, with what each does.
type Methods = Vec<(&'static str, MethodRouter<Arc<Admin>>)>;

/// Every path but `/healthz`. `openapi.json` names the same, and a test holds the two together.
fn paths() -> Vec<(&'static str, Methods)> {
    vec![
        ("/readyz", vec![("get", get(readyz))]),
        ("/metrics", vec![("get", get(metrics_text))]),
        ("/api/openapi.json", vec![("get", get(openapi::serve))]),
        ("/api/v5/status", vec![("get", get(status))]),
        ("/api/v5/gateways", vec![("get", get(gateways::list))]),
        ("/api/v5/gateways/{name}", vec![("get", get(gateways::show))]),
        ("/api/v5/gateways/{name}/listeners", vec![("get", get(gateways::listeners))]),
        ("/api/v5/gateways/{name}/clients", vec![("get", get(clients::list))]),
        (
            "/api/v5/gateways/{name}/clients/{clientid}",
            vec![("get", get(clients::show)), ("delete", delete(clients::kick))],
        ),
        (
            "/api/v5/gateways/{name}/clients/{clientid}/subscriptions",
            vec![("get", get(clients::subscriptions)), ("post", post(clients::subscribe))],
        ),
        (
            "/api/v5/gateways/{name}/clients/{clientid}/subscriptions/{topic}",
            vec![("delete", delete(clients::unsubscribe))],
        ),
    ]
}

/// Whether the process lives is no secret: whoever watches over it need not log in.
const OPEN: &str = "/healthz";

fn router(admin: Arc<Admin>, guard: Guard) -> Router {
    let closed = paths().into_iter().fold(Router::new(), |router, (path, methods)| {
        let methods = methods.into_iter().fold(MethodRouter::new(), |all, (_, one)| all.merge(one));
        router.route(path, methods)
    });
    let layer = middleware::from_fn_with_state(Arc::new(guard), guard::check);
    closed
        .route_layer(layer)
        .route(OPEN, get(healthz))
        .fallback(async || Fault::no_such_path())
        .method_not_allowed_fallback(async || Fault::no_such_method())
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(admin)
}

/// A path whose escapes are none.
fn bad_path(fault: &PathRejection) -> Fault {
    Fault::bad_request(format!("the path cannot be read: {}", fault.body_text()))
}

async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    let silent: Vec<_> = (0..).zip(admin.reports().await).filter(|(_, report)| report.is_none()).collect();
    if silent.is_empty() {
        return "ok\n".into_response();
    }
    let silent: Vec<_> =
        silent.iter().map(|(number, _): &(usize, _)| format!("shard {number} does not answer\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, silent.concat()).into_response()
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let readiness = ready::judge(&admin.reports().await, admin.stopping.load(Ordering::Relaxed));
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, [(CONTENT_TYPE, "application/json")], readiness.json()).into_response()
}

async fn metrics_text(State(admin): State<Arc<Admin>>) -> Response {
    admin.refresh().await;
    match metrics::text(admin.meters().iter(), admin.started_s) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_fault) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The node in a few words.
async fn status(State(admin): State<Arc<Admin>>, RawQuery(raw): RawQuery) -> Result<Json, Fault> {
    query::nothing(raw.as_deref())?;
    let readiness = ready::judge(&admin.reports().await, admin.stopping.load(Ordering::Relaxed));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(Json(json!({
        "node": admin.inventory.node,
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": present::rfc3339(admin.started_s.saturating_mul(1000)),
        "uptime": now.as_secs().saturating_sub(admin.started_s),
        "workers": admin.workers.len(),
        "ready": readiness.ready,
        "reason": readiness.reason,
        "links": readiness.links,
    })))
}

#[cfg(test)]
mod tests;
