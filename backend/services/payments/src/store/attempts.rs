//! Attempts to charge, and the steps that follow an authorisation.

use shared_types::payments::{PaymentStatus, Purpose};
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
    /// A person decides whether it is sent.
    Review,
    /// The buyer has to do something first.
    RequiresAction,
    /// The money is reserved.
    Authorized,
    Captured,
    Declined,
    /// Certainly not done.
    NotSent,
    Voided,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "RUNNING",
            State::Unknown => "UNKNOWN",
            State::Review => "REVIEW",
            State::RequiresAction => "REQUIRES_ACTION",
            State::Authorized => "AUTHORIZED",
            State::Captured => "CAPTURED",
            State::Declined => "DECLINED",
            State::NotSent => "NOT_SENT",
            State::Voided => "VOIDED",
        }
    }
}

/// What an attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    Charge,
    Capture,
    Void,
}

impl Operation {
    pub fn word(self) -> &'static str {
        match self {
            Operation::Charge => "CHARGE",
            Operation::Capture => "CAPTURE",
            Operation::Void => "VOID",
        }
    }
}

#[derive(Clone, Debug, FromRow)]
pub struct AttemptRow {
    pub attempt_id: AttemptId,
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub amount_minor: i64,
    pub currency: Currency,
    pub operation: Operation,
    pub method: String,
    pub purpose: Purpose,
    pub manual: bool,
    pub token_sealed: Option<Vec<u8>>,
    pub token_key: Option<String>,
    pub state: State,
    pub provider: String,
    pub transaction_id: Option<String>,
    pub decline_code: Option<String>,
    pub return_url: Option<String>,
    pub fingerprint: Option<Vec<u8>>,
    pub authorization_id: Option<String>,
    pub status_before: Option<PaymentStatus>,
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
    pub method: &'a str,
    pub purpose: Purpose,
    pub manual: bool,
    pub token_sealed: &'a [u8],
    pub token_key: Option<&'a str>,
    pub token_hash: Option<&'a [u8]>,
    pub buyer: Option<&'a str>,
    pub return_url: Option<&'a str>,
    pub fingerprint: Option<&'a [u8]>,
    /// Set: a person decides before it is sent.
    pub risk_reason: Option<&'a str>,
    pub provider: &'a str,
    pub claim: &'a Claim,
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
                 WHERE p.status IN ('CREATED', 'DECLINED') AND p.purpose = $14
             RETURNING payment_id)
         INSERT INTO payment_attempts (attempt_id, payment_id, order_id, amount_minor, currency,
             token_sealed, state, provider, owner, quiet_from, due_at, trace_id, correlation_id,
             created_at, purpose, method, manual, token_key, token_hash, buyer, return_url,
             fingerprint, risk_reason)
         SELECT $1, payment_id, $3, $4, $5, $6,
             CASE WHEN $22::text IS NULL THEN 'RUNNING' ELSE 'REVIEW' END, $7,
             CASE WHEN $22 IS NULL THEN $8::uuid END, $10,
             CASE WHEN $22 IS NULL THEN $11::timestamptz END, $12, $13, $9,
             $14, $15, $16, $17, $18, $19, $20, $21, $22
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
    .bind(new.claim.owner)
    .bind(new.claim.now)
    .bind(new.claim.quiet_from)
    .bind(new.claim.lease_until)
    .bind(new.trace_id)
    .bind(new.correlation_id)
    .bind(new.purpose)
    .bind(new.method)
    .bind(new.manual)
    .bind(new.token_key)
    .bind(new.token_hash)
    .bind(new.buyer)
    .bind(new.return_url)
    .bind(new.fingerprint)
    .bind(new.risk_reason)
    .fetch_optional(pool)
    .await;
    match begun {
        // The same attempt at the same moment: the other one has it.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        other => other,
    }
}

pub async fn find(
    connection: impl sqlx::PgExecutor<'_>,
    attempt_id: AttemptId,
) -> sqlx::Result<Option<AttemptRow>> {
    sqlx::query_as("SELECT * FROM payment_attempts WHERE attempt_id = $1")
        .bind(attempt_id)
        .fetch_optional(connection)
        .await
}

/// Locks the attempt until the transaction ends.
pub async fn lock(
    connection: &mut PgConnection,
    attempt_id: AttemptId,
) -> sqlx::Result<Option<AttemptRow>> {
    sqlx::query_as("SELECT * FROM payment_attempts WHERE attempt_id = $1 FOR UPDATE")
        .bind(attempt_id)
        .fetch_optional(connection)
        .await
}

