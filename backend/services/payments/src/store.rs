//! All SQL of the service.

pub mod attempts;
pub mod intents;
pub mod notifications;
pub mod open;
pub mod refunds;
pub mod tokens;

use platform::trace::TraceContext;
use shared_types::payments::{CaptureMethod, NextAction, Payment, PaymentStatus, Purpose};
use shared_types::{Currency, Money, OrderId, PaymentId, Timestamp};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::provider::CallRow;

#[derive(Clone, Debug, FromRow)]
pub struct PaymentRow {
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub amount_minor: i64,
    pub currency: Currency,
    pub status: PaymentStatus,
    pub provider: String,
    pub transaction_id: Option<String>,
    pub decline_code: Option<String>,
    pub captured_minor: i64,
    pub refunded_minor: i64,
    pub refund_pending_minor: i64,
    pub purpose: Purpose,
    pub capture_method: CaptureMethod,
    pub authorized_minor: i64,
    pub country: Option<String>,
    pub created_by: String,
    pub next_action_url: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl PaymentRow {
    /// What may still be given back.
    pub fn refundable_minor(&self) -> i64 {
        self.captured_minor - self.refunded_minor - self.refund_pending_minor
    }

    pub fn view(self) -> Payment {
        let intent = self.purpose == Purpose::Intent;
        let amount = |minor| intent.then(|| Money::new(minor, self.currency).amount());
        let url = self.next_action_url.filter(|_| self.status == PaymentStatus::RequiresAction);
        Payment {
            payment_id: self.payment_id,
            order_id: self.order_id,
            amount: Money::new(self.amount_minor, self.currency).amount(),
            refunded_amount: Money::new(self.refunded_minor, self.currency).amount(),
            currency: self.currency,
            status: self.status,
            provider: self.provider,
            decline_code: self.decline_code,
            capture_method: intent.then_some(self.capture_method),
            authorized_amount: amount(self.authorized_minor),
            captured_amount: amount(self.captured_minor),
            next_action: url.map(|url| NextAction { kind: "redirect".to_owned(), url }),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// Makes due what processes work on that are gone: nobody needs to wait for their
/// leases. Gives how many those were.
pub async fn free_from_the_dead(pool: &PgPool, now: Timestamp) -> sqlx::Result<u64> {
    let mut holders: Vec<Uuid> = sqlx::query_scalar(
        "SELECT owner FROM payment_attempts WHERE due_at > $1 AND owner IS NOT NULL
         UNION SELECT owner FROM refunds WHERE due_at > $1 AND owner IS NOT NULL LIMIT 100",
    )
    .bind(now)
    .fetch_all(pool)
    .await?;
    holders.retain(|holder| platform::instance::is_gone(*holder));
    if holders.is_empty() {
        return Ok(0);
    }
    let freed: i64 = sqlx::query_scalar(
        "WITH a AS (UPDATE payment_attempts SET due_at = $2
                    WHERE owner = ANY($1) AND due_at > $2 RETURNING 1),
              r AS (UPDATE refunds SET due_at = $2
                    WHERE owner = ANY($1) AND due_at > $2 RETURNING 1)
         SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM r)",
    )
    .bind(holders)
    .bind(now)
    .fetch_one(pool)
    .await?;
    Ok(freed.unsigned_abs())
}

pub async fn find_payment(
    connection: &mut PgConnection,
    payment_id: PaymentId,
) -> sqlx::Result<Option<PaymentRow>> {
    sqlx::query_as("SELECT * FROM payments WHERE payment_id = $1")
        .bind(payment_id)
        .fetch_optional(connection)
        .await
}

pub async fn find_payment_of_order(
    connection: &mut PgConnection,
    order_id: OrderId,
) -> sqlx::Result<Option<PaymentRow>> {
    sqlx::query_as("SELECT * FROM payments WHERE order_id = $1")
        .bind(order_id)
        .fetch_optional(connection)
        .await
}

/// Several payments in one statement.
pub async fn find_payments(
    connection: &mut PgConnection,
    payment_ids: &[PaymentId],
) -> sqlx::Result<Vec<PaymentRow>> {
    sqlx::query_as("SELECT * FROM payments WHERE payment_id = ANY($1)")
        .bind(payment_ids)
        .fetch_all(connection)
        .await
}

/// The payments of several orders in one statement.
pub async fn find_payments_of_orders(
    connection: &mut PgConnection,
    order_ids: &[OrderId],
) -> sqlx::Result<Vec<PaymentRow>> {
    sqlx::query_as("SELECT * FROM payments WHERE order_id = ANY($1) AND purpose = 'ORDER'")
        .bind(order_ids)
        .fetch_all(connection)
        .await
}

/// Locks the payment until the transaction ends.
pub async fn lock_payment_of_order(
    connection: &mut PgConnection,
    order_id: OrderId,
) -> sqlx::Result<Option<PaymentRow>> {
    sqlx::query_as("SELECT * FROM payments WHERE order_id = $1 FOR UPDATE")
        .bind(order_id)
        .fetch_optional(connection)
        .await
}

/// Notes what was said to providers about an attempt or refund.
pub async fn add_calls(
    connection: &mut PgConnection,
    subject: Uuid,
    calls: &[CallRow],
) -> sqlx::Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    let micros = |c: &CallRow| i64::try_from(c.duration.as_micros()).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO provider_calls
             (subject_id, direction, provider, operation, outcome, message, started_at, duration_us)
         SELECT $1, 'OUT', c.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[],
             $6::timestamptz[], $7::bigint[]) AS c",
    )
    .bind(subject)
    .bind(calls.iter().map(|c| c.provider).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.operation).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.outcome).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.message.as_str()).collect::<Vec<_>>())
    .bind(calls.iter().map(|c| c.started_at.into_inner()).collect::<Vec<_>>())
    .bind(calls.iter().map(micros).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Transactions of an order that are accounted for by anything but `subject`.
pub async fn taken_transactions(
    connection: &mut PgConnection,
    order_id: OrderId,
    subject: Uuid,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT transaction_id FROM payment_attempts
         WHERE order_id = $1 AND attempt_id <> $2 AND transaction_id IS NOT NULL
         UNION ALL
         SELECT transaction_id FROM refunds
         WHERE order_id = $1 AND refund_id <> $2 AND transaction_id IS NOT NULL",
    )
    .bind(order_id)
    .bind(subject)
    .fetch_all(connection)
    .await
}

/// How many attempts and refunds have an outcome that is not known, and since when.
pub async fn unknown(connection: &mut PgConnection) -> sqlx::Result<(i64, Option<Timestamp>)> {
    sqlx::query_as(
        "SELECT count(*), min(created_at) FROM (
             SELECT created_at FROM payment_attempts WHERE due_at IS NOT NULL AND state = 'UNKNOWN'
             UNION ALL
             SELECT created_at FROM refunds WHERE due_at IS NOT NULL AND state = 'UNKNOWN') AS open",
    )
    .fetch_one(connection)
    .await
}

/// The trace under which work on a row goes on.
pub fn trace_of(trace_id: &str, correlation_id: &str) -> TraceContext {
    let mut context = TraceContext::fresh();
    context.trace_id = trace_id.to_owned();
    context.correlation_id = correlation_id.to_owned();
    context
}
