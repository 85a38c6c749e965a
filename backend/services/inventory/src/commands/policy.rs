//! How a sku is kept: where, how much of it is never sold, when it is low, and
//! how many units orders may wait for.

use platform::{ApiError, audit};
use shared_types::Sku;
use shared_types::inventory::{StockPolicy, Warehouse};

use super::Stockroom;
use super::adjust::AdjustError;
use crate::queries;
use crate::store;

/// Checked input; what is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    pub low_threshold: Option<i64>,
    /// Per warehouse where the sku is.
    pub safety_stock: Option<i64>,
    /// `Some(None)`: no order may wait from now on.
    pub backorder_limit: Option<Option<i64>>,
}

/// Sets how a sku is kept. Orders that wait keep their places.
pub async fn set(
    room: &Stockroom,
    sku: &Sku,
    keep: &Keep,
    actor: &str,
) -> Result<StockPolicy, ApiError> {
    let key = sku.key();
    let mut tx = room.pool.begin().await?;
    let shelf = store::shelf::lock(&mut tx, &[&key]).await?;
    let before = queries::policy_of(shelf.items.get(&key).ok_or(AdjustError::Unknown)?);
    store::items::write_policy(
        &mut tx,
        &key,
        keep.low_threshold,
        keep.backorder_limit.is_some(),
        keep.backorder_limit.flatten(),
    )
    .await?;
    if let Some(units) = keep.safety_stock {
        store::items::write_safety_stock(&mut tx, &key, units).await?;
    }
    let shelf = store::shelf::read(&mut tx, &[&key]).await?;
    let policy = queries::policy_of(shelf.items.get(&key).ok_or(AdjustError::Unknown)?);
    let entry = audit::Entry::new(actor, "inventory.policy", format!("sku:{key}"))
        .before(&before)
        .after(&policy);
    room.audit.record(&mut tx, entry).await?;
    tx.commit().await?;
    room.sold_out.learn(&shelf);
    Ok(policy)
}

/// Adds a warehouse, or changes its name and place in the order. False when
/// another one has that priority.
pub async fn put_warehouse(
    room: &Stockroom,
    warehouse: &Warehouse,
    actor: &str,
) -> Result<bool, ApiError> {
    let mut tx = room.pool.begin().await?;
    if !store::items::put_warehouse(&mut tx, warehouse).await? {
        return Ok(false);
    }
    let target = format!("warehouse:{}", warehouse.code);
    let entry = audit::Entry::new(actor, "inventory.warehouse", target).after(warehouse);
    room.audit.record(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(true)
}
