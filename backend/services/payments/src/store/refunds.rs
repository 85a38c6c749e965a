//! Refunds.

use shared_types::{Currency, Money, OrderId, PaymentId, RefundId, Timestamp};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::attempts::Claim;
use super::{PaymentRow, add_calls};
use crate::provider::CallRow;

/// Where a refund is. The first three are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Somebody works on it until `due_at`.
    Running,
    /// Certainly not given back yet; sent at `due_at`.
    Waiting,
    /// Sent, and the outcome is not known; asked for at `due_at`.
    Unknown,
    Succeeded,
    Failed,
}

#[derive(Clone, Debug, FromRow)]
pub struct RefundRow {
    pub refund_id: RefundId,
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub amount_minor: i64,
    pub currency: Currency,
    pub state: State,
    pub charge_transaction_id: String,
    pub provider: String,
    pub transaction_id: Option<String>,
    pub fingerprint: Option<Vec<u8>>,
    pub asks: i32,
    pub quiet_from: Timestamp,
    pub trace_id: String,
    pub correlation_id: String,
    pub created_at: Timestamp,
}

impl RefundRow {
    pub fn money(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

pub async fn find(
    connection: &mut PgConnection,
    refund_id: RefundId,
) -> sqlx::Result<Option<RefundRow>> {
    sqlx::query_as("SELECT * FROM refunds WHERE refund_id = $1")
        .bind(refund_id)
        .fetch_optional(connection)
        .await
}

pub struct NewRefund<'a> {
    pub refund_id: RefundId,
    pub money: Money,
    pub reason: &'a str,
    pub charge_transaction_id: &'a str,
    pub fingerprint: Option<&'a [u8]>,
    pub trace_id: &'a str,
    pub correlation_id: &'a str,
}

/// Promises the money and makes the refund. The payment is locked.
pub async fn begin(
    connection: &mut PgConnection,
    payment: &PaymentRow,
    new: &NewRefund<'_>,
    claim: &Claim,
) -> sqlx::Result<RefundRow> {
    sqlx::query_as(
        "WITH promised AS (
             UPDATE payments SET refund_pending_minor = refund_pending_minor + $4, updated_at = $9
             WHERE payment_id = $2)
         INSERT INTO refunds (refund_id, payment_id, order_id, amount_minor, currency, reason,
             state, charge_transaction_id, provider, owner, created_at, quiet_from, due_at,
             trace_id, correlation_id, fingerprint)
         VALUES ($1, $2, $3, $4, $5, $6, 'RUNNING', $7, $13, $8, $9, $10, $11, $12, $14, $15)
         RETURNING *",
    )
    .bind(new.refund_id)
    .bind(payment.payment_id)
    .bind(payment.order_id)
    .bind(new.money.minor)
    .bind(new.money.currency)
    .bind(new.reason)
    .bind(new.charge_transaction_id)
    .bind(claim.owner)
    .bind(claim.now)
    .bind(claim.quiet_from)
    .bind(claim.lease_until)
    .bind(new.trace_id)
    .bind(&payment.provider)
    .bind(new.correlation_id)
    .bind(new.fingerprint)
    .fetch_one(connection)
    .await
}

/// Takes over open refunds whose time has come, oldest first.
pub async fn claim_due(pool: &PgPool, claim: &Claim, limit: u32) -> sqlx::Result<Vec<RefundRow>> {
    sqlx::query_as(
        "UPDATE refunds SET owner = $1, due_at = $3
         WHERE refund_id IN (
             SELECT refund_id FROM refunds WHERE due_at <= $2
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

/// Claims one more send; false when the refund is no longer ours.
pub async fn claim_send(pool: &PgPool, refund_id: RefundId, claim: &Claim) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE refunds SET state = 'RUNNING', sends = sends + 1, quiet_from = $3, due_at = $4
         WHERE refund_id = $1 AND owner = $2 AND state IN ('RUNNING', 'WAITING', 'UNKNOWN')",
    )
    .bind(refund_id)
    .bind(claim.owner)
    .bind(claim.quiet_from)
    .bind(claim.lease_until)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Leaves a refund, waiting or unknown, until `due_at`.
pub async fn park(
    connection: &mut PgConnection,
    refund_id: RefundId,
    owner: Uuid,
    state: State,
    quiet_from: Timestamp,
    due_at: Timestamp,
    transaction_id: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE refunds SET state = $3, owner = NULL, asks = asks + 1, quiet_from = $4, due_at = $5,
             transaction_id = coalesce($6, transaction_id)
         WHERE refund_id = $1 AND owner = $2 AND state IN ('RUNNING', 'WAITING', 'UNKNOWN')",
    )
    .bind(refund_id)
    .bind(owner)
    .bind(state)
    .bind(quiet_from)
    .bind(due_at)
    .bind(transaction_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks the refund until the transaction ends.
pub async fn lock(
    connection: &mut PgConnection,
    refund_id: RefundId,
) -> sqlx::Result<Option<RefundRow>> {
    sqlx::query_as("SELECT * FROM refunds WHERE refund_id = $1 FOR UPDATE")
        .bind(refund_id)
        .fetch_optional(connection)
        .await
}

/// How a refund ended.
pub struct Settled<'a> {
    pub succeeded: bool,
    pub provider: &'a str,
    pub transaction_id: Option<&'a str>,
    pub failure_code: Option<&'a str>,
    pub now: Timestamp,
}

/// Writes the outcome once and moves the promised money; false when it already
/// stands.
pub async fn settle(
    connection: &mut PgConnection,
    refund_id: RefundId,
    settled: &Settled<'_>,
    calls: &[CallRow],
) -> sqlx::Result<bool> {
    let payment: Option<PaymentId> = sqlx::query_scalar(
        "WITH refund AS (
             UPDATE refunds SET state = CASE WHEN $2 THEN 'SUCCEEDED' ELSE 'FAILED' END,
                 provider = $3, transaction_id = coalesce($4, transaction_id), failure_code = $5, owner = NULL,
                 due_at = NULL, settled_at = $6
             WHERE refund_id = $1 AND state IN ('RUNNING', 'WAITING', 'UNKNOWN')
             RETURNING payment_id, amount_minor, CASE WHEN $2 THEN amount_minor ELSE 0 END AS back)
         UPDATE payments p SET
             refund_pending_minor = p.refund_pending_minor - refund.amount_minor,
             refunded_minor = p.refunded_minor + refund.back,
             status = CASE WHEN p.refunded_minor + refund.back = 0 THEN 'CAPTURED'
                           WHEN p.refunded_minor + refund.back < p.captured_minor
                           THEN 'PARTIALLY_REFUNDED' ELSE 'REFUNDED' END,
             updated_at = $6
         FROM refund WHERE p.payment_id = refund.payment_id
         RETURNING p.payment_id",
    )
    .bind(refund_id)
    .bind(settled.succeeded)
    .bind(settled.provider)
    .bind(settled.transaction_id)
    .bind(settled.failure_code)
    .bind(settled.now)
    .fetch_optional(&mut *connection)
    .await?;
    add_calls(connection, refund_id.0, calls).await?;
    Ok(payment.is_some())
}
