//! The context that travels with a piece of work: W3C trace and correlation.
//!
//! Set by the HTTP and gRPC servers and by the consumer runner; read by
//! whoever writes an outbox row or calls another service. [`crate::telemetry`]
//! makes the same contexts into spans.

use std::fmt;

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

/// Which request or event the current work belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 hexadecimal characters.
    pub trace_id: String,
    /// 16 hexadecimal characters; this hop's own span.
    pub span_id: String,
    /// The span that this one is part of, if there is one.
    pub parent_span_id: Option<String>,
    pub correlation_id: String,
    /// The event that caused this work, if one did.
    pub causation_id: Option<Uuid>,
}

pub const CORRELATION_HEADER: &str = "x-correlation-id";
const MAX_CORRELATION_CHARS: usize = 128;

impl TraceContext {
    /// A new trace with nothing before it.
    pub fn fresh() -> Self {
        let trace_id = Uuid::new_v4().simple().to_string();
        TraceContext {
            span_id: fresh_span(),
            parent_span_id: None,
            correlation_id: trace_id.clone(),
            trace_id,
            causation_id: None,
        }
    }

    /// Takes over `traceparent` and the correlation id; what is malformed is
    /// replaced, never trusted.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut context = TraceContext::fresh();
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        if let Some((trace_id, parent)) = text("traceparent").and_then(parse_traceparent) {
            context.correlation_id.clone_from(&trace_id);
            context.trace_id = trace_id;
            context.parent_span_id = Some(parent);
        }
        let given = text("correlation-id").or_else(|| text(CORRELATION_HEADER));
        if let Some(given) = given.filter(|g| acceptable_correlation(g)) {
            context.correlation_id = given.to_owned();
        }
        context
    }

    /// Continues the trace of an event.
    pub fn of_event(trace_id: &str, correlation_id: &str, event_id: Uuid) -> Self {
        let mut context = TraceContext::fresh();
        if trace_id.len() == 32 {
            context.trace_id = trace_id.to_owned();
        }
        context.parent_span_id = Some(span_of_event(event_id));
        context.correlation_id = correlation_id.to_owned();
        context.causation_id = Some(event_id);
        context
    }

    /// A part of this piece of work, with a span of its own.
    pub fn child(&self) -> Self {
        TraceContext {
            span_id: fresh_span(),
            parent_span_id: Some(self.span_id.clone()),
            ..self.clone()
        }
    }

    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace_id, self.span_id)
    }

    /// Writes `traceparent` and `X-Correlation-Id`.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.traceparent()) {
            headers.insert("traceparent", value);
        }
        if let Ok(value) = HeaderValue::from_str(&self.correlation_id) {
            headers.insert(CORRELATION_HEADER, value);
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.trace_id)
    }
}

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The context of the work that runs now, or a fresh one outside any.
pub fn current() -> TraceContext {
    CURRENT.try_with(Clone::clone).unwrap_or_else(|_| TraceContext::fresh())
}

/// The context of the work that runs now, if it has one.
pub fn current_if_any() -> Option<TraceContext> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The span of an event's publication: the end of its id, so that whoever
/// reads the event knows it without being told.
pub fn span_of_event(event_id: Uuid) -> String {
    event_id.simple().to_string().split_off(16)
}

/// Runs `work` under `context`.
pub async fn within<F: Future>(context: TraceContext, work: F) -> F::Output {
    CURRENT.scope(context, work).await
}

fn fresh_span() -> String {
    let id = Uuid::new_v4().simple().to_string();
    id[..16].to_owned()
}

fn parse_traceparent(text: &str) -> Option<(String, String)> {
    let mut parts = text.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |s: &str, len: usize| {
        s.len() == len && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |s: &str| s.bytes().all(|b| b == b'0');
    let good = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(span, 16);
    (good && !zero(trace) && !zero(span)).then(|| (trace.to_owned(), span.to_owned()))
}

fn acceptable_correlation(text: &str) -> bool {
    let fits = (1..=MAX_CORRELATION_CHARS).contains(&text.len());
    fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_traceparent_is_continued_and_a_bad_one_replaced() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let mut headers = HeaderMap::new();
        let good = format!("00-{trace}-00f067aa0ba902b7-01");
        headers.insert("traceparent", good.parse().unwrap());
        let continued = TraceContext::from_headers(&headers);
        assert_eq!(continued.trace_id, trace);
        assert_eq!(continued.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
        assert_eq!(continued.child().parent_span_id, Some(continued.span_id));
        for bad in ["", "00-xyz", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            headers.insert("traceparent", bad.parse().unwrap());
            let context = TraceContext::from_headers(&headers);
            assert_ne!(context.trace_id, trace);
            assert_eq!(context.trace_id.len(), 32);
        }
    }

    #[test]
    fn correlation_ids_with_odd_characters_are_not_echoed() {
        let mut headers = HeaderMap::new();
        headers.insert("correlation-id", "till-7".parse().unwrap());
        assert_eq!(TraceContext::from_headers(&headers).correlation_id, "till-7");
        headers.insert("correlation-id", "a b<script>".parse().unwrap());
        assert_ne!(TraceContext::from_headers(&headers).correlation_id, "a b<script>");
    }
}