/// How many attempts were begun since `since` with one token, and by one buyer.
pub async fn velocity(
    pool: &PgPool,
    token_hash: &[u8],
    buyer: Option<&str>,
    since: Timestamp,
) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM payment_attempts WHERE token_hash = $1 AND created_at > $3),
                (SELECT count(*) FROM payment_attempts WHERE buyer = $2 AND created_at > $3)",
    )
    .bind(token_hash)
    .bind(buyer)
    .bind(since)
    .fetch_one(pool)
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

/// Lets an attempt go that a person has approved.
pub async fn release(
    connection: &mut PgConnection,
    attempt_id: AttemptId,
    claim: &Claim,
) -> sqlx::Result<Option<AttemptRow>> {
    sqlx::query_as(
        "UPDATE payment_attempts SET state = 'RUNNING', owner = $2, quiet_from = $3, due_at = $4
         WHERE attempt_id = $1 AND state = 'REVIEW' RETURNING *",
    )
    .bind(attempt_id)
    .bind(claim.owner)
    .bind(claim.quiet_from)
    .bind(claim.lease_until)
    .fetch_optional(connection)
    .await
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

/// Leaves an attempt to be asked for at `due_at`. A transaction that the
/// provider named already is kept.
pub async fn park(
    connection: &mut PgConnection,
    attempt_id: AttemptId,
    owner: Uuid,
    quiet_from: Timestamp,
    due_at: Timestamp,
    transaction_id: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE payment_attempts SET state = 'UNKNOWN', owner = NULL, asks = asks + 1,
             quiet_from = $3, due_at = $4, transaction_id = coalesce($5, transaction_id)
         WHERE attempt_id = $1 AND owner = $2 AND state IN ('RUNNING', 'UNKNOWN')",
    )
    .bind(attempt_id)
    .bind(owner)
    .bind(quiet_from)
    .bind(due_at)
    .bind(transaction_id)
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
    pub payment: Becomes<'a>,
}

/// What the payment becomes with it; an absent value stays.
pub struct Becomes<'a> {
    pub status: PaymentStatus,
    pub captured_minor: Option<i64>,
    pub authorized_minor: Option<i64>,
    pub transaction_id: Option<&'a str>,
    pub next_action_url: Option<&'a str>,
    /// The status counts only while nothing else has decided the payment.
    pub if_undecided: bool,
}

/// The charge that waited for its buyer ends with its payment.
pub async fn end_action(
    connection: &mut PgConnection,
    payment_id: PaymentId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE payment_attempts SET state = 'DECLINED', decline_code = 'canceled',
             token_sealed = NULL, token_key = NULL, settled_at = $2
         WHERE payment_id = $1 AND state = 'REQUIRES_ACTION'",
    )
    .bind(payment_id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the outcome once; false when it already stands. An attempt that waits
/// for its buyer may still be settled.
pub async fn settle(
    connection: &mut PgConnection,
    attempt_id: AttemptId,
    settled: &Settled<'_>,
    calls: &[CallRow],
) -> sqlx::Result<bool> {
    let becomes = &settled.payment;
    let payment: Option<PaymentId> = sqlx::query_scalar(
        "WITH attempt AS (
             UPDATE payment_attempts SET state = $2, provider = $3,
                 transaction_id = coalesce($4, transaction_id),
                 decline_code = $5, token_sealed = NULL, token_key = NULL, owner = NULL,
                 due_at = NULL, settled_at = $6
             WHERE attempt_id = $1
               AND state IN ('RUNNING', 'UNKNOWN', 'REVIEW', 'REQUIRES_ACTION')
             RETURNING payment_id)
         UPDATE payments p SET
             status = CASE WHEN $12 AND p.status <> 'PROCESSING' THEN p.status ELSE $7 END,
             provider = $3, decline_code = $5, updated_at = $6,
             captured_minor = coalesce($8, p.captured_minor),
             authorized_minor = coalesce($9, p.authorized_minor),
             transaction_id = coalesce($10, p.transaction_id),
             next_action_url = CASE WHEN $7 = 'REQUIRES_ACTION'
                                    THEN coalesce($11, p.next_action_url) END
         FROM attempt WHERE p.payment_id = attempt.payment_id
         RETURNING p.payment_id",
    )
    .bind(attempt_id)
    .bind(settled.state)
    .bind(settled.provider)
    .bind(settled.transaction_id)
    .bind(settled.decline_code)
    .bind(settled.now)
    .bind(becomes.status)
    .bind(becomes.captured_minor)
    .bind(becomes.authorized_minor)
    .bind(becomes.transaction_id)
    .bind(becomes.next_action_url)
    .bind(becomes.if_undecided)
    .fetch_optional(&mut *connection)
    .await?;
    add_calls(connection, attempt_id.0, calls).await?;
    Ok(payment.is_some())
}
