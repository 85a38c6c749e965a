//! Optimistic locking over HTTP: `ETag` out, `If-Match` in.

use http::{HeaderMap, HeaderValue, header};

use crate::error::{ApiError, Kind};

/// `"v7"` for version 7.
pub fn of(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"v{version}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"v0\""))
}

/// The version that the caller believes in: `None` for `*`. 428 without the
/// header, 412 when it cannot be one of ours.
pub fn expected(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        let detail = "Send If-Match with the ETag that you last saw.";
        return Err(ApiError::new(Kind::PreconditionRequired, "request.if_match_missing", detail));
    };
    let text = value.to_str().unwrap_or("").trim();
    if text == "*" {
        return Ok(None);
    }
    let inner = text.strip_prefix("W/").unwrap_or(text);
    let version = inner.strip_prefix("\"v").and_then(|t| t.strip_suffix('"'));
    version.and_then(|v| v.parse().ok()).map(Some).ok_or_else(stale)
}

/// 412: somebody changed it meanwhile.
pub fn stale() -> ApiError {
    ApiError::new(Kind::Stale, "request.stale", "It has changed since; fetch it again.")
}
