//! Answers as JSON; what a request is told when it gets nothing else is `{"code", "message"}`, as EMQX has it.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bridge_core::uplink::Refusal;
use serde_json::{Value, json};

/// An answer's body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Json(pub(super) Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "application/json")], self.0.to_string()).into_response()
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Of the answer.
    pub(super) status: StatusCode,
    /// For programs.
    pub(super) code: &'static str,
    /// For people.
    pub(super) message: String,
    /// Seconds after which it may try again.
    retry_after_s: Option<u64>,
}

impl Fault {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_s: None }
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// There is nothing under this path.
    pub(super) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "RESOURCE_NOT_FOUND",
            "there is no such path: /api/openapi.json names them all",
        )
    }

    /// There is something under this path, but not for this method.
    pub(super) fn no_such_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "this path does not have that method")
    }

    /// No gateway has this name.
    pub(super) fn no_such_gateway(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "GATEWAY_NOT_FOUND", message)
    }

    /// The gateway has no such client.
    pub(super) fn no_such_client() -> Self {
        Self::new(StatusCode::NOT_FOUND, "CLIENT_NOT_FOUND", "the gateway has no client with this id")
    }

    /// The client has no such subscription.
    pub(super) fn no_such_subscription() -> Self {
        Self::new(StatusCode::NOT_FOUND, "SUBSCRIPTION_NOT_FOUND", "the client has no subscription to this filter")
    }

    /// The subscription is the gateway's own.
    pub(super) fn own_subscription() -> Self {
        let message = "the subscription is the gateway's own, by which the client's messages come (dn_topic): it stays";
        Self::new(StatusCode::CONFLICT, "OWN_SUBSCRIPTION", message)
    }

    /// It cannot be answered just now.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message)
    }

    /// The body is not declared as JSON.
    pub(super) fn not_json() -> Self {
        let message = "the body must be JSON, and Content-Type: application/json must say so";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    }

    /// The body is larger than any that is wanted.
    pub(super) fn too_large(most: usize) -> Self {
        let message = format!("a body has {most} bytes at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)
    }

    /// It does not say who it is, or not rightly.
    pub(super) fn unauthorised() -> Self {
        let message = "the right user name and password are asked for, by HTTP Basic";
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    /// Too many wrong passwords came from its address.
    pub(super) fn locked_out(seconds: u64) -> Self {
        let message = format!("too many wrong passwords from this address: try again in {seconds} s");
        let retry_after_s = Some(seconds);
        Self { retry_after_s, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", message) }
    }

    /// It was meant for a name that is not ours: a web page may have led a browser here.
    pub(super) fn misdirected() -> Self {
        let message =
            "the Host header must be an IP address, localhost or the node's name while no credentials are set";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "MISDIRECTED_REQUEST", message)
    }

    /// The bridge or the broker would not.
    pub(super) fn refused(why: Refusal) -> Self {
        match why {
            Refusal::BadTopic => Self::bad_request("the broker cannot be asked for this topic filter"),
            Refusal::NotAuthorised { .. } => {
                Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", "the access rules forbid the client this topic filter")
            }
            Refusal::Limit => Self::new(StatusCode::CONFLICT, "LIMIT_REACHED", "the client has no room for it"),
            Refusal::BrokerAway => Self::unavailable("the broker is away"),
            Refusal::Busy => Self::unavailable("the client is not connected yet"),
            Refusal::BadIdentity
            | Refusal::TooLarge
            | Refusal::Broker(_)
            | Refusal::NoSuchClient
            | Refusal::BadCredentials
            | Refusal::AuthUnavailable => Self::unavailable(format!("refused: {}", why.reason())),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = Json(json!({ "code": self.code, "message": self.message }));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"tidegate\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
