//! Sagas as lists, for operators and gauges.

use shared_types::orders::{OrderStatus, Stage};
use shared_types::sagas::{SagaAttempt, SagaChange, SagaRefund};
use shared_types::{Currency, OrderId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

use super::orders::number_text;
use super::{amount, word};
use crate::domain::saga::State;

/// Which sagas a list shows.
#[derive(Clone, Debug, Default)]
pub struct SagaFilter {
    /// Without one: all that are not at rest, and stuck ones.
    pub state: Option<State>,
    pub stuck: Option<bool>,
    /// In their state since this time or earlier.
    pub in_state_before: Option<Timestamp>,
    /// At least so many minor units of that currency.
    pub at_least: Option<(i64, Currency)>,
    pub order: SagaOrder,
}

/// In which order, and after which row.
#[derive(Clone, Copy, Debug)]
pub enum SagaOrder {
    /// Longest in its state first.
    Age(Option<(Timestamp, OrderId)>),
    /// Largest total first, in minor units.
    Amount(Option<(i64, OrderId)>),
}

impl Default for SagaOrder {
    fn default() -> Self {
        SagaOrder::Age(None)
    }
}

/// A saga without its details.
#[derive(Clone, Debug)]
pub struct SagaRow {
    pub order_id: OrderId,
    pub order_number: String,
    pub status: OrderStatus,
    pub stage: Stage,
    pub state: String,
    pub total_minor: i64,
    pub currency: Currency,
    pub retries: i32,
    pub stuck_reason: Option<String>,
    pub created_at: Timestamp,
    pub state_since: Timestamp,
    pub updated_at: Timestamp,
    pub next_run_at: Option<Timestamp>,
    pub version: i64,
}

macro_rules! list {
    ($order:literal) => {
        concat!(
            "SELECT s.order_id, o.number, o.status, o.stage, s.state, o.total_minor, o.currency, s.retries,
                s.stuck_reason, o.created_at, s.state_since, s.updated_at, s.next_run_at, s.version
             FROM sagas s JOIN orders o USING (order_id)
             WHERE CASE WHEN $1::text IS NULL THEN s.state <> 'done' OR s.stuck_at IS NOT NULL
                        ELSE s.state = $1 END
               AND ($2::boolean IS NULL OR (s.stuck_at IS NOT NULL) = $2)
               AND ($3::timestamptz IS NULL OR s.state_since <= $3)
               AND ($4::bigint IS NULL OR (o.total_minor >= $4 AND o.currency = $5)) ",
            $order
        )
    };
}

const BY_AGE: &str = list!(
    "AND ($6::timestamptz IS NULL OR (s.state_since, s.order_id) > ($6, $7))
     ORDER BY s.state_since, s.order_id LIMIT $8"
);
const BY_AMOUNT: &str = list!(
    "AND ($6::bigint IS NULL OR (o.total_minor, s.order_id) < ($6, $7))
     ORDER BY o.total_minor DESC, s.order_id DESC LIMIT $8"
);

pub async fn list(
    tx: &mut PgConnection,
    filter: &SagaFilter,
    limit: i64,
) -> Result<Vec<SagaRow>, sqlx::Error> {
    let query = match filter.order {
        SagaOrder::Age(_) => sqlx::query(BY_AGE),
        SagaOrder::Amount(_) => sqlx::query(BY_AMOUNT),
    };
    let query = query
        .bind(filter.state.map(State::as_str))
        .bind(filter.stuck)
        .bind(filter.in_state_before)
        .bind(filter.at_least.map(|(minor, _)| minor))
        .bind(filter.at_least.map(|(_, currency)| currency));
    let query = match filter.order {
        SagaOrder::Age(after) => query.bind(after.map(|a| a.0)).bind(after.map(|a| a.1)),
        SagaOrder::Amount(after) => query.bind(after.map(|a| a.0)).bind(after.map(|a| a.1)),
    };
    query.bind(limit).fetch_all(tx).await?.iter().map(saga_row).collect()
}

const ONE: &str = "
SELECT s.order_id, o.number, o.status, o.stage, s.state, o.total_minor, o.currency, s.retries,
    s.stuck_reason, o.created_at, s.state_since, s.updated_at, s.next_run_at, s.version
FROM sagas s JOIN orders o USING (order_id) WHERE s.order_id = $1";

pub async fn find(
    tx: &mut PgConnection,
    order_id: OrderId,
) -> Result<Option<SagaRow>, sqlx::Error> {
    let row = sqlx::query(ONE).bind(order_id).fetch_optional(tx).await?;
    row.as_ref().map(saga_row).transpose()
}

fn saga_row(row: &PgRow) -> Result<SagaRow, sqlx::Error> {
    Ok(SagaRow {
        order_id: row.try_get("order_id")?,
        order_number: number_text(row.try_get("number")?),
        status: word(row.try_get("status")?)?,
        stage: word(row.try_get("stage")?)?,
        state: row.try_get("state")?,
        total_minor: row.try_get("total_minor")?,
        currency: row.try_get("currency")?,
        retries: row.try_get("retries")?,
        stuck_reason: row.try_get("stuck_reason")?,
        created_at: row.try_get("created_at")?,
        state_since: row.try_get("state_since")?,
        updated_at: row.try_get("updated_at")?,
        next_run_at: row.try_get("next_run_at")?,
        version: row.try_get("version")?,
    })
}

/// More rows of one order than a person reads.
const MOST_ROWS: i64 = 200;

pub async fn attempts(
    tx: &mut PgConnection,
    order_id: OrderId,
) -> Result<Vec<SagaAttempt>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT attempt_id, state, decline_code, payment_id, started_at, decided_at
         FROM payment_attempts WHERE order_id = $1 ORDER BY started_at, attempt_id LIMIT $2",
    )
    .bind(order_id)
    .bind(MOST_ROWS)
    .fetch_all(tx)
    .await?;
    let attempt = |row: &PgRow| {
        Ok(SagaAttempt {
            attempt_id: row.try_get("attempt_id")?,
            state: row.try_get("state")?,
            decline_code: row.try_get("decline_code")?,
            payment_id: row.try_get("payment_id")?,
            started_at: row.try_get("started_at")?,
            decided_at: row.try_get("decided_at")?,
        })
    };
    rows.iter().map(attempt).collect()
}

