//! Holds and their lines.

use std::collections::HashMap;

use shared_types::Timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::hold::{Hold, HoldLine, HoldStatus};
use crate::domain::shelf::Units;

#[derive(sqlx::FromRow)]
struct HoldRow {
    order_id: Uuid,
    status: String,
    expires_at: Option<Timestamp>,
    pinned: bool,
    extended: bool,
}

#[derive(sqlx::FromRow)]
struct LineRow {
    order_id: Uuid,
    sku_key: String,
    warehouse: String,
    qty: i64,
    dispatched: i64,
    returned: i64,
    brought_back: i64,
    sale_id: Option<Uuid>,
}

impl HoldRow {
    fn hold(self) -> Result<(Uuid, Hold), sqlx::Error> {
        let status = HoldStatus::parse(&self.status)
            .ok_or_else(|| sqlx::Error::Decode(format!("status {}", self.status).into()))?;
        let (expires_at, lines, open) = (self.expires_at, Vec::new(), Units::new());
        let (pinned, extended) = (self.pinned, self.extended);
        Ok((self.order_id, Hold { status, expires_at, pinned, extended, lines, open }))
    }
}

/// The holds of these orders, unlocked.
pub async fn find(
    tx: &mut PgConnection,
    orders: &[Uuid],
) -> Result<HashMap<Uuid, Hold>, sqlx::Error> {
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT order_id, status, expires_at, pinned, extended FROM holds WHERE order_id = ANY($1)",
    )
    .bind(orders)
    .fetch_all(&mut *tx)
    .await?;
    with_lines(tx, rows).await
}

/// The hold of one order, locked.
pub async fn lock(tx: &mut PgConnection, order: Uuid) -> Result<Option<Hold>, sqlx::Error> {
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT order_id, status, expires_at, pinned, extended FROM holds
         WHERE order_id = $1 FOR UPDATE",
    )
    .bind(order)
    .fetch_all(&mut *tx)
    .await?;
    Ok(with_lines(tx, rows).await?.remove(&order))
}

/// Those of these orders' holds that keep units, locked in one order.
pub async fn lock_live(
    tx: &mut PgConnection,
    orders: &[Uuid],
) -> Result<HashMap<Uuid, Hold>, sqlx::Error> {
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT order_id, status, expires_at, pinned, extended FROM holds
         WHERE order_id = ANY($1) AND status IN ('HELD', 'CONFIRMED')
         ORDER BY order_id FOR UPDATE",
    )
    .bind(orders)
    .fetch_all(&mut *tx)
    .await?;
    with_lines(tx, rows).await
}

/// Those of these orders that have a hold, whatever became of it.
pub async fn known(
    connection: &mut PgConnection,
    orders: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar("SELECT order_id FROM holds WHERE order_id = ANY($1)")
        .bind(orders)
        .fetch_all(connection)
        .await
}

