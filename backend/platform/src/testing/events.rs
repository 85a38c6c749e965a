//! Events by hand: what a service would publish, and what others say to it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::Bench;
use crate::clock::Clock;
use crate::consumer::runner::{Outcome, attempt};
use crate::consumer::{Consumer, HandleError, Received};
use crate::outbox::{Envelope, Event, SCHEMA_VERSION};
use crate::trace;

/// A row that the relay has not taken yet.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    pub id: i64,
    pub event_id: Uuid,
    pub topic: String,
    /// Empty for raw records.
    pub event_type: String,
    pub partition_key: String,
    pub aggregate_id: String,
    pub aggregate_version: i64,
    pub payload: Value,
    pub correlation_id: String,
    pub causation_id: Option<Uuid>,
    /// Of a raw record.
    pub raw: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl OutboxRow {
    /// The payload as the event it is; fails the test when it is another one.
    #[track_caller]
    pub fn event<E: Event>(&self) -> E {
        assert_eq!(self.event_type, E::TYPE);
        match serde_json::from_value(self.payload.clone()) {
            Ok(event) => event,
            Err(error) => panic!("{}: {error} in {}", E::TYPE, self.payload),
        }
    }
}

impl FromRow<'_, PgRow> for OutboxRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let payload: Option<String> = row.try_get("payload")?;
        let payload = payload.map_or(Ok(Value::Null), |text| serde_json::from_str(&text));
        let headers: Option<sqlx::types::Json<BTreeMap<String, String>>> =
            row.try_get("headers")?;
        let text =
            |name: &str| row.try_get::<Option<String>, _>(name).map(Option::unwrap_or_default);
        Ok(OutboxRow {
            id: row.try_get("id")?,
            event_id: row.try_get("event_id")?,
            topic: row.try_get("topic")?,
            event_type: text("event_type")?,
            partition_key: row.try_get("partition_key")?,
            aggregate_id: text("aggregate_id")?,
            aggregate_version: row.try_get::<Option<i64>, _>("aggregate_version")?.unwrap_or(0),
            payload: payload.map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
            correlation_id: text("correlation_id")?,
            causation_id: row.try_get("causation_id")?,
            raw: row.try_get("raw")?,
            headers: headers.map(|h| h.0).unwrap_or_default(),
        })
    }
}

/// Everything that waits to be published, oldest first.
pub async fn outbox(pool: &PgPool) -> Vec<OutboxRow> {
    match sqlx::query_as("SELECT * FROM outbox ORDER BY id").fetch_all(pool).await {
        Ok(rows) => rows,
        Err(error) => panic!("reading the outbox: {error}"),
    }
}

/// The waiting events of type `E`, oldest first.
pub async fn outbox_of<E: Event>(pool: &PgPool) -> Vec<E> {
    outbox(pool)
        .await
        .iter()
        .filter(|row| row.event_type == E::TYPE)
        .map(OutboxRow::event)
        .collect()
}

/// Takes everything that waits, as if it had been published.
pub async fn drain_outbox(pool: &PgPool) -> Vec<OutboxRow> {
    let sql = "WITH gone AS (DELETE FROM outbox RETURNING *) SELECT * FROM gone ORDER BY id";
    match sqlx::query_as(sql).fetch_all(pool).await {
        Ok(rows) => rows,
        Err(error) => panic!("draining the outbox: {error}"),
    }
}

/// An event of another service on its way to a consumer.
#[derive(Clone, Debug)]
pub struct OutgoingEvent<E> {
    pub event_id: Uuid,
    pub aggregate_version: i64,
    pub producer: String,
    pub event: E,
}

impl<E: Event> OutgoingEvent<E> {
    fn envelope(&self, clock: &Clock) -> Envelope<&E> {
        let context = trace::current();
        Envelope {
            event_id: self.event_id,
            event_type: E::TYPE.to_owned(),
            occurred_at: clock.now(),
            producer: self.producer.clone(),
            trace_id: context.trace_id,
            correlation_id: context.correlation_id,
            causation_id: context.causation_id,
            schema_version: SCHEMA_VERSION.to_owned(),
            partition_key: self.event.partition_key(),
            aggregate_id: self.event.aggregate_id(),
            aggregate_version: self.aggregate_version,
            tenant: crate::auth::TENANT.to_owned(),
            payload: &self.event,
        }
    }
}

