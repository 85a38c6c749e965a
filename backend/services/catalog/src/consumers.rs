//! What the catalog learns from others: how much of a variant is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::events::inventory::StockAdjusted;
use platform::consumer::{Consumer, Done, HandleAll, HandleError, Received, payload};
use sqlx::PgConnection;

use crate::App;
use crate::store::{self, Level};

pub fn consumer(app: App) -> Consumer {
    let wait = Duration::from_millis(app.config.fetch_wait_ms);
    Consumer::new("catalog", wait).on_all::<StockAdjusted>(Arc::new(NoteStock))
}

/// Keeps the band that shoppers see.
struct NoteStock;

#[async_trait]
impl HandleAll for NoteStock {
    async fn handle_all(
        &self,
        tx: &mut PgConnection,
        events: &[&Received],
    ) -> Result<Done, HandleError> {
        // Of each shelf the newest: what lies between is over. Sorted, so that
        // two partitions lock rows in one order.
        let mut newest: BTreeMap<(String, String), Level> = BTreeMap::new();
        for event in events {
            let stock: StockAdjusted = payload(event)?;
            let level = Level { available: stock.available, version: event.aggregate_version };
            let known = newest.entry((stock.sku.key(), stock.warehouse)).or_insert(level);
            if known.version < level.version {
                *known = level;
            }
        }
        store::note_stock(tx, &newest).await?;
        Ok(Done::quietly())
    }
}
