//! A row of the outbox, and the record it becomes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::{Engine, engine::general_purpose::STANDARD};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use serde_json::json;
use serde_json::value::RawValue;
use shared_types::Timestamp;
use sqlx::{Connection, FromRow, PgConnection};
use uuid::Uuid;

use crate::auth::TENANT;
use crate::outbox::{DEAD_OUTBOX, Envelope, RawRecord, SCHEMA_VERSION};
use crate::service::Context;
use crate::telemetry::{self, Span, SpanKind};
use crate::trace::{self, TraceContext};

/// Of a refused record, this much is shown to operators.
const MAX_NOTICE_BYTES: usize = 800_000;

/// One row, in the order of the table.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Row {
    pub(super) id: i64,
    event_id: Uuid,
    pub(super) topic: String,
    event_type: Option<String>,
    pub(super) partition_key: String,
    aggregate_id: Option<String>,
    aggregate_version: Option<i64>,
    payload: Option<String>,
    occurred_at: Timestamp,
    trace_id: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<Uuid>,
    /// The span in which it was appended.
    span_id: Option<String>,
    raw_key: Option<Vec<u8>>,
    raw: Option<Vec<u8>>,
    headers: Option<sqlx::types::Json<BTreeMap<String, String>>>,
}

/// What is handed to the producer.
pub(super) struct Record {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    pub(super) headers: OwnedHeaders,
}

impl Row {
    /// The oldest rows but those of topics that have to wait.
    pub(super) async fn load(
        connection: &mut PgConnection,
        limit: i64,
        held_topics: &[String],
    ) -> Result<Vec<Row>, sqlx::Error> {
        sqlx::query_as(
            "SELECT id, event_id, topic, event_type, partition_key, aggregate_id, aggregate_version,
                    payload, occurred_at, trace_id, correlation_id, causation_id, span_id, raw_key, raw,
                    headers
             FROM outbox WHERE topic <> ALL ($2) ORDER BY id LIMIT $1",
        )
        .bind(limit)
        .bind(held_topics)
        .fetch_all(connection)
        .await
    }

