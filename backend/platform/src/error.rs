//! Failures and the one table that maps them to HTTP, gRPC and consumers.
//!
//! A use case has its own error enum and implements [`Failure`]; the table
//! below decides what a kind means on each surface. Internal errors keep their
//! chain for the log and never show it to a caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared_types::{FieldError, Problem};

use crate::trace;

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request cannot be parsed: 400.
    Unparseable,
    /// Fields are wrong: 422.
    Invalid,
    Unauthenticated,
    /// The payment was declined: 402.
    Declined,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// No form of the answer that the caller takes: 406.
    NotAcceptable,
    Conflict,
    /// `If-Match` names an old version: 412.
    Stale,
    /// `If-Match` is missing: 428.
    PreconditionRequired,
    TooLarge,
    UnsupportedMediaType,
    /// Well-formed, but a rule refuses it: 422.
    Refused,
    Limited,
    Unavailable,
    Internal,
}

/// What a consumer does with a message whose handling failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Retry, then dead letter.
    Retry,
    /// Pause and try again without burning attempts.
    Pause,
}

struct Row {
    status: StatusCode,
    title: &'static str,
    grpc: tonic::Code,
    disposition: Disposition,
}

impl Kind {
    const fn row(self) -> Row {
        use Disposition::{Pause, Retry};
        use tonic::Code;
        let (status, title, grpc, disposition) = match self {
            Kind::Unparseable => {
                (StatusCode::BAD_REQUEST, "Bad request", Code::InvalidArgument, Retry)
            }
            Kind::Invalid => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Invalid fields", Code::InvalidArgument, Retry)
            }
            Kind::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "Sign in first", Code::Unauthenticated, Retry)
            }
            Kind::Declined => {
                (StatusCode::PAYMENT_REQUIRED, "Declined", Code::FailedPrecondition, Retry)
            }
            Kind::Forbidden => {
                (StatusCode::FORBIDDEN, "Not allowed", Code::PermissionDenied, Retry)
            }
            Kind::NotFound => (StatusCode::NOT_FOUND, "Not found", Code::NotFound, Retry),
            Kind::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", Code::Unimplemented, Retry)
            }
            Kind::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "Not acceptable", Code::InvalidArgument, Retry)
            }
            Kind::Conflict => (StatusCode::CONFLICT, "Conflict", Code::Aborted, Retry),
            Kind::Stale => (
                StatusCode::PRECONDITION_FAILED,
                "Changed meanwhile",
                Code::FailedPrecondition,
                Retry,
            ),
            Kind::PreconditionRequired => (
                StatusCode::PRECONDITION_REQUIRED,
                "If-Match required",
                Code::FailedPrecondition,
                Retry,
            ),
            Kind::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "Too large", Code::ResourceExhausted, Retry)
            }
            Kind::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type",
                Code::InvalidArgument,
                Retry,
            ),
            Kind::Refused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Refused", Code::FailedPrecondition, Retry)
            }
            Kind::Limited => {
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests", Code::ResourceExhausted, Pause)
            }
            Kind::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "Not available now", Code::Unavailable, Pause)
            }
            Kind::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal error", Code::Internal, Retry)
            }
        };
        Row { status, title, grpc, disposition }
    }

    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    pub const fn disposition(self) -> Disposition {
        self.row().disposition
    }
}

/// Implemented by the error enum of a use case.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    fn kind(&self) -> Kind;
    /// Stable, for programs: `orders.stock_short`.
    fn code(&self) -> &'static str;
    /// What is wrong with which field.
    fn fields(&self) -> Vec<FieldError> {
        Vec::new()
    }
    /// Further members of the problem document, such as the short lines.
    fn extensions(&self) -> Map<String, Value> {
        Map::new()
    }
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// A failure on its way out: what the caller may know, and the chain that only
/// the log may know.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub kind: Kind,
    pub code: &'static str,
    pub detail: String,
    pub fields: Vec<FieldError>,
    pub extensions: Map<String, Value>,
    pub retry_after: Option<Duration>,
    /// Boxed: failures are returned everywhere and must stay small.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default)]
struct More {
    exact: BTreeMap<String, Box<RawValue>>,
    source: Option<Arc<anyhow::Error>>,
    logged: bool,
}

impl ApiError {
    pub fn new(kind: Kind, code: &'static str, detail: impl Into<String>) -> Self {
        ApiError {
            kind,
            code,
            detail: detail.into(),
            fields: Vec::new(),
            extensions: Map::new(),
            retry_after: None,
            more: None,
        }
    }

    pub fn internal(source: impl Into<anyhow::Error>) -> Self {
        let mut error = ApiError::new(Kind::Internal, "internal", "");
        error.more =
            Some(Box::new(More { source: Some(Arc::new(source.into())), ..More::default() }));
        error
    }

