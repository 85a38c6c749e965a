//! The `parked` table: messages that wait, in order per key.

use std::collections::BTreeMap;

use shared_types::Timestamp;
use sqlx::{PgConnection, PgPool, Row};

use super::message::{Failure, Incoming};
use super::{RETRY_AFTER, Shared};

/// A parked message.
#[derive(Clone, Debug)]
pub struct Parked {
    pub id: i64,
    pub attempts: i32,
    pub first_failed_at: Option<Timestamp>,
    pub message: Incoming,
}

const COLUMNS_OF_PARKED: &str = "SELECT id, attempts, first_failed_at, topic, kafka_partition, \
                                 kafka_offset, message_key, value, headers FROM parked WHERE id = $1 AND dead_at IS NULL";

/// Parks a message that failed for the first time. False when it is there
/// already.
pub async fn park_failed(
    shared: &Shared,
    message: &Incoming,
    failure: &Failure,
) -> Result<bool, sqlx::Error> {
    let now = shared.ctx.clock.now();
    let state = State {
        attempts: 1,
        failed_at: Some(now),
        retry_at: Some(now.plus(RETRY_AFTER[0])),
        dead_at: None,
    };
    let mut connection = shared.ctx.pool.acquire().await?;
    insert(&mut connection, shared.consumer.name, message, state, Some(failure)).await
}

/// Parks a message behind another of its key; `None` when the key has no room.
pub async fn park_behind(shared: &Shared, message: &Incoming) -> Result<Option<bool>, sqlx::Error> {
    let mut connection = shared.ctx.pool.acquire().await?;
    let waiting: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM parked WHERE consumer = $1 AND topic = $2 AND message_key = $3",
    )
    .bind(shared.consumer.name)
    .bind(&message.topic)
    .bind(&message.key)
    .fetch_one(&mut *connection)
    .await?;
    if waiting >= shared.limits.parked_per_key {
        return Ok(None);
    }
    let state = State { attempts: 0, failed_at: None, retry_at: None, dead_at: None };
    insert(&mut connection, shared.consumer.name, message, state, None).await.map(Some)
}

/// Sends a message to the dead letters at once; its place in the order of its
/// key stays taken. False when that was done before.
pub async fn bury_new(
    shared: &Shared,
    message: &Incoming,
    failure: &Failure,
) -> anyhow::Result<bool> {
    let now = shared.ctx.clock.now();
    let state = State { attempts: 1, failed_at: Some(now), retry_at: None, dead_at: Some(now) };
    let mut tx = shared.ctx.pool.begin().await?;
    let new = insert(&mut tx, shared.consumer.name, message, state, Some(failure)).await?;
    if new {
        let record = message.dead_letter(shared.consumer.name, 1, failure, now);
        shared.ctx.outbox.append_raw(&mut tx, record).await?;
    }
    tx.commit().await?;
    if new {
        count_dead(shared, failure);
    }
    Ok(new)
}

struct State {
    attempts: i32,
    failed_at: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    dead_at: Option<Timestamp>,
}

async fn insert(
    connection: &mut PgConnection,
    consumer: &str,
    message: &Incoming,
    state: State,
    failure: Option<&Failure>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO parked (consumer, topic, kafka_partition, kafka_offset, message_key, value, headers,
                             attempts, first_failed_at, retry_at, dead_at, error_code, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (consumer, topic, kafka_partition, kafka_offset) DO NOTHING",
    )
    .bind(consumer)
    .bind(&message.topic)
    .bind(message.partition)
    .bind(message.offset)
    .bind(&message.key)
    .bind(&message.value)
    .bind(sqlx::types::Json(&message.headers))
    .bind(state.attempts)
    .bind(state.failed_at)
    .bind(state.retry_at)
    .bind(state.dead_at)
    .bind(failure.map(|f| &f.code))
    .bind(failure.map(|f| &f.error))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Reads a parked message that is not dead.
pub async fn load(pool: &PgPool, id: i64) -> Result<Option<Parked>, sqlx::Error> {
    let Some(row) = sqlx::query(COLUMNS_OF_PARKED).bind(id).fetch_optional(pool).await? else {
        return Ok(None);
    };
    let headers: sqlx::types::Json<BTreeMap<String, String>> = row.try_get("headers")?;
    Ok(Some(Parked {
        id: row.try_get("id")?,
        attempts: row.try_get("attempts")?,
        first_failed_at: row.try_get("first_failed_at")?,
        message: Incoming {
            topic: row.try_get("topic")?,
            partition: row.try_get("kafka_partition")?,
            offset: row.try_get("kafka_offset")?,
            key: row.try_get("message_key")?,
            value: row.try_get("value")?,
            headers: headers.0,
            redriven: false,
        },
    }))
}

/// Notes that a parked message failed again: later, or dead after the last
/// attempt or when no attempt can help.
pub async fn failed_again(
    shared: &Shared,
    parked: &Parked,
    failure: &Failure,
    hopeless: bool,
) -> anyhow::Result<()> {
    let now = shared.ctx.clock.now();
    let attempts = parked.attempts + 1;
    let wait = usize::try_from(attempts - 1).ok().and_then(|i| RETRY_AFTER.get(i));
    let first = parked.first_failed_at.unwrap_or(now);
    let (retry_at, dead_at) = match wait {
        Some(wait) if !hopeless => (Some(now.plus(*wait)), None),
        _ => (None, Some(now)),
    };
    let mut tx = shared.ctx.pool.begin().await?;
    let changed = sqlx::query(
        "UPDATE parked SET attempts = $3, first_failed_at = $4, retry_at = $5, dead_at = $6,
                           error_code = $7, error = $8
         WHERE id = $1 AND attempts = $2 AND dead_at IS NULL",
    )
    .bind(parked.id)
    .bind(parked.attempts)
    .bind(attempts)
    .bind(first)
    .bind(retry_at)
    .bind(dead_at)
    .bind(&failure.code)
    .bind(&failure.error)
    .execute(&mut *tx)
    .await?;
    let dies = dead_at.is_some() && changed.rows_affected() > 0;
    if dies {
        let name = shared.consumer.name;
        let record = parked.message.dead_letter(name, attempts, failure, first);
        shared.ctx.outbox.append_raw(&mut tx, record).await?;
    }
    tx.commit().await?;
    if dies {
        count_dead(shared, failure);
    }
    Ok(())
}

/// A dependency is away: later, and no attempt is burnt.
pub async fn put_off(
    shared: &Shared,
    parked: &Parked,
    until: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE parked SET retry_at = $3 WHERE id = $1 AND attempts = $2 AND dead_at IS NULL",
    )
    .bind(parked.id)
    .bind(parked.attempts)
    .bind(until)
    .execute(&shared.ctx.pool)
    .await?;
    Ok(())
}

pub fn count_dead(shared: &Shared, failure: &Failure) {
    let (consumer, code) = (shared.consumer.name, failure.code.clone());
    tracing::error!(consumer, code, error = failure.error, "dead letter");
    metrics::counter!("consumer_dead_total", "consumer" => consumer, "code" => code).increment(1);
}
