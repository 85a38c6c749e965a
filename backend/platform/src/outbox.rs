//! Publishing without a dual write.
//!
//! A service appends events to its own `outbox` table on the transaction that
//! changes its state; [`relay`] publishes the rows in aggregate order and
//! deletes them once the broker acknowledged. There is no other way to publish.
//!
//! The row lock on `aggregate_versions` serialises the writers of one
//! aggregate until they commit, so versions are consecutive, row ids grow with
//! versions, and a snapshot that shows a later row shows every earlier one.

pub mod relay;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use shared_types::Timestamp;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::{Clock, Ids};
use crate::trace::{self, TraceContext};

/// A fact that a service publishes. Implemented in `contracts`.
pub trait Event: Serialize + DeserializeOwned + Send + Sync {
    /// `ecommerce.order.order.created.v1`
    const TYPE: &'static str;
    /// `ecommerce.order.order`
    const TOPIC: &'static str;
    /// Kafka key: events with the same key stay in order.
    fn partition_key(&self) -> String;
    /// Whose version this event counts; the key unless told otherwise.
    fn aggregate_id(&self) -> String {
        self.partition_key()
    }
    /// Checks a payload of this type against its published schema; says what
    /// is wrong with it. Asked by producers in debug builds.
    fn verify(_payload: &str) -> Result<(), String> {
        Ok(())
    }
}

/// An event about to be appended.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event_id: Uuid,
    pub topic: &'static str,
    pub event_type: &'static str,
    pub partition_key: String,
    pub aggregate_id: String,
    pub payload: Box<RawValue>,
    /// Which piece of work it belongs to: the one that made this value.
    pub context: TraceContext,
}

impl NewEvent {
    /// Counts the event to another piece of work; for a transaction that
    /// serves several requests at once.
    pub fn under(mut self, context: TraceContext) -> Self {
        self.context = context;
        self
    }

    /// An event to append. In debug builds a payload that its schema refuses is
    /// an error; in release the tests have shown that none is.
    pub fn of<E: Event>(ids: &Ids, event: &E) -> Result<Self, serde_json::Error> {
        let payload = serde_json::value::to_raw_value(event)?;
        if cfg!(debug_assertions)
            && let Err(wrong) = E::verify(payload.get())
        {
            return Err(serde::ser::Error::custom(format!(
                "{} against its schema: {wrong}",
                E::TYPE
            )));
        }
        Ok(NewEvent {
            event_id: ids.uuid(),
            topic: E::TOPIC,
            event_type: E::TYPE,
            partition_key: event.partition_key(),
            aggregate_id: event.aggregate_id(),
            payload,
            context: trace::current(),
        })
    }
}

/// Appends to the outbox of one service and tells its relay.
#[derive(Clone, Debug)]
pub struct Outbox {
    clock: Clock,
    ids: Ids,
    hint: Arc<Notify>,
}

/// More events than this in one transaction is a mistake.
pub const MAX_EVENTS_PER_APPEND: usize = 5_000;

impl Outbox {
    pub fn new(clock: Clock, ids: Ids) -> Self {
        Outbox { clock, ids, hint: Arc::new(Notify::new()) }
    }

    /// Appends one event on this transaction.
    pub async fn append<E: Event>(&self, tx: &mut PgConnection, event: &E) -> anyhow::Result<()> {
        self.append_all(tx, vec![NewEvent::of(&self.ids, event)?]).await
    }

    /// Appends several events in the given order with one statement. Events of
    /// one aggregate get consecutive versions in that order.
    pub async fn append_all(
        &self,
        tx: &mut PgConnection,
        events: Vec<NewEvent>,
    ) -> anyhow::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(events.len() <= MAX_EVENTS_PER_APPEND, "{} events at once", events.len());
        // Rank of each event within its aggregate, and how many each one gets.
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        let ranks: Vec<i64> = events
            .iter()
            .map(|e| {
                let count = counts.entry(&e.aggregate_id).or_default();
                *count += 1;
                *count
            })
            .collect();
        // Sorted by aggregate (BTreeMap), so that two writers never deadlock.
        let aggregates: Vec<&str> = counts.keys().copied().collect();
        let additions: Vec<i64> = counts.values().copied().collect();
        sqlx::query(APPEND)
            .bind(&aggregates)
            .bind(&additions)
            .bind(events.iter().map(|e| e.event_id).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.topic).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.event_type).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.partition_key.as_str()).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.aggregate_id.as_str()).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.payload.get()).collect::<Vec<_>>())
            .bind(&ranks)
            .bind(self.clock.now())
            .bind(events.iter().map(|e| e.context.trace_id.as_str()).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.context.correlation_id.as_str()).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.context.causation_id).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.context.span_id.as_str()).collect::<Vec<_>>())
            .execute(tx)
            .await?;
        self.hint.notify_one();
        Ok(())
    }

    /// The event as the parameter of a statement that also contains
    /// [`appending`]; to be followed by [`Outbox::appended`].
    pub fn row<E: Event>(&self, event: &E) -> anyhow::Result<EventRow> {
        let event = NewEvent::of(&self.ids, event)?;
        Ok(EventRow {
            event_id: event.event_id,
            topic: event.topic,
            event_type: event.event_type,
            partition_key: event.partition_key,
            aggregate_id: event.aggregate_id,
            payload: event.payload.get().to_owned(),
            occurred_at: self.clock.now(),
            trace_id: event.context.trace_id,
            correlation_id: event.context.correlation_id,
            causation_id: event.context.causation_id,
            span_id: event.context.span_id,
        })
    }

    /// Appends an event that was made with [`Outbox::row`].
    pub async fn append_row(&self, tx: &mut PgConnection, event: &EventRow) -> sqlx::Result<()> {
        sqlx::query(AssertSqlSafe(APPEND_ROW.as_str())).bind(Json(event)).execute(tx).await?;
        self.hint.notify_one();
        Ok(())
    }

    /// Tells the relay that a statement with [`appending`] is done.
    pub fn appended(&self) {
        self.hint.notify_one();
    }

    /// Appends a record that is published as it is, such as a dead letter.
    pub async fn append_raw(&self, tx: &mut PgConnection, record: RawRecord) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO outbox (event_id, topic, partition_key, raw_key, raw, headers, occurred_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(self.ids.uuid())
        .bind(&record.topic)
        .bind(String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).replace('\0', ""))
        .bind(&record.key)
        .bind(record.value.unwrap_or_default())
        .bind(sqlx::types::Json(&record.headers))
        .bind(self.clock.now())
        .execute(tx)
        .await?;
        self.hint.notify_one();
        Ok(())
    }

    /// Resolves when something was appended in this process. A hint only: rows
    /// of other processes, and rows not committed yet, are found by polling.
    pub async fn hinted(&self) {
        self.hint.notified().await;
    }
}