    pub fn not_found(code: &'static str) -> Self {
        ApiError::new(Kind::NotFound, code, "No such resource.")
    }

    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        ApiError::new(Kind::Unavailable, code, detail).retry_after(Duration::from_secs(1))
    }

    pub fn invalid(fields: Vec<FieldError>) -> Self {
        ApiError::new(Kind::Invalid, "request.invalid", "Some fields are wrong; see errors.")
            .with_fields(fields)
    }

    pub fn with_fields(mut self, fields: Vec<FieldError>) -> Self {
        self.fields = fields;
        self
    }

    pub fn with_extension(mut self, name: &str, value: Value) -> Self {
        self.extensions.insert(name.to_owned(), value);
        self
    }

    /// A further member that is written exactly as it serialises: amounts keep
    /// the digits of their currency, which a [`Value`] would lose.
    pub fn with_exact<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        if let Ok(raw) = serde_json::value::to_raw_value(value) {
            self.more.get_or_insert_default().exact.insert(name.to_owned(), raw);
        }
        self
    }

    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// The document a caller gets, without extensions.
    pub fn problem(&self) -> Problem {
        let row = self.kind.row();
        Problem {
            type_uri: format!("urn:bellavista:problem:{}", self.code),
            title: row.title.to_owned(),
            status: row.status.as_u16(),
            detail: self.detail.clone(),
            instance: trace::current().trace_id,
            code: self.code.to_owned(),
            errors: self.fields.clone(),
        }
    }

    /// The complete body: problem and extensions.
    pub fn body(&self) -> Vec<u8> {
        let mut document = match serde_json::to_value(self.problem()) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        for (name, value) in &self.extensions {
            document.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let mut members = self.more.as_ref().map(|m| m.exact.clone()).unwrap_or_default();
        for (name, value) in &document {
            if let Ok(raw) = serde_json::value::to_raw_value(value) {
                members.insert(name.clone(), raw);
            }
        }
        serde_json::to_vec(&members).unwrap_or_default()
    }

    /// Logs the failure now: it is told to several callers, and logged for none.
    pub(crate) fn logged(mut self) -> Self {
        self.log();
        self.more.get_or_insert_default().logged = true;
        self
    }

    pub(crate) fn log(&self) {
        let logged = self.more.as_ref().is_some_and(|m| m.logged);
        if self.kind == Kind::Internal && !logged {
            let source = self.more.as_ref().and_then(|m| m.source.as_ref());
            let chain = source.map(|s| format!("{s:#}")).unwrap_or_default();
            tracing::error!(code = self.code, error = chain, "request failed");
        }
    }
}

impl<E: Failure> From<E> for ApiError {
    fn from(error: E) -> Self {
        let kind = error.kind();
        ApiError {
            kind,
            code: error.code(),
            detail: if kind == Kind::Internal { String::new() } else { error.to_string() },
            fields: error.fields(),
            extensions: error.extensions(),
            retry_after: error.retry_after(),
            more: Some(Box::new(More {
                source: Some(Arc::new(anyhow::Error::new(error))),
                ..More::default()
            })),
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                tracing::warn!(%error, "database is not available");
                ApiError::unavailable("database.unavailable", "Please try again in a moment.")
            }
            other if is_passing(&other) => {
                tracing::warn!(error = %other, "a transaction gave way to another");
                ApiError::unavailable("database.busy", "Please try again in a moment.")
            }
            other => ApiError::internal(other),
        }
    }
}

/// A deadlock or a failed serialisation: the same again is likely to work.
fn is_passing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    matches!(code.as_deref(), Some("40P01" | "40001"))
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<sqlx::Error>() {
            Ok(error) => error.into(),
            Err(error) => ApiError::internal(error),
        }
    }
}

impl From<ApiError> for tonic::Status {
    fn from(error: ApiError) -> Self {
        error.log();
        let text = if error.detail.is_empty() { error.code } else { &error.detail };
        let mut status = tonic::Status::new(error.kind.row().grpc, text.to_owned());
        if let Ok(code) = error.code.parse() {
            status.metadata_mut().insert("x-bv-code", code);
        }
        status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let mut response = (self.status(), self.body()).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        let wait = self.retry_after.or(match self.kind {
            Kind::Limited | Kind::Unavailable => Some(Duration::from_secs(1)),
            _ => None,
        });
        if let Some(wait) = wait {
            let seconds = wait.as_secs().max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internals_never_reach_the_caller() {
        let error = ApiError::internal(anyhow::anyhow!("password=hunter2"));
        let body = String::from_utf8(error.body()).unwrap();
        assert!(!body.contains("hunter2"), "{body}");
        assert!(body.contains("\"status\":500"));
    }

    #[test]
    fn exact_members_keep_their_digits_and_never_hide_the_problem() {
        let amount: shared_types::Amount = "29.90".parse().unwrap();
        let error = ApiError::new(Kind::Conflict, "x.y", "").with_exact("total", &amount);
        let body = String::from_utf8(error.with_exact("code", "z").body()).unwrap();
        assert!(body.contains(r#""total":29.90"#) && body.contains(r#""code":"x.y""#), "{body}");
    }

    #[test]
    fn limited_answers_say_when_to_come_back() {
        let response = ApiError::new(Kind::Limited, "rate.limited", "").into_response();
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
