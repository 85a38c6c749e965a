//! Refunds: promised under the saga's lock, carried out by the saga.

use platform::idempotency::IdempotencyKey;
use shared_types::{OrderId, RefundId, Sku, Timestamp};
use sqlx::{PgConnection, Row};

use crate::domain::saga::RefundState;

/// A refund that is promised now.
pub struct NewRefund<'a> {
    pub refund_id: RefundId,
    pub order_id: OrderId,
    pub key: Option<&'a IdempotencyKey>,
    pub amount_minor: i64,
    pub cause: &'a str,
    pub note_sealed: Option<&'a [u8]>,
    pub restock: bool,
    pub lines: &'a [(Sku, i64)],
    pub actor: &'a str,
    pub now: Timestamp,
}

/// Stores the refund and takes its units out of the order's lines.
pub async fn insert(tx: &mut PgConnection, new: &NewRefund<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO refunds (refund_id, order_id, scope, fingerprint, amount_minor, cause,
            note_sealed, restock, state, actor, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $10)",
    )
    .bind(new.refund_id)
    .bind(new.order_id)
    .bind(new.key.map(|k| &k.scope[..]))
    .bind(new.key.map(|k| &k.fingerprint[..]))
    .bind(new.amount_minor)
    .bind(new.cause)
    .bind(new.note_sealed)
    .bind(new.restock)
    .bind(new.actor)
    .bind(new.now)
    .execute(&mut *tx)
    .await?;
    if new.lines.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH l AS (
            INSERT INTO refund_lines (refund_id, sku, sku_key, qty)
            SELECT $1, * FROM unnest($3::text[], $4::text[], $5::bigint[]) RETURNING sku_key, qty
         )
         UPDATE order_items i SET returned_qty = returned_qty + l.qty
         FROM l WHERE i.order_id = $2 AND i.sku_key = l.sku_key",
    )
    .bind(new.refund_id)
    .bind(new.order_id)
    .bind(new.lines.iter().map(|(sku, _)| sku.as_str()).collect::<Vec<_>>())
    .bind(new.lines.iter().map(|(sku, _)| sku.key()).collect::<Vec<_>>())
    .bind(new.lines.iter().map(|(_, qty)| *qty).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// What refunds that did not fail come to, in minor units.
pub async fn promised(tx: &mut PgConnection, order_id: OrderId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(sum(amount_minor), 0)::bigint FROM refunds
         WHERE order_id = $1 AND state NOT IN ('failed', 'replaced')",
    )
    .bind(order_id)
    .fetch_one(tx)
    .await
}

/// Asks anew for the saga's own refunds that the provider refused.
pub async fn revive(
    tx: &mut PgConnection,
    order_id: OrderId,
    mut fresh: impl FnMut() -> RefundId,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let refused: Vec<RefundId> = sqlx::query_scalar(
        "UPDATE refunds SET state = 'replaced'
         WHERE order_id = $1 AND state = 'failed' AND scope IS NULL RETURNING refund_id",
    )
    .bind(order_id)
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO refunds (refund_id, order_id, amount_minor, cause, note_sealed, restock, state,
            actor, created_at)
         SELECT n.fresh, r.order_id, r.amount_minor, r.cause, r.note_sealed, r.restock, 'pending',
            r.actor, $3
         FROM unnest($1::uuid[], $2::uuid[]) AS n(old, fresh) JOIN refunds r ON r.refund_id = n.old",
    )
    .bind(refused.iter().map(|id| id.0).collect::<Vec<_>>())
    .bind(refused.iter().map(|_| fresh().0).collect::<Vec<_>>())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// A refund as its request sees it.
#[derive(Clone, Debug)]
pub struct RequestedRefund {
    pub refund_id: RefundId,
    pub order_id: OrderId,
    pub amount_minor: i64,
    pub created_at: Timestamp,
    pub same_payload: bool,
}

/// The refund that the request with this key asked for.
pub async fn of_request(
    tx: &mut PgConnection,
    key: &IdempotencyKey,
) -> Result<Option<RequestedRefund>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT refund_id, order_id, amount_minor, created_at, fingerprint
         FROM refunds WHERE scope = $1",
    )
    .bind(&key.scope[..])
    .fetch_optional(tx)
    .await?;
    row.map(|row| {
        Ok(RequestedRefund {
            refund_id: row.try_get("refund_id")?,
            order_id: row.try_get("order_id")?,
            amount_minor: row.try_get("amount_minor")?,
            created_at: row.try_get("created_at")?,
            same_payload: row.try_get::<Vec<u8>, _>("fingerprint")? == key.fingerprint,
        })
    })
    .transpose()
}

/// The units of a refund.
pub async fn lines(
    tx: &mut PgConnection,
    refund_id: RefundId,
) -> Result<Vec<(Sku, i64)>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT sku, qty FROM refund_lines WHERE refund_id = $1 ORDER BY sku_key")
            .bind(refund_id)
            .fetch_all(tx)
            .await?;
    rows.iter().map(|row| Ok((row.try_get("sku")?, row.try_get("qty")?))).collect()
}

/// Writes what became of a refund; a failed one puts its units back into the
/// order's lines.
pub async fn settle(
    tx: &mut PgConnection,
    refund_id: RefundId,
    state: RefundState,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let word = match state {
        RefundState::Restocking => "restocking",
        RefundState::Succeeded => "succeeded",
        RefundState::Failed => "failed",
    };
    sqlx::query("UPDATE refunds SET state = $2, decided_at = $3 WHERE refund_id = $1")
        .bind(refund_id)
        .bind(word)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    if state == RefundState::Failed {
        sqlx::query(
            "UPDATE order_items i SET returned_qty = returned_qty - l.qty
             FROM refund_lines l JOIN refunds r USING (refund_id)
             WHERE l.refund_id = $1 AND i.order_id = r.order_id AND i.sku_key = l.sku_key",
        )
        .bind(refund_id)
        .execute(tx)
        .await?;
    }
    Ok(())
}
