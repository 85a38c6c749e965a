//! Skus and warehouses.

use shared_types::inventory::Warehouse;
use shared_types::{ProductId, Sku, Timestamp, VariantId};
use sqlx::PgConnection;

/// A sku about to be opened.
pub struct NewItem<'a> {
    pub sku: &'a Sku,
    pub variant_id: VariantId,
    pub product_id: ProductId,
    pub low_threshold: i64,
}

/// Makes the item. False when the sku or the variant has one already.
pub async fn insert(
    tx: &mut PgConnection,
    item: &NewItem<'_>,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO items (sku_key, sku, variant_id, product_id, low_threshold, opened_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(item.sku.key())
    .bind(item.sku)
    .bind(item.variant_id)
    .bind(item.product_id)
    .bind(item.low_threshold)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The variants that have this sku, or this id: sku key and variant.
pub async fn claims(
    tx: &mut PgConnection,
    sku_key: &str,
    variant: VariantId,
) -> Result<Vec<(String, VariantId)>, sqlx::Error> {
    sqlx::query_as("SELECT sku_key, variant_id FROM items WHERE sku_key = $1 OR variant_id = $2")
        .bind(sku_key)
        .bind(variant)
        .fetch_all(tx)
        .await
}

/// Puts a sku into a warehouse.
pub async fn place(
    tx: &mut PgConnection,
    sku_key: &str,
    warehouse: &str,
    on_hand: i64,
    safety_stock: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO stock (sku_key, warehouse, on_hand, safety_stock) VALUES ($1, $2, $3, $4)
         ON CONFLICT (sku_key, warehouse) DO NOTHING",
    )
    .bind(sku_key)
    .bind(warehouse)
    .bind(on_hand)
    .bind(safety_stock)
    .execute(tx)
    .await?;
    Ok(())
}

/// Codes of all warehouses, in order of priority.
pub async fn warehouses(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT code FROM warehouses ORDER BY priority LIMIT 1000")
        .fetch_all(connection)
        .await
}

/// All warehouses, in order of priority.
pub async fn list_warehouses(connection: &mut PgConnection) -> Result<Vec<Warehouse>, sqlx::Error> {
    let rows: Vec<(String, String, i32)> =
        sqlx::query_as("SELECT code, name, priority FROM warehouses ORDER BY priority LIMIT 1000")
            .fetch_all(connection)
            .await?;
    let warehouse = |(code, name, priority)| Warehouse { code, name, priority };
    Ok(rows.into_iter().map(warehouse).collect())
}

/// Adds or changes a warehouse. False when another one has its priority.
pub async fn put_warehouse(
    connection: &mut PgConnection,
    warehouse: &Warehouse,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO warehouses (code, name, priority) VALUES ($1, $2, $3)
         ON CONFLICT (code) DO UPDATE SET name = excluded.name, priority = excluded.priority",
    )
    .bind(&warehouse.code)
    .bind(&warehouse.name)
    .bind(warehouse.priority)
    .execute(connection)
    .await;
    match done {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets the threshold when given, and the limit of backorders when told to.
pub async fn write_policy(
    tx: &mut PgConnection,
    sku_key: &str,
    low_threshold: Option<i64>,
    set_limit: bool,
    backorder_limit: Option<i64>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE items SET low_threshold = coalesce($2, low_threshold),
             backorder_limit = CASE WHEN $3 THEN $4 ELSE backorder_limit END
         WHERE sku_key = $1",
    )
    .bind(sku_key)
    .bind(low_threshold)
    .bind(set_limit)
    .bind(backorder_limit)
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn write_safety_stock(
    tx: &mut PgConnection,
    sku_key: &str,
    units: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE stock SET safety_stock = $2 WHERE sku_key = $1")
        .bind(sku_key)
        .bind(units)
        .execute(tx)
        .await?;
    Ok(())
}
