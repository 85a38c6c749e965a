//! Attempts to charge.

use shared_types::{AttemptId, Currency, Money, OrderId, PaymentId, Timestamp};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::add_calls;
use crate::provider::CallRow;

/// Where an attempt is. `Running` and `Unknown` are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Somebody works on it until `due_at`.
    Running,
    /// Sent, and the outcome is not known; asked for at `due_at`.
    Unknown,
    Captured,
    Declined,
    /// Certainly not charged.
    NotSent,
}

#[derive(Clone, Debug, FromRow)]
pub struct AttemptRow {
    pub attempt_id: AttemptId,
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub amount_minor: i64,
    pub currency: Currency,
    pub token_sealed: Option<Vec<u8>>,
    pub state: State,
    pub provider: String,
    pub decline_code: Option<String>,
    pub sends: i32,
    pub asks: i32,
    pub quiet_from: Timestamp,
    pub trace_id: String,
    pub correlation_id: String,
    pub created_at: Timestamp,
}

impl AttemptRow {
    pub fn money(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

pub struct NewAttempt<'a> {
    pub attempt_id: AttemptId,
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub money: Money,
    pub token_sealed: &'a [u8],
    pub provider: &'a str,
    pub owner: Uuid,
    pub now: Timestamp,
    pub quiet_from: Timestamp,
    pub lease_until: Timestamp,
    pub trace_id: &'a str,
    pub correlation_id: &'a str,
}

/// One statement, one commit: the payment, made or taken up again, and the
/// attempt. None when the attempt exists or the payment is not free.
pub async fn begin(pool: &PgPool, new: &NewAttempt<'_>) -> sqlx::Result<Option<AttemptRow>> {
    let begun = sqlx::query_as(
        "WITH payment AS (
             INSERT INTO payments AS p (payment_id, order_id, amount_minor, currency, status,
                                        provider, created_at, updated_at)
             SELECT $2, $3, $4, $5, 'PROCESSING', $7, $9, $9
             WHERE NOT EXISTS (SELECT 1 FROM payment_attempts WHERE attempt_id = $1)
             ON CONFLICT (order_id) DO UPDATE
                 SET status = 'PROCESSING', amount_minor = excluded.amount_minor,
                     currency = excluded.currency, decline_code = NULL,
                     updated_at = excluded.updated_at
                 WHERE p.status IN ('CREATED', 'DECLINED')
             RETURNING payment_id)
         INSERT INTO payment_attempts (attempt_id, payment_id, order_id, amount_minor, currency,
             token_sealed, state, provider, owner, quiet_from, due_at, trace_id, correlation_id,
             created_at)
         SELECT $1, payment_id, $3, $4, $5, $6, 'RUNNING', $7, $8, $10, $11, $12, $13, $9
         FROM payment
         RETURNING *",
    )
    .bind(new.attempt_id)
    .bind(new.payment_id)
    .bind(new.order_id)
    .bind(new.money.minor)
    .bind(new.money.currency)
    .bind(new.token_sealed)
    .bind(new.provider)
    .bind(new.owner)
    .bind(new.now)
    .bind(new.quiet_from)
    .bind(new.lease_until)
    .bind(new.trace_id)
    .bind(new.correlation_id)
    .fetch_optional(pool)
    .await;
    match begun {
        // The same attempt at the same moment: the other one has it.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        other => other,
    }
}

pub async fn find(pool: &PgPool, attempt_id: AttemptId) -> sqlx::Result<Option<AttemptRow>> {
    sqlx::query_as("SELECT * FROM payment_attempts WHERE attempt_id = $1")
        .bind(attempt_id)
        .fetch_optional(pool)
        .await
}

/// A claim on the next step of an attempt.
pub struct Claim {
    pub owner: Uuid,
    pub now: Timestamp,
    pub quiet_from: Timestamp,
    pub lease_until: Timestamp,
}

/// Claims one more send; false when the attempt is no longer ours.
pub async fn claim_send(
    connection: &mut PgConnection,
    attempt_id: AttemptId,
    provider: &str,
    claim: &Claim,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE payment_attempts SET state = 'RUNNING', sends = sends + 1, provider = $3,
             quiet_from = $4, due_at = $5
         WHERE attempt_id = $1 AND owner = $2 AND state IN ('RUNNING', 'UNKNOWN')",
    )
    .bind(attempt_id)
    .bind(claim.owner)
    .bind(provider)
    .bind(claim.quiet_from)
    .bind(claim.lease_until)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes over open attempts whose time has come, oldest first.
pub async fn claim_due(pool: &PgPool, claim: &Claim, limit: u32) -> sqlx::Result<Vec<AttemptRow>> {
    sqlx::query_as(
        "UPDATE payment_attempts SET owner = $1, due_at = $3
         WHERE attempt_id IN (
             SELECT attempt_id FROM payment_attempts WHERE due_at <= $2
             ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED)
         RETURNING *",
    )
    .bind(claim.owner)
    .bind(claim.now)
    .bind(claim.lease_until)
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await
}

/// Leaves an attempt to be asked for at `due_at`.
pub async fn park(
    connection: &mut PgConnection,
    attempt_id: AttemptId,
    owner: Uuid,
    quiet_from: Timestamp,
    due_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE payment_attempts SET state = 'UNKNOWN', owner = NULL, asks = asks + 1,
             quiet_from = $3, due_at = $4
         WHERE attempt_id = $1 AND owner = $2 AND state IN ('RUNNING', 'UNKNOWN')",
    )
    .bind(attempt_id)
    .bind(owner)
    .bind(quiet_from)
    .bind(due_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// How an attempt ended.
pub struct Settled<'a> {
    pub state: State,
    pub provider: &'a str,
    pub transaction_id: Option<&'a str>,
    pub decline_code: Option<&'a str>,
    pub now: Timestamp,
}

/// Writes the outcome once; false when it already stands.
pub async fn settle(
    connection: &mut PgConnection,
    attempt_id: AttemptId,
    settled: &Settled<'_>,
    calls: &[CallRow],
) -> sqlx::Result<bool> {
    let payment: Option<PaymentId> = sqlx::query_scalar(
        "WITH attempt AS (
             UPDATE payment_attempts SET state = $2, provider = $3, transaction_id = $4,
                 decline_code = $5, token_sealed = NULL, owner = NULL, due_at = NULL,
                 settled_at = $6
             WHERE attempt_id = $1 AND state IN ('RUNNING', 'UNKNOWN')
             RETURNING payment_id, amount_minor)
         UPDATE payments p SET
             status = CASE $2 WHEN 'CAPTURED' THEN 'CAPTURED'
                              WHEN 'DECLINED' THEN 'DECLINED' ELSE 'CREATED' END,
             provider = $3, decline_code = $5, updated_at = $6,
             transaction_id = CASE WHEN $2 = 'CAPTURED' THEN $4 ELSE p.transaction_id END,
             captured_minor = CASE WHEN $2 = 'CAPTURED' THEN attempt.amount_minor ELSE 0 END
         FROM attempt WHERE p.payment_id = attempt.payment_id
         RETURNING p.payment_id",
    )
    .bind(attempt_id)
    .bind(settled.state)
    .bind(settled.provider)
    .bind(settled.transaction_id)
    .bind(settled.decline_code)
    .bind(settled.now)
    .fetch_optional(&mut *connection)
    .await?;
    add_calls(connection, attempt_id.0, calls).await?;
    Ok(payment.is_some())
}