    /// The record as it travels; `producer` is the service.
    pub(super) fn record(&self, producer: &str) -> anyhow::Result<Record> {
        if let Some(raw) = &self.raw {
            let mut headers = OwnedHeaders::new();
            for (key, value) in self.headers.iter().flat_map(|h| &h.0) {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            return Ok(Record { key: self.raw_key.clone(), value: raw.clone(), headers });
        }
        let event_type = self.event_type.clone().unwrap_or_default();
        let aggregate_id = self.aggregate_id.clone().unwrap_or_default();
        let headers = self.cloud_event(producer, &event_type, &aggregate_id);
        let payload = self.payload.clone().unwrap_or_else(|| "null".to_owned());
        let envelope = Envelope {
            event_id: self.event_id,
            event_type,
            occurred_at: self.occurred_at,
            producer: producer.to_owned(),
            trace_id: self.trace_id.clone().unwrap_or_default(),
            correlation_id: self.correlation_id.clone().unwrap_or_default(),
            causation_id: self.causation_id,
            schema_version: SCHEMA_VERSION.to_owned(),
            partition_key: self.partition_key.clone(),
            aggregate_id,
            aggregate_version: self.aggregate_version.unwrap_or(0),
            tenant: TENANT.to_owned(),
            // The stored text as it is: amounts keep their digits.
            payload: RawValue::from_string(payload)?,
        };
        let key = Some(self.partition_key.clone().into_bytes());
        Ok(Record { key, value: serde_json::to_vec(&envelope)?, headers })
    }

    /// CloudEvents 1.0 in binary mode, and the trace.
    fn cloud_event(&self, producer: &str, event_type: &str, subject: &str) -> OwnedHeaders {
        let id = self.event_id.to_string();
        let (source, at) = (format!("/{producer}"), self.occurred_at.to_string());
        let mut headers = OwnedHeaders::new_with_capacity(8);
        for (key, value) in [
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_type", event_type),
            ("ce_source", &source),
            ("ce_time", &at),
            ("ce_subject", subject),
            ("content-type", "application/json"),
        ] {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        if let Some(trace) = self.trace_id.as_deref().filter(|t| t.len() == 32) {
            let span = trace::span_of_event(self.event_id);
            let parent = format!("00-{trace}-{span}-01");
            headers = headers.insert(Header { key: "traceparent", value: Some(&parent) });
        }
        headers
    }

    /// The acknowledged publication as a span, sent at `began`.
    pub(super) fn note_published(&self, service: &str, began: SystemTime) {
        let Some(trace_id) = self.trace_id.clone().filter(|_| telemetry::is_on()) else { return };
        telemetry::record(Span {
            service: service.to_owned().into(),
            name: format!("publish {}", self.event_type.as_deref().unwrap_or(&self.topic)),
            kind: SpanKind::Producer,
            context: TraceContext {
                trace_id,
                span_id: trace::span_of_event(self.event_id),
                parent_span_id: self.span_id.clone(),
                correlation_id: self.correlation_id.clone().unwrap_or_default(),
                causation_id: self.causation_id,
            },
            began,
            failed: false,
            attributes: vec![("messaging.destination.name", self.topic.clone())],
        });
    }

    /// Moves the row to `outbox_dead`.
    pub(super) async fn bury(
        &self,
        connection: &mut PgConnection,
        reason: &str,
        ctx: &Context,
    ) -> anyhow::Result<()> {
        let encode = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| STANDARD.encode(b));
        let record = json!({
            "eventType": self.event_type,
            "aggregateId": self.aggregate_id,
            "aggregateVersion": self.aggregate_version,
            "occurredAt": self.occurred_at,
            "traceId": self.trace_id,
            "correlationId": self.correlation_id,
            "causationId": self.causation_id,
            // As text, so that no digit of it changes.
            "payload": self.payload,
            "rawKeyBase64": encode(&self.raw_key),
            "rawBase64": encode(&self.raw),
            "headers": self.headers.as_ref().map(|h| &h.0),
        });
        let mut tx = connection.begin().await?;
        sqlx::query(
            "INSERT INTO outbox_dead (id, event_id, topic, partition_key, record, error, died_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(self.id)
        .bind(self.event_id)
        .bind(&self.topic)
        .bind(&self.partition_key)
        .bind(sqlx::types::Json(record))
        .bind(reason)
        .bind(ctx.clock.now())
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM outbox WHERE id = $1").bind(self.id).execute(&mut *tx).await?;
        if self.topic != DEAD_OUTBOX {
            ctx.outbox.append_raw(&mut tx, self.notice(ctx, reason)?).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The record as a dead letter of the relay. What is too large to travel is
    /// cut and says so; the whole stays in `outbox_dead`.
    fn notice(&self, ctx: &Context, reason: &str) -> anyhow::Result<RawRecord> {
        let record = self.record(ctx.service)?;
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for header in record.headers.iter() {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
            headers.insert(header.key.to_owned(), value);
        }
        let cut = record.value.len() > MAX_NOTICE_BYTES;
        for (name, value) in [
            ("x-dlq-topic", self.topic.clone()),
            ("x-dlq-partition", "-1".to_owned()),
            ("x-dlq-offset", self.id.to_string()),
            ("x-dlq-consumer", format!("relay.{}", ctx.service)),
            ("x-dlq-attempts", "1".to_owned()),
            ("x-dlq-error-code", "broker_refused".to_owned()),
            ("x-dlq-error", crate::consumer::runner::presentable(reason)),
            ("x-dlq-first-failed-at", ctx.clock.now().to_string()),
            ("x-outbox-cut", cut.to_string()),
        ] {
            headers.insert(name.to_owned(), value);
        }
        let kept = record.value.get(..MAX_NOTICE_BYTES).unwrap_or(&record.value).to_vec();
        Ok(RawRecord { topic: DEAD_OUTBOX.to_owned(), key: record.key, value: Some(kept), headers })
    }
}
