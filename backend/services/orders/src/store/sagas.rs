//! Saga rows: loaded, leased, saved with a version check.

use std::sync::{Arc, LazyLock};

use contracts::events::orders::OrderedItem;
use platform::idempotency::IdempotencyKey;
use platform::outbox::{self, EventRow};
use shared_types::orders::OrderStatus;
use shared_types::{AttemptId, Currency, OrderId, PaymentId, RefundId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};
use uuid::Uuid;

use super::word;
use crate::domain::saga::{AttemptEnd, Effect, End, Saga, State};

/// Which process works on a saga, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub owner: Uuid,
    pub until: Timestamp,
}

/// A saga with everything that its steps need.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub order_id: OrderId,
    pub saga: Saga,
    pub version: i64,
    pub currency: Currency,
    pub lease: Option<Lease>,
    pub trace_id: String,
    pub correlation_id: String,
    pub attempt: Option<RunningAttempt>,
    /// The oldest refund that is not done.
    pub refund: Option<RunningRefund>,
    pub owner: String,
    /// What was ordered, when this process knows it without asking.
    pub items: Option<Arc<[OrderedItem]>>,
}

#[derive(Clone, Debug)]
pub struct RunningAttempt {
    pub method: String,
    pub token_sealed: Option<Vec<u8>>,
    /// Of the request to pay; none for a method given with the order.
    pub key: Option<IdempotencyKey>,
}

#[derive(Clone, Debug)]
pub struct RunningRefund {
    pub refund_id: RefundId,
    pub amount_minor: i64,
    pub cause: String,
    pub restock: bool,
    /// The money is back, the units are not.
    pub restocking: bool,
    pub actor: String,
    pub key: Option<IdempotencyKey>,
}

const LOAD: &str = "
SELECT s.order_id, s.state, s.version, s.attempt_id, s.automatic, s.declines, s.not_sent, s.retries,
       s.end_cause, s.end_actor, s.lease_owner, s.lease_until, s.next_run_at, s.deadline,
       s.stuck_reason, s.trace_id, s.correlation_id,
       o.owner, o.status, o.currency, o.total_minor, o.captured_minor, o.refunded_minor, o.payment_id,
       o.last_decline, o.hold_expires_at,
       a.method, a.token_sealed, a.scope AS attempt_scope, a.fingerprint AS attempt_fingerprint,
       r.refund_id, r.amount_minor, r.cause, r.restock, r.state AS refund_state, r.actor AS refund_actor,
       r.scope AS refund_scope, r.fingerprint AS refund_fingerprint
FROM sagas s
JOIN orders o USING (order_id)
LEFT JOIN payment_attempts a ON a.attempt_id = s.attempt_id
LEFT JOIN LATERAL (
    SELECT * FROM refunds WHERE order_id = s.order_id AND state IN ('pending', 'restocking')
    ORDER BY created_at, refund_id LIMIT 1) r ON true
WHERE s.order_id = $1";

/// The saga as it is now, without a lock.
pub async fn find(tx: &mut PgConnection, order_id: OrderId) -> Result<Option<Loaded>, sqlx::Error> {
    let row = sqlx::query(LOAD).bind(order_id).fetch_optional(tx).await?;
    row.as_ref().map(loaded).transpose()
}

/// The saga, locked until the transaction ends.
pub async fn lock(tx: &mut PgConnection, order_id: OrderId) -> Result<Option<Loaded>, sqlx::Error> {
    // A statement of its own: what is read next must be younger than the lock.
    let held = sqlx::query("SELECT 1 FROM sagas WHERE order_id = $1 FOR UPDATE")
        .bind(order_id)
        .fetch_optional(&mut *tx)
        .await?;
    if held.is_none() {
        return Ok(None);
    }
    find(tx, order_id).await
}

fn key_of(row: &PgRow, prefix: &str) -> Result<Option<IdempotencyKey>, sqlx::Error> {
    let bytes = |name: &str| -> Result<Option<[u8; 32]>, sqlx::Error> {
        let value: Option<Vec<u8>> = row.try_get(format!("{prefix}_{name}").as_str())?;
        Ok(value.and_then(|v| v.try_into().ok()))
    };
    Ok(match (bytes("scope")?, bytes("fingerprint")?) {
        (Some(scope), Some(fingerprint)) => Some(IdempotencyKey { scope, fingerprint }),
        _ => None,
    })
}

