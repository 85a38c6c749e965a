//! One attempt at one event: inbox row, handler and commit in one transaction.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt;
use shared_types::Timestamp;
use sqlx::{PgConnection, PgPool, Row};

use crate::consumer::{Consumer, Done, HandleAll, HandleError, Handler, Received};
use crate::telemetry::{self, SpanKind};
use crate::trace::{self, TraceContext};

use super::redrive::Receipt;

/// What an attempt that did not fail came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Handled now.
    Done,
    /// The inbox knew it: nothing happened.
    Duplicate,
    /// Nobody listens to this type.
    Ignored,
    /// An earlier message of its key is parked: it has to queue up.
    Behind,
    /// Somebody else settled the parked message meanwhile.
    Gone,
}

/// The code of a message that is no event.
pub const UNDECODABLE: &str = "undecodable";

/// Where an event comes from, which decides what else its transaction does.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// By hand, in tests.
    Anywhere,
    /// From its topic: only when nothing of its key is parked. An empty key
    /// orders nothing.
    Live { topic: &'a str, key: &'a [u8] },
    /// From the parked row, tried so many times; the row goes with the commit.
    Parked { id: i64, attempts: i32 },
    /// Sent back by an operator; the dead row goes with the commit.
    Dead { id: i64 },
}

/// Reads an envelope; what is none is poison.
pub fn decode(value: &[u8]) -> Result<Received, HandleError> {
    serde_json::from_slice(value).map_err(|e| {
        let error = anyhow::anyhow!("not an event: {e}");
        HandleError::Poison { code: UNDECODABLE, error }
    })
}

/// Handles `event` once, whatever happened before.
pub async fn run(
    consumer: &Consumer,
    pool: &PgPool,
    now: Timestamp,
    event: &Received,
) -> Result<Outcome, HandleError> {
    run_from(consumer, pool, now, event, Origin::Anywhere, None).await
}

/// The same for an event of the given origin.
pub async fn run_from(
    consumer: &Consumer,
    pool: &PgPool,
    now: Timestamp,
    event: &Received,
    origin: Origin<'_>,
    receipt: Option<Receipt<'_>>,
) -> Result<Outcome, HandleError> {
    let handler = consumer.handler(&event.event_type);
    if handler.is_none()
        && receipt.is_none()
        && matches!(origin, Origin::Anywhere | Origin::Live { .. })
    {
        return Ok(Outcome::Ignored);
    }
    let live = receipt.is_none() && matches!(origin, Origin::Live { .. });
    if live && handler.is_some_and(|handler| handler.is_known(event)) {
        return Ok(Outcome::Ignored);
    }
    let context = TraceContext::of_event(&event.trace_id, &event.correlation_id, event.event_id);
    let began = Instant::now();
    let work = async {
        let mut tx = pool.begin().await?;
        let (outcome, done) =
            in_transaction(consumer, handler, &mut tx, now, event, origin).await?;
        if let Some(receipt) = receipt {
            receipt.give(&mut tx, outcome).await?;
        }
        tx.commit().await?;
        if let Some(then) = done.after_commit {
            after(then);
        }
        Ok(outcome)
    };
    let span = telemetry::begin(consumer.name, SpanKind::Consumer, &context, || {
        format!("process {}", event.event_type)
    });
    let result = trace::within(context, work).await;
    span.end(result.is_err());
    count(consumer.name, event, &result, began);
    result
}

/// The handler's work and the fault that a drill may want, without a commit.
pub(super) async fn handle(
    consumer: &Consumer,
    handler: &dyn Handler,
    tx: &mut PgConnection,
    event: &Received,
) -> Result<Done, HandleError> {
    let handled = AssertUnwindSafe(handler.handle(tx, event)).catch_unwind().await;
    let done = handled.unwrap_or_else(|_| {
        let error = anyhow::anyhow!("the handler of {} panicked", event.event_type);
        Err(HandleError::Retry { code: "panic", error })
    })?;
    if let Some(faults) = &consumer.faults {
        faults.strike(event.event_id)?;
    }
    Ok(done)
}

