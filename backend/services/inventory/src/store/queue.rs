//! Orders that wait for units, in order of arrival.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::hold::Hold;
use crate::domain::shelf::{Pick, Units, Waiter};

/// Puts an order at the end of the queue of every sku it waits for.
pub async fn join(tx: &mut PgConnection, order: Uuid, open: &Units) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO backorders (order_id, sku_key, open)
         SELECT $1, s, u FROM unnest($2::text[], $3::bigint[]) AS t(s, u)",
    )
    .bind(order)
    .bind(open.keys().map(String::as_str).collect::<Vec<_>>())
    .bind(open.values().copied().collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// What these orders wait for: order, sku key, units.
pub async fn open_of(
    tx: &mut PgConnection,
    orders: &[Uuid],
) -> Result<Vec<(Uuid, String, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT order_id, sku_key, open FROM backorders WHERE order_id = ANY($1)")
        .bind(orders)
        .fetch_all(tx)
        .await
}

/// Orders that were given up wait no longer.
pub async fn leave(tx: &mut PgConnection, orders: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM backorders WHERE order_id = ANY($1)").bind(orders).execute(tx).await?;
    Ok(())
}

/// Skus that orders wait for and that have units nobody was promised.
pub async fn servable(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT DISTINCT w.sku_key FROM stock w JOIN stock s USING (sku_key)
         WHERE w.backordered > 0
           AND s.on_hand - s.held - s.allocated - s.set_aside - s.safety_stock > 0
         ORDER BY w.sku_key LIMIT $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// The first `limit` of the queue of each of these skus, in order of arrival.
pub async fn head(
    connection: &mut PgConnection,
    sku_keys: &[String],
    limit: i64,
) -> Result<Vec<Waiter>, sqlx::Error> {
    let rows: Vec<(Uuid, String, i64)> = sqlx::query_as(
        "SELECT b.order_id, b.sku_key, b.open
         FROM unnest($1::text[]) AS k(sku_key)
         CROSS JOIN LATERAL (
             SELECT * FROM backorders q WHERE q.sku_key = k.sku_key ORDER BY q.position LIMIT $2
         ) b ORDER BY b.position",
    )
    .bind(sku_keys)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let waiter = |(order_id, sku_key, open)| Waiter { order_id, sku_key, open };
    Ok(rows.into_iter().map(waiter).collect())
}

/// Writes what an order of a locked hold got, and how the hold stands now.
pub async fn write_served(
    tx: &mut PgConnection,
    order: Uuid,
    picks: &[Pick],
    hold: &Hold,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH got AS (
             SELECT s, w, q FROM unnest($2::text[], $3::text[], $4::bigint[]) AS t(s, w, q)
         ), lines AS (
             INSERT INTO hold_lines AS l (order_id, sku_key, warehouse, qty)
             SELECT $1, s, w, q FROM got
             ON CONFLICT (order_id, sku_key, warehouse, sale_id)
             DO UPDATE SET qty = l.qty + excluded.qty
         ), left_over AS (
             SELECT b.sku_key, b.open - sum(got.q)::bigint AS open
             FROM backorders b JOIN got ON got.s = b.sku_key
             WHERE b.order_id = $1 GROUP BY b.sku_key, b.open
         ), done AS (
             DELETE FROM backorders b USING left_over o
             WHERE b.order_id = $1 AND b.sku_key = o.sku_key AND o.open = 0
         ), less AS (
             UPDATE backorders b SET open = o.open FROM left_over o
             WHERE b.order_id = $1 AND b.sku_key = o.sku_key AND o.open > 0
         )
         UPDATE holds SET status = $5, expires_at = $6, changed_at = now() WHERE order_id = $1",
    )
    .bind(order)
    .bind(picks.iter().map(|p| p.sku_key.as_str()).collect::<Vec<_>>())
    .bind(picks.iter().map(|p| p.warehouse.as_str()).collect::<Vec<_>>())
    .bind(picks.iter().map(|p| p.qty).collect::<Vec<_>>())
    .bind(hold.status.as_str())
    .bind(hold.expires_at)
    .execute(tx)
    .await?;
    Ok(())
}
