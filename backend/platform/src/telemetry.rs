//! Spans of this process on their way to a collector, as OTLP over gRPC.
//!
//! A span is a [`TraceContext`] that has ended: its ids are the ones that
//! travelled in `traceparent`, so what others recorded fits together. Off until
//! [`start`]; then spans queue up, bounded, and leave in batches. A collector
//! that is away costs spans, never requests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry::trace::{SpanContext, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;

pub use opentelemetry::trace::SpanKind;

use crate::config::Telemetry;
use crate::lifecycle::Lifecycle;
use crate::trace::{self, TraceContext};

/// Spans that wait; more are dropped and counted.
const QUEUE: usize = 8_192;
const BATCH: usize = 512;
/// A batch leaves at least this often.
const EVERY: Duration = Duration::from_millis(500);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

static SINK: OnceLock<mpsc::Sender<(Span, SystemTime)>> = OnceLock::new();

/// A piece of work that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    /// Who did it.
    pub service: Cow<'static, str>,
    pub name: String,
    pub kind: SpanKind,
    pub context: TraceContext,
    pub began: SystemTime,
    pub failed: bool,
    /// No personal data, no tokens.
    pub attributes: Vec<(&'static str, String)>,
}

/// Whether spans go anywhere; without, none need be made.
pub fn is_on() -> bool {
    SINK.get().is_some()
}

/// Hands over a span that ends now.
pub fn record(span: Span) {
    let Some(sink) = SINK.get() else { return };
    if sink.try_send((span, SystemTime::now())).is_err() {
        metrics::counter!("telemetry_spans_dropped_total").increment(1);
    }
}

/// A span that is not over yet; nothing when telemetry is off.
#[must_use]
pub struct Open(Option<Span>);

/// Opens the span of `context`; `name` is only asked for when it is needed.
pub fn begin(
    service: &'static str,
    kind: SpanKind,
    context: &TraceContext,
    name: impl FnOnce() -> String,
) -> Open {
    Open(is_on().then(|| Span {
        service: service.into(),
        name: name(),
        kind,
        context: context.clone(),
        began: SystemTime::now(),
        failed: false,
        attributes: Vec::new(),
    }))
}

impl Open {
    pub fn end(self, failed: bool) {
        self.end_with(failed, Vec::new);
    }

    /// Ends it with what is known by now; asked for only when it is needed.
    pub fn end_with(self, failed: bool, attributes: impl FnOnce() -> Vec<(&'static str, String)>) {
        if let Some(span) = self.0 {
            record(Span { failed, attributes: attributes(), ..span });
        }
    }
}

/// Runs `work` in a span of its own below the current one.
pub async fn within<T, E>(
    service: &'static str,
    kind: SpanKind,
    name: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if !is_on() {
        return work.await;
    }
    let context = trace::current().child();
    let span = begin(service, kind, &context, || name.to_owned());
    let result = trace::within(context, work).await;
    span.end(result.is_err());
    result
}

/// Starts exporting when a collector is configured. Once per process.
pub fn start(settings: &Telemetry, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    if settings.otlp_endpoint.is_empty() {
        return Ok(());
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&settings.otlp_endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .with_context(|| format!("telemetry.otlp_endpoint: {}", settings.otlp_endpoint))?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    if SINK.set(sender).is_err() {
        tracing::debug!("telemetry was started already");
        return Ok(());
    }
    let house = lifecycle.clone();
    lifecycle.spawn("telemetry", export(exporter, receiver, house));
    Ok(())
}

async fn export(
    mut exporter: SpanExporter,
    mut receiver: mpsc::Receiver<(Span, SystemTime)>,
    house: Lifecycle,
) -> anyhow::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let going_on = house.sleep(EVERY).await;
        while !receiver.is_empty() {
            receiver.recv_many(&mut batch, BATCH).await;
            send(&mut exporter, &mut batch).await;
        }
        if !going_on {
            return Ok(());
        }
    }
}

/// One message per service: the collector tells services apart by resource.
async fn send(exporter: &mut SpanExporter, batch: &mut Vec<(Span, SystemTime)>) {
    let mut by_service: BTreeMap<Cow<'static, str>, Vec<SpanData>> = BTreeMap::new();
    for (span, ended) in batch.drain(..) {
        let service = span.service.clone();
        if let Some(data) = data(span, ended) {
            by_service.entry(service).or_default().push(data);
        }
    }
    for (service, spans) in by_service {
        let count = spans.len() as u64;
        let resource = Resource::builder_empty()
            .with_service_name(service.into_owned())
            .with_attribute(KeyValue::new("service.namespace", "bellavista"))
            .build();
        exporter.set_resource(&resource);
        match tokio::time::timeout(EXPORT_TIMEOUT, exporter.export(spans)).await {
            Ok(Ok(())) => metrics::counter!("telemetry_spans_exported_total").increment(count),
            Ok(Err(error)) => {
                metrics::counter!("telemetry_spans_dropped_total").increment(count);
                tracing::debug!(%error, "the collector takes no spans");
            }
            Err(_) => metrics::counter!("telemetry_spans_dropped_total").increment(count),
        }
    }
}

/// The span in the exporter's words; none when its ids are no ids.
fn data(span: Span, ended: SystemTime) -> Option<SpanData> {
    let trace_id = TraceId::from_hex(&span.context.trace_id).ok()?;
    let span_id = SpanId::from_hex(&span.context.span_id).ok()?;
    let parent = span.context.parent_span_id.as_deref();
    let attributes = span.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
    let correlation = KeyValue::new("correlation.id", span.context.correlation_id);
    Some(SpanData {
        span_context: SpanContext::new(
            trace_id,
            span_id,
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: parent.and_then(|p| SpanId::from_hex(p).ok()).unwrap_or(SpanId::INVALID),
        parent_span_is_remote: false,
        span_kind: span.kind,
        name: span.name.into(),
        start_time: span.began,
        end_time: ended.max(span.began),
        attributes: attributes.chain([correlation]).collect(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: if span.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("bellavista").build(),
    })
}