/// Feeds one event to `consumer` the way the runner does: inbox row, handler
/// and commit in one transaction, then the work after the commit.
pub async fn deliver<E: Event>(
    consumer: &Consumer,
    pool: &PgPool,
    clock: &Clock,
    event: &OutgoingEvent<E>,
) -> Result<Outcome, HandleError> {
    deliver_raw(consumer, pool, clock, &bytes_of(&event.envelope(clock))).await
}

/// The same for the bytes of a message; what is no envelope is poison.
pub async fn deliver_raw(
    consumer: &Consumer,
    pool: &PgPool,
    clock: &Clock,
    value: &[u8],
) -> Result<Outcome, HandleError> {
    let event = attempt::decode(value)?;
    attempt::run(consumer, pool, clock.now(), &event).await
}

fn bytes_of<T: Serialize>(value: &T) -> Vec<u8> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => panic!("an event that is no JSON: {error}"),
    }
}

impl Bench {
    /// Feeds `event` under a fresh id.
    pub async fn deliver<E: Event + Clone>(
        &self,
        consumer: &Consumer,
        event: &E,
    ) -> Result<Outcome, HandleError> {
        let version = self.next_version();
        self.deliver_as(consumer, event, self.ctx.ids.uuid(), version).await
    }

    /// Feeds `event` under the given id and aggregate version: again, late, or
    /// out of order.
    pub async fn deliver_as<E: Event + Clone>(
        &self,
        consumer: &Consumer,
        event: &E,
        event_id: Uuid,
        aggregate_version: i64,
    ) -> Result<Outcome, HandleError> {
        let producer = E::TOPIC.split('.').nth(1).unwrap_or("test").to_owned();
        let event = OutgoingEvent { event_id, aggregate_version, producer, event: event.clone() };
        deliver(consumer, &self.ctx.pool, &self.ctx.clock, &event).await
    }

    /// `event` as it would be received, under a fresh id.
    pub fn received<E: Event + Clone>(&self, event: &E) -> Result<Received, HandleError> {
        let producer = E::TOPIC.split('.').nth(1).unwrap_or("test").to_owned();
        let (event_id, aggregate_version) = (self.ctx.ids.uuid(), self.next_version());
        let event = OutgoingEvent { event_id, aggregate_version, producer, event: event.clone() };
        attempt::decode(&bytes_of(&event.envelope(&self.ctx.clock)))
    }

    /// Feeds events that came together to a consumer that handles them at once.
    pub async fn deliver_together(
        &self,
        consumer: &Consumer,
        events: &[Received],
    ) -> Result<(), HandleError> {
        let Some(all) = consumer.all() else {
            panic!("{} handles one after the other", consumer.name)
        };
        let mut tx = self.ctx.pool.begin().await?;
        let done = all.handle_all(&mut tx, &events.iter().collect::<Vec<_>>()).await?;
        tx.commit().await?;
        if let Some(work) = done.after_commit {
            work();
        }
        Ok(())
    }

    /// Feeds the bytes of a message.
    pub async fn deliver_raw(
        &self,
        consumer: &Consumer,
        value: &[u8],
    ) -> Result<Outcome, HandleError> {
        deliver_raw(consumer, &self.ctx.pool, &self.ctx.clock, value).await
    }

    /// Feeds everything in this bench's outbox that `consumer` listens to to
    /// it, as the envelopes the relay would have made.
    pub async fn deliver_own_outbox(&self, consumer: &Consumer) -> Result<usize, HandleError> {
        let mut handled = 0;
        for row in drain_outbox(&self.ctx.pool).await {
            if row.raw.is_some() || consumer.handler(&row.event_type).is_none() {
                continue;
            }
            let event = Received {
                event_id: row.event_id,
                event_type: row.event_type,
                occurred_at: self.ctx.clock.now(),
                producer: self.ctx.service.to_owned(),
                trace_id: trace::current().trace_id,
                correlation_id: row.correlation_id,
                causation_id: row.causation_id,
                schema_version: SCHEMA_VERSION.to_owned(),
                partition_key: row.partition_key,
                aggregate_id: row.aggregate_id,
                aggregate_version: row.aggregate_version,
                tenant: crate::auth::TENANT.to_owned(),
                payload: serde_json::value::to_raw_value(&row.payload)
                    .map_err(|e| HandleError::Retry { code: "internal", error: e.into() })?,
            };
            attempt::run(consumer, &self.ctx.pool, self.ctx.clock.now(), &event).await?;
            handled += 1;
        }
        Ok(handled)
    }
}
