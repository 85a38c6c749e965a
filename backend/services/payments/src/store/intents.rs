//! Payment intents, the steps that follow an authorisation, and lists.

use std::collections::HashMap;

use shared_types::payments::{CaptureMethod, PaymentAttempt, PaymentStatus, ProviderCall};
use shared_types::{AttemptId, Currency, Money, OrderId, PaymentId, Timestamp};
use sqlx::{FromRow, PgConnection, PgPool};

use super::PaymentRow;
use super::attempts::{AttemptRow, Claim, Operation};

pub struct NewIntent<'a> {
    pub payment_id: PaymentId,
    pub money: Money,
    pub capture_method: CaptureMethod,
    pub country: Option<&'a str>,
    pub created_by: &'a str,
    pub provider: &'a str,
    pub now: Timestamp,
}

/// An intent's order id is its own.
pub async fn insert(tx: &mut PgConnection, new: &NewIntent<'_>) -> sqlx::Result<PaymentRow> {
    sqlx::query_as(
        "INSERT INTO payments (payment_id, order_id, amount_minor, currency, status, provider,
             purpose, capture_method, country, created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, 'CREATED', $5, 'INTENT', $6, $7, $8, $9, $9)
         RETURNING *",
    )
    .bind(new.payment_id)
    .bind(OrderId(new.payment_id.0))
    .bind(new.money.minor)
    .bind(new.money.currency)
    .bind(new.provider)
    .bind(new.capture_method)
    .bind(new.country)
    .bind(new.created_by)
    .bind(new.now)
    .fetch_one(tx)
    .await
}

pub struct NewStep<'a> {
    pub attempt_id: AttemptId,
    pub operation: Operation,
    pub money: Money,
    pub fingerprint: &'a [u8],
    pub claim: &'a Claim,
    pub trace_id: &'a str,
    pub correlation_id: &'a str,
}

/// Takes the payment for a capture or void. The payment is locked.
pub async fn begin_step(
    tx: &mut PgConnection,
    payment: &PaymentRow,
    new: &NewStep<'_>,
) -> sqlx::Result<AttemptRow> {
    sqlx::query_as(
        "WITH taken AS (
             UPDATE payments SET status = 'PROCESSING', updated_at = $10 WHERE payment_id = $2)
         INSERT INTO payment_attempts (attempt_id, payment_id, order_id, amount_minor, currency,
             state, provider, owner, quiet_from, due_at, trace_id, correlation_id, created_at,
             purpose, manual, operation, authorization_id, status_before, fingerprint)
         VALUES ($1, $2, $3, $4, $5, 'RUNNING', $6, $7, $8, $9, $11, $12, $10,
             $13, true, $14, $15, $16, $17)
         RETURNING *",
    )
    .bind(new.attempt_id)
    .bind(payment.payment_id)
    .bind(payment.order_id)
    .bind(new.money.minor)
    .bind(new.money.currency)
    .bind(&payment.provider)
    .bind(new.claim.owner)
    .bind(new.claim.quiet_from)
    .bind(new.claim.lease_until)
    .bind(new.claim.now)
    .bind(new.trace_id)
    .bind(new.correlation_id)
    .bind(payment.purpose)
    .bind(new.operation)
    .bind(&payment.transaction_id)
    .bind(payment.status)
    .bind(new.fingerprint)
    .fetch_one(tx)
    .await
}

/// Takes up the attempt that waits for its buyer; None when another has it.
pub async fn claim_action(
    pool: &PgPool,
    payment_id: PaymentId,
    claim: &Claim,
) -> sqlx::Result<Option<AttemptRow>> {
    sqlx::query_as(
        "WITH attempt AS (
             UPDATE payment_attempts SET state = 'RUNNING', owner = $2, quiet_from = $3, due_at = $4
             WHERE payment_id = $1 AND state = 'REQUIRES_ACTION'
               AND EXISTS (SELECT 1 FROM payments
                           WHERE payment_id = $1 AND status = 'REQUIRES_ACTION')
             RETURNING *),
         taken AS (
             UPDATE payments SET status = 'PROCESSING', updated_at = $5
             WHERE payment_id = (SELECT payment_id FROM attempt))
         SELECT * FROM attempt",
    )
    .bind(payment_id)
    .bind(claim.owner)
    .bind(claim.quiet_from)
    .bind(claim.lease_until)
    .bind(claim.now)
    .fetch_optional(pool)
    .await
}

/// Locks the payment until the transaction ends.
pub async fn lock(tx: &mut PgConnection, id: PaymentId) -> sqlx::Result<Option<PaymentRow>> {
    sqlx::query_as("SELECT * FROM payments WHERE payment_id = $1 FOR UPDATE")
        .bind(id)
        .fetch_optional(tx)
        .await
}