fn loaded(row: &PgRow) -> Result<Loaded, sqlx::Error> {
    let state: &str = row.try_get("state")?;
    let state = State::parse(state)
        .ok_or_else(|| sqlx::Error::Decode(format!("saga state {state}").into()))?;
    let count = |name: &str| -> Result<u32, sqlx::Error> {
        Ok(u32::try_from(row.try_get::<i32, _>(name)?).unwrap_or(0))
    };
    let end = match (row.try_get("end_cause")?, row.try_get("end_actor")?) {
        (Some(cause), Some(actor)) => Some(End { cause, actor }),
        _ => None,
    };
    let refund = refund_of(row)?;
    let saga = Saga {
        state,
        status: word::<OrderStatus>(row.try_get("status")?)?,
        attempt: row.try_get("attempt_id")?,
        automatic: row.try_get("automatic")?,
        declines: count("declines")?,
        not_sent: count("not_sent")?,
        retries: count("retries")?,
        total_minor: row.try_get("total_minor")?,
        captured_minor: row.try_get("captured_minor")?,
        refunded_minor: row.try_get("refunded_minor")?,
        payment: row.try_get::<Option<PaymentId>, _>("payment_id")?,
        last_decline: row.try_get("last_decline")?,
        hold_expires_at: row.try_get("hold_expires_at")?,
        end,
        refund_waits: refund.is_some(),
        next_run_at: row.try_get("next_run_at")?,
        deadline: row.try_get("deadline")?,
        stuck: row.try_get("stuck_reason")?,
    };
    let lease = match (row.try_get("lease_owner")?, row.try_get("lease_until")?) {
        (Some(owner), Some(until)) => Some(Lease { owner, until }),
        _ => None,
    };
    let attempt = match row.try_get::<Option<String>, _>("method")? {
        Some(method) => Some(RunningAttempt {
            method,
            token_sealed: row.try_get("token_sealed")?,
            key: key_of(row, "attempt")?,
        }),
        None => None,
    };
    Ok(Loaded {
        order_id: row.try_get("order_id")?,
        saga,
        version: row.try_get("version")?,
        currency: row.try_get("currency")?,
        lease,
        trace_id: row.try_get("trace_id")?,
        correlation_id: row.try_get("correlation_id")?,
        attempt,
        refund,
        owner: row.try_get("owner")?,
        items: None,
    })
}

fn refund_of(row: &PgRow) -> Result<Option<RunningRefund>, sqlx::Error> {
    let Some(refund_id) = row.try_get::<Option<RefundId>, _>("refund_id")? else {
        return Ok(None);
    };
    Ok(Some(RunningRefund {
        refund_id,
        amount_minor: row.try_get("amount_minor")?,
        cause: row.try_get("cause")?,
        restock: row.try_get("restock")?,
        restocking: row.try_get::<&str, _>("refund_state")? == "restocking",
        actor: row.try_get("refund_actor")?,
        key: key_of(row, "refund")?,
    }))
}

/// What a save writes beside the saga itself.
pub struct Save<'a> {
    pub order_id: OrderId,
    /// The version that the decision was made on.
    pub version: i64,
    pub saga: &'a Saga,
    pub lease: Option<Lease>,
    /// When set, the saga goes on under this trace.
    pub trace: Option<(&'a str, &'a str)>,
    pub effects: &'a [Effect],
    pub note_sealed: Option<&'a [u8]>,
    /// The attempt that the decision ends.
    pub ended: Option<EndedAttempt<'a>>,
    /// An event of the decision.
    pub event: Option<&'a EventRow>,
    pub now: Timestamp,
}

/// How an attempt ended; its token is forgotten.
#[derive(Clone, Copy, Debug)]
pub struct EndedAttempt<'a> {
    pub attempt_id: AttemptId,
    pub end: &'a AttemptEnd,
    pub payment: Option<PaymentId>,
}

/// With the event, so that most decisions need one statement and no transaction.
static SAVE: LazyLock<String> = LazyLock::new(|| {
    let event = outbox::appending("o", "$33", "e.payload");
    format!("{SAVE_SAGA}, {event} SELECT count(*) FROM o")
});

/// Saga first, then order and history: the order of locks is the same for all.
const SAVE_SAGA: &str = "
WITH s AS (
    UPDATE sagas SET state = $3, version = version + 1, attempt_id = $4, automatic = $5,
        declines = $6, not_sent = $7, retries = $8, end_cause = $9, end_actor = $10,
        lease_owner = $11, lease_until = $12, next_run_at = $13, deadline = $14,
        stuck_at = CASE WHEN $15::text IS NULL THEN NULL ELSE coalesce(stuck_at, $16) END,
        stuck_reason = $15, updated_at = $16,
        state_since = CASE WHEN state = $3 THEN state_since ELSE $16 END,
        trace_id = coalesce($17, trace_id), correlation_id = coalesce($18, correlation_id)
    WHERE order_id = $1 AND version = $2
    RETURNING order_id
), o AS (
    UPDATE orders SET status = $19, stage = $20, captured_minor = $21, refunded_minor = $22,
        payment_id = $23, last_decline = $24, hold_expires_at = $25, updated_at = $16
    FROM s WHERE orders.order_id = s.order_id
    RETURNING orders.order_id
), h AS (
    INSERT INTO order_status_history (order_id, at, status, cause, actor, note_sealed)
    SELECT o.order_id, $16, $19, c.cause, c.actor, $28
    FROM o, unnest($26::text[], $27::text[]) AS c(cause, actor)
), a AS (
    UPDATE payment_attempts SET state = $30, decline_code = $31, payment_id = $32,
        token_sealed = NULL, decided_at = $16
    FROM o WHERE attempt_id = $29
)";

