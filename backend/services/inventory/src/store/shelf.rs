//! Stock rows: locked, moved, read.

use std::collections::BTreeMap;

use shared_types::{ProductId, Sku, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::hold::HoldStatus;
use crate::domain::level::{AsideKey, Level, Moves};
use crate::domain::shelf::{Aside, Item, Pick, Place, Shelf, Units};

#[derive(sqlx::FromRow)]
struct Row {
    sku_key: String,
    sku: Sku,
    product_id: ProductId,
    low_threshold: i64,
    backorder_limit: Option<i64>,
    warehouse: String,
    priority: i32,
    on_hand: i64,
    held: i64,
    allocated: i64,
    set_aside: i64,
    safety_stock: i64,
    backordered: i64,
}

/// A stock row with its item and warehouse.
macro_rules! rows {
    () => {
        "SELECT i.sku_key, i.sku, i.product_id, i.low_threshold, i.backorder_limit, s.warehouse,
                w.priority, s.on_hand, s.held, s.allocated, s.set_aside, s.safety_stock,
                s.backordered
         FROM stock s JOIN items i USING (sku_key) JOIN warehouses w ON w.code = s.warehouse"
    };
}

const BY_KEYS: &str = concat!(rows!(), " WHERE s.sku_key = ANY($1)");

/// Locks every row of these skus, in sku order.
const LOCK: &str =
    concat!(rows!(), " WHERE s.sku_key = ANY($1) ORDER BY s.sku_key, s.warehouse FOR UPDATE OF s");

const BY_PRODUCTS: &str = concat!(
    "SELECT listed.* FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL (",
    rows!(),
    " WHERE i.product_id = wanted.id ORDER BY i.sku_key LIMIT 10000) AS listed"
);

pub async fn lock(tx: &mut PgConnection, keys: &[&str]) -> Result<Shelf, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(LOCK).bind(keys).fetch_all(tx).await?;
    Ok(shelf_of(rows))
}

pub async fn read(connection: &mut PgConnection, keys: &[&str]) -> Result<Shelf, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(BY_KEYS).bind(keys).fetch_all(connection).await?;
    Ok(shelf_of(rows))
}

/// The stock of these products.
pub async fn of_products(
    connection: &mut PgConnection,
    products: &[ProductId],
) -> Result<Shelf, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(BY_PRODUCTS).bind(products).fetch_all(connection).await?;
    Ok(shelf_of(rows))
}

fn shelf_of(rows: Vec<Row>) -> Shelf {
    let mut items: BTreeMap<String, Item> = BTreeMap::new();
    for row in rows {
        let item = items.entry(row.sku_key).or_insert_with(|| Item {
            sku: row.sku,
            product_id: row.product_id,
            low_threshold: row.low_threshold,
            backorder_limit: row.backorder_limit,
            places: Vec::new(),
        });
        let level = Level {
            on_hand: row.on_hand,
            held: row.held,
            allocated: row.allocated,
            set_aside: row.set_aside,
            safety_stock: row.safety_stock,
            backordered: row.backordered,
        };
        item.places.push(Place { warehouse: row.warehouse, priority: row.priority, level });
    }
    for item in items.values_mut() {
        item.places.sort_by_key(|p| p.priority);
    }
    Shelf { items, asides: BTreeMap::new() }
}

#[derive(sqlx::FromRow)]
struct AsideRow {
    sale_id: Uuid,
    sku_key: String,
    warehouse: String,
    units_left: i64,
    live: bool,
}

