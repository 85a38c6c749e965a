//! Dead letters, their arrivals and notes.

use std::collections::BTreeMap;

use shared_types::operations::{Cause, LetterFailure, LetterNote, LetterState, LetterSummary, Sum};
use shared_types::{Currency, DeadLetterId, Money, OrderId, RedriveId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Row};

use crate::domain::facts::{Facts, Failed};

/// A dead letter with its content.
#[derive(Clone, Debug)]
pub struct Letter {
    pub summary: LetterSummary,
    pub number: i64,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
}

impl Letter {
    pub fn id(&self) -> DeadLetterId {
        self.summary.id
    }

    pub fn consumer(&self) -> &str {
        &self.summary.cause.consumer
    }

    /// The original of a family of copies.
    pub fn root(&self) -> DeadLetterId {
        self.summary.copy_of.unwrap_or(self.summary.id)
    }
}

/// A letter without content, and its place in lists.
#[derive(Clone, Debug)]
pub struct Listed {
    pub summary: LetterSummary,
    pub number: i64,
}

impl FromRow<'_, PgRow> for Listed {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let minor: Option<i64> = row.try_get("amount_minor")?;
        let currency: Option<Currency> = row.try_get("currency")?;
        let amount = minor.zip(currency).map(|(minor, currency)| sum(minor, currency));
        let summary = LetterSummary {
            id: row.try_get("id")?,
            state: row.try_get("state")?,
            cause: Cause {
                consumer: row.try_get("consumer")?,
                error_code: row.try_get("error_code")?,
                event_type: row.try_get("event_type")?,
            },
            topic: row.try_get("topic")?,
            partition: row.try_get("kafka_partition")?,
            offset: row.try_get("kafka_offset")?,
            event_id: row.try_get("event_id")?,
            aggregate_id: row.try_get("aggregate_id")?,
            order_id: row.try_get("order_id")?,
            customer: row.try_get("customer")?,
            amount,
            about_money: row.try_get("about_money")?,
            error: row.try_get("error")?,
            attempts: row.try_get("attempts")?,
            times_failed: row.try_get("times_failed")?,
            first_failed_at: row.try_get("first_failed_at")?,
            last_failed_at: row.try_get("last_failed_at")?,
            arrived_at: row.try_get("arrived_at")?,
            copy_of: row.try_get("copy_of")?,
            redrive_id: row.try_get("redrive_id")?,
            trace_id: row.try_get("trace_id")?,
            correlation_id: row.try_get("correlation_id")?,
            settled_by: row.try_get("settled_by")?,
            settled_at: row.try_get("settled_at")?,
            reason: row.try_get("reason")?,
        };
        Ok(Listed { summary, number: row.try_get("number")? })
    }
}

pub fn sum(minor: i64, currency: Currency) -> Sum {
    Sum { amount: Money::new(minor, currency).amount(), currency }
}

impl FromRow<'_, PgRow> for Letter {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let Listed { summary, number } = Listed::from_row(row)?;
        let headers: Json<BTreeMap<String, String>> = row.try_get("headers")?;
        Ok(Letter {
            summary,
            number,
            key: row.try_get("message_key")?,
            value: row.try_get("value")?,
            headers: headers.0,
        })
    }
}

/// A letter that is about to be written.
pub struct NewLetter<'a> {
    pub id: DeadLetterId,
    pub copy_of: Option<DeadLetterId>,
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub headers: &'a BTreeMap<String, String>,
    pub facts: &'a Facts,
    pub failed: &'a Failed,
    pub times_failed: i32,
    pub now: Timestamp,
}

