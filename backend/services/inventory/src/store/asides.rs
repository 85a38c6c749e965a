//! What flash sales carved out.

use shared_types::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::level::Moves;

/// What a sale carved out of a sku: all units of it, and whether it ended.
/// Read under the lock of the sku.
pub async fn carved(
    tx: &mut PgConnection,
    sale: Uuid,
    sku_key: &str,
) -> Result<Option<(i64, bool)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT sum(carved)::bigint, bool_or(ended_at IS NOT NULL) FROM set_asides
         WHERE sale_id = $1 AND sku_key = $2 HAVING count(*) > 0",
    )
    .bind(sale)
    .bind(sku_key)
    .fetch_optional(tx)
    .await
}

/// Makes the rows of a new set-aside, still empty: the moves fill them.
pub async fn insert(
    tx: &mut PgConnection,
    moves: &Moves,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO set_asides (sale_id, sku_key, warehouse, carved, units_left, made_at)
         SELECT s, k, w, u, 0, $5
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[]) AS t(s, k, w, u)",
    )
    .bind(moves.asides().map(|(k, _)| k.sale).collect::<Vec<_>>())
    .bind(moves.asides().map(|(k, _)| k.sku_key.as_str()).collect::<Vec<_>>())
    .bind(moves.asides().map(|(k, _)| k.warehouse.as_str()).collect::<Vec<_>>())
    .bind(moves.asides().map(|(_, units)| units).collect::<Vec<_>>())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// The sku keys of a sale, or the one named when it belongs to it.
pub async fn skus_of(
    tx: &mut PgConnection,
    sale: Uuid,
    sku_key: Option<&str>,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT DISTINCT sku_key FROM set_asides
         WHERE sale_id = $1 AND ($2::text IS NULL OR sku_key = $2) ORDER BY sku_key",
    )
    .bind(sale)
    .bind(sku_key)
    .fetch_all(tx)
    .await
}

/// The sale is over for these skus; nothing of it is left.
pub async fn end(
    tx: &mut PgConnection,
    sale: Uuid,
    sku_keys: &[String],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE set_asides SET ended_at = $3
         WHERE sale_id = $1 AND sku_key = ANY($2) AND ended_at IS NULL",
    )
    .bind(sale)
    .bind(sku_keys)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}