/// Puts what these sales have left on a locked shelf. Whoever changes it holds
/// the lock of its stock row.
pub async fn add_asides(
    tx: &mut PgConnection,
    shelf: &mut Shelf,
    sales: &[Uuid],
) -> Result<(), sqlx::Error> {
    if sales.is_empty() {
        return Ok(());
    }
    let rows: Vec<AsideRow> = sqlx::query_as(
        "SELECT sale_id, sku_key, warehouse, units_left, ended_at IS NULL AS live
         FROM set_asides WHERE sale_id = ANY($1) AND sku_key = ANY($2)",
    )
    .bind(sales)
    .bind(shelf.items.keys().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    for row in rows {
        let (sale, sku_key, warehouse) = (row.sale_id, row.sku_key, row.warehouse);
        let aside = Aside { left: row.units_left, live: row.live };
        shelf.asides.insert(AsideKey { sale, sku_key, warehouse }, aside);
    }
    Ok(())
}

/// Everything one transaction changes about holds and stock.
#[derive(Debug, Default)]
pub struct Effects {
    pub made: Vec<NewHold>,
    pub marked: BTreeMap<Uuid, HoldStatus>,
    pub moves: Moves,
    /// A physical count: what is promised may be more than what is there.
    pub counted: bool,
}

#[derive(Clone, Debug)]
pub struct NewHold {
    pub order_id: Uuid,
    /// None while units have to come first.
    pub expires_at: Option<Timestamp>,
    pub picks: Vec<Pick>,
    /// Units that have to come first.
    pub open: Units,
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
    SELECT o, CASE WHEN e IS NULL THEN 'WAITING' ELSE 'HELD' END, e, $3, $3
    FROM unnest($1::uuid[], $2::timestamptz[]) AS t(o, e) ORDER BY o
    ON CONFLICT (order_id) DO NOTHING
    RETURNING 1
), lines AS (
    INSERT INTO hold_lines (order_id, sku_key, warehouse, qty, sale_id)
    SELECT * FROM unnest($4::uuid[], $5::text[], $6::text[], $7::bigint[], $15::uuid[])
), marked AS (
    UPDATE holds AS h SET status = t.status, changed_at = $3, pinned = false
    FROM unnest($8::uuid[], $9::text[]) AS t(order_id, status)
    WHERE h.order_id = t.order_id
), moved AS (
    UPDATE stock AS s
    SET on_hand = s.on_hand + m.on_hand,
        held = s.held + m.held,
        allocated = s.allocated + m.allocated,
        set_aside = s.set_aside + m.set_aside,
        backordered = s.backordered + m.backordered,
        counted_short = (s.counted_short OR $18)
            AND s.held + m.held + s.allocated + m.allocated + s.set_aside + m.set_aside
                > s.on_hand + m.on_hand
    FROM unnest($10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[],
                $16::bigint[], $17::bigint[])
         AS m(sku_key, warehouse, on_hand, held, allocated, set_aside, backordered)
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
        .bind(
            effects
                .made
                .iter()
                .map(|h| h.expires_at.map(Timestamp::into_inner))
                .collect::<Vec<_>>(),
        )
        .bind(now)
        .bind(lines().map(|(order, _)| order).collect::<Vec<_>>())
        .bind(lines().map(|(_, p)| p.sku_key.as_str()).collect::<Vec<_>>())
        .bind(lines().map(|(_, p)| p.warehouse.as_str()).collect::<Vec<_>>())
        .bind(lines().map(|(_, p)| p.qty).collect::<Vec<_>>())
        .bind(effects.marked.keys().copied().collect::<Vec<_>>())
        .bind(effects.marked.values().map(|s| s.as_str()).collect::<Vec<_>>())
        .bind(places().map(|(k, _)| k.0.as_str()).collect::<Vec<_>>())
        .bind(places().map(|(k, _)| k.1.as_str()).collect::<Vec<_>>())
        .bind(places().map(|(_, d)| d.on_hand).collect::<Vec<_>>())
        .bind(places().map(|(_, d)| d.held).collect::<Vec<_>>())
        .bind(places().map(|(_, d)| d.allocated).collect::<Vec<_>>())
        .bind(lines().map(|(_, p)| p.sale).collect::<Vec<_>>())
        .bind(places().map(|(_, d)| d.set_aside).collect::<Vec<_>>())
        .bind(places().map(|(_, d)| d.backordered).collect::<Vec<_>>())
        .bind(effects.counted)
        .fetch_one(&mut *tx)
        .await
        .map_err(raced)?;
    if made != effects.made.len() as i64 {
        return Err(WriteError::Raced);
    }
    if moved != effects.moves.iter().count() as i64 {
        return Err(sqlx::Error::RowNotFound.into());
    }
    if effects.moves.asides().next().is_some() {
        write_asides(tx, &effects.moves).await?;
    }
    for hold in effects.made.iter().filter(|hold| !hold.open.is_empty()) {
        super::queue::join(tx, hold.order_id, &hold.open).await?;
    }
    Ok(())
}

async fn write_asides(tx: &mut PgConnection, moves: &Moves) -> Result<(), sqlx::Error> {
    let asides = || moves.asides();
    let done = sqlx::query(
        "UPDATE set_asides AS a SET units_left = a.units_left + m.units
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
              AS m(sale_id, sku_key, warehouse, units)
         WHERE a.sale_id = m.sale_id AND a.sku_key = m.sku_key AND a.warehouse = m.warehouse",
    )
    .bind(asides().map(|(k, _)| k.sale).collect::<Vec<_>>())
    .bind(asides().map(|(k, _)| k.sku_key.as_str()).collect::<Vec<_>>())
    .bind(asides().map(|(k, _)| k.warehouse.as_str()).collect::<Vec<_>>())
    .bind(asides().map(|(_, units)| units).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    if done.rows_affected() == asides().count() as u64 {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}

fn raced(error: sqlx::Error) -> WriteError {
    match &error {
        sqlx::Error::Database(e) if e.is_unique_violation() => WriteError::Raced,
        _ => WriteError::Database(error),
    }
}
