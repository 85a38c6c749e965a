//! Stock rows: locked, moved, read.

use std::collections::BTreeMap;

use shared_types::{ProductId, Sku, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::hold::HoldStatus;
use crate::domain::level::{Level, Moves};
use crate::domain::shelf::{Item, Pick, Place, Shelf};

#[derive(sqlx::FromRow)]
struct Row {
    sku_key: String,
    sku: Sku,
    product_id: ProductId,
    low_threshold: i64,
    warehouse: String,
    priority: i32,
    on_hand: i64,
    held: i64,
    allocated: i64,
    set_aside: i64,
    safety_stock: i64,
}

const COLUMNS_BY_KEY: &str = "
SELECT i.sku_key, i.sku, i.product_id, i.low_threshold, s.warehouse, w.priority,
       s.on_hand, s.held, s.allocated, s.set_aside, s.safety_stock
FROM stock s JOIN items i USING (sku_key) JOIN warehouses w ON w.code = s.warehouse
WHERE s.sku_key = ANY($1)";

/// Locks every row of these skus, in sku order.
const LOCK: &str = "
SELECT i.sku_key, i.sku, i.product_id, i.low_threshold, s.warehouse, w.priority,
       s.on_hand, s.held, s.allocated, s.set_aside, s.safety_stock
FROM stock s JOIN items i USING (sku_key) JOIN warehouses w ON w.code = s.warehouse
WHERE s.sku_key = ANY($1)
ORDER BY s.sku_key, s.warehouse
FOR UPDATE OF s";

const BY_PRODUCT: &str = "
SELECT i.sku_key, i.sku, i.product_id, i.low_threshold, s.warehouse, w.priority,
       s.on_hand, s.held, s.allocated, s.set_aside, s.safety_stock
FROM stock s JOIN items i USING (sku_key) JOIN warehouses w ON w.code = s.warehouse
WHERE i.product_id = $1
ORDER BY i.sku_key LIMIT 10000";

pub async fn lock(tx: &mut PgConnection, keys: &[&str]) -> Result<Shelf, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(LOCK).bind(keys).fetch_all(tx).await?;
    Ok(shelf_of(rows))
}

pub async fn read(connection: &mut PgConnection, keys: &[&str]) -> Result<Shelf, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(COLUMNS_BY_KEY).bind(keys).fetch_all(connection).await?;
    Ok(shelf_of(rows))
}

pub async fn of_product(
    connection: &mut PgConnection,
    product: ProductId,
) -> Result<Shelf, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(BY_PRODUCT).bind(product).fetch_all(connection).await?;
    Ok(shelf_of(rows))
}

fn shelf_of(rows: Vec<Row>) -> Shelf {
    let mut items: BTreeMap<String, Item> = BTreeMap::new();
    for row in rows {
        let item = items.entry(row.sku_key).or_insert_with(|| Item {
            sku: row.sku,
            product_id: row.product_id,
            low_threshold: row.low_threshold,
            places: Vec::new(),
        });
        let level = Level {
            on_hand: row.on_hand,
            held: row.held,
            allocated: row.allocated,
            set_aside: row.set_aside,
            safety_stock: row.safety_stock,
        };
        item.places.push(Place { warehouse: row.warehouse, priority: row.priority, level });
    }
    for item in items.values_mut() {
        item.places.sort_by_key(|p| p.priority);
    }
    Shelf(items)
}

/// Everything one transaction changes about holds and stock.
#[derive(Debug, Default)]
pub struct Effects {
    pub made: Vec<NewHold>,
    pub marked: Vec<(Uuid, HoldStatus)>,
    pub moves: Moves,
}

#[derive(Clone, Debug)]
pub struct NewHold {
    pub order_id: Uuid,
    pub expires_at: Timestamp,
    pub picks: Vec<Pick>,
}

/// What could not be written because somebody else was first.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("another transaction made the same hold")]
    Raced,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// New holds by order id, so that two writers never wait for each other.
const WRITE: &str = "
WITH made AS (
    INSERT INTO holds (order_id, status, expires_at, made_at, changed_at)
    SELECT o, 'HELD', e, $3, $3 FROM unnest($1::uuid[], $2::timestamptz[]) AS t(o, e) ORDER BY o
    ON CONFLICT (order_id) DO NOTHING
    RETURNING 1
), lines AS (
    INSERT INTO hold_lines (order_id, sku_key, warehouse, qty)
    SELECT * FROM unnest($4::uuid[], $5::text[], $6::text[], $7::bigint[])
), marked AS (
    UPDATE holds AS h SET status = t.status, changed_at = $3, pinned = false
    FROM unnest($8::uuid[], $9::text[]) AS t(order_id, status)
    WHERE h.order_id = t.order_id
), moved AS (
    UPDATE stock AS s
    SET on_hand = s.on_hand + m.on_hand,
        held = s.held + m.held,
        allocated = s.allocated + m.allocated,
        counted_short = s.counted_short
            AND s.held + m.held + s.allocated + m.allocated + s.set_aside > s.on_hand + m.on_hand
    FROM unnest($10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[])
         AS m(sku_key, warehouse, on_hand, held, allocated)
    WHERE s.sku_key = m.sku_key AND s.warehouse = m.warehouse
    RETURNING 1
)
SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM moved)";

/// Writes all effects with one statement. The stock rows must be locked.
pub async fn write(
    tx: &mut PgConnection,
    effects: &Effects,
    now: Timestamp,
) -> Result<(), WriteError> {
    let lines = || effects.made.iter().flat_map(|h| h.picks.iter().map(move |p| (h.order_id, p)));
    let places = || effects.moves.iter();
    let (made, moved): (i64, i64) = sqlx::query_as(WRITE)
        .bind(effects.made.iter().map(|h| h.order_id).collect::<Vec<_>>())
        .bind(effects.made.iter().map(|h| h.expires_at.into_inner()).collect::<Vec<_>>())
        .bind(now)
        .bind(lines().map(|(order, _)| order).collect::<Vec<_>>())
        .bind(lines().map(|(_, p)| p.sku_key.as_str()).collect::<Vec<_>>())
        .bind(lines().map(|(_, p)| p.warehouse.as_str()).collect::<Vec<_>>())
        .bind(lines().map(|(_, p)| p.qty).collect::<Vec<_>>())
        .bind(effects.marked.iter().map(|m| m.0).collect::<Vec<_>>())
        .bind(effects.marked.iter().map(|m| m.1.as_str()).collect::<Vec<_>>())
        .bind(places().map(|(k, _)| k.0.as_str()).collect::<Vec<_>>())
        .bind(places().map(|(k, _)| k.1.as_str()).collect::<Vec<_>>())
        .bind(places().map(|(_, d)| d.on_hand).collect::<Vec<_>>())
        .bind(places().map(|(_, d)| d.held).collect::<Vec<_>>())
        .bind(places().map(|(_, d)| d.allocated).collect::<Vec<_>>())
        .fetch_one(tx)
        .await
        .map_err(raced)?;
    if made != effects.made.len() as i64 {
        return Err(WriteError::Raced);
    }
    if moved != effects.moves.iter().count() as i64 {
        return Err(sqlx::Error::RowNotFound.into());
    }
    Ok(())
}

fn raced(error: sqlx::Error) -> WriteError {
    match &error {
        sqlx::Error::Database(e) if e.is_unique_violation() => WriteError::Raced,
        _ => WriteError::Database(error),
    }
}
