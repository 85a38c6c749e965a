//! One attempt at one event: inbox row, handler and commit in one transaction.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use shared_types::Timestamp;
use sqlx::{PgConnection, PgPool};

use crate::consumer::{Consumer, Done, HandleError, Received};
use crate::trace::{self, TraceContext};

/// What an attempt that did not fail came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Handled now.
    Done,
    /// The inbox knew it: nothing happened.
    Duplicate,
    /// Nobody listens to this type.
    Ignored,
}

/// The code of a message that is no event.
pub const UNDECODABLE: &str = "undecodable";

/// Reads an envelope; what is none is poison.
pub fn decode(value: &[u8]) -> Result<Received, HandleError> {
    serde_json::from_slice(value).map_err(|e| HandleError::Poison {
        code: UNDECODABLE,
        error: anyhow::anyhow!("envelope: {e}"),
    })
}

/// Handles `event` once, whatever happened before.
pub async fn run(
    consumer: &Consumer,
    pool: &PgPool,
    now: Timestamp,
    event: &Received,
) -> Result<Outcome, HandleError> {
    run_with(consumer, pool, now, event, None).await
}

/// The same; the parked row `settles` goes with the commit.
pub async fn run_with(
    consumer: &Consumer,
    pool: &PgPool,
    now: Timestamp,
    event: &Received,
    settles: Option<i64>,
) -> Result<Outcome, HandleError> {
    let context = TraceContext::of_event(&event.trace_id, &event.correlation_id, event.event_id);
    let work = async {
        let mut tx = pool.begin().await?;
        if let Some(id) = settles {
            sqlx::query("DELETE FROM parked WHERE id = $1").bind(id).execute(&mut *tx).await?;
        }
        let (outcome, done) = within(consumer, &mut tx, now, event).await?;
        tx.commit().await?;
        if let Some(then) = done.after_commit {
            after(then);
        }
        Ok(outcome)
    };
    trace::within(context, work).await
}

async fn within(
    consumer: &Consumer,
    tx: &mut PgConnection,
    now: Timestamp,
    event: &Received,
) -> Result<(Outcome, Done), HandleError> {
    let Some(handler) = consumer.handler(&event.event_type) else {
        return Ok((Outcome::Ignored, Done::quietly()));
    };
    let new = sqlx::query(
        "INSERT INTO inbox (consumer, event_id, done_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(consumer.name)
    .bind(event.event_id)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    if new.rows_affected() == 0 {
        return Ok((Outcome::Duplicate, Done::quietly()));
    }
    let handled = AssertUnwindSafe(handler.handle(tx, event)).catch_unwind().await;
    let done = handled.unwrap_or_else(|_| {
        let error = anyhow::anyhow!("the handler of {} panicked", event.event_type);
        Err(HandleError::Retry { code: "panic", error })
    })?;
    Ok((Outcome::Done, done))
}

/// The event is committed: a panic here must not make it fail.
fn after(work: crate::consumer::AfterCommit) {
    if std::panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("work after a commit panicked");
    }
}