/// Writes a decision; false when the saga changed since it was made.
pub async fn save(tx: &mut PgConnection, save: &Save<'_>) -> Result<bool, sqlx::Error> {
    let saga = save.saga;
    let (mut causes, mut actors) = (Vec::new(), Vec::new());
    for effect in save.effects {
        if let Effect::History { cause, actor } = effect {
            causes.push(cause.as_str());
            actors.push(actor.as_str());
        }
    }
    let written: i64 = sqlx::query_scalar(AssertSqlSafe(SAVE.as_str()))
        .bind(save.order_id)
        .bind(save.version)
        .bind(saga.state.as_str())
        .bind(saga.attempt)
        .bind(saga.automatic)
        .bind(saga.declines as i32)
        .bind(saga.not_sent as i32)
        .bind(i32::try_from(saga.retries).unwrap_or(i32::MAX))
        .bind(saga.end.as_ref().map(|e| e.cause.as_str()))
        .bind(saga.end.as_ref().map(|e| e.actor.as_str()))
        .bind(save.lease.map(|l| l.owner))
        .bind(save.lease.map(|l| l.until))
        .bind(saga.next_run_at)
        .bind(saga.deadline)
        .bind(&saga.stuck)
        .bind(save.now)
        .bind(save.trace.map(|(trace, _)| trace))
        .bind(save.trace.map(|(_, correlation)| correlation))
        .bind(saga.status)
        .bind(saga.state.stage())
        .bind(saga.captured_minor)
        .bind(saga.refunded_minor)
        .bind(saga.payment)
        .bind(&saga.last_decline)
        .bind(saga.hold_expires_at)
        .bind(causes)
        .bind(actors)
        .bind(save.note_sealed)
        .bind(save.ended.map(|e| e.attempt_id))
        .bind(save.ended.map(|e| e.end.as_str()))
        .bind(save.ended.and_then(|e| e.end.decline_code()))
        .bind(save.ended.and_then(|e| e.payment))
        .bind(save.event.map(Json))
        .fetch_one(tx)
        .await?;
    Ok(written == 1)
}

/// Takes the lease of one due saga; false when it is not due or somebody
/// else's.
pub async fn claim(
    pool: &PgPool,
    order_id: OrderId,
    lease: Lease,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE sagas SET lease_owner = $2, lease_until = $3
         WHERE order_id = $1 AND next_run_at <= $4
           AND (lease_owner = $2 OR lease_until IS NULL OR lease_until <= $4)",
    )
    .bind(order_id)
    .bind(lease.owner)
    .bind(lease.until)
    .bind(now)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Leases of one's own on which nobody works.
pub struct Forgotten {
    /// They end by then: they were not taken just now.
    pub until: Timestamp,
    /// What is worked on.
    pub except: Vec<Uuid>,
}

/// Takes the leases of due sagas that nobody works on, the longest due first.
pub async fn claim_due(
    pool: &PgPool,
    lease: Lease,
    now: Timestamp,
    forgotten: &Forgotten,
    limit: i64,
) -> Result<Vec<OrderId>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE sagas SET lease_owner = $1, lease_until = $2 WHERE order_id IN (
            SELECT order_id FROM sagas
            WHERE next_run_at <= $3 AND (lease_until IS NULL OR lease_until <= $3
                OR lease_owner = $1 AND lease_until <= $5 AND order_id <> ALL($6))
            ORDER BY next_run_at LIMIT $4 FOR UPDATE SKIP LOCKED)
         RETURNING order_id",
    )
    .bind(lease.owner)
    .bind(lease.until)
    .bind(now)
    .bind(limit)
    .bind(forgotten.until)
    .bind(&forgotten.except)
    .fetch_all(pool)
    .await
}

/// Who holds the leases of due sagas.
pub async fn holders(pool: &PgPool, now: Timestamp, limit: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT DISTINCT lease_owner FROM sagas
         WHERE next_run_at <= $1 AND lease_until > $1 AND lease_owner IS NOT NULL LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// Ends the leases of due sagas that `holders` have; how many those were.
pub async fn free(pool: &PgPool, holders: &[Uuid], now: Timestamp) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE sagas SET lease_owner = NULL, lease_until = NULL
         WHERE next_run_at <= $2 AND lease_owner = ANY($1)",
    )
    .bind(holders)
    .bind(now)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// Lengthens a lease; false when it was lost or the saga changed.
pub async fn renew(
    pool: &PgPool,
    order_id: OrderId,
    version: i64,
    lease: Lease,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE sagas SET lease_until = $4 WHERE order_id = $1 AND version = $2 AND lease_owner = $3",
    )
    .bind(order_id)
    .bind(version)
    .bind(lease.owner)
    .bind(lease.until)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets go of a saga that this process does not work on any more.
pub async fn let_go(pool: &PgPool, order_id: OrderId, owner: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE sagas SET lease_owner = NULL, lease_until = NULL
         WHERE order_id = $1 AND lease_owner = $2",
    )
    .bind(order_id)
    .bind(owner)
    .execute(pool)
    .await?;
    Ok(())
}

/// Makes a saga due now without deciding anything.
pub async fn nudge(
    tx: &mut PgConnection,
    order_id: OrderId,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE sagas SET next_run_at = $2 WHERE order_id = $1 AND next_run_at > $2")
        .bind(order_id)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(())
}