/// Versions first (the lock), rows second: ids are drawn under the lock.
const APPEND: &str = "
WITH counted AS (
    INSERT INTO aggregate_versions AS v (aggregate_id, version)
    SELECT a, n FROM unnest($1::text[], $2::bigint[]) AS t(a, n)
    ON CONFLICT (aggregate_id) DO UPDATE SET version = v.version + excluded.version
    RETURNING aggregate_id, version
), wanted AS (
    SELECT * FROM unnest($1::text[], $2::bigint[]) AS t(aggregate_id, added)
)
INSERT INTO outbox (event_id, topic, event_type, partition_key, aggregate_id, payload,
                    aggregate_version, occurred_at, trace_id, correlation_id, causation_id,
                    span_id)
SELECT e.event_id, e.topic, e.event_type, e.partition_key, e.aggregate_id, e.payload,
       c.version - w.added + e.rank, $10, e.trace_id, e.correlation_id, e.causation_id,
       e.span_id
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
            $11::text[], $12::text[], $13::uuid[], $14::text[])
     WITH ORDINALITY AS e(event_id, topic, event_type, partition_key, aggregate_id, payload, rank,
                          trace_id, correlation_id, causation_id, span_id, ord)
JOIN counted c USING (aggregate_id) JOIN wanted w USING (aggregate_id)
ORDER BY e.ord";

/// One event on its way into a statement, as [`Outbox::row`] makes it.
#[derive(Clone, Debug, Serialize)]
pub struct EventRow {
    event_id: Uuid,
    topic: &'static str,
    event_type: &'static str,
    partition_key: String,
    aggregate_id: String,
    payload: String,
    occurred_at: Timestamp,
    trace_id: String,
    correlation_id: String,
    causation_id: Option<Uuid>,
    span_id: String,
}

/// Two members of a `WITH` that append one event in the statement that changes
/// the state: a round trip less than a statement of their own. `gate` names a
/// member with one row when the change was made and none when it was not;
/// `event` is the parameter (`$7`) that takes a JSON [`EventRow`] or NULL;
/// `payload` makes the payload out of `e.payload` and the columns of `gate`.
pub fn appending(gate: &str, event: &str, payload: &str) -> String {
    // As in `APPEND`: the version is the lock, ids are drawn under it.
    format!(
        "counted AS (
    INSERT INTO aggregate_versions AS v (aggregate_id, version)
    SELECT e.aggregate_id, 1 FROM {gate}, jsonb_to_record({event}) AS e(aggregate_id text)
    WHERE {event} IS NOT NULL
    ON CONFLICT (aggregate_id) DO UPDATE SET version = v.version + 1
    RETURNING version
), appended AS (
    INSERT INTO outbox (event_id, topic, event_type, partition_key, aggregate_id, payload,
        aggregate_version, occurred_at, trace_id, correlation_id, causation_id, span_id)
    SELECT e.event_id, e.topic, e.event_type, e.partition_key, e.aggregate_id, {payload},
        counted.version, e.occurred_at, e.trace_id, e.correlation_id, e.causation_id, e.span_id
    FROM counted, {gate}, jsonb_to_record({event}) AS e(event_id uuid, topic text, event_type text,
        partition_key text, aggregate_id text, payload text, occurred_at timestamptz, trace_id text,
        correlation_id text, causation_id uuid, span_id text)
)"
    )
}

static APPEND_ROW: LazyLock<String> = LazyLock::new(|| {
    format!("WITH one AS (SELECT 1), {} SELECT 1", appending("one", "$1", "e.payload"))
});

/// Bytes that are published unchanged: dead letters, redrives.
#[derive(Clone, Debug, Default)]
pub struct RawRecord {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

/// The envelope as it travels, around a payload of any type.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<P> {
    pub event_id: Uuid,
    pub event_type: String,
    pub occurred_at: Timestamp,
    pub producer: String,
    pub trace_id: String,
    pub correlation_id: String,
    pub causation_id: Option<Uuid>,
    pub schema_version: String,
    pub partition_key: String,
    pub aggregate_id: String,
    pub aggregate_version: i64,
    pub tenant: String,
    pub payload: P,
}

pub const SCHEMA_VERSION: &str = "1.0";

/// Where the relay shows what the broker refused for good.
pub const DEAD_OUTBOX: &str = "outbox.DLQ";
