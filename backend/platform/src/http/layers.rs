//! What surrounds every service's router.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::MAX_BODY_BYTES;
use crate::auth::Verifier;
use crate::error::{ApiError, Kind};
use crate::telemetry;
use crate::trace::{self, TraceContext};

/// Where the public REST API lives on the gateway.
pub const REST_PREFIX: &str = "/api/v1";

/// No request of a service runs longer than this.
const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Puts the common layers around a service's router: trace context, metrics,
/// authentication, limits, and problem documents for what no handler answers.
pub fn finish(router: Router, service: &'static str, verifier: Verifier) -> Router {
    let router = router
        .fallback(async || ApiError::not_found("request.no_route"))
        .method_not_allowed_fallback(async || {
            let detail = "This address does not take that method.";
            ApiError::new(Kind::MethodNotAllowed, "request.method", detail)
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(verifier, authenticate));
    surround(router, service)
}

/// What even a router that looks at tokens itself has around it: no panic gets
/// out, nothing runs for ever, and what happens is seen.
pub(crate) fn surround(router: Router, service: &'static str) -> Router {
    router.layer(from_fn(no_panic)).layer(from_fn_with_state(service, observe))
}

/// Turns the `Authorization` header into a [`crate::auth::Principal`]; a wrong
/// token is refused here, a missing one by whoever needs a caller.
async fn authenticate(
    State(verifier): State<Verifier>,
    mut request: Request,
    next: Next,
) -> Response {
    match verifier.caller(request.headers()).await {
        Ok(Some(principal)) => _ = request.extensions_mut().insert(principal),
        Ok(None) => {}
        Err(error) => return error.into_response(),
    }
    next.run(request).await
}

async fn no_panic(request: Request, next: Next) -> Response {
    use futures_util::FutureExt;
    let work = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(REQUEST_TIME_LIMIT, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => ApiError::internal(anyhow::anyhow!("a handler panicked")).into_response(),
        Err(_) => ApiError::unavailable("request.timeout", "This took too long.").into_response(),
    }
}

async fn observe(State(service): State<&'static str>, request: Request, next: Next) -> Response {
    let (started, began) = (Instant::now(), std::time::SystemTime::now());
    let context = TraceContext::from_headers(request.headers());
    let method = request.method().to_string();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("(none)".to_owned(), |m| m.as_str().to_owned());
    let mut response = trace::within(context.clone(), next.run(request)).await;
    context.write_to(response.headers_mut());
    let status = response.status().as_u16();
    let labels = [
        ("service", service.to_owned()),
        ("method", method),
        ("route", route),
        ("status", status.to_string()),
    ];
    metrics::histogram!("http_request_duration_seconds", &labels)
        .record(started.elapsed().as_secs_f64());
    if telemetry::is_on() {
        telemetry::record(telemetry::Span {
            service: service.into(),
            name: format!("{} {}", labels[1].1, labels[2].1),
            kind: telemetry::SpanKind::Server,
            context: context.clone(),
            began,
            failed: status >= 500,
            attributes: vec![("http.response.status_code", status.to_string())],
        });
    }
    tracing::debug!(
        service,
        method = labels[1].1,
        route = labels[2].1,
        status,
        trace_id = context.trace_id,
        correlation_id = context.correlation_id,
        "answered"
    );
    response
}
