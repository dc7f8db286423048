//! The admin listener: is it alive, is it ready, what has it counted. A thread and a runtime of its own, so that whoever
//! asks disturbs no shard.

mod credentials;
mod metrics;
mod ready;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{mpsc, oneshot};
use transport::{Command, Report};

use crate::failure::Failure;
use crate::worker::{Ended, Part, Worker, guarded, runtime};
use credentials::Credentials;

/// For all shards to answer.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// What the admin API knows.
#[derive(Debug)]
pub(crate) struct Admin {
    /// The shards, by number.
    pub(crate) workers: Vec<Worker>,
    /// Set when the process is to end.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Seconds since the Unix epoch when the process started.
    pub(crate) started_s: u64,
}

impl Admin {
    /// What each shard says; `None` for one that does not answer in time.
    async fn reports(&self) -> Vec<Option<Report>> {
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut asked = Vec::new();
        for worker in &self.workers {
            let (answer, answered) = oneshot::channel();
            let sent = worker.commands.try_send(Command::Report(answer)).is_ok();
            asked.push(sent.then_some(answered));
        }
        let mut reports = Vec::new();
        for answered in asked {
            reports.push(match answered {
                Some(answered) => tokio::time::timeout_at(until, answered).await.ok().and_then(Result::ok),
                None => None,
            });
        }
        reports
    }
}

/// Serves on a thread of its own until the process ends.
///
/// # Errors
/// If there is no thread.
pub(crate) fn start(
    listener: AdminListener,
    admin: Admin,
    username: &str,
    password: &str,
    ended: mpsc::UnboundedSender<Ended>,
) -> Result<(), Failure> {
    let app = router(Arc::new(admin), Credentials::new(username, password));
    let serve = move || {
        let runtime = runtime()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener.listener).map_err(|fault| fault.to_string())?;
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

fn router(admin: Arc<Admin>, credentials: Option<Credentials>) -> Router {
    let closed = Router::new().route("/readyz", get(readyz)).route("/metrics", get(metrics_text));
    let closed = match credentials {
        Some(credentials) => {
            closed.route_layer(middleware::from_fn_with_state(Arc::new(credentials), credentials::check))
        }
        None => closed,
    };
    // Whether the process lives is no secret: whoever watches over it need not log in.
    closed.route("/healthz", get(healthz)).with_state(admin)
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
    // Those that answer have brought their gauges up to date; the others' last numbers will do.
    drop(admin.reports().await);
    let meters = admin.workers.iter().flat_map(|worker| &worker.meters);
    match metrics::text(meters, admin.started_s) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_fault) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