/// The same for events that came together.
pub(super) async fn handle_all(
    consumer: &Consumer,
    all: &dyn HandleAll,
    tx: &mut PgConnection,
    events: &[&Received],
) -> Result<Done, HandleError> {
    if events.is_empty() {
        return Ok(Done::quietly());
    }
    let handled = AssertUnwindSafe(all.handle_all(tx, events)).catch_unwind().await;
    let done = handled.unwrap_or_else(|_| {
        let error = anyhow::anyhow!("the handler of {} events panicked", events.len());
        Err(HandleError::Retry { code: "panic", error })
    })?;
    if let Some(faults) = &consumer.faults {
        events.iter().try_for_each(|event| faults.strike(event.event_id))?;
    }
    Ok(done)
}

async fn in_transaction(
    consumer: &Consumer,
    handler: Option<&std::sync::Arc<dyn Handler>>,
    tx: &mut PgConnection,
    now: Timestamp,
    event: &Received,
    origin: Origin<'_>,
) -> Result<(Outcome, Done), HandleError> {
    if !claim(tx, origin).await? {
        return Ok((Outcome::Gone, Done::quietly()));
    }
    let Some(handler) = handler else { return Ok((Outcome::Ignored, Done::quietly())) };
    let (topic, key) = match origin {
        Origin::Live { topic, key } => (topic, key),
        _ => ("", &[][..]),
    };
    let row = sqlx::query(ADMIT)
        .bind(consumer.name)
        .bind(event.event_id)
        .bind(now)
        .bind(topic)
        .bind(key)
        .fetch_one(&mut *tx)
        .await?;
    if row.try_get("behind")? {
        return Ok((Outcome::Behind, Done::quietly()));
    }
    if !row.try_get::<bool, _>("admitted")? {
        return Ok((Outcome::Duplicate, Done::quietly()));
    }
    Ok((Outcome::Done, handle(consumer, handler.as_ref(), tx, event).await?))
}

/// Takes the parked row that the event comes from; false when it is not there
/// any more in the state we saw.
async fn claim(tx: &mut PgConnection, origin: Origin<'_>) -> Result<bool, sqlx::Error> {
    let taken = match origin {
        Origin::Anywhere | Origin::Live { .. } => return Ok(true),
        Origin::Parked { id, attempts } => {
            let sql = "DELETE FROM parked WHERE id = $1 AND attempts = $2 AND dead_at IS NULL";
            sqlx::query(sql).bind(id).bind(attempts).execute(tx).await?
        }
        Origin::Dead { id } => {
            let sql = "DELETE FROM parked WHERE id = $1 AND dead_at IS NOT NULL";
            sqlx::query(sql).bind(id).execute(tx).await?
        }
    };
    Ok(taken.rows_affected() > 0)
}

/// The inbox row, unless the event has to queue up behind a parked one.
const ADMIT: &str = "
WITH waiting AS (
    SELECT octet_length($5::bytea) > 0 AND EXISTS (
        SELECT 1 FROM parked WHERE consumer = $1 AND topic = $4 AND message_key = $5
    ) AS behind
), admitted AS (
    INSERT INTO inbox (consumer, event_id, done_at)
    SELECT $1, $2, $3 FROM waiting WHERE NOT behind
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT behind, EXISTS (SELECT 1 FROM admitted) AS admitted FROM waiting";

/// The event is committed: a panic here must not make it fail.
pub(super) fn after(work: crate::consumer::AfterCommit) {
    if std::panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("work after a commit panicked");
    }
}

pub(super) fn count(
    consumer: &'static str,
    event: &Received,
    result: &Result<Outcome, HandleError>,
    began: Instant,
) {
    let outcome = match result {
        Ok(Outcome::Done) => "done",
        Ok(Outcome::Duplicate) => "duplicate",
        Ok(Outcome::Ignored) => "ignored",
        Ok(Outcome::Behind) => "behind",
        Ok(Outcome::Gone) => "gone",
        Err(HandleError::Retry { .. }) => "failed",
        Err(HandleError::Dependency(_)) => "dependency",
        Err(HandleError::Poison { .. }) => "poison",
    };
    metrics::counter!("consumer_attempts_total", "consumer" => consumer, "outcome" => outcome)
        .increment(1);
    metrics::histogram!("consumer_attempt_duration_seconds", "consumer" => consumer)
        .record(began.elapsed().as_secs_f64());
    if let Err(error) = result {
        tracing::warn!(
            consumer,
            event_type = event.event_type,
            event_id = %event.event_id,
            aggregate_id = event.aggregate_id,
            trace_id = event.trace_id,
            correlation_id = event.correlation_id,
            error = super::message::presentable(&error.to_string()),
            "event not handled"
        );
    }
}