pub async fn insert(tx: &mut PgConnection, new: NewLetter<'_>) -> Result<(), sqlx::Error> {
    let (facts, failed) = (new.facts, new.failed);
    sqlx::query(
        "INSERT INTO dead_letters (id, consumer, topic, kafka_partition, kafka_offset, copy_of,
            message_key, value, headers, event_id, event_type, aggregate_id, order_id, customer,
            amount_minor, currency, trace_id, correlation_id, about_money, error_code, error,
            attempts, times_failed, first_failed_at, last_failed_at, arrived_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                 $19, $20, $21, $22, $23, $24, $25, $25)",
    )
    .bind(new.id)
    .bind(&failed.consumer)
    .bind(&failed.topic)
    .bind(failed.partition)
    .bind(failed.offset)
    .bind(new.copy_of)
    .bind(new.key)
    .bind(new.value)
    .bind(Json(new.headers))
    .bind(facts.event_id)
    .bind(&facts.event_type)
    .bind(&facts.aggregate_id)
    .bind(facts.order_id)
    .bind(&facts.customer)
    .bind(facts.amount.map(|m| m.minor))
    .bind(facts.amount.map(|m| m.currency))
    .bind(&facts.trace_id)
    .bind(&facts.correlation_id)
    .bind(facts.about_money)
    .bind(&failed.error_code)
    .bind(&failed.error)
    .bind(failed.attempts)
    .bind(new.times_failed)
    .bind(failed.first_failed_at.unwrap_or(new.now))
    .bind(new.now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes a record of a dead letter topic; false when it was seen before.
pub async fn arrived(
    tx: &mut PgConnection,
    (topic, partition, offset): (&str, i32, i64),
    letter: DeadLetterId,
    failed: &Failed,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO dead_letter_arrivals (topic, kafka_partition, kafka_offset, letter_id,
                                           error_code, error, attempts, arrived_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    )
    .bind(topic)
    .bind(partition)
    .bind(offset)
    .bind(letter)
    .bind(&failed.error_code)
    .bind(&failed.error)
    .bind(failed.attempts)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub async fn has_arrived(
    tx: &mut PgConnection,
    (topic, partition, offset): (&str, i32, i64),
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM dead_letter_arrivals
                        WHERE topic = $1 AND kafka_partition = $2 AND kafka_offset = $3)",
    )
    .bind(topic)
    .bind(partition)
    .bind(offset)
    .fetch_one(tx)
    .await
}

/// The letter that a dead letter is the same message as.
pub async fn find_same(
    tx: &mut PgConnection,
    redrive_of: Option<DeadLetterId>,
    failed: &Failed,
) -> Result<Option<DeadLetterId>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT id FROM dead_letters
         WHERE id = $1 OR (copy_of IS NULL AND consumer = $2 AND topic = $3
                           AND kafka_partition = $4 AND kafka_offset = $5)
         ORDER BY (id = $1) DESC NULLS LAST LIMIT 1",
    )
    .bind(redrive_of)
    .bind(&failed.consumer)
    .bind(&failed.topic)
    .bind(failed.partition)
    .bind(failed.offset)
    .fetch_optional(tx)
    .await
}

/// It failed again: it is open, whatever it was.
pub async fn failed_again(
    tx: &mut PgConnection,
    id: DeadLetterId,
    failed: &Failed,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead_letters SET state = 'open', times_failed = times_failed + 1, error_code = $2,
                error = $3, attempts = $4, last_failed_at = $5,
                settled_by = NULL, settled_at = NULL, reason = NULL
         WHERE id = $1",
    )
    .bind(id)
    .bind(&failed.error_code)
    .bind(&failed.error)
    .bind(failed.attempts)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn find(tx: &mut PgConnection, id: DeadLetterId) -> Result<Option<Letter>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM dead_letters WHERE id = $1").bind(id).fetch_optional(tx).await
}

/// The letter, and nobody changes it until the transaction ends.
pub async fn lock(tx: &mut PgConnection, id: DeadLetterId) -> Result<Option<Letter>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM dead_letters WHERE id = $1 FOR UPDATE")
        .bind(id)
        .fetch_optional(tx)
        .await
}

/// Whether the original or another copy of it is on its way or done.
pub async fn relative_in_the_way(
    tx: &mut PgConnection,
    root: DeadLetterId,
    but: DeadLetterId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM dead_letters
                        WHERE (id = $1 OR copy_of = $1) AND id <> $2
                          AND state IN ('redriving', 'redriven', 'redirected'))",
    )
    .bind(root)
    .bind(but)
    .fetch_one(tx)
    .await
}

/// Settles a letter in `state`; the redrive it is sent with, if any.
pub async fn settle(
    tx: &mut PgConnection,
    id: DeadLetterId,
    state: LetterState,
    by: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead_letters SET state = $2, settled_by = $3, reason = $4, settled_at = $5
         WHERE id = $1",
    )
    .bind(id)
    .bind(state)
    .bind(by)
    .bind(reason)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Its consumer has handled it; false when that was known.
pub async fn handled(
    tx: &mut PgConnection,
    id: DeadLetterId,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE dead_letters SET state = 'redriven', settled_at = $2
         WHERE id = $1 AND state IN ('open', 'redriving')",
    )
    .bind(id)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Original and copies of what was settled have nothing left to do.
