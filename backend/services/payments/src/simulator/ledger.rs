//! The ledger: what really happened, whoever got an answer.

use serde::Serialize;
use shared_types::{Amount, Currency, Money, Timestamp};
use sqlx::{FromRow, PgConnection, PgPool};

use crate::soap::messages::{Status, Transaction};

/// One entry.
#[derive(Clone, Debug, FromRow)]
pub struct Entry {
    pub id: i64,
    pub transaction_id: String,
    pub order_id: String,
    pub kind: String,
    pub status: String,
    pub decline_reason: Option<String>,
    pub amount_minor: i64,
    pub currency: Currency,
    pub attempt_id: Option<String>,
    pub refund_id: Option<String>,
    pub refund_of: Option<String>,
    pub via: String,
    pub at: Timestamp,
}

impl Entry {
    pub fn amount(&self) -> Amount {
        Money::new(self.amount_minor, self.currency).amount()
    }

    pub fn transaction(self) -> Transaction {
        Transaction {
            refund: self.kind == "REFUND",
            status: Status::parse(&self.status).unwrap_or(Status::Declined),
            amount: self.amount(),
            transaction_id: self.transaction_id,
            decline_reason: self.decline_reason,
            currency: self.currency.to_string(),
            attempt_id: self.attempt_id,
            refund_id: self.refund_id,
            refund_of: self.refund_of,
            at: Some(self.at.to_string()),
        }
    }
}

pub struct NewEntry<'a> {
    pub transaction_id: &'a str,
    pub order_id: &'a str,
    pub refund: bool,
    pub status: Status,
    pub decline_reason: Option<&'a str>,
    pub money: Money,
    pub attempt_id: Option<&'a str>,
    pub refund_id: Option<&'a str>,
    pub refund_of: Option<&'a str>,
    pub via: &'a str,
    pub now: Timestamp,
}

pub async fn add(connection: &mut PgConnection, new: &NewEntry<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO ledger (transaction_id, order_id, kind, status, decline_reason, amount_minor,
             currency, attempt_id, refund_id, refund_of, via, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(new.transaction_id)
    .bind(new.order_id)
    .bind(if new.refund { "REFUND" } else { "CHARGE" })
    .bind(new.status.word())
    .bind(new.decline_reason)
    .bind(new.money.minor)
    .bind(new.money.currency)
    .bind(new.attempt_id)
    .bind(new.refund_id)
    .bind(new.refund_of)
    .bind(new.via)
    .bind(new.now)
    .execute(connection)
    .await?;
    Ok(())
}

/// More transactions than this of one order are not told.
const MAX_OF_ORDER: i64 = 1_000;

pub async fn of_order(pool: &PgPool, order_id: &str) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as("SELECT * FROM ledger WHERE order_id = $1 ORDER BY id LIMIT $2")
        .bind(order_id)
        .bind(MAX_OF_ORDER)
        .fetch_all(pool)
        .await
}

/// Locks the approved charge that a refund names; the newest of an order.
pub async fn lock_charge(
    connection: &mut PgConnection,
    transaction_id: Option<&str>,
    order_id: Option<&str>,
) -> sqlx::Result<Option<Entry>> {
    sqlx::query_as(
        "SELECT * FROM ledger
         WHERE kind = 'CHARGE' AND status = 'APPROVED'
           AND ($1::text IS NULL OR transaction_id = $1) AND ($2::text IS NULL OR order_id = $2)
           AND ($1::text IS NOT NULL OR $2::text IS NOT NULL)
         ORDER BY id DESC LIMIT 1 FOR UPDATE",
    )
    .bind(transaction_id)
    .bind(order_id)
    .fetch_optional(connection)
    .await
}

pub async fn refunded_minor(
    connection: &mut PgConnection,
    transaction_id: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT coalesce(sum(amount_minor), 0)::bigint FROM ledger
         WHERE refund_of = $1 AND status = 'APPROVED'",
    )
    .bind(transaction_id)
    .fetch_one(connection)
    .await
}

/// True the first time for an attempt.
pub async fn first_loss(pool: &PgPool, attempt: &str, now: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query("INSERT INTO lost_before VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(attempt)
        .bind(now)
        .execute(pool)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// What proofs count, per order.
#[derive(Clone, Debug, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderTotals {
    pub order_id: String,
    /// Approved charges: more than one is a double charge.
    pub charges: i64,
    pub charged_minor: i64,
    pub declines: i64,
    pub refunds: i64,
    pub refunded_minor: i64,
}

/// Totals of orders after `after`, by order id.
pub async fn totals(pool: &PgPool, after: &str, limit: i64) -> sqlx::Result<Vec<OrderTotals>> {
    sqlx::query_as(
        "SELECT order_id,
             count(*) FILTER (WHERE kind = 'CHARGE' AND status = 'APPROVED') AS charges,
             coalesce(sum(amount_minor) FILTER (WHERE kind = 'CHARGE' AND status = 'APPROVED'), 0)::bigint
                 AS charged_minor,
             count(*) FILTER (WHERE kind = 'CHARGE' AND status <> 'APPROVED') AS declines,
             count(*) FILTER (WHERE kind = 'REFUND' AND status = 'APPROVED') AS refunds,
             coalesce(sum(amount_minor) FILTER (WHERE kind = 'REFUND' AND status = 'APPROVED'), 0)::bigint
                 AS refunded_minor
         FROM ledger WHERE order_id > $1 GROUP BY order_id ORDER BY order_id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// Entries after `after`, oldest first.
pub async fn entries(
    pool: &PgPool,
    order_id: Option<&str>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as(
        "SELECT * FROM ledger WHERE id > $1 AND ($2::text IS NULL OR order_id = $2)
         ORDER BY id LIMIT $3",
    )
    .bind(after)
    .bind(order_id)
    .bind(limit)
    .fetch_all(pool)
    .await
}