/// Up to `limit` holds whose time ran out, locked; what somebody else works on
/// is left to them.
pub async fn lock_due(
    tx: &mut PgConnection,
    now: Timestamp,
    limit: i64,
) -> Result<HashMap<Uuid, Hold>, sqlx::Error> {
    let rows: Vec<HoldRow> = sqlx::query_as(
        "SELECT order_id, status, expires_at, pinned, extended FROM holds
         WHERE status = 'HELD' AND NOT pinned AND expires_at <= $1
         ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    with_lines(tx, rows).await
}

async fn with_lines(
    tx: &mut PgConnection,
    rows: Vec<HoldRow>,
) -> Result<HashMap<Uuid, Hold>, sqlx::Error> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let mut holds = rows.into_iter().map(HoldRow::hold).collect::<Result<HashMap<_, _>, _>>()?;
    let lines: Vec<LineRow> = sqlx::query_as(
        "SELECT order_id, sku_key, warehouse, qty, dispatched, returned, brought_back, sale_id
         FROM hold_lines WHERE order_id = ANY($1) ORDER BY order_id, sku_key, warehouse",
    )
    .bind(holds.keys().copied().collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    for line in lines {
        if let Some(hold) = holds.get_mut(&line.order_id) {
            hold.lines.push(HoldLine {
                sku_key: line.sku_key,
                warehouse: line.warehouse,
                qty: line.qty,
                dispatched: line.dispatched,
                returned: line.returned,
                brought_back: line.brought_back,
                sale: line.sale_id,
            });
        }
    }
    let waiting = holds.iter().filter(|(_, h)| h.status == HoldStatus::Waiting);
    let waiting: Vec<Uuid> = waiting.map(|(order, _)| *order).collect();
    if !waiting.is_empty() {
        for (order, sku_key, open) in super::queue::open_of(tx, &waiting).await? {
            if let Some(hold) = holds.get_mut(&order) {
                hold.open.insert(sku_key, open);
            }
        }
    }
    Ok(holds)
}

/// Takes expired holds out of the way, so that their orders can hold anew.
pub async fn clear_expired(tx: &mut PgConnection, orders: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH gone AS (
             DELETE FROM holds WHERE order_id = ANY($1) AND status = 'EXPIRED' RETURNING order_id
         )
         DELETE FROM hold_lines WHERE order_id IN (SELECT order_id FROM gone)",
    )
    .bind(orders)
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks an order as given up before it held anything. False when a hold
/// turned up meanwhile.
pub async fn bury(tx: &mut PgConnection, order: Uuid, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO holds (order_id, status, made_at, changed_at) VALUES ($1, 'RELEASED', $2, $2)
         ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(order)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Pins or frees a hold that keeps units, in one statement, and says when it
/// ends; none when no such hold is there.
pub async fn pin_held(
    pool: &PgPool,
    order: Uuid,
    pinned: bool,
) -> Result<Option<Option<Timestamp>>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE holds SET pinned = $2 WHERE order_id = $1 AND status = 'HELD' RETURNING expires_at",
    )
    .bind(order)
    .bind(pinned)
    .fetch_optional(pool)
    .await
}

/// Writes pin, extension and end of a locked hold.
pub async fn write_pin(tx: &mut PgConnection, order: Uuid, hold: &Hold) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE holds SET pinned = $2, extended = $3, expires_at = $4 WHERE order_id = $1")
        .bind(order)
        .bind(hold.pinned)
        .bind(hold.extended)
        .bind(hold.expires_at)
        .execute(tx)
        .await?;
    Ok(())
}

/// Writes what came back of a locked hold.
pub async fn write_returns(
    tx: &mut PgConnection,
    order: Uuid,
    hold: &Hold,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE hold_lines AS l SET returned = t.returned, brought_back = t.brought_back
         FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[])
              AS t(sku_key, warehouse, returned, brought_back, sale_id)
         WHERE l.order_id = $1 AND l.sku_key = t.sku_key AND l.warehouse = t.warehouse
           AND l.sale_id IS NOT DISTINCT FROM t.sale_id",
    )
    .bind(order)
    .bind(hold.lines.iter().map(|l| l.sku_key.as_str()).collect::<Vec<_>>())
    .bind(hold.lines.iter().map(|l| l.warehouse.as_str()).collect::<Vec<_>>())
    .bind(hold.lines.iter().map(|l| l.returned).collect::<Vec<_>>())
    .bind(hold.lines.iter().map(|l| l.brought_back).collect::<Vec<_>>())
    .bind(hold.lines.iter().map(|l| l.sale).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes a return. When it was noted before: its order and lines.
pub async fn note_return(
    tx: &mut PgConnection,
    return_id: Uuid,
    order: Uuid,
    lines: &str,
    now: Timestamp,
) -> Result<Option<(Uuid, String)>, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO returns (return_id, order_id, lines, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (return_id) DO NOTHING",
    )
    .bind(return_id)
    .bind(order)
    .bind(lines)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(None);
    }
    sqlx::query_as("SELECT order_id, lines FROM returns WHERE return_id = $1")
        .bind(return_id)
        .fetch_optional(tx)
        .await
}

/// How many holds are live.
pub async fn count_live(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM holds WHERE status = 'HELD'")
        .fetch_one(connection)
        .await
}