pub async fn supersede(
    tx: &mut PgConnection,
    id: DeadLetterId,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH root AS (SELECT coalesce(copy_of, id) AS id FROM dead_letters WHERE id = $1)
         UPDATE dead_letters d SET state = 'superseded', settled_at = $2
         FROM root WHERE (d.id = root.id OR d.copy_of = root.id) AND d.id <> $1 AND d.state = 'open'",
    )
    .bind(id)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn reopen(tx: &mut PgConnection, id: DeadLetterId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead_letters SET state = 'open', settled_by = NULL, settled_at = NULL, reason = NULL
         WHERE id = $1",
    )
    .bind(id)
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn sent_with(
    tx: &mut PgConnection,
    ids: &[DeadLetterId],
    redrive: RedriveId,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE dead_letters SET state = 'redriving', redrive_id = $2 WHERE id = ANY($1)")
        .bind(ids)
        .bind(redrive)
        .execute(tx)
        .await?;
    Ok(())
}

pub async fn add_note(
    tx: &mut PgConnection,
    id: DeadLetterId,
    text: &str,
    author: &str,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO dead_letter_notes (letter_id, text, author, at) VALUES ($1, $2, $3, $4)",
    )
    .bind(id)
    .bind(text)
    .bind(author)
    .bind(at)
    .execute(tx)
    .await?;
    Ok(())
}

/// A person can read so many.
const MAX_RELATED: i64 = 100;

pub async fn notes(
    tx: &mut PgConnection,
    id: DeadLetterId,
) -> Result<Vec<LetterNote>, sqlx::Error> {
    let rows: Vec<(String, String, Timestamp)> = sqlx::query_as(
        "SELECT text, author, at FROM dead_letter_notes WHERE letter_id = $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(id)
    .bind(MAX_RELATED)
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|(text, author, at)| LetterNote { text, author, at }).collect())
}

pub async fn count_notes(tx: &mut PgConnection, id: DeadLetterId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM dead_letter_notes WHERE letter_id = $1")
        .bind(id)
        .fetch_one(tx)
        .await
}

pub async fn failures(
    tx: &mut PgConnection,
    id: DeadLetterId,
) -> Result<Vec<LetterFailure>, sqlx::Error> {
    let rows: Vec<(Timestamp, String, String, i32)> = sqlx::query_as(
        "SELECT arrived_at, error_code, error, attempts FROM dead_letter_arrivals
         WHERE letter_id = $1 ORDER BY arrived_at DESC, kafka_offset DESC LIMIT $2",
    )
    .bind(id)
    .bind(MAX_RELATED)
    .fetch_all(tx)
    .await?;
    let failure =
        |(at, error_code, error, attempts)| LetterFailure { at, error_code, error, attempts };
    Ok(rows.into_iter().map(failure).collect())
}

pub async fn copies(
    tx: &mut PgConnection,
    id: DeadLetterId,
) -> Result<Vec<DeadLetterId>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM dead_letters WHERE copy_of = $1 ORDER BY number LIMIT $2")
        .bind(id)
        .bind(MAX_RELATED)
        .fetch_all(tx)
        .await
}

/// Dead letters of the same aggregate or order, without this one.
pub async fn relatives(
    tx: &mut PgConnection,
    id: DeadLetterId,
    aggregate: Option<&str>,
    order: Option<OrderId>,
) -> Result<Vec<LetterSummary>, sqlx::Error> {
    let rows: Vec<Listed> = sqlx::query_as(
        "SELECT * FROM dead_letters WHERE (aggregate_id = $2 OR order_id = $3) AND id <> $1
         ORDER BY number LIMIT $4",
    )
    .bind(id)
    .bind(aggregate)
    .bind(order)
    .bind(MAX_RELATED)
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|l| l.summary).collect())
}

/// Deletes what was settled before `before`, copies first; at most `limit`.
pub async fn prune(
    tx: &mut PgConnection,
    before: Timestamp,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM dead_letters WHERE id IN (
            SELECT id FROM dead_letters d
            WHERE settled_at < $1 AND state IN ('redriven', 'redirected', 'superseded', 'deleted')
              AND NOT EXISTS (SELECT 1 FROM dead_letters c WHERE c.copy_of = d.id)
            LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}
