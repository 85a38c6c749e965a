//! gRPC manners: who calls, in whose name, under which trace.

pub mod server;

use std::time::Duration;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::auth::{Principal, Verifier};
use crate::error::{ApiError, Kind};
use crate::trace::{self, TraceContext};

/// The deadline of a call that does not set its own.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// No call may set a later one.
const LONGEST_CALL: Duration = Duration::from_secs(30);

/// The caller of a gRPC request; service accounts only.
pub async fn service_caller(
    verifier: &Verifier,
    metadata: &MetadataMap,
) -> Result<Principal, Status> {
    let value = metadata.get("authorization").and_then(|v| v.to_str().ok());
    let value = value.ok_or_else(|| Status::unauthenticated("a service token is needed"))?;
    let principal = verifier.principal(value).await?;
    principal.require_service()?;
    Ok(principal)
}

/// The trace of an incoming call: the one that the server opened for it.
pub fn trace_of(metadata: &MetadataMap) -> TraceContext {
    trace::current_if_any()
        .unwrap_or_else(|| TraceContext::from_headers(&metadata.clone().into_headers()))
}

/// A channel that connects when first used and again after a loss.
pub fn channel(address: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(Duration::from_secs(1))
        .timeout(LONGEST_CALL)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20));
    Ok(endpoint.connect_lazy())
}

/// A request with the usual deadline, token and trace.
pub fn request<T>(message: T, token: &str) -> Result<Request<T>, Status> {
    request_within(message, token, CALL_TIMEOUT)
}

/// A request with a deadline of its own, for callees that wait for others.
pub fn request_within<T>(
    message: T,
    token: &str,
    deadline: Duration,
) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    request.set_timeout(deadline.min(LONGEST_CALL));
    let context = trace::current();
    let metadata = request.metadata_mut();
    let text =
        |t: &str| MetadataValue::try_from(t).map_err(|_| Status::internal("metadata is not ASCII"));
    metadata.insert("authorization", text(&format!("Bearer {token}"))?);
    metadata.insert("traceparent", text(&context.traceparent())?);
    metadata.insert("x-correlation-id", text(&context.correlation_id)?);
    Ok(request)
}

/// Whether the answer says that the callee is away rather than unwilling.
pub fn is_away(status: &Status) -> bool {
    use tonic::Code;
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    )
}

/// A status of another service as a failure of this one.
pub fn as_failure(status: Status, away_code: &'static str) -> ApiError {
    if is_away(&status) {
        return ApiError::unavailable(away_code, "Please try again in a moment.");
    }
    match status.code() {
        tonic::Code::NotFound => ApiError::not_found("request.not_found"),
        tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition => {
            ApiError::new(Kind::Refused, "request.refused", status.message())
        }
        _ => ApiError::internal(anyhow::anyhow!("{status}")),
    }
}
