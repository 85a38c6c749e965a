//! Places where less is on hand than was promised, and whom it was promised to.

use shared_types::Sku;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::level::{Level, Promise};

/// A place that a count left short.
pub struct ShortPlace {
    pub sku_key: String,
    pub sku: Sku,
    pub warehouse: String,
    pub level: Level,
}

pub async fn short_places(
    connection: &mut PgConnection,
    sku_key: Option<&str>,
    limit: i64,
) -> Result<Vec<ShortPlace>, sqlx::Error> {
    type Row = (String, Sku, String, i64, i64, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT s.sku_key, i.sku, s.warehouse, s.on_hand, s.held, s.allocated, s.set_aside
         FROM stock s JOIN items i USING (sku_key)
         WHERE s.counted_short AND ($1::text IS NULL OR s.sku_key = $1)
         ORDER BY s.sku_key, s.warehouse LIMIT $2",
    )
    .bind(sku_key)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let place = |(sku_key, sku, warehouse, on_hand, held, allocated, set_aside): Row| {
        let level = Level { on_hand, held, allocated, set_aside, ..Level::default() };
        ShortPlace { sku_key, sku, warehouse, level }
    };
    Ok(rows.into_iter().map(place).collect())
}

/// What was promised at a place, the last 10,000 promises in order of arrival.
pub async fn of_place(
    connection: &mut PgConnection,
    place: &ShortPlace,
) -> Result<Vec<Promise>, sqlx::Error> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT h.order_id, sum(l.qty - l.dispatched - l.returned)::bigint
         FROM hold_lines l JOIN holds h USING (order_id)
         WHERE l.sku_key = $1 AND l.warehouse = $2
           AND h.status IN ('WAITING', 'HELD', 'CONFIRMED') AND l.dispatched + l.returned < l.qty
         GROUP BY h.order_id, h.made_at ORDER BY h.made_at DESC, h.order_id DESC LIMIT 10000",
    )
    .bind(&place.sku_key)
    .bind(&place.warehouse)
    .fetch_all(connection)
    .await?;
    let promise = |(order_id, units)| Promise { order_id, units };
    Ok(rows.into_iter().rev().map(promise).collect())
}
