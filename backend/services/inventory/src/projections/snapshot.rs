//! Stock of every sku in every warehouse, folded from
//! `ecommerce.inventory.stock`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contracts::events::inventory::StockAdjusted;
use contracts::topics::STOCK;
use platform::consumer::Received;
use platform::outbox::Event as _;
use platform::projection::ReadModel;
use shared_types::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

/// `inventory-snapshot`
pub struct InventorySnapshot;

#[async_trait]
impl ReadModel for InventorySnapshot {
    fn name(&self) -> &'static str {
        "inventory-snapshot"
    }

    fn table(&self) -> &'static str {
        "stock_snapshot"
    }

    fn key(&self) -> &'static str {
        "sku_key, warehouse"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[STOCK]
    }

    async fn fold(
        &self,
        tx: &mut PgConnection,
        table: &str,
        events: &[Received],
    ) -> anyhow::Result<()> {
        let mut fold = Fold::default();
        for event in events.iter().filter(|event| event.event_type == StockAdjusted::TYPE) {
            // What cannot be read was never shown, and changes nothing.
            if let Ok(adjusted) = serde_json::from_str(event.payload.get()) {
                fold.see(event.aggregate_version, event.occurred_at, adjusted);
            }
        }
        Ok(write(tx, table, &fold).await?)
    }
}

/// A place as one event tells it.
#[derive(Clone, Debug)]
struct Shown {
    version: i64,
    at: Timestamp,
    event: StockAdjusted,
}

/// The newest state per sku key and warehouse.
#[derive(Debug, Default)]
struct Fold(BTreeMap<(String, String), Shown>);

impl Fold {
    /// An event counts when it is newer than what is shown: one that is read
    /// twice, or late, changes nothing.
    fn see(&mut self, version: i64, at: Timestamp, event: StockAdjusted) {
        let key = (event.sku.key(), event.warehouse.clone());
        if self.0.get(&key).is_none_or(|shown| shown.version < version) {
            self.0.insert(key, Shown { version, at, event });
        }
    }
}

async fn write(tx: &mut PgConnection, table: &str, fold: &Fold) -> Result<(), sqlx::Error> {
    if fold.0.is_empty() {
        return Ok(());
    }
    // The name is the live table's or its copy's, never a caller's.
    let sql = format!(
        "INSERT INTO {table} AS s (sku_key, warehouse, sku, product_id, on_hand, held, allocated,
                                   set_aside, available, version, updated_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[],
                              $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
                              $10::bigint[], $11::timestamptz[])
         ON CONFLICT (sku_key, warehouse) DO UPDATE
         SET sku = excluded.sku, product_id = excluded.product_id, on_hand = excluded.on_hand,
             held = excluded.held, allocated = excluded.allocated,
             set_aside = excluded.set_aside, available = excluded.available,
             version = excluded.version, updated_at = excluded.updated_at
         WHERE s.version < excluded.version"
    );
    let (keys, rows) = (|| fold.0.keys(), || fold.0.values());
    sqlx::query(AssertSqlSafe(sql))
        .bind(keys().map(|key| key.0.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|key| key.1.as_str()).collect::<Vec<_>>())
        .bind(rows().map(|s| s.event.sku.to_string()).collect::<Vec<_>>())
        .bind(rows().map(|s| s.event.product_id.0).collect::<Vec<_>>())
        .bind(rows().map(|s| s.event.on_hand).collect::<Vec<_>>())
        .bind(rows().map(|s| s.event.held).collect::<Vec<_>>())
        .bind(rows().map(|s| s.event.allocated).collect::<Vec<_>>())
        .bind(rows().map(|s| s.event.set_aside).collect::<Vec<_>>())
        .bind(rows().map(|s| s.event.available).collect::<Vec<_>>())
        .bind(rows().map(|s| s.version).collect::<Vec<_>>())
        .bind(rows().map(|s| s.at.into_inner()).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjusted(warehouse: &str, on_hand: i64) -> StockAdjusted {
        StockAdjusted {
            product_id: uuid::Uuid::nil().into(),
            sku: "A".parse().unwrap(),
            warehouse: warehouse.to_owned(),
            delta: 0,
            reason: "reserved".to_owned(),
            on_hand,
            held: 0,
            allocated: 0,
            set_aside: 0,
            available: on_hand,
        }
    }

    #[test]
    fn the_newest_event_of_a_place_counts_however_often_and_late_others_come() {
        let (mut fold, at) = (Fold::default(), "2026-11-20T10:00:00Z".parse().unwrap());
        for (version, on_hand) in [(1, 10), (3, 8), (2, 9), (3, 8)] {
            fold.see(version, at, adjusted("main", on_hand));
        }
        fold.see(4, at, adjusted("north", 5));
        let shown: Vec<_> = fold.0.values().map(|s| (s.version, s.event.on_hand)).collect();
        assert_eq!(shown, [(3, 8), (4, 5)]);
    }
}
