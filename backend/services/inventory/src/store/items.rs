//! Skus and warehouses.

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