pub async fn refunds(
    tx: &mut PgConnection,
    order_id: OrderId,
    currency: Currency,
) -> Result<Vec<SagaRefund>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT refund_id, amount_minor, cause, state, created_at, decided_at
         FROM refunds WHERE order_id = $1 ORDER BY created_at, refund_id LIMIT $2",
    )
    .bind(order_id)
    .bind(MOST_ROWS)
    .fetch_all(tx)
    .await?;
    let refund = |row: &PgRow| {
        Ok(SagaRefund {
            refund_id: row.try_get("refund_id")?,
            amount: amount(row.try_get("amount_minor")?, currency),
            cause: row.try_get("cause")?,
            state: row.try_get("state")?,
            created_at: row.try_get("created_at")?,
            decided_at: row.try_get("decided_at")?,
        })
    };
    rows.iter().map(refund).collect()
}

pub async fn history(
    tx: &mut PgConnection,
    order_id: OrderId,
) -> Result<Vec<SagaChange>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT status, at, cause, actor FROM order_status_history
         WHERE order_id = $1 ORDER BY id LIMIT $2",
    )
    .bind(order_id)
    .bind(MOST_ROWS)
    .fetch_all(tx)
    .await?;
    let change = |row: &PgRow| {
        Ok(SagaChange {
            status: word(row.try_get("status")?)?,
            at: row.try_get("at")?,
            cause: row.try_get("cause")?,
            actor: row.try_get("actor")?,
        })
    };
    rows.iter().map(change).collect()
}

/// How many sagas are in a state, and since when the oldest is.
#[derive(Clone, Debug)]
pub struct Census {
    pub state: String,
    pub count: i64,
    pub oldest: Timestamp,
}

/// Sagas that are not at rest, by state.
pub async fn census(pool: &PgPool) -> Result<Vec<Census>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT state, count(*) AS count, min(state_since) AS oldest
         FROM sagas WHERE state <> 'done' GROUP BY state",
    )
    .fetch_all(pool)
    .await?;
    let entry = |row: &PgRow| {
        Ok(Census {
            state: row.try_get("state")?,
            count: row.try_get("count")?,
            oldest: row.try_get("oldest")?,
        })
    };
    rows.iter().map(entry).collect()
}

/// Sagas that need a person, and those that were due before `limit` and that
/// nobody took up.
pub async fn troubled(pool: &PgPool, limit: Timestamp) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM sagas WHERE stuck_at IS NOT NULL) AS stuck,
                (SELECT count(*) FROM sagas WHERE next_run_at < $1) AS overdue",
    )
    .bind(limit)
    .fetch_one(pool)
    .await?;
    Ok((row.try_get("stuck")?, row.try_get("overdue")?))
}
