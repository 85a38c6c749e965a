//! What is not decided, as operators see it: attempts and refunds alike.

use shared_types::payments::{OpenKind, OpenOutcome};
use shared_types::{Currency, Money, OrderId, PaymentId, Timestamp};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

#[derive(Clone, Debug, FromRow)]
pub struct OpenRow {
    pub id: Uuid,
    pub kind: OpenKind,
    pub state: String,
    pub operation: String,
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub amount_minor: i64,
    pub currency: Currency,
    pub provider: String,
    pub sends: i32,
    pub asks: i32,
    pub risk_reason: Option<String>,
    pub created_at: Timestamp,
    pub due_at: Option<Timestamp>,
}

impl OpenRow {
    pub fn view(self, now: Timestamp) -> OpenOutcome {
        OpenOutcome {
            id: self.id.to_string(),
            kind: self.kind,
            state: self.state,
            operation: self.operation,
            payment_id: self.payment_id,
            order_id: self.order_id,
            amount: Money::new(self.amount_minor, self.currency).amount(),
            currency: self.currency,
            provider: self.provider,
            sends: self.sends,
            asks: self.asks,
            age_seconds: i64::try_from(now.since(self.created_at).as_secs()).unwrap_or(i64::MAX),
            risk_reason: self.risk_reason,
            created_at: self.created_at,
            due_at: self.due_at,
        }
    }
}

pub struct OpenFilter<'a> {
    pub kind: Option<OpenKind>,
    pub states: &'a [String],
    pub provider: Option<&'a str>,
    pub created_before: Timestamp,
    pub min_minor: i64,
    pub after: Option<(Timestamp, Uuid)>,
    pub limit: i64,
}

/// Oldest first; one more than `limit` when there are more.
pub async fn list(pool: &PgPool, filter: &OpenFilter<'_>) -> sqlx::Result<Vec<OpenRow>> {
    let (after_at, after_id) = filter.after.unzip();
    sqlx::query_as(
        "SELECT * FROM (
             SELECT attempt_id AS id, 'ATTEMPT' AS kind, state, operation, payment_id, order_id,
                 amount_minor, currency, provider, sends, asks, risk_reason, created_at, due_at
             FROM payment_attempts WHERE due_at IS NOT NULL OR state = 'REVIEW'
             UNION ALL
             SELECT refund_id, 'REFUND', state, 'REFUND', payment_id, order_id,
                 amount_minor, currency, provider, sends, asks, NULL, created_at, due_at
             FROM refunds WHERE due_at IS NOT NULL) AS open
         WHERE ($1::text IS NULL OR kind = $1) AND state = ANY($2)
           AND ($3::text IS NULL OR provider = $3) AND created_at <= $4 AND amount_minor >= $5
           AND ($6::timestamptz IS NULL OR (created_at, id) > ($6, $7))
         ORDER BY created_at, id LIMIT $8",
    )
    .bind(filter.kind)
    .bind(filter.states)
    .bind(filter.provider)
    .bind(filter.created_before)
    .bind(filter.min_minor)
    .bind(after_at)
    .bind(after_id)
    .bind(filter.limit + 1)
    .fetch_all(pool)
    .await
}

/// The attempt or refund of this id, whatever its state.
pub async fn find(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<OpenRow>> {
    sqlx::query_as(
        "SELECT attempt_id AS id, 'ATTEMPT' AS kind, state, operation, payment_id, order_id,
             amount_minor, currency, provider, sends, asks, risk_reason, created_at, due_at
         FROM payment_attempts WHERE attempt_id = $1
         UNION ALL
         SELECT refund_id, 'REFUND', state, 'REFUND', payment_id, order_id,
             amount_minor, currency, provider, sends, asks, NULL, created_at, due_at
         FROM refunds WHERE refund_id = $1 LIMIT 1",
    )
    .bind(id)
    .fetch_optional(tx)
    .await
}

/// Makes it due at once; false when somebody works on it or it is decided.
pub async fn make_due(tx: &mut PgConnection, id: Uuid, now: Timestamp) -> sqlx::Result<bool> {
    let done: i64 = sqlx::query_scalar(
        "WITH a AS (UPDATE payment_attempts SET due_at = $2
                    WHERE attempt_id = $1 AND state = 'UNKNOWN' AND owner IS NULL RETURNING 1),
              r AS (UPDATE refunds SET due_at = $2
                    WHERE refund_id = $1 AND state IN ('UNKNOWN', 'WAITING') AND owner IS NULL
                    RETURNING 1)
         SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM r)",
    )
    .bind(id)
    .bind(now)
    .fetch_one(tx)
    .await?;
    Ok(done > 0)
}