/// What no provider knows of is given up here alone.
pub async fn cancel(tx: &mut PgConnection, id: PaymentId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE payments SET status = 'CANCELED', updated_at = $2 WHERE payment_id = $1")
        .bind(id)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(())
}

pub async fn status(pool: &PgPool, id: PaymentId) -> sqlx::Result<Option<PaymentStatus>> {
    sqlx::query_scalar("SELECT status FROM payments WHERE payment_id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await
}

/// More attempts or calls than this of one payment are not told.
const MAX_LISTED: i64 = 200;

#[derive(FromRow)]
struct ListedAttempt {
    payment_id: PaymentId,
    attempt_id: AttemptId,
    operation: String,
    state: String,
    amount_minor: i64,
    currency: Currency,
    provider: String,
    decline_code: Option<String>,
    sends: i32,
    created_at: Timestamp,
    settled_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct ListedCall {
    attempt_id: AttemptId,
    direction: String,
    provider: String,
    operation: String,
    outcome: String,
    message: String,
    started_at: Timestamp,
    duration_us: i64,
}

/// The attempts of a payment, oldest first; their calls when wanted.
pub async fn attempts(
    connection: &mut PgConnection,
    payment_id: PaymentId,
    with_calls: bool,
) -> sqlx::Result<Vec<PaymentAttempt>> {
    let mut found = attempts_of(connection, &[payment_id], with_calls).await?;
    Ok(found.remove(&payment_id).unwrap_or_default())
}

/// The same of several payments, in two statements.
pub async fn attempts_of(
    connection: &mut PgConnection,
    payment_ids: &[PaymentId],
    with_calls: bool,
) -> sqlx::Result<HashMap<PaymentId, Vec<PaymentAttempt>>> {
    let listed: Vec<ListedAttempt> = sqlx::query_as(
        "SELECT listed.* FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
             SELECT payment_id, attempt_id, operation, state, amount_minor, currency, provider,
                 decline_code, sends, created_at, settled_at
             FROM payment_attempts WHERE payment_id = wanted.id
             ORDER BY created_at, attempt_id LIMIT $2
         ) AS listed ORDER BY listed.payment_id, listed.created_at, listed.attempt_id",
    )
    .bind(payment_ids)
    .bind(MAX_LISTED)
    .fetch_all(&mut *connection)
    .await?;
    let mut calls = match with_calls {
        true => calls_of(connection, payment_ids).await?,
        false => HashMap::new(),
    };
    let mut found: HashMap<PaymentId, Vec<PaymentAttempt>> = HashMap::new();
    for attempt in listed {
        let calls = calls.remove(&attempt.attempt_id).unwrap_or_default();
        found.entry(attempt.payment_id).or_default().push(told(attempt, calls));
    }
    Ok(found)
}

/// What was said about each attempt of these payments, the oldest first.
async fn calls_of(
    connection: &mut PgConnection,
    payment_ids: &[PaymentId],
) -> sqlx::Result<HashMap<AttemptId, Vec<ProviderCall>>> {
    let listed: Vec<ListedCall> = sqlx::query_as(
        "SELECT listed.* FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
             SELECT c.id, a.attempt_id, c.direction, c.provider, c.operation, c.outcome, c.message,
                 c.started_at, c.duration_us
             FROM payment_attempts a JOIN provider_calls c ON c.subject_id = a.attempt_id
             WHERE a.payment_id = wanted.id ORDER BY c.id LIMIT $2
         ) AS listed ORDER BY listed.id",
    )
    .bind(payment_ids)
    .bind(MAX_LISTED)
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<AttemptId, Vec<ProviderCall>> = HashMap::new();
    for call in listed {
        found.entry(call.attempt_id).or_default().push(ProviderCall {
            direction: call.direction,
            provider: call.provider,
            operation: call.operation,
            outcome: call.outcome,
            message: call.message,
            started_at: call.started_at,
            duration_us: call.duration_us,
        });
    }
    Ok(found)
}

fn told(attempt: ListedAttempt, calls: Vec<ProviderCall>) -> PaymentAttempt {
    PaymentAttempt {
        attempt_id: attempt.attempt_id,
        operation: attempt.operation,
        state: attempt.state,
        amount: Money::new(attempt.amount_minor, attempt.currency).amount(),
        currency: attempt.currency,
        provider: attempt.provider,
        decline_code: attempt.decline_code,
        sends: attempt.sends,
        created_at: attempt.created_at,
        settled_at: attempt.settled_at,
        calls,
    }
}
